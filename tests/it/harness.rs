//! A running sidegate: the real binary in a folder of its own, and what can be seen of it from outside.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::client::{Answer, Target, request};
use super::repository::Repository;

/// The models this repository ships that every build can run.
pub(crate) const MODELS: [&str; 4] = ["breast-cancer", "flight-delay", "penguins", "wine"];
/// How long anything may take to start on a busy machine.
const START: Duration = Duration::from_secs(20);
/// A word that only secrets hold in these tests; it may be in no log and no answer.
pub(crate) const CANARY: &str = "canary-5ecret-d0-not-print";

/// A sidegate about to be started.
pub(crate) struct Setup {
    dir: TempDir,
    config: String,
    args: Vec<String>,
    variables: Vec<(String, String)>,
    registry: Option<String>,
    /// A shell command to run before the binary takes the shell's place.
    before: Option<String>,
}

/// A sidegate that runs; it is killed when this is dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) http: SocketAddr,
    pub(crate) admin: SocketAddr,
    dir: TempDir,
    stdout: Arc<Mutex<String>>,
    stderr: Arc<Mutex<String>>,
}

/// What must be as before once a test is through.
pub(crate) struct Vitals {
    answer: Vec<u8>,
    files: usize,
    resident: u64,
}

/// Polls until `look` finds something.
#[track_caller]
pub(crate) fn wait<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < limit, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub(crate) fn shipped(model: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(model)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The first golden example of a shipped model: a request, and the outputs it must give.
pub(crate) fn example(model: &str) -> (Value, Value) {
    let golden = fs::read(shipped(model).join("1/golden.json")).unwrap();
    let golden: Value = serde_json::from_slice(&golden).unwrap();
    let case = &golden["cases"][0];
    (json!({"id": "example", "inputs": case["inputs"]}), case["outputs"].clone())
}

/// The binary with these arguments, in a folder without a configuration.
pub(crate) fn run(dir: &Path, args: &[&str]) -> Output {
    command(dir, None).args(args).output().unwrap()
}

pub(crate) fn command(dir: &Path, before: Option<&str>) -> Command {
    let binary = env!("CARGO_BIN_EXE_sidegate");
    let mut command = match before {
        None => Command::new(binary),
        Some(before) => {
            let mut shell = Command::new("sh");
            shell.args(["-c", &format!("{before}; exec \"$0\" \"$@\""), binary]);
            shell
        }
    };
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().to_uppercase().starts_with("SIDEGATE_") {
            command.env_remove(name);
        }
    }
    // The library that this repository's script fetches, for the graphs that need it.
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("lib/libonnxruntime.so");
    if std::env::var_os("ORT_DYLIB_PATH").is_none() && library.exists() {
        command.env("ORT_DYLIB_PATH", library);
    }
    // What a server keeps for its next start is kept with the test.
    command.env("XDG_CACHE_HOME", dir.join("cache"));
    command.current_dir(dir).stdin(Stdio::null());
    command
}

/// Whether these tests have ONNX Runtime at hand.
pub(crate) fn has_onnxruntime() -> bool {
    std::env::var_os("ORT_DYLIB_PATH").is_some_and(|path| Path::new(&path).exists())
        || std::env::var_os("ORT_DYLIB_PATH").is_none()
            && Path::new(env!("CARGO_MANIFEST_DIR")).join("lib/libonnxruntime.so").exists()
}

// === impl Setup ===

