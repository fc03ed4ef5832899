//! Outcomes of experiments: joined three ways, compared, decided on and acted on.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use super::harness::{Server, Setup, run, wait};
use super::onnx::{constant, fails_at};
use super::repository::Extras;

const SOON: Duration = Duration::from_secs(10);
const INFER: &str = "/v2/models/m/infer";

/// Half of the users of `m` get each of two versions, of which one predicts 1 and the other 2.
fn config(more: &str) -> String {
    format!(
        "registry.poll_interval_ms = 50\nexperiments.receipt_key_file = \"receipt.key\"\n{more}\
         [experiments.halves]\nmodel = \"m\"\nunit = \"header:x-user\"\ndefault = \"control\"\n\
         variants = {{ control = \"1\", candidate = \"2\" }}\nmin_runtime_ms = 0\nplanned_units = 1000\n"
    )
}

fn start(text: &str) -> Server {
    start_with(text, &constant(2.0))
}

fn start_with(text: &str, candidate: &[u8]) -> Server {
    let setup = Setup::new().only_config(text);
    let repository = setup.repository();
    repository.version("m", 1, &constant(1.0), &Extras::default());
    repository.version("m", 2, candidate, &Extras::default());
    repository.index("m", &[(1, "Production"), (2, "None")], &[]);
    fs::write(setup.path("receipt.key"), "a-key-that-every-replica-has\n").unwrap();
    let server = setup.start();
    wait("both variants", SOON, || {
        let experiments = server.admin().get("/experiments").ok();
        let variants = experiments[0]["variants"].as_array()?;
        variants.iter().all(|variant| variant["version"].is_string()).then_some(())
    });
    server
}

/// Asks for a prediction; its variant and its receipt.
fn ask(server: &Server, user: &str, id: &str) -> (String, String) {
    let headers = [("x-user", user), ("x-request-id", id), ("x-sidegate-receipt", "1")];
    let body = r#"{"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}"#;
    let answer = server.data().post_with(INFER, &headers, body);
    let receipt = answer.header("x-sidegate-receipt").unwrap_or_default().to_owned();
    (answer.ok()["parameters"]["variant"].as_str().unwrap_or_default().to_owned(), receipt)
}

fn report(server: &Server) -> Value {
    server.admin().get("/experiments/halves").ok()
}

fn post(server: &Server, items: &Value) -> Value {
    server.data().post("/actuals", items.to_string()).json()
}

fn statuses(answer: &Value) -> Vec<&str> {
    answer["results"].as_array().unwrap().iter().map(|result| result["status"].as_str().unwrap()).collect()
}

fn variant<'a>(report: &'a Value, name: &str) -> &'a Value {
    report["report"]["variants"]
        .as_array()
        .unwrap()
        .iter()
        .find(|variant| variant["variant"] == name)
        .unwrap()
}

