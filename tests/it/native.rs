//! Model files of XGBoost and LightGBM as they are saved, served from a file and from a registry.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::harness::{Server, Setup, wait};
use super::onnx::constant;

const SOON: Duration = Duration::from_secs(6);

/// A model that `make-boosters.py` made; the answers below are the libraries' own.
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/boosters").join(name)
}

#[track_caller]
fn close(found: &Value, expected: &Value) {
    match (found.as_array(), expected.as_array()) {
        (Some(found), Some(expected)) => {
            assert_eq!(found.len(), expected.len(), "{found:?}");
            found.iter().zip(expected).for_each(|(found, expected)| close(found, expected));
        }
        _ => {
            let (a, b) = (found.as_f64().unwrap(), expected.as_f64().unwrap());
            assert!((a - b).abs() <= 1e-5 * b.abs().max(1.0), "{a}, not {b}");
        }
    }
}

fn state(server: &Server, model: &str, version: u64) -> String {
    server.version(model, version)["state"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_json_model_is_served_by_itself() {
    let server = Setup::new().single_file(&fixture("xgb-penguins-json.json")).start();
    let expected =
        json!([[0.759_451_8, 0.090_557_84, 0.149_990_29], [0.595_973_5, 0.139_825_43, 0.264_201_02]]);
    // Columns by the names in the file, in any order; what is missing is null. Categories are their codes.
    let records = json!([
        {"body_mass_g": 3750, "flipper_length_mm": 181, "bill_depth_mm": 18.7, "bill_length_mm": 39.1, "sex": 1, "island": 0},
        {"island": 2, "sex": null, "bill_length_mm": null, "bill_depth_mm": 14, "flipper_length_mm": 230, "body_mass_g": 5400},
    ]);
    let answer = server.data().post("/predict", records.to_string()).ok();
    close(&answer["predictions"], &expected);
    let answer = server.data().post("/predict", r#"[{"island": 0}]"#);
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("sex"), "{}", answer.text());
    // And in their order.
    let rows = "[[0,1,39.1,18.7,181,3750],[2,NaN,null,14,230,5400]]";
    close(&server.data().post("/predict", rows).ok()["predictions"], &expected);
    let model = server.data().get("/v2/models/xgb-penguins-json").ok();
    assert_eq!(model["inputs"], json!([{"name": "input", "datatype": "FP32", "shape": [-1, 6]}]));
    assert_eq!(model["platform"], "xgboost_json");
    assert_eq!(model["outputs"], json!([{"name": "predict", "datatype": "FP32", "shape": [-1, 3]}]));
    // It is announced soon after it serves.
    wait("the announcement", SOON, || {
        server.output().contains("model xgb-penguins-json version=1 engine=trees").then_some(())
    });
}

#[test]
fn a_registry_holds_files_of_both_libraries() {
    let setup = Setup::new();
    let repository = setup.repository();
    let read = |name: &str| fs::read(fixture(name)).unwrap();
    repository.bare_file("boosted", 1, "model.ubj", &read("xgb-squared.ubj"));
    repository.bare_file("flights", 1, "model.txt", &read("lgb-flights.txt"));
    // In a version's folder this name is XGBoost's; one folder further up it is the registry's.
    repository.bare_file("penguins", 1, "model.json", &read("xgb-penguins-json.json"));
    repository.bare_file("both", 1, "model.onnx", &constant(1.0));
    repository.bare_file("both", 1, "model.txt", &read("lgb-flights.txt"));
    repository.bare_file(
        "linear",
        1,
        "model.json",
        br#"{"version":[3,2,0],"learner":{"gradient_booster":{"name":"gblinear"}}}"#,
    );
    let server = setup.start();
    let infer = |model: &str, datatype: &str, shape: &Value, data: &Value| {
        let body = json!({"inputs": [{"name": "input", "shape": shape, "datatype": datatype, "data": data}]});
        server.data().post(&format!("/v2/models/{model}/infer"), body.to_string()).ok()["outputs"][0].clone()
    };
    let output = infer(
        "boosted",
        "FP32",
        &json!([2, 10]),
        &json!([vec![json!(0); 10], vec![Value::Null; 10]].concat()),
    );
    assert_eq!((&output["name"], &output["shape"]), (&json!("predict"), &json!([2])));
    close(&output["data"], &json!([151.977_98, 93.650_017]));
    let rows = json!([3, 1, 40, 6, 17, 760, 20, 15, null, 999, 1, null, 2475, -4]);
    let output = infer("flights", "FP64", &json!([2, 7]), &rows);
    assert_eq!((&output["datatype"], &output["shape"]), (&json!("FP64"), &json!([2])));
    close(&output["data"], &json!([12.690_273_038_140_807, -2.570_978_722_935_213_2]));
    assert_eq!(state(&server, "penguins", 1), "serving");
    for (model, what) in
        [("both", "model.onnx and model.txt are both there"), ("linear", "`gblinear` is a linear model")]
    {
        let version = server.version(model, 1).to_string();
        assert!(version.contains(what), "{version}");
    }
}

#[test]
fn a_graph_is_replaced_by_boosted_trees() {
    let setup = Setup::new().config("models.m.allow_breaking = true");
    let repository = setup.repository();
    repository.bare("m", 1, &constant(1.0));
    repository.bare("strict", 1, &constant(1.0));
    let server = setup.start();
    assert_eq!(state(&server, "m", 1), "serving");
    let booster = fs::read(fixture("xgb-squared.ubj")).unwrap();
    repository.bare_file("m", 2, "model.ubj", &booster);
    repository.bare_file("strict", 2, "model.ubj", &booster);
    wait("the swap", SOON, || (state(&server, "m", 2) == "serving").then_some(()));
    let answer = server
        .data()
        .post(
            "/v2/models/m/infer",
            json!({"inputs": [
        {"name": "input", "shape": [1, 10], "datatype": "FP32", "data": vec![0; 10]}]})
            .to_string(),
        )
        .ok();
    assert_eq!(answer["model_version"], "2");
    close(&answer["outputs"][0]["data"], &json!([151.977_98]));
    // Other names of inputs are a change that clients notice, whatever the format.
    wait("the refusal", SOON, || {
        server.version("strict", 2).to_string().contains("signature_changed").then_some(())
    });
    assert_eq!(state(&server, "strict", 1), "serving");
    // From one library to the other.
    repository.bare_file("m", 3, "model.txt", &fs::read(fixture("lgb-flights.txt")).unwrap());
    wait("the next swap", SOON, || (state(&server, "m", 3) == "serving").then_some(()));
}
