//! Rows of a database, in a Parquet file.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BooleanBuilder, Float64Builder, Int64Builder, StringBuilder, TimestampMillisecondBuilder,
};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::Compression;
use datafusion::parquet::file::properties::WriterProperties;
use tokio_postgres::Row;

use crate::data::error::DataError;
use crate::data::kind::Kind;

const BATCH: usize = 4096;
/// Small enough that a group of a wide table is no matter of memory.
const ROW_GROUP: usize = 1 << 16;

/// Rows on their way into a file.
pub(crate) struct Spool {
    schema: SchemaRef,
    writer: ArrowWriter<File>,
    columns: Vec<Builder>,
    rows: usize,
}

enum Builder {
    Booleans(BooleanBuilder),
    Integers(Int64Builder),
    Numbers(Float64Builder),
    Texts(StringBuilder),
    Times(TimestampMillisecondBuilder),
}

impl Builder {
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::Boolean => Self::Booleans(BooleanBuilder::new()),
            Kind::Integer => Self::Integers(Int64Builder::new()),
            Kind::Number => Self::Numbers(Float64Builder::new()),
            Kind::Text => Self::Texts(StringBuilder::new()),
            Kind::Time => Self::Times(TimestampMillisecondBuilder::new().with_timezone("UTC")),
        }
    }

    fn push(&mut self, row: &Row, at: usize) -> Result<(), tokio_postgres::Error> {
        match self {
            Self::Booleans(builder) => builder.append_option(row.try_get(at)?),
            Self::Integers(builder) => builder.append_option(row.try_get(at)?),
            Self::Numbers(builder) => builder.append_option(row.try_get(at)?),
            Self::Texts(builder) => builder.append_option(row.try_get::<_, Option<&str>>(at)?),
            Self::Times(builder) => builder.append_option(row.try_get(at)?),
        }
        Ok(())
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Booleans(builder) => Arc::new(builder.finish()),
            Self::Integers(builder) => Arc::new(builder.finish()),
            Self::Numbers(builder) => Arc::new(builder.finish()),
            Self::Texts(builder) => Arc::new(builder.finish()),
            Self::Times(builder) => Arc::new(builder.finish()),
        }
    }
}

fn stored(kind: Kind) -> DataType {
    match kind {
        Kind::Boolean => DataType::Boolean,
        Kind::Integer => DataType::Int64,
        Kind::Number => DataType::Float64,
        Kind::Text => DataType::Utf8,
        Kind::Time => DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
    }
}

fn local(error: impl std::fmt::Display) -> DataError {
    DataError::refused("the copy in data.temp_dir", error)
}

impl Spool {
    pub(crate) fn create(path: &Path, columns: &[(String, Kind)]) -> Result<Self, DataError> {
        let fields = columns.iter().map(|(name, kind)| Field::new(name, stored(*kind), true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_max_row_group_row_count(Some(ROW_GROUP))
            .build();
        let file = File::create(path).map_err(local)?;
        let writer = ArrowWriter::try_new(file, schema.clone(), Some(properties)).map_err(local)?;
        let columns = columns.iter().map(|(_, kind)| Builder::new(*kind)).collect();
        Ok(Self { schema, writer, columns, rows: 0 })
    }

    pub(crate) fn push(&mut self, row: &Row) -> Result<(), DataError> {
        for (at, column) in self.columns.iter_mut().enumerate() {
            column.push(row, at).map_err(|error| DataError::unreadable("the database", error))?;
        }
        self.rows += 1;
        if self.rows == BATCH { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), DataError> {
        self.rows = 0;
        let arrays = self.columns.iter_mut().map(Builder::finish).collect();
        let batch = RecordBatch::try_new(self.schema.clone(), arrays).map_err(local)?;
        self.writer.write(&batch).map_err(local)
    }

    pub(crate) fn finish(mut self) -> Result<(), DataError> {
        if self.rows > 0 {
            self.flush()?;
        }
        self.writer.close().map_err(local)?;
        Ok(())
    }
}
