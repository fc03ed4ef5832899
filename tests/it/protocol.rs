//! The Open Inference Protocol and the founding endpoints as their clients see them.

use serde_json::{Value, json};

use super::client::{Answer, Connection, Target, request};
use super::harness::{MODELS, Server, Setup, example, has_onnxruntime, shipped, wait};
use super::onnx::{DATATYPES, identity};

fn start() -> Server {
    Setup::with(&MODELS).args(&["--uds", "data.sock"]).start()
}

fn infer(model: &str) -> String {
    format!("/v2/models/{model}/infer")
}

/// Whether numbers agree within the tolerance of the golden examples, and everything else exactly.
#[track_caller]
pub(crate) fn same(got: &Value, want: &Value) {
    if let (Some(got), Some(want)) = (got.as_object(), want.as_object()) {
        assert!(got.keys().eq(want.keys()), "{got:?}, expected {want:?}");
        return got.values().zip(want.values()).for_each(|(got, want)| same(got, want));
    }
    match (got.as_array(), want.as_array()) {
        (Some(got), Some(want)) => {
            assert_eq!(got.len(), want.len());
            got.iter().zip(want).for_each(|(got, want)| same(got, want));
        }
        _ => match (got.as_f64(), want.as_f64()) {
            (Some(a), Some(b)) => assert!((a - b).abs() <= 1e-5 + 1e-5 * b.abs(), "{a}, expected {b}"),
            _ => assert_eq!(got, want),
        },
    }
}

