use std::fs;

use super::{DAY_ONE, digest, file, numbers, open, rows, texts};
use crate::data::DataError;
use crate::data::kind::Kind;
use crate::data::schema::Schema;

#[test]
fn quirks_of_spreadsheets_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    let text = "\u{feff}id,Name of it,price,when,ok,note\r\n\
        1,\"Smith, \"\"Jo\"\"\",1.5,2024-01-01 00:00:00,true,x\r\n\
        NA,\"two\nlines\", 2 ,2024-01-01T02:00:00+02:00,FALSE,\r\n\
        3,,NaN,,NA,NULL\r\n";
    fs::write(&path, text).unwrap();
    let data = open(&file(&path, "")).unwrap();
    let kinds: Vec<Kind> = data.columns().iter().map(|field| field.kind).collect();
    assert_eq!(kinds[..2], [Kind::Integer, Kind::Text]);
    assert_eq!(kinds[3..], [Kind::Time, Kind::Boolean, Kind::Text]);
    let data = open(&file(&path, "types = { price = \"number\" }")).unwrap();
    let (columns, _) = rows(&data, &Schema::default());
    assert_eq!(numbers(&columns[0]), [1.0, -1.0, 3.0]);
    assert_eq!(texts(&columns[1]), ["Smith, \"Jo\"", "two\nlines", ""]);
    assert_eq!(numbers(&columns[2]), [1.5, 2.0, -1.0]);
    assert_eq!(columns[3], super::times([Some(DAY_ONE), Some(DAY_ONE), None]));
    assert_eq!(numbers(&columns[4]), [1.0, 0.0, -1.0]);
    assert_eq!(texts(&columns[5]), ["x", "", ""]);
}

#[test]
fn a_value_of_another_type_is_named_with_its_row() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    fs::write(&path, "a\n1\n2\nx7\n").unwrap();
    let data = open(&file(&path, "csv = { infer_rows = 2 }")).unwrap();
    match data.validate(&Schema::default(), false, DAY_ONE).err() {
        Some(DataError::Malformed { column, row: 3, value, .. }) => {
            assert_eq!((&*column, &*value), ("a", "x7"))
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn columns_in_another_order_are_refused_and_not_swapped() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("1.csv"), "a,b\n1,2\n").unwrap();
    fs::write(folder.path().join("2.csv"), "b,a\n1,2\n").unwrap();
    let error = open(&file(folder.path(), "")).err().unwrap();
    assert!(error.to_string().contains("in the same order"), "{error}");
}

#[test]
fn the_digest_is_that_of_the_values_and_not_of_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, halves) = (folder.path().join("whole.csv"), folder.path().join("halves"));
    fs::create_dir(&halves).unwrap();
    fs::write(&whole, "a;t\n1;x\n;y\n3;z\n").unwrap();
    fs::write(halves.join("1.csv"), "a;t\n1;x\nNA;y\n").unwrap();
    fs::write(halves.join("2.csv"), "a;t\n3;\"z\"\n").unwrap();
    let of = |path: &std::path::Path| digest(&open(&file(path, "csv = { delimiter = \";\" }")).unwrap());
    assert_eq!(of(&whole), of(&halves));
    fs::write(halves.join("2.csv"), "a;t\n3;zz\n").unwrap();
    assert_ne!(of(&whole), of(&halves));
}

#[test]
fn a_date_range_holds_for_texts_and_for_numbers_of_seconds() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    fs::write(&path, "d,s,v\n2024-01-01,1704067200,1\n2024-01-02T10:00:00,1704189600,2\nNA,NA,3\n2024-01-03,1704240000,4\n")
        .unwrap();
    let range = "date_range = { start = \"2024-01-01\", end = \"2024-01-03\" }";
    for more in
        [format!("date_column = \"d\"\n{range}"), format!("date_column = \"s\"\ndate_unit = \"s\"\n{range}")]
    {
        let (columns, _) = rows(&open(&file(&path, &more)).unwrap(), &Schema::default());
        assert_eq!(numbers(&columns[2]), [1.0, 2.0], "{more}");
    }
    let error = open(&file(&path, &format!("date_column = \"v\"\n{range}"))).err();
    assert!(error.is_none(), "a CSV column is a text until it is read: {error:?}");
}
