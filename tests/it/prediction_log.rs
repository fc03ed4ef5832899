//! The prediction log: what is in it, what is not, and that no half segment is ever seen.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::client::{Answer, request};
use super::harness::{Server, Setup, constant_request, wait};
use super::load::{Load, Manner};
use super::onnx::{constant, fails_at};
use super::repository::Extras;

const SOON: Duration = Duration::from_secs(20);
const INFER: &str = "/v2/models/m/infer";
const ROW: &str = r#"{"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}"#;
const TWO_ROWS: &str =
    r#"{"inputs": [{"name": "x", "shape": [2, 4], "datatype": "FP32", "data": [1, 2, 3, 4, 5, 6, 7, 8]}]}"#;

/// A server of one model that logs to a folder, with short segments.
fn start(model: &[u8], more: &str) -> Server {
    let short = if more.contains("segment_ms") { "" } else { "segment_ms = 200\n" };
    let text = format!("registry.poll_interval_ms = 50\n[prediction_log]\nurl = \"log\"\n{short}{more}");
    let setup = Setup::new().only_config(&text);
    setup.repository().version("m", 1, model, &Extras::default());
    setup.repository().index("m", &[(1, "Production")], &[]);
    setup.start()
}

fn ask(server: &Server, id: &str, body: &str) -> Answer {
    server.data().post_with(INFER, &[("x-request-id", id)], body)
}

fn files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().map(Result::unwrap) {
        if entry.path().is_dir() {
            files(&entry.path(), into);
        } else {
            into.push(entry.path());
        }
    }
}

/// The segments of a kind, as a reader's pattern finds them, in the order of their names.
fn segments(log: &Path, kind: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    files(&log.join(kind), &mut found);
    let hidden = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with('.');
    found.retain(|path| !hidden(path) && path.extension().is_some_and(|extension| extension == "zst"));
    found.sort();
    found
}

