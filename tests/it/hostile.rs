//! The corpus of hostile model files (tests/fixtures/make-hostile.py): whatever arrives, what serves keeps serving.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::harness::{Server, Setup, constant_request, has_onnxruntime, wait};
use super::onnx::constant;
use super::repository::golden;

/// How long a child may take over a file; two of them never end.
const PATIENCE: Duration = Duration::from_secs(5);

/// A line of `table.json`.
struct Hostile {
    file: String,
    codes: Vec<String>,
    /// Whether only a child process may load it.
    trial: bool,
    engine: String,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/hostile")
}

fn table() -> Vec<Hostile> {
    let table: Value = serde_json::from_slice(&fs::read(folder().join("table.json")).unwrap()).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let row = |row: &Value| Hostile {
        file: text(&row["file"]),
        codes: row["codes"].as_array().unwrap().iter().map(text).collect(),
        trial: row["trial"].as_bool().unwrap(),
        engine: text(&row["engine"]),
    };
    let mut rows: Vec<_> = table.as_array().unwrap().iter().map(row).collect();
    assert!(rows.len() > 200);
    rows.retain(|row| row.engine != "ort" || has_onnxruntime());
    rows
}

impl Hostile {
    fn bytes(&self) -> Vec<u8> {
        fs::read(folder().join(&self.file)).unwrap()
    }

    /// As a version's folder holds it.
    fn file_name(&self) -> String {
        format!("model.{}", self.file.rsplit_once('.').unwrap().1)
    }
}

/// The outputs of version 1 of a model.
fn answer(server: &Server, model: &str) -> Value {
    let answer = server.data().send(&constant_request(&format!("/v2/models/{model}/infer"))).ok();
    assert_eq!(answer["model_version"], "1", "{model}");
    answer["outputs"].clone()
}

#[test]
fn no_hostile_file_is_served_or_disturbs_what_is() {
    let files = table();
    let mut config =
        "registry.max_models = 300\nregistry.trial_timeout_ms = 5000\nmetrics.max_series = 50000\n"
            .to_owned();
    for file in files.iter().filter(|file| file.engine != "auto") {
        config += &format!("models.\"{}\".engine = \"{}\"\n", file.file, file.engine);
    }
    let setup = Setup::with(&["breast-cancer"]).config(&config);
    let repository = setup.repository();
    let good = constant(1.0);
    // Each is a model of its own, so that all of them can arrive at once.
    let example = golden(1.0).to_string();
    for file in &files {
        repository.bare(&file.file, 1, &good);
        // What is proven by an example needs no other engine, and so no child.
        repository.bare_file(&file.file, 1, "golden.json", example.as_bytes());
    }
    let mut server = setup.start_unready();
    wait("the good versions", Duration::from_secs(120), || {
        (server.admin().get("/readyz").status == 200).then_some(())
    });
    let vitals = server.vitals();
    let expected = answer(&server, &files[0].file);

    for file in &files {
        repository.bare_file(&file.file, 2, &file.file_name(), &file.bytes());
    }
    let versions = |server: &Server| {
        let models = server.models();
        let models = models.as_array().unwrap().iter().filter(|model| model["name"] != "breast-cancer");
        let second = |model: &Value| {
            let versions = model["versions"].as_array().unwrap();
            let second = versions.iter().find(|version| version["version"] == "2").cloned();
            (model["name"].as_str().unwrap().to_owned(), second.unwrap_or_default())
        };
        models.map(second).collect::<Vec<_>>()
    };
    let found = wait("all of them to be judged", Duration::from_secs(120), || {
        let found = versions(&server);
        let judged = |version: &Value| version["state"] == "failed" || version["state"] == "serving";
        found.iter().all(|(_, version)| judged(version)).then_some(found)
    });
    assert_eq!(found.len(), files.len());
    let metrics = server.metrics();
    for file in &files {
        let (_, version) = found.iter().find(|(name, _)| *name == file.file).unwrap();
        let code = version["reason"]["code"].as_str().unwrap_or("none: it is served");
        assert!(file.codes.iter().any(|c| c == code), "{}: {version}, not {:?}", file.file, file.codes);
        let counted =
            format!("sidegate_model_load_failures_total{{model=\"{}\",reason=\"{code}\"}}", file.file);
        let counted =
            metrics.lines().find_map(|line| line.strip_prefix(&counted)?.trim().parse::<f64>().ok());
        assert!(counted.is_some_and(|count| count >= 1.0), "{}: {code} is not counted", file.file);
        assert_eq!(answer(&server, &file.file), expected, "{}", file.file);
    }
    // What panics in a child is told in the log of its parent.
    server.answers_as_before(&vitals, "hostile files");
}

#[test]
fn no_socket_of_the_server_reaches_a_child() {
    const CLOSE_ON_EXEC: u32 = 0o2_000_000;
    let server = Setup::with(&["breast-cancer"]).args(&["--uds", "data.sock"]).start();
    let mut sockets = 0;
    for entry in fs::read_dir(format!("/proc/{}/fdinfo", server.pid())).unwrap().map(Result::unwrap) {
        let number: u32 = entry.file_name().to_str().unwrap().parse().unwrap();
        // One that was closed meanwhile reaches nobody.
        let Ok(text) = fs::read_to_string(entry.path()) else { continue };
        let flags = text.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
        let flags = u32::from_str_radix(flags.trim(), 8).unwrap();
        let link = fs::read_link(format!("/proc/{}/fd/{number}", server.pid())).unwrap_or_default();
        // Files may have been open in whoever started the server.
        if number > 2 && link.to_string_lossy().starts_with("socket:") {
            assert!(flags & CLOSE_ON_EXEC != 0, "{number} {link:?} stays open");
            sockets += 1;
        }
    }
    assert!(sockets > 2, "{sockets} sockets");
}

