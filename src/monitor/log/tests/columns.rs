//! Parquet has what lines have.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use ::parquet::file::reader::{FileReader, SerializedFileReader};
use ::parquet::record::Field;

use super::*;
use crate::config::SegmentFormat;
use crate::monitor::log::columns::parquet;
use crate::monitor::log::line::moment;

const PREDICTIONS: &str = include_str!("../../../../tests/fixtures/formats/predictions.ndjson");
const OUTCOMES: &str = include_str!("../../../../tests/fixtures/formats/outcomes.ndjson");

fn open(segment: &[u8]) -> SerializedFileReader<File> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(segment).unwrap();
    SerializedFileReader::new(file).unwrap()
}

/// The rows of a segment, as lines say them.
fn rows(segment: &[u8]) -> Vec<Value> {
    let reader = open(segment);
    reader.get_row_iter(None).unwrap().map(|row| value(&Field::Group(row.unwrap()))).collect()
}

fn value(field: &Field) -> Value {
    match field {
        Field::Null => Value::Null,
        Field::Bool(value) => (*value).into(),
        Field::Long(value) => (*value).into(),
        Field::Double(value) => (*value).into(),
        Field::Str(value) => value.as_str().into(),
        Field::TimestampMicros(value) => moment(*value as u64).into(),
        Field::ListInternal(list) => list.elements().iter().map(value).collect(),
        Field::Group(row) => {
            row.get_column_iter().map(|(name, field)| (name.clone(), value(field))).collect()
        }
        other => panic!("{other:?}"),
    }
}

/// That a row is its line; what only other lines have is null.
#[track_caller]
fn same(row: &Value, line: &Value) {
    match (row, line) {
        (Value::Object(row), Value::Object(line)) => {
            row.iter().for_each(|(name, value)| same(value, line.get(name).unwrap_or(&Value::Null)));
            line.iter()
                .filter(|(_, value)| !value.is_null())
                .for_each(|(name, _)| assert!(row.contains_key(name), "{name}"));
        }
        _ => assert_eq!(row, line),
    }
}

#[track_caller]
fn check(segment: &[u8], lines: &str) {
    let rows = rows(segment);
    assert_eq!(rows.len(), lines.lines().count());
    rows.iter().zip(lines.lines()).for_each(|(row, line)| same(row, &serde_json::from_str(line).unwrap()));
}

#[test]
fn every_value_of_lines_is_read_back() {
    for (lines, name) in [(PREDICTIONS, "predictions.parquet"), (OUTCOMES, "outcomes.parquet")] {
        let segment = parquet(lines.as_bytes()).unwrap();
        check(&segment, lines);
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/formats").join(name);
        if !path.exists() {
            std::fs::write(&path, segment).unwrap();
            panic!("tests/fixtures/formats/{name} was not there; it is written, commit it");
        }
        check(&std::fs::read(path).unwrap(), lines);
    }
    let none = [r#"{"inputs":{"a":[],"b":[[],[1]]}}"#, r#"{"inputs":{"b":null}}"#, r#"{"inputs":{"a":[2]}}"#]
        .join("\n");
    check(&parquet(none.as_bytes()).unwrap(), &none);
}

#[test]
fn columns_are_the_same_where_nothing_is_known_of_them() {
    let schema = |lines: &str| {
        let segment = parquet(lines.as_bytes()).unwrap();
        let columns = open(&segment).metadata().file_metadata().schema_descr().columns().to_vec();
        columns
            .iter()
            .map(|column| format!("{} {}", column.path().string(), column.physical_type()))
            .collect::<Vec<_>>()
    };
    let line = |at: usize| OUTCOMES.lines().nth(at).unwrap();
    assert_eq!(schema(line(0)), schema(line(1)));
    assert_eq!(schema(OUTCOMES), schema(line(2)));
    let nulls =
        r#"{"propensity":null,"error":null,"inputs":{"a":null,"b":[null],"c":[[null]]},"outputs":null}"#;
    assert_eq!(
        schema(nulls),
        [
            "propensity DOUBLE",
            "error BYTE_ARRAY",
            "inputs.a.list.element DOUBLE",
            "inputs.b.list.element DOUBLE",
            "inputs.c.list.element.list.element DOUBLE"
        ]
    );
}

#[test]
fn types_are_widened_and_what_has_none_in_common_is_refused() {
    let line = |value: &str| format!("{{\"inputs\":{{\"a\":{value}}}}}\n");
    let both = |one, other| parquet((line(one) + &line(other)).as_bytes());
    let rows = rows(&both("[1]", "[0.5]").unwrap());
    assert_eq!(rows[0]["inputs"]["a"], serde_json::json!([1.0]));
    for (one, other, problem) in [
        ("[1]", "[\"1\"]", "`inputs.a` has values of more than one type"),
        ("[true]", "[1]", "`inputs.a` has values of more than one type"),
        ("[1]", "[[1]]", "`inputs.a` has values of more than one type"),
        ("[1]", "[9223372036854775808]", "a whole number is above 2^63 - 1"),
    ] {
        let error = both(one, other).unwrap_err().to_string();
        assert!(error.contains(problem), "{error}");
    }
}

#[test]
fn a_large_segment_has_several_groups_of_rows() {
    let lines = PREDICTIONS.repeat((18 << 20) / PREDICTIONS.len());
    let segment = parquet(lines.as_bytes()).unwrap();
    assert_eq!(open(&segment).metadata().num_row_groups(), 2);
    check(&segment, &lines);
}

#[test]
fn a_segment_of_columns_has_the_requests_of_one_of_lines() {
    let [ndjson, columns] = [SegmentFormat::Ndjson, SegmentFormat::Parquet].map(|format| {
        let bench = bench(|config| config.prediction_log.format = format);
        let version = pair();
        (0..50).for_each(|n| bench.send(&version, &format!("id-{n}"), 1 + n % 3));
        let Bench { writer, store, metrics, log } = bench;
        writer.finish();
        assert_eq!((metrics.logged.get(), log.held.0.load(Relaxed)), (50, 0));
        store
    });
    let objects = columns.objects.lock().unwrap();
    let (key, segment) = objects.first_key_value().unwrap();
    assert!(objects.len() == 1 && key.ends_with("-000001.parquet"), "{key}");
    let (lines, rows) = (ndjson.lines("predictions/"), rows(segment));
    assert_eq!(rows.len(), lines.len());
    for (mut row, line) in rows.into_iter().zip(lines) {
        row["t"] = line["t"].clone();
        same(&row, &line);
    }
}

#[test]
fn what_cannot_be_columns_is_written_as_lines() {
    let bench = bench(|config| config.prediction_log.format = SegmentFormat::Parquet);
    for data in [Data::Fp32(vec![1.0, 2.0]), Data::Bool(vec![true, false])] {
        let mut inputs = vec![Tensor::new(&[1, 2], data)];
        bench.log.send(logged(&pair(), "id"), &mut inputs, &mut Vec::new(), Hand::Over);
    }
    let Bench { writer, store, metrics, .. } = bench;
    writer.finish();
    assert!(store.objects.lock().unwrap().keys().all(|key| key.ends_with(".ndjson.zst")));
    assert_eq!((store.lines("predictions/").len(), metrics.logged.get()), (2, 2));
}
