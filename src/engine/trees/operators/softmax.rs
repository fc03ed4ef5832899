//! Along one axis: Softmax, LpNormalization, ArgMax and ArgMin.

use crate::engine::RunError;
use crate::engine::trees::builder::{Builder, unsupported};
use crate::engine::trees::element::{buffer, elements, with_numbers};
use crate::engine::trees::plan::{Call, shaped};
use crate::model::LoadError;
use crate::onnx::Node;
use crate::tensor::{Datatype, Shape};

/// A shape seen from one axis: blocks, extent, and how far apart the elements along the axis stand.
pub(super) struct Axis {
    pub(super) number: usize,
    outer: usize,
    pub(super) extent: usize,
    pub(super) inner: usize,
}

impl Axis {
    pub(super) fn new(axis: i64, shape: &[usize]) -> Result<Self, RunError> {
        let number = usize::try_from(if axis < 0 { axis + shape.len() as i64 } else { axis }).ok();
        let Some(number) = number.filter(|axis| *axis < shape.len()) else {
            return Err(RunError::Input(format!("shape {shape:?} has no such axis")));
        };
        let (outer, inner) = (shape[..number].iter().product(), shape[number + 1..].iter().product());
        Ok(Self { number, outer, extent: shape[number], inner })
    }

    /// Where each line along the axis starts.
    pub(super) fn starts(&self) -> impl Iterator<Item = usize> {
        let (extent, inner) = (self.extent, self.inner);
        let outer = if extent == 0 || inner == 0 { 0 } else { self.outer };
        (0..outer).flat_map(move |block| (0..inner).map(move |at| block * extent * inner + at))
    }
}

pub(super) fn softmax<'m>(builder: &mut Builder<'m>, node: &'m Node) -> Result<(), LoadError> {
    let input = builder.input(node, 0)?;
    // Until operator set 13 everything from the axis on was one line.
    let lines = builder.model.opset("") >= 13;
    let axis = node.int("axis")?.copied().unwrap_or(if lines { -1 } else { 1 });
    macro_rules! typed {
        ($type:ident) => {
            builder.emit(node, &[input], &[input.datatype], move |call: &mut Call<'_>| {
                let (input, output) = (call.inputs.get(0)?, &mut call.outputs[0]);
                let mut line = Axis::new(axis, &input.shape)?;
                if !lines {
                    (line.extent, line.inner) = (line.extent * line.inner, 1);
                }
                shaped(output, &input.shape)?;
                let out = buffer::<$type>(output)?;
                out.extend_from_slice(elements::<$type>(input)?);
                for start in line.starts() {
                    let at = |index: usize| start + index * line.inner;
                    let most =
                        (0..line.extent).map(|index| out[at(index)]).fold($type::NEG_INFINITY, $type::max);
                    let mut sum = 0.0;
                    for index in 0..line.extent {
                        out[at(index)] = (out[at(index)] - most).exp();
                        sum += out[at(index)];
                    }
                    (0..line.extent).for_each(|index| out[at(index)] /= sum);
                }
                Ok(())
            })
        };
    }
    match input.datatype {
        Datatype::Fp32 => typed!(f32),
        Datatype::Fp64 => typed!(f64),
        other => Err(unsupported(node, &format!("{other} numbers"))),
    }
}

pub(super) fn lp_normalization<'m>(builder: &mut Builder<'m>, node: &'m Node) -> Result<(), LoadError> {
    let input = builder.input(node, 0)?;
    if input.datatype != Datatype::Fp32 {
        return Err(unsupported(node, &format!("{} numbers", input.datatype)));
    }
    let absolute = match node.int("p")?.copied().unwrap_or(2) {
        1 => true,
        2 => false,
        other => return Err(unsupported(node, &format!("a norm of order {other}"))),
    };
    let axis = node.int("axis")?.copied().unwrap_or(-1);
    builder.emit(node, &[input], &[Datatype::Fp32], move |call: &mut Call<'_>| {
        let (input, output) = (call.inputs.get(0)?, &mut call.outputs[0]);
        let line = Axis::new(axis, &input.shape)?;
        shaped(output, &input.shape)?;
        let out = buffer::<f32>(output)?;
        out.extend_from_slice(elements::<f32>(input)?);
        for start in line.starts() {
            let line = (0..line.extent).map(|index| start + index * line.inner);
            let norm: f32 = if absolute {
                line.clone().map(|at| out[at].abs()).sum()
            } else {
                line.clone().map(|at| out[at] * out[at]).sum::<f32>().sqrt()
            };
            line.for_each(|at| out[at] = if norm == 0.0 { 0.0 } else { out[at] / norm });
        }
        Ok(())
    })
}

/// ArgMax and ArgMin.
pub(super) fn argmax<'m>(builder: &mut Builder<'m>, node: &'m Node) -> Result<(), LoadError> {
    let input = builder.input(node, 0)?;
    if !matches!(input.datatype, Datatype::Fp32 | Datatype::Fp64 | Datatype::Int32 | Datatype::Int64) {
        return Err(unsupported(node, &format!("{} numbers", input.datatype)));
    }
    let flag = |name, default| Ok::<_, LoadError>(node.int(name)?.map_or(default, |flag| *flag != 0));
    let (keep, last) = (flag("keepdims", true)?, flag("select_last_index", false)?);
    let least = node.op_type == "ArgMin";
    let axis = node.int("axis")?.copied().unwrap_or(0);
    builder.emit(node, &[input], &[Datatype::Int64], move |call: &mut Call<'_>| {
        let (input, output) = (call.inputs.get(0)?, &mut call.outputs[0]);
        let line = Axis::new(axis, &input.shape)?;
        if line.extent == 0 {
            return Err(RunError::Input("the largest of nothing".to_owned()));
        }
        let mut shape = Shape::from_slice(&input.shape);
        if keep {
            shape[line.number] = 1;
        } else {
            shape.remove(line.number);
        }
        shaped(output, &shape)?;
        let out = buffer::<i64>(output)?;
        with_numbers!(input, values => {
            for start in line.starts() {
                let at = |index: usize| values[start + index * line.inner];
                let beats = |new, old| if last { new >= old } else { new > old };
                let better = |new, old| if least { beats(old, new) } else { beats(new, old) };
                let best = (1..line.extent).fold(0, |best, index| if better(at(index), at(best)) { index } else { best });
                out.push(best as i64);
            }
            Ok(())
        })
    })
}
