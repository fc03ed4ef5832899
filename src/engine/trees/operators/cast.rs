//! Cast: numbers to numbers, integers to texts.

use crate::engine::RunError;
use crate::engine::trees::builder::{Builder, unsupported, wrong};
use crate::engine::trees::plan::{Call, shaped};
use crate::model::LoadError;
use crate::onnx::Node;
use crate::tensor::{Data, Datatype};

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
fn cast(from: &Data, to: &mut Data) -> Result<(), RunError> {
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
        (Data::Bool(values), to) => {
            let values: Vec<u8> = values.iter().map(|x| u8::from(*x)).collect();
            numbers!(to; values)
        }
        (Data::Fp32(values), to) => numbers!(to; values),
        (Data::Fp64(values), to) => numbers!(to; values),
        (Data::Int32(values), to) => numbers!(to; values),
        (Data::Int64(values), to) => numbers!(to; values),
        (other, _) => return Err(RunError::Engine(format!("no cast from {}", other.datatype()))),
    }
    Ok(())
}
