//! Against a real server where there is one (`SIDEGATE_TEST_MLFLOW=http://…`, as `scripts/test.sh mlflow` has it), and
//! what holds without any.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sidegate::config::MlflowUrl;
use sidegate::mlflow::Server;
use sidegate::model::Stage;

use super::*;
use crate::environment::variable;

fn tracking(url: &str, rest: &str) -> Tracking {
    toml::from_str(&format!("url = \"{url}\"\n{rest}")).unwrap()
}

/// Tracks a run of `model` as it ends, with what `change` makes of it, and returns what was said.
fn tell(settings: &Tracking, model: &str, change: impl FnOnce(&mut RunView<'_>)) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in
        [("model.onnx", "a model"), ("report.html", "<p>"), ("roc.svg", "<svg/>"), ("train.f32", "-")]
    {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let round = |round| Round {
        round,
        of: 700,
        metric: "rmse",
        train: 1.0 / f64::from(round),
        validation: Some(2.0),
    };
    let rounds: Vec<Round> = (1..=700).map(round).collect();
    let metrics = BTreeMap::from([
        ("test_rmse".to_owned(), 0.5),
        ("test_r2{slice=a}".to_owned(), 0.25),
        ("test_nothing".to_owned(), f64::NAN),
    ]);
    let mut params = json!({ "max_depth": 6, "tree": { "method": "hist" }, "long": "x".repeat(9000) });
    for number in 0..150 {
        params[format!("p{number}")] = number.into();
    }
    let name = format!("{model}-1");
    let mut run = RunView {
        name: &name,
        status: Status::Finished,
        reason: None,
        started: 1_764_000_000_000,
        ended: Some(1_764_000_060_000),
        user: Some("somebody"),
        commit: Some("0123456789ab"),
        tags: BTreeMap::from([("sidegate.learner", "builtin".to_owned())]),
        params: &params,
        metrics: &metrics,
        rounds: &rounds,
        dataset: Some(Dataset {
            name: "flights",
            digest: "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
            source: "s3://data/flights",
            rows: 1000,
        }),
        folder: folder.path(),
        model,
        version: Some(VersionView {
            number: 7,
            source: Some("s3://models/churn/7"),
            digest: "sha256:ab",
            stage: Stage::Production,
            alias: Some("newest"),
        }),
    };
    change(&mut run);
    let mut said = Vec::new();
    track(settings, &run, &mut |words| said.push(words.to_owned()));
    said
}

/// A server, and a model that no other test has.
fn live(name: &str) -> Option<(String, Server, String)> {
    let url = variable("SIDEGATE_TEST_MLFLOW")?;
    let server = Server::new(MlflowUrl::parse(&url).unwrap(), None);
    let model = format!("{name}-{}", std::process::id());
    Some((url, server, model))
}

fn run_of(server: &Server, model: &str) -> Value {
    let experiment: Value = server.get("experiments/get-by-name", &[("experiment_name", model)]).unwrap();
    let search = json!({ "experiment_ids": [experiment["experiment"]["experiment_id"]] });
    let mut found: Value = server.post("runs/search", &search).unwrap();
    assert_eq!(found["runs"].as_array().unwrap().len(), 1, "one run, however often it was told");
    found["runs"][0].take()
}

fn of<'a>(list: &'a Value, key: &str) -> &'a Value {
    let found = list.as_array().unwrap().iter().find(|pair| pair["key"] == key);
    &found.unwrap_or_else(|| panic!("no {key} in {list}"))["value"]
}

#[test]
fn mlflow_keeps_a_whole_run() {
    let Some((url, server, model)) = live("whole") else { return };
    let settings = tracking(&url, "");
    tell(&settings, &model, |run| (run.status, run.version) = (Status::Running, None));
    assert_eq!(run_of(&server, &model)["info"]["status"], "RUNNING");
    let said = tell(&settings, &model, |_| ());
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].ends_with(&format!(", version 1 of {model}")), "{said:?}");
    // Told again, nothing is there twice.
    assert_eq!(tell(&settings, &model, |_| ()), said);

    let run = run_of(&server, &model);
    let (info, data) = (&run["info"], &run["data"]);
    assert_eq!((&info["status"], &info["end_time"]), (&json!("FINISHED"), &json!(1_764_000_060_000_i64)));
    assert_eq!(of(&data["tags"], "mlflow.source.git.commit"), "0123456789ab");
    assert_eq!(of(&data["tags"], "mlflow.user"), "somebody");
    assert_eq!(data["params"].as_array().unwrap().len(), 153);
    assert_eq!(of(&data["params"], "tree.method"), "hist");
    assert_eq!(of(&data["metrics"], "test_r2_slice_a_"), 0.25);
    assert_eq!(data["metrics"].as_array().unwrap().len(), 4);
    let inputs = &run["inputs"]["dataset_inputs"][0]["dataset"];
    assert_eq!((&inputs["name"], &inputs["source_type"]), (&json!("flights"), &json!("s3")));
    let id = info["run_id"].as_str().unwrap();
    let query = [("run_id", id), ("metric_key", "validation_rmse"), ("max_results", "5000")];
    let history: Value = server.get("metrics/get-history", &query).unwrap();
    assert_eq!(history["metrics"].as_array().unwrap().len() % 700, 0);

    for (folder, expected) in
        [("", ["model", "plots", "report.html"].as_slice()), ("plots", &["plots/roc.svg"])]
    {
        let listed: Value = server.get("artifacts/list", &[("run_id", id), ("path", folder)]).unwrap();
        let mut paths: Vec<&str> =
            listed["files"].as_array().unwrap().iter().filter_map(|file| file["path"].as_str()).collect();
        paths.sort_unstable();
        assert_eq!(paths, expected);
    }

    let query = [("name", model.as_str()), ("version", "1")];
    let version: Value = server.get("model-versions/get", &query).unwrap();
    let version = &version["model_version"];
    assert_eq!(version["source"], "s3://models/churn/7");
    assert_eq!(version["current_stage"], "Production");
    assert_eq!(of(&version["tags"], "sidegate.version"), "7");
    for alias in ["production", "champion", "newest"] {
        let query = [("name", model.as_str()), ("alias", alias)];
        let found: Value = server.get("registered-models/alias", &query).unwrap();
        assert_eq!(found["model_version"]["version"], "1", "{alias}");
    }
}

