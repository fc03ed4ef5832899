//! Along one axis: TopK, CumSum, GatherElements.

use super::softmax::Axis;
use crate::engine::RunError;
use crate::engine::trees::builder::{Builder, unsupported, wrong};
use crate::engine::trees::element::{Element, buffer, elements};
use crate::engine::trees::plan::{Call, shaped};
use crate::model::LoadError;
use crate::onnx::Node;
use crate::tensor::{Data, Datatype, Shape};

pub(super) fn top<'m>(builder: &mut Builder<'m>, node: &'m Node) -> Result<(), LoadError> {
    let input = builder.input(node, 0)?;
    // An attribute until operator set 10, an input since.
    let count = match node.int("k")? {
        Some(count) => *count,
        None => match &builder.known(node, 1)?.data {
            Data::Int64(list) if list.len() == 1 => list[0],
            other => return Err(wrong(node, &format!("`k` of {} {}", other.len(), other.datatype()))),
        },
    };
    let count = usize::try_from(count).map_err(|_| wrong(node, &format!("`k` is {count}")))?;
    let largest = node.int("largest")?.is_none_or(|flag| *flag != 0);
    let axis = node.int("axis")?.copied().unwrap_or(-1);
    macro_rules! typed {
        ($type:ident) => {
            builder.emit(node, &[input], &[input.datatype, Datatype::Int64], move |call: &mut Call<'_>| {
                pick::<$type>(call, axis, count, largest)
            })
        };
    }
    match input.datatype {
        Datatype::Fp32 => typed!(f32),
        Datatype::Fp64 => typed!(f64),
        Datatype::Int32 => typed!(i32),
        Datatype::Int64 => typed!(i64),
        other => Err(unsupported(node, &format!("{other} numbers"))),
    }
}

/// Sorted, which is allowed where it was not asked for; of equal ones the first.
fn pick<E: Element + PartialOrd>(
    call: &mut Call<'_>,
    axis: i64,
    count: usize,
    largest: bool,
) -> Result<(), RunError> {
    let input = call.inputs.get(0)?;
    let line = Axis::new(axis, &input.shape)?;
    if count > line.extent {
        return Err(RunError::Input(format!("there are {} elements, not {count}", line.extent)));
    }
    let mut shape = Shape::from_slice(&input.shape);
    shape[line.number] = count;
    let values = elements::<E>(input)?;
    let [best, places] = call.outputs.as_mut_slice() else {
        return Err(RunError::Engine("two outputs were planned".to_owned()));
    };
    let total = shaped(best, &shape)?;
    shaped(places, &shape)?;
    let (best, places) = (buffer::<E>(best)?, buffer::<i64>(places)?);
    best.resize(total, E::default());
    places.resize(total, 0);
    let mut order: Vec<usize> = Vec::new();
    for start in line.starts() {
        let value = |index: usize| values[start + index * line.inner];
        order.clear();
        order.extend(0..line.extent);
        order.sort_by(
            |a, b| {
                if largest { order_of(value(*b), value(*a)) } else { order_of(value(*a), value(*b)) }
            },
        );
        // The same line in a tensor whose axis has `count` elements.
        let (block, inner) = (start / (line.extent * line.inner), start % line.inner);
        for (rank, index) in order.iter().take(count).enumerate() {
            let at = block * count * line.inner + rank * line.inner + inner;
            best[at] = value(*index);
            places[at] = *index as i64;
        }
    }
    Ok(())
}

/// A total order, without which a sort may panic: NaN, which alone differs from itself, is above all else.
#[expect(clippy::eq_op, reason = "the test for NaN of any type")]
fn order_of<E: PartialOrd + Copy>(a: E, b: E) -> std::cmp::Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| (a != a).cmp(&(b != b)))
}

pub(super) fn cumulate<'m>(builder: &mut Builder<'m>, node: &'m Node) -> Result<(), LoadError> {
    let input = builder.input(node, 0)?;
    let axis = match &builder.known(node, 1)?.data {
        Data::Int64(list) if list.len() == 1 => list[0],
        Data::Int32(list) if list.len() == 1 => i64::from(list[0]),
        other => return Err(wrong(node, &format!("an axis of {} {}", other.len(), other.datatype()))),
    };
    let flag = |name| Ok::<_, LoadError>(node.int(name)?.is_some_and(|flag| *flag != 0));
    let (exclusive, reverse) = (flag("exclusive")?, flag("reverse")?);
    macro_rules! typed {
        ($type:ident, $add:expr) => {
            builder.emit(node, &[input], &[input.datatype], move |call: &mut Call<'_>| {
                sums::<$type>(call, axis, exclusive, reverse, $add)
            })
        };
    }
    match input.datatype {
        Datatype::Fp32 => typed!(f32, |a, b| a + b),
        Datatype::Fp64 => typed!(f64, |a, b| a + b),
        Datatype::Int32 => typed!(i32, i32::wrapping_add),
        Datatype::Int64 => typed!(i64, i64::wrapping_add),
        other => Err(unsupported(node, &format!("{other} numbers"))),
    }
}

fn sums<E: Element>(
    call: &mut Call<'_>,
    axis: i64,
    exclusive: bool,
    reverse: bool,
    add: fn(E, E) -> E,
) -> Result<(), RunError> {
    let (input, output) = (call.inputs.get(0)?, &mut call.outputs[0]);
    let line = Axis::new(axis, &input.shape)?;
    let count = shaped(output, &input.shape)?;
    let (values, out) = (elements::<E>(input)?, buffer::<E>(output)?);
    out.resize(count, E::default());
    for start in line.starts() {
        let mut sum = E::default();
        for step in 0..line.extent {
            let index = if reverse { line.extent - 1 - step } else { step };
            let at = start + index * line.inner;
            let before = sum;
            sum = add(sum, values[at]);
            out[at] = if exclusive { before } else { sum };
        }
    }
    Ok(())
}

pub(super) fn gather_elements<'m>(builder: &mut Builder<'m>, node: &'m Node) -> Result<(), LoadError> {
    let inputs = super::gather::indexed(builder, node)?;
    let axis = node.int("axis")?.copied().unwrap_or(0);
    builder.emit(node, &inputs, &[inputs[0].datatype], move |call: &mut Call<'_>| {
        let (input, indices) = (call.inputs.get(0)?, call.inputs.get(1)?);
        let line = Axis::new(axis, &input.shape)?;
        let fits = indices.shape.len() == input.shape.len()
            && indices
                .shape
                .iter()
                .zip(&input.shape)
                .enumerate()
                .all(|(at, (a, b))| at == line.number || a == b);
        if !fits {
            let (found, shape) = (&indices.shape, &input.shape);
            return Err(RunError::Input(format!("indices of shape {found:?} for shape {shape:?}")));
        }
        let output = &mut call.outputs[0];
        shaped(output, &indices.shape)?;
        output.data.reset(input.datatype());
        let wide = indices.shape[line.number] * line.inner;
        for (at, index) in super::gather::numbers(indices)?.iter().enumerate() {
            let place = super::gather::place(*index, line.extent)?;
            let from = at / wide * line.extent * line.inner + place * line.inner + at % line.inner;
            super::gather::pick(&input.data, from, &mut output.data);
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_with_nan_among_them_are_sorted() {
        let mut values: Vec<f32> =
            (0..64).map(|x| if x % 3 == 0 { f32::NAN } else { ((x * 37) % 64) as f32 }).collect();
        values.sort_by(|a, b| order_of(*a, *b));
        assert!(values[..42].is_sorted() && values[42..].iter().all(|x| x.is_nan()));
    }
}