/// Every line of a segment, which is whole.
#[track_caller]
fn lines(segment: &[u8]) -> Vec<Value> {
    let mut text = String::new();
    ruzstd::decoding::StreamingDecoder::new(segment).unwrap().read_to_string(&mut text).unwrap();
    assert!(text.ends_with('\n'), "{text}");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[track_caller]
pub(super) fn logged(log: &Path, kind: &str) -> Vec<Value> {
    segments(log, kind).iter().flat_map(|path| lines(&fs::read(path).unwrap())).collect()
}

fn written(server: &Server) -> f64 {
    server.metric("sidegate_prediction_log_written_total")
}

#[test]
fn requests_and_their_outcomes_are_in_the_log() {
    let server = start(&fails_at(2, 1.5), "");
    for n in 0..100 {
        ask(&server, &format!("id-{n}"), ROW).ok();
    }
    ask(&server, "fails", TWO_ROWS).error(400);
    ask(&server, "cannot be read", "{").error(400);
    let actuals = json!([
        {"id": "id-3", "actual": true}, {"id": "id-4", "actual": 0.5, "model": "m"}, {"id": "id-5", "actual": [1]},
        {"id": "id-6"}, {"unit": "u", "metric": "nobody measures", "value": 1},
    ]);
    // No experiment waits for them; they are logged all the same.
    let answer = server.data().post("/actuals", actuals.to_string());
    assert_eq!((answer.status, &answer.json()["logged"]), (202, &json!(3)), "{}", answer.text());
    wait("the log", SOON, || (written(&server) == 104.0).then_some(()));
    let log = server.path("log");
    let lines = logged(&log, "predictions");
    assert_eq!(lines.len(), 101);
    let third = lines.iter().find(|line| line["id"] == "id-3").unwrap();
    assert_eq!(third["inputs"], json!({"x": [[1.0, 2.0, 3.0, 4.0]]}));
    assert_eq!(third["outputs"], json!({"y": [1.5]}));
    for (field, value) in [
        ("format", json!(1)),
        ("model", json!("m")),
        ("version", json!("1")),
        ("variant", json!(null)),
        ("outcome", json!("ok")),
        ("error", json!(null)),
        ("fallback", json!(false)),
        ("row", json!(0)),
        ("rows", json!(1)),
    ] {
        assert_eq!(third[field], value, "{field}");
    }
    assert!(third["duration_us"].as_f64().unwrap() >= third["infer_us"].as_f64().unwrap());
    let failed = lines.iter().find(|line| line["id"] == "fails").unwrap();
    assert_eq!((&failed["outcome"], &failed["error"]), (&json!("client_error"), &json!("invalid_input")));
    assert_eq!((&failed["outputs"], &failed["inputs"]["x"][1][3]), (&json!(null), &json!(8.0)));
    let outcomes = logged(&log, "outcomes");
    assert_eq!(outcomes.len(), 3);
    for (line, (id, actual)) in outcomes.iter().zip([("id-3", 1.0), ("id-4", 0.5), ("id-5", 1.0)]) {
        assert_eq!((&line["id"], &line["actual"], &line["row"]), (&json!(id), &json!(actual), &json!(0)));
        let prediction = lines.iter().find(|known| known["id"] == id).unwrap();
        assert_eq!((&line["key"], &line["status"]), (&prediction["key"], &json!("unmatched")));
    }
}

#[test]
fn variants_come_with_their_propensity_and_shadows_get_their_copy() {
    let text = "registry.poll_interval_ms = 50\nexperiments.receipt_key_file = \"receipt.key\"\n[prediction_log]\nurl = \"log\"\n\
                segment_ms = 200\n[experiments.e]\nmodel = \"m\"\nunit = \"header:x-user\"\ndefault = \"control\"\n\
                variants = { control = \"1\", candidate = \"2\" }\nweights = { control = 3, candidate = 1 }\nmetric = \"squared_error\"\n\
                guardrails = [\"outcome:revenue within 10%\"]\nshadow = { next = \"2\" }\n";
    let setup = Setup::new().only_config(text);
    let repository = setup.repository();
    repository.version("m", 1, &constant(1.0), &Extras::default());
    repository.version("m", 2, &constant(2.0), &Extras::default());
    repository.index("m", &[(1, "Production"), (2, "None")], &[]);
    fs::write(setup.path("receipt.key"), "a-key-that-every-replica-has\n").unwrap();
    let server = setup.start();
    wait("both variants", SOON, || {
        let experiments = server.admin().get("/experiments").ok();
        let variants = experiments[0]["variants"].as_array()?;
        variants.iter().all(|variant| variant["version"].is_string()).then_some(())
    });
    let mut receipts = Vec::new();
    for n in 0..100 {
        let headers = [
            ("x-user", &*format!("user-{n}")),
            ("x-request-id", &*format!("id-{n}")),
            ("x-sidegate-receipt", "1"),
        ];
        let answer = server.data().post_with(INFER, &headers, ROW);
        receipts.push(json!({"receipt": answer.header("x-sidegate-receipt").unwrap(), "actual": n}));
    }
    let more = json!({"unit": "user-7", "metric": "revenue", "value": 3.5});
    receipts.push(more);
    assert_eq!(server.data().post("/actuals", Value::from(receipts).to_string()).json()["logged"], 101);
    wait("the log", SOON, || (written(&server) == 201.0).then_some(()));
    wait("the shadow", SOON, || {
        let report = server.admin().get("/experiments/e").ok();
        (report["report"]["shadows"][0]["requests"].as_u64()? > 20).then_some(())
    });
    let lines = logged(&server.path("log"), "predictions");
    let of = |variant: &str| lines.iter().filter(|line| line["variant"] == variant).collect::<Vec<_>>();
    let (control, candidate) = (of("control"), of("candidate"));
    assert_eq!(control.len() + candidate.len(), 100);
    assert!(control.iter().all(|line| line["propensity"] == 0.75 && line["outputs"]["y"][0] == 1.0));
    assert!(candidate.iter().all(|line| line["propensity"] == 0.25 && line["version"] == "2"));
    assert!(lines.iter().all(|line| line["experiment"] == "e" && line["inputs"]["x"][0][3] == 4.0));
    // Receipts hold no id, and join by its hash.
    let outcomes = logged(&server.path("log"), "outcomes");
    for line in outcomes.iter().filter(|line| line["actual"].is_number()) {
        let prediction = lines.iter().find(|known| known["key"] == line["key"]).unwrap();
        assert_eq!(prediction["id"], format!("id-{}", line["actual"].as_f64().unwrap()));
        assert_eq!((&line["model"], &line["status"]), (&json!("m"), &json!("ok")));
    }
    let revenue = outcomes.iter().find(|line| line["metric"] == "revenue").unwrap();
    let seventh = lines.iter().find(|line| line["id"] == "id-7").unwrap();
    assert_eq!((&revenue["unit"], &revenue["value"]), (&seventh["unit"], &json!(3.5)));
}

#[test]
fn what_is_redacted_sampled_away_or_off_is_nowhere() {
    let server = start(&constant(1.0), "redact = [\"m:x\", \"m:wrong\"]\nsample = \"50%\"\n");
    for n in 0..200 {
        ask(&server, &format!("id-{n}"), TWO_ROWS).ok();
    }
    server.wait_log("prediction_log.redact names what the version does not have");
    wait("the log", SOON, || {
        (written(&server) > 70.0 && !segments(&server.path("log"), "predictions").is_empty()).then_some(())
    });
    let all: Vec<Value> = (0..200).map(|n| json!({"id": format!("id-{n}"), "actual": n})).collect();
    let noted =
        server.data().post("/actuals", Value::from(all).to_string()).json()["logged"].as_f64().unwrap();
    wait("the rest", SOON, || (written(&server) == 2.0 * noted).then_some(()));
    let log = server.path("log");
    let (lines, outcomes) = (logged(&log, "predictions"), logged(&log, "outcomes"));
    assert!((70..130).contains(&lines.len()), "{}", lines.len());
    assert!(
        lines
            .iter()
            .all(|line| line["inputs"] == json!({"x": null}) && line["outputs"]["y"] == json!([1.0, 1.0]))
    );
    let keys = |lines: &[Value]| {
        let mut keys: Vec<String> = lines.iter().map(|line| line["key"].to_string()).collect();
        keys.sort();
        keys
    };
    assert_eq!(keys(&lines), keys(&outcomes), "the same requests have both");
    // Another model is to be logged.
    fs::write(
        server.path("sidegate.toml"),
        "registry.poll_interval_ms = 50\n[prediction_log]\nurl = \"log\"\nsegment_ms = 200\nmodels = [\"other\"]\n",
    )
    .unwrap();
    server.wait_log("configuration reloaded");
    let before = written(&server);
    (0..20).for_each(|n| drop(ask(&server, &format!("after-{n}"), ROW).ok()));
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(written(&server), before);
    // Off, nothing is there at all.
    let setup = Setup::with(&["wine"]);
    let server = setup.start();
    assert_eq!(server.data().post("/actuals", r#"{"id":"a","actual":1}"#).json()["logged"], Value::Null);
    assert!(!server.path("log").exists());
}

#[test]
fn the_end_of_the_process_is_the_end_of_the_last_segment() {
    let mut server = start(&constant(1.0), "segment_ms = 3600000\n");
    for n in 0..50 {
        ask(&server, &format!("id-{n}"), ROW).ok();
    }
    let log = server.path("log");
    server.signal("TERM");
    assert!(server.wait_end(SOON).success());
    assert_eq!(logged(&log, "predictions").len(), 50);
}

#[test]
fn a_killed_process_leaves_whole_segments() {
    for round in 0..3 {
        let mut server = start(&constant(1.0), "segment_bytes = 65536\n");
        let good = |answer: &Answer| if answer.status == 200 { Ok(1) } else { Err(answer.text()) };
        let body = constant_request(INFER);
        let load = Load::start(&server.data(), &body, &[Manner::KeepAlive; 4], good);
        wait("some segments", SOON, || {
            (segments(&server.path("log"), "predictions").len() > 5 + round).then_some(())
        });
        server.signal("KILL");
        server.wait_end(SOON);
        drop(load);
        let log = server.path("log");
        let found = segments(&log, "predictions");
        let count: usize = found.iter().map(|path| lines(&fs::read(path).unwrap()).len()).sum();
        assert!(count > 100, "{count}");
        // Whatever was not finished has a name that no pattern finds.
        let mut all = Vec::new();
        files(&log.join("predictions"), &mut all);
        for path in all.iter().filter(|path| !found.contains(path)) {
            assert!(path.file_name().unwrap().to_string_lossy().starts_with(".sidegate-"), "{path:?}");
        }
    }
}

#[test]
fn a_log_that_cannot_be_written_harms_nobody() {
    let setup = Setup::new().only_config(
        "registry.poll_interval_ms = 50\n[prediction_log]\nurl = \"blocked\"\nsegment_ms = 100\nmax_bytes = 1048576\n",
    );
    setup.repository().version("m", 1, &constant(1.0), &Extras::default());
    setup.repository().index("m", &[(1, "Production")], &[]);
    fs::write(setup.path("blocked"), "a file").unwrap();
    let mut server = setup.start();
    let long = "x".repeat(200);
    wait("what is dropped", SOON, || {
        for n in 0..500 {
            ask(&server, &format!("{n}-{long}"), ROW).ok();
        }
        (server.metric("sidegate_prediction_log_write_failures_total") >= 1.0).then_some(())
    });
    server.wait_log("the prediction log cannot be written; it is tried again");
    assert_eq!(written(&server), 0.0);
    fs::remove_file(server.path("blocked")).unwrap();
    wait("the log", SOON, || (written(&server) > 0.0).then_some(()));
    server.wait_log("the prediction log is written again");
    server.signal("TERM");
    assert!(server.wait_end(SOON).success());
}

#[test]
fn a_log_among_models_is_refused() {
    let output = Setup::new().only_config("[prediction_log]\nurl = \"models/log\"\n").run();
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{words}");
    assert!(words.contains("prediction_log.url") && words.contains("among the models"), "{words}");
}

#[test]
fn large_requests_and_lanes_are_logged_in_parts() {
    let server = start(&constant(1.0), "");
    let rows = 9_000;
    let data: Vec<u32> = (0..rows * 4).collect();
    let body =
        json!({"inputs": [{"name": "x", "shape": [rows, 4], "datatype": "FP32", "data": data}]}).to_string();
    let bytes = request("POST", INFER, &[("x-request-id", "large")], body.as_bytes());
    server.data().send(&bytes).ok();
    wait("the log", SOON, || (written(&server) == 1.0).then_some(()));
    let lines = logged(&server.path("log"), "predictions");
    let counts: Vec<u64> = lines.iter().map(|line| line["rows"].as_u64().unwrap()).collect();
    assert!(lines.len() > 1 && counts.iter().sum::<u64>() == u64::from(rows), "{counts:?}");
    for line in &lines {
        assert_eq!(line["inputs"]["x"][0][0].as_f64().unwrap(), line["row"].as_f64().unwrap() * 4.0);
    }
}

#[cfg(feature = "s3")]
mod bucket {
    use super::super::bucket::{Bucket, Fault};
    use super::*;

    #[test]
    fn a_bucket_takes_each_segment_by_one_write_and_what_it_refuses_waits() {
        let bucket = Bucket::start();
        let text = format!(
            "registry.poll_interval_ms = 50\n[prediction_log]\nurl = \"{}/_log\"\nsegment_ms = 200\n",
            bucket.url()
        );
        let setup = Setup::new().only_config(&text);
        let setup =
            bucket.environment().iter().fold(setup, |setup, (name, value)| setup.variable(name, value));
        setup.repository().version("m", 1, &constant(1.0), &Extras::default());
        setup.repository().index("m", &[(1, "Production")], &[]);
        let mut server = setup.start();
        bucket.set_fault(Fault::Answer(403, "AccessDenied"));
        (0..20).for_each(|n| drop(ask(&server, &format!("id-{n}"), ROW).ok()));
        server.wait_log("the prediction log cannot be written; it is tried again");
        bucket.heal();
        wait("the log", SOON, || (written(&server) == 20.0).then_some(()));
        bucket.take_requests();
        (20..40).for_each(|n| drop(ask(&server, &format!("id-{n}"), ROW).ok()));
        server.signal("TERM");
        assert!(server.wait_end(SOON).success());
        let asked: Vec<String> = bucket.requests().iter().map(|request| request.method.to_string()).collect();
        assert!(!asked.is_empty() && asked.iter().all(|method| method == "PUT"), "{asked:?}");
        let lines = logged(&bucket.folder().join("_log"), "predictions");
        let ids: Vec<&str> = lines.iter().map(|line| line["id"].as_str().unwrap()).collect();
        assert_eq!(ids, (0..40).map(|n| format!("id-{n}")).collect::<Vec<_>>());
    }
}
