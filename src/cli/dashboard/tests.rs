use std::collections::BTreeSet;

use serde_json::Value;

use super::grafana::{dashboard, expression};
use super::panels::SECTIONS;
use crate::cli::Args;
use clap::Parser as _;

fn panels(board: &Value) -> &Vec<Value> {
    board["panels"].as_array().unwrap()
}

/// The words behind `by (` and `{{` of a query and its legend.
fn between(text: &str, open: &str, close: char) -> BTreeSet<String> {
    let parts = text.split(open).skip(1).map(|part| part.split(close).next().unwrap());
    parts.flat_map(|part| part.split(',').map(|word| word.trim().to_owned())).collect()
}

#[test]
fn panels_fill_their_rows_and_stand_on_nobody() {
    let board = dashboard("churn", "default");
    let mut taken = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for panel in panels(&board) {
        let of = |name: &str| panel["gridPos"][name].as_u64().unwrap();
        assert!(of("x") + of("w") <= 24 && of("h") > 0, "{panel}");
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
        for (x, y) in
            (of("x")..of("x") + of("w")).flat_map(|x| (of("y")..of("y") + of("h")).map(move |y| (x, y)))
        {
            assert!(taken.insert((x, y)), "{}, {y}: {panel}", x);
        }
    }
    // Nothing is left over beside them.
    let rows: BTreeSet<u64> = taken.iter().map(|(_, y)| *y).collect();
    assert_eq!(taken.len(), 24 * rows.len());
    assert_eq!(rows.len() as u64, rows.last().unwrap() + 1);
}

#[test]
fn the_founding_panels_are_there_and_a_model_keeps_its_dashboard() {
    let board = dashboard("churn", "main");
    let founding = ["Prediction Volume", "Prediction Latency", "Data Drift Score"];
    let titles: Vec<&str> = panels(&board).iter().filter_map(|panel| panel["title"].as_str()).collect();
    assert_eq!(titles.iter().filter(|title| founding.contains(title)).copied().collect::<Vec<_>>(), founding);
    assert_eq!(board["title"], "churn Model Monitoring");
    assert_eq!(
        (&board["uid"], board["uid"].as_str().unwrap().len()),
        (&dashboard("churn", "default")["uid"], 25)
    );
    assert_ne!(board["uid"], dashboard("churn2", "main")["uid"]);
    let source = &board["templating"]["list"][0];
    assert_eq!((&source["name"], &source["current"]["value"]), (&"datasource".into(), &"main".into()));
}

#[test]
fn every_query_is_of_the_model_or_its_sidecars_and_legends_name_its_labels() {
    for panel in SECTIONS.iter().flat_map(|section| section.panels) {
        assert!(!panel.queries.is_empty() && panel.about.ends_with('.'), "{}", panel.title);
        for query in panel.queries {
            let names = |text: &str| text.matches("model_").count() + text.matches("sidegate_").count();
            assert!(
                names(query.0) > 0 || query.0.contains("process_") || query.0.contains("data_drift"),
                "{}",
                query.0
            );
            let shown = expression(query.0, "churn");
            assert!(!shown.contains("{ALL") && !shown.contains("{MODEL"), "{shown}");
            // Whatever is counted up is asked for by its rate.
            let ranges = shown.matches("[$__rate_interval]").count();
            assert_eq!(
                ranges,
                shown.matches("rate(").count() + shown.matches("increase(").count(),
                "{shown}"
            );
            assert_eq!(
                shown.matches("_bucket{").count() + shown.matches("_total{").count(),
                ranges,
                "{shown}"
            );
            let (by, legend) = (between(query.0, "by (", ')'), between(query.1, "{{", '}'));
            assert!(legend.is_subset(&by), "{}: {legend:?} of {by:?}", panel.title);
        }
    }
}

#[test]
fn a_label_is_quoted_as_promql_has_it() {
    assert_eq!(
        expression("a{MODEL,b=\"c\"}", "m\"\\\n"),
        r#"a{model="m\"\\\n",instance=~"$instance",b="c"}"#
    );
    assert_eq!(expression("a{ALL}", "m"), r#"a{instance=~"$instance"}"#);
}

#[test]
fn what_is_no_name_of_a_model_is_wrong_usage() {
    for name in ["../x", "a b", "", "m@7", "-m", "_m", "m\"}"] {
        let error = Args::try_parse_from(["sidegate", "dashboard", "grafana", name]).unwrap_err();
        assert!(error.use_stderr(), "{name}");
    }
    assert!(Args::try_parse_from(["sidegate", "dashboard", "grafana", "flight-delay"]).is_ok());
}
