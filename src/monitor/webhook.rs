//! Tells a webhook what changes, alerts and decisions, as CloudEvents: from a thread that may wait.

mod post;

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::config::{Config, WebhookUrl, read_tokens};
use crate::drift::Change;
use crate::metrics::{Metrics, WebhookCounts};
use crate::model::{ModelName, Version};

/// Events that wait; more are dropped, which is counted.
const QUEUE: usize = 64;
/// Statuses with which it was taken.
const TAKEN: RangeInclusive<u16> = 200..=299;

/// How long and how often an event is tried.
const PATIENCE: Patience = Patience {
    attempt: Duration::from_secs(5),
    first: Duration::from_millis(500),
    most: Duration::from_secs(30),
    // An alert that is this old is better looked up.
    all: Duration::from_secs(300),
};

/// The way to the webhook; without one nobody is told.
#[derive(Clone, Default)]
pub(super) struct Webhook(Option<Way>);

#[derive(Clone)]
struct Way {
    events: SyncSender<Event>,
    /// Who tells.
    source: String,
    counts: WebhookCounts,
}

/// What is told; the same bytes however often it is tried.
struct Event {
    what: &'static str,
    body: Vec<u8>,
    at: Instant,
}

#[derive(Clone, Copy)]
struct Patience {
    /// Longest that an attempt takes.
    attempt: Duration,
    /// Before the second attempt; doubled after each.
    first: Duration,
    most: Duration,
    /// After this there is no further one.
    all: Duration,
}

/// Who is told.
struct Told {
    url: WebhookUrl,
    token_file: Option<PathBuf>,
    counts: WebhookCounts,
    patience: Patience,
}

// === impl Webhook ===

impl Webhook {
    /// Starts its thread, where one is configured; that ends, after what waits, when this is dropped.
    pub(super) fn start(
        config: &Config,
        metrics: &Metrics,
    ) -> std::io::Result<(Self, Option<JoinHandle<()>>)> {
        let Some(url) = config.monitor.webhook_url.clone() else { return Ok((Self(None), None)) };
        let token_file = config.monitor.webhook_token_file.clone();
        let told = Told { url, token_file, counts: metrics.webhook.clone(), patience: PATIENCE };
        let (webhook, thread) = told.start(&config.registry.pod)?;
        Ok((webhook, Some(thread)))
    }

    /// Tells what became of an alert.
    pub(super) fn alert(&self, model: &ModelName, version: Version, change: &Change) {
        let (what, alert, lasted) = match change {
            Change::Raised(alert) => ("io.sidegate.drift.alert.raised", alert, None),
            Change::Cleared(alert, lasted) => ("io.sidegate.drift.alert.cleared", alert, Some(lasted)),
        };
        self.tell(what, || {
            let mut data = json!({"model": model.as_str(), "version": version.to_string()});
            for (name, value) in json!(alert).as_object().into_iter().flatten() {
                data[name] = value.clone();
            }
            if let Some(lasted) = lasted {
                data["lasted"] = (*lasted).into();
            }
            (format!("{model}/{version}/{}", alert.feature), data)
        });
    }

    /// Tells what was decided about an experiment.
    pub(super) fn decided(&self, experiment: &str, model: &ModelName, verb: &str, why: &str) {
        self.tell("io.sidegate.experiment.decided", || {
            let data = json!({"experiment": experiment, "model": model.as_str(), "verb": verb, "why": why});
            (experiment.to_owned(), data)
        });
    }

    fn tell(&self, what: &'static str, about: impl FnOnce() -> (String, Value)) {
        let Some(way) = &self.0 else { return };
        let (subject, data) = about();
        let event = json!({
            "specversion": "1.0",
            "id": format!("{:032x}", rand::random::<u128>()),
            "source": way.source,
            "type": what,
            "subject": subject,
            "time": OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default(),
            "datacontenttype": "application/json",
            "data": data,
        });
        let event = Event { what, body: event.to_string().into_bytes(), at: Instant::now() };
        if way.events.try_send(event).is_err() {
            way.counts.dropped.inc();
            tracing::warn!(event = what, "an event for the webhook is dropped: too many wait");
        }
    }
}

/// A URI's path of who tells, of the name that this process goes by.
fn source(pod: &str) -> String {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"-._~".contains(b);
    let part: String = pod
        .bytes()
        .map(|b| if plain(&b) { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect();
    format!("/sidegate/{part}")
}

// === impl Told ===

impl Told {
    fn start(self, pod: &str) -> std::io::Result<(Webhook, JoinHandle<()>)> {
        let (events, incoming) = sync_channel(QUEUE);
        let way = Way { events, source: source(pod), counts: self.counts.clone() };
        let thread = std::thread::Builder::new().name("webhook".into()).spawn(move || self.run(&incoming))?;
        Ok((Webhook(Some(way)), thread))
    }

    fn run(&self, events: &Receiver<Event>) {
        for event in events {
            match self.deliver(&event) {
                Ok(status) if TAKEN.contains(&status) => self.counts.delivered.inc(),
                Ok(status) => {
                    self.counts.refused.inc();
                    tracing::warn!(event = event.what, status, "the webhook refused an event");
                }
                Err(error) => {
                    self.counts.failed.inc();
                    tracing::warn!(event = event.what, %error, "the webhook did not take an event in time");
                }
            }
        }
    }

    /// The status that ended it, or what was wrong last.
    fn deliver(&self, event: &Event) -> Result<u16, String> {
        let Patience { attempt, first, most, all } = self.patience;
        let mut pause = first;
        loop {
            let error = match self.attempt(event, attempt) {
                Ok(status) if !may_pass(status) => return Ok(status),
                Ok(status) => format!("it answered {status}"),
                Err(error) => error,
            };
            // Sidecars that saw the same come back at different times.
            let pause_now = pause.mul_f64(rand::random_range(0.5..1.0));
            if event.at.elapsed() + pause_now > all {
                return Err(error);
            }
            tracing::debug!(event = event.what, %error, "the webhook is tried again");
            std::thread::sleep(pause_now);
            pause = (pause * 2).min(most);
        }
    }

    fn attempt(&self, event: &Event, limit: Duration) -> Result<u16, String> {
        // Tokens are changed while a process runs.
        let tokens = self.token_file.as_deref().map(read_tokens).transpose().map_err(|e| e.to_string())?;
        let token = tokens.and_then(|tokens| tokens.into_iter().next());
        post::post(&self.url, token.as_deref(), &event.body, limit)
    }
}

/// Whether another attempt may fare better.
fn may_pass(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500..=599)
}

#[cfg(test)]
mod tests;
