//! From endpoint to endpoint.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::examples::{Examples, Golden};
use super::report::{Check, Report, Verdict, median};
use super::ways::{JSON, Way, judge, ways};
use crate::cli::admin_client::Client;
use crate::cli::answer::Answer;
use crate::cli::peer::connection::{Connection, Peer};
use crate::cli::peer::described::Description;
use crate::cli::peer::reply::excerpt;
use crate::model::{ModelName, Signature, Version};

/// Whether it takes traffic.
pub(super) const READY: &str = "/v2/health/ready";

/// What every sidegate offers on its data port.
const SERVER: [(&str, &str); 7] = [
    ("GET", "/v2/health/live"),
    ("GET", READY),
    ("GET", "/v2"),
    ("GET", "/v2/models/stats"),
    ("POST", "/v2/repository/index"),
    ("GET", "/health"),
    ("GET", "/ping"),
];

/// What it says of a model, by its name or by name and version: what stands behind either. The metadata come first.
const TOLD: [&str; 4] = ["", "/ready", "/config", "/stats"];

/// Wrong on purpose: method, path, body, and the status that is right.
const REFUSALS: [(&str, &str, &[u8], u16); 3] = [
    ("GET", "/nowhere", b"", 404),
    ("GET", "/predict", b"", 405),
    ("POST", "/v2/models/no-such-model/infer", b"{\"inputs\":[]}", 404),
];

/// Of an admin port and of an ops port.
const PROBES: [&str; 4] = ["/livez", "/readyz", "/startupz", "/metrics"];

/// Of an admin port alone: what tells, and changes nothing. What is known of each model and experiment follows.
const ADMIN: [&str; 4] = ["/models", "/status", "/experiments", "/drift"];

/// Both take outcomes.
const OUTCOMES: [&str; 2] = ["/actuals", "/outcomes"];

/// Asks, and keeps what came of it.
pub(super) struct Walk<'a> {
    peer: &'a Peer,
    connection: Connection<'a>,
    /// Whether zeros in place of golden examples are a failure.
    require_golden: bool,
    /// Which models it has asked.
    asked: Vec<ModelName>,
    pub(super) report: Report,
}

// === impl Walk ===

impl<'a> Walk<'a> {
    /// # Errors
    /// When nobody is there.
    pub(super) fn new(peer: &'a Peer, require_golden: bool) -> Result<Self, String> {
        let report = Report { url: peer.origin(), ..Report::default() };
        let connection = Connection::open(peer)?;
        Ok(Self { peer, connection, require_golden, asked: Vec::new(), report })
    }

    /// What is there without any model.
    pub(super) fn server(&mut self) {
        for (method, path) in SERVER {
            self.plain(method, path, b"", 200);
        }
    }

    /// Every model, or those of these names.
    pub(super) fn models(&mut self, wanted: &[ModelName], golden: Result<Golden, String>) {
        let listed = self.plain("GET", "/v2/models", b"", 200).unwrap_or_default();
        let listed: Value = serde_json::from_slice(&listed).unwrap_or_default();
        let names = listed["models"].as_array().into_iter().flatten();
        let names: Vec<ModelName> = names.filter_map(|name| name.as_str()?.parse().ok()).collect();
        let models = if wanted.is_empty() { &names } else { wanted };
        if models.is_empty() {
            self.missing(
                "POST /v2/models/…/infer".into(),
                "it serves no model, so nothing was predicted".into(),
            );
        }
        for model in models {
            self.model(model, &golden);
        }
    }

    fn model(&mut self, model: &ModelName, golden: &Result<Golden, String>) {
        let metadata = self.told(&format!("/v2/models/{model}"));
        self.plain("GET", &format!("/model/info?model={model}"), b"", 200);
        // Without it there is nothing to ask, and it is told above that it is missing.
        let Some(metadata) = metadata else { return };
        self.asked.push(model.clone());
        let versions = metadata["versions"].as_array().into_iter().flatten();
        let versions = versions.filter_map(|version| version.as_str()?.parse::<Version>().ok());
        let versions: Vec<Version> = versions.collect();
        if versions.is_empty() {
            let says = "the model names no version, so nothing was predicted".to_owned();
            self.missing(format!("POST /v2/models/{model}/infer"), says);
        }
        for version in versions {
            self.version(model, version, golden);
        }
        self.plain("POST", &format!("/v2/models/{model}/infer"), b"{", 400);
    }

