//! Slice, with starts and ends that are known when the graph loads.

use super::gather::pick;
use crate::engine::trees::builder::{Builder, unsupported, wrong};
use crate::engine::trees::plan::{Call, shaped};
use crate::model::LoadError;
use crate::onnx::Node;
use crate::tensor::{Data, Shape};

/// One axis of a slice as the file gives it; negative numbers count from the end.
#[derive(Clone, Copy)]
struct Cut {
    axis: i64,
    start: i64,
    end: i64,
    step: i64,
}

impl Cut {
    /// First element, how many, and the step, along an axis of that extent.
    fn within(self, extent: usize) -> (usize, usize, i64) {
        let extent = extent as i64;
        let counted = |at: i64| if at < 0 { at.saturating_add(extent) } else { at };
        let (low, high) = if self.step > 0 { (0, extent) } else { (-1, extent - 1) };
        let start = counted(self.start).clamp(low.max(0), high.max(0));
        // Beyond the first element, when going backwards, is -1, which is not the last element there.
        let end = if self.step < 0 && self.end < -extent { -1 } else { counted(self.end).clamp(low, high) };
        let span = if self.step > 0 { end - start } else { start - end };
        let count = if span <= 0 || extent == 0 { 0 } else { (span - 1) / self.step.abs() + 1 };
        (start as usize, count as usize, self.step)
    }
}

pub(super) fn build<'m>(builder: &mut Builder<'m>, node: &'m Node) -> Result<(), LoadError> {
    let input = builder.input(node, 0)?;
    // Attributes until operator set 10, inputs since.
    let mut list = |name: &str, index: usize| match node.ints(name)? {
        Some(list) => Ok(Some(list.to_vec())),
        None if builder.optional(node, index)?.is_none() => Ok(None),
        None => match &builder.known(node, index)?.data {
            Data::Int64(list) => Ok(Some(list.clone())),
            Data::Int32(list) => Ok(Some(list.iter().copied().map(i64::from).collect())),
            other => Err(unsupported(node, &format!("{} indices", other.datatype()))),
        },
    };
    let missing = || wrong(node, "starts or ends are missing");
    let starts = list("starts", 1)?.ok_or_else(missing)?;
    let ends = list("ends", 2)?.ok_or_else(missing)?;
    let axes = list("axes", 3)?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = list("steps", 4)?.unwrap_or_else(|| vec![1; starts.len()]);
    let alike = [ends.len(), axes.len(), steps.len()].iter().all(|len| *len == starts.len());
    if !alike || steps.iter().any(|step| *step == 0 || *step == i64::MIN) {
        return Err(wrong(node, "starts, ends, axes and steps do not fit together"));
    }
    let cut = |at: usize| Cut { axis: axes[at], start: starts[at], end: ends[at], step: steps[at] };
    let cuts: Vec<Cut> = (0..starts.len()).map(cut).collect();
    builder.emit(node, &[input], &[input.datatype], move |call: &mut Call<'_>| {
        let (input, output) = (call.inputs.get(0)?, &mut call.outputs[0]);
        let rank = input.shape.len();
        let mut ranges: Vec<(usize, usize, i64)> = input.shape.iter().map(|extent| (0, *extent, 1)).collect();
        for cut in &cuts {
            let axis = usize::try_from(if cut.axis < 0 { cut.axis + rank as i64 } else { cut.axis }).ok();
            let Some(axis) = axis.filter(|axis| *axis < rank) else {
                let shape = &input.shape;
                return Err(crate::engine::RunError::Input(format!(
                    "shape {shape:?} has no axis {}",
                    cut.axis
                )));
            };
            ranges[axis] = cut.within(input.shape[axis]);
        }
        let shape: Shape = ranges.iter().map(|(_, count, _)| *count).collect();
        let count = shaped(output, &shape)?;
        output.data.reset(input.datatype());
        for index in 0..count {
            let (mut rest, mut at, mut size) = (index, 0, 1);
            for (axis, (start, extent, step)) in ranges.iter().enumerate().rev() {
                at += (*start as i64 + (rest % extent) as i64 * step) as usize * size;
                rest /= extent;
                size *= input.shape[axis];
            }
            pick(&input.data, at, &mut output.data);
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check((start, end, step): (i64, i64, i64), expected: (usize, usize, i64)) {
        assert_eq!(Cut { axis: 0, start, end, step }.within(5), expected);
    }

    #[test]
    fn a_cut_is_numpy_s() {
        check((1, 3, 1), (1, 2, 1));
        check((-2, i64::MAX, 1), (3, 2, 1));
        check((0, 5, 2), (0, 3, 2));
        check((-1, i64::MIN, -1), (4, 5, -1));
        check((3, 0, -2), (3, 2, -2));
        check((4, 2, 1), (4, 0, 1));
        check((9, 12, 1), (5, 0, 1));
    }
}
