//! Element by element: arithmetic with broadcasting, and functions of one number.

use crate::engine::RunError;
use crate::engine::trees::builder::{Builder, Value, unsupported, wrong};
use crate::engine::trees::element::{Element, buffer, elements};
use crate::engine::trees::plan::{Call, shaped};
use crate::model::LoadError;
use crate::onnx::Node;
use crate::tensor::{Data, Datatype, Shape, Tensor};

pub(super) fn unary<'m>(builder: &mut Builder<'m>, node: &'m Node) -> Result<(), LoadError> {
    let input = builder.input(node, 0)?;
    macro_rules! function {
        ($type:ident) => {
            match node.op_type.as_str() {
                "Abs" => $type::abs,
                "Ceil" => $type::ceil,
                "Exp" => $type::exp,
                "Floor" => $type::floor,
                "Log" => $type::ln,
                "Neg" => |x: $type| -x,
                // NaN stays NaN.
                "Relu" => |x: $type| if x < 0.0 { 0.0 } else { x },
                "Sigmoid" => |x: $type| 1.0 / (1.0 + (-x).exp()),
                "Reciprocal" => |x: $type| 1.0 / x,
                "Softplus" => |x: $type| x.max(0.0) + (-x.abs()).exp().ln_1p(),
                // Halves go to the even number.
                "Round" => $type::round_ties_even,
                // NaN stays NaN, and a zero loses its sign.
                "Sign" => |x: $type| {
                    if x == 0.0 {
                        0.0
                    } else if x.is_nan() {
                        x
                    } else {
                        x.signum()
                    }
                },
                "Sin" => $type::sin,
                "Cos" => $type::cos,
                "Sqrt" => $type::sqrt,
                "Tanh" => $type::tanh,
                _ => return Err(unsupported(node, "this function")),
            }
        };
    }
    match input.datatype {
        Datatype::Fp32 => each::<f32>(builder, node, input, function!(f32)),
        Datatype::Fp64 => each::<f64>(builder, node, input, function!(f64)),
        Datatype::Int32 if node.op_type == "Abs" => each::<i32>(builder, node, input, i32::wrapping_abs),
        Datatype::Int64 if node.op_type == "Abs" => each::<i64>(builder, node, input, i64::wrapping_abs),
        Datatype::Int32 if node.op_type == "Sign" => each::<i32>(builder, node, input, i32::signum),
        Datatype::Int64 if node.op_type == "Sign" => each::<i64>(builder, node, input, i64::signum),
        Datatype::Int32 if node.op_type == "Neg" => each::<i32>(builder, node, input, i32::wrapping_neg),
        Datatype::Int64 if node.op_type == "Neg" => each::<i64>(builder, node, input, i64::wrapping_neg),
        other => Err(unsupported(node, &format!("{other} numbers"))),
    }
}

fn each<'m, E: Element>(
    builder: &mut Builder<'m>,
    node: &'m Node,
    input: Value,
    function: fn(E) -> E,
) -> Result<(), LoadError> {
    builder.emit(node, &[input], &[E::DATATYPE], move |call: &mut Call<'_>| {
        let (input, output) = (call.inputs.get(0)?, &mut call.outputs[0]);
        shaped(output, &input.shape)?;
        let values = elements::<E>(input)?;
        buffer::<E>(output)?.extend(values.iter().map(|x| function(*x)));
        Ok(())
    })
}

