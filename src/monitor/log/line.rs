//! Lines of the prediction log, format 1: one JSON object each, with the same fields in the same order.
//!
//! Columns are lists with an element for each row, so that a reader unnests them side by side. What JSON cannot say is
//! `null` (NaN) or the largest number of either sign (infinities), so that a column has one type in every line.

use std::ops::Range;

use super::{Kept, Logged, Noted};
use crate::config::Redaction;
use crate::json::{push_f32, push_f64, push_i64, push_string, push_u64};
use crate::metrics::Outcome;
use crate::model::TensorSpec;
use crate::tensor::{Data, Tensor};

/// The number of this form.
pub(super) const FORMAT: u64 = 1;
/// Bytes of tensors that a line is to hold; of larger requests each line has a part of the rows.
const PART: usize = 128 << 10;
/// Stands for an infinity.
const LARGEST: &[u8] = b"1.7976931348623157e308";

/// What may not be written of one model.
pub(super) struct Hidden<'a> {
    model: &'a str,
    redact: &'a [Redaction],
}

/// Where the values of one field are.
struct Column<'a> {
    tensor: &'a Tensor,
    /// Elements of a row, of the tensor's own.
    elements: Range<usize>,
    /// Extents of a row; none where it has one value.
    extents: &'a [usize],
}

// === impl Hidden ===

impl<'a> Hidden<'a> {
    pub(super) const fn new(model: &'a str, redact: &'a [Redaction]) -> Self {
        Self { model, redact }
    }

    /// Those that concern the model.
    fn own(&self) -> impl Iterator<Item = &'a Redaction> {
        let model = self.model;
        self.redact.iter().filter(move |item| item.model.as_ref().is_none_or(|name| name.as_str() == model))
    }

    fn hides(&self, name: &str) -> bool {
        self.own().any(|item| item.name == name)
    }

    fn hides_inputs(&self) -> bool {
        self.hides(Redaction::INPUTS)
    }

    /// What was said of this very model, and is no name of it.
    pub(super) fn strange(&self, logged: &Logged) -> Vec<&'a str> {
        let version = &logged.version;
        let specs = version.signature.inputs.iter().chain(&version.signature.outputs);
        let mut names: Vec<&str> = specs.map(|spec| &*spec.name).collect();
        names.extend(version.columns.iter().map(String::as_str));
        names.extend([Redaction::INPUTS, "id"]);
        let named = self.own().filter(|item| item.model.is_some()).map(|item| item.name.as_str());
        named.filter(|name| !names.contains(name)).collect()
    }
}

/// Appends the lines of a request that had been read at `at`, in microseconds since 1970.
pub(super) fn push_prediction(out: &mut Vec<u8>, kept: &Kept, at: u64, hidden: &Hidden<'_>) {
    let rows = kept.inputs.first().or(kept.outputs.first()).map_or(1, Tensor::rows);
    let tensors = || kept.inputs.iter().chain(&kept.outputs);
    let bytes: usize = tensors().map(|tensor| tensor.data.held_bytes()).sum();
    // Where a tensor is no list of rows, nothing tells which part of it belongs to which.
    let whole = rows < 2 || tensors().any(|tensor| tensor.rows() != rows);
    let part = if whole { rows } else { (PART / (bytes / rows).max(1)).max(1) };
    let mut first = 0;
    loop {
        let range = first..(first + part).min(rows);
        first = range.end;
        push_part(out, kept, at, hidden, if whole { None } else { Some(range) }, rows);
        if first >= rows {
            return;
        }
    }
}

