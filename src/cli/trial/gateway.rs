//! The real gateway as a child process, so that both sides are reached in the same way.

use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use crate::cli::model_file::Found;
use crate::cli::peer::connection::Peer;
use crate::config::Sources;
use crate::json::Reader;
use crate::protocol::table::Json;

/// For the line `listening` and for the model to serve.
const START: Duration = Duration::from_secs(60);

/// For one look at the child.
const LOOK: Duration = Duration::from_secs(2);

/// How much of its log is kept, to be shown when it fails.
const LOG_BYTES: usize = 4096;

/// A running gateway; it is stopped when this is dropped, or by whoever holds its [`Stop`].
pub(super) struct Gateway {
    pub(super) http: SocketAddr,
    pub(super) pid: u32,
    /// Path of its infer endpoint.
    pub(super) path: String,
    stop: Stop,
}

/// Ends the child, from any thread.
#[derive(Clone, Default)]
pub(super) struct Stop(Arc<Mutex<Held>>);

#[derive(Default)]
struct Held {
    child: Option<Child>,
    /// Set for good: no child is started any more.
    stopped: bool,
}

/// What is left to read of a child that is held.
struct Started {
    pid: u32,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
}

/// What the child is started with.
pub(super) struct Choice<'a> {
    pub(super) model: &'a Found,
    pub(super) engine: &'a str,
    pub(super) workers: usize,
    /// The configured library, if one is.
    pub(super) onnxruntime: Option<&'a Path>,
}

// === impl Stop ===

impl Stop {
    /// Ends the child and waits for it; there will be no other.
    pub(super) fn now(&self) {
        let Ok(mut held) = self.0.lock() else { return };
        held.stopped = true;
        if let Some(mut child) = held.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }

    /// Starts the child and holds it in one step, so that no signal falls in between and leaves it behind.
    fn start(&self, command: &mut Command) -> std::io::Result<Started> {
        let Ok(mut held) = self.0.lock() else { return Err(ErrorKind::Interrupted.into()) };
        if held.stopped {
            return Err(ErrorKind::Interrupted.into());
        }
        let mut child = command.spawn()?;
        let started = Started { pid: child.id(), stdout: child.stdout.take(), stderr: child.stderr.take() };
        held.child = Some(child);
        Ok(started)
    }

    /// How it ended, if it did.
    fn ended(&self) -> Option<String> {
        let mut held = self.0.lock().ok()?;
        let status = held.child.as_mut()?.try_wait().ok()??;
        Some(status.to_string())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.stop.now();
    }
}

