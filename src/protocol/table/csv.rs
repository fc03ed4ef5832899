//! `text/csv` for `/invocations`: with a header when its names are the model's, else by position (SageMaker).

use super::{Form, Json, fill, known_columns};
use crate::json::Reader;
use crate::model::Signature;
use crate::protocol::{DecodeError, Policy, Request, Result, refuse};

/// Decodes a CSV body (RFC 4180).
///
/// # Errors
/// Whatever does not fit, in words for the client.
pub fn decode_csv(
    body: &[u8],
    signature: &Signature,
    columns: &[String],
    policy: Policy,
    request: &mut Request,
) -> Result<()> {
    request.reset(signature);
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(body);
    let mut rows = Vec::new();
    let mut names = None;
    let known = known_columns(signature, columns);
    for record in reader.byte_records() {
        let record = record.map_err(|e| DecodeError(format!("invalid CSV: {e}")))?;
        if rows.is_empty()
            && names.is_none()
            && record.iter().any(|f| std::str::from_utf8(f).is_ok_and(|f| known(f.trim())))
        {
            names = Some(Json::Array(record.iter().map(|f| Json::String(f.trim_ascii().to_vec())).collect()));
            continue;
        }
        rows.push(Json::Array(record.iter().map(cell).collect()));
        if rows.len() > policy.max_rows {
            refuse!("more than {} rows", policy.max_rows);
        }
    }
    let data = Json::Array(rows);
    match &names {
        Some(columns_row) => {
            fill(Form::Split { columns: columns_row, data: &data }, signature, columns, policy, request)
        }
        None => fill(Form::Any(&data), signature, columns, policy, request),
    }
}

/// A field is a number if it reads as one, missing if it is empty, else text.
fn cell(field: &[u8]) -> Json {
    let text = field.trim_ascii();
    let mut reader = Reader::new(text);
    match reader.number() {
        _ if text.is_empty() => Json::Null,
        Ok(number) if reader.end().is_ok() => Json::Number(number),
        _ => Json::String(field.to_vec()),
    }
}
