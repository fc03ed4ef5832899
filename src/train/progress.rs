//! What people and logs hear of a training: bars on a terminal, a line of JSON each elsewhere.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use crate::table::Round;

/// Between two lines on the same thing.
const PAUSE: Duration = Duration::from_secs(2);

/// Who hears.
pub(crate) struct Progress {
    people: bool,
    started: Instant,
    bar: Option<ProgressBar>,
    told: Instant,
}

// === impl Progress ===

impl Progress {
    /// On standard error.
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self { people: std::io::stderr().is_terminal(), started: now, bar: None, told: now }
    }

    /// Something happened, in words and with its numbers.
    pub(crate) fn say(&mut self, step: &str, words: &str, numbers: Value) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        let line = if self.people {
            format!("{:>7.1} s  {step:<9} {words}", self.started.elapsed().as_secs_f64())
        } else {
            let mut line = json!({
                "time": sidegate::registry::clock::text(time::OffsetDateTime::now_utc()),
                "step": step,
                "message": words,
            });
            if let (Value::Object(line), Value::Object(numbers)) = (&mut line, numbers) {
                line.extend(numbers);
            }
            line.to_string()
        };
        // Whoever closed standard error does not want to hear.
        drop(writeln!(std::io::stderr(), "{line}"));
    }

    /// Rows that went by, of how many if that is known.
    pub(crate) fn rows(&mut self, step: &str, rows: u64, of: Option<u64>, since: Instant) {
        let rate = rows as f64 / since.elapsed().as_secs_f64().max(1e-9);
        let left = of.map(|of| of.saturating_sub(rows) as f64 / rate);
        if self.people {
            let rest =
                of.zip(left).map(|(of, left)| format!(" of {of}, {left:.0} s left")).unwrap_or_default();
            self.spinner().set_message(format!("{step}: {rows} rows{rest}, {rate:.0} rows/s"));
        } else if self.due() {
            let numbers =
                json!({ "rows": rows, "of": of, "rows_per_second": rate.round(), "seconds_left": left });
            self.say(step, "rows", numbers);
        }
    }

    /// A round of a training.
    pub(crate) fn round(&mut self, round: &Round, since: Instant) {
        let Round { round: at, of, metric, train, validation } = round;
        let rate = f64::from(*at) / since.elapsed().as_secs_f64().max(1e-9);
        if self.people {
            let held = validation.map(|value| format!(", {value:.5} held out")).unwrap_or_default();
            // A forest has no sum of its trees' errors that would mean anything.
            let learned = if train.is_finite() { format!("{metric} {train:.5}") } else { metric.to_string() };
            let bar = self.bar.get_or_insert_with(|| {
                let style = ProgressStyle::with_template(
                    "           train     {bar:30} {pos}/{len} {msg}, {eta} left",
                );
                bar(u64::from(*of), style)
            });
            bar.set_position(u64::from(*at));
            bar.set_message(format!("{learned}{held}, {rate:.1} rounds/s"));
        } else if self.due() || at == of {
            let left = f64::from(of - at) / rate;
            self.say(
                "train",
                "round",
                json!({ "round": at, "of": of, "metric": metric, "train": train, "validation": validation,
                        "rounds_per_second": rate, "seconds_left": left }),
            );
        }
    }

    fn due(&mut self) -> bool {
        let due = self.told.elapsed() >= PAUSE;
        if due {
            self.told = Instant::now();
        }
        due
    }

    fn spinner(&mut self) -> &ProgressBar {
        self.bar.get_or_insert_with(|| bar(0, ProgressStyle::with_template("           {spinner} {msg}")))
    }
}

fn bar(length: u64, style: Result<ProgressStyle, indicatif::style::TemplateError>) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar
}
