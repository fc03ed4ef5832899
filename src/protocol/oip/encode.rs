//! Tensors to answer bytes.

use super::binary;
use crate::json::{push_f32, push_f64, push_i64, push_string, push_u64};
use crate::model::Signature;
use crate::protocol::{DecodeError, Request, Result, WantedOutput, refuse};
use crate::tensor::{Data, Strings, Tensor};

/// What precedes the outputs in every answer of a version.
#[derive(Clone, Copy, Debug)]
pub struct AnswerHead<'a> {
    /// `{"model_name":"…","model_version":"…"`, made once per version.
    pub prefix: &'a [u8],
    /// The request's id, or the one made for it.
    pub id: &'a [u8],
    /// The variant of an experiment that answers; a name, so nothing in it needs an escape.
    pub variant: Option<&'a str>,
    /// Whether it stands in for one that failed.
    pub fallback: bool,
}

/// Appends the answer to `out`; returns the length of its JSON part when binary tensors follow it.
///
/// # Errors
/// When an output has no JSON form and was not asked for as binary.
pub fn encode(
    head: AnswerHead<'_>,
    signature: &Signature,
    request: &Request,
    outputs: &[Tensor],
    out: &mut Vec<u8>,
) -> Result<Option<usize>> {
    let start = out.len();
    out.extend_from_slice(head.prefix);
    out.extend_from_slice(b",\"id\":");
    push_string(out, head.id);
    if let Some(variant) = head.variant {
        out.extend_from_slice(b",\"parameters\":{\"variant\":\"");
        out.extend_from_slice(variant.as_bytes());
        out.extend_from_slice(if head.fallback { b"\",\"fallback\":true}" } else { b"\"}" });
    }
    out.extend_from_slice(b",\"outputs\":[");
    let all = |index| WantedOutput { index, binary: None, classes: 0 };
    let wanted = |position: usize| match request.outputs.as_slice() {
        [] => (position < outputs.len()).then(|| all(position)),
        some => some.get(position).copied(),
    };
    let mut any_binary = false;
    let mut position = 0;
    while let Some(want) = wanted(position) {
        let name = &signature.outputs[want.index].name;
        let binary = want.binary.unwrap_or(request.binary);
        any_binary |= binary;
        if position > 0 {
            out.push(b',');
        }
        let tensor = &outputs[want.index];
        if want.classes > 0 {
            let top = classify(tensor, want.classes, signature.outputs[want.index].labels.as_deref(), name)?;
            push_output(out, name, &top, binary, request.non_finite_tokens)?;
        } else {
            push_output(out, name, tensor, binary, request.non_finite_tokens)?;
        }
        position += 1;
    }
    out.extend_from_slice(b"]}");
    if !any_binary {
        return Ok(None);
    }
    let json_length = out.len() - start;
    let mut position = 0;
    while let Some(want) = wanted(position) {
        position += 1;
        if !want.binary.unwrap_or(request.binary) {
            continue;
        }
        let spec = &signature.outputs[want.index];
        if want.classes > 0 {
            let top = classify(&outputs[want.index], want.classes, spec.labels.as_deref(), &spec.name)?;
            binary::write(out, &top.data);
        } else {
            binary::write(out, &outputs[want.index].data);
        }
    }
    Ok(Some(json_length))
}

/// Appends a request for all outputs, to ask another server with. `NaN` and `Infinity` are written where the client
/// wrote such, else NaN is `null`.
///
/// # Errors
/// When an input has no JSON form: it would come to the other server as something else.
pub fn encode_request(signature: &Signature, request: &Request, out: &mut Vec<u8>) -> Result<()> {
    let tokens = request.non_finite_tokens;
    out.extend_from_slice(b"{\"inputs\":[");
    for (position, (spec, tensor)) in signature.inputs.iter().zip(&request.inputs).enumerate() {
        if position > 0 {
            out.push(b',');
        }
        // As `null` it would be NaN there.
        let infinite = match &tensor.data {
            Data::Fp32(v) => v.iter().any(|x| x.is_infinite()),
            Data::Fp64(v) => v.iter().any(|x| x.is_infinite()),
            _ => false,
        };
        if infinite && !tokens {
            refuse!("input `{}` has an infinite number, which has no JSON form", spec.name);
        }
        if let Data::Bytes(v) = &tensor.data
            && v.iter().any(|text| std::str::from_utf8(text).is_err())
        {
            refuse!("input `{}` has bytes that are not UTF-8, which have no JSON form", spec.name);
        }
        push_output(out, &spec.name, tensor, false, tokens)?;
    }
    // By name: some servers give the first alone to who names none.
    out.extend_from_slice(b"],\"outputs\":[");
    for (position, spec) in signature.outputs.iter().enumerate() {
        out.extend_from_slice(if position > 0 { b",{\"name\":" } else { b"{\"name\":" });
        push_string(out, spec.name.as_bytes());
        out.push(b'}');
    }
    out.extend_from_slice(b"]}");
    Ok(())
}

