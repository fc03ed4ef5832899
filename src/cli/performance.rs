//! `sidegate performance`: how good predictions were, by the actuals that came.

use std::process::ExitCode;

use serde_json::Value;

use super::admin_client::Client;
use super::failure::Failure;
use super::{AdminArgs, say, table};
use crate::model::{Reference, Selector};

pub(super) const EXAMPLES: &str = "\
Examples:
  sidegate performance churn                       the last hour, day and week of every version
  sidegate performance churn@7 --window 15m
  sidegate performance churn --json | jq '.versions[].windows[].accuracy'

Predictions wait for their actuals with monitor.performance = true; actuals are posted to /actuals, by the id of the
request or the receipt of the answer (docs/monitoring.md), one by one or by `sidegate outcomes FILE`.";

/// What comes before the metrics.
const ABOUT: &[&str] = &["predictions", "sample_size", "label_coverage"];
/// What is no metric.
const OTHERS: &[&str] = &["window_seconds", "not_finite"];

/// Flags of `sidegate performance`.
#[derive(Clone, Debug, clap::Args)]
pub struct PerformanceArgs {
    /// The model, as MODEL@7 one of its versions
    #[arg(value_name = "MODEL")]
    pub model: Reference,
    /// The time up to now in which was predicted what is looked at: 1m to 7d [default: 1h, 24h and 7d]
    #[arg(long, value_name = "TIME")]
    pub window: Option<String>,
    /// Where to ask.
    #[command(flatten)]
    pub admin: AdminArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Carries the command out.
pub(super) fn run(args: &PerformanceArgs) -> ExitCode {
    match show(args) {
        Ok(text) => {
            say(&text);
            ExitCode::SUCCESS
        }
        Err(failure) => failure.exit(),
    }
}

fn show(args: &PerformanceArgs) -> Result<String, Failure> {
    let version = match &args.model.selector {
        Selector::Default => String::new(),
        Selector::Version(version) => format!("version={version}&"),
        other => {
            return Err(Failure::Usage(format!(
                "`{other}` is no version; sidegate models shows their numbers"
            )));
        }
    };
    let window = args.window.as_ref().map_or_else(String::new, |window| format!("window={window}"));
    let path = format!("/performance/{}?{version}{window}", args.model.name);
    let known = Client::new(&args.admin)?.json(&path)?.0;
    Ok(if args.json { format!("{known:#}\n") } else { render(&known) })
}

fn render(known: &Value) -> String {
    let mut text = String::new();
    if known["on"] == false {
        text.push_str("Predictions do not wait for their actuals: monitor.performance is off.\n\n");
    }
    for version in known["versions"].as_array().into_iter().flatten() {
        let name = format!("{} {}", table::cell(&known["model"]), table::cell(&version["version"]));
        let loaded = if version["loaded"] == false { ", not loaded any more" } else { "" };
        text.push_str(&format!("{name}: {}{loaded}\n", table::cell(&version["task"])));
        text.push_str(&windows(&version["windows"]));
        text.push('\n');
    }
    text
}

/// A row per metric, a column per window.
fn windows(windows: &Value) -> String {
    let windows: Vec<&Value> = windows.as_array().into_iter().flatten().collect();
    let names = windows.iter().filter_map(|window| window.as_object()).flatten();
    let metric = |(name, value): (&String, &Value)| {
        let named = value.is_number() && !ABOUT.contains(&name.as_str()) && !OTHERS.contains(&name.as_str());
        named.then(|| name.clone())
    };
    let mut metrics: Vec<String> = names.filter_map(metric).collect();
    metrics.sort();
    metrics.dedup();
    let row = |title: &str, cell: &dyn Fn(&Value) -> String| {
        std::iter::once(title.to_owned()).chain(windows.iter().map(|window| cell(window))).collect()
    };
    let mut rows: Vec<Vec<String>> = vec![
        row("predictions", &|window| table::cell(&window["predictions"])),
        row("with an actual", &|window| {
            let share = window["label_coverage"]
                .as_f64()
                .map_or(String::new(), |share| format!(" ({:.1} %)", 100.0 * share));
            format!("{}{share}", table::cell(&window["sample_size"]))
        }),
        row("delay p50, p95", &|window| {
            let delays = &window["label_delay_seconds"];
            if delays["p50"].is_null() {
                "-".into()
            } else {
                format!("{}, {}", table::seconds(&delays["p50"]), table::seconds(&delays["p95"]))
            }
        }),
    ];
    rows.extend(metrics.iter().map(|name| row(name, &|window| value(window, name))));
    let heads: Vec<String> = std::iter::once("WINDOW".into())
        .chain(windows.iter().map(|window| span(window["window_seconds"].as_u64().unwrap_or_default())))
        .collect();
    let heads: Vec<&str> = heads.iter().map(String::as_str).collect();
    table::render(&heads, &heads[1..], &rows)
}

/// A window as it is asked for.
fn span(seconds: u64) -> String {
    match seconds {
        _ if seconds > 86_400 && seconds.is_multiple_of(86_400) => format!("{}d", seconds / 86_400),
        _ if seconds.is_multiple_of(3600) => format!("{}h", seconds / 3600),
        _ => format!("{}m", seconds / 60),
    }
}

/// A metric with its interval; `-` where nothing is known.
fn value(window: &Value, name: &str) -> String {
    let short =
        |value: &Value| value.as_f64().map_or_else(|| "-".to_owned(), |number| format!("{number:.4}"));
    match window["intervals"][name].as_array().map(Vec::as_slice) {
        Some([low, high]) => format!("{} ({} to {})", short(&window[name]), short(low), short(high)),
        _ => short(&window[name]),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_table_has_a_row_per_metric_and_says_what_is_not_known() {
        let known = json!({"model": "m", "on": false, "versions": [{"version": "7", "loaded": false, "task": "classification", "windows": [
            {"window_seconds": 3600, "predictions": 5, "sample_size": 0, "label_coverage": 0.0, "status": "insufficient_data",
             "label_delay_seconds": {"p50": null, "p95": null}, "intervals": {}},
            {"window_seconds": 86400, "predictions": 9, "sample_size": 3, "label_coverage": 0.25, "status": "ok", "accuracy": 0.5,
             "label_delay_seconds": {"p50": 60.0, "p95": 90.0}, "intervals": {"accuracy": [0.25, 0.75]}},
        ]}]});
        let text = render(&known);
        for part in [
            "monitor.performance is off",
            "m 7: classification, not loaded any more",
            "3 (25.0 %)",
            "0.5000 (0.2500 to 0.7500)",
        ] {
            assert!(text.contains(part), "{text}");
        }
        assert_eq!([900, 3600, 86_400, 604_800].map(span), ["15m", "1h", "24h", "7d"]);
        assert!(text.lines().any(|line| line.starts_with("accuracy") && line.contains(" - ")), "{text}");
    }
}
