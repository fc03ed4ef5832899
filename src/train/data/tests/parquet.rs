use std::sync::Arc;

use datafusion::arrow::array::{
    BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array, ListArray, StringArray,
    StringDictionaryBuilder, TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray,
};
use datafusion::arrow::datatypes::{Int32Type, Int64Type};

use super::{DAY, DAY_ONE, array, digest, file, numbers, open, rows, texts, write_parquet};
use crate::data::DataError;
use crate::data::schema::Schema;

#[test]
fn every_type_that_a_model_can_take_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let mut dictionary = StringDictionaryBuilder::<Int32Type>::new();
    dictionary.append_value("x");
    dictionary.append_null();
    let decimals = Decimal128Array::from(vec![Some(1250), None]).with_precision_and_scale(10, 2).unwrap();
    write_parquet(
        &path,
        vec![
            ("integers", array(Int32Array::from(vec![Some(7), None]))),
            ("numbers", array(Float64Array::from(vec![Some(f64::NAN), Some(0.5)]))),
            ("decimals", array(decimals)),
            ("booleans", array(BooleanArray::from(vec![Some(true), None]))),
            ("categories", array(dictionary.finish())),
            ("days", array(Date32Array::from(vec![Some(19_723), None]))),
            ("plain", array(TimestampNanosecondArray::from(vec![Some(DAY_ONE * 1_000_000 + 999), None]))),
            (
                "zoned",
                array(
                    TimestampMicrosecondArray::from(vec![Some(DAY_ONE * 1000), None])
                        .with_timezone("America/New_York"),
                ),
            ),
        ],
    );
    let (columns, _) = rows(&open(&file(&path, "")).unwrap(), &Schema::default());
    assert_eq!(numbers(&columns[0]), [7.0, -1.0]);
    assert_eq!(numbers(&columns[1]), [-1.0, 0.5]);
    assert_eq!(numbers(&columns[2]), [12.5, -1.0]);
    assert_eq!(numbers(&columns[3]), [1.0, -1.0]);
    assert_eq!(texts(&columns[4]), ["x", ""]);
    for times in &columns[5..] {
        assert_eq!(*times, super::times([Some(DAY_ONE), None]));
    }
}

#[test]
fn a_list_is_refused_only_when_it_is_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let lists = ListArray::from_iter_primitive::<Int64Type, _, _>([Some([Some(1)]), Some([Some(2)])]);
    write_parquet(&path, vec![("l", array(lists)), ("a", array(Int64Array::from(vec![1, 2])))]);
    match open(&file(&path, "")).err() {
        Some(DataError::Unsupported { column, .. }) => assert_eq!(column, "l"),
        other => panic!("{other:?}"),
    }
    assert!(open(&file(&path, "columns = [\"a\"]")).is_ok());
}

#[test]
fn the_range_is_pushed_into_the_scan_and_its_end_is_not_in() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let days = || (0..10_i64).map(|day| DAY_ONE + day * DAY);
    write_parquet(
        &path,
        vec![
            ("When", array(TimestampMillisecondArray::from_iter_values(days()).with_timezone("Asia/Tokyo"))),
            ("day", array(Date32Array::from_iter_values(19_723..19_733))),
            ("s", array(Int64Array::from_iter_values(days().map(|ms| ms / 1000)))),
            ("text", array(StringArray::from_iter_values((1..11).map(|day| format!("2024-01-{day:02}"))))),
            ("v", array(Int64Array::from_iter_values(0..10))),
        ],
    );
    let range = "date_range = { start = \"2024-01-03\", end = \"2024-01-05T00:00:00Z\" }\ncolumns = [\"v\"]";
    for (column, unit) in [("When", ""), ("day", ""), ("s", "date_unit = \"s\""), ("text", "")] {
        let data = open(&file(&path, &format!("date_column = \"{column}\"\n{unit}\n{range}"))).unwrap();
        let (columns, _) = rows(&data, &Schema::default());
        assert_eq!(numbers(&columns[0]), [2.0, 3.0], "{column}");
        assert!(data.describe().unwrap().contains("filters=["), "{}", data.describe().unwrap());
    }
    let error = open(&file(&path, &format!("date_column = \"s\"\n{range}"))).err().unwrap();
    assert!(error.to_string().contains("date_unit"), "{error}");
    // A day counts from its midnight: a start in the middle of one begins with the next.
    let middle =
        "date_column = \"day\"\ndate_range = { start = \"2024-01-03T00:00:01Z\" }\ncolumns = [\"v\"]";
    let (columns, _) = rows(&open(&file(&path, middle)).unwrap(), &Schema::default());
    assert_eq!(numbers(&columns[0])[0], 3.0);
}

#[test]
fn files_that_disagree_are_widened_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("1.parquet"), folder.path().join("2.parquet"));
    write_parquet(&one, vec![("a", array(Int32Array::from(vec![1])))]);
    write_parquet(
        &two,
        vec![("b", array(Int32Array::from(vec![9]))), ("a", array(Float64Array::from(vec![2.5])))],
    );
    let (columns, _) = rows(&open(&file(folder.path(), "")).unwrap(), &Schema::default());
    assert_eq!(numbers(&columns[0]), [1.0, 2.5]);
    write_parquet(&two, vec![("a", array(StringArray::from(vec!["x"])))]);
    let error = open(&file(folder.path(), "")).err().unwrap();
    assert!(error.to_string().contains("column `a` is Utf8"), "{error}");
    write_parquet(&two, vec![("b", array(Int32Array::from(vec![9])))]);
    let error = open(&file(folder.path(), "")).err().unwrap();
    assert!(error.to_string().contains("lacks column `a`"), "{error}");
}

#[test]
fn csv_and_parquet_of_the_same_values_have_one_digest() {
    let folder = tempfile::tempdir().unwrap();
    let (parquet, csv) = (folder.path().join("a.parquet"), folder.path().join("a.csv"));
    write_parquet(
        &parquet,
        vec![
            ("a", Arc::new(Int64Array::from(vec![Some(1), None])) as _),
            ("t", array(StringArray::from(vec![Some("x"), None]))),
        ],
    );
    std::fs::write(&csv, "a,t\n1,x\n,\n").unwrap();
    assert_eq!(digest(&open(&file(&parquet, "")).unwrap()), digest(&open(&file(&csv, "")).unwrap()));
}
