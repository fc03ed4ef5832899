//! The same elements in another shape: Identity, Reshape, Flatten, Squeeze, Unsqueeze.

use super::gather::pick_range;
use crate::engine::RunError;
use crate::engine::trees::builder::{Builder, unsupported, wrong};
use crate::engine::trees::plan::{Call, shaped};
use crate::model::LoadError;
use crate::onnx::Node;
use crate::tensor::{Data, Shape, element_count};

pub(super) fn identity<'m>(builder: &mut Builder<'m>, node: &'m Node) -> Result<(), LoadError> {
    let value = builder.input(node, 0)?;
    builder.define(node, 0, value)
}

/// Emits a step that copies elements; `reshape` gives the new shape.
fn reshaped<'m>(
    builder: &mut Builder<'m>,
    node: &'m Node,
    reshape: impl Fn(&[usize]) -> Option<Shape> + Send + Sync + 'static,
) -> Result<(), LoadError> {
    let input = builder.input(node, 0)?;
    builder.emit(node, &[input], &[input.datatype], move |call: &mut Call<'_>| {
        let (input, output) = (call.inputs.get(0)?, &mut call.outputs[0]);
        let shape = reshape(&input.shape).filter(|shape| element_count(shape) == Some(input.data.len()));
        let Some(shape) = shape else {
            return Err(RunError::Input(format!("shape {:?} does not fit", input.shape)));
        };
        shaped(output, &shape)?;
        output.data.reset(input.datatype());
        pick_range(&input.data, 0..input.data.len(), &mut output.data);
        Ok(())
    })
}

pub(super) fn reshape<'m>(builder: &mut Builder<'m>, node: &'m Node) -> Result<(), LoadError> {
    if node.int("allowzero")?.is_some_and(|flag| *flag != 0) {
        return Err(unsupported(node, "`allowzero`"));
    }
    let wanted = ints(builder, node, 1)?;
    let open = wanted.iter().filter(|extent| **extent == -1).count();
    if open > 1 || wanted.iter().any(|extent| *extent < -1) {
        return Err(wrong(node, &format!("shape {wanted:?} is impossible")));
    }
    reshaped(builder, node, move |found| {
        let mut shape = Shape::new();
        for (axis, extent) in wanted.iter().enumerate() {
            shape.push(match *extent {
                0 => *found.get(axis)?,
                -1 => 1,
                extent => usize::try_from(extent).ok()?,
            });
        }
        if let Some(axis) = wanted.iter().position(|extent| *extent == -1) {
            shape[axis] = element_count(found)?.checked_div(element_count(&shape)?)?;
        }
        Some(shape)
    })
}

pub(super) fn flatten<'m>(builder: &mut Builder<'m>, node: &'m Node) -> Result<(), LoadError> {
    let axis = node.int("axis")?.copied().unwrap_or(1);
    reshaped(builder, node, move |found| {
        let axis = usize::try_from(if axis < 0 { axis + found.len() as i64 } else { axis }).ok()?;
        let (before, after) = found.split_at_checked(axis)?;
        Some(Shape::from_slice(&[element_count(before)?, element_count(after)?]))
    })
}

pub(super) fn squeeze<'m>(builder: &mut Builder<'m>, node: &'m Node) -> Result<(), LoadError> {
    let Some(axes) = axes(builder, node)? else {
        return reshaped(builder, node, |found| {
            Some(found.iter().copied().filter(|extent| *extent != 1).collect())
        });
    };
    reshaped(builder, node, move |found| {
        let gone = places(&axes, found.len())?;
        if gone.iter().any(|axis| found[*axis] != 1) {
            return None;
        }
        Some(
            found
                .iter()
                .enumerate()
                .filter(|(axis, _)| !gone.contains(axis))
                .map(|(_, extent)| *extent)
                .collect(),
        )
    })
}

pub(super) fn unsqueeze<'m>(builder: &mut Builder<'m>, node: &'m Node) -> Result<(), LoadError> {
    let axes = axes(builder, node)?.ok_or_else(|| wrong(node, "`axes` are missing"))?;
    reshaped(builder, node, move |found| {
        let rank = found.len() + axes.len();
        let new = places(&axes, rank)?;
        let mut old = found.iter();
        (0..rank).map(|axis| if new.contains(&axis) { Some(1) } else { old.next().copied() }).collect()
    })
}

/// Distinct axes, counted from the front.
fn places(axes: &[i64], rank: usize) -> Option<Vec<usize>> {
    let place = |axis: &i64| usize::try_from(if *axis < 0 { *axis + rank as i64 } else { *axis }).ok();
    let mut places: Vec<usize> = axes.iter().map(place).collect::<Option<_>>()?;
    places.sort_unstable();
    let sound = places.iter().all(|axis| *axis < rank) && places.windows(2).all(|pair| pair[0] != pair[1]);
    sound.then_some(places)
}

/// An attribute until operator set 13, an input since.
fn axes<'m>(builder: &mut Builder<'m>, node: &'m Node) -> Result<Option<Vec<i64>>, LoadError> {
    if let Some(axes) = node.ints("axes")? {
        return Ok(Some(axes.to_vec()));
    }
    match builder.optional(node, 1)? {
        Some(_) => Ok(Some(ints(builder, node, 1)?)),
        None => Ok(None),
    }
}

fn ints<'m>(builder: &mut Builder<'m>, node: &'m Node, index: usize) -> Result<Vec<i64>, LoadError> {
    match &builder.known(node, index)?.data {
        Data::Int64(values) => Ok(values.clone()),
        other => Err(wrong(node, &format!("input {index} holds {}", other.datatype()))),
    }
}
