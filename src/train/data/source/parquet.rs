//! What the columns of Parquet files are.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};

use crate::data::error::DataError;
use crate::data::kind::Kind;

/// The columns of the first file, each of a type that holds the values of all. A column that a later file lacks would
/// be filled with nothing in silence, so it must be in each.
pub(crate) fn schema(paths: &[PathBuf]) -> Result<SchemaRef, DataError> {
    let mut fields: Vec<Field> = Vec::new();
    for (number, path) in paths.iter().enumerate() {
        let shown = path.display().to_string();
        let file = File::open(path).map_err(|error| DataError::of_io(&shown, &error))?;
        let found = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new())
            .map_err(|error| DataError::unreadable(&shown, error))?;
        if number == 0 {
            fields = found
                .schema()
                .fields()
                .iter()
                .map(|field| field.as_ref().clone().with_nullable(true))
                .collect();
            continue;
        }
        for field in &mut fields {
            let Ok(other) = found.schema().field_with_name(field.name()) else {
                return Err(DataError::unreadable(&shown, format!("it lacks column `{}`", field.name())));
            };
            let (here, there) = (field.data_type().clone(), other.data_type());
            let wider = wider(&here, there).ok_or_else(|| {
                let reason = format!("column `{}` is {there}, and {here} in the files before", field.name());
                DataError::unreadable(&shown, reason)
            })?;
            field.set_data_type(wider);
        }
    }
    Ok(Arc::new(Schema::new(fields)))
}

fn wider(a: &DataType, b: &DataType) -> Option<DataType> {
    if a == b {
        return Some(a.clone());
    }
    match (Kind::of(a)?, Kind::of(b)?) {
        (Kind::Integer, Kind::Integer) => Some(DataType::Int64),
        (Kind::Integer | Kind::Number, Kind::Integer | Kind::Number) => Some(DataType::Float64),
        // A column without any value is written as one of nothing.
        (Kind::Text, Kind::Text) if *a == DataType::Null => Some(b.clone()),
        (Kind::Text, Kind::Text) => Some(DataType::Utf8),
        (_, Kind::Text) if *b == DataType::Null => Some(a.clone()),
        (Kind::Text, _) if *a == DataType::Null => Some(b.clone()),
        (Kind::Time, Kind::Time) => Some(a.clone()),
        _ => None,
    }
}