pub(super) fn binary<'m>(builder: &mut Builder<'m>, node: &'m Node) -> Result<(), LoadError> {
    let mut inputs = [builder.input(node, 0)?, builder.input(node, 1)?];
    if node.op_type == "Pow" && inputs[0].datatype.is_float() && inputs[0].datatype != inputs[1].datatype {
        // An exponent may be of any type.
        let mut exponent = Data::empty(inputs[0].datatype);
        let known = builder.known(node, 1)?;
        let cast = super::cast::cast(&known.data, &mut exponent);
        cast.map_err(|_| unsupported(node, &format!("an exponent of {}", known.datatype())))?;
        let exponent = Tensor { shape: known.shape.clone(), data: exponent };
        inputs[1] = builder.constant(exponent);
    }
    if inputs[0].datatype != inputs[1].datatype {
        return Err(unsupported(node, &format!("{} with {}", inputs[0].datatype, inputs[1].datatype)));
    }
    // The sign of a remainder is the divisor's, or with `fmod` the dividend's.
    let like_c = node.int("fmod")?.is_some_and(|flag| *flag != 0);
    macro_rules! floats {
        ($type:ident) => {
            match node.op_type.as_str() {
                "Add" => |a: $type, b: $type| Some(a + b),
                "Sub" => |a: $type, b: $type| Some(a - b),
                "Mul" => |a: $type, b: $type| Some(a * b),
                "Div" => |a: $type, b: $type| Some(a / b),
                "Mod" if like_c => |a: $type, b: $type| Some(a % b),
                "Pow" => |a: $type, b: $type| Some(a.powf(b)),
                _ => return Err(unsupported(node, "this function of such numbers")),
            }
        };
    }
    macro_rules! ints {
        ($type:ident) => {
            match node.op_type.as_str() {
                "Add" => |a: $type, b: $type| Some(a.wrapping_add(b)),
                "Sub" => |a: $type, b: $type| Some(a.wrapping_sub(b)),
                "Mul" => |a: $type, b: $type| Some(a.wrapping_mul(b)),
                "Div" => |a: $type, b: $type| if b == 0 { None } else { Some(a.wrapping_div(b)) },
                "Mod" if like_c => |a: $type, b: $type| if b == 0 { None } else { Some(a.wrapping_rem(b)) },
                "Mod" => |a: $type, b: $type| {
                    let rest = if b == 0 { return None } else { a.wrapping_rem(b) };
                    Some(if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest })
                },
                _ => return Err(unsupported(node, "this function of integers")),
            }
        };
    }
    match inputs[0].datatype {
        Datatype::Fp32 => both::<f32, f32>(builder, node, inputs, floats!(f32)),
        Datatype::Fp64 => both::<f64, f64>(builder, node, inputs, floats!(f64)),
        Datatype::Int32 => both::<i32, i32>(builder, node, inputs, ints!(i32)),
        Datatype::Int64 => both::<i64, i64>(builder, node, inputs, ints!(i64)),
        other => Err(unsupported(node, &format!("{other} numbers"))),
    }
}

/// Min, Max, Sum and Mean take any number of tensors, which are combined one after the other.
pub(super) fn variadic<'m>(builder: &mut Builder<'m>, node: &'m Node) -> Result<(), LoadError> {
    let inputs = builder.inputs(node)?;
    let Some(first) = inputs.first() else { return Err(wrong(node, "there is nothing to combine")) };
    if let Some(other) = inputs.iter().find(|input| input.datatype != first.datatype) {
        return Err(wrong(node, &format!("{} beside {}", other.datatype, first.datatype)));
    }
    if inputs.len() == 1 {
        return super::shape::identity(builder, node);
    }
    macro_rules! floats {
        ($type:ident) => {{
            let function: fn($type, $type) -> $type = match node.op_type.as_str() {
                // NaN wins, as in numpy.
                "Min" => |a, b| if a.is_nan() || a < b { a } else { b },
                "Max" => |a, b| if a.is_nan() || a > b { a } else { b },
                _ => |a, b| a + b,
            };
            let count = if node.op_type == "Mean" { inputs.len() as $type } else { 1.0 };
            several::<$type>(builder, node, &inputs, function, move |sum| sum / count)
        }};
    }
    macro_rules! ints {
        ($type:ident) => {{
            let function: fn($type, $type) -> $type = match node.op_type.as_str() {
                "Min" => |a, b| a.min(b),
                "Max" => |a, b| a.max(b),
                _ => return Err(unsupported(node, "integers")),
            };
            several::<$type>(builder, node, &inputs, function, |extreme| extreme)
        }};
    }
    match first.datatype {
        Datatype::Fp32 => floats!(f32),
        Datatype::Fp64 => floats!(f64),
        Datatype::Int32 => ints!(i32),
        Datatype::Int64 => ints!(i64),
        other => Err(unsupported(node, &format!("{other} numbers"))),
    }
}

fn several<'m, E: Element>(
    builder: &mut Builder<'m>,
    node: &'m Node,
    inputs: &[Value],
    function: fn(E, E) -> E,
    last: impl Fn(E) -> E + Send + Sync + 'static,
) -> Result<(), LoadError> {
    builder.emit(node, inputs, &[E::DATATYPE], move |call: &mut Call<'_>| {
        let mut shape = Shape::from_slice(&call.inputs.get(0)?.shape);
        for index in 1..call.inputs.len() {
            shape = broadcast(&shape, &call.inputs.get(index)?.shape)?;
        }
        let output = &mut call.outputs[0];
        let count = shaped(output, &shape)?;
        let out = buffer::<E>(output)?;
        out.reserve(count);
        for index in 0..call.inputs.len() {
            let input = call.inputs.get(index)?;
            let (values, steps) = (elements::<E>(input)?, steps(&input.shape, &shape));
            let mut at = 0;
            walk3(&shape, [&steps, &[], &[]], |[from, ..]| {
                match out.get_mut(at) {
                    Some(sum) => *sum = function(*sum, values[from]),
                    None => out.push(values[from]),
                }
                at += 1;
                true
            });
        }
        out.iter_mut().for_each(|sum| *sum = last(*sum));
        Ok(())
    })
}

