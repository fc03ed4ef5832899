//! From endpoint to endpoint.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::examples::{Example, Examples, Golden};
use super::report::{Check, Report, Verdict, median};
use crate::cli::admin_client::Client;
use crate::cli::answer::Answer;
use crate::cli::peer::compare::{Answers, Judge};
use crate::cli::peer::connection::{Connection, Peer};
use crate::cli::peer::described::Description;
use crate::cli::peer::reply::{self, excerpt};
use crate::cli::peer::wire::Form;
use crate::model::{ModelName, Signature, Version};

/// Whether it takes traffic.
pub(super) const READY: &str = "/v2/health/ready";

const JSON: &str = "application/json";

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

/// What it says of a model, by its name or by name and version: the part before and the one behind.
const MODEL: [(&str, &str); 4] =
    [("/v2/models/", ""), ("/v2/models/", "/ready"), ("/v2/models/", "/config"), ("/v2/models/", "/stats")];

/// Wrong on purpose: method, path, body, and the status that is right.
const REFUSALS: [(&str, &str, &[u8], u16); 3] = [
    ("GET", "/nowhere", b"", 404),
    ("GET", "/predict", b"", 405),
    ("POST", "/v2/models/no-such-model/infer", b"{\"inputs\":[]}", 404),
];

/// Of the admin port; an ops port has the first four.
const ADMIN: [&str; 6] = ["/livez", "/readyz", "/startupz", "/metrics", "/models", "/status"];

/// Asks, and keeps what came of it.
pub(super) struct Walk<'a> {
    peer: &'a Peer,
    connection: Connection<'a>,
    pub(super) report: Report,
}

/// One way to ask for predictions.
struct Way {
    endpoint: String,
    /// Behind the endpoint in the report, where that has two.
    remark: &'static str,
    request: fn(&Peer, &str, &Example) -> Vec<u8>,
}

// === impl Walk ===

