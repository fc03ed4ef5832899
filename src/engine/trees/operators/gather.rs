//! Taking elements by their number: Gather and ArrayFeatureExtractor.

use crate::engine::RunError;
use crate::engine::trees::builder::{Builder, Value, unsupported, wrong};
use crate::engine::trees::plan::{Call, shaped};
use crate::model::LoadError;
use crate::onnx::Node;
use crate::tensor::{Data, Datatype, Shape, Tensor};

/// Appends one element to data of the same type; `index` must be within bounds.
pub(super) fn pick(from: &Data, index: usize, to: &mut Data) {
    pick_range(from, index..index + 1, to);
}

/// Appends consecutive elements to data of the same type; the range must be within bounds.
pub(in crate::engine::trees) fn pick_range(from: &Data, range: std::ops::Range<usize>, to: &mut Data) {
    macro_rules! pick {
        ($($variant:ident)*) => {
            match (from, to) {
                $((Data::$variant(from), Data::$variant(to)) => to.extend_from_slice(&from[range]),)*
                (Data::Bytes(from), Data::Bytes(to)) => {
                    range.for_each(|index| to.push(from.get(index).unwrap_or_default()));
                }
                (_, to) => debug_assert!(false, "a buffer of {}", to.datatype()),
            }
        };
    }
    pick!(Bool Uint8 Uint16 Uint32 Uint64 Int8 Int16 Int32 Int64 Fp16 Bf16 Fp32 Fp64);
}

pub(super) fn gather<'m>(builder: &mut Builder<'m>, node: &'m Node) -> Result<(), LoadError> {
    let axis = node.int("axis")?.copied().unwrap_or(0);
    let inputs = indexed(builder, node)?;
    builder.emit(node, &inputs, &[inputs[0].datatype], move |call: &mut Call<'_>| {
        let (input, indices) = (call.inputs.get(0)?, call.inputs.get(1)?);
        let rank = input.shape.len();
        let axis = usize::try_from(if axis < 0 { axis + rank as i64 } else { axis }).ok();
        let Some(axis) = axis.filter(|axis| *axis < rank) else {
            return Err(RunError::Input(format!("shape {:?} has no such axis", input.shape)));
        };
        let mut shape = Shape::from_slice(&input.shape[..axis]);
        shape.extend_from_slice(&indices.shape);
        shape.extend_from_slice(&input.shape[axis + 1..]);
        take(input, indices, axis, &shape, &mut call.outputs[0])
    })
}

pub(super) fn array_feature_extractor<'m>(
    builder: &mut Builder<'m>,
    node: &'m Node,
) -> Result<(), LoadError> {
    let inputs = indexed(builder, node)?;
    builder.emit(node, &inputs, &[inputs[0].datatype], move |call: &mut Call<'_>| {
        let (input, indices) = (call.inputs.get(0)?, call.inputs.get(1)?);
        let count = indices.data.len();
        let (axis, shape) = match input.shape.as_slice() {
            [] => return Err(RunError::Input("a single value has no features".to_owned())),
            [_] => (0, Shape::from_slice(&[1, count])),
            [before @ .., _] => (before.len(), before.iter().copied().chain([count]).collect()),
        };
        take(input, indices, axis, &shape, &mut call.outputs[0])
    })
}

pub(super) fn indexed<'m>(builder: &mut Builder<'m>, node: &'m Node) -> Result<[Value; 2], LoadError> {
    let (input, indices) = (builder.input(node, 0)?, builder.input(node, 1)?);
    match indices.datatype {
        Datatype::Int64 | Datatype::Int32 => Ok([input, indices]),
        Datatype::Bytes | Datatype::Bool => Err(wrong(node, &format!("{} indices", indices.datatype))),
        other => Err(unsupported(node, &format!("{other} indices"))),
    }
}

/// Indices as integers.
pub(super) fn numbers(indices: &Tensor) -> Result<Vec<i64>, RunError> {
    match &indices.data {
        Data::Int64(list) => Ok(list.clone()),
        Data::Int32(list) => Ok(list.iter().copied().map(i64::from).collect()),
        other => Err(RunError::Engine(format!("{} indices", other.datatype()))),
    }
}

/// Which of `extent` elements an index means; a negative one counts from the end.
pub(super) fn place(index: i64, extent: usize) -> Result<usize, RunError> {
    let counted = if index < 0 { index.saturating_add(extent as i64) } else { index };
    let found = usize::try_from(counted).ok().filter(|at| *at < extent);
    found.ok_or_else(|| RunError::Input(format!("there is no element {index} among {extent}")))
}

/// Takes elements along an axis; a negative index counts from the end.
fn take(
    input: &Tensor,
    indices: &Tensor,
    axis: usize,
    shape: &[usize],
    output: &mut Tensor,
) -> Result<(), RunError> {
    let extent = input.shape[axis];
    let places =
        numbers(indices)?.iter().map(|index| place(*index, extent)).collect::<Result<Vec<_>, _>>()?;
    let count = shaped(output, shape)?;
    output.data.reset(input.datatype());
    if count == 0 {
        return Ok(());
    }
    let inner: usize = input.shape[axis + 1..].iter().product();
    let outer: usize = input.shape[..axis].iter().product();
    for block in 0..outer {
        for place in &places {
            let start = (block * extent + place) * inner;
            pick_range(&input.data, start..start + inner, &mut output.data);
        }
    }
    Ok(())
}
