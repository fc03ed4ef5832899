//! Files of all kinds, against models of all kinds.

use super::*;
use crate::model::TensorSpec;

fn input(name: &str, datatype: Datatype, shape: &[i64]) -> TensorSpec {
    TensorSpec { name: name.into(), datatype, shape: shape.to_vec(), labels: None }
}

fn read(
    text: &str,
    inputs: Vec<TensorSpec>,
    known: &[&str],
    dropped: &[&str],
) -> Result<Vec<String>, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rows.csv");
    std::fs::write(&path, text).unwrap();
    let signature = &Signature { inputs, outputs: Vec::new() };
    let owned = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
    let (known, dropped) = (&owned(known), &owned(dropped));
    let wanted = Wanted { signature, known, dropped, header: false, most_rows: 10, most_cells: 100 };
    let (rows, _) = CsvFile::read(&path, 10)?.rows(&wanted)?;
    let line = |row| {
        let cells = (0..rows.width).map(|column| String::from_utf8(rows.cell(row, column).to_vec()).unwrap());
        cells.collect::<Vec<_>>().join(" ")
    };
    Ok((0..rows.len()).map(line).collect())
}

fn matrix() -> Vec<TensorSpec> {
    vec![input("x", Datatype::Fp32, &[-1, 2])]
}

/// A number and a text.
fn two() -> Vec<TensorSpec> {
    vec![input("n", Datatype::Fp32, &[-1, 1]), input("s", Datatype::Bytes, &[-1, 1])]
}

#[test]
fn columns_are_matched_by_name_or_taken_in_order() {
    let open = || vec![input("x", Datatype::Fp32, &[-1, -1])];
    let one = || vec![input("x", Datatype::Fp32, &[-1, 1])];
    for (text, inputs, known, dropped, rows) in [
        ("1,2\n3,\n", matrix(), &[][..], &[][..], &["1 2", "3 null"][..]),
        ("a,b\n1,.5\n", matrix(), &[], &[], &["1 0.5"]),
        ("b,a,y\n1,2,no\n", matrix(), &["a", "b"], &[], &["2 1"]),
        ("a,b,y\n1,NaN,0\n", matrix(), &[], &["y"], &["1 null"]),
        ("b,a,y\n1,2,no\n", matrix(), &["a", "b"], &["y"], &["2 1"]),
        ("1,2\n", matrix(), &["a", "b"], &[], &["1 2"]),
        ("a,b,c\n1,2,3\n", open(), &[], &[], &["1 2 3"]),
        ("y,x\n1,2\n", one(), &[], &[], &["2"]),
        ("s,n\n\"a \"\"b\",7\n,\n", two(), &[], &[], &["7 \"a \\\"b\"", "null \"\""]),
    ] {
        assert_eq!(read(text, inputs, known, dropped).unwrap(), rows, "{text}");
    }
}

#[test]
fn cells_become_what_their_column_takes() {
    for missing in ["", " ", "NA", "n/a", "#N/A", "<NA>", "NaN", "-nan", "NULL", "None", "\\N"] {
        assert_eq!(cell(missing, Datatype::Fp32).unwrap(), b"null", "{missing:?}");
    }
    for (field, datatype, wanted) in [
        (" 1.50 ", Datatype::Fp32, "1.50"),
        ("+1", Datatype::Fp64, "1"),
        ("True", Datatype::Fp32, "true"),
        ("0", Datatype::Bool, "false"),
        ("True", Datatype::Bool, "true"),
        ("7.0", Datatype::Int64, "7.0"),
        ("0123", Datatype::Bytes, "\"0123\""),
        ("NA", Datatype::Bytes, "\"NA\""),
    ] {
        let cell = cell(field, datatype).unwrap();
        assert!(
            String::from_utf8_lossy(&cell).trim_end_matches(".0") == wanted.trim_end_matches(".0"),
            "{field}"
        );
    }
    for (field, datatype, wrong) in [
        ("x", Datatype::Fp32, "takes numbers, got text"),
        ("inf", Datatype::Fp32, "takes numbers, got text"),
        ("", Datatype::Int64, "has no value, and INT64"),
        ("1.5", Datatype::Int32, "takes whole numbers, being INT32"),
        ("2", Datatype::Bool, "takes true or false"),
    ] {
        let error = cell(field, datatype).unwrap_err();
        assert!(error.contains(wrong), "{error}");
    }
}

#[test]
fn what_does_not_fit_says_where_and_how_to_make_it_fit() {
    let known = &["a", "b"][..];
    for (text, inputs, known, dropped, part) in [
        (
            "a,b,target\n1,2,3\n",
            matrix(),
            &[][..],
            &[][..],
            "3 columns, the model takes 2; leave out what is no feature: --drop NAME (the last column is `target`)",
        ),
        (
            "a,c\n1,2\n",
            matrix(),
            known,
            &[],
            "rows.csv: line 1 lacks the model's column `b`; it holds `a`, `c`",
        ),
        ("p,q\n1,2\n", matrix(), known, &[], "line 1 lacks the model's columns `a`, `b`; it holds `p`, `q`"),
        ("1\n2\n", matrix(), known, &[], "line 1 lacks the model's columns `a`, `b`; it holds `1`"),
        ("m,t\n1,x\n", two(), &[], &[], "line 1 lacks the model's columns `n`, `s`; it holds `m`, `t`"),
        ("a,b\n1,2\n", matrix(), known, &["b"], "line 1 lacks the model's column `b`"),
        ("a,b,y\n1,2,3\n", matrix(), known, &["nonsense"], "there is no column `nonsense` to --drop"),
        ("a,b,y\n1,2,3\n", matrix(), &[], &["nonsense"], "there is no column `nonsense` to --drop"),
        ("1,2\n", matrix(), &[], &["nonsense"], "there is no column `nonsense` to --drop"),
        ("a,b\n1,x\n", matrix(), &[], &[], "rows.csv, line 2: column `b` takes numbers, got text"),
        ("a,b\n1\n", matrix(), &[], &[], "rows.csv, line 2: 1 fields, where line 1 has 2"),
        ("a,b\n", matrix(), &[], &[], "has no rows"),
        ("", matrix(), &[], &[], "is empty"),
    ] {
        let error = read(text, inputs, known, dropped).unwrap_err();
        assert!(error.contains(part), "{error}");
    }
    let error = CsvFile::read(Path::new("a.Parquet"), 1).err().unwrap();
    let part = if cfg!(feature = "parquet") { "a.Parquet: " } else { "to_csv" };
    assert!(error.contains(part), "{error}");
}
