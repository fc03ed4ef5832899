//! What a gate lets through, and what it says.

use std::collections::BTreeMap;
use std::time::Instant;

use sidegate::config::ModelCheck;
use sidegate::serving::checks::Finding;

use super::fixture::{classes, numbers, settings};
use crate::evaluate::*;
use crate::table::Task;

fn gate(text: &str) -> Result<Gate, String> {
    Gate::read(&text.parse().unwrap())
}

fn decide(text: &str, predictions: &Predictions, champion: Champion<'_>) -> Decision {
    let evaluation = Evaluation::of(predictions, &[], &settings()).unwrap();
    let facts = BTreeMap::from([("model_bytes".to_owned(), 1000.0)]);
    gate(text).unwrap().decide(&evaluation, champion, &facts)
}

#[test]
fn a_bound_goes_by_the_direction_of_its_metric() {
    let predictions = numbers(300, 1, [0.0, 3.0]);
    for (text, passed) in [
        ("rmse = 4", true),
        ("rmse = 2", false),
        ("test_rmse = 4.0", true),
        ("r2 = 0.5", true),
        ("r2 = 0.999", false),
        ("min_r2 = 0.5\nmax_mae = 4", true),
        ("min_r2 = 0.5\nmax_mae = 1", false),
        // A bound against what is too good to be true.
        ("max_r2 = 0.5", false),
        ("max_model_bytes = 1000", true),
        ("model_bytes = 999", false),
        ("test_rows = 300", true),
        ("min_test_rows = 301", false),
        ("", true),
    ] {
        let decision = decide(text, &predictions, Champion::Absent);
        assert_eq!(decision.passed, passed, "{text}: {decision:?}");
        assert_eq!(decision.refusals().is_empty(), passed);
        let json = serde_json::to_string(&decision).unwrap();
        assert_eq!(serde_json::from_str::<Decision>(&json).unwrap(), decision);
    }
}

#[test]
fn what_is_missing_is_refused_by_name() {
    let one = Predictions::new(Task::Binary, vec![0.0; 4], vec![0.1, 0.6, 0.2, 0.9], None).unwrap();
    for (text, reason) in [
        ("auc = 0.5", "auc has no value: the rows have only one of the two classes"),
        ("latency_p99_us = 100", "latency_p99_us was not measured"),
        ("rmse = 1", "rmse is no metric of a binary model"),
        ("champion.auc = {}", "the champion could not be asked: its file is gone"),
    ] {
        let decision = decide(text, &one, Champion::Unknown("its file is gone"));
        assert_eq!(decision.refusals(), [reason]);
        assert_eq!(decision.rules[0].found, None);
    }
}

#[test]
fn a_candidate_is_held_against_the_champion_with_confidence() {
    let (old, same, worse) =
        (numbers(800, 1, [0.0, 3.0]), numbers(800, 2, [0.0, 3.0]), numbers(800, 1, [0.0, 3.6]));
    let bootstrap = Bootstrap { resamples: 300, ..Bootstrap::default() };
    for (text, candidate, passed) in [
        ("champion.rmse = { margin = 0.5 }", &same, true),
        ("champion.rmse = { relative_margin = 0.15 }", &same, true),
        // As good as the champion, but so many rows do not show it within nothing.
        ("champion.rmse = {}", &same, false),
        ("champion.rmse = { margin = 0.5 }", &worse, false),
        ("champion.rmse = { margin = 1 }", &worse, true),
        ("champion.r2 = { margin = 0.02 }", &worse, false),
        ("champion.auc = { margin = 1 }", &same, false),
    ] {
        let comparison = Comparison::of(&old, candidate, 0.5, &bootstrap).unwrap();
        let decision = decide(text, candidate, Champion::Compared(&comparison));
        assert_eq!(decision.passed, passed, "{text}: {decision:?}");
    }
    let better = Comparison::of(&worse, &old, 0.5, &bootstrap).unwrap();
    let decision = decide("champion.rmse = {}", &old, Champion::Compared(&better));
    assert!(decision.passed && decision.rules[0].reason.contains("better by at least"), "{decision:?}");
    assert!(decide("champion.rmse = {}", &old, Champion::Absent).passed);
}

