//! Shadows: versions that predict from copies of requests, and what is said of them.

use std::cell::Cell;
use std::time::Duration;

use serde_json::{Value, json};

use super::client::{Answer, request};
use super::harness::{Server, Setup, wait};
use super::load::{Load, Manner};
use super::onnx::{constant, fails_at, slow};
use super::repository::Extras;

const SOON: Duration = Duration::from_secs(20);
const INFER: &str = "/v2/models/m/infer";
const ROW: &str = r#"{"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}"#;
const TWO_ROWS: &str =
    r#"{"inputs": [{"name": "x", "shape": [2, 4], "datatype": "FP32", "data": [1, 2, 3, 4, 1, 2, 3, 4]}]}"#;

/// A server of which version 1 answers 1 and version 2 is the shadow.
fn start(experiment: &str, second: &[u8]) -> Server {
    let text = format!("registry.poll_interval_ms = 50\n{experiment}");
    let setup = Setup::new().only_config(&text);
    let repository = setup.repository();
    repository.version("m", 1, &constant(1.0), &Extras::default());
    repository.version("m", 2, second, &Extras::default());
    repository.index("m", &[(1, "Production"), (2, "None")], &[]);
    let server = setup.start();
    wait("the shadow", SOON, || {
        let experiments = server.admin().get("/experiments").ok();
        experiments[0]["shadows"][0]["version"].is_string().then_some(())
    });
    server
}

const NEXT: &str = "[experiments.next]\nmodel = \"m\"\nshadow = { candidate = \"2\" }\n";

fn shadow(server: &Server) -> Value {
    server.admin().get("/experiments/next").ok()["report"]["shadows"][0].clone()
}

fn counted(server: &Server, result: &str) -> f64 {
    server.metric(&format!(
        "sidegate_shadow_total{{experiment=\"next\",result=\"{result}\",shadow=\"candidate\"}}"
    ))
}

#[test]
fn a_shadow_is_compared_and_answers_nobody() {
    let server = start(NEXT, &constant(1.25));
    let asked = Cell::new(0_u32);
    let ask = || {
        let id = format!("id-{}", asked.replace(asked.get() + 1));
        let answer = server.data().post_with(INFER, &[("x-request-id", &id)], TWO_ROWS).ok();
        assert_eq!(
            (&answer["model_version"], &answer["outputs"][0]["data"]),
            (&json!("1"), &json!([1.0, 1.0]))
        );
    };
    (0..300).for_each(|_| ask());
    // Those that name a version have asked for that one alone.
    server.data().post("/v2/models/m/versions/2/infer", ROW).ok();
    // A machine that stalls drops copies: these are made up for.
    wait("the comparison", SOON, || {
        let (compared, dropped) = (counted(&server, "compared"), counted(&server, "dropped"));
        let over = compared + dropped == f64::from(asked.get());
        if over && compared < 300.0 {
            ask();
        }
        (over && compared >= 300.0).then_some(())
    });
    let compared = counted(&server, "compared");
    let found = wait("its report", SOON, || {
        Some(shadow(&server)).filter(|found| found["requests"].as_f64() == Some(compared))
    });
    assert_eq!(
        (&found["shadow"], &found["version"], &found["against"]),
        (&json!("candidate"), &json!(2), &json!(1))
    );
    assert_eq!((found["rows"].as_f64(), &found["failed"]), (Some(2.0 * compared), &json!(0)));
    assert_eq!((&found["difference"]["value"], &found["disagreement"]["value"]), (&json!(0.25), &json!(1.0)));
    assert!(found["disagreement"]["low"].as_f64().unwrap() > 0.9, "{found}");
    let median = found["quantiles"][2]["value"].as_f64().unwrap();
    assert!((median / 0.25 - 1.0).abs() < 0.03, "{median}");
    assert_eq!(
        server.metric("model_predictions_total{model=\"m\",outcome=\"ok\",variant=\"\",version=\"2\"}"),
        1.0
    );
}

#[test]
fn a_shadow_that_fails_harms_nobody() {
    let server = start(NEXT, &fails_at(2, 1.0));
    for body in [ROW, TWO_ROWS, ROW, TWO_ROWS] {
        assert_eq!(server.data().post(INFER, body).status, 200);
    }
    wait("the failures", SOON, || (shadow(&server)["failed"] == 2).then_some(()));
    assert_eq!((counted(&server, "failed"), counted(&server, "compared")), (2.0, 2.0));
    assert_eq!(shadow(&server)["disagreement"]["value"], 0.0);
}

#[test]
fn a_shadow_that_is_too_slow_drops_copies_and_no_request() {
    let mut server = start(NEXT, &slow(768, 24));
    let judge = |answer: &Answer| match answer.status {
        200 => Ok(1),
        status => Err(format!("{status}")),
    };
    // More rows than a queue of copies holds bytes for, soon.
    let rows = 2000;
    let row = ["1, 2, 3, 4"; 2000].join(", ");
    let body = format!(
        r#"{{"inputs": [{{"name": "x", "shape": [{rows}, 4], "datatype": "FP32", "data": [{row}]}}]}}"#
    );
    let before = server.resident();
    let many = request("POST", INFER, &[], body.as_bytes());
    let load = Load::start(&server.data(), &many, &[Manner::KeepAlive, Manner::OneEach], judge);
    wait("copies to be dropped", SOON, || (counted(&server, "dropped") > 100.0).then_some(()));
    let tally = load.stop();
    assert_eq!((tally.failures, tally.answered > 300), (Vec::<String>::new(), true));
    assert!(server.resident() < before + (256 << 10), "{} and {before}", server.resident());
    // It ends while copies wait.
    server.signal("TERM");
    assert!(server.wait_end(SOON).success());
}

#[test]
fn a_canary_that_disagrees_with_its_control_is_rolled_back() {
    let text = "experiments.only_replica = true\n[experiments.next]\nmodel = \"m\"\nunit = \"header:x-user\"\n\
                default = \"old\"\nvariants = { old = \"1\", new = \"2\" }\nmin_runtime_ms = 0\nmode = \"auto\"\n\
                shadow = { check = \"1\" }\nguardrails = [\"disagreement within 20%\"]\n";
    let server = start(text, &constant(3.0));
    let ask = |n: u32| {
        let headers = [("x-user", &*format!("user-{n}")), ("x-request-id", &*format!("id-{n}"))];
        server.data().post_with(INFER, &headers, ROW).ok()["parameters"]["variant"].clone()
    };
    let answered = (0..400).filter(|n| ask(*n) == "new").count();
    wait("the verdict", SOON, || {
        let report = server.admin().get("/experiments/next").ok();
        (report["stage"] == "rolled_back").then_some(())
    });
    let report = server.admin().get("/experiments/next").ok();
    let found = &report["report"]["shadows"][0];
    // What the shadow's own version answered is not compared.
    assert_eq!((&found["requests"], &found["against"]), (&json!(answered), &json!(2)));
    let decisions = report["decisions"].as_array().unwrap();
    let why = decisions.iter().find(|entry| entry["verb"] == "rollback").unwrap()["why"].as_str().unwrap();
    assert!(why.contains("predicted otherwise"), "{why}");
    wait("its routing", SOON, || (0..50).all(|n| ask(n) == "old").then_some(()));
}