    fn version(&mut self, model: &ModelName, version: Version, golden: &Result<Golden, String>) {
        let path = format!("/v2/models/{model}/versions/{version}");
        let Some(metadata) = self.told(&path) else { return };
        let signature = Description::of(&metadata).signature();
        let examples = signature
            .and_then(|signature| Ok((Examples::of(golden, model, version, &signature)?, signature)));
        let (examples, signature) = match examples {
            Ok(found) => found,
            Err(error) => {
                self.missing(format!("POST {path}/infer"), format!("was not asked for predictions: {error}"));
                return;
            }
        };
        if let Some(remark) = examples.remark.as_ref().filter(|_| self.require_golden) {
            let says = format!("golden examples are required (--require-golden): {remark}");
            self.missing(format!("POST {path}/infer"), says);
        } else if let Some(remark) = &examples.remark {
            self.report.notes.push(format!("{model}@{version} was asked zeros: {remark}"));
        }
        for way in ways(model, version) {
            self.predictions(&way, &examples, &signature);
        }
    }

    /// All that is told of a model or of a version at a path; the metadata, where they came.
    fn told(&mut self, path: &str) -> Option<Value> {
        let answers = TOLD.map(|behind| self.plain("GET", &format!("{path}{behind}"), b"", 200));
        let [metadata, ..] = answers;
        Some(serde_json::from_slice(&metadata?).unwrap_or_default())
    }

    /// What was to be asked and could not be: that proves nothing, and so fails.
    fn missing(&mut self, endpoint: String, says: String) {
        self.keep(endpoint, Verdict::Failed, None, Duration::ZERO, says);
    }

    /// All examples in one way. One that fails ends it.
    fn predictions(&mut self, way: &Way, examples: &Examples, signature: &Signature) {
        let (mut took, mut status, mut wrong) = (Vec::new(), None, None);
        let mut rows = 0;
        for (number, example) in examples.list.iter().enumerate() {
            let request = (way.request)(self.peer, &way.endpoint, example);
            let start = Instant::now();
            let answer = self.connection.ask(&request);
            took.push(start.elapsed());
            rows += example.rows.len();
            status = answer.as_ref().ok().map(|answer| answer.status);
            if let Err(error) = judge(answer, example, examples.tolerance, signature) {
                wrong = Some(format!("example {number}: {error}"));
                break;
            }
        }
        let says = match (&wrong, &examples.remark) {
            (Some(wrong), _) => wrong.clone(),
            (None, Some(_)) => "answers zeros with every output".into(),
            (None, None) => {
                let (count, tolerance) = (examples.list.len(), examples.tolerance);
                format!("{count} golden examples, {rows} rows: equal within {tolerance:e}")
            }
        };
        let verdict = if wrong.is_some() { Verdict::Failed } else { Verdict::Passed };
        let endpoint = format!("POST {}{}", way.endpoint, way.remark);
        self.report.checks.push(Check { endpoint, verdict, status, ms: median(took), says });
    }

    /// What is wrong is refused, and in JSON.
    pub(super) fn refusals(&mut self) {
        for (method, path, body, status) in REFUSALS {
            self.plain(method, path, body, status);
        }
    }

    /// An outcome that says nothing: it is counted as invalid, and nothing is kept.
    pub(super) fn outcomes(&mut self) {
        for path in OUTCOMES {
            let (answer, took) = self.ask("POST", path, b"{}");
            let counted = |answer: &Answer| {
                let value: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
                value["counts"]["invalid"] == 1
            };
            let (verdict, says) = match &answer {
                Ok(answer) if answer.status == 202 && counted(answer) => {
                    (Verdict::Passed, "takes outcomes; an empty one was found invalid".to_owned())
                }
                Ok(answer) if answer.status == 404 => (Verdict::Off, excerpt(&answer.body)),
                Ok(answer) => (Verdict::Failed, excerpt(&answer.body)),
                Err(error) => (Verdict::Failed, error.clone()),
            };
            self.keep(format!("POST {path}"), verdict, answer.ok().map(|answer| answer.status), took, says);
        }
    }

