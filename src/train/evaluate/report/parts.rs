//! The tables of the page.

use crate::evaluate::card::{Card, Feature};
use crate::evaluate::evaluation::Measured;
use crate::evaluate::gate::{Answer, chance, short};
use crate::evaluate::markup::escaped;
use crate::evaluate::paired::{Finding, Paired};
use crate::evaluate::slices::Slice;

/// More features are in `card.json` only.
const FEATURES: usize = 40;

/// A cell: text, or a word with a colour.
enum Cell {
    Text(String),
    Word(&'static str, &'static str),
}

fn text(text: impl Into<String>) -> Cell {
    Cell::Text(text.into())
}

fn number(value: Option<f64>) -> Cell {
    text(value.map_or_else(String::new, |value| short(value).replace('-', "−")))
}

fn interval(ends: Option<[f64; 2]>) -> Cell {
    let joined = |[low, high]: [f64; 2]| format!("{} to {}", short(low), short(high)).replace('-', "−");
    text(ends.map_or_else(String::new, joined))
}

fn table(class: &str, head: &[&str], rows: impl IntoIterator<Item = Vec<Cell>>) -> String {
    let head: String = head.iter().map(|name| format!("<th>{}</th>", escaped(name))).collect();
    let cell = |(at, cell): (usize, &Cell)| {
        let inner = match cell {
            Cell::Text(text) => escaped(text),
            Cell::Word(class, word) => format!("<b class=\"{class}\">{word}</b>"),
        };
        let tag = if at == 0 { "th" } else { "td" };
        format!("<{tag}>{inner}</{tag}>")
    };
    let row = |row: Vec<Cell>| format!("<tr>{}</tr>\n", row.iter().enumerate().map(cell).collect::<String>());
    let rows: String = rows.into_iter().map(row).collect();
    format!("<table class=\"{class}\">\n<tr>{head}</tr>\n{rows}</table>")
}

fn section(title: &str, note: &str, inner: &str) -> String {
    let note =
        if note.is_empty() { String::new() } else { format!("<p class=\"note\">{}</p>", escaped(note)) };
    format!("<section><h2>{title}</h2>\n{inner}\n{note}</section>\n")
}

pub(super) fn gate(card: &Card) -> String {
    let Some(gate) = &card.gate else { return String::new() };
    let row = |answer: &Answer| {
        let word = if answer.passed { Cell::Word("good", "kept") } else { Cell::Word("bad", "broken") };
        vec![text(&answer.rule), word, text(&answer.reason)]
    };
    section("Gate", "", &table("rules", &["rule", "", "why"], gate.rules.iter().map(row)))
}

pub(super) fn metrics(card: &Card) -> String {
    let evaluation = &card.evaluation;
    let row = |metric: &Measured| {
        let better = if metric.lower_is_better { "less" } else { "more" };
        vec![text(&metric.name), number(Some(metric.value)), interval(metric.interval), text(better)]
    };
    let level = short(100.0 * evaluation.level);
    let mut note = format!("{} test rows; {level} % intervals by bootstrap over rows.", evaluation.rows);
    for (name, why) in &evaluation.undefined {
        note += &format!(" {name} has no value: {why}.");
    }
    if let Some(best) = evaluation.best_f1 {
        note += &format!(" F1 is highest, {}, at a threshold of {}.", short(best.f1), short(best.threshold));
    }
    let head = ["metric", "value", "interval", "better is"];
    section("Metrics", &note, &table("figures", &head, evaluation.metrics.iter().map(row)))
}

pub(super) fn comparison(card: &Card) -> String {
    let Some(comparison) = &card.comparison else { return String::new() };
    let row = |paired: &Paired| {
        let found = match paired.finding {
            Finding::Better => Cell::Word("good", "better"),
            Finding::Worse => Cell::Word("bad", "worse"),
            Finding::NoDifferenceShown => text("no difference shown"),
        };
        vec![
            text(&paired.name),
            number(Some(paired.champion)),
            number(Some(paired.candidate)),
            number(Some(paired.difference)),
            interval(paired.interval),
            text(paired.p.map_or_else(String::new, chance)),
            found,
        ]
    };
    let head = ["metric", "champion", "this", "difference", "interval", "p", "this is"];
    let note = format!("Both answered the same {} rows.", comparison.rows);
    section("Against the champion", &note, &table("figures", &head, comparison.metrics.iter().map(row)))
}

pub(super) fn slices(card: &Card) -> String {
    if card.evaluation.slices.is_empty() {
        return String::new();
    }
    let main = card.headline().first().copied().unwrap_or_default();
    let row = |slice: &Slice| {
        vec![
            text(format!("{} = {}", slice.column, slice.value)),
            text(slice.rows.to_string()),
            number(slice.metrics.get(main).copied()),
            number(Some(slice.loss)),
            number(slice.elsewhere),
            if slice.worse { Cell::Word("bad", "worse") } else { text("") },
        ]
    };
    let note =
        "Flagged where the loss is above that of all other rows beyond chance, over all slices together.";
    let head = ["slice", "rows", main, "loss", "elsewhere", ""];
    section("By slice", note, &table("figures", &head, card.evaluation.slices.iter().map(row)))
}

pub(super) fn features(card: &Card) -> String {
    if card.features.is_empty() {
        return String::new();
    }
    let row = |feature: &Feature| {
        vec![
            text(&feature.name),
            text(&feature.kind),
            text(feature.missing.map_or_else(String::new, |share| format!("{:.1} %", 100.0 * share))),
            number(feature.shap),
            number(feature.permutation.map(|found| found.loss)),
        ]
    };
    let left_out = card.features.len().saturating_sub(FEATURES);
    let mut note = "Mean |SHAP| in the unit of the score; permutation: growth of the loss.".to_owned();
    if left_out > 0 {
        note += &format!(" {left_out} more are in card.json.");
    }
    let head = ["feature", "kind", "missing", "SHAP", "permutation"];
    section("Features", &note, &table("figures", &head, card.ranked().into_iter().take(FEATURES).map(row)))
}

pub(super) fn details(card: &Card) -> String {
    let facts = card.model.facts.iter().map(|(name, value)| (name.as_str(), short(*value)));
    let rows = card.details().into_iter().chain(facts).map(|(name, value)| vec![text(name), text(value)]);
    let mut out = section("Data and lineage", "", &table("", &["", ""], rows));
    if !card.data.findings.is_empty() {
        let found: String =
            card.data.findings.iter().map(|line| format!("<li>{}</li>", escaped(line))).collect();
        out += &section("Data validation", "", &format!("<ul>{found}</ul>"));
    }
    if !card.params.is_empty() {
        let rows = card.params.iter().map(|(name, value)| vec![text(name), text(value.to_string())]);
        out += &section("Parameters", "", &table("", &["", ""], rows));
    }
    if !card.proof.is_empty() {
        let rows = card.proof.iter().map(|proof| {
            let counts = [proof.rows, proof.rounded, proof.flips].map(|count| text(count.to_string()));
            let [rows, rounded, flips] = counts;
            vec![text(proof.name()), rows, number(Some(proof.largest)), rounded, flips]
        });
        let head = ["engine", "rows", "largest difference", "rounded sums", "other classes"];
        out += &section("The exported file against the trained model", "", &table("figures", &head, rows));
    }
    out
}