#[test]
fn actuals_by_request_id_count_once_and_can_be_corrected() {
    let server = start(&config("").replace("min_runtime_ms = 0", "metric = \"squared_error\""));
    let of: Vec<String> =
        (0..200).map(|n| ask(&server, &format!("user-{n}"), &format!("id-{n}")).0).collect();
    // What was true is 2, so that the candidate is right and the control is wrong by 1.
    let all: Value = (0..200).map(|n| json!({"id": format!("id-{n}"), "actual": 2})).collect();
    let answer = post(&server, &all);
    assert_eq!((&answer["accepted"], &answer["counts"]), (&json!(200), &json!({"ok": 200})));
    let candidates = of.iter().filter(|variant| *variant == "candidate").count() as u64;
    let known = report(&server);
    let (control, candidate) = (variant(&known, "control"), variant(&known, "candidate"));
    assert_eq!(
        (&control["mse"], &control["rmse"], &control["sample_size"]),
        (&json!(1.0), &json!(1.0), &json!(200 - candidates))
    );
    assert_eq!(
        (&candidate["mse"], &candidate["units"], &candidate["requests"]),
        (&json!(0.0), &json!(candidates), &json!(candidates))
    );
    // The same again, another value for one, ids that nobody knows, and what cannot be understood.
    let at = of.iter().position(|variant| variant == "candidate").unwrap();
    let odd = json!([
        {"id": "id-0", "actual": 2}, {"id": format!("id-{at}"), "actual": 5}, {"id": "nobody", "actual": 1},
        {"id": "id-1"}, {"id": "id-1", "actual": [1, 2]}, {"id": "id-1", "actual": 1, "row": 3}, {"what": 1},
        {"id": "id-1", "actual": 1, "model": "other"}, {"receipt": "forged", "actual": 1},
    ]);
    let answer = post(&server, &odd);
    let expected = [
        "duplicate",
        "corrected",
        "unmatched",
        "invalid",
        "invalid",
        "invalid",
        "invalid",
        "unmatched",
        "forged",
    ];
    assert_eq!(statuses(&answer), expected, "{answer}");
    let mse = variant(&report(&server), "candidate")["mse"].as_f64().unwrap();
    assert!((mse - 9.0 / candidates as f64).abs() < 1e-12, "{mse}");
    assert_eq!(server.metric("sidegate_outcomes_total{result=\"ok\"}"), 200.0);
    assert_eq!(server.metric("sidegate_outcomes_total{result=\"forged\"}"), 1.0);
    for (body, kind) in [("{", ""), ("1", ""), ("id,actual", "text/csv")] {
        let headers = if kind.is_empty() { Vec::new() } else { vec![("content-type", kind)] };
        let answer = server.data().post_with("/outcomes", &headers, body);
        assert!(answer.status == 400 || answer.status == 415, "{}", answer.status);
        assert!(answer.json()["error"].is_string());
    }
}

#[test]
fn a_receipt_is_accepted_by_another_replica_and_after_a_restart() {
    let text = config("").replace("min_runtime_ms = 0", "metric = \"squared_error\"");
    let first = start(&text);
    let receipts: Vec<(String, String)> =
        (0..40).map(|n| ask(&first, &format!("user-{n}"), &format!("id-{n}"))).collect();
    assert!(receipts.iter().all(|(_, receipt)| receipt.len() > 80), "{receipts:?}");
    drop(first);
    let second = start(&text);
    let all: Value = receipts.iter().map(|(_, receipt)| json!({"receipt": receipt, "actual": 2})).collect();
    assert_eq!(post(&second, &all)["counts"], json!({"ok": 40}));
    assert_eq!(post(&second, &all)["counts"], json!({"duplicate": 40}));
    let known = report(&second);
    let candidates = receipts.iter().filter(|(variant, _)| variant == "candidate").count() as u64;
    assert_eq!(
        (&variant(&known, "candidate")["sample_size"], &variant(&known, "candidate")["mse"]),
        (&json!(candidates), &json!(0.0))
    );
    assert_eq!(variant(&known, "control")["mse"], json!(1.0));
    // One of another experiment, and of another key.
    let other = start(&text.replace("halves]", "halves]\nsalt = \"another\""));
    assert_eq!(statuses(&post(&other, &json!([{"receipt": receipts[0].1, "actual": 2}]))), ["foreign"]);
    fs::write(other.path("receipt.key"), "another-key-than-all-others-have\n").unwrap();
    let young = start(&text.replace(
        "experiments.receipt_key",
        "experiments.receipt_max_age_ms = 1000\nexperiments.receipt_key",
    ));
    let (_, receipt) = ask(&young, "user-1", "id-1");
    std::thread::sleep(Duration::from_millis(1100));
    assert_eq!(statuses(&post(&young, &json!([{"receipt": receipt, "actual": 2}]))), ["expired"]);
}