#[test]
fn a_failed_run_says_why_and_registers_nothing() {
    let Some((url, server, model)) = live("failed") else { return };
    let said = tell(&tracking(&url, ""), &model, |run| {
        (run.status, run.version, run.reason) = (Status::Failed, None, Some("the gate refuses: test_rmse"));
    });
    assert_eq!(said.len(), 1, "{said:?}");
    let run = run_of(&server, &model);
    assert_eq!(run["info"]["status"], "FAILED");
    assert_eq!(of(&run["data"]["tags"], "sidegate.reason"), "the gate refuses: test_rmse");
    let registered = server.get::<Value>("registered-models/get", &[("name", &model)]);
    assert!(registered.unwrap_err().is_absent());
}

#[test]
fn without_a_bucket_the_version_is_of_the_runs_own_artifacts() {
    let Some((url, server, model)) = live("own") else { return };
    for (stages, stage, aliases) in [("stage", "Staging", false), ("alias", "None", true)] {
        let model = format!("{model}-{stages}");
        let said = tell(&tracking(&url, &format!("stages = \"{stages}\"")), &model, |run| {
            let version = run.version.as_mut().unwrap();
            (version.source, version.stage, version.alias) = (None, Stage::Staging, None);
        });
        assert_eq!(said.len(), 1, "{said:?}");
        let found: Value =
            server.get("model-versions/get", &[("name", model.as_str()), ("version", "1")]).unwrap();
        let version = &found["model_version"];
        assert_eq!(version["current_stage"], stage);
        assert!(version["source"].as_str().unwrap().ends_with("/artifacts/model/7-ab"), "{version}");
        let alias =
            server.get::<Value>("registered-models/alias", &[("name", &model), ("alias", "challenger")]);
        assert_eq!(alias.is_ok(), aliases);
    }
}

#[test]
fn a_run_that_was_judged_again_is_another_version_and_leaves_the_first_as_it_is() {
    let Some((url, server, model)) = live("again") else { return };
    // Into another registry, where it is version 7 too.
    for (digest, number) in [("sha256:ab", "1"), ("sha256:cd", "2"), ("sha256:ab", "1")] {
        let said = tell(&tracking(&url, ""), &model, |run| {
            let version = run.version.as_mut().unwrap();
            (version.source, version.digest) = (None, digest);
        });
        assert!(said[0].ends_with(&format!(", version {number} of {model}")), "{said:?}");
        let found: Value =
            server.get("model-versions/get", &[("name", model.as_str()), ("version", number)]).unwrap();
        let folder = format!("/artifacts/model/7-{}", digest.trim_start_matches("sha256:"));
        assert!(found["model_version"]["source"].as_str().unwrap().ends_with(&folder), "{found}");
    }
}

#[test]
fn a_server_that_is_not_there_is_said_once() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let said = tell(&tracking(&format!("http://127.0.0.1:{port}"), ""), "churn", |_| ());
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].contains("experiment") && said[0].contains("no answer"), "{said:?}");
    assert!(said[1].contains("the record of churn-1 in the registry is whole"), "{said:?}");
}

#[test]
fn a_server_that_never_answers_costs_no_more_than_the_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let start = Instant::now();
    let said = tell(&tracking(&url, "timeout_ms = 500"), "churn", |_| ());
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert!(said[0].contains("did not answer in time"), "{said:?}");
}

#[test]
fn names_and_values_are_what_mlflow_takes() {
    let params = values::params(&json!({ "a": { "b": [1, 2], "c": null }, "d=e": "x".repeat(7000) }));
    assert_eq!(params["a.b"], "[1,2]");
    assert_eq!(params["a.c"], "null");
    assert_eq!(params["d_e"].len(), values::PARAM);
    assert_eq!(values::cut("ééé", 5), "é…");
    assert!(values::params(&Value::Null).is_empty());
}