/// Emits a step that combines two tensors of one type, element by element; `None` stands for a division by zero.
pub(super) fn both<'m, E: Element, R: Element>(
    builder: &mut Builder<'m>,
    node: &'m Node,
    inputs: [Value; 2],
    function: fn(E, E) -> Option<R>,
) -> Result<(), LoadError> {
    builder.emit(node, &inputs, &[R::DATATYPE], move |call: &mut Call<'_>| {
        let (left, right) = (call.inputs.get(0)?, call.inputs.get(1)?);
        let shape = broadcast(&left.shape, &right.shape)?;
        let output = &mut call.outputs[0];
        shaped(output, &shape)?;
        let (a, b) = (elements::<E>(left)?, elements::<E>(right)?);
        let out = buffer::<R>(output)?;
        let (steps_a, steps_b) = (steps(&left.shape, &shape), steps(&right.shape, &shape));
        let sound = walk3(&shape, [&steps_a, &steps_b, &[]], |[at, beside, _]| {
            function(a[at], b[beside]).map(|result| out.push(result)).is_some()
        });
        if sound { Ok(()) } else { Err(RunError::Input("an integer is divided by zero".to_owned())) }
    })
}

/// The shape of both together: extents are equal, or one of them is 1.
pub(super) fn broadcast(left: &[usize], right: &[usize]) -> Result<Shape, RunError> {
    let rank = left.len().max(right.len());
    let extent =
        |shape: &[usize], axis: usize| (axis + shape.len()).checked_sub(rank).map_or(1, |at| shape[at]);
    let both = |axis| match (extent(left, axis), extent(right, axis)) {
        (a, b) if a == b || b == 1 => Some(a),
        (1, b) => Some(b),
        _ => None,
    };
    (0..rank)
        .map(both)
        .collect::<Option<_>>()
        .ok_or_else(|| RunError::Input(format!("shapes {left:?} and {right:?} do not fit together")))
}

/// How far to go in a tensor for one step along each axis of the common shape.
pub(super) fn steps(shape: &[usize], common: &[usize]) -> Shape {
    let mut steps = Shape::from_elem(0, common.len());
    let mut size = 1;
    for (extent, step) in shape.iter().zip(steps.iter_mut().skip(common.len() - shape.len())).rev() {
        *step = if *extent == 1 { 0 } else { size };
        size *= extent;
    }
    steps
}

/// Calls `each` with the places in up to three tensors, in order, until it says no. A tensor without steps stays
/// where it is.
pub(super) fn walk3(shape: &[usize], steps: [&[usize]; 3], mut each: impl FnMut([usize; 3]) -> bool) -> bool {
    let Some((&last, outer)) = shape.split_last() else { return each([0; 3]) };
    // Nothing along one axis is nothing at all, however far the others claim to reach.
    if shape.contains(&0) {
        return true;
    }
    let step = steps.map(|steps| steps.last().copied().unwrap_or(0));
    let lines: usize = outer.iter().product();
    for line in 0..lines {
        let (mut rest, mut start) = (line, [0; 3]);
        for (axis, extent) in outer.iter().enumerate().rev() {
            for (start, steps) in start.iter_mut().zip(steps) {
                *start += rest % extent * steps.get(axis).copied().unwrap_or(0);
            }
            rest /= extent;
        }
        if !(0..last).all(|index| each(std::array::from_fn(|at| start[at] + index * step[at]))) {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_fit_as_in_numpy() {
        assert_eq!(broadcast(&[2, 1], &[3]).unwrap().as_slice(), [2, 3]);
        assert_eq!(broadcast(&[], &[4]).unwrap().as_slice(), [4]);
        assert!(broadcast(&[2], &[3]).is_err());
        let mut pairs = Vec::new();
        let shape = [2, 3];
        walk3(&shape, [&steps(&[2, 1], &shape), &steps(&[3], &shape), &[]], |[a, b, _]| {
            pairs.push((a, b));
            true
        });
        assert_eq!(pairs, [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]);
    }
}
