//! The report as one page without anything from elsewhere: tiles, a chart, tables; light and dark.

use super::report::{Alone, Measured, Report, Verdict, inputs, micros};
use crate::cli::markup::escaped;

/// Looks only: colours of both modes, tiles, tables.
const STYLE: &str = include_str!("page.css");

/// Size of the chart's drawing area.
const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 200.0;

/// The page.
pub(super) fn page(report: &Report) -> String {
    let (class, word) = match report.verdict {
        Verdict::Equal => ("good", "equal"),
        Verdict::Different => ("bad", "different"),
        Verdict::Failed => ("bad", "failed"),
        Verdict::NotComparable => ("open", "not comparable"),
        Verdict::NotJudged => ("open", "not judged"),
    };
    let model = report.model.rsplit('/').next().unwrap_or_default();
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>sidegate try: {title}</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <h1>{title} <span class=\"badge {class}\">{word}</span></h1>\n\
         <p class=\"lead\">{headline}</p>\n{tiles}{difference}{chart}{figures}{facts}\
         <footer>sidegate {version} try, {date}</footer>\n</main>\n</body>\n</html>\n",
        title = escaped(model),
        headline = escaped(&report.headline()),
        tiles = tiles(report),
        difference = difference(report),
        chart = chart(&report.sides),
        figures = figures(report),
        facts = facts(report),
        version = env!("CARGO_PKG_VERSION"),
        date = escaped(&report.date),
    )
}

/// The few numbers that are looked at first.
fn tiles(report: &Report) -> String {
    let figures = report.figures();
    let tile = |name: &str, label: &str| {
        let [_, ours, theirs, ratio] = figures.iter().find(|figure| figure[0] == name)?;
        let below = match (theirs.as_str(), ratio.as_str()) {
            ("" | "-", _) => String::new(),
            (theirs, "") => format!("other {theirs}"),
            (theirs, ratio) => format!("other {theirs}, {ratio}"),
        };
        Some(format!(
            "<div class=\"tile\"><span>{}</span><strong>{}</strong><small>{}</small></div>\n",
            escaped(label),
            escaped(ours),
            escaped(&below)
        ))
    };
    if report.sides.is_empty() {
        return String::new();
    }
    let shown =
        [("p50", "latency p50"), ("p99", "latency p99"), ("requests/s", "requests/s"), ("memory", "memory")];
    let tiles: String = shown.iter().filter_map(|(name, label)| tile(name, label)).collect();
    format!("<section class=\"tiles\">\n{tiles}</section>\n")
}

fn difference(report: &Report) -> String {
    let Some(first) = report.equality.as_ref().and_then(|equality| equality.first.as_ref()) else {
        return String::new();
    };
    format!(
        "<section><h2>First difference</h2><p>Request {}, row {}, output <code>{}</code></p>\
         <table><tr><th>sidegate</th><td>{}</td></tr><tr><th>other</th><td>{}</td></tr>\
         <tr><th>inputs</th><td>{}</td></tr></table></section>\n",
        first.request + 1,
        first.row + 1,
        escaped(&first.output),
        escaped(&first.ours),
        escaped(&first.theirs),
        escaped(&inputs(&first.inputs))
    )
}

fn figures(report: &Report) -> String {
    if report.sides.is_empty() {
        return String::new();
    }
    let two = report.sides.len() > 1;
    let head = if two { "<th>sidegate</th><th>other</th><th>times</th>" } else { "<th>sidegate</th>" };
    let line = |[name, ours, theirs, ratio]: [String; 4]| {
        let rest = if two {
            format!("<td>{}</td><td>{}</td>", escaped(&theirs), escaped(&ratio))
        } else {
            String::new()
        };
        format!("<tr><th>{}</th><td>{}</td>{rest}</tr>\n", escaped(&name), escaped(&ours))
    };
    let mut lines: String = report.figures().into_iter().map(line).collect();
    for Alone { engine, p50_us } in &report.alone {
        let name = format!("{engine} in process, without HTTP");
        lines += &line([name, micros(*p50_us), String::new(), String::new()]);
    }
    let missing: String = report
        .sides
        .iter()
        .filter_map(|side| Some((side, side.not_measurable.as_ref()?)))
        .map(|(side, why)| {
            format!(
                "<p class=\"note\">CPU and memory of {}: not measurable ({})</p>\n",
                escaped(&side.name),
                escaped(why)
            )
        })
        .collect();
    format!(
        "<section><h2>Figures</h2><table class=\"figures\"><tr><th></th>{head}</tr>\n{lines}</table>{missing}</section>\n"
    )
}

fn facts(report: &Report) -> String {
    let line = |(name, fact): (&str, String)| {
        format!("<tr><th>{}</th><td>{}</td></tr>\n", escaped(name), escaped(&fact))
    };
    let lines: String = report.facts().into_iter().map(line).collect();
    format!("<section><h2>What was tried</h2><table>{lines}</table></section>\n")
}

