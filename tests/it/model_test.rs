//! `sidegate test`: what it says of good models, of broken ones and of those that miss what they should reach.

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};

use super::harness::{MODELS, example, has_onnxruntime, run, shipped};
use super::onnx::{constant, lookup};
use super::repository::{Extras, Repository, golden};

/// What it printed, and that it ended with this code without a panic.
#[track_caller]
fn ended(output: &Output, code: i32) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}{err}");
    assert!(!err.contains("panicked"), "{err}");
    format!("{out}{err}")
}

/// Runs `sidegate test` with `--json`; the report.
#[track_caller]
fn report(dir: &Path, args: &[&str], code: i32) -> Value {
    let output = run(dir, &[&["test"], args, &["--json"]].concat());
    ended(&output, code);
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Status and detail of a check.
#[track_caller]
fn found<'a>(report: &'a Value, name: &str) -> (&'a str, &'a str) {
    let details = report["test_details"].as_array().unwrap();
    let detail = details.iter().find(|detail| detail["name"] == name);
    let detail = detail.unwrap_or_else(|| panic!("no {name} in {report:#}"));
    (detail["status"].as_str().unwrap(), detail["detail"].as_str().unwrap())
}

#[test]
fn the_shipped_models_pass() {
    let dir = tempfile::tempdir().unwrap();
    let digits: &[&str] = if cfg!(feature = "tract") { &["digits"] } else { &[] };
    for model in MODELS.iter().chain(digits) {
        let path = shipped(model).join("1");
        let files = ["--report", "report.json", "--junit", "report.xml"];
        let report = report(dir.path(), &[&[path.to_str().unwrap()], &files[..]].concat(), 0);
        assert_eq!(report["tests_failed"], 0, "{report:#}");
        assert!(report["timestamp"].as_str().is_some_and(|at| at.ends_with('Z')), "{report}");
        assert!(report["model_type"].as_str().is_some_and(|kind| kind.starts_with("onnx ")), "{report}");
        let parts = ["manifest", "golden", "interface", "shape", "determinism", "determinism.alone"];
        let cases = ["determinism.threads", "edge_cases.empty", "edge_cases.nan", "edge_cases.infinity"];
        for name in parts.iter().chain(&cases) {
            assert_eq!(found(&report, name).0, "passed", "{model}: {report:#}");
        }
        assert_eq!(found(&report, "range").0, "skipped", "nothing says where predictions lie");
        let details = report["test_details"].as_array().unwrap();
        let passed = details.iter().filter(|detail| detail["status"] == "passed").count();
        assert_eq!(report["tests_passed"], passed);
        assert!(details.iter().all(|detail| detail["duration_ms"].is_number()));
        assert!(report["interface"]["signature"]["inputs"][0]["shape"].is_array());
        let written = fs::read(dir.path().join("report.json")).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&written).unwrap(), report);
        let junit = fs::read_to_string(dir.path().join("report.xml")).unwrap();
        assert!(junit.contains(r#"failures="0""#) && junit.contains(r#"name="edge_cases.nan""#), "{junit}");
    }
}

#[test]
fn the_page_is_for_people() {
    let path = shipped("penguins").join("1/model.onnx");
    let page = ended(&run(&shipped("penguins"), &["test", path.to_str().unwrap(), "--engine", "trees"]), 0);
    for part in [
        "onnx dense graph (trees), ",
        "  input  island BYTES [-1,1]\n",
        "  output output_label BYTES [-1]\n",
        "\nCHECK ",
        "\nedge_cases.unseen_text ",
        " 0 failed, ",
    ] {
        assert!(page.contains(part), "{part:?}: {page}");
    }
    assert!(!page.contains("\ngolden "), "a file by itself has no examples: {page}");
}

#[test]
fn a_broken_file_is_a_failed_interface() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("page.onnx"), "<html>not found</html>").unwrap();
    fs::create_dir_all(dir.path().join("m/7")).unwrap();
    fs::write(dir.path().join("m/model.json"), r#"{"format":1,"model":"m","versions":[]}"#).unwrap();
    fs::create_dir_all(dir.path().join("two/1")).unwrap();
    fs::write(dir.path().join("two/1/model.onnx"), constant(1.0)).unwrap();
    fs::write(dir.path().join("two/1/model.txt"), "tree").unwrap();
    for (model, words) in [
        ("page.onnx", "parse: "),
        ("gone.onnx", "missing_file: "),
        ("m/7", "missing_file: m/7 holds none of model.onnx"),
        ("m", "holds versions; name one of them, such as m/7"),
        ("two/1", "parse: model.onnx and model.txt are both there; keep one"),
    ] {
        let report = report(dir.path(), &[model, "--report", "r.json"], 1);
        let (status, detail) = found(&report, "interface");
        assert!(status == "failed" && detail.contains(words), "{report:#}");
        assert_eq!((&report["tests_failed"], &report["tests_passed"]), (&json!(1), &json!(0)));
        let written = fs::read(dir.path().join("r.json")).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&written).unwrap(), report);
    }
}

