//! Requests and answers between bytes and tensors; no sockets, no clock.
//!
//! [`oip`] is the Open Inference Protocol v2 with the binary tensor extension, [`table`] the records, columns,
//! rows and CSV of `/predict` and `/invocations`. Both decode into the same [`Request`], whose inputs already
//! fit the model's signature when decoding succeeds.

pub mod oip;
pub mod table;

use crate::model::{Signature, TensorSpec, shorten};
use crate::tensor::{Data, Shape, Tensor};

/// Largest rank of a tensor in a request.
pub const MAX_RANK: usize = 8;
/// Most elements of one tensor in a request.
pub const MAX_ELEMENTS: usize = 1 << 24;
/// Most places that the free extents of a tensor without elements may span: no bytes stand behind them.
const MAX_EMPTY: usize = 1 << 16;
/// Longest request id, in bytes.
pub const MAX_ID_BYTES: usize = 256;
/// Most keys in one `parameters` object.
pub const MAX_PARAMETERS: usize = 64;

/// A decoded request. Kept by a worker and refilled, so that its buffers are reused.
#[derive(Debug, Default)]
pub struct Request {
    /// The client's id; empty when it sent none.
    pub id: Vec<u8>,
    /// One tensor per input of the signature, in its order.
    pub inputs: Vec<Tensor>,
    /// The outputs asked for; empty means all.
    pub outputs: Vec<WantedOutput>,
    /// Whether outputs are binary unless an output says otherwise.
    pub binary: bool,
    /// The client's own time limit, in microseconds.
    pub timeout_us: Option<u64>,
    /// Whether the client sent `NaN` or `Infinity` tokens itself and so can read them.
    pub non_finite_tokens: bool,
}

/// One entry of a request's `outputs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WantedOutput {
    /// Index in the signature's outputs.
    pub index: usize,
    /// Its own `binary_data` parameter.
    pub binary: Option<bool>,
    /// Top-n classification instead of values (0: values).
    pub classes: usize,
}

/// What decoding needs to know beyond the signature.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Most rows (extent of the first dimension) of one request.
    pub max_rows: usize,
    /// Refuse NaN and infinities in JSON.
    pub reject_non_finite: bool,
}

/// The client's fault, in words; never echoes more than a few names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DecodeError(pub String);

/// Result of decoding.
pub type Result<T> = std::result::Result<T, DecodeError>;

/// Shorthand for `Err(DecodeError(format!(…)))`.
macro_rules! refuse {
    ($($arg:tt)*) => { return Err($crate::protocol::DecodeError(format!($($arg)*))) };
}
use refuse;

// === impl Request ===

impl Request {
    /// Forgets the last request and gets one buffer ready per input.
    pub fn reset(&mut self, signature: &Signature) {
        self.id.clear();
        self.outputs.clear();
        self.binary = false;
        self.timeout_us = None;
        self.non_finite_tokens = false;
        self.inputs.truncate(signature.inputs.len());
        for (index, spec) in signature.inputs.iter().enumerate() {
            match self.inputs.get_mut(index) {
                Some(tensor) => tensor.data.reset(spec.datatype),
                None => self.inputs.push(Tensor::empty(spec.datatype)),
            }
        }
    }

    /// Rows of the request: the extent of the first input's first dimension.
    pub fn rows(&self) -> usize {
        self.inputs.first().map_or(1, Tensor::rows)
    }
}

impl From<crate::json::Error> for DecodeError {
    fn from(error: crate::json::Error) -> Self {
        Self(format!("invalid JSON: {error}"))
    }
}

/// Checks that a request's shape fits the declared one and the limits; returns the number of elements.
fn check_shape(spec: &TensorSpec, shape: &[usize], policy: Policy) -> Result<usize> {
    let fits = shape.len() == spec.shape.len()
        && shape.iter().zip(&spec.shape).all(|(&got, &want)| want < 0 || usize::try_from(want) == Ok(got));
    if !fits {
        refuse!("input `{}`: expected shape {:?} (-1 is any), got {:?}", spec.name, spec.shape, shape);
    }
    if shape.first().is_some_and(|&rows| rows > policy.max_rows) {
        refuse!("input `{}`: {} rows, at most {} are accepted", spec.name, shape[0], policy.max_rows);
    }
    // An extent of 0 must not hide the others from the limit: something may loop over them.
    let span = |free: bool| {
        let mut counted = shape.iter().zip(&spec.shape).filter(|&(_, &want)| !free || want < 0);
        counted.try_fold(1_usize, |span, (&extent, _)| span.checked_mul(extent.max(1)))
    };
    if shape.contains(&0) && span(true).is_none_or(|span| span > MAX_EMPTY) {
        refuse!("input `{}`: shape {:?} is empty and spans more than {MAX_EMPTY}", spec.name, shape);
    }
    match span(false) {
        Some(count) if count <= MAX_ELEMENTS => Ok(if shape.contains(&0) { 0 } else { count }),
        _ => refuse!("input `{}`: shape {:?} has more than {MAX_ELEMENTS} elements", spec.name, shape),
    }
}

