//! Rows to bodies: templates for the forms that services take, and tensors of the Open Inference Protocol.

use std::ops::Range;

use super::described::Described;
use crate::cli::rows::{Columns, Rows};
use crate::json::{Number, Reader, push_f64, push_i64, push_string};
use crate::model::Signature;
use crate::protocol::{self, Policy, Request};
use crate::tensor::Datatype;

/// A body with places for rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Form {
    /// For flags and reports.
    pub(in crate::cli) name: String,
    pub(in crate::cli) content_type: &'static str,
    template: String,
}

/// The forms known by name: name, content type, template.
const FORMS: [(&str, &str, &str); 10] = [
    ("records", JSON, "{{records}}"),
    ("record", JSON, "{{record}}"),
    ("rows", JSON, "{{rows}}"),
    ("instances", JSON, r#"{"instances":{{rows}}}"#),
    ("instances-records", JSON, r#"{"instances":{{records}}}"#),
    ("split", JSON, r#"{"dataframe_split":{"columns":{{columns}},"data":{{rows}}}}"#),
    ("inputs", JSON, r#"{"inputs":{{rows}}}"#),
    ("data", JSON, r#"{"data":{{rows}}}"#),
    ("features", JSON, r#"{"features":{{row}}}"#),
    ("csv", "text/csv", "{{csv}}"),
];

const JSON: &str = "application/json";

/// What a place is filled with: the first row, all rows, with or without names.
type Fill = fn(&Rows, Range<usize>, &mut Vec<u8>);

const PLACES: [(&str, Fill); 6] = [
    ("{{records}}", |rows, range, out| list(range, out, |row, out| record(rows, row, out))),
    ("{{record}}", |rows, range, out| record(rows, range.start, out)),
    ("{{rows}}", |rows, range, out| list(range, out, |row, out| values(rows, row, out))),
    ("{{row}}", |rows, range, out| values(rows, range.start, out)),
    ("{{columns}}", |rows, _, out| {
        list(0..rows.width, out, |column, out| push_string(out, rows.name(column).as_bytes()));
    }),
    ("{{csv}}", |rows, range, out| {
        for row in range {
            csv_line(rows, row, out);
        }
    }),
];

/// One tensor of an OIP request: some columns of the rows under a name.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::cli) struct Slot {
    pub(in crate::cli) name: String,
    pub(in crate::cli) datatype: Datatype,
    /// Extents behind the batch; `None` for a tensor without any dimension.
    tail: Option<Vec<usize>>,
    columns: Vec<usize>,
}

// === impl Form ===

impl Form {
    /// A form by its name, or a template of the user's own.
    ///
    /// # Errors
    /// When it is neither.
    pub(in crate::cli) fn parse(text: &str) -> Result<Self, String> {
        if text.contains("{{") {
            if !PLACES.iter().any(|(place, _)| text.contains(place)) {
                let places: Vec<&str> = PLACES.iter().map(|(place, _)| *place).collect();
                return Err(format!("--body has none of {}", places.join(", ")));
            }
            return Ok(Self { name: "--body".into(), content_type: JSON, template: text.into() });
        }
        let names: Vec<&str> = FORMS.iter().map(|(name, ..)| *name).collect();
        Self::named(text).ok_or_else(|| {
            format!(
                "--body takes a template such as {{\"features\": {{{{row}}}}}} or one of {}",
                names.join(", ")
            )
        })
    }

    fn named(name: &str) -> Option<Self> {
        let (name, content_type, template) = FORMS.iter().find(|(known, ..)| *known == name)?;
        Some(Self { name: (*name).into(), content_type, template: (*template).into() })
    }

    /// The forms of this list that these rows can take, in its order.
    pub(in crate::cli) fn all(names: &[&str], rows: &Rows, per_request: usize) -> Vec<Self> {
        let forms = names.iter().filter_map(|name| Self::named(name));
        forms.filter(|form| form.fits(rows, per_request)).collect()
    }

    fn fits(&self, rows: &Rows, per_request: usize) -> bool {
        let has = |place: &str| self.template.contains(place);
        let named = has("{{records}}") || has("{{record}}") || has("{{columns}}");
        let single = has("{{record}}") || has("{{row}}");
        (rows.names.is_some() || !named) && (per_request == 1 || !single)
    }

    /// The body of some rows.
    pub(in crate::cli) fn body(&self, rows: &Rows, range: &Range<usize>) -> Vec<u8> {
        let (mut out, mut rest) = (Vec::new(), self.template.as_str());
        while let Some(at) = rest.find("{{") {
            out.extend_from_slice(&rest.as_bytes()[..at]);
            rest = &rest[at..];
            match PLACES.iter().find(|(place, _)| rest.starts_with(place)) {
                Some((place, fill)) => {
                    fill(rows, range.clone(), &mut out);
                    rest = &rest[place.len()..];
                }
                None => {
                    out.extend_from_slice(b"{{");
                    rest = &rest[2..];
                }
            }
        }
        out.extend_from_slice(rest.as_bytes());
        out
    }
}

fn list(range: Range<usize>, out: &mut Vec<u8>, mut item: impl FnMut(usize, &mut Vec<u8>)) {
    out.push(b'[');
    let start = range.start;
    for index in range {
        if index > start {
            out.push(b',');
        }
        item(index, out);
    }
    out.push(b']');
}

fn values(rows: &Rows, row: usize, out: &mut Vec<u8>) {
    list(0..rows.width, out, |column, out| out.extend_from_slice(rows.cell(row, column)));
}

fn record(rows: &Rows, row: usize, out: &mut Vec<u8>) {
    for column in 0..rows.width {
        out.push(if column == 0 { b'{' } else { b',' });
        push_string(out, rows.name(column).as_bytes());
        out.push(b':');
        out.extend_from_slice(rows.cell(row, column));
    }
    out.push(b'}');
}

fn csv_line(rows: &Rows, row: usize, out: &mut Vec<u8>) {
    for column in 0..rows.width {
        if column > 0 {
            out.push(b',');
        }
        match rows.cell(row, column) {
            b"null" => {}
            text if text.starts_with(b"\"") => {
                let mut plain = Vec::new();
                // The cell was written as a JSON string, so it reads as one.
                let _ = Reader::new(text).string(&mut plain);
                out.push(b'"');
                plain.iter().for_each(|byte| {
                    out.extend_from_slice(if *byte == b'"' { b"\"\"" } else { std::slice::from_ref(byte) })
                });
                out.push(b'"');
            }
            number => out.extend_from_slice(number),
        }
    }
    out.push(b'\n');
}

// === tensors ===

/// The tensors of sidegate's own signature.
pub(in crate::cli) fn own_slots(signature: &Signature, columns: &Columns) -> Vec<Slot> {
    let mut start = 0;
    let slot = |(spec, width): (&crate::model::TensorSpec, &usize)| {
        let from = start;
        start += width;
        Slot {
            name: spec.name.to_string(),
            datatype: spec.datatype,
            tail: tail(&spec.shape, *width),
            columns: (from..from + width).collect(),
        }
    };
    signature.inputs.iter().zip(&columns.widths).map(slot).collect()
}

/// The tensors that another server describes, filled from our columns: by name where the names are ours, else in
/// order, whether it takes one matrix or a tensor per column.
///
/// # Errors
/// When the widths do not add up, or a datatype is unknown.
pub(in crate::cli) fn their_slots(
    inputs: &[Described],
    own: &[Slot],
    rows: &Rows,
) -> Result<Vec<Slot>, String> {
    // Some servers leave out what is behind the batch; a single input takes it all.
    let vague = |input: &Described| Described { shape: vec![-1, rows.width as i64], ..input.clone() };
    let filled: Vec<Described>;
    let inputs = match inputs {
        [only] if only.shape.len() < 2 && rows.width > 1 => {
            filled = vec![vague(only)];
            &filled
        }
        inputs => inputs,
    };
    let given: usize = inputs.iter().map(|input| width(&input.shape).unwrap_or(0)).sum();
    let open = inputs.iter().filter(|input| width(&input.shape).is_none()).count();
    let mut next = 0;
    let mut slots = Vec::new();
    for input in inputs {
        let wide = match (width(&input.shape), open) {
            (Some(wide), _) => wide,
            (None, 1) => rows.width.saturating_sub(given),
            (None, _) => 1,
        };
        let datatype = input.datatype.parse().map_err(|_| {
            format!("its input `{}` is of the unknown datatype `{}`", input.name, input.datatype)
        })?;
        let same = own.iter().find(|slot| slot.name == input.name && slot.columns.len() == wide);
        let column = rows.names.as_ref().and_then(|names| names.iter().position(|name| *name == input.name));
        let columns: Vec<usize> = match (same, column) {
            (Some(slot), _) => slot.columns.clone(),
            (None, Some(column)) if wide == 1 => vec![column],
            _ => (next..next + wide).collect(),
        };
        next += wide;
        slots.push(Slot { name: input.name.clone(), datatype, tail: tail(&input.shape, wide), columns });
    }
    if next != rows.width {
        let theirs: Vec<String> = inputs.iter().map(|i| format!("`{}` {:?}", i.name, i.shape)).collect();
        return Err(format!(
            "it takes {} ({next} values a row), this model {}",
            theirs.join(", "),
            rows.width
        ));
    }
    Ok(slots)
}

/// Values of a row, if the shape tells them.
fn width(shape: &[i64]) -> Option<usize> {
    let inner = shape.get(1..).unwrap_or_default();
    inner.iter().try_fold(1_usize, |width, extent| width.checked_mul(usize::try_from(*extent).ok()?))
}

/// Extents behind the batch, open ones filled so that they make up `width`.
fn tail(shape: &[i64], width: usize) -> Option<Vec<usize>> {
    let inner = shape.get(1..)?;
    let fixed: usize = inner.iter().filter_map(|extent| usize::try_from(*extent).ok()).product();
    let mut left = width.checked_div(fixed).unwrap_or(1).max(1);
    let extent = |extent: &i64| usize::try_from(*extent).unwrap_or_else(|_| std::mem::replace(&mut left, 1));
    Some(inner.iter().map(extent).collect())
}

/// An OIP request of some rows, for these outputs or for those that are given unasked.
pub(in crate::cli) fn oip(slots: &[Slot], outputs: &[String], rows: &Rows, range: &Range<usize>) -> Vec<u8> {
    let mut out = b"{\"inputs\":".to_vec();
    list(0..slots.len(), &mut out, |index, out| {
        let slot = &slots[index];
        out.extend_from_slice(b"{\"name\":");
        push_string(out, slot.name.as_bytes());
        let batch = slot.tail.as_ref().map(|_| range.len());
        let shape: Vec<usize> = batch.into_iter().chain(slot.tail.iter().flatten().copied()).collect();
        out.extend_from_slice(
            format!(",\"shape\":{shape:?},\"datatype\":\"{}\",\"data\":", slot.datatype).as_bytes(),
        );
        let width = slot.columns.len();
        list(0..range.len() * width, out, |at, out| {
            push_as(out, rows.cell(range.start + at / width, slot.columns[at % width]), slot.datatype);
        });
        out.push(b'}');
    });
    if !outputs.is_empty() {
        out.extend_from_slice(b",\"outputs\":");
        list(0..outputs.len(), &mut out, |index, out| {
            out.extend_from_slice(b"{\"name\":");
            push_string(out, outputs[index].as_bytes());
            out.push(b'}');
        });
    }
    out.push(b'}');
    out
}

/// Some rows as inputs, read by sidegate's own decoder.
///
/// # Errors
/// In the decoder's words.
pub(in crate::cli) fn request(
    signature: &Signature,
    columns: &Columns,
    rows: &Rows,
    range: &Range<usize>,
) -> Result<Request, String> {
    let body = oip(&own_slots(signature, columns), &[], rows, range);
    let mut request = Request::default();
    let policy = Policy { max_rows: usize::MAX, reject_non_finite: false };
    let decoded = protocol::oip::decode(&body, None, signature, policy, &mut request);
    decoded.map(|()| request).map_err(|error| error.to_string())
}

/// A cell as an element of a datatype: the text as it stands where that will do.
fn push_as(out: &mut Vec<u8>, cell: &[u8], datatype: Datatype) {
    let number = Reader::new(cell).number();
    match (datatype, number) {
        (Datatype::Bytes, _) if !cell.starts_with(b"\"") => push_string(out, cell),
        (Datatype::Bool, Ok(Number::Unsigned(n @ (0 | 1)))) => {
            out.extend_from_slice(if n == 1 { b"true" } else { b"false" });
        }
        (Datatype::Fp32 | Datatype::Fp64, _) if cell == b"true" => push_f64(out, 1.0, false),
        (Datatype::Fp32 | Datatype::Fp64, _) if cell == b"false" => push_f64(out, 0.0, false),
        (Datatype::Fp32 | Datatype::Fp64, _) | (_, Err(_)) => out.extend_from_slice(cell),
        (_, Ok(Number::Float { value, .. })) if value.fract() == 0.0 && value.abs() < 9e15 => {
            push_i64(out, value as i64);
        }
        _ => out.extend_from_slice(cell),
    }
}

#[cfg(test)]
mod tests;
