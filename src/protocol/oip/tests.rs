use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::model::{Signature, TensorSpec};
use crate::protocol::{Policy, Request, Result};
use crate::tensor::{DATATYPES, Data, Datatype, Strings, Tensor};

const POLICY: Policy = Policy { max_rows: 1000, reject_non_finite: false };

fn spec(name: &str, datatype: Datatype, shape: &[i64]) -> TensorSpec {
    TensorSpec { name: name.into(), datatype, shape: shape.to_vec(), labels: None }
}

fn signature(inputs: &[TensorSpec]) -> Signature {
    Signature {
        inputs: inputs.to_vec(),
        outputs: vec![spec("y", Datatype::Fp32, &[-1, 2]), spec("z", Datatype::Fp16, &[-1])],
    }
}

fn read(body: &[u8], header: Option<usize>, inputs: &[TensorSpec]) -> Result<Request> {
    let mut request = Request::default();
    decode(body, header, &signature(inputs), POLICY, &mut request).map(|()| request)
}

fn x() -> [TensorSpec; 1] {
    [spec("x", Datatype::Fp32, &[-1, 2])]
}

fn input(shape: &str, data: &str) -> String {
    format!(r#"{{"inputs":[{{"name":"x","shape":{shape},"datatype":"FP32","data":{data}}}]}}"#)
}

#[track_caller]
fn accept(body: &str, shape: &[usize], values: &[f32]) {
    let request = read(body.as_bytes(), None, &x()).unwrap();
    assert_eq!(request.inputs[0], Tensor::new(shape, Data::Fp32(values.to_vec())), "{body}");
}

#[track_caller]
fn refuse(body: &str, part: &str) {
    let message = read(body.as_bytes(), None, &x()).unwrap_err().0;
    assert!(message.contains(part), "{body}: {message}");
}

#[test]
fn flat_and_nested_data_in_any_order_of_keys() {
    accept(&input("[2,2]", "[1,2,3,4]"), &[2, 2], &[1., 2., 3., 4.]);
    accept(&input("[2,2]", "[[1,2],[3,4]]"), &[2, 2], &[1., 2., 3., 4.]);
    accept(&input(" [ 1 , 2 ] ", " [ 1 , -0.0 ] "), &[1, 2], &[1., -0.0]);
    accept(
        r#"{"id":"","inputs":[{"data":[1,2],"datatype":"FP32","shape":[1,2],"name":"x"}],"x":{}}"#,
        &[1, 2],
        &[1., 2.],
    );
    accept(&input("[0,2]", "[]"), &[0, 2], &[]);
    accept(&input("[1,2]", "[0.10000000149011612,3.4028234663852886e+38]"), &[1, 2], &[0.1, f32::MAX]);
}

#[test]
fn another_server_is_not_asked_what_json_cannot_say() {
    let ask = |datatype: Datatype, data: Data, non_finite_tokens: bool| {
        let inputs = vec![Tensor::new(&[1, 2], data)];
        let request = Request { inputs, non_finite_tokens, ..Request::default() };
        let mut out = Vec::new();
        encode_request(&signature(&[spec("x", datatype, &[-1, 2])]), &request, &mut out)
            .map(|()| String::from_utf8(out).unwrap())
            .map_err(|error| error.0)
    };
    let said = |data: &str| {
        let outputs = r#"[{"name":"y"},{"name":"z"}]"#;
        Ok(format!(
            r#"{{"inputs":[{{"name":"x","datatype":"FP32","shape":[1,2],"data":{data}}}],"outputs":{outputs}}}"#
        ))
    };
    let floats = |first: f32| Data::Fp32(vec![first, 1.5]);
    assert_eq!(ask(Datatype::Fp32, floats(f32::NAN), false), said("[null,1.5]"));
    assert_eq!(ask(Datatype::Fp32, floats(f32::NAN), true), said("[NaN,1.5]"));
    assert_eq!(ask(Datatype::Fp32, floats(f32::INFINITY), true), said("[Infinity,1.5]"));
    let mut strings = Strings::default();
    strings.push(b"good");
    strings.push(b"\xff");
    for (datatype, data, part) in [
        (Datatype::Fp32, floats(f32::INFINITY), "`x` has an infinite number"),
        (Datatype::Fp64, Data::Fp64(vec![1.5, f64::NEG_INFINITY]), "`x` has an infinite number"),
        (Datatype::Bytes, Data::Bytes(strings), "`x` has bytes that are not UTF-8"),
    ] {
        let message = ask(datatype, data, false).unwrap_err();
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn non_finite_values_follow_the_policy() {
    let request = read(input("[1,2]", "[NaN,-Infinity]").as_bytes(), None, &x()).unwrap();
    assert!(request.non_finite_tokens);
    assert!(matches!(&request.inputs[0].data, Data::Fp32(v) if v[0].is_nan() && v[1] == f32::NEG_INFINITY));
    let request = read(input("[1,2]", "[null,1]").as_bytes(), None, &x()).unwrap();
    assert!(!request.non_finite_tokens);
    let strict = Policy { reject_non_finite: true, ..POLICY };
    for data in ["[NaN,1]", "[null,1]", "[1,Infinity]"] {
        let body = input("[1,2]", data);
        assert!(
            decode(body.as_bytes(), None, &signature(&x()), strict, &mut Request::default()).is_err(),
            "{data}"
        );
    }
}

#[test]
fn bad_requests_are_named() {
    refuse("", "expected an object");
    refuse("[]", "expected an object");
    refuse("{}", "`inputs` is missing");
    refuse(r#"{"inputs":[]}"#, "input `x` is missing");
    refuse(&input("[1,2]", "[1]"), "holds fewer");
    refuse(&input("[1,2]", "[1,2,3]"), "more elements");
    refuse(&input("[1,2]", "[[1],[2]]"), "fewer");
    refuse(&input("[2,2]", "[[1,2],[3]]"), "fewer");
    refuse(&input("[2,2]", "[[1,2]]"), "ragged");
    refuse(&input("[2,2]", "[1,[2],3,4]"), "cannot hold Array");
    refuse(&input("[2,2]", "[[1,[2]],[3,4]]"), "cannot hold Array");
    refuse(&input("[1,2]", "[1,\"2\"]"), "cannot hold String");
    refuse(&input("[1,2]", "[1,true]"), "cannot hold Bool");
    refuse(&input("[1,2]", "[1,1e39]"), "does not fit FP32");
    refuse(&input("[1,2]", "[1,1e999]"), "does not fit FP32");
    refuse(&input("[1,3]", "[1,2,3]"), "expected shape [-1, 2]");
    refuse(&input("[-1,2]", "[1,2]"), "whole number");
    refuse(&input("[1e3,2]", "[1,2]"), "whole number");
    refuse(&input("[2.0,2]", "[1,2]"), "whole number");
    refuse(&input("[9223372036854775808,2]", "[1,2]"), "rows");
    refuse(&input("[1001,2]", "[1]"), "at most 1000");
    refuse(&input("[1,1,1,1,1,1,1,1,1]", "[1]"), "more than 8");
    refuse(&input("\"1\"", "[1]"), "expected an array");
    refuse(
        r#"{"inputs":[{"name":"x","shape":[1,2],"datatype":"fp32","data":[1,2]}]}"#,
        "unknown datatype `fp32`",
    );
    refuse(
        r#"{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP64","data":[1,2]}]}"#,
        "expected datatype FP32, got FP64",
    );
    refuse(r#"{"inputs":[{"name":"q","shape":[1,2],"datatype":"FP32","data":[1,2]}]}"#, "unknown input `q`");
    refuse(r#"{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32"}]}"#, "neither");
    refuse(r#"{"inputs":[{"name":"x","shape":[1,2],"data":[1,2]}]}"#, "no `datatype`");
    refuse(r#"{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[1,2],"data":[1,2]}]}"#, "twice");
    let one = r#"{"name":"x","shape":[1,2],"datatype":"FP32","data":[1,2]}"#;
    refuse(&format!(r#"{{"inputs":[{one},{one}]}}"#), "given twice");
    refuse(&format!(r#"{{"inputs":[{one}],"inputs":[{one}]}}"#), "`inputs` is given twice");
    refuse(&format!(r#"{{"inputs":[{one}],"outputs":[{{"name":"y"}},{{"name":"y"}}]}}"#), "asked for twice");
    refuse(&format!(r#"{{"inputs":[{one}],"outputs":[{{"name":"q"}}]}}"#), "unknown output `q`");
    refuse(&format!(r#"{{"inputs":[{one}],"id":"{}"}}"#, "i".repeat(257)), "longer than");
    refuse(&format!(r#"{{"inputs":[{one}],"id":7}}"#), "expected a string");
    refuse(&format!(r#"{{"inputs":[{one}],"parameters":{{"sequence_id":3}}}}"#), "sequences");
    let many: Vec<String> = (0..65).map(|i| format!("\"p{i}\":1")).collect();
    refuse(&format!(r#"{{"inputs":[{one}],"parameters":{{{}}}}}"#, many.join(",")), "more than 64");
    let shared = r#"{"name":"x","shape":[1,2],"datatype":"FP32","parameters":{"shared_memory_region":"r"}}"#;
    refuse(&format!(r#"{{"inputs":[{shared}]}}"#), "shared memory");
    refuse(&format!("{} x", input("[1,2]", "[1,2]")), "after the JSON");
}

#[test]
fn integers_must_fit_their_datatype() {
    let one = |datatype: Datatype, value: &str| {
        let body =
            format!(r#"{{"inputs":[{{"name":"n","shape":[1],"datatype":"{datatype}","data":[{value}]}}]}}"#);
        read(body.as_bytes(), None, &[spec("n", datatype, &[-1])]).map(|r| r.inputs[0].data.clone())
    };
    for (datatype, bad) in [
        (Datatype::Int8, "300"),
        (Datatype::Int8, "-129"),
        (Datatype::Uint8, "-1"),
        (Datatype::Uint64, "18446744073709551616"),
        (Datatype::Int64, "9223372036854775808"),
        (Datatype::Int32, "1.5"),
        (Datatype::Int32, "NaN"),
        (Datatype::Int32, "null"),
        (Datatype::Fp64, "9007199254740993"),
        (Datatype::Fp16, "1"),
        (Datatype::Bf16, "1"),
        (Datatype::Bool, "2"),
        (Datatype::Bytes, "1"),
        (Datatype::Bytes, "null"),
    ] {
        assert!(one(datatype, bad).is_err(), "{datatype} {bad}");
    }
    assert_eq!(one(Datatype::Uint64, "18446744073709551615").unwrap(), Data::Uint64(vec![u64::MAX]));
    assert_eq!(one(Datatype::Int64, "-9223372036854775808").unwrap(), Data::Int64(vec![i64::MIN]));
    assert_eq!(one(Datatype::Int32, "2.0").unwrap(), Data::Int32(vec![2]));
    assert_eq!(one(Datatype::Bool, "true").unwrap(), Data::Bool(vec![true]));
    assert_eq!(one(Datatype::Fp64, "9007199254740994").unwrap(), Data::Fp64(vec![9007199254740994.0]));
    let nul = Data::Bytes(["a\0é"].into_iter().collect());
    assert_eq!(one(Datatype::Bytes, r#""a\u0000\u00e9""#).unwrap(), nul);
    assert!(one(Datatype::Bytes, r#""\ud800""#).is_err());
}

#[test]
fn binary_tensors_are_checked_against_shape_and_body() {
    let header = |size: &str| {
        format!(
            r#"{{"inputs":[{{"name":"x","shape":[1,2],"datatype":"FP32","parameters":{{"binary_data_size":{size}}}}}]}}"#
        )
    };
    let with_tail = |header: &str, tail: &[u8]| [header.as_bytes(), tail].concat();
    let bytes: Vec<u8> = [1.5_f32, -2.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    let good = header("8");
    let request = read(&with_tail(&good, &bytes), Some(good.len()), &x()).unwrap();
    assert_eq!(request.inputs[0].data, Data::Fp32(vec![1.5, -2.0]));
    for (size, tail) in [
        ("8", &bytes[..7]),
        ("7", &bytes[..7]),
        ("-8", &bytes[..]),
        ("18446744073709551615", &bytes[..]),
        ("4", &bytes[..]),
    ] {
        let header = header(size);
        assert!(read(&with_tail(&header, tail), Some(header.len()), &x()).is_err(), "{size}");
    }
    assert!(read(&with_tail(&good, &bytes), Some(good.len() + 100), &x()).is_err());
    assert!(
        read(&with_tail(&good, &[&bytes[..], b"!"].concat()), Some(good.len()), &x()).is_err(),
        "trailing bytes"
    );
}

#[test]
fn bytes_elements_must_fill_the_body() {
    let inputs = [spec("s", Datatype::Bytes, &[-1])];
    let read = |count: usize, tail: &[u8]| {
        let header = format!(
            r#"{{"inputs":[{{"name":"s","shape":[{count}],"datatype":"BYTES","parameters":{{"binary_data_size":{}}}}}]}}"#,
            tail.len()
        );
        read(&[header.as_bytes(), tail].concat(), Some(header.len()), &inputs)
    };
    assert_eq!(
        read(2, b"\x01\0\0\0a\0\0\0\0").unwrap().inputs[0].data,
        Data::Bytes(["a", ""].into_iter().collect())
    );
    for (count, tail) in [
        (1, &b"\x02\0\0\0a"[..]),
        (1, b"\xff\xff\xff\xffa"),
        (2, b"\x01\0\0\0a"),
        (1, b"\x01\0\0\0a\0\0\0\0"),
        (1, b"\0\0"),
    ] {
        assert!(read(count, tail).is_err(), "{count} {tail:?}");
    }
}

#[test]
fn a_raw_body_is_one_row() {
    let mut request = Request::default();
    let bytes: Vec<u8> = [1.0_f32, 2.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    decode_raw(&bytes, &signature(&x()), POLICY, &mut request).unwrap();
    assert_eq!(request.inputs[0], Tensor::new(&[1, 2], Data::Fp32(vec![1.0, 2.0])));
    assert!(request.binary);
    let open = signature(&[spec("x", Datatype::Fp32, &[-1, -1])]);
    decode_raw(&bytes, &open, POLICY, &mut request).unwrap();
    assert_eq!(request.inputs[0].shape.as_slice(), [1, 2]);
    assert!(decode_raw(&bytes[..7], &open, POLICY, &mut request).is_err());
    assert!(
        decode_raw(&bytes, &signature(&[spec("x", Datatype::Fp32, &[-1, -1, -1])]), POLICY, &mut request)
            .is_err()
    );
}

fn answer(request: &Request, outputs: &[Tensor]) -> (Option<usize>, Vec<u8>) {
    let mut out = Vec::new();
    let head = AnswerHead {
        prefix: br#"{"model_name":"m","model_version":"1""#,
        id: b"a\"b",
        variant: None,
        fallback: false,
    };
    let json = encode(head, &signature(&x()), request, outputs, &mut out).unwrap();
    (json, out)
}

fn outputs() -> Vec<Tensor> {
    vec![Tensor::new(&[1, 2], Data::Fp32(vec![0.5, f32::NAN])), Tensor::new(&[1], Data::Fp16(vec![0x3c00]))]
}

#[test]
fn an_answer_names_the_variant_of_an_experiment() {
    let request = Request { binary: true, ..Request::default() };
    let mut out = Vec::new();
    let head =
        AnswerHead { prefix: br#"{"model_name":"m""#, id: b"a", variant: Some("candidate"), fallback: false };
    let length = encode(head, &signature(&x()), &request, &outputs(), &mut out).unwrap().unwrap();
    let value: Value = serde_json::from_slice(&out[..length]).unwrap();
    assert_eq!(value["parameters"], json!({"variant": "candidate"}));
}

#[test]
fn answers_are_valid_json_and_binary_where_asked() {
    let mut request = Request::default();
    request.outputs.push(crate::protocol::WantedOutput { index: 0, binary: None, classes: 0 });
    let (json, out) = answer(&request, &outputs());
    let value: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(json, None);
    assert_eq!(
        value,
        json!({"model_name":"m","model_version":"1","id":"a\"b",
               "outputs":[{"name":"y","datatype":"FP32","shape":[1,2],"data":[0.5,null]}]})
    );
    request = Request { binary: true, ..Request::default() };
    let (json, out) = answer(&request, &outputs());
    let (header, tail) = out.split_at(json.unwrap());
    let value: Value = serde_json::from_slice(header).unwrap();
    assert_eq!(value["outputs"][1]["parameters"]["binary_data_size"], 2);
    assert_eq!(tail[..4], 0.5_f32.to_le_bytes());
    assert_eq!(tail[8..], [0, 0x3c]);
}

#[test]
fn half_floats_without_binary_are_refused() {
    let mut out = Vec::new();
    let head = AnswerHead { prefix: b"{", id: b"", variant: None, fallback: false };
    let error = encode(head, &signature(&x()), &Request::default(), &outputs(), &mut out).unwrap_err();
    assert!(error.0.contains("output `z`: FP16"), "{error}");
}

#[test]
fn classification_gives_the_largest_first() {
    let mut request = Request::default();
    request.outputs.push(crate::protocol::WantedOutput { index: 0, binary: None, classes: 9 });
    let tensors = [Tensor::new(&[1, 2], Data::Fp32(vec![0.25, 0.75])), outputs().remove(1)];
    let (_, out) = answer(&request, &tensors);
    let value: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(value["outputs"][0]["data"], json!(["0.750000:1", "0.250000:0"]));
}

/// Any tensor of `datatype` from raw bits.
fn tensor_of(datatype: Datatype, bits: &[u64]) -> Data {
    macro_rules! ints {
        ($v:ident, $t:ty) => {
            Data::$v(bits.iter().map(|b| *b as $t).collect())
        };
    }
    match datatype {
        Datatype::Bool => Data::Bool(bits.iter().map(|b| b % 2 == 1).collect()),
        Datatype::Uint8 => ints!(Uint8, u8),
        Datatype::Uint16 => ints!(Uint16, u16),
        Datatype::Uint32 => ints!(Uint32, u32),
        Datatype::Uint64 => ints!(Uint64, u64),
        Datatype::Int8 => ints!(Int8, i8),
        Datatype::Int16 => ints!(Int16, i16),
        Datatype::Int32 => ints!(Int32, i32),
        Datatype::Int64 => ints!(Int64, i64),
        Datatype::Fp16 => ints!(Fp16, u16),
        Datatype::Bf16 => ints!(Bf16, u16),
        Datatype::Fp32 => {
            Data::Fp32(bits.iter().map(|b| f32::from_bits(*b as u32)).filter(|f| f.is_finite()).collect())
        }
        Datatype::Fp64 => {
            Data::Fp64(bits.iter().map(|b| f64::from_bits(*b)).filter(|f| f.is_finite()).collect())
        }
        Datatype::Bytes => Data::Bytes(bits.iter().map(|b| b.to_le_bytes()).collect::<Strings>()),
    }
}

proptest! {
    /// The same tensor as JSON and as binary decodes to the same bits, and the answer's bytes read back.
    #[test]
    fn every_datatype_round_trips(which in 0..DATATYPES.len(), bits in proptest::collection::vec(any::<u64>(), 0..9)) {
        let datatype = DATATYPES[which];
        let data = tensor_of(datatype, &bits);
        let length = data.len();
        let inputs = [spec("x", datatype, &[-1])];
        let mut tail = Vec::new();
        super::binary::write(&mut tail, &data);
        let header = format!(
            r#"{{"inputs":[{{"name":"x","datatype":"{datatype}","shape":[{length}],"parameters":{{"binary_data_size":{}}}}}]}}"#,
            tail.len()
        );
        let got = read(&[header.as_bytes(), &tail].concat(), Some(header.len()), &inputs).unwrap();
        prop_assert_eq!(&got.inputs[0].data, &data);
        let json_form = !matches!(datatype, Datatype::Fp16 | Datatype::Bf16)
            && !matches!(&data, Data::Bytes(s) if s.iter().any(|s| std::str::from_utf8(s).is_err()));
        if json_form {
            let mut text = Vec::new();
            for index in 0..length {
                text.push(if index == 0 { b' ' } else { b',' });
                super::encode::push_element(&mut text, &data, index, false).unwrap();
            }
            let body = format!(
                r#"{{"inputs":[{{"name":"x","datatype":"{datatype}","shape":[{length}],"data":[{}]}}]}}"#,
                String::from_utf8(text).unwrap()
            );
            let got = read(body.as_bytes(), None, &inputs).unwrap();
            prop_assert_eq!(&got.inputs[0].data, &data);
        }
    }

    /// Whatever the bytes, decoding ends in an answer or an error, and memory stays bounded by the body.
    #[test]
    fn arbitrary_bodies_never_panic(body in r#"\{"inputs":\[\{("(name|shape|datatype|data|parameters)":[\["x0-9\],.{}:eFP32-]{0,12},?){0,6}"#, cut in 0..64_usize, header in proptest::option::of(0..80_usize)) {
        let body = &body.as_bytes()[..body.len().saturating_sub(cut)];
        let mut request = Request::default();
        drop(decode(body, header, &signature(&x()), POLICY, &mut request));
        prop_assert!(request.inputs.iter().all(|t| t.data.len() <= body.len()));
        drop(decode_raw(body, &signature(&x()), POLICY, &mut request));
    }
}
