//! The card as people read it.

use std::fmt::Write as _;

use super::{Card, front};
use crate::evaluate::gate::{chance, short};
use crate::evaluate::paired::Finding;

/// More features are in `card.json` only.
const FEATURES: usize = 30;

pub(super) fn render(card: &Card) -> String {
    let mut out = front::render(card);
    let _ = write!(out, "\n# {}\n\n{}\n", plain(&card.model.name), plain(&card.model.summary));
    if let Some(gate) = &card.gate {
        let word = if gate.passed { "passed" } else { "been refused by" };
        let _ = write!(out, "\nThis model has {word} its gate.\n");
    }
    details(&mut out, card);
    usage(&mut out, card);
    metrics(&mut out, card);
    comparison(&mut out, card);
    slices(&mut out, card);
    confusion(&mut out, card);
    if let Some(gate) = &card.gate {
        out += "\n## Gate\n\n";
        let rows = gate.rules.iter().map(|answer| {
            vec![
                answer.rule.clone(),
                if answer.passed { "kept" } else { "**broken**" }.to_owned(),
                answer.reason.clone(),
            ]
        });
        table(&mut out, &["rule", "", "why"], rows.collect());
    }
    features(&mut out, card);
    if !card.proof.is_empty() {
        out += "\n## Proof\n\nThe exported file against the trained model, on the test rows.\n\n";
        let row = |proof: &super::Proof| {
            let [rows, rounded, flips] =
                [proof.rows, proof.rounded, proof.flips].map(|count| count.to_string());
            vec![proof.name(), rows, short(proof.largest), rounded, flips]
        };
        table(
            &mut out,
            &["engine", "rows", "largest difference", "rounded sums", "other classes"],
            card.proof.iter().map(row).collect(),
        );
    }
    out
}

fn details(out: &mut String, card: &Card) {
    *out += "\n## Model details\n\n";
    let facts = card.model.facts.iter().map(|(name, value)| (name.as_str(), short(*value)));
    let rows = card.details().into_iter().chain(facts);
    table(out, &["", ""], rows.map(|(name, text)| vec![name.to_owned(), text]).collect());
    if !card.interface.inputs.is_empty() {
        *out += "\n## Interface\n\n";
        let sides = [("input", &card.interface.inputs), ("output", &card.interface.outputs)];
        let rows = sides.into_iter().flat_map(|(side, ports)| {
            ports.iter().map(move |port| {
                vec![side.to_owned(), port.name.clone(), port.datatype.clone(), format!("{:?}", port.shape)]
            })
        });
        table(out, &["", "name", "type", "shape"], rows.collect());
    }
    if !card.params.is_empty() {
        *out += "\n## Parameters\n\n";
        let rows = card.params.iter().map(|(name, value)| vec![name.clone(), value.to_string()]);
        table(out, &["name", "value"], rows.collect());
    }
    if !card.data.findings.is_empty() {
        *out += "\n## Data validation\n\n";
        card.data.findings.iter().for_each(|finding| {
            let _ = writeln!(out, "- {}", plain(finding));
        });
    }
}

fn usage(out: &mut String, card: &Card) {
    if !card.usage.intended.is_empty() {
        let _ = write!(out, "\n## Intended use\n\n{}\n", plain(&card.usage.intended));
    }
    if !card.usage.limitations.is_empty() {
        *out += "\n## Limitations\n\n";
        card.usage.limitations.iter().for_each(|limit| {
            let _ = writeln!(out, "- {}", plain(limit));
        });
    }
}

fn metrics(out: &mut String, card: &Card) {
    let evaluation = &card.evaluation;
    let level = short(100.0 * evaluation.level);
    let _ = write!(
        out,
        "\n## Metrics\n\n{} test rows; {level} % intervals by bootstrap over rows.\n\n",
        evaluation.rows
    );
    let row = |metric: &crate::evaluate::evaluation::Measured| {
        let better = if metric.lower_is_better { "less" } else { "more" };
        vec![metric.name.clone(), short(metric.value), ends(metric.interval), better.to_owned()]
    };
    table(out, &["metric", "value", "interval", "better is"], evaluation.metrics.iter().map(row).collect());
    for (name, why) in &evaluation.undefined {
        let _ = write!(out, "\n{} has no value: {}.\n", plain(name), plain(why));
    }
    if let Some(best) = evaluation.best_f1 {
        let (f1, threshold) = (short(best.f1), short(best.threshold));
        let _ =
            write!(out, "\nF1 is highest, {f1}, at a threshold of {threshold} (found on these very rows).\n");
    }
}