#[test]
fn a_version_is_held_to_its_manifest_and_examples() {
    let dir = tempfile::tempdir().unwrap();
    let repository = Repository::new(dir.path());
    repository.version("m", 1, &constant(1.0), &Extras { golden: Some(golden(1.0)), ..Extras::default() });
    repository.version("m", 2, &constant(1.0), &Extras { golden: Some(golden(2.0)), ..Extras::default() });
    repository.version("m", 3, &constant(1.0), &Extras { wrong_digest: true, ..Extras::default() });
    report(dir.path(), &["m/1"], 0);
    let wrong = report(dir.path(), &["m/2"], 1);
    let (status, detail) = found(&wrong, "golden");
    assert!(status == "failed" && detail.contains("output `y`, element 0: 1, expected 2"), "{wrong:#}");
    let wrong = report(dir.path(), &["m/3"], 1);
    assert!(found(&wrong, "manifest").1.contains("model.onnx has "), "{wrong:#}");
    // A folder may be tested under any name before it is uploaded.
    fs::rename(dir.path().join("m/1"), dir.path().join("candidate")).unwrap();
    report(dir.path(), &["candidate"], 0);
}

#[test]
fn a_range_holds_or_names_the_row() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("m.onnx"), constant(1.0)).unwrap();
    for (range, code) in [("0..1", 0), ("1..", 0), ("-2..-1", 1), ("1.5..", 1)] {
        let report = report(dir.path(), &["m.onnx", "--range", range, "--rows", "8"], code);
        let (status, detail) = found(&report, "range");
        assert_eq!(status == "failed", code == 1, "{report:#}");
        assert!(code == 0 || detail.starts_with("output `y`, row 0: 1, wanted"), "{detail}");
    }
    let path = shipped("penguins").join("1");
    let path = path.to_str().unwrap();
    let texts = report(dir.path(), &[path, "--range", "0..1"], 1);
    assert!(found(&texts, "range").1.contains("--prediction"), "{texts:#}");
    let floats = report(dir.path(), &[path, "--range", "0..1", "--prediction", "output_probability"], 0);
    assert_eq!(found(&floats, "range").0, "passed");
}

#[test]
fn a_model_that_takes_only_some_rows_gets_those_and_edge_cases_are_tried_on_it() {
    if !cfg!(feature = "tract") && !has_onnxruntime() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("m.onnx"), lookup()).unwrap();
    let output = run(dir.path(), &["test", "m.onnx", "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    for name in ["interface", "shape", "determinism.alone", "edge_cases.empty"] {
        assert_eq!(found(&report, name).0, "passed", "{report:#}");
    }
    // tract panics over an index beyond the list, which a client would see as a 500.
    let (status, detail) = found(&report, "edge_cases.largest_integer");
    if report["interface"]["engine"] == "tract" {
        assert!(status == "failed" && detail.contains("the engine failed: tract panicked"), "{report:#}");
    }
    let code = i32::from(report["tests_failed"] != 0);
    assert_eq!(output.status.code(), Some(code), "{report:#}");
}

#[test]
fn regression_is_held_to_thresholds() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("m.onnx"), constant(2.0)).unwrap();
    fs::write(dir.path().join("d.csv"), "a,y,b,c,d\n1,1,2,3,4\n1,2,.5,3,4\n1,3,2,3,4\n").unwrap();
    let data = ["m.onnx", "--data", "d.csv", "--target", "y"];
    let with = |thresholds: &[&str], code| {
        let flags: Vec<&str> = thresholds.iter().flat_map(|text| ["--threshold", text]).collect();
        report(dir.path(), &[&data[..], &flags].concat(), code)
    };
    let shown = with(&[], 0);
    let (status, detail) = found(&shown, "performance");
    assert!(status == "skipped" && detail.contains("rmse 0.8165"), "{shown:#}");
    assert!(shown["metrics"]["mae"].as_f64().is_some_and(|mae| (mae - 2.0 / 3.0).abs() < 1e-12), "{shown:#}");
    let passed = with(&["rmse=0.9", "r2=0"], 0);
    assert_eq!(found(&passed, "performance.rmse"), ("passed", "0.8165, at most 0.9"));
    assert!(found(&passed, "interface").1.contains("3 rows of d.csv"), "{passed:#}");
    let failed = with(&["rmse=0.8", "r2=0", "accuracy=0.5"], 1);
    assert_eq!(found(&failed, "performance.rmse"), ("failed", "0.8165, wanted at most 0.8"));
    assert_eq!(
        (found(&failed, "performance.r2").0, found(&failed, "performance.accuracy").0),
        ("passed", "failed")
    );
    // A row in a minute is slow enough for any machine; a row in no time is too fast for all.
    let timed = report(dir.path(), &["m.onnx", "--threshold", "latency_p50_us=60e6"], 0);
    assert!(timed["metrics"]["latency_p99_us"].as_f64().is_some_and(|us| us > 0.0), "{timed:#}");
    report(dir.path(), &["m.onnx", "--threshold", "latency_p99_us=0"], 1);
}