/// How many requests took how long, on a logarithmic scale; each side's bars as shares of its own.
fn chart(sides: &[Measured]) -> String {
    let used = |bar: &usize| sides.iter().any(|side| side.bars.get(*bar).is_some_and(|count| *count > 0));
    let length = sides.first().map_or(0, |side| side.bars.len());
    let (Some(first), Some(last)) = ((0..length).find(used), (0..length).rfind(used)) else {
        return String::new();
    };
    // Some air on both sides, and never a single bar as wide as the page.
    let (first, last) = (first.saturating_sub(3), last + 4);
    let x = |bar: f64| (bar - first as f64) / (last - first) as f64 * WIDTH;
    let share = |side: &Measured, bar: usize| {
        f64::from(side.bars.get(bar).copied().unwrap_or(0)) / side.requests.max(1) as f64
    };
    let highest =
        sides.iter().flat_map(|side| (first..last).map(move |bar| share(side, bar))).fold(1e-9, f64::max);
    let area = |(number, side): (usize, &Measured)| {
        let mut path = format!("M{:.1},{HEIGHT}", x(first as f64));
        for bar in first..last {
            let y = HEIGHT * (1.0 - share(side, bar) / highest * 0.92);
            path += &format!("L{:.1},{y:.1}L{:.1},{y:.1}", x(bar as f64), x(bar as f64 + 1.0));
        }
        path += &format!("L{:.1},{HEIGHT}Z", x(last as f64));
        let name = escaped(&side.name);
        format!(
            "<path class=\"side{number}\" d=\"{path}\"><title>{name}: p50 {}, p99 {}</title></path>\n",
            micros(side.p50_us),
            micros(side.p99_us)
        )
    };
    let areas: String = sides.iter().enumerate().map(area).collect();
    let tick = |bar: usize| {
        let at = x(bar as f64);
        format!(
            "<line class=\"grid\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"0\" y2=\"{HEIGHT}\"/>\
             <text x=\"{at:.1}\" y=\"{:.1}\">{}</text>\n",
            HEIGHT + 18.0,
            plain(Measured::bar_us(bar))
        )
    };
    // 1, 2, 5 of each power of ten, the beginnings of bars that come nearest.
    let ticks: String = (first..=last).filter(|bar| matches!(bar % 20, 0 | 6 | 14)).map(tick).collect();
    let legend: String = sides
        .iter()
        .enumerate()
        .map(|(number, side)| format!("<span class=\"key side{number}\"></span>{} ", escaped(&side.name)))
        .collect();
    format!(
        "<section><h2>Latency</h2><p class=\"legend\">{legend}</p>\
         <svg viewBox=\"-20 -4 {:.0} {:.0}\" role=\"img\" aria-label=\"distribution of latencies\">\n{ticks}{areas}\
         <line class=\"axis\" x1=\"0\" x2=\"{WIDTH}\" y1=\"{HEIGHT}\" y2=\"{HEIGHT}\"/>\n</svg>\
         <p class=\"note\">Share of requests by latency seen by the client; logarithmic scale.</p></section>\n",
        WIDTH + 40.0,
        HEIGHT + 30.0
    )
}

/// A tick's value with one digit.
fn plain(micros: f64) -> String {
    let (value, unit) = match micros {
        v if v >= 0.95e6 => (v / 1e6, "s"),
        v if v >= 950.0 => (v / 1e3, "ms"),
        v => (v, "µs"),
    };
    let magnitude = 10_f64.powf(value.log10().floor());
    format!("{} {unit}", (value / magnitude).round() * magnitude)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cli::peer::compare::{Difference, Equality};
    use crate::cli::trial::measure::Taken;
    use crate::cli::trial::usage::Held;

    fn report() -> Report {
        let taken = |micros: u64| Taken {
            latencies: (0..100).map(|n| (micros + n) * 1000).collect(),
            elapsed: Duration::from_millis(100),
            cpu_nanos: Some(1_000_000),
            held: Some(Held { bytes: 12 << 20, threads: 3 }),
        };
        let evil = "<script>alert('x')</script>".to_owned();
        let first = Difference {
            request: 0,
            row: 0,
            output: evil.clone(),
            ours: "1".into(),
            theirs: evil.clone(),
            inputs: vec![(evil.clone(), "\"&\"".into())],
        };
        Report {
            verdict: Verdict::Different,
            model: format!("a/{evil}"),
            engine: "trees",
            engine_reason: evil.clone(),
            judge: Some(evil.clone()),
            notes: vec![evil.clone()],
            equality: Some(Equality {
                rows: 1000,
                equal: 998,
                largest: 0.25,
                tolerance: 1e-5,
                first: Some(first),
                ..Equality::default()
            }),
            sides: vec![
                Measured::new("sidegate", &taken(50), &Err("another machine".into())),
                Measured::new("the other side", &taken(4000), &Err(evil)),
            ],
            alone: vec![Alone { engine: "trees", p50_us: 1.25 }],
            ..Report::default()
        }
    }

    #[test]
    fn nothing_of_a_model_or_a_server_becomes_markup() {
        let page = page(&report());
        assert!(!page.contains("<script") && page.contains("&lt;script&gt;alert(&#39;x&#39;)"), "{page}");
        for elsewhere in ["http://", "https://", "url(", "@import", "src="] {
            assert!(!page.contains(elsewhere), "{elsewhere}");
        }
    }

    #[test]
    fn the_page_holds_what_the_terminal_says() {
        let (page, text) = (page(&report()), report().text());
        for part in ["998 of 1,000 rows", "99.0 µs", "4.05 ms", "12 MiB", "1.25 µs", "another machine"] {
            assert!(text.contains(part), "{part}: {text}");
            assert!(page.contains(part), "{part}");
        }
        assert!(page.contains("class=\"side1\"") && page.contains("prefers-color-scheme: dark"));
        let opened = page.matches("<section").count();
        assert_eq!(opened, page.matches("</section>").count());
    }

    #[test]
    fn ticks_are_round() {
        let shown = [0, 6, 14, 20, 60, 66, 74, 120].map(|bar| plain(Measured::bar_us(bar)));
        assert_eq!(shown, ["1 µs", "2 µs", "5 µs", "10 µs", "1 ms", "2 ms", "5 ms", "1 s"]);
    }
}
