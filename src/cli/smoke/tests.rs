//! What is right and what is not, as a server may answer; the real one is asked in `tests/it`.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::Duration;

use serde_json::{Value, json};

use super::examples::{Examples, Golden};
use super::report::{Check, Report, Verdict};
use super::walk::Walk;
use super::ways::judge;
use crate::cli::answer::Answer;
use crate::cli::peer::connection::Peer;
use crate::config::RegistryUrl;
use crate::model::{Signature, TensorSpec};
use crate::registry::store::Folder;
use crate::tensor::Datatype;

fn signature() -> Signature {
    let spec = |name: &str, datatype, shape: &[i64]| TensorSpec {
        name: name.into(),
        datatype,
        shape: shape.to_vec(),
        labels: None,
    };
    Signature {
        inputs: vec![spec("x", Datatype::Fp32, &[-1, 2])],
        outputs: vec![spec("label", Datatype::Bytes, &[-1]), spec("score", Datatype::Fp32, &[-1, 1])],
    }
}

fn examples(golden: Option<Value>) -> Examples {
    let dir = tempfile::tempdir().unwrap();
    if let Some(golden) = golden {
        std::fs::create_dir_all(dir.path().join("m/7")).unwrap();
        std::fs::write(dir.path().join("m/7/golden.json"), golden.to_string()).unwrap();
    }
    let golden = Golden::new(Box::new(Folder::new(dir.path())), &RegistryUrl::File("models".into()));
    Examples::of(&Ok(golden), &"m".parse().unwrap(), "7".parse().unwrap(), &signature()).unwrap()
}

fn case() -> Value {
    json!({
        "inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [0.5, 2.0]}],
        "outputs": [
            {"name": "label", "shape": [1], "datatype": "BYTES", "data": ["yes"]},
            {"name": "score", "shape": [1, 1], "datatype": "FP32", "data": [0.75]},
        ],
    })
}

fn answered(status: u16, body: Value) -> Result<Answer, String> {
    Ok(Answer { status, body: body.to_string().into_bytes(), closes: false })
}

#[test]
fn a_golden_example_is_asked_in_every_form() {
    let found = examples(Some(json!({"format": 1, "rtol": 1e-4, "atol": 1e-6, "cases": [case()]})));
    assert_eq!((found.list.len(), found.tolerance, &found.remark), (1, 1e-4, &None));
    let example = &found.list[0];
    let json: Value = serde_json::from_slice(&example.json).unwrap();
    assert_eq!(json["inputs"][0]["data"], json!([0.5, 2.0]));
    let (head, tail) = example.binary.split_at(example.json_length);
    let head: Value = serde_json::from_slice(head).unwrap();
    assert_eq!(head["inputs"][0]["parameters"]["binary_data_size"], 8);
    assert_eq!(tail, [0.5_f32.to_le_bytes(), 2_f32.to_le_bytes()].concat());
    assert_eq!((example.rows.cell(0, 0), example.rows.cell(0, 1)), (&b"0.5"[..], &b"2.0"[..]));
}

#[test]
fn what_differs_or_is_missing_is_said() {
    let found = examples(Some(json!({"format": 1, "cases": [case()]})));
    let outputs = |label: &str, score: f64| {
        json!({"outputs": [
            {"name": "label", "shape": [1], "datatype": "BYTES", "data": [label]},
            {"name": "score", "shape": [1, 1], "datatype": "FP32", "data": [score]},
        ]})
    };
    let judged = |answer| judge(answer, &found.list[0], found.tolerance, &signature());
    assert_eq!(judged(answered(200, outputs("yes", 0.750_001))), Ok(()));
    for (answer, part) in [
        (answered(200, outputs("yes", 0.76)), "`score` is 0.76, expected 0.75"),
        (answered(200, outputs("no", 0.75)), "`label` is \"no\", expected \"yes\""),
        (answered(200, json!({"outputs": {"label": ["yes"]}})), "`score` is missing"),
        (answered(503, json!({"error": "overloaded"})), "overloaded"),
        (answered(200, json!({})), "no values in it"),
        (Err("the connection was closed".into()), "closed"),
    ] {
        let error = judged(answer).unwrap_err();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn without_golden_examples_zeros_are_asked() {
    let found = examples(None);
    assert_eq!(found.remark.as_deref(), Some("m/7/golden.json is not in file:models"));
    let judged = |body| judge(answered(200, body), &found.list[0], 0.0, &signature());
    assert_eq!(judged(json!({"outputs": {"label": ["no"], "score": [[0.1]]}})), Ok(()));
    assert!(judged(json!({"outputs": {"label": ["no"]}})).unwrap_err().contains("`score` is missing"));
}

#[test]
fn one_failure_fails_all_and_what_is_off_none() {
    let check = |verdict, status| Check {
        endpoint: "GET /ping".into(),
        verdict,
        status,
        ms: status.map(|_| 0.25),
        says: "it\tdoes".into(),
    };
    let mut report = Report { url: "http://h:1".into(), ..Report::default() };
    report.checks = vec![check(Verdict::Passed, Some(200)), check(Verdict::Off, Some(404))];
    assert!(report.passed());
    report.checks.push(check(Verdict::Failed, None));
    assert!(!report.passed());
    let text = report.text();
    assert!(text.contains("FAIL  GET /ping       -     -"), "{text}");
    assert!(text.ends_with("http://h:1: 1 ok, 1 failed, 1 off\n"), "{text}");
    let json: Value = serde_json::from_str(&report.json()).unwrap();
    assert_eq!((&json["passed"], &json["checks"][1]["verdict"]), (&json!(false), &json!("off")));
}

/// What a walk finds of a server that lists these models, and tells `metadata` of each at every path.
fn walked(models: &[&str], metadata: Value) -> Report {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let models = json!({"models": models}).to_string();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        while let Ok(length @ 1..) = stream.read(&mut request) {
            let listed = request[..length].starts_with(b"GET /v2/models ");
            let body = if listed { models.clone() } else { metadata.to_string() };
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
            stream.write_all((head + &body).as_bytes()).unwrap();
        }
    });
    let (peer, _) = Peer::at(&url, &[], Duration::from_secs(5)).unwrap();
    let mut walk = Walk::new(&peer, false).unwrap();
    walk.models(&[], Err("no registry".into()));
    walk.report
}

#[test]
fn what_was_not_asked_for_predictions_is_a_failure() {
    let strange = json!([{"name": "x", "datatype": "QUATERNION", "shape": [-1]}]);
    for (models, metadata, endpoint, part) in [
        (&[][..], json!({}), "POST /v2/models/…/infer", "it serves no model"),
        (&["m"], json!({"versions": []}), "POST /v2/models/m/infer", "names no version"),
        (
            &["m"],
            json!({"versions": ["7"], "inputs": strange, "outputs": []}),
            "POST /v2/models/m/versions/7/infer",
            "was not asked for predictions: `x` is of the unknown datatype `QUATERNION`",
        ),
    ] {
        let report = walked(models, metadata);
        assert!(!report.passed());
        let found = report.checks.iter().find(|check| check.says.contains(part));
        let found = found.unwrap_or_else(|| panic!("{}", report.text()));
        assert_eq!((&*found.endpoint, found.verdict, found.status), (endpoint, Verdict::Failed, None));
    }
}
