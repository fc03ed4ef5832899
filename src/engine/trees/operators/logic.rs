//! Truth: comparisons, Not, And, Or, Xor, IsNaN, IsInf, Where.

use super::arithmetic::{both, broadcast, steps, walk3};
use super::gather::pick;
use crate::engine::RunError;
use crate::engine::trees::builder::{Builder, unsupported, wrong};
use crate::engine::trees::element::{buffer, elements};
use crate::engine::trees::plan::{Call, shaped};
use crate::model::LoadError;
use crate::onnx::Node;
use crate::tensor::{Data, Datatype};

pub(super) fn compare<'m>(builder: &mut Builder<'m>, node: &'m Node) -> Result<(), LoadError> {
    let inputs = [builder.input(node, 0)?, builder.input(node, 1)?];
    if inputs[0].datatype != inputs[1].datatype {
        return Err(unsupported(node, &format!("{} with {}", inputs[0].datatype, inputs[1].datatype)));
    }
    macro_rules! numbers {
        ($type:ident) => {
            match node.op_type.as_str() {
                "Equal" => |a: $type, b: $type| Some(a == b),
                "Less" => |a: $type, b: $type| Some(a < b),
                "LessOrEqual" => |a: $type, b: $type| Some(a <= b),
                "Greater" => |a: $type, b: $type| Some(a > b),
                "GreaterOrEqual" => |a: $type, b: $type| Some(a >= b),
                _ => return Err(unsupported(node, "this comparison")),
            }
        };
    }
    match inputs[0].datatype {
        Datatype::Fp32 => both::<f32, bool>(builder, node, inputs, numbers!(f32)),
        Datatype::Fp64 => both::<f64, bool>(builder, node, inputs, numbers!(f64)),
        Datatype::Int32 => both::<i32, bool>(builder, node, inputs, numbers!(i32)),
        Datatype::Int64 => both::<i64, bool>(builder, node, inputs, numbers!(i64)),
        Datatype::Bool if node.op_type == "Equal" => {
            both::<bool, bool>(builder, node, inputs, |a: bool, b: bool| Some(a == b))
        }
        Datatype::Bytes if node.op_type == "Equal" => texts(builder, node),
        other => Err(unsupported(node, &format!("{other} values"))),
    }
}

/// Equal, of texts.
fn texts<'m>(builder: &mut Builder<'m>, node: &'m Node) -> Result<(), LoadError> {
    let inputs = [builder.input(node, 0)?, builder.input(node, 1)?];
    builder.emit(node, &inputs, &[Datatype::Bool], |call: &mut Call<'_>| {
        let (left, right) = (call.inputs.get(0)?, call.inputs.get(1)?);
        let (Data::Bytes(a), Data::Bytes(b)) = (&left.data, &right.data) else {
            return Err(RunError::Engine("texts were planned".to_owned()));
        };
        let shape = broadcast(&left.shape, &right.shape)?;
        let output = &mut call.outputs[0];
        shaped(output, &shape)?;
        let out = buffer::<bool>(output)?;
        walk3(&shape, [&steps(&left.shape, &shape), &steps(&right.shape, &shape), &[]], |[x, y, _]| {
            out.push(a.get(x) == b.get(y));
            true
        });
        Ok(())
    })
}

pub(super) fn connective<'m>(builder: &mut Builder<'m>, node: &'m Node) -> Result<(), LoadError> {
    let inputs = [builder.input(node, 0)?, builder.input(node, 1)?];
    if inputs.iter().any(|input| input.datatype != Datatype::Bool) {
        return Err(wrong(node, "takes BOOL only"));
    }
    let function: fn(bool, bool) -> Option<bool> = match node.op_type.as_str() {
        "And" => |a, b| Some(a & b),
        "Or" => |a, b| Some(a | b),
        _ => |a, b| Some(a ^ b),
    };
    both(builder, node, inputs, function)
}

pub(super) fn not<'m>(builder: &mut Builder<'m>, node: &'m Node) -> Result<(), LoadError> {
    let input = builder.input(node, 0)?;
    if input.datatype != Datatype::Bool {
        return Err(wrong(node, "takes BOOL only"));
    }
    builder.emit(node, &[input], &[Datatype::Bool], |call: &mut Call<'_>| {
        let (input, output) = (call.inputs.get(0)?, &mut call.outputs[0]);
        shaped(output, &input.shape)?;
        let values = elements::<bool>(input)?;
        buffer::<bool>(output)?.extend(values.iter().map(|x| !x));
        Ok(())
    })
}

/// IsNaN and IsInf.
pub(super) fn is_nan<'m>(builder: &mut Builder<'m>, node: &'m Node) -> Result<(), LoadError> {
    let input = builder.input(node, 0)?;
    if !matches!(input.datatype, Datatype::Fp32 | Datatype::Fp64) {
        return Err(unsupported(node, &format!("{} numbers", input.datatype)));
    }
    let infinite = node.op_type == "IsInf";
    let flag = |name| Ok::<_, LoadError>(node.int(name)?.is_none_or(|flag| *flag != 0));
    let (positive, negative) = (flag("detect_positive")?, flag("detect_negative")?);
    builder.emit(node, &[input], &[Datatype::Bool], move |call: &mut Call<'_>| {
        let (input, output) = (call.inputs.get(0)?, &mut call.outputs[0]);
        shaped(output, &input.shape)?;
        let out = buffer::<bool>(output)?;
        macro_rules! each {
            ($values:ident) => {
                out.extend($values.iter().map(|x| {
                    if !infinite {
                        x.is_nan()
                    } else {
                        x.is_infinite() && if *x > 0.0 { positive } else { negative }
                    }
                }))
            };
        }
        match &input.data {
            Data::Fp32(values) => each!(values),
            Data::Fp64(values) => each!(values),
            other => return Err(RunError::Engine(format!("{} numbers", other.datatype()))),
        }
        Ok(())
    })
}

pub(super) fn choose<'m>(builder: &mut Builder<'m>, node: &'m Node) -> Result<(), LoadError> {
    let inputs = [builder.input(node, 0)?, builder.input(node, 1)?, builder.input(node, 2)?];
    if inputs[0].datatype != Datatype::Bool || inputs[1].datatype != inputs[2].datatype {
        return Err(wrong(node, "takes BOOL and two values of one type"));
    }
    builder.emit(node, &inputs, &[inputs[1].datatype], |call: &mut Call<'_>| {
        let (condition, yes, no) = (call.inputs.get(0)?, call.inputs.get(1)?, call.inputs.get(2)?);
        let shape = broadcast(&condition.shape, &broadcast(&yes.shape, &no.shape)?)?;
        let output = &mut call.outputs[0];
        shaped(output, &shape)?;
        output.data.reset(yes.datatype());
        let chosen = elements::<bool>(condition)?;
        let places = [&condition.shape, &yes.shape, &no.shape].map(|found| steps(found, &shape));
        walk3(&shape, [&places[0], &places[1], &places[2]], |[at, a, b]| {
            if chosen[at] {
                pick(&yes.data, a, &mut output.data)
            } else {
                pick(&no.data, b, &mut output.data)
            }
            true
        });
        Ok(())
    })
}
