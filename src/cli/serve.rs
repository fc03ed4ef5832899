//! `sidegate serve`: start, announce, follow the configuration, run until a signal.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use serde_json::json;

use super::ServeArgs;
use super::start::{Prepared, prepare};
use crate::config::{self, Config, Sources, read_tokens};
use crate::experiment::{self, Experiment};
use crate::gateway::{self, Gateway, Reloads, Settings};
use crate::model::{Selector, Signature, TensorSpec};
use crate::serving::ServedVersion;
use crate::serving::loader::Command;
use crate::serving::status::Status;
use crate::telemetry::LevelHandle;
use crate::tensor::Datatype;

/// How long the models of the first look may take before the announcement stops waiting for them.
const ANNOUNCE: Duration = Duration::from_secs(60);

/// The loader comes back by itself, and has a back-off of its own.
const ATTEMPTS: u32 = 1;

/// Runs the gateway.
pub fn run(args: &ServeArgs) -> ExitCode {
    let sources = args.sources();
    let Prepared { config, log, registry, cache, stores } = match prepare(&sources, ATTEMPTS) {
        Ok(prepared) => prepared,
        Err(failure) => return failure.exit(),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return super::runtime_error(&error),
    };
    let mut follower = Follower::new(sources, &config, log);
    let result = runtime.block_on(gateway::run(config, registry, cache, stores, announce, |gateway, now| {
        follower.look(gateway, now)
    }));
    // A thread stuck in an engine must not keep the process.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => super::runtime_error(&error),
    }
}

