use super::*;
use crate::tensor::{Data, Datatype};

const POLICY: Policy = Policy { max_rows: 100, reject_non_finite: false };

fn spec(name: &str, datatype: Datatype, shape: &[i64]) -> TensorSpec {
    TensorSpec { name: name.into(), datatype, shape: shape.to_vec(), labels: None }
}

fn matrix() -> Signature {
    Signature { inputs: vec![spec("x", Datatype::Fp32, &[-1, 2])], outputs: vec![] }
}

fn mixed() -> Signature {
    let inputs = vec![spec("age", Datatype::Int64, &[-1, 1]), spec("city", Datatype::Bytes, &[-1, 1])];
    Signature { inputs, outputs: vec![] }
}

fn read(body: &str, signature: &Signature, columns: &[&str]) -> Result<Vec<Tensor>> {
    let columns: Vec<String> = columns.iter().map(ToString::to_string).collect();
    let mut request = Request::default();
    decode(body.as_bytes(), signature, &columns, POLICY, &mut request).map(|()| request.inputs)
}

#[track_caller]
fn check_matrix(body: &str, rows: usize, values: &[f32]) {
    let inputs = read(body, &matrix(), &["a", "b"]).unwrap();
    assert_eq!(inputs[0], Tensor::new(&[rows, 2], Data::Fp32(values.to_vec())), "{body}");
}

#[test]
fn every_form_gives_the_same_matrix() {
    for body in [
        r#"[{"a":1,"b":2},{"b":4,"a":3}]"#,
        r#"{"records":[{"a":1,"b":2,"extra":"x"},{"a":3,"b":4}]}"#,
        r#"{"a":[1,3],"b":[2,4]}"#,
        r#"{"columns":{"b":[2,4],"a":[1,3]}}"#,
        "[[1,2],[3,4]]",
        r#"{"instances":[[1,2],[3.0,4]],"id":"q"}"#,
        r#"{"data":[[1,2],[3,4]]}"#,
        r#"{"dataframe_split":{"index":[0,1],"columns":["b","a"],"data":[[2,1],[4,3]]}}"#,
        r#"{"columns":["b","a"],"data":[[2,1],[4,3]]}"#,
        r#"{"dataframe_records":[{"a":1,"b":2},{"a":3,"b":4}],"params":{}}"#,
        r#"{"inputs":[{"name":"x","shape":[2,2],"datatype":"FP32","data":[1,2,3,4]}]}"#,
    ] {
        check_matrix(body, 2, &[1.0, 2.0, 3.0, 4.0]);
    }
}

