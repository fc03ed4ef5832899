//! `sidegate try`: the real command against other servers, as a team runs it.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use serde_json::{Value, json};

use super::harness::{Server, Setup, command, has_onnxruntime, run, shipped, wait};
use super::onnx::{constant, identity};

/// Few requests, so that the tests end soon; one round of turns is enough to be measured.
const SHORT: [&str; 6] = ["--seconds", "0.2", "--rounds", "2", "-n", "40"];

fn breast_cancer() -> String {
    shipped("breast-cancer").join("1/model.onnx").to_str().unwrap().to_owned()
}

fn tried(dir: &Path, args: &[&str]) -> Output {
    run(dir, &[&["try"], args, &SHORT[..]].concat())
}

#[track_caller]
fn ended(output: &Output, code: i32) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}{err}");
    assert!(!err.contains("panicked"), "{err}");
    out + &err
}

#[track_caller]
fn report(output: &Output, code: i32) -> Value {
    let text = ended(output, code);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn served() -> Server {
    Setup::with(&["breast-cancer"]).start()
}

fn url(server: &Server, path: &str) -> String {
    format!("http://{}{path}", server.http)
}

/// Answers every request with `answer`, until the test ends.
fn service(answer: impl Fn(&str, &[u8]) -> (u16, String) + Clone + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, answer) = (stream.unwrap(), answer.clone());
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream);
                loop {
                    let (mut first, mut length) = (String::new(), 0);
                    loop {
                        let mut line = String::new();
                        if reader.read_line(&mut line).unwrap_or(0) == 0 {
                            return;
                        }
                        let line = line.trim_end();
                        if first.is_empty() {
                            line.clone_into(&mut first);
                        }
                        if let Some(value) = line.strip_prefix("content-length: ") {
                            length = value.parse().unwrap();
                        }
                        if line.is_empty() {
                            break;
                        }
                    }
                    let mut body = vec![0; length];
                    reader.read_exact(&mut body).unwrap();
                    let (status, text) = answer(&first, &body);
                    let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n", text.len());
                    drop(reader.get_mut().write_all(format!("{head}{text}").as_bytes()));
                }
            });
        }
    });
    format!("http://{address}")
}

#[test]
fn every_protocol_of_another_sidegate_gives_equal_answers() {
    let server = served();
    let (dir, model) = (tempfile::tempdir().unwrap(), breast_cancer());
    for (path, spoken) in [
        ("/v2/models/breast-cancer/infer", "OIP v2, `input` FP32"),
        ("/v2/models/breast-cancer", "OIP v2, `input` FP32"),
        ("", "OIP v2, `input` FP32"),
        ("/predict?model=breast-cancer", "JSON, records"),
        ("/invocations", "/invocations, split"),
    ] {
        let output = tried(dir.path(), &[&model, "--against", &url(&server, path), "--json"]);
        let report = report(&output, 0);
        let equality = &report["equality"];
        assert_eq!((&report["verdict"], &report["spoken"]), (&json!("equal"), &json!(spoken)), "{report:#}");
        assert_eq!(
            (&equality["rows"], &equality["equal"], &equality["largest"]),
            (&json!(40), &json!(40), &json!(0.0))
        );
        assert_eq!(equality["compared"], json!(["`label`", "`probabilities`"]), "{path}");
        assert_eq!(report["engine"], "trees");
        let sides = report["sides"].as_array().unwrap();
        assert_eq!(sides[0]["requests"], sides[1]["requests"]);
        for side in sides {
            for figure in ["p50_us", "p99_us", "requests_per_second", "cpu_us_per_request", "memory_bytes"] {
                assert!(side[figure].as_f64().unwrap() > 0.0, "{figure}: {side}");
            }
            assert_eq!((&side["processes"], &side["process"]), (&json!(1), &json!("sidegate")));
        }
    }
}

#[test]
fn the_page_tells_it_all_and_may_be_html() {
    let server = served();
    let dir = tempfile::tempdir().unwrap();
    let against = url(&server, "/v2/models/breast-cancer/infer");
    let args = [
        &breast_cancer(),
        "--against",
        &against,
        "--html",
        "page.html",
        "--connections",
        "3",
        "--rows-per-request",
        "4",
    ];
    let text = ended(&tried(dir.path(), &args), 0);
    for part in [
        "outputs   equal: 160 of 160 rows; largest difference 0, tolerance 1e-5\n",
        "engine    trees: trees runs the whole model\n",
        "requests  40 of 4 rows (generated, seed 1); timed over 3 connections, 2 rounds of each side in turn\n",
        "CPU per request",
        "in process, without HTTP: trees ",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let page = fs::read_to_string(dir.path().join("page.html")).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.contains("160 of 160 rows") && page.contains("<svg"));
}

