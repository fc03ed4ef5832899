//! How good predictions are, by the actuals that come later: by id, by receipt, as classes, on shipped models.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use super::client::Target;
use super::harness::{Server, Setup, example, run, wait};

const SOON: Duration = Duration::from_secs(20);

fn start(more: &str) -> Server {
    let setup = Setup::with(&["penguins", "flight-delay"]);
    let text = format!("experiments.receipt_key_file = \"receipt.key\"\nmonitor.performance = true\n{more}");
    let setup = setup.config(&text);
    fs::write(setup.path("receipt.key"), "a-key-that-every-replica-has\n").unwrap();
    let server = setup.start();
    wait("predictions to be waited for", SOON, || {
        let ready = ["penguins", "flight-delay"].iter().all(|model| known(&server, model)["on"] == true);
        ready.then_some(())
    });
    // The monitor asks workers for them at its next look.
    std::thread::sleep(Duration::from_millis(600));
    server
}

/// A request of one row that leaves its id to the header.
fn one(model: &str) -> String {
    json!({"inputs": example(model).0["inputs"]}).to_string()
}

fn shown(server: &Server, model: &str) -> String {
    let Target::Tcp(admin) = server.admin() else { panic!("the admin port is TCP") };
    let output = run(&server.path(""), &["performance", model, "--admin", &admin.to_string()]);
    String::from_utf8(output.stdout).unwrap()
}

fn known(server: &Server, model: &str) -> Value {
    server.admin().get(&format!("/performance/{model}")).json()
}

fn hour(server: &Server, model: &str) -> Value {
    server.admin().get(&format!("/performance/{model}?window=1h")).ok()["versions"][0]["windows"][0].clone()
}

/// A request with an id; its receipt and the outputs.
fn ask(server: &Server, model: &str, id: &str, body: &str) -> (String, Value) {
    let headers = [("x-request-id", id), ("x-sidegate-receipt", "1")];
    let answer = server.data().post_with(&format!("/v2/models/{model}/infer"), &headers, body);
    let receipt = answer.header("x-sidegate-receipt").unwrap_or_default().to_owned();
    (receipt, answer.ok()["outputs"].clone())
}

fn post(server: &Server, items: &Value) -> Value {
    server.data().post("/actuals", items.to_string()).json()
}

#[test]
fn classes_are_held_against_the_names_that_come() {
    let server = start("");
    let body = one("penguins");
    let mut said = String::new();
    for n in 0..40 {
        let (_, outputs) = ask(&server, "penguins", &format!("p-{n}"), &body);
        said = outputs[0]["data"][0].as_str().unwrap().to_owned();
    }
    let before = hour(&server, "penguins");
    assert_eq!((&before["predictions"], &before["sample_size"]), (&json!(40), &json!(0)));
    assert_eq!((&before["status"], before.get("accuracy")), (&json!("insufficient_data"), None));
    let metrics = |server: &Server| server.admin().get("/metrics").text();
    assert!(!metrics(&server).contains("model_accuracy{"), "no data is no series");

    let other = if said == "Gentoo" { "Adelie" } else { "Gentoo" };
    let items: Value = (0..30)
        .map(|n| json!({"id": format!("p-{n}"), "actual": if n < 24 { &said } else { other }, "model": "penguins"}))
        .collect();
    assert_eq!(post(&server, &items)["counts"], json!({"ok": 30}));
    let wrong = post(
        &server,
        &json!([{"id": "p-39", "actual": "Macaroni"}, {"id": "p-39", "actual": "Adelie", "model": "m"}]),
    );
    assert_eq!(
        (&wrong["results"][0]["status"], &wrong["results"][1]["status"]),
        (&json!("invalid"), &json!("unmatched"))
    );
    assert!(wrong["results"][0]["error"].as_str().unwrap().contains("no class `Macaroni`"), "{wrong}");
    // One of them was wrong after all.
    assert_eq!(post(&server, &json!([{"id": "p-0", "actual": other}]))["counts"], json!({"corrected": 1}));

    let found = hour(&server, "penguins");
    assert_eq!(
        (&found["accuracy"], &found["sample_size"], &found["label_coverage"]),
        (&json!(23.0 / 30.0), &json!(30), &json!(0.75))
    );
    // The founding fields, weighted by class: a class that is never predicted counts 0.
    let weight = 23.0 / 30.0;
    let close = |name: &str, expected: f64| (found[name].as_f64().unwrap() - expected).abs() < 1e-12;
    assert!(
        close("recall", weight) && close("precision", weight * weight) && close("f1", weight * 46.0 / 53.0),
        "{found}"
    );
    let [low, high] = [0, 1].map(|end| found["intervals"]["accuracy"][end].as_f64().unwrap());
    assert!((0.58..0.60).contains(&low) && (0.87..0.89).contains(&high), "{low} {high}");
    let cells = found["confusion"].as_array().unwrap();
    assert!(cells.contains(&json!({"truth": other, "predicted": said, "rows": 7})), "{cells:?}");

    wait("the metric", SOON, || {
        let series = format!("model_accuracy{{model=\"penguins\",version=\"1\"}} {}", 23.0 / 30.0);
        metrics(&server).contains(&series).then_some(())
    });
    assert!(
        metrics(&server).contains("sidegate_label_coverage_ratio{model=\"penguins\",version=\"1\"} 0.75")
    );
    let shown = shown(&server, "penguins");
    assert!(shown.contains("penguins 1: classification") && shown.contains("30 (75.0 %)"), "{shown}");
}

