//! Element by element: arithmetic with broadcasting, and functions of one number.

use crate::engine::RunError;
use crate::engine::trees::builder::{Builder, Value, unsupported, wrong};
use crate::engine::trees::element::{Element, buffer, elements};
use crate::engine::trees::plan::{Call, shaped};
use crate::model::LoadError;
use crate::onnx::Node;
use crate::tensor::{Datatype, Shape};

pub(super) fn unary<'m>(builder: &mut Builder<'m>, node: &'m Node) -> Result<(), LoadError> {
    let input = builder.input(node, 0)?;
    macro_rules! function {
        ($type:ident) => {
            match node.op_type.as_str() {
                "Abs" => $type::abs,
                "Exp" => $type::exp,
                "Neg" => |x: $type| -x,
                // NaN stays NaN.
                "Relu" => |x: $type| if x < 0.0 { 0.0 } else { x },
                "Sigmoid" => |x: $type| 1.0 / (1.0 + (-x).exp()),
                "Sqrt" => $type::sqrt,
                "Tanh" => $type::tanh,
                _ => return Err(unsupported(node, "this function")),
            }
        };
    }
    match input.datatype {
        Datatype::Fp32 => each::<f32>(builder, node, input, function!(f32)),
        Datatype::Fp64 => each::<f64>(builder, node, input, function!(f64)),
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
    let inputs = [builder.input(node, 0)?, builder.input(node, 1)?];
    if inputs[0].datatype != inputs[1].datatype {
        return Err(wrong(node, &format!("{} with {}", inputs[0].datatype, inputs[1].datatype)));
    }
    macro_rules! floats {
        ($type:ident) => {
            match node.op_type.as_str() {
                "Add" => |a: $type, b: $type| Some(a + b),
                "Sub" => |a: $type, b: $type| Some(a - b),
                "Mul" => |a: $type, b: $type| Some(a * b),
                "Div" => |a: $type, b: $type| Some(a / b),
                _ => return Err(unsupported(node, "this function")),
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
                _ => return Err(unsupported(node, "this function")),
            }
        };
    }
    match inputs[0].datatype {
        Datatype::Fp32 => both::<f32>(builder, node, inputs, floats!(f32)),
        Datatype::Fp64 => both::<f64>(builder, node, inputs, floats!(f64)),
        Datatype::Int32 => both::<i32>(builder, node, inputs, ints!(i32)),
        Datatype::Int64 => both::<i64>(builder, node, inputs, ints!(i64)),
        other => Err(unsupported(node, &format!("{other} numbers"))),
    }
}

fn both<'m, E: Element>(
    builder: &mut Builder<'m>,
    node: &'m Node,
    inputs: [Value; 2],
    function: fn(E, E) -> Option<E>,
) -> Result<(), LoadError> {
    builder.emit(node, &inputs, &[E::DATATYPE], move |call: &mut Call<'_>| {
        let (left, right) = (call.inputs.get(0)?, call.inputs.get(1)?);
        let shape = broadcast(&left.shape, &right.shape)?;
        let output = &mut call.outputs[0];
        shaped(output, &shape)?;
        let (a, b) = (elements::<E>(left)?, elements::<E>(right)?);
        let out = buffer::<E>(output)?;
        let (steps_a, steps_b) = (steps(&left.shape, &shape), steps(&right.shape, &shape));
        let sound = walk(&shape, &steps_a, &steps_b, |at, beside| {
            function(a[at], b[beside]).map(|result| out.push(result)).is_some()
        });
        if sound { Ok(()) } else { Err(RunError::Input("an integer is divided by zero".to_owned())) }
    })
}

/// The shape of both together: extents are equal, or one of them is 1.
fn broadcast(left: &[usize], right: &[usize]) -> Result<Shape, RunError> {
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
fn steps(shape: &[usize], common: &[usize]) -> Shape {
    let mut steps = Shape::from_elem(0, common.len());
    let mut size = 1;
    for (extent, step) in shape.iter().zip(steps.iter_mut().skip(common.len() - shape.len())).rev() {
        *step = if *extent == 1 { 0 } else { size };
        size *= extent;
    }
    steps
}

/// Calls `each` with the places in both tensors, in order, until it says no.
fn walk(shape: &[usize], a: &[usize], b: &[usize], mut each: impl FnMut(usize, usize) -> bool) -> bool {
    let Some((&last, outer)) = shape.split_last() else { return each(0, 0) };
    let (step_a, step_b) = (a[outer.len()], b[outer.len()]);
    let lines: usize = outer.iter().product();
    for line in 0..lines {
        let (mut rest, mut at, mut beside) = (line, 0, 0);
        for (axis, extent) in outer.iter().enumerate().rev() {
            at += rest % extent * a[axis];
            beside += rest % extent * b[axis];
            rest /= extent;
        }
        if !(0..last).all(|index| each(at + index * step_a, beside + index * step_b)) {
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
        walk(&shape, &steps(&[2, 1], &shape), &steps(&[3], &shape), |a, b| {
            pairs.push((a, b));
            true
        });
        assert_eq!(pairs, [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]);
    }
}
