//! What is counted, and the JSON that says so.
//!
//! Latencies are those of requests whose start (in open loop the scheduled one) lies in the measured window,
//! however late they end; the rate counts the good answers that arrived inside it. Answers of 503 are the
//! server's refusal under load: counted apart, with their own latency, neither good nor an error.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::BoxError;
use crate::connection::Failure;
use crate::response::Head;
use crate::schedule::Nanos;

const SHED: u16 = 503;
/// Latencies up to this are told apart (0.1 % steps); longer ones count as this.
const LONGEST: Nanos = 600_000_000_000;

pub(crate) struct Tally {
    expect_status: u16,
    opened: Option<Nanos>,
    closed: Option<Nanos>,
    latency: Histogram<u64>,
    shed: Histogram<u64>,
    statuses: BTreeMap<u16, u64>,
    connect: u64,
    timeout: u64,
    short: u64,
    malformed: u64,
    body: u64,
    reconnects: u64,
    /// Answers of any kind inside the window: what the server spent its processor time on.
    answered: u64,
    good_inside: u64,
    good_bytes: u64,
}

/// How the run was set up, repeated in its report.
pub(crate) struct Setting {
    pub(crate) connections: u32,
    pub(crate) rate: f64,
    pub(crate) keepalive: bool,
    pub(crate) unsent: u64,
}

// === impl Tally ===

impl Tally {
    pub(crate) fn new(expect_status: u16) -> Result<Self, BoxError> {
        Ok(Self {
            expect_status,
            opened: None,
            closed: None,
            latency: Histogram::new_with_bounds(1, LONGEST, 3)?,
            shed: Histogram::new_with_bounds(1, LONGEST, 3)?,
            statuses: BTreeMap::new(),
            connect: 0,
            timeout: 0,
            short: 0,
            malformed: 0,
            body: 0,
            reconnects: 0,
            answered: 0,
            good_inside: 0,
            good_bytes: 0,
        })
    }

    pub(crate) fn open(&mut self, now: Nanos) {
        self.opened = Some(now);
    }

    pub(crate) fn close(&mut self, now: Nanos) {
        self.closed = Some(now);
    }

    pub(crate) fn answered(&self) -> u64 {
        self.answered
    }

    pub(crate) fn answer(&mut self, started: Nanos, now: Nanos, head: &Head, body_holds: bool) {
        let inside = self.opened.is_some() && self.closed.is_none();
        let good = head.status == self.expect_status && body_holds;
        if inside {
            self.answered += 1;
            self.good_inside += u64::from(good);
        }
        if !self.measures(started) {
            return;
        }
        let latency = now.saturating_sub(started);
        if good {
            self.latency.saturating_record(latency);
            self.good_bytes += head.body_len as u64;
        } else if head.status == self.expect_status {
            self.body += 1;
        } else if head.status == SHED {
            self.shed.saturating_record(latency);
        } else {
            *self.statuses.entry(head.status).or_default() += 1;
        }
    }

    pub(crate) fn failure(&mut self, started: Nanos, failure: Failure) {
        if self.measures(started) {
            *match failure {
                Failure::Connect => &mut self.connect,
                Failure::Timeout => &mut self.timeout,
                Failure::Short => &mut self.short,
                Failure::Malformed => &mut self.malformed,
            } += 1;
        }
    }

    /// A connection was closed by the server between requests, as it may.
    pub(crate) fn reconnect(&mut self) {
        self.reconnects += 1;
    }

    pub(crate) fn report(&self, setting: &Setting) -> Value {
        let seconds = self.closed.unwrap_or(0).saturating_sub(self.opened.unwrap_or(0)) as f64 / 1e9;
        let requests = self.latency.len();
        let by_status: u64 = self.statuses.values().sum();
        json!({
            "connections": setting.connections,
            "rate": setting.rate,
            "keepalive": setting.keepalive,
            "seconds": round(seconds, 1000.0),
            "requests": requests,
            "rps": round(self.good_inside as f64 / seconds.max(1e-9), 10.0),
            "mean_us": self.mean(),
            "p10_us": quantile(&self.latency, 0.10),
            "p50_us": quantile(&self.latency, 0.50),
            "p90_us": quantile(&self.latency, 0.90),
            "p99_us": quantile(&self.latency, 0.99),
            "p999_us": quantile(&self.latency, 0.999),
            "max_us": quantile(&self.latency, 1.0),
            "answer_bytes": (requests > 0).then(|| self.good_bytes / requests),
            "errors": {
                "total": self.connect + self.timeout + self.short + self.malformed + self.body + by_status,
                "connect": self.connect,
                "status": self.statuses,
                "timeout": self.timeout,
                "short": self.short,
                "malformed": self.malformed,
                "body": self.body,
            },
            "shed": {
                "count": self.shed.len(),
                "p50_us": quantile(&self.shed, 0.50),
                "p99_us": quantile(&self.shed, 0.99),
            },
            "unsent": setting.unsent,
            "reconnects": self.reconnects,
        })
    }

    fn measures(&self, started: Nanos) -> bool {
        self.opened.is_some_and(|opened| started >= opened)
            && self.closed.is_none_or(|closed| started < closed)
    }

    fn mean(&self) -> Option<f64> {
        (!self.latency.is_empty()).then(|| round(self.latency.mean() / 1e3, 10.0))
    }
}

/// In microseconds; null when nothing was recorded.
fn quantile(histogram: &Histogram<u64>, q: f64) -> Option<f64> {
    (!histogram.is_empty()).then(|| round(histogram.value_at_quantile(q) as f64 / 1e3, 10.0))
}

fn round(value: f64, steps: f64) -> f64 {
    (value * steps).round() / steps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(status: u16) -> Head {
        Head { status, head_len: 0, body_len: 7, close: false }
    }

    #[test]
    fn answers_are_counted_by_kind_and_window() -> Result<(), BoxError> {
        let mut tally = Tally::new(200)?;
        tally.answer(0, 10, &head(200), true); // warm-up
        tally.open(100);
        tally.answer(90, 110, &head(200), true); // began before, ended inside: rate only
        tally.answer(100, 5_100, &head(200), true);
        tally.answer(120, 300, &head(200), false);
        tally.answer(130, 300, &head(503), true);
        tally.answer(140, 300, &head(404), true);
        tally.failure(150, Failure::Short);
        tally.failure(99, Failure::Short); // belongs to the warm-up
        tally.close(1_000_000_100);
        tally.answer(200, 2_000_000_000, &head(200), true); // owed at the end: latency only
        let report = tally.report(&Setting { connections: 1, rate: 0.0, keepalive: true, unsent: 0 });
        assert_eq!(report["requests"], 2);
        assert_eq!(report["rps"], 2.0);
        assert_eq!(report["p50_us"], 5.0);
        assert_eq!(report["shed"]["count"], 1);
        assert_eq!(report["errors"]["total"], 3);
        assert_eq!(report["errors"]["body"], 1);
        assert_eq!(report["errors"]["status"]["404"], 1);
        assert_eq!(tally.answered(), 5);
        Ok(())
    }
}