/// The flat values of the first example's inputs of a model, and the names of its columns.
fn row_of(model: &str) -> (Vec<String>, Vec<Value>) {
    let (body, _) = example(model);
    let inputs = body["inputs"].as_array().unwrap();
    let values = inputs.iter().flat_map(|input| input["data"].as_array().unwrap().clone()).collect();
    let manifest: Value =
        serde_json::from_slice(&std::fs::read(shipped(model).join("1/manifest.json")).unwrap()).unwrap();
    let mut names: Vec<String> = serde_json::from_value(manifest["columns"].clone()).unwrap_or_default();
    if names.is_empty() {
        names = inputs.iter().map(|input| input["name"].as_str().unwrap().to_owned()).collect();
    }
    (names, values)
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

// --- the Open Inference Protocol ---

#[test]
fn every_shipped_model_gives_its_golden_answers() {
    let server = start();
    for model in MODELS {
        let golden: Value =
            serde_json::from_slice(&std::fs::read(shipped(model).join("1/golden.json")).unwrap()).unwrap();
        for case in golden["cases"].as_array().unwrap() {
            let answer =
                server.data().post(&infer(model), json!({"inputs": case["inputs"]}).to_string()).ok();
            assert_eq!((&answer["model_name"], &answer["model_version"]), (&json!(model), &json!("1")));
            let (got, want) = (answer["outputs"].as_array().unwrap(), case["outputs"].as_array().unwrap());
            assert_eq!(got.len(), want.len(), "{model}");
            for (got, want) in got.iter().zip(want) {
                for key in ["name", "datatype", "shape"] {
                    assert_eq!(got[key], want[key], "{model}");
                }
                same(&got["data"], &want["data"]);
            }
        }
    }
}

#[test]
fn the_server_tells_of_itself() {
    let server = start();
    let get = |path: &str| server.data().get(path).ok();
    assert_eq!(get("/v2/health/live"), json!({"live": true}));
    assert_eq!(get("/v2/health/ready"), json!({"ready": true}));
    for path in ["/v2", "/v2/", "/v2?x=1"] {
        let about = get(path);
        assert_eq!(
            (&about["name"], &about["version"]),
            (&json!("sidegate"), &json!(env!("CARGO_PKG_VERSION")))
        );
        let extensions: Vec<&str> =
            about["extensions"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        for extension in
            ["binary_tensor_data", "classification", "statistics", "model_repository", "model_configuration"]
        {
            assert!(extensions.contains(&extension), "{extensions:?}");
        }
    }
    assert_eq!(get("/v2/models"), json!({"models": MODELS}));
    // Even answers without content are JSON, for clients that read every body.
    assert_eq!(server.data().get("/v2/health/live").header("content-type"), Some("application/json"));
}

#[test]
fn a_model_tells_of_itself() {
    let server = start();
    for path in ["/v2/models/penguins", "/v2/models/penguins/", "/v2/models/penguins/versions/1"] {
        let about = server.data().get(path).ok();
        assert_eq!((&about["name"], &about["versions"]), (&json!("penguins"), &json!(["1"])));
        assert_eq!(about["platform"], "onnx_onnxv1");
        assert_eq!(about["inputs"][0], json!({"name": "island", "datatype": "BYTES", "shape": [-1, 1]}));
        assert_eq!(about["inputs"].as_array().unwrap().len(), 7);
        let probabilities = &about["outputs"][1];
        assert_eq!(
            (&probabilities["name"], &probabilities["datatype"]),
            (&json!("output_probability"), &json!("FP32"))
        );
        let labels: Value =
            serde_json::from_str(probabilities["parameters"]["labels"].as_str().unwrap()).unwrap();
        assert_eq!(labels, json!(["Adelie", "Chinstrap", "Gentoo"]));
    }
    for path in ["/v2/models/penguins/ready", "/v2/models/penguins/versions/1/ready"] {
        assert_eq!(server.data().get(path).ok(), json!({"name": "penguins", "ready": true}));
    }
    let config = server.data().get("/v2/models/wine/config").ok();
    assert_eq!((&config["name"], &config["max_batch_size"]), (&json!("wine"), &json!(0)));
    assert_eq!(config["input"][0], json!({"name": "input", "data_type": "TYPE_FP32", "dims": [-1, 13]}));
    for path in ["", "/ready", "/config", "/stats", "/versions/2", "/versions/2/ready", "/versions/x/config"]
    {
        let model = if path.starts_with("/versions") { "wine" } else { "nothing" };
        server.data().get(&format!("/v2/models/{model}{path}")).error(404);
    }
}

#[test]
fn every_loaded_version_answers_by_its_number() {
    let server = start();
    let (body, outputs) = example("wine");
    let answer = server.data().post("/v2/models/wine/versions/1/infer", body.to_string()).ok();
    same(&answer["outputs"][1]["data"], &outputs[1]["data"]);
    assert_eq!(answer["model_version"], "1");
    let text = server.data().post("/v2/models/wine/versions/7/infer", body.to_string()).error(404);
    assert!(text.contains("wine") && text.contains('7'), "{text}");
    assert!(server.data().post("/v2/models/beer/infer", body.to_string()).error(404).contains("beer"));
}

#[test]
fn ids_are_echoed_or_made() {
    let server = start();
    let (mut body, _) = example("wine");
    let id = |body: &Value, fields: &[(&str, &str)]| {
        let answer = server.data().post_with(&infer("wine"), fields, body.to_string());
        (answer.ok()["id"].as_str().unwrap().to_owned(), answer.header("x-request-id").map(str::to_owned))
    };
    let header = [("x-request-id", "from-header")];
    assert_eq!(id(&body, &[]), ("example".into(), None));
    assert_eq!(id(&body, &header), ("example".into(), Some("from-header".into())));
    // An empty id is none (perf_analyzer).
    for nothing in [json!(""), Value::Null] {
        body["id"] = nothing;
        assert_eq!(id(&body, &header).0, "from-header");
        let (first, second) = (id(&body, &[]).0, id(&body, &[]).0);
        assert_eq!((first.len(), &first[14..15]), (36, "7"), "{first} is no UUIDv7");
        assert_ne!(first, second);
    }
    body["id"] = json!("quotes \" and \\ and é and \n");
    assert_eq!(json!(id(&body, &[]).0), body["id"]);
}

#[test]
fn answers_say_where_their_time_went() {
    let server = start();
    let answer = server.data().post(&infer("wine"), example("wine").0.to_string());
    let timing = answer.header("server-timing").unwrap();
    let parts: Vec<(&str, f64)> = timing
        .split(", ")
        .map(|part| {
            let (name, duration) = part.split_once(";dur=").unwrap_or_else(|| panic!("{timing}"));
            (name, duration.parse().unwrap())
        })
        .collect();
    assert_eq!(parts.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["queue", "infer", "total"]);
    assert!(parts[2].1 >= parts[1].1 && parts[2].1 < 10_000.0, "{timing}");
    assert!(answer.header("date").is_some_and(|date| date.ends_with(" GMT")));
}

#[test]
fn tensors_travel_as_json_or_binary_both_ways() {
    let server = start();
    let (json_body, _) = example("wine");
    let expected = server.data().post(&infer("wine"), json_body.to_string()).ok();
    let label = expected["outputs"][0]["data"][0].as_i64().unwrap();
    let probabilities: Vec<f32> = serde_json::from_value(expected["outputs"][1]["data"].clone()).unwrap();
    let values: Vec<f32> = serde_json::from_value(json_body["inputs"][0]["data"].clone()).unwrap();
    let tail: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();

    // JSON in, everything binary out: what tritonclient asks for by default.
    let mut body = json_body.clone();
    body["parameters"] = json!({"binary_data_output": true});
    let answer = server.data().post(&infer("wine"), body.to_string());
    assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
    let (head, tensors) = answer.parts();
    assert_eq!(head["outputs"][0]["parameters"]["binary_data_size"], 8);
    assert_eq!(head["outputs"][1]["parameters"]["binary_data_size"], 12);
    assert!(head["outputs"][0].get("data").is_none());
    assert_eq!(tensors[..8], label.to_le_bytes());
    assert_eq!(floats(&tensors[8..]), probabilities);

    // Binary in, one output binary, one JSON, in the order they were asked for.
    let header = json!({"id": "b", "inputs": [{"name": "input", "shape": [1, 13], "datatype": "FP32",
        "parameters": {"binary_data_size": tail.len()}}], "outputs": [
        {"name": "probabilities", "parameters": {"binary_data": true}},
        {"name": "label", "parameters": {"binary_data": false}}]});
    let header = header.to_string();
    let length = header.len().to_string();
    let fields =
        [("Inference-Header-Content-Length", length.as_str()), ("content-type", "application/octet-stream")];
    let answer = server.data().post_with(&infer("wine"), &fields, [header.as_bytes(), &tail].concat());
    let (head, tensors) = answer.parts();
    assert_eq!(
        (&head["outputs"][0]["name"], &head["outputs"][1]["data"]),
        (&json!("probabilities"), &json!([label]))
    );
    assert_eq!(floats(tensors), probabilities);

    // The header's length is sent even when everything is JSON (perf_analyzer).
    let text = json_body.to_string();
    let length = text.len().to_string();
    let answer =
        server.data().post_with(&infer("wine"), &[("inference-header-content-length", &length)], &text);
    assert_eq!(answer.ok()["outputs"], expected["outputs"]);

    // Raw: the body is the one input, and every output comes back binary.
    let answer = server.data().post_with(&infer("wine"), &[("inference-header-content-length", "0")], &tail);
    let (head, tensors) = answer.parts();
    assert_eq!(head["outputs"].as_array().unwrap().len(), 2);
    assert_eq!(floats(&tensors[8..]), probabilities);

    // Some outputs only.
    let mut body = json_body;
    body["outputs"] = json!([{"name": "probabilities"}]);
    let answer = server.data().post(&infer("wine"), body.to_string()).ok();
    assert_eq!(answer["outputs"].as_array().unwrap().len(), 1);
    assert_eq!(answer["outputs"][0], expected["outputs"][1]);
}

/// A row of each datatype as JSON and as bytes: both ends of its range.
fn extremes(datatype: &str) -> (Value, Vec<u8>) {
    macro_rules! numbers {
        ($t:ty, $zero:expr) => {{
            let values: [$t; 3] = [<$t>::MIN, $zero, <$t>::MAX];
            (json!(values), values.iter().flat_map(|v| v.to_le_bytes()).collect())
        }};
    }
    match datatype {
        "BOOL" => (json!([true, false, true]), vec![1, 0, 1]),
        "UINT8" => numbers!(u8, 7),
        "UINT16" => numbers!(u16, 7),
        "UINT32" => numbers!(u32, 7),
        "UINT64" => numbers!(u64, 7),
        "INT8" => numbers!(i8, 7),
        "INT16" => numbers!(i16, 7),
        "INT32" => numbers!(i32, 7),
        "INT64" => numbers!(i64, 7),
        "FP32" => numbers!(f32, -0.0),
        "FP64" => numbers!(f64, -0.0),
        // Half precision has no form in JSON.
        "FP16" | "BF16" => (Value::Null, vec![0x01, 0x3c, 0xff, 0x7b, 0x00, 0x80]),
        _ => (json!(["", "é\u{0}\"", "z"]), b"\0\0\0\0\x04\0\0\0\xc3\xa9\0\"\x01\0\0\0z".to_vec()),
    }
}

#[test]
fn every_datatype_makes_the_round_trip() {
    let setup = Setup::new();
    for (datatype, element, _) in DATATYPES {
        setup.repository().bare(datatype, 1, &identity(element));
    }
    let server = setup.start();
    for (datatype, _, bytes) in DATATYPES {
        let path = infer(datatype);
        let state = wait(datatype, std::time::Duration::from_secs(10), || {
            Some(server.version(datatype, 1)).filter(|v| v["state"] == "serving" || v["state"] == "failed")
        });
        if state["state"] == "failed" {
            // Without ONNX Runtime no engine takes these; then they are refused, not served wrongly.
            assert!(
                !has_onnxruntime() && ["FP16", "BF16", "BYTES"].contains(&datatype),
                "{datatype}: {state}"
            );
            continue;
        }
        let about = server.data().get(&format!("/v2/models/{datatype}")).ok();
        assert_eq!(about["inputs"][0], json!({"name": "x", "datatype": datatype, "shape": [-1, 3]}));
        let config = server.data().get(&format!("/v2/models/{datatype}/config")).ok();
        let name = if datatype == "BYTES" { "TYPE_STRING".to_owned() } else { format!("TYPE_{datatype}") };
        assert_eq!(config["input"][0]["data_type"], name);

        let (json_row, binary_row) = extremes(datatype);
        assert!(bytes == 0 || binary_row.len() == 3 * bytes, "{datatype}");
        let head = |binary: bool| {
            let mut input = json!({"name": "x", "shape": [1, 3], "datatype": datatype});
            if binary {
                input["parameters"] = json!({"binary_data_size": binary_row.len()});
            } else {
                input["data"] = if json_row.is_null() { json!([1, 2, 3]) } else { json_row.clone() };
            }
            json!({"inputs": [input], "parameters": {"binary_data_output": true}})
        };
        // Binary in, binary out: the same bytes.
        let header = head(true).to_string();
        let length = header.len().to_string();
        let body = [header.as_bytes(), &binary_row].concat();
        let answer = server.data().post_with(&path, &[("inference-header-content-length", &length)], &body);
        assert_eq!(answer.status, 200, "{datatype}: {}", answer.text());
        let (head_out, tensors) = answer.parts();
        assert_eq!(head_out["outputs"][0]["datatype"], datatype);
        assert_eq!(tensors, binary_row, "{datatype}");
        // JSON in, binary out; JSON in, JSON out.
        if json_row.is_null() {
            let text = server.data().post(&path, head(false).to_string()).error(400);
            assert!(text.contains("binary"), "{datatype}: {text}");
            let header = header.replace("true", "false");
            let length = header.len().to_string();
            let body = [header.as_bytes(), &binary_row].concat();
            server.data().post_with(&path, &[("inference-header-content-length", &length)], &body).error(400);
            continue;
        }
        let answer = server.data().post(&path, head(false).to_string());
        assert_eq!(answer.status, 200, "{datatype}: {}", answer.text());
        assert_eq!(answer.parts().1, binary_row, "{datatype} from JSON");
        let mut body = head(false);
        body["parameters"] = json!({});
        let answer = server.data().post(&path, body.to_string()).ok();
        let mut data = answer["outputs"][0]["data"].clone();
        if datatype == "FP32" {
            // The shortest digits that are the same float32.
            let values: Vec<f32> = serde_json::from_value(data).unwrap();
            data = json!(values);
        }
        assert_eq!(data, json_row, "{datatype} as JSON");
        // No rows are a tensor, too.
        body["inputs"][0]["shape"] = json!([0, 3]);
        body["inputs"][0]["data"] = json!([]);
        let answer = server.data().post(&path, body.to_string());
        if answer.status == 200 {
            assert_eq!(
                (&answer.json()["outputs"][0]["shape"], &answer.json()["outputs"][0]["data"]),
                (&json!([0, 3]), &json!([]))
            );
        } else {
            answer.error(400);
        }
    }
}

#[test]
fn numbers_that_do_not_fit_are_refused() {
    let setup = Setup::new();
    for (datatype, element, _) in DATATYPES {
        setup.repository().bare(datatype, 1, &identity(element));
    }
    let server = setup.start();
    for (datatype, numbers) in [
        ("UINT8", &["256", "-1", "1.5"][..]),
        ("INT8", &["128", "-129", "1e9"]),
        ("UINT16", &["65536", "-1"]),
        ("INT16", &["32768", "-32769"]),
        ("UINT32", &["4294967296", "-1"]),
        ("INT32", &["2147483648", "-2147483649"]),
        ("UINT64", &["18446744073709551616", "-1", "1e30"]),
        ("INT64", &["9223372036854775808", "-9223372036854775809", "NaN", "null", "0.5"]),
        ("FP32", &["1e39", "-1e39", "true", "\"1\""]),
        ("FP64", &["1e999", "-1e999"]),
        ("BOOL", &["2", "-1", "\"true\"", "null"]),
    ] {
        for number in numbers {
            let body = format!(
                r#"{{"inputs":[{{"name":"x","shape":[1,3],"datatype":"{datatype}","data":[{number},0,0]}}]}}"#
            );
            let body = if datatype == "BOOL" { body.replace(",0,0]", ",true,false]") } else { body };
            let answer = server.data().post(&infer(datatype), body);
            assert_eq!(answer.status, 400, "{datatype} of {number}: {}", answer.text());
        }
    }
}

#[test]
fn what_is_not_finite_is_null_unless_the_client_writes_it_too() {
    let setup = Setup::new();
    setup.repository().bare("m", 1, &identity(1));
    let server = setup.start();
    server.wait_state("m", 1, "serving");
    let ask = |data: &str| {
        let body = format!(r#"{{"inputs":[{{"name":"x","shape":[1,3],"datatype":"FP32","data":{data}}}]}}"#);
        let answer = server.data().post(&infer("m"), body);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.text()
    };
    assert!(ask("[null,1,2]").contains("[null,1"), "{}", ask("[null,1,2]"));
    let text = ask("[NaN,Infinity,-Infinity]");
    assert!(text.contains("[NaN,Infinity,-Infinity]"), "{text}");
    // Binary clients never wrote a token.
    let header =
        r#"{"inputs":[{"name":"x","shape":[1,3],"datatype":"FP32","parameters":{"binary_data_size":12}}]}"#;
    let values = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
    let tail: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let length = header.len().to_string();
    let body = [header.as_bytes(), &tail].concat();
    let answer =
        server.data().post_with(&infer("m"), &[("inference-header-content-length", &length)], body).ok();
    assert_eq!(answer["outputs"][0]["data"], json!([null, null, null]));
}

#[test]
fn strings_travel_as_binary_too() {
    let server = start();
    let (json_body, outputs) = example("penguins");
    let mut header = json_body.clone();
    let mut tail = Vec::new();
    for input in header["inputs"].as_array_mut().unwrap() {
        let start = tail.len();
        let value = input["data"][0].clone();
        match input["datatype"].as_str().unwrap() {
            "BYTES" => {
                let text = value.as_str().unwrap();
                tail.extend((text.len() as u32).to_le_bytes());
                tail.extend(text.bytes());
            }
            "INT64" => tail.extend(value.as_i64().unwrap().to_le_bytes()),
            _ => tail.extend((value.as_f64().unwrap() as f32).to_le_bytes()),
        }
        input.as_object_mut().unwrap().remove("data");
        input["parameters"] = json!({"binary_data_size": tail.len() - start});
    }
    header["parameters"] = json!({"binary_data_output": true});
    let header = header.to_string();
    let length = header.len().to_string();
    let body = [header.as_bytes(), &tail].concat();
    let answer =
        server.data().post_with(&infer("penguins"), &[("inference-header-content-length", &length)], body);
    let (_, tensors) = answer.parts();
    let species = outputs[0]["data"][0].as_str().unwrap();
    let (label, probabilities) = tensors.split_at(4 + species.len());
    assert_eq!(label, [&(species.len() as u32).to_le_bytes()[..], species.as_bytes()].concat());
    same(&json!(floats(probabilities)), &outputs[1]["data"]);
}

#[test]
fn requests_are_read_in_any_order_and_shape_that_clients_send() {
    let server = start();
    let (body, _) = example("wine");
    let expected = server.data().post(&infer("wine"), body.to_string()).ok()["outputs"].clone();
    let data = body["inputs"][0]["data"].to_string();
    let rows = [
        (
            "data before its shape",
            format!(r#"{{"inputs":[{{"data":{data},"datatype":"FP32","shape":[1,13],"name":"input"}}]}}"#),
        ),
        (
            "nested",
            format!(r#"{{"inputs":[{{"name":"input","shape":[1,13],"datatype":"FP32","data":[{data}]}}]}}"#),
        ),
        (
            "unknown keys",
            format!(
                r#"{{"model_name":"wine","x":[{{"y":null}}],"inputs":[{{"name":"input","z":1,"shape":[1,13],"datatype":"FP32","data":{data}}}]}}"#
            ),
        ),
        (
            "outputs first",
            format!(
                r#"{{"outputs":[{{"name":"label"}},{{"name":"probabilities"}}],"inputs":[{{"name":"input","shape":[1,13],"datatype":"FP32","data":{data}}}]}}"#
            ),
        ),
        (
            "null parameters",
            format!(
                r#"{{"parameters":null,"inputs":[{{"name":"input","parameters":null,"shape":[1,13],"datatype":"FP32","data":{data}}}]}}"#
            ),
        ),
        (
            "white space",
            format!(
                "\r\n\t {{ \"inputs\" : [ {{ \"name\" : \"input\" , \"shape\" : [ 1 , 13 ] , \"datatype\" : \"FP32\" , \"data\" : {data} }} ] }} \n"
            ),
        ),
        (
            "escapes in names",
            format!(
                r#"{{"\u0069nputs":[{{"name":"in\u0070ut","shape":[1,13],"datatype":"FP32","data":{data}}}]}}"#
            ),
        ),
    ];
    for (name, body) in rows {
        assert_eq!(server.data().post(&infer("wine"), body).ok()["outputs"], expected, "{name}");
    }
    // As 17-digit doubles, which is how numpy writes a float32.
    let values: Vec<f32> = serde_json::from_value(body["inputs"][0]["data"].clone()).unwrap();
    let doubles: Vec<f64> = values.into_iter().map(f64::from).collect();
    let mut body = body;
    body["inputs"][0]["data"] = json!(doubles);
    assert_eq!(server.data().post(&infer("wine"), body.to_string()).ok()["outputs"], expected);
}

#[test]
fn many_rows_come_back_as_many() {
    let server = start();
    let (body, outputs) = example("wine");
    for rows in [2, 17, 1000] {
        let data: Vec<Value> =
            (0..rows).flat_map(|_| body["inputs"][0]["data"].as_array().unwrap().clone()).collect();
        let body =
            json!({"inputs": [{"name": "input", "shape": [rows, 13], "datatype": "FP32", "data": data}]});
        let answer = server.data().post(&infer("wine"), body.to_string()).ok();
        assert_eq!(
            (&answer["outputs"][0]["shape"], &answer["outputs"][1]["shape"]),
            (&json!([rows]), &json!([rows, 3]))
        );
        for row in answer["outputs"][1]["data"].as_array().unwrap().chunks(3) {
            same(&json!(row), &outputs[1]["data"]);
        }
    }
}

#[test]
fn missing_values_are_nan_for_floats() {
    let server = start();
    let (mut body, _) = example("flight-delay");
    let ask =
        |body: &str| server.data().post(&infer("flight-delay"), body).ok()["outputs"][0]["data"].clone();
    body["inputs"][0]["data"][5] = Value::Null;
    let with_null = body.to_string();
    assert_eq!(ask(&with_null), ask(&with_null.replace("null", "NaN")));
    assert!(ask(&with_null)[0].is_f64());
}

#[test]
fn classification_names_the_best_classes() {
    let server = start();
    let (mut body, wanted) = example("penguins");
    body["outputs"] = json!([{"name": "output_probability", "parameters": {"classification": 2}}]);
    let answer = server.data().post(&infer("penguins"), body.to_string()).ok();
    let output = &answer["outputs"][0];
    assert_eq!((&output["datatype"], &output["shape"]), (&json!("BYTES"), &json!([1, 2])));
    let classes: Vec<&str> = output["data"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let probabilities = wanted[1]["data"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap());
    let named = probabilities.zip(["0:Adelie", "1:Chinstrap", "2:Gentoo"]);
    let mut best: Vec<(f64, &str)> = named.collect();
    best.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (class, (probability, name)) in classes.iter().zip(&best) {
        let (value, rest) = class.split_once(':').unwrap();
        assert_eq!(rest, *name, "{classes:?}");
        same(&json!(value.parse::<f64>().unwrap()), &json!(probability));
    }
    assert_eq!(classes.len(), 2);
}

#[test]
fn statistics_count_what_was_asked() {
    let server = start();
    let (body, _) = example("wine");
    let stats = |path: &str| server.data().get(path).ok()["model_stats"].clone();
    let before = stats("/v2/models/wine/stats")[0].clone();
    for _ in 0..3 {
        assert_eq!(server.data().post(&infer("wine"), body.to_string()).status, 200);
    }
    server.data().post(&infer("wine"), "{}").error(400);
    let after = stats("/v2/models/wine/versions/1/stats")[0].clone();
    assert_eq!((&after["name"], &after["version"]), (&json!("wine"), &json!("1")));
    let grown = |path: &[&str]| {
        let value =
            |stats: &Value| path.iter().fold(stats.clone(), |v, key| v[*key].clone()).as_u64().unwrap();
        value(&after) - value(&before)
    };
    assert_eq!((grown(&["inference_count"]), grown(&["execution_count"])), (3, 3));
    assert_eq!(grown(&["inference_stats", "fail", "count"]), 1);
    for pair in ["success", "queue", "compute_input", "compute_infer", "compute_output"] {
        assert_eq!(grown(&["inference_stats", pair, "count"]), 3, "{pair}");
    }
    for pair in ["cache_hit", "cache_miss"] {
        assert_eq!(after["inference_stats"][pair], json!({"count": 0, "ns": 0}), "{pair}");
    }
    assert!(grown(&["inference_stats", "success", "ns"]) > 0);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64;
    let last = after["last_inference"].as_u64().unwrap();
    assert!(last.abs_diff(now) < 60_000, "last_inference {last}, now {now}");
    assert_eq!(stats("/v2/models/stats").as_array().unwrap().len(), MODELS.len());
}

#[test]
fn metrics_count_outcomes_rows_and_times() {
    let server = start();
    let (body, _) = example("wine");
    server.data().post(&infer("wine"), body.to_string()).ok();
    server.data().post(&infer("wine"), "{}").error(400);
    let expired = body.to_string().replacen('{', "{\"parameters\":{\"timeout\":1},", 1);
    server.data().post(&infer("wine"), expired).error(504);
    let outcome = |outcome: &str| {
        let labels = format!("model=\"wine\",outcome=\"{outcome}\",variant=\"\",version=\"1\"");
        server.metric(&format!("model_predictions_total{{{labels}}}"))
    };
    let counts = ["ok", "client_error", "timeout", "error", "shed"].map(outcome);
    assert_eq!(counts, [1.0, 1.0, 1.0, 0.0, 0.0]);
    let version = "model=\"wine\",version=\"1\"";
    assert_eq!(server.metric(&format!("sidegate_prediction_rows_total{{{version}}}")), 1.0);
    assert_eq!(server.metric(&format!("model_prediction_duration_seconds_count{{{version}}}")), 1.0);
    for stage in ["decode", "queue", "infer", "encode"] {
        let series = format!("sidegate_stage_duration_seconds_count{{model=\"wine\",stage=\"{stage}\"}}");
        assert_eq!(server.metric(&series), 1.0, "{stage}");
    }
    let metrics = server.metrics();
    for name in [
        "sidegate_model_loads_total{model=\"wine\",result=\"ok\"} 1",
        "sidegate_model_load_failures_total{model=\"wine\",reason=\"parse\"} 0",
        "sidegate_model_swaps_total{model=\"wine\"} 1",
        "sidegate_registry_up 1",
        "sidegate_registry_staleness_seconds ",
        "sidegate_inflight_requests 0",
        "sidegate_connections ",
        "sidegate_build_info{",
        "process_resident_memory_bytes ",
        "sidegate_model_info{digest=\"sha256:",
        "model_prediction_duration_seconds_bucket{model=\"wine\",version=\"1\",le=\"0.000005\"}",
    ] {
        assert!(metrics.lines().any(|line| line.starts_with(name)), "{name} in {metrics}");
    }
}

#[test]
fn the_repository_index_lists_versions() {
    let setup = Setup::with(&["wine"]);
    setup.repository().bare("broken", 1, b"<html>not found</html>");
    let server = setup.start();
    wait("the broken one", std::time::Duration::from_secs(10), || {
        (server.version("broken", 1)["state"] == "failed").then_some(())
    });
    let index = |body: &str| server.data().post("/v2/repository/index", body).ok();
    let wine = json!({"name": "wine", "version": "1", "state": "READY", "reason": ""});
    for body in ["", "{}", "{\"ready\":false}"] {
        let all = index(body);
        assert_eq!(all[1], wine, "{body}");
        assert_eq!((&all[0]["name"], &all[0]["state"]), (&json!("broken"), &json!("UNAVAILABLE")));
        assert!(all[0]["reason"].as_str().unwrap().starts_with("parse"), "{all}");
    }
    assert_eq!(index("{\"ready\":true}"), json!([wine]));
    server.data().post("/v2/repository/index", "[").error(400);
    let text = server.data().get("/v2/models/broken/ready").error(503);
    assert!(text.starts_with("parse"), "{text}");
    server.data().get("/v2/models/broken").error(404);
}

#[test]
fn loading_by_request_is_off_unless_configured_and_never_takes_bytes() {
    let verb = |server: &Server, verb: &str, body: &str| {
        server.data().post(&format!("/v2/repository/models/wine/{verb}"), body)
    };
    let server = Setup::with(&["wine"]).start();
    for name in ["load", "unload"] {
        assert!(verb(&server, name, "{}").error(400).contains("repository_control"));
    }
    let server = Setup::with(&["wine"]).config("http.repository_control = true").start();
    let ready = || server.data().get("/v2/models/wine/ready").status;
    assert_eq!(verb(&server, "unload", r#"{"parameters":{"unload_dependents":false}}"#).ok()["unload"], true);
    assert_ne!(ready(), 200);
    assert_eq!(server.data().get("/v2/health/ready").status, 503);
    for body in [r#"{"parameters":{"config":"{}"}}"#, r#"{"parameters":{"file:1/model.onnx":"AAAA"}}"#, "x"] {
        verb(&server, "load", body).error(400);
    }
    assert_ne!(ready(), 200);
    assert_eq!(verb(&server, "load", "{}").ok()["load"], true);
    assert_eq!((ready(), verb(&server, "load", "").status), (200, 200));
    server.data().post("/v2/repository/models/beer/load", "").error(400);
}

// --- the founding endpoints ---

#[test]
fn predict_takes_every_form_of_a_table() {
    let server = start();
    for model in ["breast-cancer", "flight-delay", "wine", "penguins"] {
        let (names, values) = row_of(model);
        let record: Value = names.iter().cloned().zip(values.iter().cloned()).collect();
        let columns: Value = names.iter().cloned().zip(values.iter().map(|v| json!([v, v]))).collect();
        let mut shuffled = record.clone();
        shuffled["unknown column"] = json!("ignored");
        let expected = server.data().post(&infer(model), example(model).0.to_string()).ok();
        let rows = json!([values, values]);
        for (name, body) in [
            ("records", json!([record, record])),
            ("records with more columns", json!([shuffled, record])),
            ("columns", columns.clone()),
            ("rows", rows.clone()),
            ("wrapped records", json!({"records": [record, record]})),
            ("wrapped columns", json!({"columns": columns})),
            ("wrapped rows", json!({"rows": rows})),
            ("instances", json!({"instances": rows})),
            ("instances of records", json!({"instances": [record, record]})),
            ("data", json!({"data": rows, "id": "mine"})),
            ("names beside data", json!({"columns": names, "data": rows})),
            ("MLflow's split", json!({"dataframe_split": {"columns": names, "index": [0, 1], "data": rows}})),
            ("MLflow's records", json!({"dataframe_records": [record, record], "params": {}})),
        ] {
            let answer = server.data().post(&format!("/predict?model={model}"), body.to_string()).ok();
            for output in expected["outputs"].as_array().unwrap() {
                let got = &answer["outputs"][output["name"].as_str().unwrap()];
                let data = output["data"].as_array().unwrap();
                let one = if data.len() == 1 { data[0].clone() } else { output["data"].clone() };
                assert_eq!(*got, json!([one, one]), "{model}, {name}");
            }
            assert_eq!(answer["predictions"].as_array().unwrap().len(), 2, "{model}, {name}");
        }
    }
}

#[test]
fn predict_answers_as_the_interface_says() {
    let server = start();
    let (names, values) = row_of("wine");
    let record: Value = names.iter().cloned().zip(values.iter().cloned()).collect();
    let answer =
        server.data().post("/predict?model=wine", json!({"records": [record], "id": "mine"}).to_string());
    let json = answer.ok();
    assert_eq!(json["predictions"], json["outputs"]["probabilities"], "the manifest names the prediction");
    assert_eq!(
        (&json["model_name"], &json["model_version"], &json["variant"], &json["id"]),
        (&json!("wine"), &json!("1"), &Value::Null, &json!("mine"))
    );
    let timestamp = json["timestamp"].as_str().unwrap();
    assert!(
        timestamp.starts_with("20") && timestamp.ends_with('Z') && timestamp.contains('T'),
        "{timestamp}"
    );
    assert!(answer.header("server-timing").is_some());

    let mut less = record.clone();
    less.as_object_mut().unwrap().remove("ash");
    let text = server.data().post("/predict?model=wine", json!([less]).to_string()).error(400);
    assert!(text.contains("`ash`"), "{text}");
    // An OIP body is understood here too.
    let answer = server.data().post("/predict?model=wine", example("wine").0.to_string()).ok();
    assert_eq!((&answer["id"], &answer["model_name"]), (&json!("example"), &json!("wine")));
}

#[test]
fn references_choose_the_model_and_version() {
    let setup = Setup::with(&MODELS);
    let path = setup.path("models/wine/model.json");
    let mut index: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    index["aliases"] = json!({"champion": 1});
    std::fs::write(&path, index.to_string()).unwrap();
    let server = setup.start();
    let body = json!([row_of("wine").1]).to_string();
    for reference in ["wine", "wine@1", "wine%401", "wine@production", "wine@Production", "wine@champion"] {
        let answer = server.data().post(&format!("/predict?model={reference}"), &body).ok();
        assert_eq!(
            (&answer["model_name"], &answer["model_version"]),
            (&json!("wine"), &json!("1")),
            "{reference}"
        );
    }
    for reference in ["beer", "wine@2", "wine@staging", "wine@challenger", "wine@", "wine@01", "@1"] {
        server.data().post(&format!("/predict?model={reference}"), &body).error(404);
    }
    // Several models and none named: a question, not a guess.
    let text = server.data().post("/predict", &body).error(400);
    assert!(text.contains("?model="), "{text}");

    let server = Setup::with(&["wine"]).start();
    assert_eq!(server.data().post("/predict", &body).ok()["model_name"], "wine", "the only one");
    let server = Setup::with(&MODELS).config("default_model = \"wine\"").start();
    assert_eq!(server.data().post("/predict", &body).ok()["model_name"], "wine", "the default");
    assert_eq!(server.data().get("/health").ok()["model"], "wine");
}

#[test]
fn health_info_and_ping_tell_of_the_model() {
    let server = start();
    let health = server.data().get("/health").ok();
    assert_eq!(
        (&health["status"], &health["model"], &health["models"]),
        (&json!("healthy"), &Value::Null, &json!(MODELS))
    );
    let health = server.data().get("/health?model=wine").ok();
    assert_eq!((&health["status"], &health["model"]), (&json!("healthy"), &json!("wine")));
    let answer = server.data().get("/health?model=beer");
    let health = answer.json();
    assert_eq!(
        (answer.status, &health["status"], &health["model"]),
        (503, &json!("unhealthy"), &json!("beer"))
    );
    assert!(health["reason"].as_str().unwrap().contains("beer"));

    let info = server.data().get("/model/info?stage=Production&model=wine").ok();
    assert_eq!(
        (&info["model_name"], &info["version"], &info["stage"]),
        (&json!("wine"), &json!("1"), &json!("Production"))
    );
    let manifest: Value =
        serde_json::from_slice(&std::fs::read(shipped("wine").join("1/manifest.json")).unwrap()).unwrap();
    assert_eq!((&info["created"], &info["aliases"]), (&manifest["created"], &json!([])));
    assert_eq!(info["signature"]["inputs"][0]["name"], "input");
    let digest = manifest["files"]["model.onnx"]["sha256"].as_str().unwrap();
    assert_eq!(info["digest"], format!("sha256:{digest}"));
    assert!(info["engine"].is_string());
    for path in ["/model/info?stage=Staging&model=wine", "/model/info?model=beer", "/model/info"] {
        server.data().get(path).error(404);
    }
    server.data().get("/model/info?stage=nonsense&model=wine").error(400);
    let ping = server.data().get("/ping");
    assert_eq!((ping.status, ping.json()), (200, json!({})));
    let empty = Setup::new().start_unready();
    let ping = empty.data().get("/ping");
    assert_eq!((ping.status, ping.json()), (503, json!({})));
}

#[test]
fn invocations_take_csv_and_the_binary_form_of_sagemaker() {
    let server = start();
    let (names, values) = row_of("wine");
    let expected =
        server.data().post("/predict?model=wine", json!([values]).to_string()).ok()["predictions"].clone();
    let line = |cells: &[String]| cells.join(",");
    let cells: Vec<String> = values.iter().map(ToString::to_string).collect();
    let backwards: Vec<String> = cells.iter().rev().cloned().collect();
    let names_backwards: Vec<String> = names.iter().rev().cloned().collect();
    for (name, csv) in [
        ("positions", line(&cells)),
        ("a header", format!("{}\n{}\n", line(&names), line(&cells))),
        ("a header in another order", format!("{}\r\n{}\r\n", line(&names_backwards), line(&backwards))),
    ] {
        let answer = server.data().post_with("/invocations?model=wine", &[("content-type", "text/csv")], csv);
        assert_eq!(answer.ok()["predictions"], expected, "{name}");
    }
    let answer = server.data().post("/invocations?model=wine", json!({"instances": [values]}).to_string());
    assert_eq!(answer.ok()["predictions"], expected);
    server.data().post_with("/predict?model=wine", &[("content-type", "text/csv")], line(&cells)).error(415);

    let tail: Vec<u8> = values.iter().flat_map(|v| (v.as_f64().unwrap() as f32).to_le_bytes()).collect();
    let header = json!({"inputs": [{"name": "input", "shape": [1, 13], "datatype": "FP32",
        "parameters": {"binary_data_size": 52}}], "parameters": {"binary_data_output": true}});
    let header = header.to_string();
    let media = format!("application/vnd.sagemaker-triton.binary+json;json-header-size={}", header.len());
    let body = [header.as_bytes(), &tail].concat();
    let answer = server.data().post_with("/invocations?model=wine", &[("content-type", &media)], body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let media = answer.header("content-type").unwrap();
    let size = media.strip_prefix("application/vnd.sagemaker-triton.binary+json;json-header-size=").unwrap();
    let tensors = &answer.body[size.parse().unwrap()..];
    same(&json!(floats(&tensors[8..])), &expected[0]);
}

#[test]
fn extensions_that_are_not_there_say_so() {
    let server = start();
    for (method, path) in [
        ("POST", "/v2/models/wine/generate"),
        ("POST", "/v2/models/wine/generate_stream"),
        ("GET", "/v2/systemsharedmemory/status"),
        ("POST", "/v2/systemsharedmemory/region/r/register"),
        ("GET", "/v2/cudasharedmemory/status"),
        ("GET", "/v2/trace/setting"),
        ("GET", "/v2/models/wine/trace/setting"),
        ("POST", "/v2/logging"),
    ] {
        let answer = server.data().send(&request(method, path, &[], b"{}"));
        assert_eq!(answer.error(501), "this extension is not supported", "{path}");
    }
    for path in ["/v1/models", "/v1/models/wine:predict", "/metrics", "/models", "/livez", "/sync", "/status"]
    {
        server.data().get(path).error(404);
    }
}

#[test]
fn transports_and_ways_of_connecting_give_the_same_answer() {
    let server = start();
    let (body, _) = example("penguins");
    let bytes = request("POST", &infer("penguins"), &[], body.to_string().as_bytes());
    let unix = Target::Unix(server.path("data.sock"));
    let expected = server.data().send(&bytes).body;
    for target in [server.data(), unix] {
        let mut kept: Connection = target.connect();
        let close =
            request("POST", &infer("penguins"), &[("connection", "close")], body.to_string().as_bytes());
        for _ in 0..20 {
            assert_eq!(kept.ask(&bytes).body, expected);
            let answer: Answer = target.send(&close);
            assert_eq!((answer.header("connection"), &answer.body), (Some("close"), &expected));
        }
    }
}
