//! A training as MLflow keeps it: a run of an experiment with its parameters, metrics, data and artifacts, and a version
//! of a registered model.
//!
//! The truth is the record in the registry. What cannot be told to MLflow is said and left: no trouble here fails a
//! training, and all of it together takes no longer than `tracking.timeout_ms`.

mod artifacts;
mod client;
mod registered;
mod run;
mod settings;
mod values;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use sidegate::model::Stage;

use crate::table::Round;
use client::Client;

pub(crate) use settings::{Tracking, TrackingArgs};

/// A training, as far as it is tracked.
#[derive(Clone, Debug)]
pub(crate) struct RunView<'a> {
    /// Its name, which tells it from all others: what is told twice of it becomes one run.
    pub(crate) name: &'a str,
    /// How far it is.
    pub(crate) status: Status,
    /// Why it did not succeed.
    pub(crate) reason: Option<&'a str>,
    /// When it began, milliseconds since 1970.
    pub(crate) started: i64,
    /// When it ended.
    pub(crate) ended: Option<i64>,
    /// Who ran it.
    pub(crate) user: Option<&'a str>,
    /// The revision of the code.
    pub(crate) commit: Option<&'a str>,
    /// What else people look for: learner, digest of the configuration.
    pub(crate) tags: BTreeMap<&'a str, String>,
    /// By the learner's own names; tables become names with dots.
    pub(crate) params: &'a serde_json::Value,
    /// Of the end.
    pub(crate) metrics: &'a BTreeMap<String, f64>,
    /// Of every round.
    pub(crate) rounds: &'a [Round],
    /// What it learned from.
    pub(crate) dataset: Option<Dataset<'a>>,
    /// The folder that holds `model.onnx`, `report.html` and what is beside them.
    pub(crate) folder: &'a Path,
    /// The model.
    pub(crate) model: &'a str,
    /// What was registered; none where nothing was.
    pub(crate) version: Option<VersionView<'a>>,
}

/// How far a training is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// It goes on.
    Running,
    /// It succeeded.
    Finished,
    /// It did not.
    Failed,
}

/// What a training learned from.
#[derive(Clone, Debug)]
pub(crate) struct Dataset<'a> {
    /// What it is called.
    pub(crate) name: &'a str,
    /// Its digest, as ours are written: `sha256:…`.
    pub(crate) digest: &'a str,
    /// Where it is.
    pub(crate) source: &'a str,
    /// Rows.
    pub(crate) rows: u64,
}

/// A version that was registered.
#[derive(Clone, Debug)]
pub(crate) struct VersionView<'a> {
    /// Its number in our registry. MLflow counts by itself.
    pub(crate) number: u64,
    /// Its folder in our registry as a URL, where others reach it: `s3://bucket/prefix/model/7`. Of a folder on this
    /// machine there is none, and MLflow's own artifacts stand for it.
    pub(crate) source: Option<&'a str>,
    /// Digest of its manifest.
    pub(crate) digest: &'a str,
    /// Where it stands.
    pub(crate) stage: Stage,
    /// An alias of its own.
    pub(crate) alias: Option<&'a str>,
}

/// Tells MLflow of a training; `say` is told what came of it.
pub(crate) fn track(settings: &Tracking, run: &RunView<'_>, say: &mut dyn FnMut(&str)) {
    let total = settings.timeout();
    // The end of a run is worth more than its last artifact.
    let (work, end) = (total.mul_f64(0.9), Instant::now() + total);
    let server = match settings.server(&crate::environment::variable) {
        Ok(server) => server,
        Err(words) => return say(&format!("not tracked: {words}")),
    };
    let at = server.url().to_string();
    let mut client = Client::new(server, end - (total - work), say);
    let Some(id) = run::begin(&mut client, settings.experiment(run.model), run) else {
        return client
            .say(&format!("not tracked at {at}; the record of {} in the registry is whole", run.name));
    };
    run::log(&mut client, &id, run);
    let artifacts = artifacts::Target::of(&id.artifact_uri);
    let there = artifacts::model(&mut client, artifacts.as_ref(), run);
    let version = registered::register(&mut client, settings.stages(), &id, run, there);
    artifacts::rest(&mut client, artifacts.as_ref(), run);
    client.until(end.max(Instant::now() + Duration::from_millis(1)));
    run::end(&mut client, &id.run_id, run);
    let version = version.map(|version| format!(", version {version} of {}", run.model)).unwrap_or_default();
    let whole = if client.failures() == 0 { "" } else { "; what is missing there is in the registry" };
    client.say(&format!("run {} at {at}{version}{whole}", id.run_id));
}