/// Appends a request for all outputs as binary tensors; returns how much of it is JSON, which the header
/// `Inference-Header-Content-Length` says.
pub fn encode_binary_request(signature: &Signature, request: &Request, out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.extend_from_slice(b"{\"inputs\":[");
    let inputs = || signature.inputs.iter().zip(&request.inputs);
    for (position, (spec, tensor)) in inputs().enumerate() {
        if position > 0 {
            out.push(b',');
        }
        push_head(out, &spec.name, tensor);
        push_binary_size(out, tensor);
    }
    out.extend_from_slice(b"]}");
    let length = out.len() - start;
    inputs().for_each(|(_, tensor)| binary::write(out, &tensor.data));
    length
}

fn push_head(out: &mut Vec<u8>, name: &str, tensor: &Tensor) {
    out.extend_from_slice(b"{\"name\":");
    push_string(out, name.as_bytes());
    out.extend_from_slice(b",\"datatype\":\"");
    out.extend_from_slice(tensor.datatype().name().as_bytes());
    out.extend_from_slice(b"\",\"shape\":[");
    for (position, &extent) in tensor.shape.iter().enumerate() {
        if position > 0 {
            out.push(b',');
        }
        push_u64(out, extent as u64);
    }
}

fn push_binary_size(out: &mut Vec<u8>, tensor: &Tensor) {
    out.extend_from_slice(b"],\"parameters\":{\"binary_data_size\":");
    push_u64(out, binary::size(&tensor.data) as u64);
    out.extend_from_slice(b"}}");
}

fn push_output(out: &mut Vec<u8>, name: &str, tensor: &Tensor, binary: bool, tokens: bool) -> Result<()> {
    push_head(out, name, tensor);
    if binary {
        push_binary_size(out, tensor);
        return Ok(());
    }
    out.extend_from_slice(b"],\"data\":[");
    for index in 0..tensor.data.len() {
        if index > 0 {
            out.push(b',');
        }
        push_element(out, &tensor.data, index, tokens)
            .map_err(|e| DecodeError(format!("output `{name}`: {e}")))?;
    }
    out.extend_from_slice(b"]}");
    Ok(())
}

/// Appends one element as JSON.
///
/// # Errors
/// For half-precision floats, which have no JSON form.
#[inline]
pub(in crate::protocol) fn push_element(
    out: &mut Vec<u8>,
    data: &Data,
    index: usize,
    tokens: bool,
) -> Result<()> {
    match data {
        Data::Fp32(v) => push_f32(out, v[index], tokens),
        Data::Fp64(v) => push_f64(out, v[index], tokens),
        Data::Bool(v) => out.extend_from_slice(if v[index] { b"true" } else { b"false" }),
        Data::Uint8(v) => push_u64(out, v[index].into()),
        Data::Uint16(v) => push_u64(out, v[index].into()),
        Data::Uint32(v) => push_u64(out, v[index].into()),
        Data::Uint64(v) => push_u64(out, v[index]),
        Data::Int8(v) => push_i64(out, v[index].into()),
        Data::Int16(v) => push_i64(out, v[index].into()),
        Data::Int32(v) => push_i64(out, v[index].into()),
        Data::Int64(v) => push_i64(out, v[index]),
        Data::Bytes(v) => push_string(out, v.get(index).unwrap_or_default()),
        Data::Fp16(_) | Data::Bf16(_) => {
            refuse!("{} has no JSON form; ask for it with the parameter binary_data", data.datatype())
        }
    }
    Ok(())
}

/// The classification extension: per row the `n` largest values as `value:index[:label]`.
fn classify(tensor: &Tensor, n: usize, labels: Option<&[String]>, name: &str) -> Result<Tensor> {
    let classes = tensor.shape.last().copied().unwrap_or(0);
    let values: Vec<f64> = match &tensor.data {
        Data::Fp32(v) => v.iter().map(|x| f64::from(*x)).collect(),
        Data::Fp64(v) => v.clone(),
        other => refuse!("output `{name}`: classification needs floats, this is {}", other.datatype()),
    };
    let n = n.min(classes);
    let mut top = Strings::default();
    let mut rows = 0;
    for row in values.chunks_exact(classes.max(1)) {
        rows += 1;
        let mut order: Vec<usize> = (0..row.len()).collect();
        order.sort_by(|a, b| row[*b].total_cmp(&row[*a]));
        for &index in &order[..n] {
            let label = labels.and_then(|l| l.get(index)).map_or_else(String::new, |l| format!(":{l}"));
            top.push(format!("{:.6}:{index}{label}", row[index]).as_bytes());
        }
    }
    Ok(Tensor::new(&[rows, n], Data::Bytes(top)))
}
