//! CloudWatch's embedded metric format: lines of the log that CloudWatch makes metrics of. A function has no port that
//! could be scraped, and asks for no rights to send metrics itself.
//!
//! Names and labels are those of `/metrics`; a label is a dimension.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::metrics::Totals;

/// What is told after each invocation.
#[derive(Debug)]
pub struct Embedded {
    namespace: String,
    told: Totals,
}

impl Embedded {
    /// CloudWatch's namespace, such as `sidegate`.
    ///
    /// # Errors
    /// A namespace that CloudWatch has no place for.
    pub fn new(namespace: &str) -> Result<Self, String> {
        let known = |c: char| c.is_ascii_alphanumeric() || ".-_/#:".contains(c);
        // Beginning with `AWS/`, it would be one of AWS's own, which drops what others put there.
        let good = (1..=255).contains(&namespace.len()) && namespace.chars().all(known);
        if !good || namespace.starts_with("AWS/") || namespace.starts_with(':') {
            return Err(format!(
                "`{}` is no namespace: 1 to 255 of A-Z a-z 0-9 . - _ / # :, not beginning with `AWS/` or `:`",
                namespace.escape_default()
            ));
        }
        Ok(Self { namespace: namespace.to_owned(), told: Totals::default() })
    }

    /// A line for each version and outcome that was counted since the last time; each ends with a line feed.
    pub(super) fn lines(&mut self, now: Totals, at: SystemTime) -> String {
        let mut lines = String::new();
        for (labels, count) in &now.predictions {
            let [model, version, outcome] = labels;
            let fresh = since(*count, self.told.predictions.get(labels).copied());
            if fresh > 0 {
                let labels = json!({"model": model, "version": version, "outcome": outcome});
                lines += &self.line(at, labels, "model_predictions_total", "Count", json!(fresh));
            }
        }
        for (labels, (count, seconds)) in &now.durations {
            let [model, version] = labels;
            let (before, spent) = self.told.durations.get(labels).copied().unwrap_or_default();
            let fresh = since(*count, Some(before));
            if fresh > 0 {
                // One invocation is one request: of several there were their mean would be told, as often as they were.
                let spent = if *count < before { 0.0 } else { spent };
                let each = (seconds - spent) / fresh as f64;
                let labels = json!({"model": model, "version": version});
                let values = vec![each; fresh.min(MOST_VALUES) as usize];
                lines +=
                    &self.line(at, labels, "model_prediction_duration_seconds", "Seconds", json!(values));
            }
        }
        self.told = now;
        lines
    }

    fn line(&self, at: SystemTime, labels: Value, name: &str, unit: &str, value: Value) -> String {
        let dimensions: Vec<&String> =
            labels.as_object().into_iter().flatten().map(|(name, _)| name).collect();
        let at = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
        let mut line = json!({"_aws": {"Timestamp": at, "CloudWatchMetrics": [
            {"Namespace": self.namespace, "Dimensions": [dimensions], "Metrics": [{"Name": name, "Unit": unit}]},
        ]}});
        line[name] = value;
        for (label, value) in labels.as_object().into_iter().flatten() {
            line[label] = value.clone();
        }
        format!("{line}\n")
    }
}

/// Values that one line may carry for a metric.
const MOST_VALUES: u64 = 100;

/// What was counted since; all of it where the count began anew.
fn since(now: u64, before: Option<u64>) -> u64 {
    let before = before.unwrap_or_default();
    if now < before { now } else { now - before }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn totals(ok: u64, timed: u64, seconds: f64) -> Totals {
        let [model, version, outcome] = ["churn", "7", "ok"].map(str::to_owned);
        Totals {
            predictions: [([model.clone(), version.clone(), outcome], ok)].into(),
            durations: [([model, version], (timed, seconds))].into(),
        }
    }

    #[test]
    fn what_was_counted_since_the_last_time_is_told_once() {
        let mut embedded = Embedded::new("sidegate").unwrap();
        let at = UNIX_EPOCH + Duration::from_millis(1_764_000_000_123);
        let mut told = |totals| -> Vec<Value> {
            embedded.lines(totals, at).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        };
        let metric = |dimensions: &[&str], name: &str, unit: &str| {
            json!({"Timestamp": 1_764_000_000_123_u64, "CloudWatchMetrics": [
                {"Namespace": "sidegate", "Dimensions": [dimensions], "Metrics": [{"Name": name, "Unit": unit}]}]})
        };
        let count = |count: u64| {
            json!({"_aws": metric(&["model", "outcome", "version"], "model_predictions_total", "Count"),
                "model": "churn", "version": "7", "outcome": "ok", "model_predictions_total": count})
        };
        let durations = |values: &[f64]| {
            json!({"_aws": metric(&["model", "version"], "model_prediction_duration_seconds", "Seconds"),
                "model": "churn", "version": "7", "model_prediction_duration_seconds": values})
        };
        assert_eq!(told(totals(1, 1, 0.25)), [count(1), durations(&[0.25])]);
        assert_eq!(told(totals(1, 1, 0.25)), [] as [Value; 0]);
        assert_eq!(told(totals(3, 3, 1.25)), [count(2), durations(&[0.5, 0.5])]);
        // Loaded anew, a version counts from nothing.
        assert_eq!(told(totals(1, 1, 0.125)), [count(1), durations(&[0.125])]);
        assert_eq!(told(totals(301, 301, 300.125)).last(), Some(&durations(&[1.0; 100])));
    }

    #[test]
    fn namespaces_are_those_that_cloudwatch_takes() {
        let long = "n".repeat(256);
        for good in ["sidegate", "Acme/models-1", &long[1..]] {
            assert!(Embedded::new(good).is_ok(), "{good}");
        }
        for bad in ["", "AWS/Lambda", ":a", "two words", "\u{e4}", &long] {
            assert!(Embedded::new(bad).unwrap_err().contains("is no namespace"), "{bad}");
        }
    }
}
