//! What lines hold, and that they are what they were when the format got its number.

use super::*;
use crate::config::Redaction;
use crate::experiment::Definition;
use crate::monitor::log::line::{Hidden, push_outcome, push_prediction};
use crate::tensor::Strings;

/// 2026-11-27, noon.
const NOON: u64 = 1_795_780_800_000_000;

fn kept(logged: Logged, inputs: Vec<Tensor>, outputs: Vec<Tensor>) -> Kept {
    Kept { logged, inputs, outputs, bytes: 0 }
}

fn redactions(names: &[&str]) -> Vec<Redaction> {
    let one = |text: &&str| match text.split_once(':') {
        Some((model, name)) => Redaction { model: model.parse().ok(), name: name.into() },
        None => Redaction { model: None, name: (*text).into() },
    };
    names.iter().map(one).collect()
}

fn text(kept: &Kept, redact: &[&str]) -> String {
    let redact = redactions(redact);
    let mut out = Vec::new();
    push_prediction(&mut out, kept, NOON + 42, &Hidden::new(kept.logged.version.model.as_str(), &redact));
    String::from_utf8(out).unwrap()
}

#[track_caller]
fn line(kept: &Kept, redact: &[&str]) -> Value {
    let text = text(kept, redact);
    assert_eq!(text.matches('\n').count(), 1);
    serde_json::from_str(&text).unwrap()
}

fn people(values: &[f32]) -> Kept {
    let rows = values.len() / 2;
    let outputs = vec![Tensor::new(&[rows, 1], Data::Fp32(vec![0.25; rows]))];
    kept(logged(&pair(), "a"), vec![Tensor::new(&[rows, 2], Data::Fp32(values.to_vec()))], outputs)
}

/// One input of every kind, and outputs of every form.
fn mixed() -> Kept {
    let signature = Signature {
        inputs: vec![
            spec("city", Datatype::Bytes, &[-1, 1]),
            spec("count", Datatype::Int64, &[-1]),
            spec("flag", Datatype::Bool, &[-1]),
            spec("half", Datatype::Fp16, &[-1, 1]),
            spec("wide", Datatype::Fp64, &[-1, 2]),
            spec("image", Datatype::Uint8, &[-1, 2, 2]),
        ],
        outputs: vec![
            spec("label", Datatype::Int64, &[-1]),
            spec("probabilities", Datatype::Fp32, &[-1, 2]),
            spec("free", Datatype::Fp32, &[-1, -1]),
        ],
    };
    let strings: Strings = [&b"K\xc3\xb6ln \"am\" Rhein"[..], b"\xff"].into_iter().collect();
    let inputs = vec![
        Tensor::new(&[2, 1], Data::Bytes(strings)),
        Tensor::new(&[2], Data::Int64(vec![i64::MIN, 9_007_199_254_740_993])),
        Tensor::new(&[2], Data::Bool(vec![true, false])),
        Tensor::new(&[2, 1], Data::Fp16(vec![0x3C00, 0x7E00])),
        Tensor::new(&[2, 2], Data::Fp64(vec![f64::NEG_INFINITY, 0.1, f64::NAN, 1e300])),
        Tensor::new(&[2, 2, 2], Data::Uint8(vec![1, 2, 3, 4, 5, 6, 7, 8])),
    ];
    let outputs = vec![
        Tensor::new(&[2], Data::Int64(vec![1, 0])),
        Tensor::new(&[2, 2], Data::Fp32(vec![0.25, 0.75, f32::INFINITY, f32::NAN])),
        Tensor::new(&[2, 1], Data::Fp32(vec![1.0, 2.0])),
    ];
    kept(logged(&version("mixed", signature, &[]), "b"), inputs, outputs)
}

#[test]
fn the_lines_are_those_of_the_fixture() {
    let mut lines = text(&people(&[41.0, 52_000.0, f32::NAN, 1.5]), &["churn:income", "strange"]);
    lines += &text(&mixed(), &[]);
    let definition = Definition {
        model: "churn".parse().ok(),
        unit: "header:x-user".parse().ok(),
        variants: [("control", "7"), ("candidate", "8")]
            .map(|(name, serve)| (name.into(), serve.parse().unwrap()))
            .into(),
        planned_units: 5000,
        confidence: "95%".parse().unwrap(),
        guardrails: vec!["errors".parse().unwrap()],
        ..Definition::default()
    };
    let experiment = definition.check(&"button".parse().unwrap()).unwrap();
    let track = Arc::new(Track::new(experiment, vec![Some(7), Some(8)]));
    let enrolled = Enrolled { variant: 1, slot: 5, unit: 0x00ab_cdef };
    let mut failed = people(&[41.0, 52_000.0]);
    failed.logged.part = Some((track, enrolled));
    failed.logged.arm = Some(Arc::new(Arm::alone("candidate", &failed.logged.version)));
    failed.logged.outcome = Outcome::Error;
    failed.logged.error = Some("engine_failed");
    failed.logged.fell_back = true;
    failed.outputs.clear();
    lines += &text(&failed, &[]);
    assert_eq!(lines, include_str!("../../../../tests/fixtures/formats/predictions.ndjson"));

    let actual = Noted {
        id: Some("a".into()),
        key: Some(logged(&pair(), "a").key),
        model: Some("churn".into()),
        row: Some(1),
        actual: Some(1.0),
        at: NOON / 1000 + 60_000,
        status: "ok",
        ..Noted::default()
    };
    let unit = Noted {
        model: Some("churn".into()),
        unit: Some(("button".into(), 0x00ab_cdef)),
        metric: Some(("revenue".into(), 12.5)),
        at: NOON / 1000 + 61_500,
        status: "not_enrolled",
        ..Noted::default()
    };
    let class = Noted { actual: None, class: Some("yes".into()), ..actual.clone() };
    let mut out = Vec::new();
    for (noted, redact) in [(&actual, &[][..]), (&unit, &[]), (&actual, &["id"]), (&class, &[])] {
        push_outcome(&mut out, noted, &redactions(redact));
    }
    let lines = String::from_utf8(out).unwrap();
    assert_eq!(lines, include_str!("../../../../tests/fixtures/formats/outcomes.ndjson"));
}

