//! The lines of a segment as a Parquet file: a row for each line, a column for each field, of the same name.
//!
//! Lines are read twice: for the types of their fields, then for their values, so that no more is held than the columns
//! of a row group. `inputs` and `outputs` are structs of lists, as readers make of the lines, so that queries are the
//! same.

mod column;
mod value;

use std::sync::Arc;

use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;

use column::{Column, Fields, Level};
use value::Value;

/// Bytes of lines in a row group.
const GROUP_BYTES: usize = 16 << 20;

/// Makes a file of lines.
///
/// # Errors
/// What lines hold that columns of one type each cannot.
pub(super) fn parquet(lines: &[u8]) -> Result<Vec<u8>, ParquetError> {
    let lines = || lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let mut fields = Fields::default();
    for line in lines() {
        let several = |path| ParquetError::General(format!("`{path}` has values of more than one type"));
        fields.widen(&read(line)?).map_err(several)?;
    }
    let mut fields = settled(fields);
    let schema = Type::group_type_builder("segment").with_fields(fields.types()?).build()?;
    // Of what this build can compress with, every reader takes it.
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut file = SerializedFileWriter::new(Vec::new(), Arc::new(schema), Arc::new(properties))?;
    let mut lines = lines().peekable();
    while lines.peek().is_some() {
        let mut bytes = 0;
        while let Some(line) = lines.next_if(|_| bytes < GROUP_BYTES) {
            fields.push(read(line)?, Level::default())?;
            bytes += line.len();
        }
        let mut group = file.next_row_group()?;
        fields.write(&mut group)?;
        group.close()?;
    }
    file.into_inner()
}

fn read(line: &[u8]) -> Result<Vec<(String, Value)>, ParquetError> {
    match serde_json::from_slice(line).map_err(|error| ParquetError::External(error.into()))? {
        Value::Struct(fields) => Ok(fields),
        _ => Err(ParquetError::General("a line is no object".into())),
    }
}

/// Gives a type to what is `null` in all lines: its own, so that files have the same columns. Without one is what has no
/// fields at all, as outputs where no request was answered; Parquet has no such struct.
fn settled(fields: Fields) -> Fields {
    let settle = |(name, column): (String, Column)| {
        let column = match (name.as_str(), column) {
            ("t", Column::Text(_)) => Column::Moment(Default::default()),
            ("row", Column::Unknown) => Column::Int(Default::default()),
            ("propensity" | "actual" | "value", Column::Unknown) => Column::Double(Default::default()),
            ("inputs" | "outputs", Column::Struct(Fields(of))) if !of.is_empty() => {
                // What is redacted is a list, and most lists are of numbers.
                let list = |(name, column): (String, Column)| match column {
                    Column::Unknown => (name, Column::List(Box::new(Column::Unknown.or_double()))),
                    other => (name, other.or_double()),
                };
                Column::Struct(Fields(of.into_iter().map(list).collect()))
            }
            ("inputs" | "outputs", _) => return None,
            (_, Column::Unknown) => Column::Text(Default::default()),
            (_, other) => other,
        };
        Some((name, column))
    };
    Fields(fields.0.into_iter().filter_map(settle).collect())
}