fn push_part(
    out: &mut Vec<u8>,
    kept: &Kept,
    at: u64,
    hidden: &Hidden<'_>,
    part: Option<Range<usize>>,
    rows: usize,
) {
    let logged = &kept.logged;
    push_head(out, "prediction", at, hidden.hides("id"), Some(&logged.id), Some(logged.key));
    let model = &logged.version.model;
    field(out, "model");
    push_string(out, model.as_str().as_bytes());
    field(out, "version");
    let remote = logged.arm.as_ref().is_some_and(|arm| arm.remote.is_some());
    let version = if remote { "remote".to_owned() } else { logged.version.version.to_string() };
    push_string(out, version.as_bytes());
    let part_of = logged.part.as_ref();
    text(out, "experiment", part_of.map(|(track, _)| track.experiment.name.as_str()));
    text(out, "variant", logged.arm.as_ref().map(|arm| arm.name.as_str()));
    field(out, "propensity");
    match part_of {
        Some((track, enrolled)) => push_f32(out, track.propensity(enrolled.variant), false),
        None => null(out),
    }
    text(out, "unit", part_of.map(|(_, enrolled)| hex(enrolled.unit)).as_deref());
    field(out, "fallback");
    out.extend_from_slice(if logged.fell_back { b"true" } else { b"false" });
    text(out, "outcome", Some(logged.outcome.name()));
    text(out, "error", logged.error);
    micros(out, "duration_us", logged.times.total);
    micros(out, "infer_us", logged.times.infer);
    field(out, "row");
    let range = part.clone().unwrap_or(0..rows);
    push_u64(out, range.start as u64);
    field(out, "rows");
    push_u64(out, range.len() as u64);
    field(out, "inputs");
    push_inputs(out, kept, hidden, part.clone());
    field(out, "outputs");
    if logged.outcome == Outcome::Ok {
        out.push(b'{');
        for (at, (spec, tensor)) in logged.version.signature.outputs.iter().zip(&kept.outputs).enumerate() {
            comma(out, at);
            push_field(out, &spec.name, whole(spec, tensor), hidden.hides(&spec.name), part.clone());
        }
        out.push(b'}');
    } else {
        null(out);
    }
    out.extend_from_slice(b"}\n");
}

fn push_inputs(out: &mut Vec<u8>, kept: &Kept, hidden: &Hidden<'_>, part: Option<Range<usize>>) {
    let version = &kept.logged.version;
    let (specs, columns) = (version.signature.inputs.as_slice(), version.columns.as_slice());
    let all = hidden.hides_inputs();
    out.push(b'{');
    match (specs, kept.inputs.as_slice()) {
        // A matrix whose columns have names.
        ([spec], [tensor])
            if tensor.shape.len() == 2 && !columns.is_empty() && tensor.shape[1] == columns.len() =>
        {
            let all = all || hidden.hides(&spec.name);
            for (at, name) in columns.iter().enumerate() {
                comma(out, at);
                let column = Column { tensor, elements: at..at + 1, extents: &[] };
                push_field(out, name, column, all || hidden.hides(name), part.clone());
            }
        }
        (specs, tensors) => {
            // Where columns cannot be told apart, one that is not to be written takes the others along.
            let all = all || (specs.len() == 1 && columns.iter().any(|name| hidden.hides(name)));
            for (at, (spec, tensor)) in specs.iter().zip(tensors).enumerate() {
                comma(out, at);
                push_field(
                    out,
                    &spec.name,
                    whole(spec, tensor),
                    all || hidden.hides(&spec.name),
                    part.clone(),
                );
            }
        }
    }
    out.push(b'}');
}

/// All of a tensor. Whether a row is a value or a list of them follows from what is declared, so that it is the same in
/// every line.
fn whole<'a>(spec: &TensorSpec, tensor: &'a Tensor) -> Column<'a> {
    let extents = tensor.shape.get(1..).unwrap_or_default();
    let elements = 0..extents.iter().product();
    let single = match spec.shape.as_slice() {
        [] | [_] | [_, 1] => extents.len() < 2 && elements == (0..1),
        _ => extents.is_empty(),
    };
    Column { tensor, elements, extents: if single { &[] } else { extents } }
}

fn push_field(out: &mut Vec<u8>, name: &str, column: Column<'_>, hidden: bool, part: Option<Range<usize>>) {
    push_string(out, name.as_bytes());
    out.push(b':');
    if hidden {
        return null(out);
    }
    let tensor = column.tensor;
    let rows = part.unwrap_or(0..tensor.rows());
    let width = tensor.data.len().checked_div(tensor.rows()).unwrap_or(0);
    out.push(b'[');
    for (at, row) in rows.enumerate() {
        comma(out, at);
        let first = row * width;
        push_nested(out, &tensor.data, first + column.elements.start, column.extents);
    }
    out.push(b']');
}

fn push_nested(out: &mut Vec<u8>, data: &Data, first: usize, extents: &[usize]) {
    let Some((extent, inner)) = extents.split_first() else { return push_element(out, data, first) };
    let step: usize = inner.iter().product();
    out.push(b'[');
    for at in 0..*extent {
        comma(out, at);
        push_nested(out, data, first + at * step, inner);
    }
    out.push(b']');
}

