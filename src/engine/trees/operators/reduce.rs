//! ReduceSum, ReduceMean, ReduceMin, ReduceMax.

use super::arithmetic::{steps, walk3};
use crate::engine::RunError;
use crate::engine::trees::builder::{Builder, Value, unsupported, wrong};
use crate::engine::trees::element::{Element, buffer, elements};
use crate::engine::trees::plan::{Call, shaped};
use crate::model::LoadError;
use crate::onnx::Node;
use crate::tensor::{Data, Datatype, Shape};

pub(super) fn build<'m>(builder: &mut Builder<'m>, node: &'m Node) -> Result<(), LoadError> {
    let input = builder.input(node, 0)?;
    macro_rules! floats {
        ($type:ident) => {{
            let chosen: ($type, fn($type, $type) -> $type) = match node.op_type.as_str() {
                "ReduceMin" => {
                    ($type::INFINITY, |a: $type, b: $type| if a.is_nan() || a < b { a } else { b })
                }
                "ReduceMax" => {
                    ($type::NEG_INFINITY, |a: $type, b: $type| if a.is_nan() || a > b { a } else { b })
                }
                _ => (0.0, |a: $type, b: $type| a + b),
            };
            chosen
        }};
    }
    let mean = node.op_type == "ReduceMean";
    match input.datatype {
        Datatype::Fp32 => {
            let (first, function) = floats!(f32);
            each::<f32>(
                builder,
                node,
                input,
                first,
                function,
                mean.then_some(|sum, count| sum / count as f32),
            )
        }
        Datatype::Fp64 => {
            let (first, function) = floats!(f64);
            each::<f64>(
                builder,
                node,
                input,
                first,
                function,
                mean.then_some(|sum, count| sum / count as f64),
            )
        }
        Datatype::Int64 if node.op_type == "ReduceSum" => {
            each::<i64>(builder, node, input, 0, i64::wrapping_add, None)
        }
        other => Err(unsupported(node, &format!("{other} numbers"))),
    }
}

fn each<'m, E: Element>(
    builder: &mut Builder<'m>,
    node: &'m Node,
    input: Value,
    first: E,
    function: fn(E, E) -> E,
    last: Option<fn(E, usize) -> E>,
) -> Result<(), LoadError> {
    // An attribute in older operator sets, an input in newer ones.
    let axes = match node.ints("axes")? {
        Some(axes) => axes.to_vec(),
        None if builder.optional(node, 1)?.is_none() => Vec::new(),
        None => match &builder.known(node, 1)?.data {
            Data::Int64(axes) => axes.clone(),
            other => return Err(wrong(node, &format!("axes of {}", other.datatype()))),
        },
    };
    let flag = |name, default| Ok::<_, LoadError>(node.int(name)?.map_or(default, |flag| *flag != 0));
    let (keep, nothing) = (flag("keepdims", true)?, flag("noop_with_empty_axes", false)?);
    if axes.is_empty() && nothing {
        return builder.define(node, 0, input);
    }
    builder.emit(node, &[input], &[E::DATATYPE], move |call: &mut Call<'_>| {
        let (input, output) = (call.inputs.get(0)?, &mut call.outputs[0]);
        let rank = input.shape.len();
        let mut gone = vec![axes.is_empty(); rank];
        for axis in &axes {
            let place = usize::try_from(if *axis < 0 { axis + rank as i64 } else { *axis }).ok();
            match place.and_then(|place| gone.get_mut(place)) {
                Some(gone) => *gone = true,
                None => return Err(RunError::Input(format!("shape {:?} has no axis {axis}", input.shape))),
            }
        }
        let kept: Shape =
            input.shape.iter().zip(&gone).map(|(extent, gone)| if *gone { 1 } else { *extent }).collect();
        let count = shaped(output, &kept)?;
        let reduced: usize =
            input.shape.iter().zip(&gone).filter(|(_, gone)| **gone).map(|(extent, _)| extent).product();
        let out = buffer::<E>(output)?;
        out.resize(count, first);
        let values = elements::<E>(input)?;
        walk3(
            &input.shape,
            [&steps(&input.shape, &input.shape), &steps(&kept, &input.shape), &[]],
            |[from, to, _]| {
                out[to] = function(out[to], values[from]);
                true
            },
        );
        if let Some(last) = last {
            out.iter_mut().for_each(|sum| *sum = last(*sum, reduced));
        }
        if !keep {
            output.shape =
                kept.iter().zip(&gone).filter(|(_, gone)| !**gone).map(|(extent, _)| *extent).collect();
        }
        Ok(())
    })
}
