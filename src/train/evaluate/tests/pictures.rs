//! Plots, the page and the card: nothing of a name becomes markup, and what is drawn can be drawn of anything.

use std::collections::BTreeMap;

use super::fixture::{cases, classes, numbers, settings};
use crate::evaluate::card::{Card, Data, Feature, Interface, Lineage, Model, Port, Proof, Usage};
use crate::evaluate::plot::{self, Plot};
use crate::evaluate::*;
use crate::table::Round;

const EVIL: &str = "<script>alert('x')</script> | \"&\" *";

fn evil_card() -> Card {
    let predictions = classes(300, 1, 1.0);
    let groups: Vec<String> = (0..300).map(|at| format!("{EVIL}{}", at % 2)).collect();
    let labels = vec![EVIL.to_owned(), "yes".to_owned()];
    let evaluation = Evaluation::of(
        &predictions,
        &[Grouping::of_values(EVIL, &groups)],
        &Settings { labels, ..settings() },
    )
    .unwrap();
    let gate = Gate::read(&"auc = 0.5\nmax_log_loss = 0.1".parse().unwrap()).unwrap();
    let comparison = Comparison::of(&classes(300, 1, 0.5), &predictions, 0.5, &settings().bootstrap).unwrap();
    let text = || EVIL.to_owned();
    Card {
        format: 1,
        model: Model {
            name: text(),
            version: Some(7),
            created: "2026-11-23T02:00:11Z".to_owned(),
            summary: text(),
            learner: "xgboost 3.4.1".to_owned(),
            license: "apache-2.0".to_owned(),
            tags: vec![text()],
            facts: BTreeMap::from([("model_bytes".to_owned(), 318_672.0)]),
        },
        usage: Usage { intended: text(), limitations: vec![text()] },
        data: Data {
            hub: Vec::new(),
            name: text(),
            source: text(),
            digest: "sha256:00".to_owned(),
            range: Some(["2024-01-01".to_owned(), text()]),
            target: text(),
            rows: BTreeMap::from([("train".to_owned(), 900), ("test".to_owned(), 300)]),
            findings: vec![text()],
        },
        interface: Interface {
            inputs: vec![Port { name: text(), datatype: text(), shape: vec![-1] }],
            outputs: vec![],
        },
        features: (0..45)
            .map(|at| Feature {
                name: format!("{EVIL}{at}"),
                shap: Some(f64::from(at)),
                ..Feature::default()
            })
            .collect(),
        params: BTreeMap::from([(text(), EVIL.into())]),
        gate: Some(gate.decide(&evaluation, Champion::Absent, &BTreeMap::new())),
        comparison: Some(comparison),
        evaluation,
        proof: vec![Proof {
            engine: text(),
            version: Some(text()),
            rows: 300,
            largest: 1e-7,
            ..Proof::default()
        }],
        lineage: Lineage { code: Some(text()), parent: Some(6), ..Lineage::default() },
    }
}

fn all_plots(predictions: &Predictions) -> Vec<Plot> {
    let evaluation = Evaluation::of(predictions, &[], &settings()).unwrap();
    let labels = vec![EVIL.to_owned(); 9];
    let mut plots = plot::of(predictions, &labels);
    plots.extend(evaluation.confusion.as_ref().map(plot::confusion));
    plots
}

#[test]
fn plots_hold_no_number_that_is_none_and_every_tag_is_closed() {
    let round = |round, train, validation| Round { round, of: 9, metric: "rmse", train, validation };
    let odd =
        [vec![], vec![round(1, 2.0, None)], vec![round(0, 1.0, Some(1.0)), round(5, 1.0, Some(f64::NAN))]];
    let mut plots: Vec<Plot> = cases().flat_map(|case| all_plots(&case.predictions)).collect();
    plots.extend(all_plots(&numbers(2000, 1, [1e9, 3e6])));
    plots.extend(odd.iter().map(|rounds| plot::learning_curve(rounds, Some(5))));
    let names = |values: &[f64]| values.iter().map(|value| (EVIL.to_owned(), *value)).collect::<Vec<_>>();
    for values in [vec![], vec![0.0, 0.0], vec![-1.0, 2.0, f64::NAN], vec![1e-9; 50]] {
        plots.push(plot::bars("importance", EVIL, "mean |SHAP|", &names(&values)));
    }
    for plot in plots {
        let file = plot.file();
        for wrong in ["NaN", "inf", "<script", "http://www.w3.org/1999", "style=", "href"] {
            assert!(!file.contains(wrong), "{}: {wrong} in {file}", plot.name);
        }
        for tag in ["svg", "text", "rect", "circle", "title", "style"] {
            let opened =
                file.matches(&format!("<{tag} ")).count() + file.matches(&format!("<{tag}>")).count();
            let closed = file.matches(&format!("</{tag}>")).count();
            let alone = matches!(tag, "rect" | "circle");
            assert!(
                if alone { opened >= closed } else { opened == closed },
                "{}: {tag} in {file}",
                plot.name
            );
        }
        assert!(file.len() < 250_000, "{}: {} bytes", plot.name, file.len());
    }
}

