//! ReduceSum, ReduceMean, ReduceMin, ReduceMax, ReduceProd, and sums of squares, logarithms and so on.

use super::arithmetic::{steps, walk3};
use crate::engine::RunError;
use crate::engine::trees::builder::{Builder, Value, unsupported, wrong};
use crate::engine::trees::element::{Element, buffer, elements};
use crate::engine::trees::plan::{Call, shaped};
use crate::model::LoadError;
use crate::onnx::Node;
use crate::tensor::{Data, Datatype, Shape};

/// How many numbers become one.
struct Fold<E> {
    first: E,
    /// From what is there, another number, and the largest of all.
    add: fn(E, E, E) -> E,
    /// From the sum, how many there were, and the largest of all.
    last: fn(E, usize, E) -> E,
    /// Whether the largest of all is needed, and is found in a round of its own.
    shifted: Option<fn(E, E) -> E>,
}

pub(super) fn build<'m>(builder: &mut Builder<'m>, node: &'m Node) -> Result<(), LoadError> {
    let input = builder.input(node, 0)?;
    macro_rules! floats {
        ($type:ident) => {{
            let fold = |first, add, last| Fold::<$type> { first, add, last, shifted: None };
            let same: fn($type, usize, $type) -> $type = |sum, _, _| sum;
            let least: fn($type, $type, $type) -> $type = |a, b, _| if a.is_nan() || a < b { a } else { b };
            let most: fn($type, $type, $type) -> $type = |a, b, _| if a.is_nan() || a > b { a } else { b };
            let fold = match node.op_type.as_str() {
                "ReduceMin" => fold($type::INFINITY, least, same),
                "ReduceMax" => fold($type::NEG_INFINITY, most, same),
                "ReduceSum" => fold(0.0, |a, b, _| a + b, same),
                "ReduceMean" => fold(0.0, |a, b, _| a + b, |sum, count, _| sum / count as $type),
                "ReduceProd" => fold(1.0, |a, b, _| a * b, same),
                "ReduceL1" => fold(0.0, |a, b, _| a + b.abs(), same),
                "ReduceL2" => fold(0.0, |a, b, _| a + b * b, |sum, _, _| sum.sqrt()),
                "ReduceSumSquare" => fold(0.0, |a, b, _| a + b * b, same),
                "ReduceLogSum" => fold(0.0, |a, b, _| a + b, |sum, _, _| sum.ln()),
                // Shifted by the largest, so that no exponential overflows.
                "ReduceLogSumExp" => Fold::<$type> {
                    first: 0.0,
                    add: |a: $type, b: $type, most: $type| {
                        a + (b - if most.is_finite() { most } else { 0.0 }).exp()
                    },
                    last: |sum: $type, _, most: $type| sum.ln() + if most.is_finite() { most } else { 0.0 },
                    shifted: Some(|a: $type, b| if a.is_nan() || a > b { a } else { b }),
                },
                _ => return Err(unsupported(node, "this function")),
            };
            each::<$type>(builder, node, input, fold, $type::NEG_INFINITY)
        }};
    }
    macro_rules! ints {
        ($type:ident) => {{
            let (first, add): ($type, fn($type, $type, $type) -> $type) = match node.op_type.as_str() {
                "ReduceSum" => (0, |a, b, _| a.wrapping_add(b)),
                "ReduceProd" => (1, |a, b, _| a.wrapping_mul(b)),
                "ReduceMin" => ($type::MAX, |a, b, _| a.min(b)),
                "ReduceMax" => ($type::MIN, |a, b, _| a.max(b)),
                _ => return Err(unsupported(node, "this function of integers")),
            };
            each::<$type>(builder, node, input, Fold { first, add, last: |sum, _, _| sum, shifted: None }, 0)
        }};
    }
    match input.datatype {
        Datatype::Fp32 => floats!(f32),
        Datatype::Fp64 => floats!(f64),
        Datatype::Int32 => ints!(i32),
        Datatype::Int64 => ints!(i64),
        other => Err(unsupported(node, &format!("{other} numbers"))),
    }
}

fn each<'m, E: Element>(
    builder: &mut Builder<'m>,
    node: &'m Node,
    input: Value,
    fold: Fold<E>,
    nothing_is_less: E,
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
        out.resize(count, fold.first);
        let values = elements::<E>(input)?;
        let (from, to) = (steps(&input.shape, &input.shape), steps(&kept, &input.shape));
        let mut most = Vec::new();
        if let Some(larger) = fold.shifted {
            most.resize(count, nothing_is_less);
            walk3(&input.shape, [&from, &to, &[]], |[from, to, _]| {
                most[to] = larger(most[to], values[from]);
                true
            });
        }
        let largest = |at: usize| most.get(at).copied().unwrap_or_default();
        walk3(&input.shape, [&from, &to, &[]], |[from, to, _]| {
            out[to] = (fold.add)(out[to], values[from], largest(to));
            true
        });
        for (at, sum) in out.iter_mut().enumerate() {
            *sum = (fold.last)(*sum, reduced, largest(at));
        }
        if !keep {
            output.shape =
                kept.iter().zip(&gone).filter(|(_, gone)| !**gone).map(|(extent, _)| *extent).collect();
        }
        Ok(())
    })
}