#[test]
fn a_receipt_is_held_against_its_actual_by_any_process() {
    let first = start("");
    let body = one("flight-delay");
    let answers: Vec<(String, Value)> =
        (0..20).map(|n| ask(&first, "flight-delay", &format!("f-{n}"), &body)).collect();
    let predicted = answers[0].1[0]["data"][0].as_f64().unwrap();
    let items: Value = answers
        .iter()
        .enumerate()
        .map(|(n, (receipt, _))| {
            assert!(receipt.len() > 60, "{receipt}");
            json!({"receipt": receipt, "actual": predicted + if n % 2 == 0 { 3.0 } else { -3.0 }})
        })
        .collect();
    // Where it was predicted, and where it was not: there the predictions are none of its own.
    let second = start("");
    for (server, coverage) in [(&first, json!(1.0)), (&second, Value::Null)] {
        assert_eq!(post(server, &items)["counts"], json!({"ok": 20}));
        assert_eq!(post(server, &items)["counts"], json!({"duplicate": 20}));
        let found = hour(server, "flight-delay");
        assert!((found["rmse"].as_f64().unwrap() - 3.0).abs() < 1e-4, "{found}");
        assert_eq!((&found["sample_size"], &found["label_coverage"]), (&json!(20), &coverage));
        assert!(found["mean_error"].as_f64().unwrap().abs() < 1e-4 && found.get("accuracy").is_none());
    }
}

#[test]
fn what_is_off_is_said() {
    let server = Setup::with(&["flight-delay"]).start();
    let body = one("flight-delay");
    assert_eq!(ask(&server, "flight-delay", "f", &body).0, "");
    let answer = post(&server, &json!([{"id": "f", "actual": 1}]));
    assert_eq!(answer["results"][0]["status"], "unmatched");
    assert!(answer["results"][0]["error"].as_str().unwrap().contains("monitor.performance"), "{answer}");
    assert_eq!(known(&server, "flight-delay")["on"], false);
    let admin = server.admin();
    assert_eq!(admin.get("/performance/nobody").status, 404);
    for bad in ["window=8d", "windows=1h", "version=x"] {
        assert_eq!(admin.get(&format!("/performance/flight-delay?{bad}")).status, 400, "{bad}");
    }
    let shown = shown(&server, "flight-delay");
    assert!(shown.contains("monitor.performance is off"), "{shown}");
}