/// The golden examples of penguins, as CSV with the species they come out as.
fn penguins() -> String {
    let (request, outputs) = example("penguins");
    let inputs = request["inputs"].as_array().unwrap();
    let text =
        |value: &Value| value.as_str().map_or_else(|| value.to_string().replace("null", ""), str::to_owned);
    let species = outputs.as_array().unwrap().iter().find(|output| output["name"] == "output_label").unwrap();
    let mut csv: Vec<String> = inputs.iter().map(|input| text(&input["name"])).collect();
    csv.push("species".into());
    let mut csv = csv.join(",") + "\n";
    for (row, species) in species["data"].as_array().unwrap().iter().enumerate() {
        let cells: Vec<String> =
            inputs.iter().map(|input| &input["data"][row]).chain([species]).map(text).collect();
        csv += &(cells.join(",") + "\n");
    }
    csv
}

#[test]
fn classification_is_held_to_thresholds() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("d.csv"), penguins()).unwrap();
    let path = shipped("penguins").join("1");
    let data = [path.to_str().unwrap(), "--data", "d.csv", "--target", "species"];
    let thresholds = ["--threshold", "accuracy=1", "--threshold", "f1=1", "--threshold", "log_loss=0.5"];
    let passed = report(dir.path(), &[&data[..], &thresholds].concat(), 0);
    assert_eq!(found(&passed, "performance.accuracy"), ("passed", "1.0000, at least 1"));
    let failed = report(dir.path(), &[&data[..], &["--threshold", "log_loss=1e-9"]].concat(), 1);
    assert_eq!(found(&failed, "performance.log_loss").0, "failed");
    // Data that the model does not take is a finding about the model.
    fs::write(dir.path().join("d.csv"), penguins().replace("island", "islet")).unwrap();
    let other = report(dir.path(), &[&data[..], &thresholds].concat(), 1);
    let (status, detail) = found(&other, "data");
    assert!(status == "failed" && detail.contains("lacks the model's column `island`"), "{detail}");
    let without_target = [&["test"], &data[..3]].concat();
    let page = ended(&run(dir.path(), &without_target), 1);
    assert!(!page.contains("no data is given"), "{page}");
    fs::write(dir.path().join("d.csv"), penguins()).unwrap();
    let page = ended(&run(dir.path(), &without_target), 0);
    assert!(page.contains("no target is given"), "{page}");
}

#[test]
fn wrong_usage_is_told_apart_from_a_wrong_model() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("m.onnx"), constant(1.0)).unwrap();
    fs::write(dir.path().join("d.csv"), "a,b\n1,2\n").unwrap();
    for (args, words) in [
        (&[][..], "MODEL"),
        (&["m.onnx", "--threshold", "speed=1"], "latency_p50_us"),
        (&["m.onnx", "--threshold", "r2=0.5"], "--data FILE.csv --target COLUMN"),
        (&["m.onnx", "--target", "y"], "--data"),
        (&["m.onnx", "--data", "d.csv", "--target", "y"], "no column `y`; its columns are a, b"),
        (&["m.onnx", "--data", "gone.csv"], "gone.csv"),
        (&["m.onnx", "--range", "1..0"], "MIN..MAX"),
        (&["m.onnx", "--rows", "0"], "from 1 to 100000"),
        (&["m.onnx", "--engine", "gpu"], "--engine: engine.default: expected one of"),
        (&["m.onnx", "--prediction", "z"], "`z` is no output; there is `y`"),
    ] {
        let said = ended(&run(dir.path(), &[&["test"], args].concat()), 2);
        assert!(said.contains(words), "{args:?}: {said}");
    }
}