impl Setup {
    /// An empty registry folder, free ports, and a registry that is looked at often.
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("models")).unwrap();
        let config = "registry.poll_interval_ms = 50\n".to_owned();
        Self {
            dir,
            config,
            args: Vec::new(),
            variables: Vec::new(),
            registry: Some("models".into()),
            before: None,
        }
    }

    /// As [`Setup::new`], with copies of shipped models.
    pub(crate) fn with(models: &[&str]) -> Self {
        let setup = Self::new();
        models.iter().for_each(|model| copy(&shipped(model), &setup.path("models").join(model)));
        setup
    }

    /// Takes the reference away from the first version of a copied model: a gateway learns one from what it is asked.
    pub(crate) fn without_profile(self, model: &str) -> Self {
        let folder = self.path("models").join(model);
        let read = |path: &Path| -> Value { serde_json::from_slice(&fs::read(path).unwrap()).unwrap() };
        let [index, manifest] = [folder.join("model.json"), folder.join("1/manifest.json")];
        let mut told = read(&manifest);
        told["files"].as_object_mut().unwrap().remove("profile.json").unwrap();
        let told = told.to_string();
        let mut listed = read(&index);
        let digest: String = Sha256::digest(&told).iter().map(|byte| format!("{byte:02x}")).collect();
        listed["versions"][0]["manifest"] = json!(format!("sha256:{digest}"));
        fs::write(manifest, told).unwrap();
        fs::write(index, listed.to_string()).unwrap();
        fs::remove_file(folder.join("1/profile.json")).unwrap();
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn repository(&self) -> Repository {
        Repository::new(&self.path("models"))
    }

    /// More lines of the configuration file.
    pub(crate) fn config(mut self, toml: &str) -> Self {
        self.config = format!("{toml}\n{}", self.config);
        self
    }

    /// The whole configuration file.
    pub(crate) fn only_config(mut self, toml: &str) -> Self {
        self.config = toml.to_owned();
        self
    }

    pub(crate) fn args(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(ToString::to_string));
        self
    }

    /// Serves one file instead of a folder.
    pub(crate) fn single_file(mut self, path: &Path) -> Self {
        self.registry = None;
        self.args.insert(0, path.to_str().unwrap().to_owned());
        self
    }

    pub(crate) fn registry(mut self, url: &str) -> Self {
        self.registry = Some(url.to_owned());
        self
    }

    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A shell command in whose process the server then runs, such as `ulimit`.
    pub(crate) fn before(mut self, shell: &str) -> Self {
        self.before = Some(shell.to_owned());
        self
    }

    fn command(&self) -> Command {
        fs::write(self.path("sidegate.toml"), &self.config).unwrap();
        let mut command = command(self.dir.path(), self.before.as_deref());
        command.args(["serve", "--config", "sidegate.toml"]);
        command.args(&self.args);
        for (flag, value) in [("--http", "127.0.0.1:0"), ("--admin", "127.0.0.1:0")] {
            if !self.args.iter().any(|arg| arg == flag) {
                command.args([flag, value]);
            }
        }
        if let Some(registry) = &self.registry {
            command.args(["--registry", registry]);
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs it for one that is expected to end by itself.
    pub(crate) fn run(&self) -> Output {
        self.command().output().unwrap()
    }

    /// Runs it for one that is expected to end by itself within `limit`; says how it ended.
    #[track_caller]
    pub(crate) fn run_within(&self, limit: Duration) -> ExitStatus {
        let mut child = self.command().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let start = Instant::now();
        while start.elapsed() < limit {
            if let Some(status) = child.try_wait().unwrap() {
                return status;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        drop(child.kill());
        drop(child.wait());
        panic!("it did not end within {limit:?}");
    }

    /// Starts it and waits until it is ready.
    pub(crate) fn start(self) -> Server {
        let server = self.start_unready();
        server.wait_ready();
        server
    }

    /// Starts it and waits until it listens.
    pub(crate) fn start_unready(self) -> Server {
        let mut child = self.command().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = collect(child.stdout.take().unwrap());
        let stderr = collect(child.stderr.take().unwrap());
        let line = wait("the line `listening`", START, || {
            if let Some(status) = child.try_wait().unwrap() {
                // Its last words may still be on the way.
                std::thread::sleep(Duration::from_millis(100));
                panic!("ended with {status}: {}", stderr.lock().unwrap());
            }
            let lines = stdout.lock().unwrap();
            lines
                .lines()
                .find(|line| line.starts_with("listening ") && lines.contains('\n'))
                .map(str::to_owned)
        });
        let address = |name: &str| {
            let found = line.split(' ').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
            found.and_then(|a| a.parse().ok()).unwrap_or_else(|| panic!("no {name} in {line:?}"))
        };
        Server { http: address("http"), admin: address("admin"), child, dir: self.dir, stdout, stderr }
    }
}

fn collect(stream: impl std::io::Read + Send + 'static) -> Arc<Mutex<String>> {
    let text = Arc::new(Mutex::new(String::new()));
    let into = text.clone();
    std::thread::spawn(move || {
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            into.lock().unwrap().push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    });
    text
}

// === impl Server ===

impl Server {
    /// The data port.
    pub(crate) fn data(&self) -> Target {
        Target::Tcp(self.http)
    }

    pub(crate) fn admin(&self) -> Target {
        Target::Tcp(self.admin)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote to standard output so far.
    pub(crate) fn output(&self) -> String {
        self.stdout.lock().unwrap().clone()
    }

    /// What it logged so far.
    pub(crate) fn log(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    /// Waits until it has logged this: its words come through a pipe, and may come late.
    #[track_caller]
    pub(crate) fn wait_log(&self, text: &str) {
        wait(text, START, || self.log().contains(text).then_some(()));
    }

    #[track_caller]
    pub(crate) fn wait_ready(&self) {
        wait("readiness", START, || (self.admin().get("/readyz").status == 200).then_some(()));
    }

    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status();
        assert!(status.unwrap().success());
    }

    /// How it ended.
    #[track_caller]
    pub(crate) fn wait_end(&mut self, limit: Duration) -> ExitStatus {
        let child = &mut self.child;
        wait("the end of the process", limit, || child.try_wait().unwrap())
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    fn proc(&self, name: &str) -> PathBuf {
        format!("/proc/{}/{name}", self.pid()).into()
    }

    pub(crate) fn open_files(&self) -> usize {
        fs::read_dir(self.proc("fd")).unwrap().count()
    }

    /// Resident memory in KiB.
    pub(crate) fn resident(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The most that was resident at any time, in KiB.
    pub(crate) fn peak(&self) -> u64 {
        self.memory("VmHWM:")
    }

    fn memory(&self, name: &str) -> u64 {
        let status = fs::read_to_string(self.proc("status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
    }

    // --- the admin port ---

    pub(crate) fn metrics(&self) -> String {
        let answer = self.admin().get("/metrics");
        assert_eq!(answer.status, 200);
        answer.text()
    }

    /// The value of a series, written as it is rendered: `name{label="value"}`; 0 when it is not there.
    pub(crate) fn metric(&self, series: &str) -> f64 {
        let metrics = self.metrics();
        let found =
            metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok());
        found.unwrap_or(0.0)
    }

    /// `GET /models`.
    pub(crate) fn models(&self) -> Value {
        self.admin().get("/models").ok()
    }

    /// One version of `GET /models`; null when it is not listed.
    pub(crate) fn version(&self, model: &str, version: u64) -> Value {
        let models = self.models();
        let find = |list: &Value, key: &str, name: &str| {
            list.as_array()
                .and_then(|list| list.iter().find(|entry| entry[key] == name).cloned())
                .unwrap_or_default()
        };
        find(&find(&models, "name", model)["versions"], "version", &version.to_string())
    }

    /// Waits until a version is in a state.
    #[track_caller]
    pub(crate) fn wait_state(&self, model: &str, version: u64, state: &str) -> Value {
        let mut last = Value::Null;
        let start = Instant::now();
        while start.elapsed() < START {
            last = self.version(model, version);
            if last["state"] == state {
                return last;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("{model}/{version} is not {state}: {last}");
    }

    /// Waits until the plain name of a model answers with `version`.
    #[track_caller]
    pub(crate) fn wait_served(&self, model: &str, version: u64, limit: Duration) {
        let body =
            json!({"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]});
        let path = format!("/v2/models/{model}/infer");
        wait(&format!("{model}/{version} being served"), limit, || {
            let answer = self.data().post(&path, body.to_string());
            (answer.status == 200 && answer.json()["model_version"] == *version.to_string()).then_some(())
        });
        // What people see is stored after what requests see, by a thread that yields to all others.
        self.wait_state(model, version, "serving");
    }

    // --- the stay-up oracle ---

    /// What it is like before something is done to it. Needs `breast-cancer`.
    #[track_caller]
    pub(crate) fn vitals(&self) -> Vitals {
        let answer = self.known_good();
        Vitals { answer, files: self.open_files(), resident: self.resident() }
    }

    /// The answer to a request that is known to be good.
    #[track_caller]
    fn known_good(&self) -> Vec<u8> {
        let (body, _) = example("breast-cancer");
        let answer = self.data().post("/v2/models/breast-cancer/infer", body.to_string());
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.body
    }

    /// Same process, live, the same answer to the last bit, no panic and no secret in the log.
    #[track_caller]
    pub(crate) fn stays_up(&mut self, vitals: &Vitals, after: &str) {
        self.answers_as_before(vitals, after);
        let log = self.log();
        assert!(!log.contains("panicked"), "after {after}: {log}");
    }

    /// As [`Server::stays_up`], where an engine's panic is expected and caught.
    #[track_caller]
    pub(crate) fn answers_as_before(&mut self, vitals: &Vitals, after: &str) {
        assert!(!self.has_ended(), "after {after}: the process has ended: {}", self.log());
        // The best of a few: a busy machine may be slow, a busy server would be slow every time.
        let fastest = (0..20).map(|_| {
            let start = Instant::now();
            let answer = self.admin().get("/livez");
            assert_eq!(answer.status, 200, "after {after}");
            start.elapsed()
        });
        let fastest = fastest.into_iter().find(|t| *t < Duration::from_millis(100));
        assert!(fastest.is_some(), "after {after}: /livez takes more than 100 ms every time");
        assert_eq!(self.known_good(), vitals.answer, "after {after}");
        assert!(!self.log().contains(CANARY), "after {after}: a secret is in the log");
    }

    /// Open files and requests in flight are back where they were; memory grew by at most `growth` KiB.
    #[track_caller]
    pub(crate) fn settles(&self, vitals: &Vitals, growth: u64) {
        wait("open files as before", Duration::from_secs(5), || {
            (self.open_files() <= vitals.files).then_some(())
        });
        wait("nothing in flight", Duration::from_secs(5), || {
            (self.metric("sidegate_inflight_requests") == 0.0).then_some(())
        });
        let resident = self.resident();
        let limit = vitals.resident + growth;
        assert!(
            resident <= limit,
            "memory grew from {} to {resident} KiB, at most {growth} more",
            vitals.resident
        );
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            let log = self.log();
            let tail = log.len().saturating_sub(4000);
            let tail = (tail..).find(|at| log.is_char_boundary(*at)).unwrap_or(0);
            eprintln!("--- log of the server:\n{}", &log[tail..]);
        }
    }
}

/// A request for a model of [`super::onnx::constant`].
pub(crate) fn constant_request(path: &str) -> Vec<u8> {
    let body = br#"{"inputs":[{"name":"x","shape":[1,4],"datatype":"FP32","data":[1,2,3,4]}]}"#;
    request("POST", path, &[], body)
}

/// Whether an answer of such a model holds the number of the version it names; its version.
#[track_caller]
pub(crate) fn constant_version(answer: &Answer) -> u64 {
    let json = answer.ok();
    let version: u64 = json["model_version"].as_str().unwrap().parse().unwrap();
    assert_eq!(json["outputs"][0]["data"], json!([version as f64]), "{json}");
    version
}