impl Gateway {
    /// Starts this very executable and waits until it serves the model.
    ///
    /// # Errors
    /// What the child says against it.
    pub(super) fn start(choice: &Choice<'_>, sources: &Sources, stop: &Stop) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("sidegate cannot be started: {error}");
        let mut command = Command::new(std::env::current_exe().map_err(failed)?);
        command.arg("serve").arg(&choice.model.path).args([
            "--http",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
        ]);
        command.args(["--engine", choice.engine, "--workers", &choice.workers.to_string()]);
        // What is tried is sidegate as it comes: no token, socket or limit of a server that runs beside it.
        command.args(["--config", "/dev/null"]);
        for (name, _) in
            sources.env.iter().filter(|(name, _)| name.to_ascii_uppercase().starts_with("SIDEGATE_"))
        {
            command.env_remove(name);
        }
        command.env("SIDEGATE_LOG__LEVEL", "warn");
        if let Some(library) = choice.onnxruntime {
            command.env("SIDEGATE_ENGINE__ONNXRUNTIME", library);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let Started { pid, stdout, stderr } = stop.start(&mut command).map_err(failed)?;
        let log = Arc::new(Mutex::new(Vec::new()));
        let lines = stdout.map(lines);
        if let Some(stderr) = stderr {
            keep(stderr, log.clone());
        }
        // From here on it is stopped whatever happens.
        let path = format!("/v2/models/{}/infer", choice.model.name());
        let mut gateway = Self { http: SocketAddr::from(([127, 0, 0, 1], 0)), pid, path, stop: stop.clone() };
        let served = lines
            .ok_or_else(|| "its output cannot be read".to_owned())
            .and_then(|lines| gateway.await_model(&lines));
        served.map_err(|error| {
            let log = log.lock().map(|log| String::from_utf8_lossy(&log).into_owned()).unwrap_or_default();
            format!("sidegate does not serve this model: {error}\n{log}").trim_end().to_owned()
        })?;
        Ok(gateway)
    }

    fn await_model(&mut self, lines: &mpsc::Receiver<String>) -> Result<(), String> {
        let deadline = Instant::now() + START;
        let line = loop {
            match lines.recv_timeout(Duration::from_millis(50)) {
                Ok(line) if line.starts_with("listening ") => break line,
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    return Err(self.stop.ended().unwrap_or_else(|| "it has ended".into()));
                }
                _ if Instant::now() > deadline => {
                    return Err(format!("not listening within {} s", START.as_secs()));
                }
                _ => {}
            }
        };
        let address = |name: &str| {
            let field = line.split(' ').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
            field.and_then(|field| field.parse().ok()).ok_or_else(|| format!("no address in `{line}`"))
        };
        self.http = address("http")?;
        let address: SocketAddr = address("admin")?;
        let admin =
            Peer { address, host: "localhost".into(), headers: String::new(), patience: LOOK, secure: None };
        while Instant::now() < deadline {
            let answer = admin.ask("GET", "/models", b"")?;
            match state(&answer.body) {
                Some(Ok(())) => return Ok(()),
                Some(Err(reason)) => return Err(reason),
                None => std::thread::sleep(Duration::from_millis(10)),
            }
        }
        Err(format!("it is not loaded within {} s", START.as_secs()))
    }
}

/// Whether the only version of the only model serves, or why not; `None` while it loads.
fn state(models: &[u8]) -> Option<Result<(), String>> {
    let models = Json::read(&mut Reader::new(models)).ok()?;
    let Json::Array(models) = &models else { return None };
    let Json::Array(versions) = models.first()?.get("versions")? else { return None };
    let version = versions.first()?;
    match version.get("state")?.as_str()? {
        "serving" => Some(Ok(())),
        "failed" | "quarantined" => {
            let detail = version.get("reason").and_then(|reason| reason.get("detail")).and_then(Json::as_str);
            Some(Err(detail.unwrap_or("it was refused").to_owned()))
        }
        _ => None,
    }
}

/// Its lines of standard output, read to the end so that it never waits for a reader.
fn lines(stream: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    let read = move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            drop(sender.send(line));
        }
    };
    // Without the thread the channel is closed, which whoever waits for a line sees.
    drop(std::thread::Builder::new().name("gateway-output".into()).spawn(read));
    receiver
}

/// Keeps the last of its log.
fn keep(mut stream: impl Read + Send + 'static, log: Arc<Mutex<Vec<u8>>>) {
    let read = move || {
        let mut chunk = [0; 1024];
        while let Ok(length @ 1..) = stream.read(&mut chunk) {
            let Ok(mut log) = log.lock() else { return };
            log.extend_from_slice(&chunk[..length]);
            let surplus = log.len().saturating_sub(LOG_BYTES);
            log.drain(..surplus);
        }
    };
    drop(std::thread::Builder::new().name("gateway-log".into()).spawn(read));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_of_the_model_is_read() {
        let models = |state: &str, reason: &str| {
            format!(r#"[{{"name":"m","versions":[{{"version":1,"state":"{state}","reason":{reason}}}]}}]"#)
        };
        assert_eq!(state(b"[]"), None);
        assert_eq!(state(models("loading", "null").as_bytes()), None);
        assert_eq!(state(models("serving", "null").as_bytes()), Some(Ok(())));
        let reason = r#"{"code":"parse","detail":"no graph"}"#;
        assert_eq!(state(models("failed", reason).as_bytes()), Some(Err("no graph".into())));
    }
}