#[test]
fn another_model_is_different_and_the_first_row_is_shown() {
    let setup = Setup::new();
    setup.repository().bare("m", 1, &constant(1.0));
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("m.onnx"), constant(1.5)).unwrap();
    fs::write(dir.path().join("rows.csv"), "a,b,c,d\n1,2,3,4\n5,,7,8\n").unwrap();
    let server = setup.start();
    let against = url(&server, "/v2/models/m/infer");
    let text = ended(&tried(dir.path(), &["m.onnx", "--against", &against, "--data", "rows.csv"]), 1);
    assert!(text.contains("DIFFERENT: 1 of 2 rows; largest difference 5.0e-1"), "{text}");
    let first = "first difference: request 1, row 1, output `y`\n  sidegate  1.5\n  other     1\n  inputs    a=1, b=2, c=3, d=4\n";
    assert!(text.contains(first), "{text}");
    let loose = ["m.onnx", "--against", &against, "--data", "rows.csv", "--tolerance", "0.6"];
    ended(&tried(dir.path(), &loose), 0);
}

#[test]
fn a_csv_file_is_matched_by_the_manifest_s_columns() {
    let server = served();
    let (dir, model) = (tempfile::tempdir().unwrap(), breast_cancer());
    let manifest = fs::read(shipped("breast-cancer").join("1/manifest.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    let mut names: Vec<&str> =
        manifest["columns"].as_array().unwrap().iter().map(|n| n.as_str().unwrap()).collect();
    names.reverse();
    let mut text = format!("target,{}\n", names.join(","));
    for row in 0..50 {
        let cells: Vec<String> = (0..30).map(|column| format!("{}", row * 7 % 11 + column)).collect();
        text += &format!("yes,{}\n", cells.join(","));
    }
    let path = dir.path().join("rows.csv");
    fs::write(&path, text).unwrap();
    let (against, path) = (url(&server, "/invocations"), path.to_str().unwrap());
    let json = report(&tried(dir.path(), &[&model, "--against", &against, "--data", path, "--json"]), 0);
    assert_eq!((&json["equality"]["equal"], &json["spoken"]), (&json!(40), &json!("/invocations, split")));
    let csv = tried(dir.path(), &[&model, "--against", &against, "--data", path, "--json", "--body", "csv"]);
    assert_eq!(report(&csv, 0)["spoken"], "/invocations, csv");
    let parquet = tried(dir.path(), &[&model, "--data", "rows.parquet"]);
    let part = if cfg!(feature = "parquet") { "rows.parquet: " } else { "to_csv" };
    assert!(ended(&parquet, 2).contains(part));
}

#[test]
fn whole_bodies_are_sent_word_by_word() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("m.onnx"), constant(2.0)).unwrap();
    // As a service of one's own: a record under a key, a number under another.
    let against = service(|line, body| {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        match (line, body["patient"]["a"].as_f64()) {
            ("POST /score HTTP/1.1", Some(_)) => (200, r#"{"risk": 2.0, "model": "x"}"#.into()),
            _ => (422, r#"{"detail": "no patient"}"#.into()),
        }
    });
    fs::write(dir.path().join("bodies.ndjson"), "{\"patient\":{\"a\":1,\"b\":2,\"c\":3,\"d\":4}}\n\n{\"patient\":{\"a\":5,\"b\":6,\"c\":7,\"d\":8}}\n").unwrap();
    let score = format!("{against}/score");
    let args =
        ["m.onnx", "--against", &score, "--protocol", "predict", "--requests", "bodies.ndjson", "--json"];
    let output = run(dir.path(), &[&["try"], &args[..], &SHORT[..4]].concat());
    let json = report(&output, 0);
    assert_eq!(json["equality"]["compared"], json!(["`y` with their `risk`"]));
    assert_eq!(json["equality"]["rows"], 2);
    // The same by a template; without it no form is accepted, and the refusal is quoted.
    let template = r#"{"patient": {"a": 1, "all": {{row}}}}"#;
    let args = ["m.onnx", "--against", &score, "--body", template];
    ended(&tried(dir.path(), &args), 0);
    let text = ended(&tried(dir.path(), &["m.onnx", "--against", &score, "--protocol", "predict"]), 1);
    assert!(
        text.contains("rows: status 422: {\"detail\": \"no patient\"}") && text.contains("--body"),
        "{text}"
    );
}

#[test]
fn kserve_s_first_protocol_takes_instances() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("m.onnx"), constant(2.0)).unwrap();
    // Found by its list of models; a model that wants several rows gets them in one body.
    let against = service(|line, body| {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        match (line, body["instances"].as_array()) {
            ("GET /v1/models HTTP/1.1", _) => (200, r#"{"models": ["other", "m"]}"#.into()),
            ("POST /v1/models/m:predict HTTP/1.1", Some(rows)) if rows[0].is_array() => {
                (200, json!({"predictions": vec![[2.0]; rows.len()]}).to_string())
            }
            _ => (404, "{}".into()),
        }
    });
    let args = ["m.onnx", "--against", &against, "--json", "--rows-per-request", "3"];
    let json = report(&tried(dir.path(), &args), 0);
    assert_eq!((&json["spoken"], &json["equality"]["equal"]), (&json!("KServe v1, instances"), &json!(120)));
}

#[test]
fn what_cannot_be_compared_is_shown_and_has_its_own_code() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("m.onnx"), constant(2.0)).unwrap();
    let against = service(|_, _| (200, r#"{"predictions": ["high"]}"#.into())) + "/predict";
    let text = ended(&tried(dir.path(), &["m.onnx", "--against", &against]), 3);
    assert!(text.contains("sidegate `y` 2; other `predictions` \"high\""), "{text}");
}

#[test]
fn a_side_that_is_not_there_or_fails_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("m.onnx"), constant(2.0)).unwrap();
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for path in ["/predict", "", "/v2/models/m/infer"] {
        let text = ended(&tried(dir.path(), &["m.onnx", "--against", &format!("http://{dead}{path}")]), 1);
        assert!(text.contains("no connection to"), "{text}");
    }
    let broken = service(|_, _| (500, "x".repeat(1000))) + "/v2/models/m/infer";
    let text = ended(&tried(dir.path(), &["m.onnx", "--against", &broken]), 1);
    assert!(text.contains(&format!("status 500: {}\n", "x".repeat(300))), "{text}");
    fs::write(dir.path().join("bad.onnx"), "no model").unwrap();
    ended(&tried(dir.path(), &["bad.onnx"]), 1);
    fs::write(dir.path().join("wine.bin"), "no model").unwrap();
    let text = ended(&tried(dir.path(), &["wine.bin"]), 2);
    assert_eq!(text, "sidegate: wine.bin: a model file ends in .onnx, .ubj, .json or .txt\n");
    for usage in [
        &["gone.onnx"][..],
        &[shipped("wine").to_str().unwrap()],
        &["m.onnx", "--against", "ftp://localhost/predict"],
        &["m.onnx", "--seconds", "0"],
        &["m.onnx", "--engine", "magic"],
        &["m.onnx", "--data", "gone.csv"],
    ] {
        ended(&run(dir.path(), &[&["try"], usage].concat()), 2);
    }
}

