//! The report as one page: a plot of each difference and its band over units, and the tables.

use serde_json::Value;

use crate::cli::markup::escaped;

const STYLE: &str = include_str!("../trial/page.css");
const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 240.0;
const LEFT: f64 = 70.0;
const BOTTOM: f64 = 30.0;

/// The page.
pub(super) fn page(view: &Value) -> String {
    let name = view["name"].as_str().unwrap_or_default();
    let stage = view["stage"].as_str().unwrap_or_default();
    let class = match stage {
        "promoted" => "good",
        "rolled_back" | "invalid" => "bad",
        _ => "open",
    };
    let variants = view["report"]["comparisons"].as_array().cloned().unwrap_or_default();
    let plots: String = variants.iter().map(|comparison| plot(view, comparison)).collect();
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>sidegate experiment: {name}</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <h1>{name} <span class=\"badge {class}\">{stage}</span></h1>\n\
         <p class=\"lead\">model {model}, mode {mode}</p>\n{plots}<section><pre>{text}</pre></section>\n\
         <footer>sidegate {version} experiment report</footer>\n</main>\n</body>\n</html>\n",
        name = escaped(name),
        stage = escaped(stage),
        model = escaped(view["model"].as_str().unwrap_or_default()),
        mode = escaped(view["mode"].as_str().unwrap_or_default()),
        text = escaped_lines(&super::text::render(view)),
        version = env!("CARGO_PKG_VERSION"),
    )
}

/// Text whose lines stay lines.
fn escaped_lines(text: &str) -> String {
    text.lines().map(|line| escaped(line) + "\n").collect()
}

/// The difference of a variant's primary metric over units, with the band that holds at every look.
fn plot(view: &Value, comparison: &Value) -> String {
    let variant = comparison["variant"].as_str().unwrap_or_default();
    let metric = comparison["primary"]["metric"].as_str().unwrap_or_default();
    let trail = view["trail"].as_array().into_iter().flatten().filter(|point| point["variant"] == variant);
    let points: Vec<[f64; 4]> = trail
        .filter_map(|point| {
            Some([
                point["units"].as_f64()?,
                point["difference"].as_f64()?,
                point["band"][0].as_f64()?,
                point["band"][1].as_f64()?,
            ])
        })
        .collect();
    let (Some(first), Some(last)) = (points.first(), points.last()) else {
        return format!(
            "<section><h2>{}</h2><p class=\"note\">too few units for a difference</p></section>\n",
            escaped(variant)
        );
    };
    // The band of the first looks is as wide as a page; what matters is where it ends.
    let span = 3.0 * (last[3] - last[2]).max(last[1].abs()).max(f64::MIN_POSITIVE);
    let (low, high) = (last[1].min(0.0) - span, last[1].max(0.0) + span);
    let x = |units: f64| LEFT + (units - first[0]) / (last[0] - first[0]).max(1.0) * (WIDTH - LEFT - 10.0);
    let y = |value: f64| (high - value.clamp(low, high)) / (high - low) * (HEIGHT - BOTTOM);
    let line = |column: usize| -> Vec<String> {
        points.iter().map(|point| format!("{:.1},{:.1}", x(point[0]), y(point[column]))).collect()
    };
    let mut edge = line(3);
    edge.extend(line(2).into_iter().rev());
    let label = |value: f64| {
        format!(
            "<text x=\"{:.0}\" y=\"{:.1}\" style=\"text-anchor:end\">{}</text>",
            LEFT - 6.0,
            y(value) + 4.0,
            super::text::number(&value.into())
        )
    };
    format!(
        "<section><h2>{}: difference of {} to the control, over units</h2>\n\
         <svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"difference and its band\">\
         <path class=\"side0\" d=\"M{}Z\" style=\"stroke:none;fill-opacity:.25\"/>\
         <line class=\"axis\" x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{zero:.1}\" y2=\"{zero:.1}\"/>\
         <polyline points=\"{}\" style=\"fill:none;stroke:var(--ours);stroke-width:2\"/>{}{}\
         <text x=\"{LEFT}\" y=\"{HEIGHT}\" style=\"text-anchor:start\">{} units</text>\
         <text x=\"{WIDTH}\" y=\"{HEIGHT}\" style=\"text-anchor:end\">{} units</text></svg>\n\
         <p class=\"note\">The band holds the true difference at all looks together; outside of it is zero, and the difference is real.</p></section>\n",
        escaped(variant),
        escaped(metric),
        edge.join("L"),
        line(1).join(" "),
        label(0.0),
        label(last[1]),
        first[0],
        last[0],
        zero = y(0.0),
    )
}
