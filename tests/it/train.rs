//! `sidegate-train`: the real binary, from a file of rows to a model that a real gateway serves.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::harness::{Server, Setup, wait};
use super::registry_cli::ended;

const SOON: Duration = Duration::from_secs(20);

pub(super) fn train(dir: &Path, args: &[&str]) -> Output {
    command(args).current_dir(dir).output().unwrap()
}

pub(super) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sidegate-train"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().to_uppercase().starts_with("SIDEGATE_") {
            command.env_remove(name);
        }
    }
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("lib/libonnxruntime.so");
    if std::env::var_os("ORT_DYLIB_PATH").is_none() && library.exists() {
        command.env("ORT_DYLIB_PATH", library);
    }
    command.args(args);
    command
}

/// Rentals of a made-up town: a rule of weather, day and hour, with noise; some temperatures are missing.
pub(super) fn rentals(rows: u32, first: &str) -> String {
    let mut text = format!("{first}at,weather,temp,seats,count,busy\n");
    let mut state = 7_u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / f64::from(1 << 24)
    };
    for row in 0..rows {
        let weather = ["clear", "mist", "rain"][(random() * 3.0) as usize];
        let temp = random() * 30.0 - 5.0;
        let hour = row % 24;
        let rush = if matches!(hour, 7..=9 | 16..=18) { 60.0 } else { 0.0 };
        let lost = if weather == "rain" { 40.0 } else { 0.0 };
        let count = (80.0 + 3.0 * temp + rush - lost + random() * 10.0).round();
        let shown = if random() < 0.05 { String::new() } else { format!("{temp:.1}") };
        let busy = if count > 110.0 { "yes" } else { "no" };
        writeln!(
            text,
            "2024-{:02}-{:02}T{hour:02}:00:00Z,{weather},{shown},{},{count},{busy}",
            1 + row / 672,
            1 + row / 24 % 28,
            row % 5
        )
        .unwrap();
    }
    text
}

pub(super) fn configuration(target: &str, more: &str) -> String {
    let other = if target == "count" { "busy" } else { "count" };
    format!(
        "name = \"rentals\"\ntarget_column = \"{target}\"\n{more}\n\
         [data]\nsource = \"file\"\npath = \"rows.csv\"\ndate_column = \"at\"\n\
         columns = [\"at\", \"weather\", \"temp\", \"seats\"]\n\
         [features.when]\ntype = \"time_based\"\ndate_column = \"at\"\n\
         [features.warm]\ntype = \"polynomial\"\ncolumns = [\"temp\"]\ndegree = 2\n\
         [registry]\nurl = \"models\"\nby = \"ci@test\"\n# not {other}\n"
    )
}

/// Rows, a configuration and an empty registry.
pub(super) fn desk(target: &str, more: &str, sections: &str) -> Setup {
    let setup = Setup::new();
    fs::write(setup.path("rows.csv"), rentals(4000, "")).unwrap();
    fs::write(setup.path("train.toml"), configuration(target, more) + sections).unwrap();
    setup
}

pub(super) const BUILTIN: &str =
    "[model]\ntype = \"builtin\"\nparams = { num_iterations = 60, num_leaves = 15, min_data_in_leaf = 5 }\n";

pub(super) fn folder(setup: &Setup) -> std::path::PathBuf {
    setup.path("train.toml").parent().unwrap().to_owned()
}

#[track_caller]
pub(super) fn result(output: &Output, code: i32) -> Value {
    ended(output, code);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    serde_json::from_str(text.lines().last().unwrap()).unwrap()
}

pub(super) fn predict(server: &Server) -> Value {
    let row = json!([{"at": 1_706_000_400, "weather": "rain", "temp": 12.5, "seats": 3},
                     {"at": 1_706_000_400, "weather": "clear", "temp": null, "seats": 3}]);
    server.data().post("/predict?model=rentals", row.to_string()).json()
}

/// Waits until a version answers.
pub(super) fn wait_served(server: &Server) {
    wait("it serves", SOON, || {
        Some(()).filter(|()| server.data().get("/health?model=rentals").status == 200)
    });
}

