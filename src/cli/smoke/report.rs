//! What came of every question: a table for people, JSON for programs.

use std::time::Duration;

use serde::Serialize;

use crate::cli::table;

/// How a question went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    Passed,
    Failed,
    /// The server does not offer it, as its configuration says.
    Off,
}

/// One endpoint.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Check {
    pub(super) endpoint: String,
    pub(super) verdict: Verdict,
    /// Of the answer; none where there was none.
    pub(super) status: Option<u16>,
    /// Median of the requests, in milliseconds.
    pub(super) ms: Option<f64>,
    /// What came, in words.
    pub(super) says: String,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) url: String,
    pub(super) checks: Vec<Check>,
    pub(super) notes: Vec<String>,
}

// === impl Report ===

impl Report {
    pub(super) fn passed(&self) -> bool {
        self.count(Verdict::Failed) == 0
    }

    fn count(&self, verdict: Verdict) -> usize {
        self.checks.iter().filter(|check| check.verdict == verdict).count()
    }

    pub(super) fn json(&self) -> String {
        let Self { url, checks, notes } = self;
        let passed = self.passed();
        format!("{:#}\n", serde_json::json!({"url": url, "passed": passed, "checks": checks, "notes": notes}))
    }

    pub(super) fn text(&self) -> String {
        let cell = |text: &str| table::cell(&text.into());
        let row = |check: &Check| {
            let mark = match check.verdict {
                Verdict::Passed => "ok",
                Verdict::Failed => "FAIL",
                Verdict::Off => "off",
            };
            vec![
                mark.to_owned(),
                cell(&check.endpoint),
                check.status.map_or("-".into(), |status| status.to_string()),
                check.ms.map_or("-".into(), |ms| format!("{ms:.2}")),
                cell(&check.says),
            ]
        };
        let rows: Vec<Vec<String>> = self.checks.iter().map(row).collect();
        let mut text =
            table::render(&["", "endpoint", "status", "ms", "what came"], &["status", "ms"], &rows);
        for note in &self.notes {
            text += &format!("note: {}\n", cell(note));
        }
        let off = match self.count(Verdict::Off) {
            0 => String::new(),
            off => format!(", {off} off"),
        };
        let (ok, failed) = (self.count(Verdict::Passed), self.count(Verdict::Failed));
        text + &format!("{}: {ok} ok, {failed} failed{off}\n", self.url)
    }
}

/// The median, in milliseconds; none of nothing.
pub(super) fn median(mut took: Vec<Duration>) -> Option<f64> {
    took.sort_unstable();
    Some(took.get(took.len() / 2)?.as_secs_f64() * 1e3)
}
