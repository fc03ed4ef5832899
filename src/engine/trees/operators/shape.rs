//! Shapes: the same elements in another one (Identity, Reshape, Flatten, Squeeze, Unsqueeze, Transpose), and what is made
//! from one (Shape, ConstantOfShape, Expand).

use super::arithmetic::{broadcast, steps, walk3};
use super::gather::{pick, pick_range};
use crate::engine::RunError;
use crate::engine::trees::builder::{Builder, unsupported, wrong};
use crate::engine::trees::element::{buffer, elements};
use crate::engine::trees::plan::{Call, Place, shaped};
use crate::model::LoadError;
use crate::onnx::Node;
use crate::tensor::{Data, Datatype, Shape, Tensor, element_count};

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
        let shape = reshape(&call.inputs.get(0)?.shape);
        copied(call, shape)
    })
}

/// Copies the elements into that shape.
fn copied(call: &mut Call<'_>, shape: Option<Shape>) -> Result<(), RunError> {
    let (input, output) = (call.inputs.get(0)?, &mut call.outputs[0]);
    let shape = shape.filter(|shape| element_count(shape) == Some(input.data.len()));
    let Some(shape) = shape else {
        return Err(RunError::Input(format!("shape {:?} does not fit", input.shape)));
    };
    shaped(output, &shape)?;
    output.data.reset(input.datatype());
    pick_range(&input.data, 0..input.data.len(), &mut output.data);
    Ok(())
}

pub(super) fn reshape<'m>(builder: &mut Builder<'m>, node: &'m Node) -> Result<(), LoadError> {
    if node.int("allowzero")?.is_some_and(|flag| *flag != 0) {
        return Err(unsupported(node, "`allowzero`"));
    }
    let (input, wanted) = (builder.input(node, 0)?, builder.input(node, 1)?);
    if !matches!(wanted.place, Place::Constant(_)) {
        if wanted.datatype != Datatype::Int64 {
            return Err(wrong(node, &format!("a shape of {}", wanted.datatype)));
        }
        return builder.emit(node, &[input, wanted], &[input.datatype], |call: &mut Call<'_>| {
            let shape = resolve(elements::<i64>(call.inputs.get(1)?)?, &call.inputs.get(0)?.shape);
            copied(call, shape)
        });
    }
    let wanted = ints(builder, node, 1)?;
    if wanted.iter().filter(|extent| **extent == -1).count() > 1 || wanted.iter().any(|extent| *extent < -1) {
        return Err(wrong(node, &format!("shape {wanted:?} is impossible")));
    }
    reshaped(builder, node, move |found| resolve(&wanted, found))
}

/// The shape that is meant: 0 stands for what is there, -1 for what is left.
fn resolve(wanted: &[i64], found: &[usize]) -> Option<Shape> {
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

pub(super) fn transpose<'m>(builder: &mut Builder<'m>, node: &'m Node) -> Result<(), LoadError> {
    let input = builder.input(node, 0)?;
    let order = node.ints("perm")?.map(<[i64]>::to_vec);
    builder.emit(node, &[input], &[input.datatype], move |call: &mut Call<'_>| {
        let (input, output) = (call.inputs.get(0)?, &mut call.outputs[0]);
        let rank = input.shape.len();
        let order: Option<Vec<usize>> = match &order {
            None => Some((0..rank).rev().collect()),
            Some(order) => order.iter().map(|axis| usize::try_from(*axis).ok()).collect(),
        };
        let distinct = |order: &Vec<usize>| (0..rank).all(|axis| order.contains(&axis));
        let Some(order) = order.filter(|order| order.len() == rank && distinct(order)) else {
            return Err(RunError::Input(format!("shape {:?} has no such axes", input.shape)));
        };
        let steps = steps(&input.shape, &input.shape);
        let (shape, from): (Shape, Shape) =
            order.iter().map(|axis| (input.shape[*axis], steps[*axis])).unzip();
        shaped(output, &shape)?;
        output.data.reset(input.datatype());
        walk3(&shape, [&from, &[], &[]], |[at, ..]| {
            pick(&input.data, at, &mut output.data);
            true
        });
        Ok(())
    })
}

pub(super) fn shape<'m>(builder: &mut Builder<'m>, node: &'m Node) -> Result<(), LoadError> {
    let input = builder.input(node, 0)?;
    let bound = |name| Ok::<_, LoadError>(node.int(name)?.copied());
    let (start, end) = (bound("start")?.unwrap_or(0), bound("end")?.unwrap_or(i64::MAX));
    builder.emit(node, &[input], &[Datatype::Int64], move |call: &mut Call<'_>| {
        let (input, output) = (call.inputs.get(0)?, &mut call.outputs[0]);
        let rank = input.shape.len() as i64;
        let counted = |at: i64| if at < 0 { at.saturating_add(rank) } else { at }.clamp(0, rank) as usize;
        let part = input.shape.get(counted(start)..counted(end)).unwrap_or_default();
        shaped(output, &[part.len()])?;
        buffer::<i64>(output)?.extend(part.iter().map(|extent| *extent as i64));
        Ok(())
    })
}

/// Elements that are copied at once.
const BLOCK: usize = 4096;

/// ConstantOfShape and Expand.
pub(super) fn expand<'m>(builder: &mut Builder<'m>, node: &'m Node) -> Result<(), LoadError> {
    let constant = node.op_type == "ConstantOfShape";
    let (value, shape) = if constant {
        let value = match node.tensor("value")? {
            Some(value) => value.tensor(&builder.model.bytes)?,
            None => Tensor::new(&[1], Data::Fp32(vec![0.0])),
        };
        if value.data.len() != 1 {
            return Err(wrong(node, "`value` must be one element"));
        }
        (builder.constant(value), builder.input(node, 0)?)
    } else {
        (builder.input(node, 0)?, builder.input(node, 1)?)
    };
    if shape.datatype != Datatype::Int64 {
        return Err(wrong(node, &format!("a shape of {}", shape.datatype)));
    }
    builder.emit(node, &[value, shape], &[value.datatype], move |call: &mut Call<'_>| {
        let (value, wanted) = (call.inputs.get(0)?, elements::<i64>(call.inputs.get(1)?)?);
        let shape: Option<Shape> = wanted.iter().map(|extent| usize::try_from(*extent).ok()).collect();
        let shape = shape.ok_or_else(|| RunError::Input(format!("shape {wanted:?} is impossible")))?;
        let from: &[usize] = if constant { &[] } else { &value.shape };
        let shape = broadcast(&shape, from)?;
        let output = &mut call.outputs[0];
        let count = shaped(output, &shape)?;
        output.data.reset(value.datatype());
        if value.data.len() == 1 {
            // In blocks: a shape can ask for millions of one element.
            let mut block = Data::empty(value.datatype());
            (0..count.min(BLOCK)).for_each(|_| pick(&value.data, 0, &mut block));
            for done in (0..count).step_by(BLOCK) {
                pick_range(&block, 0..(count - done).min(BLOCK), &mut output.data);
            }
            return Ok(());
        }
        walk3(&shape, [&steps(from, &shape), &[], &[]], |[at, ..]| {
            pick(&value.data, at, &mut output.data);
            true
        });
        Ok(())
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