#[test]
fn what_is_trained_is_served_and_a_better_one_takes_over() {
    let setup = desk("count", "auto_deploy = true", &format!("{BUILTIN}[gate]\nrmse = 12\nmin_r2 = 0.9\n"));
    let dir = folder(&setup);
    let server = setup.start_unready();
    let first = result(&train(&dir, &["run", "train.toml"]), 0);
    assert_eq!((&first["status"], &first["version"]), (&json!("success"), &json!(1)));
    let answer =
        wait("version 1", SOON, || Some(predict(&server)).filter(|answer| answer["model_version"] == "1"));
    let rain = answer["predictions"][0].as_f64().unwrap();
    assert!((130.0..155.0).contains(&rain), "{answer}");
    assert!(answer["predictions"][1].as_f64().unwrap() > rain, "{answer}");
    // What a version carries.
    let version = dir.join("models/rentals/1");
    for file in [
        "model.onnx",
        "manifest.json",
        "golden.json",
        "profile.json",
        "report.html",
        "card.md",
        "card.json",
        "schema.json",
        "validation.json",
    ] {
        assert!(version.join(file).is_file(), "{file}");
    }
    drawn(&version, &["Predicted and actual", "Residuals", "Importance", "Learning curve"]);
    let manifest: Value = serde_json::from_slice(&fs::read(version.join("manifest.json")).unwrap()).unwrap();
    assert!(manifest["metrics"]["test_rmse"].as_f64().unwrap() < 12.0, "{manifest}");
    assert!(manifest["lineage"]["data"].as_str().unwrap().starts_with("sha256:"), "{manifest}");
    // The gateway takes the reference that came with it.
    wait("its reference is used", SOON, || {
        let drift = server.admin().get("/drift/rentals").json();
        (drift["reference_from"] == "version").then_some(())
    });

    fs::write(
        dir.join("better.toml"),
        fs::read_to_string(dir.join("train.toml")).unwrap().replace("= 60", "= 150"),
    )
    .unwrap();
    let second = result(&train(&dir, &["run", "better.toml"]), 0);
    assert_eq!(second["version"], 2);
    wait("version 2", SOON, || Some(predict(&server)).filter(|answer| answer["model_version"] == "2"));

    let listed = ended(&train(&dir, &["runs", "ls", "rentals", "--registry", "models"]), 0);
    assert_eq!(listed.lines().count(), 2, "{listed}");
    let (one, two) = (first["run_id"].as_str().unwrap(), second["run_id"].as_str().unwrap());
    let compared =
        ended(&train(&dir, &["runs", "compare", "rentals", one, two, "--registry", "models", "--json"]), 0);
    let compared: Value = serde_json::from_str(&compared).unwrap();
    assert!(compared["metric_comparison"]["test_rmse"]["improvement"].is_number(), "{compared}");
}

/// What is drawn in the report of a version.
#[track_caller]
fn drawn(version: &Path, plots: &[&str]) {
    let report = fs::read_to_string(version.join("report.html")).unwrap();
    for plot in plots {
        assert!(report.contains(&format!(" aria-label=\"{plot}\"")), "{plot}");
    }
}

#[test]
fn the_same_rows_and_seed_give_the_same_file() {
    for sections in
        [BUILTIN, "[model]\ntype = \"random_forest\"\nparams = { n_estimators = 10, max_depth = 6 }\n"]
    {
        let setup = desk("busy", "", sections);
        let dir = folder(&setup);
        let digest = |until: &str| {
            let done = result(&train(&dir, &["run", "train.toml", "--until", until]), 0);
            fs::read(dir.join("runs").join(done["run_id"].as_str().unwrap()).join("model.onnx")).unwrap()
        };
        assert!(digest("export") == digest("prove"), "{sections}");
        assert!(!dir.join("models/rentals").exists(), "nothing is registered before its step");
    }
}

#[test]
fn every_kind_of_model_answers_in_the_gateway_as_it_was_trained() {
    let classes = "[features.fill]\ntype = \"impute\"\ncolumns = [\"temp\"]\nstrategy = \"median\"\n\
                   [features.kinds]\ntype = \"one_hot\"\ncolumns = [\"weather\"]\n";
    for (target, model) in [
        ("busy", BUILTIN.to_owned()),
        (
            "count",
            "[model]\ntype = \"random_forest\"\nparams = { n_estimators = 8, max_depth = 8 }\n".to_owned(),
        ),
        ("count", format!("{classes}[model]\ntype = \"linear\"\n[evaluation]\nexplained_rows = 0\n")),
        ("busy", format!("{classes}[model]\ntype = \"logistic\"\n")),
        ("weather", BUILTIN.to_owned()),
    ] {
        let setup = desk(target, "auto_deploy = true", &model);
        let dir = folder(&setup);
        if target == "weather" {
            let text = fs::read_to_string(dir.join("train.toml")).unwrap();
            fs::write(
                dir.join("train.toml"),
                text.replace("\"at\", \"weather\", \"temp\"", "\"at\", \"count\", \"temp\""),
            )
            .unwrap();
        }
        let done = result(&train(&dir, &["run", "train.toml"]), 0);
        assert_eq!(done["status"], "success", "{target} {model}");
        let card: Value =
            serde_json::from_slice(&fs::read(dir.join("models/rentals/1/card.json")).unwrap()).unwrap();
        let proof = card["proof"].as_array().unwrap();
        let engines: Vec<&str> = proof.iter().map(|proof| proof["engine"].as_str().unwrap()).collect();
        // Whatever else runs it: without the library, which scripts/onnxruntime.sh brings, half of the proof is left out.
        let required = std::env::var_os("SIDEGATE_TEST_REQUIRE_ORT").is_some();
        assert!(
            engines.starts_with(if required { &["trees", "ort"] } else { &["trees"] }),
            "{target} {model}: {card}"
        );
        assert!(proof.iter().all(|proof| proof["rows"] == card["data"]["rows"]["test"]), "{card}");
        assert!(!required || proof[1]["version"].is_string(), "{card}");
        // Its golden examples were answered as they were trained, or it would not serve.
        wait_served(&setup.start());
    }
}

