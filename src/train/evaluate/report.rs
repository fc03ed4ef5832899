//! `report.html`: the card and its plots as one page without anything from elsewhere.

mod parts;

use super::card::Card;
use super::gate::short;
use super::markup::escaped;
use super::plot::{self, Plot};

/// Looks of all pages of the program, and what this one has besides.
const STYLE: &str = include_str!("../../cli/trial/page.css");
const OWN: &str = include_str!("report.css");

/// The page.
pub(crate) fn page(card: &Card, plots: &[Plot]) -> String {
    let (class, badge) = match &card.gate {
        Some(gate) if gate.passed => ("good", "passed its gate".to_owned()),
        Some(gate) => ("bad", format!("refused: {}", counted(gate.refusals().len()))),
        None => ("open", "no gate".to_owned()),
    };
    let version = card.model.version.map_or_else(String::new, |version| format!(" {version}"));
    let drawn: String = plots
        .iter()
        .map(|plot| {
            format!("<div{}>{}</div>\n", if plot.wide() { " class=\"wide\"" } else { "" }, plot.inline())
        })
        .collect();
    let drawn =
        if plots.is_empty() { drawn } else { format!("<section class=\"plots\">\n{drawn}</section>\n") };
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{name}{version}: training report</title>\n\
         <style>\n{STYLE}{OWN}{plots}</style>\n</head>\n<body>\n<main>\n\
         <h1>{name}{version} <span class=\"badge {class}\">{badge}</span></h1>\n<p class=\"lead\">{summary}</p>\n\
         {tiles}{gate}{metrics}{comparison}{slices}{drawn}{features}{data}\
         <footer>sidegate-train report, {created}</footer>\n</main>\n</body>\n</html>\n",
        name = escaped(&card.model.name),
        plots = plot::STYLE,
        summary = escaped(&card.model.summary),
        tiles = tiles(card),
        gate = parts::gate(card),
        metrics = parts::metrics(card),
        comparison = parts::comparison(card),
        slices = parts::slices(card),
        features = parts::features(card),
        data = parts::details(card),
        created = escaped(&card.model.created),
    )
}

fn counted(rules: usize) -> String {
    if rules == 1 { "1 rule is broken".to_owned() } else { format!("{rules} rules are broken") }
}

/// The few numbers that are looked at first.
fn tiles(card: &Card) -> String {
    let tile = |name: &&str| {
        let metric = card.evaluation.metrics.iter().find(|metric| metric.name == *name)?;
        let below = metric
            .interval
            .map_or_else(String::new, |[low, high]| format!("{} to {}", short(four(low)), short(four(high))));
        Some(format!(
            "<div class=\"tile\"><span>{}</span><strong>{}</strong><small>{below}</small></div>\n",
            escaped(name),
            short(four(metric.value)),
        ))
    };
    let tiles: String = card.headline().iter().filter_map(tile).collect();
    format!("<section class=\"tiles\">\n{tiles}</section>\n")
}

/// Four digits: more are not read at a glance.
fn four(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let unit = 10_f64.powf(value.abs().log10().floor() - 3.0);
    (value / unit).round() * unit
}