#[test]
fn alone_it_is_judged_by_onnx_runtime_where_that_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let json = report(&tried(dir.path(), &[&breast_cancer(), "--json"]), 0);
    let found = has_onnxruntime();
    assert_eq!(json["verdict"], if found { "equal" } else { "not_judged" });
    assert_eq!(json["sides"].as_array().unwrap().len(), 1);
    assert_eq!(json["alone"].as_array().unwrap().len(), 1 + usize::from(found));
    // What ONNX Runtime itself serves has no other witness.
    if found {
        let json = report(&tried(dir.path(), &[&breast_cancer(), "--json", "--engine", "ort"]), 0);
        assert_eq!((&json["verdict"], &json["engine"]), (&json!("not_judged"), &json!("ort")));
    }
    // Texts and several inputs, as they come; a version's folder stands for its model file.
    let penguins = shipped("penguins").join("1");
    let text = ended(&tried(dir.path(), &[penguins.to_str().unwrap()]), 0);
    assert!(text.contains("timed over 1 connection, 2 rounds\n"), "{text}");
    // Not every format is read by ONNX Runtime.
    let booster = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/boosters/lgb-binary.txt");
    let text = ended(&tried(dir.path(), &[booster]), 0);
    assert!(text.contains("not judged: ONNX Runtime does not read this format; --against URL"), "{text}");
    fs::write(dir.path().join("integers.onnx"), identity(7)).unwrap();
    ended(&tried(dir.path(), &["integers.onnx"]), 0);
}

#[test]
fn a_signal_ends_the_gateway_that_was_started() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("m.onnx"), constant(2.0)).unwrap();
    for signal in ["-INT", "-TERM"] {
        let mut tried = command(dir.path(), None);
        tried.args(["try", "m.onnx", "--seconds", "600", "--rounds", "1"]);
        tried.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let mut tried = tried.spawn().unwrap();
        let children = || -> Vec<u32> {
            let path = format!("/proc/{}/task", tried.id());
            let tasks = fs::read_dir(path).into_iter().flatten().flatten();
            let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
            lists
                .flat_map(|list| list.split_whitespace().map(|pid| pid.parse().unwrap()).collect::<Vec<_>>())
                .collect()
        };
        let child = wait("the gateway", Duration::from_secs(20), || children().first().copied());
        std::process::Command::new("kill").args([signal, &tried.id().to_string()]).status().unwrap();
        let status = wait("the end", Duration::from_secs(20), || tried.try_wait().unwrap());
        assert_eq!(status.code(), Some(130));
        assert!(!Path::new(&format!("/proc/{child}")).exists(), "{signal}: the gateway still runs");
    }
}