impl<'a> Walk<'a> {
    /// # Errors
    /// When nobody is there.
    pub(super) fn new(peer: &'a Peer) -> Result<Self, String> {
        let report = Report { url: peer.origin(), ..Report::default() };
        Ok(Self { peer, connection: Connection::open(peer)?, report })
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
            self.report.notes.push("it serves no model".into());
        }
        for model in models {
            self.model(model, &golden);
        }
    }

    fn model(&mut self, model: &ModelName, golden: &Result<Golden, String>) {
        let mut metadata = None;
        for (before, behind) in MODEL {
            let answer = self.plain("GET", &format!("{before}{model}{behind}"), b"", 200);
            metadata = metadata.or(answer);
        }
        self.plain("GET", &format!("/model/info?model={model}"), b"", 200);
        // Without it there is nothing to ask, and it is told above that it is missing.
        let Some(metadata) = metadata else { return };
        let metadata: Value = serde_json::from_slice(&metadata).unwrap_or_default();
        let versions = metadata["versions"].as_array().into_iter().flatten();
        for version in versions.filter_map(|version| version.as_str()?.parse::<Version>().ok()) {
            self.version(model, version, golden);
        }
        self.plain("POST", &format!("/v2/models/{model}/infer"), b"{", 400);
    }

    fn version(&mut self, model: &ModelName, version: Version, golden: &Result<Golden, String>) {
        let path = format!("/v2/models/{model}/versions/{version}");
        let Some(metadata) = self.plain("GET", &path, b"", 200) else { return };
        let description = Description::of(&serde_json::from_slice(&metadata).unwrap_or_default());
        let signature = description.signature();
        let examples = signature
            .and_then(|signature| Ok((Examples::of(golden, model, version, &signature)?, signature)));
        let (examples, signature) = match examples {
            Ok(found) => found,
            Err(error) => {
                self.report.notes.push(format!("{model}@{version} was not asked for predictions: {error}"));
                return;
            }
        };
        if let Some(remark) = &examples.remark {
            self.report.notes.push(format!("{model}@{version} was asked zeros: {remark}"));
        }
        for way in ways(model, version) {
            self.predictions(&way, &examples, &signature);
        }
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
        let endpoint = "POST /actuals";
        let (answer, took) = self.ask("POST", "/actuals", b"{}");
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
        self.keep(endpoint.into(), verdict, answer.ok().map(|answer| answer.status), took, says);
    }

    /// The admin port, or an ops port.
    pub(super) fn admin(&mut self, admin: &Client) {
        for path in ADMIN {
            let start = Instant::now();
            let answer = admin.get(path);
            let took = start.elapsed();
            let (status, verdict, says) = match answer {
                Ok(answer) if answer.status == 200 => {
                    (Some(200), Verdict::Passed, summary(path, &answer.body))
                }
                Ok(answer) if answer.status == 404 => {
                    (Some(404), Verdict::Off, "not at this port, which is one for probes and metrics".into())
                }
                Ok(answer) => (Some(answer.status), Verdict::Failed, excerpt(&answer.body)),
                Err(failure) => (None, Verdict::Failed, failure.to_string()),
            };
            self.keep(format!("GET {path} (admin)"), verdict, status, took, says);
        }
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

/// Every way to ask a version. Its number is named each time, for an experiment may send what names none elsewhere.
fn ways(model: &ModelName, version: Version) -> [Way; 4] {
    let infer = format!("/v2/models/{model}/versions/{version}/infer");
    let query = format!("?model={model}%40{version}");
    [
        Way {
            endpoint: infer.clone(),
            remark: "",
            request: |peer, path, example| peer.request("POST", path, JSON, &example.json),
        },
        Way {
            endpoint: infer,
            remark: " (binary)",
            request: |peer, path, example| {
                let length = example.json_length;
                let headers = format!(
                    "content-type: application/octet-stream\r\ninference-header-content-length: {length}\r\n"
                );
                peer.request_with("POST", path, &headers, &example.binary)
            },
        },
        Way {
            endpoint: format!("/predict{query}"),
            remark: "",
            request: |peer, path, example| rows(peer, path, example, &["records", "rows"]),
        },
        Way {
            endpoint: format!("/invocations{query}"),
            remark: "",
            request: |peer, path, example| rows(peer, path, example, &["split", "inputs"]),
        },
    ]
}

/// The first of these forms that the rows can take.
fn rows(peer: &Peer, path: &str, example: &Example, forms: &[&str]) -> Vec<u8> {
    let (all, count) = (&example.rows, example.rows.len());
    let form = Form::all(forms, all, count);
    let body = form.first().map(|form| form.body(all, &(0..count))).unwrap_or_default();
    peer.request("POST", path, JSON, &body)
}

/// Whether an answer is what the example says; of zeros, whether every output is there.
pub(super) fn judge(
    answer: Result<Answer, String>,
    example: &Example,
    tolerance: f64,
    signature: &Signature,
) -> Result<(), String> {
    let answer = answer?;
    if answer.status != 200 {
        return Err(excerpt(&answer.body));
    }
    let theirs = reply::read(&answer.body)?;
    let Some(expected) = &example.expected else {
        let missing =
            signature.outputs.iter().find(|spec| !theirs.iter().any(|output| output.name == *spec.name));
        return missing.map_or(Ok(()), |spec| Err(format!("output `{}` is missing", spec.name)));
    };
    let answers = [Answers { request: 0, rows: example.rows.len(), ours: expected.clone(), theirs }];
    let mut judge = Judge::new(&answers, tolerance).ok_or("nothing in it is what the example expects")?;
    judge.take(&answers[0]);
    if let Some(missing) = judge.found.not_compared.first() {
        return Err(format!("output `{missing}` is missing"));
    }
    judge.found.first.map_or(Ok(()), |first| {
        Err(format!("row {}: `{}` is {}, expected {}", first.row, first.output, first.theirs, first.ours))
    })
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