#[test]
fn the_label_that_is_served_is_the_one_that_was_judged() {
    let setup = desk("busy", "auto_deploy = true", &format!("{BUILTIN}[evaluation]\nthreshold = 0.95\n"));
    let dir = folder(&setup);
    result(&train(&dir, &["run", "train.toml"]), 0);
    let card: Value =
        serde_json::from_slice(&fs::read(dir.join("models/rentals/1/card.json")).unwrap()).unwrap();
    assert_eq!(card["evaluation"]["confusion"]["threshold"], 0.95);
    drawn(&dir.join("models/rentals/1"), &["ROC curve", "Precision and recall", "Confusion matrix"]);
    let done = result(&train(&dir, &["run", "train.toml", "--until", "evaluate"]), 0);
    let judged = dir.join("runs").join(done["run_id"].as_str().unwrap());
    assert!(judged.join("calibration.svg").is_file() && !judged.join("report.html").exists());
    let server = setup.start();
    wait_served(&server);
    let row = |temp: i32| json!({"at": 1_706_000_400, "weather": "clear", "temp": temp, "seats": 3});
    let rows: Vec<Value> = (-5..25).map(row).collect();
    let answer = server.data().post("/predict?model=rentals", json!(rows).to_string()).json();
    let labels = answer["outputs"]["label"].as_array().unwrap();
    let second = |row: usize| answer["outputs"]["probabilities"][row][1].as_f64().unwrap();
    assert!((0..rows.len()).any(|row| (0.55..0.95).contains(&second(row))), "{answer}");
    for (row, label) in labels.iter().enumerate() {
        assert_eq!(label, if second(row) >= 0.95 { "yes" } else { "no" }, "{answer}");
    }
    let low = fs::read_to_string(dir.join("train.toml")).unwrap().replace("= 0.95", "= 1.5");
    fs::write(dir.join("low.toml"), low).unwrap();
    let said = ended(&train(&dir, &["run", "low.toml", "--dry-run"]), 2);
    assert!(said.contains("evaluation.threshold is 1.5"), "{said}");
}

