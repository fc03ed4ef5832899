//! The lines of a segment, some at a time, as columns of given types, whatever it is written in.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, StructArray, new_null_array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::json::ReaderBuilder;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use datafusion::parquet::file::metadata::ParquetMetaData;
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};
use serde::Deserialize;

use super::holds::Holds;
use super::place::Segment;
use crate::data::error::DataError;
use crate::data::range::{Instants, parse_instant};

/// Bytes of lines that are held at a time, and the line beyond, which may have 8 MiB.
const BYTES: usize = 1 << 20;
/// Short lines that are held at a time.
const MOST: usize = 4096;
/// Lines of a Parquet segment that are held at a time: the longest have a few hundred KiB each.
const LINES: usize = 64;

type Lines = BufReader<StreamingDecoder<BufReader<File>, FrameDecoder>>;
/// Takes some lines of a segment.
pub(super) type Each<'a> = dyn FnMut(&Segment, &RecordBatch) -> Result<(), DataError> + 'a;

/// Adds what the lines of a segment have as inputs, and what the values of each are. What was asked outside of a range may
/// have been another model; Parquet, which tells columns and not lines, is taken whole.
pub(super) fn learn(
    inputs: &mut BTreeMap<String, Holds>,
    segment: &Segment,
    range: &Instants,
) -> Result<(), DataError> {
    let mut add = |name: &str, found: Holds| match inputs.get_mut(name) {
        Some(known) => *known = known.or(found),
        None => drop(inputs.insert(name.to_owned(), found)),
    };
    if segment.is_parquet() {
        let file = parquet(segment)?;
        let empty = empty(file.metadata());
        if let Ok(field) = file.schema().field_with_name("inputs")
            && let DataType::Struct(fields) = field.data_type()
        {
            for field in fields {
                let found = match field.data_type() {
                    DataType::List(element) if !empty.contains(field.name()) => {
                        Holds::of(element.data_type())
                    }
                    _ => Holds::Nothing,
                };
                add(field.name(), found);
            }
        }
        return Ok(());
    }
    let broken = |error: &dyn std::fmt::Display| DataError::unreadable(&segment.key, error);
    let (mut lines, mut line) = (lines(segment)?, Vec::new());
    while lines.read_until(b'\n', &mut line).map_err(|error| broken(&error))? > 0 {
        let found: Line = serde_json::from_slice(&line).map_err(|error| broken(&error))?;
        let is_within =
            *range == Instants::default() || parse_instant(&found.t).is_some_and(|at| range.has(at));
        for (name, values) in found.inputs.into_iter().filter(|_| found.outcome == "ok" && is_within) {
            add(&name, values.unwrap_or_default().into_iter().fold(Holds::Nothing, Holds::or));
        }
        line.clear();
    }
    whole(segment, &lines)
}

/// Of a line, what says which inputs there are.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Line {
    t: String,
    outcome: String,
    /// A list that is redacted is null.
    inputs: BTreeMap<String, Option<Vec<Holds>>>,
}

/// The inputs without a value: Parquet has a type for them all the same.
fn empty(file: &ParquetMetaData) -> HashSet<String> {
    let mut empty = HashMap::new();
    for column in file.row_groups().iter().flat_map(|group| group.columns()) {
        if let [inputs, name, ..] = column.column_path().parts()
            && inputs == "inputs"
        {
            let nulls = column.statistics().and_then(|statistics| statistics.null_count_opt());
            let none = nulls.is_some_and(|nulls| nulls.cast_signed() == column.num_values());
            *empty.entry(name.clone()).or_insert(true) &= none;
        }
    }
    empty.into_iter().filter_map(|(name, none)| none.then_some(name)).collect()
}

/// Reads the lines of a segment as columns of `schema`; what a line has not is null.
pub(super) fn read(segment: &Segment, schema: &SchemaRef, each: &mut Each<'_>) -> Result<(), DataError> {
    let broken = |error: &dyn std::fmt::Display| DataError::unreadable(&segment.key, error);
    if segment.is_parquet() {
        let reader = parquet(segment)?.with_batch_size(LINES).build().map_err(|error| broken(&error))?;
        for batch in reader {
            let batch = batch.and_then(|batch| conform(&batch, schema)).map_err(|error| broken(&error))?;
            each(segment, &batch)?;
        }
        return Ok(());
    }
    let mut decoder = ReaderBuilder::new(schema.clone())
        .with_batch_size(MOST)
        // What is a number to one version may be a text to the next.
        .with_coerce_primitive(true)
        .build_decoder()
        .map_err(|error| broken(&error))?;
    let mut lines = lines(segment)?;
    let (mut line, mut held, mut count) = (Vec::new(), 0, 0);
    loop {
        line.clear();
        let read = lines.read_until(b'\n', &mut line).map_err(|error| broken(&error))?;
        (held, count) = (held + read, count + 1);
        decoder.decode(&line).map_err(|error| broken(&error))?;
        if read == 0 || held >= BYTES || count == MOST {
            (held, count) = (0, 0);
            if let Some(batch) = decoder.flush().map_err(|error| broken(&error))? {
                each(segment, &batch)?;
            }
        }
        if read == 0 {
            return whole(segment, &lines);
        }
    }
}

fn parquet(segment: &Segment) -> Result<ParquetRecordBatchReaderBuilder<File>, DataError> {
    let file = File::open(&segment.path).map_err(|error| DataError::of_io(&segment.key, &error))?;
    ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| DataError::unreadable(&segment.key, error))
}

fn lines(segment: &Segment) -> Result<Lines, DataError> {
    let file = File::open(&segment.path).map_err(|error| DataError::of_io(&segment.key, &error))?;
    let decoder = StreamingDecoder::new(BufReader::new(file));
    Ok(BufReader::new(decoder.map_err(|error| DataError::unreadable(&segment.key, error))?))
}

/// After its last byte: whether a segment is as it was written.
fn whole(segment: &Segment, lines: &Lines) -> Result<(), DataError> {
    let decoder = &lines.get_ref().decoder;
    if decoder.get_checksum_from_data() == decoder.get_calculated_checksum() {
        return Ok(());
    }
    Err(DataError::unreadable(&segment.key, "its checksum is not that of its lines: the file is damaged"))
}

/// A batch with the columns of `schema` alone.
fn conform(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let rows = StructArray::from(batch.clone());
    let columns = fields(&rows, schema.fields())?;
    RecordBatch::try_new(schema.clone(), columns)
}

fn fields(from: &StructArray, wanted: &Fields) -> Result<Vec<ArrayRef>, ArrowError> {
    let column = |field: &Arc<Field>| match (from.column_by_name(field.name()), field.data_type()) {
        (None, _) => Ok(new_null_array(field.data_type(), from.len())),
        (Some(found), DataType::Struct(inner)) => match found.as_struct_opt() {
            Some(found) => {
                let nulls = found.nulls().cloned();
                let inner_columns = fields(found, inner)?;
                Ok(Arc::new(StructArray::try_new_with_length(
                    inner.clone(),
                    inner_columns,
                    nulls,
                    found.len(),
                )?) as _)
            }
            None => Ok(new_null_array(field.data_type(), from.len())),
        },
        (Some(found), wanted) => cast(found, wanted),
    };
    wanted.iter().map(column).collect()
}

/// A schema of columns that may all be null.
pub(super) fn nullable(columns: Vec<(&str, DataType)>) -> SchemaRef {
    let fields = columns.into_iter().map(|(name, kind)| Field::new(name, kind, true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}
