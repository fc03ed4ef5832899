//! What is done to numbers column by column: Scaler, Imputer, Normalizer, Binarizer.

use crate::engine::RunError;
use crate::engine::trees::builder::{Builder, Value, unsupported, wrong};
use crate::engine::trees::element::{Element, buffer, elements, with_numbers};
use crate::engine::trees::plan::{Call, matrix, shaped};
use crate::engine::trees::real::{Number, Real};
use crate::model::LoadError;
use crate::onnx::Node;
use crate::tensor::{Data, Datatype};

pub(super) fn scaler<'m>(builder: &mut Builder<'m>, node: &'m Node) -> Result<(), LoadError> {
    let input = number(builder, node)?;
    let offset = node.floats("offset")?.unwrap_or_default().to_vec();
    let scale = node.floats("scale")?.unwrap_or_default().to_vec();
    if offset.is_empty() || offset.len() != scale.len() {
        return Err(wrong(node, &format!("{} offsets and {} scales", offset.len(), scale.len())));
    }
    builder.emit(node, &[input], &[Datatype::Fp32], move |call: &mut Call<'_>| {
        let (input, output) = (call.inputs.get(0)?, &mut call.outputs[0]);
        let (_, columns) = matrix(&input.shape)?;
        per_column(offset.len(), columns)?;
        shaped(output, &input.shape)?;
        let out = buffer::<f32>(output)?;
        let factors = offset.iter().zip(&scale).cycle();
        if let Data::Fp64(values) = &input.data {
            // Rounded to float32 only at the end, as ONNX Runtime does.
            let scaled = |(x, (offset, scale)): (&f64, (&f32, &f32))| (x - f64::from(*offset)) * f64::from(*scale);
            out.extend(values.iter().zip(factors).map(|pair| scaled(pair).f32()));
            return Ok(());
        }
        with_numbers!(input, values => {
            out.extend(values.iter().zip(factors).map(|(x, (offset, scale))| (x.real::<f32>() - offset) * scale));
            Ok(())
        })
    })
}

pub(super) fn imputer<'m>(builder: &mut Builder<'m>, node: &'m Node) -> Result<(), LoadError> {
    let input = builder.input(node, 0)?;
    match input.datatype {
        Datatype::Fp32 => {
            let missing = node.float("replaced_value_float")?.copied().unwrap_or(0.0);
            let list = node.floats("imputed_value_floats")?.unwrap_or_default();
            let is_missing = move |x: f32| x == missing || x.is_nan() && missing.is_nan();
            impute(builder, node, input, list.to_vec(), is_missing)
        }
        Datatype::Int64 => {
            let missing = node.int("replaced_value_int64")?.copied().unwrap_or(0);
            let list = node.ints("imputed_value_int64s")?.unwrap_or_default();
            impute(builder, node, input, list.to_vec(), move |x| x == missing)
        }
        other => Err(unsupported(node, &format!("{other} numbers"))),
    }
}

fn impute<'m, E: Element>(
    builder: &mut Builder<'m>,
    node: &'m Node,
    input: Value,
    list: Vec<E>,
    is_missing: impl Fn(E) -> bool + Send + Sync + 'static,
) -> Result<(), LoadError> {
    if list.is_empty() {
        return Err(wrong(node, "there is no value to impute"));
    }
    builder.emit(node, &[input], &[E::DATATYPE], move |call: &mut Call<'_>| {
        let (input, output) = (call.inputs.get(0)?, &mut call.outputs[0]);
        let (_, columns) = matrix(&input.shape)?;
        per_column(list.len(), columns)?;
        shaped(output, &input.shape)?;
        let values = elements::<E>(input)?.iter().zip(list.iter().cycle());
        buffer::<E>(output)?.extend(values.map(|(x, imputed)| if is_missing(*x) { *imputed } else { *x }));
        Ok(())
    })
}

pub(super) fn normalizer<'m>(builder: &mut Builder<'m>, node: &'m Node) -> Result<(), LoadError> {
    let input = number(builder, node)?;
    let norm: fn(&mut [f32]) = match node.string("norm")? {
        None | Some(b"MAX") => max,
        Some(b"L1") => l1,
        Some(b"L2") => l2,
        Some(other) => return Err(unsupported(node, &format!("norm `{}`", String::from_utf8_lossy(other)))),
    };
    builder.emit(node, &[input], &[Datatype::Fp32], move |call: &mut Call<'_>| {
        let (input, output) = (call.inputs.get(0)?, &mut call.outputs[0]);
        let (_, columns) = matrix(&input.shape)?;
        shaped(output, &input.shape)?;
        let out = buffer::<f32>(output)?;
        with_numbers!(input, values => {
            out.extend(values.iter().map(|x| x.real::<f32>()));
            Ok(())
        })?;
        out.chunks_mut(columns.max(1)).for_each(norm);
        Ok(())
    })
}