fn push_element(out: &mut Vec<u8>, data: &Data, at: usize) {
    match data {
        Data::Fp32(v) => push_float(out, v[at]),
        Data::Fp16(v) => push_float(out, half::f16::from_bits(v[at]).to_f32()),
        Data::Bf16(v) => push_float(out, half::bf16::from_bits(v[at]).to_f32()),
        Data::Fp64(v) if v[at].is_infinite() => push_largest(out, v[at] < 0.0),
        Data::Fp64(v) => push_f64(out, v[at], false),
        Data::Bool(v) => out.extend_from_slice(if v[at] { b"true" } else { b"false" }),
        Data::Uint8(v) => push_u64(out, v[at].into()),
        Data::Uint16(v) => push_u64(out, v[at].into()),
        Data::Uint32(v) => push_u64(out, v[at].into()),
        Data::Uint64(v) => push_u64(out, v[at]),
        Data::Int8(v) => push_i64(out, v[at].into()),
        Data::Int16(v) => push_i64(out, v[at].into()),
        Data::Int32(v) => push_i64(out, v[at].into()),
        Data::Int64(v) => push_i64(out, v[at]),
        Data::Bytes(v) => push_string(out, v.get(at).unwrap_or_default()),
    }
}

fn push_float(out: &mut Vec<u8>, value: f32) {
    if value.is_infinite() {
        push_largest(out, value < 0.0);
    } else {
        push_f32(out, value, false);
    }
}

#[cold]
fn push_largest(out: &mut Vec<u8>, negative: bool) {
    out.extend_from_slice(if negative { b"-" } else { b"" });
    out.extend_from_slice(LARGEST);
}

/// Appends the line of an outcome.
pub(super) fn push_outcome(out: &mut Vec<u8>, noted: &Noted, redact: &[Redaction]) {
    let hidden = match &noted.model {
        Some(model) => Hidden::new(model, redact).hides("id"),
        // It may be of any.
        None => redact.iter().any(|item| item.name == "id"),
    };
    let id = noted.id.as_ref().map(String::as_bytes);
    push_head(out, "outcome", noted.at * 1000, hidden, id, noted.key);
    text(out, "model", noted.model.as_deref());
    field(out, "row");
    match noted.row {
        Some(row) => push_u64(out, row as u64),
        None => null(out),
    }
    number(out, "actual", noted.actual);
    text(out, "class", noted.class.as_deref());
    text(out, "experiment", noted.unit.as_ref().map(|(experiment, _)| experiment.as_str()));
    text(out, "unit", noted.unit.as_ref().map(|(_, unit)| hex(*unit)).as_deref());
    text(out, "metric", noted.metric.as_ref().map(|(metric, _)| metric.as_str()));
    number(out, "value", noted.metric.as_ref().map(|(_, value)| *value));
    text(out, "status", Some(noted.status));
    out.extend_from_slice(b"}\n");
}

/// What every line begins with.
fn push_head(out: &mut Vec<u8>, kind: &str, at: u64, hidden: bool, id: Option<&[u8]>, key: Option<u64>) {
    out.extend_from_slice(b"{\"format\":");
    push_u64(out, FORMAT);
    text(out, "kind", Some(kind));
    text(out, "t", Some(&moment(at)));
    field(out, "id");
    match id.filter(|_| !hidden) {
        Some(id) => push_string(out, id),
        None => null(out),
    }
    text(out, "key", key.map(hex).as_deref());
}

/// Microseconds since 1970 as RFC 3339, always as long.
pub(super) fn moment(micros: u64) -> String {
    let time = time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1000)
        .unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
    let (year, month, day) = time.to_calendar_date();
    let (hour, minute, second, micros) = time.to_hms_micro();
    format!("{year:04}-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z", u8::from(month))
}

fn hex(number: u64) -> String {
    format!("{number:016x}")
}

fn field(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn text(out: &mut Vec<u8>, name: &str, value: Option<&str>) {
    field(out, name);
    match value {
        Some(value) => push_string(out, value.as_bytes()),
        None => null(out),
    }
}

fn number(out: &mut Vec<u8>, name: &str, value: Option<f64>) {
    field(out, name);
    match value {
        Some(value) => push_f64(out, value, false),
        None => null(out),
    }
}

/// Nanoseconds as microseconds with one decimal.
fn micros(out: &mut Vec<u8>, name: &str, nanos: u64) {
    field(out, name);
    push_u64(out, nanos / 1000);
    out.push(b'.');
    push_u64(out, nanos / 100 % 10);
}

fn null(out: &mut Vec<u8>) {
    out.extend_from_slice(b"null");
}

fn comma(out: &mut Vec<u8>, at: usize) {
    if at > 0 {
        out.push(b',');
    }
}