#[test]
fn outcomes_by_unit_find_their_variant() {
    let server = start(&config("").replace("min_runtime_ms = 0", "metric = \"outcome:sales\""));
    for n in 0..100 {
        ask(&server, &format!("user-{n}"), &format!("id-{n}"));
    }
    let lines: Vec<String> = (0..100)
        .map(|n| json!({"unit": format!("user-{n}"), "metric": "sales", "value": 3}).to_string())
        .collect();
    let headers = [("content-type", "application/x-ndjson")];
    let answer = server.data().post_with("/outcomes", &headers, lines.join("\n"));
    assert_eq!((answer.status, &answer.json()["counts"]), (200, &json!({"ok": 100})));
    let known = report(&server);
    for name in ["control", "candidate"] {
        let metric = &variant(&known, name)["metrics"][0];
        assert_eq!(
            (&metric["metric"], &metric["value"], &metric["n"]),
            (&json!("sales"), &json!(3.0), &json!(variant(&known, name)["units"].as_f64()))
        );
    }
    let odd = json!([
        {"unit": "user-1", "metric": "other", "value": 3}, {"unit": "user-1", "metric": "sales"},
        {"unit": "user-1", "metric": "sales", "value": 1, "t": "tomorrow"},
    ]);
    assert_eq!(statuses(&post(&server, &odd)), ["not_enrolled", "invalid", "invalid"]);
}

#[test]
fn a_better_variant_is_promoted_and_answers_everybody() {
    let text = config("experiments.only_replica = true\n")
        .replace("min_runtime_ms = 0", "min_runtime_ms = 0\nmetric = \"squared_error\"\nmode = \"auto\"");
    let server = start(&text);
    for n in 0..500 {
        ask(&server, &format!("user-{n}"), &format!("id-{n}"));
    }
    // 2 and a little: both sides have to vary.
    let actual = |n: u32| 2.0 + f64::from(n % 7) / 10.0;
    let all: Value = (0..500).map(|n| json!({"id": format!("id-{n}"), "actual": actual(n)})).collect();
    post(&server, &all);
    wait("the promotion", SOON, || (report(&server)["stage"] == "promoted").then_some(()));
    let known = report(&server);
    assert_eq!(known["promoted"], "candidate");
    let verbs: Vec<&str> =
        known["decisions"].as_array().unwrap().iter().map(|entry| entry["verb"].as_str().unwrap()).collect();
    assert_eq!(verbs, ["begin", "promote"]);
    wait("its routing", SOON, || {
        (0..20).all(|n| ask(&server, &format!("user-{n}"), "x").0 == "candidate").then_some(())
    });
    let labels = "{experiment=\"halves\",reason=\"promoted\",variant=\"candidate\"}";
    assert!(server.metric(&format!("sidegate_experiment_assignments_total{labels}")) >= 20.0);
}

#[test]
fn a_harmful_canary_is_rolled_back_and_observing_only_says_so() {
    for mode in ["auto", "observe"] {
        let canary =
            format!("canary = [\"50% for 1h\", \"100%\"]\nguardrails = [\"errors\"]\nmode = \"{mode}\"");
        let text = config("experiments.only_replica = true\n").replace("min_runtime_ms = 0", &canary);
        // The candidate fails every request of two rows.
        let server = start_with(&text, &fails_at(2, 2.0));
        let body = r#"{"inputs": [{"name": "x", "shape": [2, 4], "datatype": "FP32", "data": [1, 2, 3, 4, 1, 2, 3, 4]}]}"#;
        let asked = |count: u32| -> Vec<u16> {
            let one = |n| server.data().post_with(INFER, &[("x-user", &*format!("user-{n}"))], body).status;
            (0..count).map(one).collect()
        };
        let failed = asked(400).iter().filter(|status| **status != 200).count();
        // A quarter of all, each of them a canary's.
        assert!(failed > 5, "{failed}");
        wait("the verdict", SOON, || (report(&server)["stage"] == "rolled_back").then_some(()));
        let known = report(&server);
        assert_eq!(
            (&known["rolled_back"], &known["decisions"][0]["verb"]),
            (&json!(["candidate"]), &json!("rollback"))
        );
        assert!(known["decisions"][0]["why"].as_str().unwrap().starts_with("errors is 1"), "{known}");
        if mode == "auto" {
            wait("its routing", SOON, || asked(50).iter().all(|status| *status == 200).then_some(()));
            let labels = "{experiment=\"halves\",reason=\"rolled_back\",variant=\"control\"}";
            assert!(server.metric(&format!("sidegate_experiment_assignments_total{labels}")) > 0.0);
        } else {
            assert!(asked(100).iter().any(|status| *status != 200));
        }
    }
}