/// What a parent sends to a child about a file.
fn message(file: &Hostile, parent: u32, memory: u64, timeout: Duration) -> Vec<u8> {
    let library = std::env::var_os("ORT_DYLIB_PATH").map(PathBuf::from);
    let library =
        library.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("lib/libonnxruntime.so"));
    let model = file.bytes();
    let header = json!({"parent": parent, "timeout_ms": timeout.as_millis() as u64, "memory_bytes": memory,
        "format": file.file_name(), "engine": file.engine, "workers": 2, "warmup_rows": 8, "checks": [],
        "prediction": 0, "range": null, "onnxruntime": library.exists().then_some(library),
        "onnxruntime_loaded": false, "golden_bytes": null, "model_bytes": model.len()});
    [header.to_string().as_bytes(), b"\n", &model].concat()
}

fn child() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sidegate"));
    command.arg("trial-load").env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// How a child comes to its end, in the words of the codes, with what it said.
fn ending(file: &Hostile, memory: u64) -> (String, String) {
    let mut child = child().spawn().unwrap();
    child.stdin.take().unwrap().write_all(&message(file, std::process::id(), memory, PATIENCE)).unwrap();
    let start = Instant::now();
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break Some(status),
            None if start.elapsed() > PATIENCE => break None,
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    drop(child.kill());
    let (mut said, mut log) = (String::new(), String::new());
    child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    child.wait().unwrap();
    let answer: Value =
        said.lines().last().map(|line| serde_json::from_str(line).unwrap()).unwrap_or_default();
    let code = match (answer["refused"]["code"].as_str(), status.map(|status| status.signal())) {
        (Some(code), _) => code,
        (None, None) => "timeout",
        (None, Some(Some(libc::SIGXCPU))) => "timeout",
        (None, Some(Some(_))) if log.contains("memory allocation of") => "memory",
        (None, Some(Some(_))) => "crashed",
        (None, Some(None)) if answer.get("loaded").is_some() => "loaded",
        (None, Some(None)) => "no answer",
    };
    (code.to_owned(), format!("{said}{log}"))
}

#[test]
fn a_child_bears_what_would_end_the_server() {
    let mut files = table();
    files.retain(|file| file.trial);
    assert!(files.len() > 40);
    let mut codes = Vec::new();
    for file in &files {
        let (code, said) = ending(file, 192 << 20);
        assert!(file.codes.contains(&code), "{}: {code}, not {:?}: {said}", file.file, file.codes);
        assert!(said.starts_with("\"ready\"\n"), "{}: {said}", file.file);
        codes.push(code);
    }
    // tract without any memory left ends its process; what never ends needs ONNX Runtime.
    assert!(codes.iter().any(|code| code == "memory"), "{codes:?}");
    assert!(!has_onnxruntime() || codes.iter().any(|code| code == "timeout"), "{codes:?}");
}

#[test]
fn a_child_takes_no_more_memory_than_it_may() {
    let file = |name: &str, engine: &str| {
        let codes = Vec::new();
        Hostile { file: name.to_owned(), codes, trial: true, engine: engine.to_owned() }
    };
    // The good model, which is no file of the corpus.
    let digits = file("../../../models/digits/1/model.onnx", "tract");
    assert_eq!(ending(&digits, 64 << 20).0, "loaded");
    assert_ne!(ending(&digits, 0).0, "loaded");
    let doubling = file("memory-doubling-tract.onnx", "tract");
    for memory in [16_u64, 64] {
        let mut child = child().spawn().unwrap();
        let message = message(&doubling, std::process::id(), memory << 20, PATIENCE * 5);
        child.stdin.take().unwrap().write_all(&message).unwrap();
        let mut said = String::new();
        child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(!said.contains("loaded"), "{said}");
        child.wait().unwrap();
    }
}

#[test]
fn a_child_does_not_outlive_its_parent() {
    let endless = table().into_iter().find(|file| file.file == "folding-tract.onnx").unwrap();
    let script = "exec 3<&0; \"$0\" trial-load <&3 & echo $!; exec 3<&-; wait";
    let mut parent: Child = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_sidegate")])
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let message = message(&endless, parent.id(), 1 << 30, Duration::from_secs(60));
    parent.stdin.take().unwrap().write_all(&message).unwrap();
    let mut lines = BufReader::new(parent.stdout.take().unwrap()).lines().map(Result::unwrap);
    let child: u32 = lines.next().unwrap().parse().unwrap();
    assert_eq!(lines.next().unwrap(), "\"ready\"");
    let runs = || {
        let stat = fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        // One that nobody has asked about yet is dead all the same.
        stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
    };
    assert!(runs());
    parent.kill().unwrap();
    parent.wait().unwrap();
    wait("the end of the child", Duration::from_secs(5), || (!runs()).then_some(()));
}