fn comparison(out: &mut String, card: &Card) {
    let Some(comparison) = &card.comparison else { return };
    let _ = write!(out, "\n## Against the champion\n\nThe same {} rows for both.\n\n", comparison.rows);
    let row = |paired: &crate::evaluate::paired::Paired| {
        let p = paired.p.map_or_else(String::new, |p| format!("{} ({})", chance(p), paired.test));
        let found = match paired.finding {
            Finding::Better => "better",
            Finding::Worse => "**worse**",
            Finding::NoDifferenceShown => "no difference shown",
        };
        vec![
            paired.name.clone(),
            short(paired.champion),
            short(paired.candidate),
            short(paired.difference),
            ends(paired.interval),
            p,
            found.to_owned(),
        ]
    };
    let head = ["metric", "champion", "this", "difference", "interval", "p", "this is"];
    table(out, &head, comparison.metrics.iter().map(row).collect());
}

fn slices(out: &mut String, card: &Card) {
    if card.evaluation.slices.is_empty() {
        return;
    }
    *out += "\n## By slice\n\nFlagged where the loss is above that of the other rows beyond chance (Welch, Holm).\n\n";
    let main = card.headline().first().copied().unwrap_or_default();
    let row = |slice: &crate::evaluate::slices::Slice| {
        vec![
            format!("{} = {}", slice.column, slice.value),
            slice.rows.to_string(),
            slice.metrics.get(main).map_or_else(String::new, |value| short(*value)),
            short(slice.loss),
            slice.elsewhere.map_or_else(String::new, short),
            if slice.worse { "**worse**".to_owned() } else { String::new() },
        ]
    };
    table(
        out,
        &["slice", "rows", main, "loss", "elsewhere", ""],
        card.evaluation.slices.iter().map(row).collect(),
    );
}

fn confusion(out: &mut String, card: &Card) {
    let Some(matrix) = &card.evaluation.confusion else { return };
    *out += "\n## Confusion matrix\n\nRows are what came, columns what was predicted.\n\n";
    let head: Vec<&str> = std::iter::once("").chain(matrix.labels.iter().map(String::as_str)).collect();
    let row = |(label, counts): (&String, &Vec<f64>)| {
        std::iter::once(label.clone()).chain(counts.iter().map(|count| short(*count))).collect()
    };
    table(out, &head, matrix.labels.iter().zip(&matrix.counts).map(row).collect());
}

fn features(out: &mut String, card: &Card) {
    if card.features.is_empty() {
        return;
    }
    *out += "\n## Features\n\nBy importance: mean |SHAP|, and how much the loss grows when the column is shuffled.\n\n";
    let number = |value: Option<f64>| value.map_or_else(String::new, short);
    let row = |feature: &super::Feature| {
        vec![
            feature.name.clone(),
            feature.kind.clone(),
            feature.missing.map_or_else(String::new, |share| format!("{:.1} %", 100.0 * share)),
            number(feature.shap),
            number(feature.permutation.map(|found| found.loss)),
        ]
    };
    let rows = card.ranked().into_iter().take(FEATURES).map(row).collect();
    table(out, &["feature", "kind", "missing", "SHAP", "permutation"], rows);
    if card.features.len() > FEATURES {
        let _ = write!(out, "\n{} more are in `card.json`.\n", card.features.len() - FEATURES);
    }
}

fn ends(interval: Option<[f64; 2]>) -> String {
    interval.map_or_else(String::new, |[low, high]| format!("{} to {}", short(low), short(high)))
}

fn table(out: &mut String, head: &[&str], rows: Vec<Vec<String>>) {
    let _ = writeln!(out, "| {} |", head.iter().map(|cell| plain(cell)).collect::<Vec<_>>().join(" | "));
    let _ = writeln!(out, "|{}", "---|".repeat(head.len()));
    for row in rows {
        // Our own emphasis stays.
        let strong = |cell: &str| matches!(cell, "**worse**" | "**broken**");
        let cell = |cell: &String| if strong(cell) { cell.clone() } else { plain(cell) };
        let _ = writeln!(out, "| {} |", row.iter().map(cell).collect::<Vec<_>>().join(" | "));
    }
}

/// Text that is neither markup nor the end of a cell.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '&' => out.push_str("&amp;"),
            '|' | '*' | '_' | '`' | '[' | ']' | '\\' | '#' | '~' | '!' => out.extend(['\\', c]),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}