#[test]
fn what_was_decided_of_some_versions_says_nothing_of_others() {
    let text = "registry.poll_interval_ms = 50\nexperiments.only_replica = true\n[experiments.halves]\nmodel = \"m\"\n\
                unit = \"header:x-user\"\ndefault = \"control\"\nmin_runtime_ms = 0\nplanned_units = 200\nmode = \"auto\"\n\
                variants = { control = \"1\", candidate = \"staging\" }\nguardrails = [\"errors\"]\n";
    let setup = Setup::new().only_config(text);
    let repository = setup.repository();
    for (version, bytes) in
        [(1, constant(1.0)), (2, fails_at(2, 2.0)), (3, constant(3.0)), (4, constant(4.0))]
    {
        repository.version("m", version, &bytes, &Extras::default());
    }
    let stages = |stages: [&str; 4]| {
        let listed: Vec<(u64, &str)> = (1..).zip(stages).filter(|(_, stage)| !stage.is_empty()).collect();
        repository.index("m", &listed, &[]);
    };
    stages(["Production", "Staging", "", ""]);
    let server = setup.start();
    let body = r#"{"inputs": [{"name": "x", "shape": [2, 4], "datatype": "FP32", "data": [1, 2, 3, 4, 1, 2, 3, 4]}]}"#;
    let asked = |count: u32| -> Vec<(u16, String)> {
        let one = |n| {
            let answer = server.data().post_with(INFER, &[("x-user", &*format!("user-{n}"))], body);
            (answer.status, answer.json()["model_version"].as_str().unwrap_or_default().to_owned())
        };
        (0..count).map(one).collect()
    };
    let only = |version: &str| asked(40).iter().all(|(status, found)| *status == 200 && found == version);
    // Version 2 fails, and is taken out.
    wait("the rollback", SOON, || {
        (asked(60).len() == 60 && report(&server)["stage"] == "rolled_back").then_some(())
    });
    wait("its routing", SOON, || only("1").then_some(()));
    // Version 3 under the same variant is tried like any other, does no harm, and wins.
    stages(["Production", "Archived", "Staging", "None"]);
    wait("another trial", SOON, || asked(40).iter().any(|(_, version)| version == "3").then_some(()));
    wait("the promotion", SOON, || {
        (asked(300).len() == 300 && report(&server)["stage"] == "promoted").then_some(())
    });
    wait("its routing", SOON, || only("3").then_some(()));
    // People have the last word: a rollback, whose hold is then released, and another version in Production.
    let does = |args: &[&str]| {
        let output = run(&server.path("."), &[&["registry"], args, &["--registry", "models"]].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    does(&["rollback", "m", "--to", "1", "--why", "a launch", "--no-check"]);
    wait("the rollback by hand", SOON, || only("1").then_some(()));
    does(&["hold", "m", "--release"]);
    std::thread::sleep(Duration::from_millis(600));
    assert!(only("1"));
    assert_eq!(report(&server)["ended"], true);
    does(&["promote", "m", "4", "--stage", "production", "--no-check"]);
    wait("the end", SOON, || only("4").then_some(()));
    let labels = "{experiment=\"halves\",reason=\"ended\",variant=\"\"}";
    assert!(server.metric(&format!("sidegate_experiment_assignments_total{labels}")) >= 40.0);
}