/// Prints where it listens at once, and a line per model and a command to try when the first look is over.
fn announce(addresses: &gateway::Addresses, gateway: &Gateway) {
    print(&addresses.line());
    let (serving, http) = (gateway.serving.clone(), addresses.http);
    crate::task::spawn("announcement", async move {
        let start = Instant::now();
        while !serving.status.load().first_look_is_over() && start.elapsed() < ANNOUNCE {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let snapshot = serving.snapshot.load_full();
        let mut models: Vec<_> = snapshot.models.values().filter_map(|m| m.default.as_ref()).collect();
        models.sort_by(|a, b| a.model.cmp(&b.model));
        for version in &models {
            print(&format!(
                "model {} version={} engine={} load_ms={:.1}",
                version.model,
                version.version,
                version.engine.name(),
                version.load_time.as_secs_f64() * 1e3
            ));
        }
        if let Some(version) = models.first() {
            print(&format!("try: {}", curl(http, version)));
        }
    });
}

/// A request that can be pasted.
fn curl(http: std::net::SocketAddr, version: &ServedVersion) -> String {
    let inputs = zeros(&version.signature);
    format!(
        "curl -s -H 'content-type: application/json' http://{http}/v2/models/{}/infer -d {}",
        version.model,
        quoted(&json!({"inputs": inputs}).to_string())
    )
}

/// Inputs of a request: zeros and empty strings in the right shapes, one row where the model takes any number.
pub(super) fn zeros(signature: &Signature) -> serde_json::Value {
    let input = |spec: &TensorSpec| {
        let shape: Vec<i64> = spec.shape.iter().map(|d| if *d < 0 { 1 } else { *d }).collect();
        let count = shape.iter().fold(1_i64, |n, &extent| n.saturating_mul(extent)).clamp(0, 4096) as usize;
        let value = match spec.datatype {
            Datatype::Bytes => json!(""),
            Datatype::Bool => json!(false),
            _ => json!(0),
        };
        json!({"name": &*spec.name, "shape": shape, "datatype": spec.datatype.name(), "data": vec![value; count]})
    };
    signature.inputs.iter().map(input).collect()
}

/// `text` as one word of a shell: names of inputs come from the model file and must not end it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// Standard output may be closed by whoever waited for the first line; that is no reason to end.
fn print(line: &str) {
    let mut out = std::io::stdout().lock();
    drop(writeln!(out, "{line}").and_then(|()| out.flush()));
}

/// Watches the configuration file and the token file, and takes over what changed.
struct Follower {
    sources: Sources,
    /// The configuration this process started with: what waits for a restart is what differs from it.
    started_with: Config,
    log: LevelHandle,
    seen: [Option<SystemTime>; 2],
    first: bool,
}

impl Follower {
    fn new(sources: Sources, config: &Config, log: LevelHandle) -> Self {
        let mut follower = Self { sources, started_with: config.clone(), log, seen: [None; 2], first: true };
        follower.seen = follower.modified(config);
        follower
    }

    /// When the two files were last written.
    fn modified(&self, config: &Config) -> [Option<SystemTime>; 2] {
        let modified = |path: &Path| std::fs::metadata(path).ok()?.modified().ok();
        [modified(&self.sources.config_file()), config.auth.token_file.as_deref().and_then(modified)]
    }

    /// Looks for changes; `now` asks for a reload even without one.
    fn look(&mut self, gateway: &Gateway, now: bool) {
        if std::mem::replace(&mut self.first, false) {
            let file = Some(self.sources.config_file()).filter(|file| file.exists());
            let file = file.map(|file| file.display().to_string());
            gateway.reloads.store(Arc::new(Reloads { file, ..Reloads::default() }));
        }
        let modified = self.modified(&gateway.config.load());
        if std::mem::replace(&mut self.seen, modified) != modified || now {
            self.reload(gateway);
        }
    }

    /// A bad file changes nothing and says everything that is wrong with it.
    fn reload(&self, gateway: &Gateway) {
        let mut reloads = (**gateway.reloads.load()).clone();
        let loaded = config::load(&self.sources).map_err(|problems| problems.to_string());
        let result = loaded.and_then(|new| {
            unknown(&gateway.config.load().experiments, &new.experiments, &gateway.serving.status.load())?;
            let tokens =
                new.auth.token_file.as_deref().map(read_tokens).transpose().map_err(|e| e.to_string())?;
            Ok((new, tokens))
        });
        match result {
            Ok((new, tokens)) => {
                let changed: Vec<String> = config::changes(&gateway.config.load(), &new)
                    .into_iter()
                    .map(|change| change.key)
                    .collect();
                let waiting =
                    config::changes(&self.started_with, &new).into_iter().filter(|change| change.restart);
                reloads.pending_restart = waiting.map(|change| change.key).collect();
                reloads.count += 1;
                reloads.last_error = None;
                let log = new.log.clone();
                // It holds before anything says so; the log's own level comes last, for the line before it.
                gateway.settings.store(Arc::new(Settings::new(&new, tokens)));
                for text in experiment::moved(&gateway.config.load().experiments, &new.experiments) {
                    tracing::warn!("{text}");
                }
                gateway.config.store(Arc::new(new));
                // The loader ends with the process, which reloads nothing any more.
                drop(gateway.loader.send(Command::Reconfigured));
                gateway.metrics.config_reloads.with_label_values(&["ok"]).inc();
                tracing::info!(?changed, restart = ?reloads.pending_restart, "configuration reloaded");
                self.log.set(&log);
            }
            Err(problems) => {
                gateway.metrics.config_reloads.with_label_values(&["error"]).inc();
                tracing::error!(%problems, "the configuration is wrong and changes nothing");
                reloads.last_error = Some(problems);
            }
        }
        gateway.reloads.store(Arc::new(reloads));
    }
}

/// What experiments that are new or changed name and the registry does not have, as far as it is known; those that are on
/// go on.
fn unknown(before: &[Experiment], after: &[Experiment], status: &Status) -> Result<(), String> {
    let models = &status.models;
    let mut problems = Vec::new();
    if status.registry_seen.is_none() {
        return Ok(());
    }
    for experiment in after.iter().filter(|experiment| !before.contains(experiment)) {
        let (name, model) = (&experiment.name, &experiment.model);
        let Some(known) = models.iter().find(|known| known.name == model.as_str()) else {
            problems.push(format!("experiments.{name}.model: the registry has no model `{model}`"));
            continue;
        };
        for (key, of, selector) in experiment.serves() {
            if let Selector::Version(version) = selector
                && known.versions.iter().all(|listed| listed.version != version.to_string())
            {
                problems.push(format!(
                    "experiments.{name}.{key}: `{of}` serves version {version}, which model `{model}` does not have"
                ));
            }
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_text_is_one_word_of_a_shell() {
        for text in ["{}", "a'b", "'; touch /tmp/x; '", "''", "$(id) `id` \\ \"", "a\nb"] {
            let script = format!("printf %s {}", quoted(text));
            let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), text);
        }
    }
}