#[test]
fn a_configuration_that_is_wrong_names_its_key_and_the_way_out() {
    for (text, complaint) in [
        ("rmsee = 1", "did you mean `rmse`?"),
        ("min_accurracy = 1", "gate.min_accurracy: there is no metric `accurracy`; did you mean `accuracy`?"),
        ("zzzzzzzz = 1", "known are accuracy, "),
        ("rmse = \"1\"", "gate.rmse: expected a number"),
        ("rmse = nan", "gate.rmse: expected a number"),
        (
            "max_latency_p99 = 5",
            "gate.max_latency_p99: there is no metric `latency_p99`; did you mean `latency_p99_us`?",
        ),
        ("check = [\"shape\"]", "did you mean `checks`?"),
        ("checks = [\"shapes\"]", "gate.checks: there is no check `shapes`; did you mean `shape`?"),
        ("checks = \"shape\"", "gate.checks: expected a list"),
        ("prediction_range = \"one\"", "gate.prediction_range: expected"),
        ("prediction_range = 1", "gate.prediction_range: expected a text"),
        ("champion.rmse = 1", "gate.champion.rmse: expected a table"),
        ("champion.rmse = { margins = 1 }", "gate.champion.rmse.margins is not known"),
        ("champion.rmse = { margin = 1, relative_margin = 1 }", "not both"),
        ("champion.rmse = { confidence = 95 }", "between 0.5 and 1"),
        ("champion.model_bytes = {}", "gate.champion.model_bytes: there is no metric"),
    ] {
        let error = gate(text).unwrap_err();
        assert!(error.contains(complaint), "{error} and not {complaint}");
        assert!(error.matches("gate").count() == 1, "{error}");
    }
    let error = gate("auc = 0.5").unwrap().check(Task::Regression).unwrap_err();
    assert!(error.contains("`auc`") && error.contains("rmse, mae"), "{error}");
    assert_eq!(gate("auc = 0.5\nmodel_bytes = 9\nmcc = 0.1").unwrap().check(Task::Binary), Ok(()));
}

#[test]
fn a_model_that_fails_its_tests_is_refused_by_their_names() {
    let every = gate("").unwrap();
    assert!(ModelCheck::ALL.iter().all(|check| every.checks.contains(*check)) && every.range.is_none());
    let some = gate("checks = [\"shape\", \"range\"]\nprediction_range = \"0..1\"").unwrap();
    assert!(some.checks.contains(ModelCheck::Range) && !some.checks.contains(ModelCheck::Interface));
    assert_eq!(some.range.map(|range| (range.min, range.max)), Some((0.0, 1.0)));
    let now = Instant::now();
    let good = [Finding::new("shape", Ok("fine".into()), now), Finding::skipped("range", "no range")];
    let decision = Decision::of(Vec::new()).and_tests(&good);
    assert!(decision.passed && decision.rules[0].reason == "1 passed, 1 skipped", "{decision:?}");
    let bad = Finding::new("range", Err("2 of 9 predictions lie without".into()), now);
    let decision = Decision::of(Vec::new()).and_tests(&[good[0].clone(), bad]);
    assert_eq!(decision.refusals(), ["test range: 2 of 9 predictions lie without"]);
}

#[test]
fn reasons_are_sentences() {
    let decision = decide("auc = 0.99\nmodel_bytes = 2000", &classes(400, 1, 1.0), Champion::Absent);
    let reasons: Vec<&str> = decision.rules.iter().map(|answer| answer.reason.as_str()).collect();
    assert!(
        reasons[0].starts_with("auc is 0.") && reasons[0].ends_with(" and has to be at least 0.99"),
        "{reasons:?}"
    );
    assert_eq!(reasons[1], "model_bytes is 1000, at most 2000");
}
