//! What the columns of CSV files are. Fields are read as texts: what stands for no value differs from column to
//! column, and a field that is no number shall be named in the error.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use datafusion::arrow::csv::reader::Format;
use regex::Regex;

use crate::data::config::CsvOptions;
use crate::data::error::DataError;
use crate::data::kind::Kind;

/// The columns of all files, in the first one's order.
pub(crate) fn columns(paths: &[PathBuf], options: &CsvOptions) -> Result<Vec<(String, Kind)>, DataError> {
    let mut columns: Vec<(String, Kind)> = Vec::new();
    for (number, path) in paths.iter().enumerate() {
        let shown = path.display().to_string();
        let found = infer(path, options).map_err(|error| DataError::unreadable(&shown, error))?;
        if number == 0 {
            columns = found;
            continue;
        }
        // Fields are taken by position: another order would swap columns in silence.
        if !found.iter().map(|(name, _)| name).eq(columns.iter().map(|(name, _)| name)) {
            return Err(DataError::unreadable(
                &shown,
                "its columns are not those of the first file, in the same order",
            ));
        }
        for ((_, kind), (_, other)) in columns.iter_mut().zip(found) {
            *kind = kind.or(other);
        }
    }
    let mut names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    if let Some([twice, _]) = names.array_windows().find(|[a, b]| a == b) {
        return Err(DataError::unreadable("the first line", format!("column `{twice}` stands there twice")));
    }
    Ok(columns)
}

fn infer(path: &Path, options: &CsvOptions) -> Result<Vec<(String, Kind)>, String> {
    let nulls: Vec<String> = options.nulls.iter().map(|null| regex::escape(null)).collect();
    let nulls = Regex::new(&format!("^(?:{})?$", nulls.join("|"))).map_err(|error| error.to_string())?;
    let mut reader = BufReader::new(File::open(path).map_err(|error| error.to_string())?);
    // Spreadsheets begin a file with a byte order mark.
    if reader.fill_buf().map_err(|error| error.to_string())?.starts_with(b"\xef\xbb\xbf") {
        reader.consume(3);
    }
    let (schema, _) = Format::default()
        .with_header(true)
        .with_delimiter(u8::try_from(options.delimiter).unwrap_or(b','))
        .with_quote(u8::try_from(options.quote).unwrap_or(b'"'))
        .with_null_regex(nulls)
        .infer_schema(reader, Some(options.infer_rows))
        .map_err(|error| error.to_string())?;
    let column = |field: &std::sync::Arc<datafusion::arrow::datatypes::Field>| {
        (field.name().clone(), Kind::of(field.data_type()).unwrap_or(Kind::Text))
    };
    Ok(schema.fields().iter().map(column).collect())
}
