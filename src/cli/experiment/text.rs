//! The report as text: one table for each kind of thing that there is.

use serde_json::Value;

use crate::cli::table::{self, cell};

/// The report as text.
pub(super) fn render(view: &Value) -> String {
    let mut text = format!(
        "{} on model {}: {}{} (mode {}, phase {})\n",
        cell(&view["name"]),
        cell(&view["model"]),
        if view["ended"] == true { "ended, was " } else { "" },
        cell(&view["stage"]),
        cell(&view["mode"]),
        cell(&view["phase"]),
    );
    text += undone(view);
    if let Some(fleet) = view["fleet"].as_object() {
        let silent = fleet["silent"].as_array().map_or(0, Vec::len);
        text += &format!(
            "{} processes published, {} ended, {silent} silent\n",
            fleet["replicas"], fleet["ended"]
        );
    }
    for part in [variants(view), comparisons(view), shadows(view), ending(view)] {
        if part.lines().count() > 1 {
            text.push('\n');
            text += &part;
        }
    }
    text
}

/// That a decision is one on paper, where nobody carries it out.
fn undone(view: &Value) -> &'static str {
    let decided = list(&view["decisions"]).any(|entry| entry["verb"] != "begin");
    match (view["mode"].as_str(), view["acts"].as_bool()) {
        _ if !decided => "",
        (Some("recommend"), _) => "what the last decision says is recommended; routing is as it was\n",
        (Some("observe"), _) => "nothing is done about it in this mode; routing is as it was\n",
        (Some("auto"), Some(false)) => {
            "this sidecar does nothing about it: sidegate monitor decides for a fleet, experiments.only_replica makes one \
             sidecar decide\n"
        }
        _ => "",
    }
}

fn list(value: &Value) -> std::slice::Iter<'_, Value> {
    value.as_array().map(Vec::as_slice).unwrap_or_default().iter()
}

fn variants(view: &Value) -> String {
    let versions = list(&view["versions"]);
    let rows: Vec<Vec<String>> = list(&view["report"]["variants"])
        .zip(versions)
        .map(|(variant, version)| {
            let metric = &variant["metrics"][0];
            vec![
                cell(&variant["variant"]),
                if *version == 0 { "remote".into() } else { cell(version) },
                cell(&variant["units"]),
                cell(&variant["requests"]),
                format!("{} {}", cell(&metric["metric"]), number(&metric["value"])),
            ]
        })
        .collect();
    table::render(
        &["VARIANT", "VERSION", "UNITS", "REQUESTS", "METRIC"],
        &["VERSION", "UNITS", "REQUESTS"],
        &rows,
    )
}

fn comparisons(view: &Value) -> String {
    let mut rows = Vec::new();
    for comparison in list(&view["report"]["comparisons"]) {
        let all = std::iter::once(&comparison["primary"]).chain(list(&comparison["guardrails"]));
        for (at, difference) in all.enumerate().filter(|(_, difference)| !difference.is_null()) {
            let (anytime, fixed) = (&difference["anytime"], &difference["fixed"]);
            let interval = |of: &Value| {
                if of.is_null() {
                    cell(&difference["status"])
                } else {
                    format!("{} .. {}", number(&of["low"]), number(&of["high"]))
                }
            };
            let harm = if difference["harm"]["beyond"] == true { "HARM" } else { "" };
            rows.push(vec![
                cell(&comparison["variant"]),
                format!("{}{}", cell(&difference["metric"]), if at == 0 { "" } else { " (guardrail)" }),
                number(&difference["control"]["mean"]),
                number(&difference["treatment"]["mean"]),
                number(&difference["difference"]),
                interval(anytime),
                number(&anytime["p_adjusted"]),
                if fixed.is_null() {
                    "-".into()
                } else {
                    format!(
                        "p {}{}",
                        number(&fixed["p"]),
                        if fixed["planned"] == true { "" } else { ", too early" }
                    )
                },
                harm.into(),
            ]);
        }
    }
    table::render(
        &["VARIANT", "METRIC", "CONTROL", "TREATMENT", "DIFFERENCE", "AT ANY TIME", "P", "FIXED HORIZON", ""],
        &["CONTROL", "TREATMENT", "DIFFERENCE", "P"],
        &rows,
    )
}

/// Whether it can be trusted, and what was decided.
fn ending(view: &Value) -> String {
    let mut text = String::new();
    let compared = list(&view["report"]["comparisons"]).next().is_some();
    let checks = view["report"]["validity"].as_object().into_iter().flatten().filter(|_| compared);
    for (name, check) in checks.filter(|(_, check)| check.is_object()) {
        let word = if check["ok"] == true { "ok" } else { "INVALID" };
        text += &format!("{:<20}{word}: {}\n", name.replace('_', " "), cell(&check["detail"]));
    }
    for entry in list(&view["decisions"]) {
        text += &format!(
            "decision {:<11}{} {}: {}\n",
            cell(&entry["seq"]),
            cell(&entry["verb"]),
            cell(&entry["of"]),
            cell(&entry["why"])
        );
    }
    text
}

/// What shadows would have answered.
fn shadows(view: &Value) -> String {
    let rows: Vec<Vec<String>> = list(&view["report"]["shadows"])
        .map(|shadow| {
            let against = match shadow["against"].as_u64() {
                Some(0) => "remote".into(),
                _ => cell(&shadow["against"]),
            };
            let quantile = |at: usize| number(&shadow["quantiles"][at]["value"]);
            let mut row = vec![cell(&shadow["shadow"]), cell(&shadow["version"]), against];
            row.extend(["rows", "failed"].map(|count| cell(&shadow[count])));
            row.push(cell(&view["copies_dropped"][shadow["shadow"].as_str().unwrap_or_default()]));
            for of in ["disagreement", "difference"] {
                let of = &shadow[of];
                row.push(number(&of["value"]));
                row.push(match (&of["low"], &of["high"]) {
                    (Value::Null, _) | (_, Value::Null) => "-".into(),
                    (low, high) => format!("{} .. {}", number(low), number(high)),
                });
            }
            row.push(format!("{} / {} / {}", quantile(0), quantile(2), quantile(4)));
            row
        })
        .collect();
    table::render(
        &[
            "SHADOW",
            "VERSION",
            "AGAINST",
            "ROWS",
            "FAILED",
            "DROPPED",
            "DISAGREE",
            "AT ANY TIME",
            "DIFFERENCE",
            "AT ANY TIME",
            "P1 / P50 / P99",
        ],
        &["VERSION", "AGAINST", "ROWS", "FAILED", "DROPPED", "DISAGREE", "DIFFERENCE"],
        &rows,
    )
}

/// A number to six digits.
pub(super) fn number(value: &Value) -> String {
    match value.as_f64() {
        None => "-".into(),
        Some(0.0) => "0".into(),
        Some(number) if number.abs() >= 1e6 || number.abs() < 1e-4 => format!("{number:.2e}"),
        Some(number) => format!("{number:.6}").trim_end_matches('0').trim_end_matches('.').to_owned(),
    }
}