#[test]
fn inputs_by_column_keep_their_types() {
    let inputs = read(r#"[{"city":"Ulm","age":3.0}]"#, &mixed(), &[]).unwrap();
    assert_eq!(inputs[0].data, Data::Int64(vec![3]));
    assert_eq!(inputs[1].data, Data::Bytes(["Ulm"].into_iter().collect()));
}

#[test]
fn what_does_not_fit_is_named() {
    let message =
        |body: &str, signature: &Signature, columns: &[&str]| read(body, signature, columns).unwrap_err().0;
    assert_eq!(message(r#"[{"a":1}]"#, &matrix(), &["a", "b"]), "column `b` is missing");
    assert_eq!(message(r#"[{"age":1}]"#, &mixed(), &[]), "column `city` is missing");
    assert!(message(r#"[{"age":1,"city":2}]"#, &mixed(), &[]).contains("`city`: expected a string"));
    assert!(message(r#"[{"age":1.5,"city":"x"}]"#, &mixed(), &[]).contains("`age`"));
    assert!(message("[[1],[2,3]]", &matrix(), &["a", "b"]).contains("row 1 has 2 values"));
    assert!(message("[[1,2,3]]", &matrix(), &["a", "b"]).contains("the model takes 2"));
    assert!(message(r#"{"a":[1],"b":[1,2]}"#, &matrix(), &["a", "b"]).contains("`b` has 2 rows"));
    assert!(message(r#"{"rows":[[1,2]],"data":[[1,2]]}"#, &matrix(), &[]).contains("both"));
    assert!(message(r#"[{"a":1,"a":2,"b":3}]"#, &matrix(), &["a", "b"]).contains("twice"));
    for body in ["[]", "{}", "3", "\"x\"", "null", "[1,[2]]", "[{},[]]", r#"{"records":3}"#] {
        assert!(read(body, &matrix(), &["a", "b"]).is_err(), "{body}");
    }
}

#[test]
fn ragged_data_is_refused() {
    let check = |body: &str, shape: &[i64], columns: &[&str]| {
        let signature = Signature { inputs: vec![spec("x", Datatype::Fp32, shape)], outputs: vec![] };
        let error = read(body, &signature, columns).unwrap_err().0;
        assert!(error.contains("ragged"), "{body}: {error}");
    };
    check(r#"[{"a":[1,2],"b":[3,4]},{"a":5,"b":6}]"#, &[-1, 3], &["a", "b"]);
    check(r#"[{"a":[1,2],"b":3},{"a":4,"b":[5,6]}]"#, &[-1, 3], &["a", "b"]);
    check(r#"{"a":[[1,2],4],"b":[3,[5,6]]}"#, &[-1, 3], &["a", "b"]);
    check("[[[1,2],3],[4,[5,6]]]", &[-1, 3], &[]);
    check("[[[[1],[2,3]],4]]", &[-1, 4], &[]);
    check("[[[1,2],[3,4]],[[5,6,7],[8]]]", &[-1, 2, 2], &[]);
}

#[test]
fn a_cell_may_bring_several_values() {
    let signature = Signature { inputs: vec![spec("x", Datatype::Fp32, &[-1, 3])], outputs: vec![] };
    for body in [r#"[{"a":[1,2],"b":3},{"b":6,"a":[4,5]}]"#, r#"{"a":[[1,2],[4,5]],"b":[3,6]}"#] {
        let inputs = read(body, &signature, &["a", "b"]).unwrap();
        assert_eq!(inputs[0], Tensor::new(&[2, 3], Data::Fp32(vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0])), "{body}");
    }
}

#[test]
fn keys_that_differ_in_every_record_cost_no_more_than_their_bytes() {
    let policy = Policy { max_rows: 100_000, ..POLICY };
    let columns = ["a".to_owned(), "b".to_owned()];
    let records = |with: &str| {
        let records: Vec<String> = (0..20_000).map(|n| format!(r#"{{{with}"k{n}":1}}"#)).collect();
        format!("[{}]", records.join(","))
    };
    let mut request = Request::default();
    let mut run = |body: &str, columns: &[String]| {
        let start = std::time::Instant::now();
        let result = decode(body.as_bytes(), &matrix(), columns, policy, &mut request);
        assert!(start.elapsed().as_millis() < 1000, "{:?}", start.elapsed());
        result.map_err(|e| e.0)
    };
    assert_eq!(run(&records(""), &columns), Err("column `a` is missing".into()));
    assert!(run(&records(""), &[]).is_err());
    assert_eq!(run(&records(r#""a":1,"b":2,"#), &columns), Ok(()));
}

#[test]
fn an_extent_of_zero_hides_no_other() {
    let check =
        |declared: &[i64], shape: &[usize]| check_shape(&spec("x", Datatype::Fp32, declared), shape, POLICY);
    assert_eq!(check(&[-1, 28], &[0, 28]), Ok(0));
    assert_eq!(check(&[-1, 3, 1024, 1024], &[0, 3, 1024, 1024]), Ok(0));
    assert_eq!(check(&[-1, -1], &[5, 0]), Ok(0));
    assert!(check(&[-1, -1, -1], &[1, 1_000_000_000_000, 0]).is_err());
    assert!(check(&[-1, -1, -1], &[1, usize::MAX, 0]).is_err());
    assert!(check(&[-1, -1, -1], &[0, usize::MAX, usize::MAX]).is_err());
}

#[test]
fn csv_by_header_or_by_position() {
    let columns: Vec<String> = vec!["a".into(), "b".into()];
    for body in ["a,b\n1,2\n3,4\n", "b,a\r\n2,1\r\n4,3", "1,2\n3,4"] {
        let mut request = Request::default();
        decode_csv(body.as_bytes(), &matrix(), &columns, POLICY, &mut request).unwrap();
        assert_eq!(request.inputs[0].data, Data::Fp32(vec![1.0, 2.0, 3.0, 4.0]), "{body}");
    }
    let mut request = Request::default();
    decode_csv(b"1,\n", &matrix(), &columns, POLICY, &mut request).unwrap();
    assert!(matches!(&request.inputs[0].data, Data::Fp32(v) if v[1].is_nan()));
    assert!(decode_csv(b"1,x\n", &matrix(), &columns, POLICY, &mut request).is_err());
}

#[test]
fn predictions_are_one_element_per_row() {
    let print = |tensor: &Tensor| {
        let mut out = Vec::new();
        push_rows(&mut out, tensor, false).unwrap();
        String::from_utf8(out).unwrap()
    };
    assert_eq!(print(&Tensor::new(&[2], Data::Int64(vec![1, 2]))), "[1,2]");
    assert_eq!(print(&Tensor::new(&[2, 1], Data::Fp32(vec![1.5, f32::NAN]))), "[1.5,null]");
    assert_eq!(print(&Tensor::new(&[1, 2], Data::Bool(vec![true, false]))), "[[true,false]]");
    assert_eq!(print(&Tensor::new(&[0, 2], Data::Fp32(vec![]))), "[]");
}
