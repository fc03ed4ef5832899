//! `--requests FILE`: bodies that are sent as they are to the other side, and read by sidegate's own decoders here.

use std::io::{BufRead, BufReader};
use std::path::Path;

use crate::cli::rows::{Batch, Columns, MAX_CELLS, Rows};
use crate::json::{Number, Reader, push_f32, push_f64, push_i64, push_string, push_u64};
use crate::model::Signature;
use crate::protocol::table::{self, Json};
use crate::protocol::{Policy, Request};
use crate::tensor::{Data, Tensor};

/// Longest line.
const MAX_LINE: usize = 8 << 20;

/// Reads the first `limit` bodies of a file with one in each line.
///
/// # Errors
/// When a line is no request that the model takes, with its number.
pub(super) fn read(
    path: &Path,
    signature: &Signature,
    known: &[String],
    limit: usize,
) -> Result<(Rows, Vec<Batch>), String> {
    let file = path.display();
    let opened = std::fs::File::open(path).map_err(|error| format!("{file}: {error}"))?;
    let (mut rows, mut batches) = (None, Vec::new());
    for (number, line) in BufReader::new(opened).split(b'\n').enumerate() {
        let line = line.map_err(|error| format!("{file}: {error}"))?;
        let body = line.trim_ascii();
        if body.is_empty() {
            continue;
        }
        if batches.len() == limit {
            break;
        }
        let at = |text: String| format!("{file}, line {}: {text}", number + 1);
        if body.len() > MAX_LINE {
            return Err(at(format!("more than {} MiB", MAX_LINE >> 20)));
        }
        let lines = decode(body, signature, known).map_err(at)?;
        let first = lines.first().map_or(0, Vec::len);
        let rows = match &mut rows {
            Some(rows) => rows,
            empty => {
                let names = Columns::new(signature, known, Some(first))?.names;
                empty.insert(Rows::new(file.to_string(), first, names))
            }
        };
        if first != rows.width || lines.iter().any(|cells| cells.len() != first) {
            return Err(at(format!("rows of {first} values, those before had {}", rows.width)));
        }
        let start = rows.len();
        if (start + lines.len()) * rows.width > MAX_CELLS {
            return Err(at(format!("more than {MAX_CELLS} values; take fewer requests with -n")));
        }
        lines.iter().flatten().for_each(|cell| rows.push(cell));
        batches.push(Batch { rows: start..rows.len(), verbatim: Some(body.to_vec()) });
    }
    match rows {
        Some(rows) => Ok((rows, batches)),
        None => Err(format!("{file} has no requests")),
    }
}

/// The cells of a body, row by row.
fn decode(body: &[u8], signature: &Signature, known: &[String]) -> Result<Vec<Vec<Vec<u8>>>, String> {
    let mut reader = Reader::new(body);
    let document = Json::read(&mut reader).map_err(|error| format!("no JSON: {error}"))?;
    reader.end().map_err(|error| format!("no JSON: {error}"))?;
    if let Some(lines) = tensors(&document) {
        return Ok(lines);
    }
    // As it is; one record or row by itself; what lies under the only key of an object, as services name it freely.
    let inner = match &document {
        Json::Object(entries) if entries.len() == 1 => Some(text(&entries[0].1)),
        _ => None,
    };
    let listed = |body: &[u8]| [b"[", body, b"]"].concat();
    let wrapped = inner.as_ref().map(|inner| listed(inner));
    let attempts = [Some(body.to_vec()), Some(listed(body)), inner, wrapped];
    let policy = Policy { max_rows: usize::MAX, reject_non_finite: false };
    let mut request = Request::default();
    let mut refusal = None;
    for attempt in attempts.into_iter().flatten() {
        match table::decode(&attempt, signature, known, policy, &mut request) {
            Ok(()) => return Ok(cells(&request.inputs)),
            Err(error) => refusal = refusal.or(Some(error.to_string())),
        }
    }
    Err(format!("not a request that this model takes: {}", refusal.unwrap_or_default()))
}

/// The rows of an OIP request, whatever its inputs are called: another server may have other names for them.
fn tensors(document: &Json) -> Option<Vec<Vec<Vec<u8>>>> {
    let Some(Json::Array(inputs)) = document.get("inputs") else { return None };
    inputs.first()?.get("datatype")?;
    let mut lines: Vec<Vec<Vec<u8>>> = Vec::new();
    for input in inputs {
        let mut values = Vec::new();
        flatten(input.get("data")?, &mut values);
        let rows = match input.get("shape")? {
            Json::Array(extents) => match extents.first() {
                Some(Json::Number(rows)) => rows.to_f64() as usize,
                _ => 1,
            },
            _ => return None,
        };
        if rows == 0 || !values.len().is_multiple_of(rows) || (!lines.is_empty() && lines.len() != rows) {
            return None;
        }
        lines.resize(rows, Vec::new());
        let width = values.len() / rows;
        for (line, cells) in lines.iter_mut().zip(values.chunks(width.max(1))) {
            line.extend_from_slice(cells);
        }
    }
    Some(lines)
}

fn flatten(value: &Json, into: &mut Vec<Vec<u8>>) {
    match value {
        Json::Array(items) => items.iter().for_each(|item| flatten(item, into)),
        scalar => into.push(text(scalar)),
    }
}