#[test]
fn what_is_redacted_is_null_and_nowhere_in_the_line() {
    let secret = people(&[77_123.0, 1.0, 77_124.0, 2.0]);
    for redact in [&["age"][..], &["churn:age"], &["*"], &["x"], &["churn:*", "id"]] {
        let text = text(&secret, redact);
        assert!(!text.contains("7712"), "{redact:?}: {text}");
        let line: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["inputs"]["age"], Value::Null);
        assert_eq!(line["inputs"]["income"].is_null(), redact != ["age"] && redact != ["churn:age"]);
        assert_eq!(line["id"].is_null(), redact.contains(&"id"));
        assert_eq!(line["outputs"]["y"][0], 0.25);
    }
    assert_eq!(line(&secret, &["y"])["outputs"]["y"], Value::Null);
    for other in [&["other:age"][..], &["other:*"], &["Age"], &[]] {
        assert_eq!(line(&secret, other)["inputs"]["age"][1], 77_124.0, "{other:?}");
    }
    // Where columns cannot be told apart, all are hidden.
    let mut wide = people(&[77_123.0, 1.0, 2.0, 3.0]);
    wide.inputs[0].shape = vec![1, 4].into();
    assert_eq!(line(&wide, &["age"])["inputs"]["x"], Value::Null);
    assert_eq!(line(&wide, &["other:age"])["inputs"]["x"][0][0], 77_123.0);
    let strange = |redact: &[&str]| {
        let redact = redactions(redact);
        Hidden::new("churn", &redact).strange(&secret.logged).join(" ")
    };
    assert_eq!(strange(&["age", "churn:age", "churn:x", "churn:y", "churn:*", "churn:id"]), "");
    assert_eq!(strange(&["churn:aeg", "other:b", "c"]), "aeg");
}

#[test]
fn values_read_back_and_a_column_has_one_type() {
    let line = line(&mixed(), &[]);
    let (inputs, outputs) = (&line["inputs"], &line["outputs"]);
    assert_eq!(inputs["city"], serde_json::json!(["Köln \"am\" Rhein", "\u{fffd}"]));
    assert_eq!(inputs["count"], serde_json::json!([i64::MIN, 9_007_199_254_740_993_i64]));
    assert_eq!(inputs["half"], serde_json::json!([1.0, null]));
    assert_eq!(inputs["wide"], serde_json::json!([[f64::MIN, 0.1], [null, 1e300]]));
    assert_eq!(inputs["image"][1], serde_json::json!([[5, 6], [7, 8]]));
    assert_eq!(outputs["probabilities"], serde_json::json!([[0.25, 0.75], [f64::MAX, null]]));
    // One column now is a list all the same, because there may be more another time.
    assert_eq!(outputs["free"], serde_json::json!([[1.0], [2.0]]));
}

#[test]
fn large_requests_have_lines_that_readers_take() {
    let rows = 100_000;
    let values: Vec<f32> = (0..rows * 2).map(|value| value as f32 + 0.5).collect();
    let request = people(&values);
    let text = text(&request, &[]);
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.len() > 3 && text.lines().all(|line| line.len() < 1 << 20), "{}", lines.len());
    let mut next = 0;
    for line in &lines {
        assert_eq!(line["row"].as_u64().unwrap(), next);
        let count = line["rows"].as_u64().unwrap();
        for column in [&line["inputs"]["age"], &line["inputs"]["income"], &line["outputs"]["y"]] {
            assert_eq!(column.as_array().unwrap().len() as u64, count);
        }
        assert_eq!(line["inputs"]["age"][0].as_f64().unwrap(), next as f64 * 2.0 + 0.5);
        assert_eq!(line["id"], "a");
        next += count;
    }
    assert_eq!(next, rows as u64);
    assert_eq!(line(&people(&[]), &[])["rows"], 0);
}
