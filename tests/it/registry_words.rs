//! What `sidegate registry …` and a sidecar say to somebody who has read the pages and nothing else.

use serde_json::json;

use super::harness::{Setup, constant_request, constant_version};
use super::registry_cli::{SOON, files, with, words};

#[test]
fn a_reference_is_understood_wherever_a_path_names_a_model() {
    let server = Setup::new().start_unready();
    files(&server.path(""), 1..=3);
    let does = |line: &str| with(&server, &words(line), 0);
    does("registry register m 1.onnx --stage Production");
    does("registry register m 2.onnx --stage Staging --alias challenger");
    server.wait_served("m", 1, SOON);
    server.wait_state("m", 2, "serving");
    for (name, version) in
        [("m", 1), ("m@staging", 2), ("m%40Staging", 2), ("m@challenger", 2), ("m@2", 2), ("m@production", 1)]
    {
        let answer = server.data().send(&constant_request(&format!("/v2/models/{name}/infer")));
        assert_eq!(constant_version(&answer), version, "{name}");
        let get = |rest: &str| server.data().get(&format!("/v2/models/{name}{rest}")).ok();
        assert_eq!(get("")["name"], "m", "{name}");
        assert_eq!(get("/config")["name"], "m", "{name}");
        assert_eq!(get("/ready"), json!({"name": "m", "ready": true}), "{name}");
        let stats = get("/stats")["model_stats"].clone();
        let versions: Vec<_> = stats.as_array().unwrap().iter().map(|one| &one["version"]).collect();
        let all = [&json!("1"), &json!("2")];
        let one = [&json!(version.to_string())];
        assert_eq!(versions, if name == "m" { &all[..] } else { &one[..] }, "{name}");
    }
    for (path, status, part) in [
        ("m@2/versions/1", 400, "twice"),
        ("m@staging/versions/2", 400, "twice"),
        ("m@nobody", 404, "nobody"),
        ("m@9", 404, "9"),
        ("m@", 404, "model name"),
        ("@2", 404, "model name"),
        ("nothing@2", 404, "nothing"),
        ("m%4", 404, "not valid text"),
    ] {
        for rest in ["", "/ready", "/config", "/stats"] {
            let text = server.data().get(&format!("/v2/models/{path}{rest}")).error(status);
            assert!(text.contains(part) || rest == "/ready", "{path}{rest}: {text}");
        }
        let infer = server.data().send(&constant_request(&format!("/v2/models/{path}/infer")));
        let text = infer.error(status);
        assert!(text.contains(part), "{path}/infer: {text}");
    }
}