    /// The admin port, or an ops port, which has no more than probes and metrics.
    pub(super) fn admin(&mut self, admin: &Client) {
        for path in PROBES {
            self.admin_tells(admin, path, false);
        }
        let [models, _, experiments, drift] = ADMIN.map(|path| self.admin_tells(admin, path, true));
        // What is missing from here on is missing at an admin port.
        let (Some(_), Some(experiments), Some(drift)) = (models, experiments, drift) else { return };
        for model in std::mem::take(&mut self.asked) {
            self.admin_tells(admin, &format!("/performance/{model}"), false);
        }
        for experiment in experiments.as_array().into_iter().flatten() {
            if let Some(name) = experiment["name"].as_str() {
                self.admin_tells(admin, &format!("/experiments/{name}"), false);
                self.admin_tells(admin, &format!("/experiments/{name}/explain?unit=smoke"), false);
            }
        }
        for watched in drift["versions"].as_array().into_iter().flatten() {
            if let (Some(model), Some(version)) = (watched["model"].as_str(), watched["version"].as_str()) {
                self.admin_tells(admin, &format!("/drift/{model}?version={version}"), false);
            }
        }
    }

    /// What it tells at a path. `may_lack`: whether that need not be there.
    fn admin_tells(&mut self, admin: &Client, path: &str, may_lack: bool) -> Option<Value> {
        let start = Instant::now();
        let answer = admin.get(path);
        let took = start.elapsed();
        let (status, verdict, says, told) = match answer {
            Ok(answer) if answer.status == 200 => {
                let told = serde_json::from_slice(&answer.body).ok();
                (Some(200), Verdict::Passed, summary(path, &answer.body), told)
            }
            Ok(answer) if answer.status == 404 && may_lack => {
                let says = "not at this port, which is one for probes and metrics".into();
                (Some(404), Verdict::Off, says, None)
            }
            Ok(answer) => (Some(answer.status), Verdict::Failed, excerpt(&answer.body), None),
            Err(failure) => (None, Verdict::Failed, failure.to_string(), None),
        };
        self.keep(format!("GET {path} (admin)"), verdict, status, took, says);
        told
    }

    /// One question with the status that is right; the body of a right answer.
    fn plain(&mut self, method: &str, path: &str, body: &[u8], right: u16) -> Option<Vec<u8>> {
        let (answer, took) = self.ask(method, path, body);
        let status = answer.as_ref().ok().map(|answer| answer.status);
        let found = answer.and_then(|answer| match answer.status == right {
            true if right == 200 || is_refusal(&answer.body) => Ok(answer.body),
            true => Err(format!("refused without `error` in JSON: {}", excerpt(&answer.body))),
            false if answer.status == 401 => {
                Err("it wants a token: --header \"authorization: Bearer TOKEN\"".into())
            }
            false => Err(format!("expected {right}: {}", excerpt(&answer.body))),
        });
        let (verdict, says) = match &found {
            Ok(body) => (Verdict::Passed, summary(path, body)),
            Err(error) => (Verdict::Failed, error.clone()),
        };
        self.keep(format!("{method} {path}"), verdict, status, took, says);
        found.ok()
    }

    fn ask(&mut self, method: &str, path: &str, body: &[u8]) -> (Result<Answer, String>, Duration) {
        let request = self.peer.request(method, path, JSON, body);
        let start = Instant::now();
        (self.connection.ask(&request), start.elapsed())
    }

    fn keep(
        &mut self,
        endpoint: String,
        verdict: Verdict,
        status: Option<u16>,
        took: Duration,
        says: String,
    ) {
        let ms = status.and_then(|_| median(vec![took]));
        self.report.checks.push(Check { endpoint, verdict, status, ms, says });
    }
}

/// Refusals say why.
fn is_refusal(body: &[u8]) -> bool {
    serde_json::from_slice::<Value>(body).is_ok_and(|value| value["error"].is_string())
}

/// What an answer says, as far as a line of a table takes it.
fn summary(path: &str, body: &[u8]) -> String {
    if path == "/metrics" {
        let lines = body.split(|byte| *byte == b'\n');
        let series = lines.filter(|line| !line.is_empty() && !line.starts_with(b"#")).count();
        return format!("{series} series");
    }
    let text = excerpt(body);
    let mut short: String = text.chars().take(SUMMARY).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

/// Characters of an answer that are shown.
const SUMMARY: usize = 60;
