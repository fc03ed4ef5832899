//! Rows on their way into a Parquet file, each with its place in the log.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, Int64Array};
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::Compression;
use datafusion::parquet::file::properties::WriterProperties;

use super::columns::{Columns, moment};
use super::lines::nullable;
use crate::data::error::DataError;

/// Bytes that a writer holds before it writes them.
const GROUP: usize = 4 << 20;

/// A file that rows are added to.
pub(super) struct Spool {
    schema: SchemaRef,
    writer: ArrowWriter<File>,
    rows: u64,
}

/// The name of an input in the copy: what inputs are called must not collide with what the log calls its own.
pub(super) fn input(number: usize) -> String {
    format!("c{number}")
}

/// Rows of predictions, without their places.
pub(super) fn predictions(columns: &Columns) -> SchemaRef {
    let names: Vec<String> = (0..columns.inputs.len()).map(input).collect();
    let mut all =
        vec![("key", DataType::Utf8), ("row", DataType::Int64), ("t", moment()), ("unit", DataType::Utf8)];
    all.extend(names.iter().map(String::as_str).zip(columns.inputs.iter().map(|(_, kind)| kind.clone())));
    all.push(("seq", DataType::Int64));
    nullable(all)
}

/// Rows of actuals, without their places: these are the order in which they arrived.
pub(super) fn outcomes() -> SchemaRef {
    nullable(vec![
        ("key", DataType::Utf8),
        ("row", DataType::Int64),
        ("actual", DataType::Float64),
        ("class", DataType::Utf8),
        ("model", DataType::Utf8),
        ("seq", DataType::Int64),
    ])
}

/// Requests of other models, without their places.
pub(super) fn others() -> SchemaRef {
    nullable(vec![("key", DataType::Utf8), ("t", moment()), ("seq", DataType::Int64)])
}

fn local(error: impl std::fmt::Display) -> DataError {
    DataError::refused("the copy in data.temp_dir", error)
}

impl Spool {
    /// A file of columns, the last of which is the place.
    pub(super) fn create(path: &Path, schema: SchemaRef) -> Result<Self, DataError> {
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        let file = File::create(path).map_err(local)?;
        let writer = ArrowWriter::try_new(file, schema.clone(), Some(properties)).map_err(local)?;
        Ok(Self { schema, writer, rows: 0 })
    }

    /// Adds rows whose places follow from those before.
    pub(super) fn push(&mut self, mut columns: Vec<ArrayRef>) -> Result<(), DataError> {
        let rows = columns.first().map_or(0, Array::len) as u64;
        let first = self.rows;
        columns.push(Arc::new(Int64Array::from_iter_values((first..first + rows).map(u64::cast_signed))));
        self.add(columns)
    }

    /// Adds rows that have all columns.
    pub(super) fn add(&mut self, columns: Vec<ArrayRef>) -> Result<(), DataError> {
        let batch = RecordBatch::try_new(self.schema.clone(), columns).map_err(local)?;
        self.rows += batch.num_rows() as u64;
        self.writer.write(&batch).map_err(local)?;
        if self.writer.in_progress_size() > GROUP { self.writer.flush().map_err(local) } else { Ok(()) }
    }

    /// Closes the file; how many rows it has.
    pub(super) fn finish(self) -> Result<u64, DataError> {
        self.writer.close().map_err(local)?;
        Ok(self.rows)
    }
}
