//! Putting tensors side by side: Concat and FeatureVectorizer.

use super::gather::pick_range;
use crate::engine::RunError;
use crate::engine::trees::builder::{Builder, unsupported, wrong};
use crate::engine::trees::element::{buffer, with_numbers};
use crate::engine::trees::plan::{Call, matrix, shaped};
use crate::engine::trees::real::Number;
use crate::model::LoadError;
use crate::onnx::Node;
use crate::tensor::{Datatype, Shape};

pub(super) fn concat<'m>(builder: &mut Builder<'m>, node: &'m Node) -> Result<(), LoadError> {
    let axis = node.int("axis")?.copied().ok_or_else(|| wrong(node, "`axis` is missing"))?;
    let inputs = builder.inputs(node)?;
    let Some(first) = inputs.first() else { return Err(wrong(node, "there is nothing to put together")) };
    if let Some(other) = inputs.iter().find(|input| input.datatype != first.datatype) {
        return Err(wrong(node, &format!("{} beside {}", other.datatype, first.datatype)));
    }
    builder.emit(node, &inputs, &[first.datatype], move |call: &mut Call<'_>| {
        let first = call.inputs.get(0)?;
        let rank = first.shape.len();
        let axis = usize::try_from(if axis < 0 { axis + rank as i64 } else { axis }).ok();
        let Some(axis) = axis.filter(|axis| *axis < rank) else {
            return Err(RunError::Input(format!("shape {:?} has no such axis", first.shape)));
        };
        let mut shape = Shape::from_slice(&first.shape);
        shape[axis] = 0;
        for index in 0..call.inputs.len() {
            let found = &call.inputs.get(index)?.shape;
            let alike = found.len() == rank && (0..rank).all(|at| at == axis || found[at] == shape[at]);
            if !alike {
                return Err(RunError::Input(format!("shape {found:?} beside {:?}", first.shape)));
            }
            shape[axis] += found[axis];
        }
        let output = &mut call.outputs[0];
        let count = shaped(output, &shape)?;
        output.data.reset(first.datatype());
        if count == 0 {
            return Ok(());
        }
        let outer: usize = shape[..axis].iter().product();
        let inner: usize = shape[axis + 1..].iter().product();
        for block in 0..outer {
            for index in 0..call.inputs.len() {
                let input = call.inputs.get(index)?;
                let size = input.shape[axis] * inner;
                pick_range(&input.data, block * size..(block + 1) * size, &mut output.data);
            }
        }
        Ok(())
    })
}

pub(super) fn feature_vectorizer<'m>(builder: &mut Builder<'m>, node: &'m Node) -> Result<(), LoadError> {
    let inputs = builder.inputs(node)?;
    let dimensions = node.ints("inputdimensions")?.unwrap_or_default();
    let widths: Option<Vec<usize>> = dimensions.iter().map(|width| usize::try_from(*width).ok()).collect();
    let widths = widths.filter(|widths| widths.len() == inputs.len() && !widths.is_empty());
    let widths = widths.ok_or_else(|| wrong(node, "`inputdimensions` does not fit the inputs"))?;
    let wide = widths.iter().try_fold(0_usize, |sum, width| sum.checked_add(*width));
    let wide = wide.ok_or_else(|| wrong(node, "`inputdimensions` is out of range"))?;
    let number =
        |datatype| matches!(datatype, Datatype::Fp32 | Datatype::Fp64 | Datatype::Int32 | Datatype::Int64);
    if let Some(other) = inputs.iter().find(|input| !number(input.datatype)) {
        return Err(unsupported(node, &format!("{} features", other.datatype)));
    }
    builder.emit(node, &inputs, &[Datatype::Fp32], move |call: &mut Call<'_>| {
        let (rows, _) = matrix(&call.inputs.get(0)?.shape)?;
        let output = &mut call.outputs[0];
        let count = shaped(output, &[rows, wide])?;
        let out = buffer::<f32>(output)?;
        if count == 0 {
            return Ok(());
        }
        for row in 0..rows {
            for (index, width) in widths.iter().enumerate() {
                let input = call.inputs.get(index)?;
                let found = matrix(&input.shape)?;
                if found != (rows, *width) {
                    return Err(RunError::Input(format!(
                        "shape {:?} where rows of {width} are needed",
                        input.shape
                    )));
                }
                with_numbers!(input, values => {
                    out.extend(values[row * width..][..*width].iter().map(|x| x.real::<f32>()));
                    Ok(())
                })?;
            }
        }
        Ok(())
    })
}