/// The index of the input called `name`, looking first where it is expected.
fn find_input(signature: &Signature, name: &[u8], expected: usize) -> Option<usize> {
    let is = |spec: &TensorSpec| spec.name.as_bytes() == name;
    if signature.inputs.get(expected).is_some_and(is) {
        return Some(expected);
    }
    signature.inputs.iter().position(is)
}

/// Client text for an error message.
fn lossy(text: &[u8]) -> String {
    shorten(&String::from_utf8_lossy(&text[..text.len().min(400)]))
}

/// Appends one JSON scalar to `data`, converted to its datatype; `input` names the culprit.
fn push_cell(
    data: &mut Data,
    cell: &table::Json,
    input: &str,
    request: &mut Flags,
    policy: Policy,
) -> Result<()> {
    use table::Json;
    match (data, cell) {
        (Data::Bool(v), Json::Bool(b)) => v.push(*b),
        (Data::Bytes(v), Json::String(s)) => v.push(s),
        (data, Json::Null) if data.datatype().is_float() => {
            return push_number(data, None, input, request, policy);
        }
        (Data::Bytes(_), _) => refuse!("input `{input}`: expected a string, got {}", cell.kind()),
        (data, Json::Number(n)) => return push_number(data, Some(*n), input, request, policy),
        (data, Json::Bool(b)) => {
            let number = crate::json::Number::Unsigned(u64::from(*b));
            return push_number(data, Some(number), input, request, policy);
        }
        (data, _) => refuse!("input `{input}`: expected {}, got {}", data.datatype(), cell.kind()),
    }
    Ok(())
}

/// What a request turned out to contain while its values were read.
#[derive(Debug, Default)]
struct Flags {
    non_finite_tokens: bool,
}

/// Appends a number (`None` is `null`, which is NaN for floats), refusing what the datatype cannot hold.
fn push_number(
    data: &mut Data,
    number: Option<crate::json::Number>,
    input: &str,
    flags: &mut Flags,
    policy: Policy,
) -> Result<()> {
    use crate::json::Number;

    macro_rules! int {
        ($v:expr, $t:ty) => {{
            let value = match number {
                Some(Number::Unsigned(n)) => <$t>::try_from(n).ok(),
                Some(Number::Negative(n)) => <$t>::try_from(n).ok(),
                // 3.0 is a whole number however it is written; 2^63 as a float is not exact enough to trust.
                Some(Number::Float { value, literal: true })
                    if value.fract() == 0.0 && value.abs() < 9.0e15 =>
                {
                    <$t>::try_from(value as i64).ok()
                }
                _ => None,
            };
            match value {
                Some(value) => $v.push(value),
                None => refuse!("input `{input}`: a value does not fit {}", stringify!($t)),
            }
        }};
    }
    let float = |flags: &mut Flags| -> Result<f64> {
        match number {
            None if policy.reject_non_finite => refuse!("input `{input}`: null is not accepted here"),
            None => Ok(f64::NAN),
            Some(n) if n.is_token() => {
                flags.non_finite_tokens = true;
                if policy.reject_non_finite {
                    refuse!("input `{input}`: NaN and infinities are not accepted here");
                }
                Ok(n.to_f64())
            }
            Some(n) => Ok(n.to_f64()),
        }
    };
    let finite = |value: f64| matches!(number, Some(n) if !n.is_token()) && !value.is_finite();
    match data {
        Data::Fp32(v) => {
            let value = float(flags)? as f32;
            if finite(f64::from(value)) {
                refuse!("input `{input}`: a value does not fit FP32");
            }
            v.push(value);
        }
        Data::Fp64(v) => {
            let value = float(flags)?;
            let exact = match number {
                Some(Number::Unsigned(n)) => n <= 1 << 53 || (value as u64 == n && n < u64::MAX),
                Some(Number::Negative(n)) => n >= -(1 << 53) || value as i64 == n,
                _ => true,
            };
            if finite(value) || !exact {
                refuse!("input `{input}`: a value does not fit FP64");
            }
            v.push(value);
        }
        Data::Bool(v) => match number {
            Some(Number::Unsigned(n @ (0 | 1))) => v.push(n == 1),
            _ => refuse!("input `{input}`: expected true or false"),
        },
        Data::Uint8(v) => int!(v, u8),
        Data::Uint16(v) => int!(v, u16),
        Data::Uint32(v) => int!(v, u32),
        Data::Uint64(v) => int!(v, u64),
        Data::Int8(v) => int!(v, i8),
        Data::Int16(v) => int!(v, i16),
        Data::Int32(v) => int!(v, i32),
        Data::Int64(v) => int!(v, i64),
        Data::Fp16(_) | Data::Bf16(_) => {
            refuse!("input `{input}`: {} has no JSON form; send it as a binary tensor", data.datatype())
        }
        Data::Bytes(_) => refuse!("input `{input}`: expected a string"),
    }
    Ok(())
}

/// Writes `shape` into `tensor` without allocating.
fn set_shape(tensor: &mut Tensor, shape: &[usize]) {
    tensor.shape = Shape::from_slice(shape);
}