#[test]
fn a_run_that_fails_says_so_by_its_code_and_registers_nothing() {
    let setup = desk("count", "auto_deploy = true", BUILTIN);
    let dir = folder(&setup);
    let text = fs::read_to_string(dir.join("train.toml")).unwrap();
    let run = |name: &str, text: &str, code: i32, said: &str| {
        fs::write(dir.join(name), text).unwrap();
        let all = ended(&train(&dir, &["run", name]), code);
        assert!(all.contains(said), "{name}: {all}");
        assert!(!dir.join("models/rentals").exists(), "{name}: something is registered");
    };
    run("gate.toml", &format!("{text}[gate]\nrmse = 0.001\n"), 4, "the gate refuses: rmse");
    run("key.toml", &format!("{text}[gat]\nrmse = 1\n"), 2, "unknown field `gat`");
    run("parameter.toml", &text.replace("num_leaves", "num_leafs"), 2, "did you mean `num_leaves`?");
    run("column.toml", &text.replace("\"seats\"]", "\"chairs\"]"), 5, "column `chairs`");
    run("none.toml", &text.replace("rows.csv", "gone.csv"), 5, "gone.csv");
    run(
        "range.toml",
        &text.replace(
            "date_column = \"at\"\ncolumns",
            "date_column = \"at\"\ndate_range = { start = \"2031-01-01\" }\ncolumns",
        ),
        5,
        "no rows from 2031-01-01",
    );
    run("type.toml", &format!("{text}[validation]\nexpected_types = {{ temp = \"text\" }}\n"), 3, "temp");
    run("alias.toml", &format!("{text}[deployment]\nalias = \"7\"\n"), 2, "deployment.alias: `7` is none");
    run("metric.toml", &format!("{text}[gate]\nauc = 0.5\n"), 2, "`auc` is no metric of this task");
    let constant: String = rentals(300, "")
        .lines()
        .map(|line| match line.rsplitn(3, ',').collect::<Vec<_>>()[..] {
            [_, _, rest] if !line.starts_with("at") => format!("{rest},5,no\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    fs::write(dir.join("constant.csv"), &constant).unwrap();
    run("constant.toml", &text.replace("rows.csv", "constant.csv"), 3, "nothing to learn");
    run(
        "one.toml",
        &text.replace("rows.csv", "constant.csv").replace("\"count\"", "\"busy\""),
        3,
        "needs two",
    );
    fs::write(dir.join("missing.csv"), constant.replacen(",5,no", ",,no", 1)).unwrap();
    run("missing.toml", &text.replace("rows.csv", "missing.csv"), 3, "missing_target");
}

#[test]
fn a_registry_that_may_not_be_written_is_told_and_a_hold_is_respected() {
    let setup = desk("count", "auto_deploy = true", BUILTIN);
    let dir = folder(&setup);
    // Root may write anywhere.
    if fs::metadata("/proc/self").map(|me| std::os::unix::fs::MetadataExt::uid(&me)).unwrap_or_default() != 0
    {
        fs::set_permissions(dir.join("models"), fs::Permissions::from_mode(0o555)).unwrap();
        ended(&train(&dir, &["run", "train.toml"]), 6);
        fs::set_permissions(dir.join("models"), fs::Permissions::from_mode(0o755)).unwrap();
    }
    result(&train(&dir, &["run", "train.toml"]), 0);
    ended(&super::harness::run(&dir, &["registry", "hold", "rentals", "--why", "a freeze"]), 0);
    let refused = result(&train(&dir, &["run", "train.toml"]), 6);
    assert_eq!((&refused["status"], &refused["version"]), (&json!("failed"), &json!(2)));
    assert!(refused["reason"].as_str().unwrap().contains("a freeze"), "{refused}");
    let shown = ended(&super::harness::run(&dir, &["registry", "show", "rentals", "--json"]), 0);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["versions"][0]["stage"], "Production", "{shown}");
}

/// A process that is killed when it is dropped.
struct Child(std::process::Child);

impl Drop for Child {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn a_run_that_is_killed_is_listed_and_can_be_taken_up() {
    let setup = desk("count", "", &BUILTIN.replace("= 60", "= 1_000_000"));
    let dir = folder(&setup);
    let listed = || {
        let all = ended(&train(&dir, &["runs", "ls", "rentals", "--registry", "models", "--json"]), 0);
        let all: Value = serde_json::from_str(&all).unwrap();
        all.as_array()
            .unwrap()
            .iter()
            .map(|run| run["status"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let mut run = command(&["run", "train.toml"]);
    let child = Child(run.current_dir(&dir).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    // Until it learns.
    let run = wait("it learns", SOON, || {
        let folder = fs::read_dir(dir.join("runs")).ok()?.next()?.unwrap();
        let record: Value = serde_json::from_slice(&fs::read(folder.path().join("run.json")).ok()?).ok()?;
        record["steps"].as_array()?.iter().find(|step| step[0] == "split")?;
        folder.file_name().into_string().ok()
    });
    assert_eq!(listed(), ["running"]);
    drop(child);
    assert_eq!(listed(), ["killed"]);
    let shown = ended(&train(&dir, &["runs", "show", "rentals", &run, "--registry", "models"]), 0);
    assert!(shown.contains("killed: process ") && shown.contains("--resume goes on"), "{shown}");
    let args = ["run", "train.toml", "--resume", &run, "--from", "features", "--until", "split"];
    assert_eq!(train_and(&dir, &args, 0).0["status"], "success");
    assert_eq!(listed(), ["success"]);
}

#[test]
fn a_record_that_cannot_be_read_is_listed_with_the_reason() {
    let setup = desk("count", "", BUILTIN);
    let dir = folder(&setup);
    let done = result(&train(&dir, &["run", "train.toml", "--until", "validate"]), 0);
    let record = dir.join("models/_runs/rentals").join(format!("{}.json", done["run_id"].as_str().unwrap()));
    let text = fs::read_to_string(&record).unwrap();
    fs::write(record.with_file_name("rentals-2.json"), text.replacen("\"format\":1", "\"format\":9", 1))
        .unwrap();
    fs::write(record.with_file_name("rentals-3.json"), "{\"format\":1").unwrap();
    let ls = |more: &[&str]| {
        let args = [&["runs", "ls", "rentals", "--registry", "models"], more].concat();
        ended(&train(&dir, &args), 0)
    };
    let listed = ls(&[]);
    assert_eq!(listed.lines().count(), 3, "{listed}");
    assert!(listed.contains("rentals-2  unreadable: ") && listed.contains("it has format 9"), "{listed}");
    assert!(listed.contains("rentals-3  unreadable: "), "{listed}");
    let listed: Value = serde_json::from_str(&ls(&["--json"])).unwrap();
    let status: Vec<&str> =
        listed.as_array().unwrap().iter().map(|run| run["status"].as_str().unwrap()).collect();
    assert_eq!(status, ["success", "unreadable", "unreadable"], "{listed}");
}

/// The lines of JSON on standard error, by step.
fn told(output: &Output, step: &str) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["step"] == step).collect()
}

fn rewrite(dir: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(dir.join("train.toml")).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(dir.join("train.toml"), text.replace(from, to)).unwrap();
}

#[test]
fn a_refused_run_is_taken_up_with_other_thresholds_and_learns_nothing_anew() {
    let setup = desk("count", "auto_deploy = true", &format!("{BUILTIN}[gate]\nrmse = 0.001\n"));
    let dir = folder(&setup);
    let output = train(&dir, &["run", "train.toml"]);
    let refused = result(&output, 4);
    let run = refused["run_id"].as_str().unwrap();
    assert_eq!(told(&output, "resume")[0]["from"], "gate", "what can be done is said");
    let fitted = dir.join("runs").join(run).join("fitted.bin");
    let before = (fs::read(&fitted).unwrap(), fs::metadata(&fitted).unwrap().modified().unwrap());
    let again = |code: i32| train_and(&dir, &["run", "train.toml", "--resume", run], code);
    assert!(again(4).0["reason"].as_str().unwrap().contains("rmse"), "the same gate says the same");

    rewrite(&dir, "rmse = 0.001", "rmse = 12");
    let (done, output) = again(0);
    assert_eq!(
        (&done["status"], &done["version"], &done["run_id"]),
        (&json!("success"), &json!(1), &json!(run))
    );
    assert!(told(&output, "train")[0]["message"].as_str().unwrap().contains("as fitted.bin has them"));
    let after = (fs::read(&fitted).unwrap(), fs::metadata(&fitted).unwrap().modified().unwrap());
    assert!(before == after, "it was learned anew");
    assert_eq!(done["metrics"], refused["metrics"]);
    // A new run is the same model.
    let anew = result(&train(&dir, &["run", "train.toml"]), 0);
    let model = |version: &Value| fs::read(dir.join(format!("models/rentals/{version}/model.onnx"))).unwrap();
    assert!(model(&anew["version"]) == model(&done["version"]));

    // What would be learned now is something else.
    rewrite(&dir, "num_leaves = 15", "num_leaves = 16");
    let said = ended(&train(&dir, &["run", "train.toml", "--resume", run, "--from", "evaluate"]), 2);
    assert!(said.contains("model.params changed since"), "{said}");
    rewrite(&dir, "num_leaves = 16", "num_leaves = 15");
    fs::write(dir.join("rows.csv"), rentals(4001, "")).unwrap();
    let said = ended(&train(&dir, &["run", "train.toml", "--resume", run, "--from", "evaluate"]), 3);
    assert!(said.contains("the data changed since"), "{said}");
}

#[test]
fn a_run_that_is_judged_again_is_not_the_version_that_it_was() {
    let setup = desk("count", "", &format!("{BUILTIN}[gate]\nrmse = 12\n"));
    let dir = folder(&setup);
    let first = result(&train(&dir, &["run", "train.toml"]), 0);
    assert_eq!(first["version"], 1);
    let run = first["run_id"].as_str().unwrap();
    let manifest = fs::read(dir.join("models/rentals/1/manifest.json")).unwrap();
    let ls = || ended(&train(&dir, &["runs", "ls", "rentals", "--registry", "models"]), 0);
    let again = |code: i32| {
        let args = ["run", "train.toml", "--resume", run, "--from", "evaluate"];
        train_and(&dir, &args, code).0
    };
    rewrite(&dir, "rmse = 12", "rmse = 0.001");
    let refused = again(4);
    assert_eq!((&refused["status"], &refused["version"]), (&json!("refused"), &json!(null)));
    assert!(ls().contains("refused  was 1 "), "{}", ls());
    rewrite(&dir, "rmse = 0.001", "rmse = 13");
    assert_eq!(again(0)["version"], 2);
    assert!(ls().contains("success  version 2"), "{}", ls());
    let shown = ended(&train(&dir, &["runs", "show", "rentals", run, "--registry", "models"]), 0);
    assert!(shown.lines().any(|line| line.split_whitespace().eq(["earlier", "versions", "1"])), "{shown}");
    assert!(manifest == fs::read(dir.join("models/rentals/1/manifest.json")).unwrap());
}

#[track_caller]
fn train_and(dir: &Path, args: &[&str], code: i32) -> (Value, Output) {
    let output = train(dir, args);
    (result(&output, code), output)
}

#[test]
fn what_is_proven_is_registered_without_its_rows_and_what_is_registered_is_promoted_once() {
    let setup = desk("busy", "auto_deploy = true", BUILTIN);
    let dir = folder(&setup);
    let first = result(&train(&dir, &["run", "train.toml", "--until", "prove"]), 0);
    let run = first["run_id"].as_str().unwrap().to_owned();
    let said = ended(&train(&dir, &["run", "train.toml", "--resume", &run, "--from", "promote"]), 2);
    assert!(said.contains("its next step is register"), "{said}");
    // A model that is held is registered, and nothing is put into Production.
    fs::rename(dir.join("rows.csv"), dir.join("gone.csv")).unwrap();
    let args = ["run", "train.toml", "--resume", &run, "--until", "register"];
    assert_eq!(train_and(&dir, &args, 0).0["version"], 1);
    // A process that is killed before it can write down that it has registered.
    let path = dir.join("runs").join(&run).join("run.json");
    let mut record: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    record["steps"].as_array_mut().unwrap().retain(|step| step[0] != "register");
    (record["version"], record["status"]) = (json!(null), json!("running"));
    record.as_object_mut().unwrap().remove("digest");
    fs::write(&path, record.to_string()).unwrap();
    let (done, output) = train_and(&dir, &["run", "train.toml", "--resume", &run], 0);
    assert_eq!((&done["version"], &done["metrics"]), (&json!(1), &first["metrics"]));
    assert!(told(&output, "load").is_empty() && told(&output, "prove").is_empty(), "it was in the folder");
    let manifest = fs::read(dir.join("models/rentals/1/manifest.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    assert_eq!((&manifest["labels"], &manifest["lineage"]["run"]), (&json!(["no", "yes"]), &json!(run)));
    let said = ended(&train(&dir, &["run", "train.toml", "--resume", &run]), 2);
    assert!(said.contains("all its steps are over"), "{said}");

    fs::rename(dir.join("gone.csv"), dir.join("rows.csv")).unwrap();
    ended(&super::harness::run(&dir, &["registry", "hold", "rentals", "--why", "a freeze"]), 0);
    let refused = result(&train(&dir, &["run", "train.toml"]), 6);
    let run = refused["run_id"].as_str().unwrap();
    assert!(refused["reason"].as_str().unwrap().contains("a freeze"), "{refused}");
    let held = result(&train(&dir, &["run", "train.toml", "--resume", run]), 6);
    assert_eq!((&held["version"], &held["status"]), (&json!(2), &json!("failed")));
    ended(&super::harness::run(&dir, &["registry", "hold", "rentals", "--release"]), 0);
    let (done, output) = train_and(&dir, &["run", "train.toml", "--resume", run], 0);
    assert_eq!((&done["version"], &done["status"]), (&json!(2), &json!("success")));
    assert!(told(&output, "register").is_empty(), "it is registered already");
    let shown = ended(&super::harness::run(&dir, &["registry", "show", "rentals", "--json"]), 0);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["versions"].as_array().unwrap().len(), 2, "{shown}");
}

#[test]
fn a_run_that_waited_is_held_against_what_serves_by_then() {
    let setup = desk("count", "auto_deploy = true", &format!("{BUILTIN}[gate.champion]\nrmse = {{}}\n"));
    let dir = folder(&setup);
    rewrite(&dir, "num_iterations = 60", "num_iterations = 3");
    let poor = result(&train(&dir, &["run", "train.toml", "--until", "prove"]), 0);
    let poor = poor["run_id"].as_str().unwrap();
    fs::copy(dir.join("train.toml"), dir.join("poor.toml")).unwrap();
    rewrite(&dir, "num_iterations = 3", "num_iterations = 60");
    assert_eq!(result(&train(&dir, &["run", "train.toml"]), 0)["version"], 1);
    for _ in 0..2 {
        let refused = result(&train(&dir, &["run", "poor.toml", "--resume", poor]), 4);
        assert!(refused["reason"].as_str().unwrap().contains("against the champion's"), "{refused}");
    }
}

#[test]
fn a_quantile_is_held_against_the_champion_s_at_the_same_quantile() {
    let model = BUILTIN.replace("params = { ", "params = { objective = \"quantile\", ");
    let gate = "[gate.champion]\npinball_loss = {}\n";
    let setup = desk("count", "auto_deploy = true", &format!("{model}{gate}"));
    let dir = folder(&setup);
    assert_eq!(result(&train(&dir, &["run", "train.toml"]), 0)["version"], 1);
    let again = train_and(&dir, &["run", "train.toml"], 0).0;
    let run = dir.join("runs").join(again["run_id"].as_str().unwrap());
    let gate: Value = serde_json::from_slice(&fs::read(run.join("gate.json")).unwrap()).unwrap();
    let rules = gate["rules"].as_array().unwrap();
    let rule = rules.iter().find(|rule| rule["rule"].as_str().unwrap().contains("pinball_loss")).unwrap();
    let reason = rule["reason"].as_str().unwrap();
    assert!(reason.contains("better by at least 0:"), "it is the same model: {reason}");
}

#[test]
fn what_sidecars_would_refuse_is_refused_before_it_is_promoted() {
    let setup = desk("count", "auto_deploy = true", BUILTIN);
    let dir = folder(&setup);
    assert_eq!(result(&train(&dir, &["run", "train.toml"]), 0)["version"], 1);
    // The first missing value of a column makes its numbers floats.
    let rows = fs::read_to_string(dir.join("rows.csv")).unwrap();
    let (head, first) = rows.split_once('\n').unwrap();
    let (line, rest) = first.split_once('\n').unwrap();
    let cells: Vec<&str> = line.split(',').collect();
    let line = [&cells[..3], &[""], &cells[4..]].concat().join(",");
    fs::write(dir.join("rows.csv"), format!("{head}\n{line}\n{rest}")).unwrap();
    let refused = train_and(&dir, &["run", "train.toml"], 4).0;
    let reason = refused["reason"].as_str().unwrap();
    assert!(
        reason.contains("input `seats` was INT64 and is") && reason.contains("deployment.breaking"),
        "{reason}"
    );
    let text = fs::read_to_string(dir.join("train.toml")).unwrap() + "[deployment]\nbreaking = true\n";
    fs::write(dir.join("train.toml"), text).unwrap();
    assert_eq!(train_and(&dir, &["run", "train.toml"], 0).0["version"], 2);
    let server = setup.start_unready();
    wait_served(&server);
    // What people see is stored after what requests see.
    server.wait_state("rentals", 2, "serving");
}

#[test]
fn the_tests_of_the_model_and_what_it_costs_are_part_of_the_gate() {
    let gate = "[gate]\nrmse = 12\nmax_latency_p99_us = 50_000\nmax_model_bytes = 1_000_000\n\
                prediction_range = \"-100..400\"\n";
    let setup = desk("count", "", &format!("{BUILTIN}{gate}"));
    let dir = folder(&setup);
    let (done, output) = train_and(&dir, &["run", "train.toml"], 0);
    let hint = told(&output, "promote")[0]["message"].as_str().unwrap().to_owned();
    assert!(hint.ends_with("registry promote rentals 1 --stage Production --registry models"), "{hint}");
    let tests = fs::read(dir.join("models/rentals/1/tests.json")).unwrap();
    let tests: Value = serde_json::from_slice(&tests).unwrap();
    assert_eq!((&tests["tests_failed"], &tests["model"]), (&json!(0), &json!("rentals")));
    assert!(tests["tests_passed"].as_u64().unwrap() > 10 && tests["timestamp"].is_string(), "{tests}");
    assert_eq!(tests["model_type"], "onnx tree ensemble (trees)");
    let status = |name: &str| {
        let all = tests["test_details"].as_array().unwrap();
        all.iter().find(|detail| detail["name"] == name).unwrap_or_else(|| panic!("{name}: {tests}"))["status"].clone()
    };
    for name in [
        "interface",
        "shape",
        "range",
        "determinism",
        "edge_cases.nan",
        "performance.rmse",
        "performance.model_bytes",
    ] {
        assert_eq!(status(name), "passed", "{name}");
    }
    assert_eq!(tests["metrics"]["rmse"], done["metrics"]["test_rmse"]);
    let p99 = tests["metrics"]["latency_p99_us"].as_f64().unwrap();
    assert!(p99 > 0.1 && p99 >= tests["metrics"]["latency_p50_us"].as_f64().unwrap(), "{tests}");

    let run = done["run_id"].as_str().unwrap();
    let refused = |from: &str, to: &str, why: &str| {
        rewrite(&dir, from, to);
        let args = ["run", "train.toml", "--resume", run, "--from", "gate", "--until", "gate"];
        let reason = train_and(&dir, &args, 4).0["reason"].as_str().unwrap().to_owned();
        assert!(reason.contains(why), "{reason}");
        rewrite(&dir, to, from);
    };
    refused("\"-100..400\"", "\"0..100\"", "test range: ");
    refused("p99_us = 50_000", "p99_us = 0.01", "and has to be at most 0.01");
    refused("model_bytes = 1_000_000", "model_bytes = 1000", "model_bytes is ");
    rewrite(&dir, "prediction_range", "checks = [\"interface\"]\nprediction_range");
    let args = ["run", "train.toml", "--resume", run, "--from", "gate", "--until", "gate"];
    let (_, output) = train_and(&dir, &args, 0);
    let words = told(&output, "resume")[0]["message"].as_str().unwrap().to_owned();
    assert!(words.ends_with("at evaluate, whose results gate needs: they are in memory alone"), "{words}");
    let tests: Value =
        serde_json::from_slice(&fs::read(dir.join("runs").join(run).join("tests.json")).unwrap()).unwrap();
    assert_eq!(tests["test_details"].as_array().unwrap().len(), 4, "{tests}");
}

#[test]
fn a_dry_run_finds_what_would_end_a_run() {
    let setup = desk("count", "", BUILTIN);
    let dir = folder(&setup);
    let text = fs::read_to_string(dir.join("train.toml")).unwrap()
        + "[features.kinds]\ntype = \"one_hot\"\ncolumns = [\"weather\"]\n[gate]\nrmse = 12\n";
    let dry = |text: &str, code: i32| {
        fs::write(dir.join("dry.toml"), text).unwrap();
        ended(&train(&dir, &["run", "dry.toml", "--dry-run"]), code)
    };
    let said = dry(&text, 0);
    for line in [
        "model rentals, type builtin: regression of count",
        "features: temp, seats, weather_…, temp_power_2, at_hour, at_dayofweek, at_month",
        "split: 20 % of the rows to test on, by a hash of each row's number, seed 42",
        "gate: rmse at most 12",
        "registry: no version of rentals is in Production",
    ] {
        assert!(said.lines().any(|found| found == line), "{line}: {said}");
    }
    for (from, to, code, why) in [
        ("num_leaves", "num_leafs", 2, "`builtin` has no parameter `num_leafs`; did you mean `num_leaves`?"),
        ("num_leaves = 15", "early_stopping_rounds = 5", 2, "split.validation"),
        ("rmse = 12", "auc = 0.5", 2, "`auc` is no metric of this task"),
        (
            "[gate]\n",
            "[evaluation]\nslices = [\"wether\"]\n[gate]\n",
            2,
            "evaluation.slices: there is no column `wether`; did you mean `weather`?",
        ),
        ("[gate]\n", "[evaluation]\nthreshold = 0.7\n[gate]\n", 2, "evaluation.threshold is for two classes"),
        (
            "[gate]\n",
            "[search]\nparams = { num_leafs = [2, 9] }\n[split]\nvalidation = 0.1\n[gate]\n",
            2,
            "num_leafs",
        ),
        (
            "[gate]\n",
            "[search]\nmetric = \"rmze\"\nparams = { num_leaves = [2, 9] }\n[split]\nvalidation = 0.1\n[gate]\n",
            2,
            "did you mean `rmse`?",
        ),
        (
            "type = \"builtin\"",
            "type = \"builtin\"\nmonotone = { tmp = 1 }",
            2,
            "there is no feature `tmp`; did you mean `temp`?",
        ),
        ("type = \"builtin\"", "type = \"builtin\"\nmonotone = { weather_rain = -1 }", 0, "weather_…"),
        ("columns = [\"weather\"]", "columns = [\"wether\"]", 2, "wether"),
        (
            "type = \"builtin\"\nparams = { num_iterations = 60, num_leaves = 15, min_data_in_leaf = 5 }",
            "type = \"linear\"\nmonotone = { temp = 1 }",
            2,
            "linear models cannot keep `temp` monotone",
        ),
        (
            "type = \"builtin\"\nparams = { num_iterations = 60, num_leaves = 15, min_data_in_leaf = 5 }\n[features.kinds]\ntype = \"one_hot\"\ncolumns = [\"weather\"]",
            "type = \"linear\"",
            2,
            "`weather` is a category, of which linear models make nothing; one-hot encode it",
        ),
        (
            "[features.kinds]",
            "[validation]\nschema = \"none.toml\"\n[features.kinds]",
            2,
            "validation.schema: none.toml: ",
        ),
        (
            "[gate]\n",
            "[evaluation]\nresamples = 0\n[gate]\nchampion = { rmse = {} }\n",
            2,
            "gate.champion compares by resamples",
        ),
        ("[gate]\n", "[deployment]\ntarget = \"sagemaker\"\n[gate]\n", 2, "--image is missing"),
        ("[gate]\n", "[deployment]\ntarget = \"kubernetes\"\n[gate]\n", 2, "name a bucket with registry.url"),
        ("[gate]\n", "[deployment]\napply = true\n[gate]\n", 2, "deployment.apply is for"),
        (
            "target_column = \"count\"",
            "target_column = \"weather\"\ntask = \"regression\"",
            2,
            "`weather` holds texts, which no regression predicts",
        ),
        ("rows.csv", "none.csv", 5, "data.path: no "),
        ("url = \"models\"", "config = \"none.toml\"", 2, "registry.config: "),
        ("target_column", "threads = 0\ntarget_column", 2, "threads is 0"),
    ] {
        assert!(text.contains(from), "{from}: {text}");
        let said = dry(&text.replacen(from, to, 1), code);
        assert!(said.contains(why), "{to}: {said}");
    }
    assert!(!dir.join("runs").exists() && !dir.join("models/rentals").exists());
}

/// Where nobody looks at bars.
#[test]
fn rounds_are_told_in_lines_of_json() {
    let setup = desk("count", "", BUILTIN);
    let dir = folder(&setup);
    let text = fs::read_to_string(dir.join("train.toml")).unwrap() + "[split]\nvalidation = 0.1\n";
    fs::write(dir.join("train.toml"), text).unwrap();
    let said = ended(&train(&dir, &["run", "train.toml", "--until", "train"]), 0);
    let lines = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let rounds: Vec<Value> = lines.filter(|line| line["message"] == "round").collect();
    let last = rounds.last().unwrap();
    assert_eq!(
        (&last["step"], &last["round"], &last["of"]),
        (&"train".into(), &60.into(), &60.into()),
        "{last}"
    );
    assert_eq!((&last["metric"], &last["seconds_left"]), (&"rmse".into(), &0.0.into()), "{last}");
    for number in ["rounds_per_second", "train", "validation"] {
        assert!(last[number].as_f64().is_some_and(|number| number > 0.0), "{number}: {last}");
    }
}

#[test]
fn a_library_that_was_named_and_is_not_there_is_told() {
    let setup = desk("count", "", "[model]\ntype = \"lightgbm\"\n");
    let dir = folder(&setup);
    let mut command = command(&["run", "train.toml"]);
    let output = command.env("SIDEGATE_LIGHTGBM", "/nowhere/lib.so").current_dir(&dir).output().unwrap();
    let said = ended(&output, 1);
    assert!(said.contains("/nowhere/lib.so does not exist"), "{said}");
}

#[test]
fn a_dry_run_and_a_first_schema_need_no_registry() {
    let setup = desk("count", "", BUILTIN);
    let dir = folder(&setup);
    let said = ended(&train(&dir, &["run", "train.toml", "--dry-run"]), 0);
    assert!(said.contains("rows.csv") && said.contains("weather (a text)"), "{said}");
    assert!(!dir.join("runs").exists());
    let schema = ended(&train(&dir, &["schema", "infer", "train.toml"]), 0);
    fs::write(dir.join("schema.toml"), &schema).unwrap();
    let text = fs::read_to_string(dir.join("train.toml")).unwrap();
    fs::write(dir.join("checked.toml"), format!("{text}[validation]\nschema = \"schema.toml\"\n")).unwrap();
    result(&train(&dir, &["run", "checked.toml", "--until", "validate"]), 0);
    // What is no weather is found out.
    fs::write(dir.join("rows.csv"), rentals(4000, "").replacen("clear", "cleer", 3)).unwrap();
    let found = ended(&train(&dir, &["run", "checked.toml", "--until", "validate"]), 0);
    assert!(found.contains("cleer"), "{found}");
}