/// A value as JSON again.
fn text(value: &Json) -> Vec<u8> {
    let mut out = Vec::new();
    write(value, &mut out);
    out
}

fn write(value: &Json, out: &mut Vec<u8>) {
    match value {
        Json::Null => out.extend_from_slice(b"null"),
        Json::Bool(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
        Json::Number(Number::Unsigned(n)) => push_u64(out, *n),
        Json::Number(Number::Negative(n)) => push_i64(out, *n),
        Json::Number(number) => push_f64(out, number.to_f64(), false),
        Json::String(text) => push_string(out, text),
        Json::Array(items) => {
            for (position, item) in items.iter().enumerate() {
                out.push(if position == 0 { b'[' } else { b',' });
                write(item, out);
            }
            out.extend_from_slice(if items.is_empty() { b"[]" } else { b"]" });
        }
        Json::Object(entries) => {
            for (position, (key, item)) in entries.iter().enumerate() {
                out.push(if position == 0 { b'{' } else { b',' });
                push_string(out, key.as_bytes());
                out.push(b':');
                write(item, out);
            }
            out.extend_from_slice(if entries.is_empty() { b"{}" } else { b"}" });
        }
    }
}

/// Decoded inputs as cells, row by row.
pub(in crate::cli) fn cells(inputs: &[Tensor]) -> Vec<Vec<Vec<u8>>> {
    let rows = inputs.first().map_or(1, Tensor::rows);
    let line = |row: usize| {
        let of = |tensor: &Tensor| {
            let width = tensor.data.len().checked_div(rows).unwrap_or(0);
            (row * width..(row + 1) * width).map(|index| element(&tensor.data, index)).collect::<Vec<_>>()
        };
        inputs.iter().flat_map(of).collect()
    };
    (0..rows).map(line).collect()
}

/// One element as a JSON scalar.
fn element(data: &Data, index: usize) -> Vec<u8> {
    let mut out = Vec::new();
    match data {
        Data::Fp32(v) => push_f32(&mut out, v[index], false),
        Data::Fp64(v) => push_f64(&mut out, v[index], false),
        Data::Fp16(v) => push_f32(&mut out, half::f16::from_bits(v[index]).to_f32(), false),
        Data::Bf16(v) => push_f32(&mut out, half::bf16::from_bits(v[index]).to_f32(), false),
        Data::Bool(v) => out.extend_from_slice(if v[index] { b"true" } else { b"false" }),
        Data::Uint8(v) => push_u64(&mut out, v[index].into()),
        Data::Uint16(v) => push_u64(&mut out, v[index].into()),
        Data::Uint32(v) => push_u64(&mut out, v[index].into()),
        Data::Uint64(v) => push_u64(&mut out, v[index]),
        Data::Int8(v) => push_i64(&mut out, v[index].into()),
        Data::Int16(v) => push_i64(&mut out, v[index].into()),
        Data::Int32(v) => push_i64(&mut out, v[index].into()),
        Data::Int64(v) => push_i64(&mut out, v[index]),
        Data::Bytes(v) => push_string(&mut out, v.get(index).unwrap_or_default()),
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::TensorSpec;
    use crate::tensor::Datatype;

    fn lines(body: &str) -> Result<Vec<String>, String> {
        let spec =
            TensorSpec { name: "x".into(), datatype: Datatype::Fp32, shape: vec![-1, 2], labels: None };
        let signature = Signature { inputs: vec![spec], outputs: Vec::new() };
        let lines = decode(body.as_bytes(), &signature, &[])?;
        let line = |cells: Vec<Vec<u8>>| String::from_utf8(cells.join(&b' ')).unwrap();
        Ok(lines.into_iter().map(line).collect())
    }

    /// Tensors keep the text of the body; tables went through float32.
    fn is_one_two(line: &str) -> bool {
        ["1 2", "1.0 2.0"].contains(&line)
    }

    #[test]
    fn every_form_that_services_take_is_read() {
        for body in [
            r#"{"inputs":[{"name":"input-0","shape":[2,2],"datatype":"FP64","data":[1,2,3.5,null]}]}"#,
            r#"{"inputs":[{"name":"a","shape":[2],"datatype":"FP32","data":[1,3.5]},
                {"name":"b","shape":[2,1],"datatype":"FP32","data":[[2],[null]]}]}"#,
            r#"[{"a":1,"b":2},{"a":3.5,"b":null}]"#,
            r#"{"instances":[[1,2],[3.5,null]]}"#,
            r#"{"dataframe_split":{"columns":["a","b"],"data":[[1,2],[3.5,null]]}}"#,
            r#"{"features":[[1,2],[3.5,null]]}"#,
        ] {
            let lines = lines(body).unwrap();
            assert!(is_one_two(&lines[0]) && lines[1] == "3.5 null" && lines.len() == 2, "{body}: {lines:?}");
        }
        for body in [r#"{"a":1,"b":2}"#, r#"{"features":[1,2]}"#, r#"{"x":{"a":1,"b":2}}"#, "[1,2]"] {
            assert!(is_one_two(&lines(body).unwrap()[0]), "{body}");
        }
        for body in ["{", r#"{"features":[1,2,3]}"#, "7"] {
            assert!(lines(body).is_err(), "{body}");
        }
    }
}