fn max(row: &mut [f32]) {
    let most = row.iter().copied().fold(f32::MIN, f32::max);
    if most != 0.0 {
        row.iter_mut().for_each(|x| *x /= most);
    }
}

fn l1(row: &mut [f32]) {
    let sum: f32 = row.iter().map(|x| x.abs()).sum();
    if sum != 0.0 {
        row.iter_mut().for_each(|x| *x /= sum);
    }
}

fn l2(row: &mut [f32]) {
    let sum: f32 = row.iter().map(|x| x * x).sum();
    if sum != 0.0 {
        row.iter_mut().for_each(|x| *x = (*x * *x / sum).sqrt().copysign(*x));
    }
}

pub(super) fn binarizer<'m>(builder: &mut Builder<'m>, node: &'m Node) -> Result<(), LoadError> {
    let input = builder.input(node, 0)?;
    let threshold = node.float("threshold")?.copied().unwrap_or(0.0);
    if input.datatype != Datatype::Fp32 {
        return Err(unsupported(node, &format!("{} numbers", input.datatype)));
    }
    builder.emit(node, &[input], &[Datatype::Fp32], move |call: &mut Call<'_>| {
        let (input, output) = (call.inputs.get(0)?, &mut call.outputs[0]);
        shaped(output, &input.shape)?;
        let values = elements::<f32>(input)?.iter();
        buffer::<f32>(output)?.extend(values.map(|x| if *x > threshold { 1.0 } else { 0.0 }));
        Ok(())
    })
}

pub(super) fn clip<'m>(builder: &mut Builder<'m>, node: &'m Node) -> Result<(), LoadError> {
    let input = builder.input(node, 0)?;
    // Where the bounds cross, the upper one wins; NaN stays NaN.
    macro_rules! float {
        ($type:ident) => {{
            let clip = |x: $type, low: $type, high: $type| if x.is_nan() { x } else { x.max(low).min(high) };
            clip_of::<$type>(builder, node, input, ($type::MIN, $type::MAX), clip)
        }};
    }
    match input.datatype {
        Datatype::Fp32 => float!(f32),
        Datatype::Fp64 => float!(f64),
        Datatype::Int32 => {
            clip_of(builder, node, input, (i32::MIN, i32::MAX), |x, low, high| x.max(low).min(high))
        }
        Datatype::Int64 => {
            clip_of(builder, node, input, (i64::MIN, i64::MAX), |x, low, high| x.max(low).min(high))
        }
        other => Err(unsupported(node, &format!("{other} numbers"))),
    }
}

fn clip_of<'m, E: Element>(
    builder: &mut Builder<'m>,
    node: &'m Node,
    input: Value,
    (least, most): (E, E),
    clip: fn(E, E, E) -> E,
) -> Result<(), LoadError> {
    // Attributes, of float32, until operator set 11, inputs since.
    let mut bound = |name: &str, index: usize| match node.float(name)? {
        Some(bound) => match E::slice(&Data::Fp32(vec![*bound])) {
            Some(bound) => Ok(Some(bound[0])),
            None => Err(unsupported(node, &format!("{} numbers", E::DATATYPE))),
        },
        None if builder.optional(node, index)?.is_none() => Ok(None),
        None => match builder.known(node, index)? {
            bound if bound.data.len() == 1 => Ok(E::slice(&bound.data).map(|bound| bound[0])),
            other => Err(wrong(node, &format!("a bound of {} {}", other.data.len(), other.datatype()))),
        },
    };
    let (low, high) = (bound("min", 1)?.unwrap_or(least), bound("max", 2)?.unwrap_or(most));
    builder.emit(node, &[input], &[E::DATATYPE], move |call: &mut Call<'_>| {
        let (input, output) = (call.inputs.get(0)?, &mut call.outputs[0]);
        shaped(output, &input.shape)?;
        let values = elements::<E>(input)?.iter();
        buffer::<E>(output)?.extend(values.map(|x| clip(*x, low, high)));
        Ok(())
    })
}

fn number<'m>(builder: &mut Builder<'m>, node: &'m Node) -> Result<Value, LoadError> {
    let input = builder.input(node, 0)?;
    match input.datatype {
        Datatype::Fp32 | Datatype::Fp64 | Datatype::Int32 | Datatype::Int64 => Ok(input),
        other => Err(unsupported(node, &format!("{other} numbers"))),
    }
}

/// A list holds one entry for all columns, or one for each.
fn per_column(entries: usize, columns: usize) -> Result<(), RunError> {
    if entries == 1 || entries == columns {
        return Ok(());
    }
    Err(RunError::Input(format!("rows have {columns} columns, not {entries}")))
}
