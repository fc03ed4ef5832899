mod bucket;
mod csv;
mod database;
mod load;
mod memory;
mod parquet;
mod prediction_log;
mod schema;
mod split;

use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::file::properties::WriterProperties;

use crate::data::config::DataConfig;
use crate::data::schema::Schema;
use crate::data::split::SplitConfig;
use crate::data::{Access, Data, DataError, Wanted};
use crate::features::RawColumn;
use crate::features::raw::Whole;
use crate::table::Part;

/// 2024-01-01T00:00:00Z.
const DAY_ONE: i64 = 1_704_067_200_000;
const DAY: i64 = 86_400_000;

fn data_config(text: &str) -> DataConfig {
    DataConfig::from_table(text.parse().unwrap()).unwrap()
}

fn split_config(text: &str) -> SplitConfig {
    SplitConfig::from_table(text.parse().unwrap()).unwrap()
}

fn open(config: &str) -> Result<Data, DataError> {
    open_split(config, "")
}

fn open_split(config: &str, split: &str) -> Result<Data, DataError> {
    let access =
        Access { wanted: Wanted::Rows, environment: &|_| None, bucket: &|_| Err("no buckets here".into()) };
    Data::open(&data_config(config), &split_config(split), &access)
}

/// `source = "file"` with a path, and more.
fn file(path: &Path, more: &str) -> String {
    format!("source = \"file\"\npath = {:?}\n{more}", path.to_str().unwrap())
}

fn write_parquet(path: &Path, columns: Vec<(&str, ArrayRef)>) {
    let batch =
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, a)| (n, a, true))).unwrap();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(1000)).build();
    let file = std::fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn array<A: datafusion::arrow::array::Array + 'static>(array: A) -> ArrayRef {
    Arc::new(array)
}

/// All rows that pass, as one batch.
fn rows(data: &Data, schema: &Schema) -> (Vec<RawColumn>, Vec<Part>) {
    let validated = data.validate(schema, false, DAY_ONE).unwrap();
    let mut all: Vec<RawColumn> = Vec::new();
    let mut parts = Vec::new();
    data.scan(&validated, None, &mut |batch| {
        parts.extend_from_slice(&batch.parts);
        if all.is_empty() {
            all = batch.raw.columns.clone();
            return Ok(());
        }
        for (all, some) in all.iter_mut().zip(&batch.raw.columns) {
            match (all, some) {
                (RawColumn::Numbers(all), RawColumn::Numbers(some)) => all.extend_from_slice(some),
                (RawColumn::Texts(all), RawColumn::Texts(some)) => {
                    some.iter().for_each(|text| all.push(text))
                }
                (RawColumn::Integers(all), RawColumn::Integers(some))
                | (RawColumn::Times(all), RawColumn::Times(some)) => {
                    *all = all.iter().chain(some.iter()).collect();
                }
                _ => panic!("a column changed its type between batches"),
            }
        }
        Ok(())
    })
    .unwrap();
    (all, parts)
}

/// Numbers with -1 for missing ones, so that they can be compared.
fn numbers(column: &RawColumn) -> Vec<f32> {
    match column {
        RawColumn::Numbers(numbers) => {
            numbers.iter().map(|number| if number.is_nan() { -1.0 } else { *number }).collect()
        }
        RawColumn::Integers(whole) => whole.iter().map(|number| number.map_or(-1.0, |n| n as f32)).collect(),
        _ => panic!("{column:?} are no numbers"),
    }
}

fn texts(column: &RawColumn) -> Vec<&str> {
    let RawColumn::Texts(texts) = column else { panic!("{column:?} are no texts") };
    texts.iter().map(|text| std::str::from_utf8(text).unwrap()).collect()
}

/// Times of these milliseconds.
fn times<const N: usize>(millis: [Option<i64>; N]) -> RawColumn {
    RawColumn::Times(millis.iter().map(|millis| millis.map(|millis| millis / 1000)).collect::<Whole>())
}

fn digest(data: &Data) -> String {
    data.validate(&Schema::default(), false, DAY_ONE).unwrap().report.digest
}