/// Each computes them for itself: what is written in a legend is the metric of the table.
#[test]
fn numbers_in_legends_are_the_metrics() {
    for (name, figures) in [
        (
            "binary",
            [
                ("roc", "area", "auc"),
                ("precision-recall", "average", "average_precision"),
                ("calibration", "error", "ece"),
            ]
            .as_slice(),
        ),
        ("multiclass", &[("roc", "macro average, area", "auc_ovr")]),
    ] {
        let case = cases().find(|case| case.raw["task"] == name && case.raw["weight"].is_null()).unwrap();
        let evaluation = Evaluation::of(&case.predictions, &[], &case.settings).unwrap();
        let plots = plot::of(&case.predictions, &[]);
        for (plot, what, metric) in figures {
            let file = plots.iter().find(|found| found.name == *plot).unwrap().file();
            let value: f64 =
                file.split_once(&format!("{what} ")).unwrap().1.split('<').next().unwrap().parse().unwrap();
            let metric = evaluation.value(metric).unwrap();
            assert!((value - metric).abs() <= 0.005 * metric, "{plot}: {value} and not {metric}");
        }
    }
}

#[test]
fn nothing_of_a_name_becomes_markup() {
    let card = evil_card();
    let plots = all_plots(&classes(300, 1, 1.0));
    let page = report::page(&card, &plots);
    assert!(!page.contains("<script") && page.contains("&lt;script&gt;"), "{page}");
    for elsewhere in ["http://", "https://", "url(", "@import", "src="] {
        assert!(!page.contains(elsewhere), "{elsewhere}");
    }
    assert_eq!(page.matches("<section").count(), page.matches("</section>").count());
    assert!(page.contains("prefers-color-scheme: dark") && page.contains("refused: 1 rule is broken"));
    let markdown = card.markdown();
    let body = markdown.split_once("\n---\n").unwrap().1;
    assert!(!body.contains("<script") && !body.contains(" | \"&\""), "{body}");
}

#[test]
fn a_card_is_the_same_after_it_was_stored() {
    let card = evil_card();
    let mut again: Card = serde_json::from_str(&card.json().unwrap()).unwrap();
    assert_eq!(again.json().unwrap(), card.json().unwrap());
    assert_eq!(again.markdown(), card.markdown());
    again.features.clear();
    assert!(!again.markdown().contains("## Features"));
}

#[test]
fn the_front_matter_says_what_the_hub_asks_for() {
    let markdown = evil_card().markdown();
    let front =
        |markdown: &str| markdown.strip_prefix("---\n").unwrap().split_once("---\n").unwrap().0.to_owned();
    // A file or a table is nothing that the Hub has.
    assert!(
        !front(&markdown).contains("datasets:") && front(&markdown).contains("type: \"unknown\""),
        "{markdown}"
    );
    let mut on_the_hub = evil_card();
    on_the_hub.data.hub = vec!["scikit-learn/churn".to_owned()];
    let listed = front(&on_the_hub.markdown());
    assert!(listed.contains("datasets:\n- \"scikit-learn/churn\"\n"), "{listed}");
    assert!(listed.contains("type: \"scikit-learn/churn\"\n"), "{listed}");
    let front = front(&markdown);
    for line in [
        "license: \"apache-2.0\"",
        "library_name: sidegate",
        "pipeline_tag: tabular-classification",
        "- \"xgboost\"",
        "model-index:",
        "    - type: \"auc\"",
    ] {
        assert!(front.lines().any(|found| found == line), "{line}: {front}");
    }
}

#[test]
fn scales_begin_and_end_at_round_numbers() {
    let bars = |values: &[f64]| {
        let named: Vec<(String, f64)> = values.iter().map(|value| ("x".to_owned(), *value)).collect();
        plot::bars("importance", "Importance", "unit", &named).inline()
    };
    // Nothing is below zero, so the scale is not either.
    for (values, ticks) in [
        (vec![0.55, 0.2], vec!["0", "0.2", "0.4", "0.6"]),
        (vec![20.0, 3.0], vec!["0", "5", "10", "15", "20"]),
    ] {
        let svg = bars(&values);
        let found: Vec<&str> = svg.lines().filter(|line| line.contains("\"grid\"")).collect();
        assert_eq!(found.len(), ticks.len(), "{svg}");
        for (line, tick) in found.iter().zip(ticks) {
            assert!(line.contains(&format!(">{tick}</text>")), "{line} and not {tick}");
        }
    }
}
