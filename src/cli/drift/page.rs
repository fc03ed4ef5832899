//! The report as one page: a histogram of each feature, the reference against now.

use serde_json::Value;

use super::{SHOWN, ranked, render};
use crate::cli::markup::escaped;

const STYLE: &str = include_str!("../trial/page.css");
const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 120.0;

/// The page.
pub(super) fn page(view: &Value, profile: &Value) -> String {
    let text = |name: &str| view[name].as_str().unwrap_or_default();
    let alerts = view["alerts"].as_array().map_or(0, Vec::len);
    let (class, badge) =
        if alerts == 0 { ("good", "no alerts".into()) } else { ("bad", format!("{alerts} alerts")) };
    let plots: String = ranked(view).into_iter().take(SHOWN).map(|drift| plot(drift, profile)).collect();
    let table: String = render(view, SHOWN).lines().map(|line| escaped(line) + "\n").collect();
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>sidegate drift: {model}</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <h1>{model} {version} <span class=\"badge {class}\">{badge}</span></h1>\n\
         <p class=\"lead\">{at}: the latest {rows} rows (filled) against the {reference} of the reference (line)</p>\n\
         {plots}<section><pre>{table}</pre></section>\n\
         <footer>sidegate {sidegate} drift report</footer>\n</main>\n</body>\n</html>\n",
        model = escaped(text("model")),
        version = escaped(text("version")),
        at = escaped(text("timestamp")),
        rows = view["window_rows"],
        reference = view["reference_rows"],
        sidegate = env!("CARGO_PKG_VERSION"),
    )
}

/// Shares of rows by cell: bins of a number have the same share of the reference each, so that whatever sticks out of the
/// line has changed.
fn plot(drift: &Value, profile: &Value) -> String {
    let name = drift["feature"].as_str().unwrap_or_default();
    let features = profile["reference"]["features"].as_array().into_iter().flatten();
    let Some((at, feature)) = features.enumerate().find(|(_, feature)| feature["name"] == name) else {
        return String::new();
    };
    let numbers = |value: &Value| -> Vec<f64> {
        value.as_array().into_iter().flatten().map(|count| count.as_f64().unwrap_or(0.0)).collect()
    };
    let shape = feature["shape"].as_object().and_then(|shape| shape.values().next()).unwrap_or(&Value::Null);
    let mut reference = vec![feature["missing"].as_f64().unwrap_or(0.0)];
    reference.extend(numbers(&shape["counts"]));
    let now = numbers(&profile["window"]["cells"][at]);
    let shares = |counts: &[f64]| -> Vec<f64> {
        let all = counts.iter().sum::<f64>().max(1.0);
        counts.iter().map(|count| count / all).collect()
    };
    let (reference, now) = (shares(&reference), shares(&now));
    let most = reference.iter().chain(&now).copied().fold(f64::MIN_POSITIVE, f64::max);
    let step = WIDTH / now.len().max(1) as f64;
    let y = |share: f64| HEIGHT - share / most * (HEIGHT - 10.0);
    let bar = |(at, share): (usize, &f64)| {
        let (x, top) = (at as f64 * step, y(*share));
        format!(
            "<rect class=\"side0\" x=\"{x:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\" style=\"fill-opacity:.5\"/>",
            step * 0.9,
            HEIGHT - top
        )
    };
    let bars: String = now.iter().enumerate().map(bar).collect();
    let line: Vec<String> = reference
        .iter()
        .enumerate()
        .flat_map(|(at, share)| {
            let (x, top) = (at as f64 * step, y(*share));
            [format!("{x:.1},{top:.1}"), format!("{:.1},{top:.1}", x + step)]
        })
        .collect();
    let mark = if drift["beyond"] == true { " <span class=\"badge bad\">drift</span>" } else { "" };
    let ends = match (&shape["low"], &shape["high"]) {
        (Value::Null, _) | (_, Value::Null) => "missing, then categories, then others".to_owned(),
        (low, high) => format!("missing, then {low} to {high} in bins of equal shares"),
    };
    format!(
        "<section><h2>{}{mark}</h2>\n<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
         aria-label=\"histogram\">{bars}<polyline points=\"{}\" style=\"fill:none;stroke:currentColor\"/></svg>\n\
         <p class=\"note\">{}</p></section>\n",
        escaped(name),
        line.join(" "),
        escaped(&ends),
    )
}
