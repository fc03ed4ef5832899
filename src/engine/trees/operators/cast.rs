//! Cast: numbers to numbers, integers to texts, texts to numbers.

use crate::engine::RunError;
use crate::engine::trees::builder::{Builder, unsupported, wrong};
use crate::engine::trees::plan::{Call, shaped};
use crate::model::LoadError;
use crate::onnx::Node;
use crate::tensor::{Data, Datatype, Strings};

pub(super) fn build<'m>(builder: &mut Builder<'m>, node: &'m Node) -> Result<(), LoadError> {
    let input = builder.input(node, 0)?;
    let to = match node.int("to")? {
        Some(1) => Datatype::Fp32,
        Some(6) => Datatype::Int32,
        Some(7) => Datatype::Int64,
        Some(8) => Datatype::Bytes,
        Some(9) => Datatype::Bool,
        Some(11) => Datatype::Fp64,
        Some(other) => return Err(unsupported(node, &format!("element type {other}"))),
        None => return Err(wrong(node, "`to` is missing")),
    };
    let from = input.datatype;
    if from == to {
        return builder.define(node, 0, input);
    }
    let known = match from {
        Datatype::Bool | Datatype::Int32 | Datatype::Int64 => to != Datatype::Bytes || from != Datatype::Bool,
        Datatype::Fp32 | Datatype::Fp64 => to != Datatype::Bytes,
        Datatype::Bytes => to != Datatype::Bool,
        _ => false,
    };
    if !known {
        return Err(unsupported(node, &format!("{from} to {to}")));
    }
    builder.emit(node, &[input], &[to], move |call: &mut Call<'_>| {
        let (input, output) = (call.inputs.get(0)?, &mut call.outputs[0]);
        shaped(output, &input.shape)?;
        output.data.reset(to);
        cast(&input.data, &mut output.data)
    })
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    trivial_numeric_casts,
    reason = "a cast is what was asked for"
)]
pub(super) fn cast(from: &Data, to: &mut Data) -> Result<(), RunError> {
    macro_rules! numbers {
        ($to:ident; $values:expr) => {
            match $to {
                Data::Fp32(out) => out.extend($values.iter().map(|x| *x as f32)),
                Data::Fp64(out) => out.extend($values.iter().map(|x| *x as f64)),
                Data::Int32(out) => out.extend($values.iter().map(|x| *x as i32)),
                Data::Int64(out) => out.extend($values.iter().map(|x| *x as i64)),
                Data::Bool(out) => out.extend($values.iter().map(|x| *x as f64 != 0.0)),
                other => return Err(RunError::Engine(format!("no cast to {}", other.datatype()))),
            }
        };
    }
    match (from, to) {
        (Data::Int32(values), Data::Bytes(out)) => {
            values.iter().for_each(|x| out.push(x.to_string().as_bytes()))
        }
        (Data::Int64(values), Data::Bytes(out)) => {
            values.iter().for_each(|x| out.push(x.to_string().as_bytes()))
        }
        (Data::Bytes(texts), Data::Fp32(out)) => parsed(texts, out)?,
        (Data::Bytes(texts), Data::Fp64(out)) => parsed(texts, out)?,
        (Data::Bytes(texts), Data::Int32(out)) => parsed(texts, out)?,
        (Data::Bytes(texts), Data::Int64(out)) => parsed(texts, out)?,
        (Data::Bool(values), to) => {
            let values: Vec<u8> = values.iter().map(|x| u8::from(*x)).collect();
            numbers!(to; values)
        }
        (Data::Fp32(values), Data::Int32(out)) => out.extend(values.iter().map(|x| whole32((*x).into()))),
        (Data::Fp64(values), Data::Int32(out)) => out.extend(values.iter().map(|x| whole32(*x))),
        (Data::Fp32(values), Data::Int64(out)) => out.extend(values.iter().map(|x| whole((*x).into()))),
        (Data::Fp64(values), Data::Int64(out)) => out.extend(values.iter().map(|x| whole(*x))),
        (Data::Fp32(values), to) => numbers!(to; values),
        (Data::Fp64(values), to) => numbers!(to; values),
        (Data::Int32(values), to) => numbers!(to; values),
        (Data::Int64(values), to) => numbers!(to; values),
        (other, _) => return Err(RunError::Engine(format!("no cast from {}", other.datatype()))),
    }
    Ok(())
}

/// Numbers that texts spell.
fn parsed<T: std::str::FromStr>(texts: &Strings, out: &mut Vec<T>) -> Result<(), RunError> {
    for text in texts.iter() {
        let number = std::str::from_utf8(text).ok().and_then(|text| text.trim().parse().ok());
        out.push(number.ok_or_else(|| RunError::Input("a text is no number".to_owned()))?);
    }
    Ok(())
}

/// Towards zero. What no integer holds, NaN among it, becomes the least one, as ONNX Runtime's does on x86-64: so it
/// is no known category either.
#[expect(clippy::cast_possible_truncation, reason = "within bounds")]
pub(super) fn whole(value: f64) -> i64 {
    const END: f64 = 9_223_372_036_854_775_808.0;
    if (-END..END).contains(&value) { value as i64 } else { i64::MIN }
}

fn whole32(value: f64) -> i32 {
    i32::try_from(whole(value)).unwrap_or(i32::MIN)
}
