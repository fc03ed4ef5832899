//! The bodies as services want them.

use serde_json::{Value, json};

use super::*;
use crate::model::TensorSpec;

/// Two rows of two columns.
fn rows(named: bool) -> Rows {
    let names = named.then(|| vec!["a".to_owned(), "b \"c\"".to_owned()]);
    let mut rows = Rows::new("", 2, names);
    [&b"1"[..], b"\"x\"", b"2.50", b"null"].into_iter().for_each(|cell| rows.push(cell));
    rows
}

#[test]
fn every_form_is_written_as_services_read_it() {
    for (form, expected) in [
        ("records", r#"[{"a":1,"b \"c\"":"x"},{"a":2.50,"b \"c\"":null}]"#),
        ("record", r#"{"a":1,"b \"c\"":"x"}"#),
        ("rows", r#"[[1,"x"],[2.50,null]]"#),
        ("instances", r#"{"instances":[[1,"x"],[2.50,null]]}"#),
        ("instances-records", r#"{"instances":[{"a":1,"b \"c\"":"x"},{"a":2.50,"b \"c\"":null}]}"#),
        ("split", r#"{"dataframe_split":{"columns":["a","b \"c\""],"data":[[1,"x"],[2.50,null]]}}"#),
        ("inputs", r#"{"inputs":[[1,"x"],[2.50,null]]}"#),
        ("data", r#"{"data":[[1,"x"],[2.50,null]]}"#),
        ("features", r#"{"features":[1,"x"]}"#),
        ("csv", "1,\"x\"\n2.50,\n"),
        (r#"{"x":{"y":{{row}}},"z":{{1}}}"#, r#"{"x":{"y":[1,"x"]},"z":{{1}}}"#),
    ] {
        let body = Form::parse(form).unwrap().body(&rows(true), &(0..2));
        assert_eq!(String::from_utf8(body).unwrap(), expected);
    }
    assert!(Form::parse("nonsense").unwrap_err().contains("records, record, rows"));
    assert!(Form::parse("{{nonsense}}").unwrap_err().contains("{{rows}}"));
}

#[test]
fn only_forms_that_the_rows_can_take_are_offered() {
    let names = |named, per| {
        let forms = Form::all(&["split", "record", "features", "csv"], &rows(named), per);
        forms.into_iter().map(|form| form.name).collect::<Vec<_>>()
    };
    assert_eq!(names(true, 1), ["split", "record", "features", "csv"]);
    assert_eq!(names(false, 1), ["features", "csv"]);
    assert_eq!(names(true, 2), ["split", "csv"]);
}

fn described(inputs: &[(&str, &str, &[i64])]) -> Vec<Described> {
    let one = |(name, datatype, shape): &(&str, &str, &[i64])| Described {
        name: (*name).into(),
        datatype: (*datatype).into(),
        shape: shape.to_vec(),
    };
    inputs.iter().map(one).collect()
}

/// The request for a server that describes these inputs, of a model with one matrix or one tensor per column.
fn request(theirs: &[(&str, &str, &[i64])], own: &[(&str, &[i64])]) -> Result<Value, String> {
    let spec = |(name, shape): &(&str, &[i64])| TensorSpec {
        name: (*name).into(),
        datatype: Datatype::Fp32,
        shape: shape.to_vec(),
        labels: None,
    };
    let signature = Signature { inputs: own.iter().map(spec).collect(), outputs: Vec::new() };
    let columns = Columns::new(&signature, &[], None).unwrap();
    let mut rows = Rows::new("", 2, columns.names.clone());
    [&b"1"[..], b"2.0", b"3", b"null"].into_iter().for_each(|cell| rows.push(cell));
    let slots = their_slots(&described(theirs), &own_slots(&signature, &columns), &rows)?;
    Ok(serde_json::from_slice(&oip(&slots, &["p".into()], &rows, &(0..2))).unwrap())
}

#[test]
fn tensors_follow_the_description_of_the_other_server() {
    let inputs = |theirs: &[(&str, &str, &[i64])], own: &[(&str, &[i64])], expected: &str| {
        let expected: Value = serde_json::from_str(expected).unwrap();
        let request = request(theirs, own).unwrap();
        assert_eq!((&request["inputs"], &request["outputs"]), (&expected, &json!([{"name": "p"}])));
    };
    let matrix: &[(&str, &[i64])] = &[("input", &[-1, 2])];
    let split: &[(&str, &[i64])] = &[("a", &[-1, 1]), ("b", &[-1])];
    let whole = r#"[{"name":"input-0","shape":[2,2],"datatype":"FP64","data":[1,2.0,3,null]}]"#;
    inputs(&[("input-0", "FP64", &[-1, 2])], matrix, whole);
    inputs(&[("input-0", "FP64", &[-1, -1])], split, whole);
    inputs(&[("input-0", "FP64", &[-1])], matrix, whole);
    inputs(&[("input-0", "FP64", &[])], split, whole);
    let apart = r#"[{"name":"b","shape":[2,1],"datatype":"INT64","data":[2,null]},
                    {"name":"a","shape":[2],"datatype":"BYTES","data":["1","3"]}]"#;
    inputs(&[("b", "INT64", &[-1, 1]), ("a", "BYTES", &[-1])], split, apart);
    let in_order = r#"[{"name":"x","shape":[2,1],"datatype":"FP32","data":[1,3]},
                       {"name":"y","shape":[2,1],"datatype":"FP32","data":[2.0,null]}]"#;
    inputs(&[("x", "FP32", &[-1, 1]), ("y", "FP32", &[-1, 1])], matrix, in_order);
    let error = request(&[("x", "FP32", &[-1, 3])], matrix).unwrap_err();
    assert_eq!(error, "it takes `x` [-1, 3] (3 values a row), this model 2");
    assert!(request(&[("x", "FP8", &[-1, 2])], matrix).unwrap_err().contains("FP8"));
}
