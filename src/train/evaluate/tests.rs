//! Numbers against scikit-learn's, which `compare/metrics.py` wrote, and what must hold whatever the numbers.

mod fixture;
mod gate;
mod pictures;
mod shapley;
mod uncertainty;

use crate::evaluate::metric::named;
use serde_json::Value;

use self::fixture::{cases, settings};
use super::*;
use crate::table::Task;

/// Sums in another order differ by so much.
const TOLERANCE: f64 = 1e-9;

#[test]
fn metrics_are_those_of_scikit_learn() {
    for case in cases() {
        let evaluation = Evaluation::of(&case.predictions, &[], &case.settings).unwrap();
        let expected = case.raw["expected"].as_object().unwrap();
        assert_eq!(evaluation.metrics.len() + evaluation.undefined.len(), expected.len(), "{}", case.name);
        for (name, want) in expected {
            match (evaluation.value(name), want.as_f64()) {
                (Some(got), Some(want)) => {
                    let close = (got - want).abs() <= TOLERANCE * want.abs().max(1.0);
                    assert!(close, "{}: {name} is {got} and not {want}", case.name);
                }
                (got, want) => assert_eq!(got, want, "{}: {name}", case.name),
            }
        }
    }
}

#[test]
fn the_confusion_matrix_and_the_best_threshold_are_those_of_scikit_learn() {
    for case in cases().filter(|case| case.raw["confusion"].is_array()) {
        let evaluation = Evaluation::of(&case.predictions, &[], &case.settings).unwrap();
        let want: Vec<Vec<f64>> = serde_json::from_value(case.raw["confusion"].clone()).unwrap();
        let got = evaluation.confusion.unwrap().counts;
        assert_eq!(got.len(), want.len());
        for (got, want) in got.iter().flatten().zip(want.iter().flatten()) {
            assert!((got - want).abs() < 1e-9, "{}: {got} and not {want}", case.name);
        }
        if let Some([threshold, f1]) = case.raw["best_f1"].as_array().map(Vec::as_slice) {
            let best = evaluation.best_f1.unwrap();
            assert_eq!(Value::from(best.threshold), *threshold, "{}", case.name);
            assert!((best.f1 - f1.as_f64().unwrap()).abs() < 1e-12, "{}", case.name);
        }
    }
}

#[test]
fn a_row_whose_truth_is_nothing_has_no_relative_error() {
    let of =
        |truth: Vec<f64>, scores: Vec<f64>| Predictions::new(Task::Regression, truth, scores, None).unwrap();
    let found = Evaluation::of(&of(vec![0.0, 10.0, -4.0], vec![1.0, 11.0, -5.0]), &[], &settings()).unwrap();
    assert!((found.value("mape").unwrap() - 0.175).abs() < 1e-12, "{found:?}");
    let none = Evaluation::of(&of(vec![0.0, 0.0], vec![1.0, 2.0]), &[], &settings()).unwrap();
    assert_eq!(none.undefined.get("mape").map(String::as_str), Some("the true value is 0 in every row"));
    // Nor has it any part in a comparison.
    let rows = |off: f64| {
        let truth: Vec<f64> = (0..40).map(f64::from).collect();
        let scores = truth.iter().map(|truth| truth * (1.0 + off) + off * (truth % 3.0)).collect();
        of(truth, scores)
    };
    let compared = Comparison::of(&rows(0.2), &rows(0.1), 0.5, &settings().bootstrap).unwrap();
    let mape = compared.named("mape").unwrap();
    assert!(mape.p.is_some_and(|p| p < 1e-6) && mape.difference < 0.0, "{mape:?}");
}

#[test]
fn names_and_directions_are_those_of_the_library() {
    for metric in sidegate::score::METRICS.iter().filter(|metric| metric.task().is_some()) {
        let own = named(metric.name).unwrap_or_else(|| panic!("{} is missing", metric.name));
        assert_eq!(own.better, metric.better, "{}", metric.name);
    }
    assert_eq!(named("test_rmse"), named("rmse"));
    assert_eq!(named("mcc"), named("matthews"));
    let founding =
        Evaluation::of(&cases().next().unwrap().predictions, &[], &settings()).unwrap().named("test_");
    assert!(
        ["test_rmse", "test_mae", "test_r2"].iter().all(|name| founding.contains_key(*name)),
        "{founding:?}"
    );
}

#[test]
fn what_the_library_computes_of_a_row_is_the_same() {
    for case in cases().filter(|case| case.raw["weight"].is_null()) {
        let (truth, evaluation) =
            (case.predictions.truth(), Evaluation::of(&case.predictions, &[], &case.settings).unwrap());
        let near = |name: &str, want: f64| {
            let got = evaluation.value(name).unwrap_or(f64::NAN);
            let same =
                (got - want).abs() <= TOLERANCE * want.abs().max(1.0) || (got.is_nan() && want.is_nan());
            assert!(same, "{}: {name} is {got} and not {want}", case.name);
        };
        if case.predictions.task() == crate::table::Task::Regression {
            let (truth, predicted) = (truth.to_vec(), case.predictions.scores().to_vec());
            let numbers = sidegate::score::Numbers { truth, predicted };
            near("rmse", numbers.rmse());
            near("r2", numbers.r2());
            near("median_ae", numbers.median_ae());
        } else {
            let threshold = case.settings.threshold.unwrap_or(0.5);
            let classes = sidegate::score::Classes {
                truth: truth.iter().map(|truth| *truth as usize).collect(),
                predicted: case.predictions.classes(threshold),
                ..Default::default()
            };
            near("accuracy", classes.accuracy().unwrap());
            near("f1_weighted", classes.f1().unwrap());
            near("matthews", classes.tally().matthews());
        }
    }
}

#[test]
fn rows_that_cannot_be_are_refused_with_their_place() {
    use crate::table::Task::{Binary, Multiclass, Regression};
    for (task, truth, scores, weight, complaint) in [
        (Regression, vec![], vec![], None, "no rows"),
        (Regression, vec![1.0, f64::NAN], vec![1.0, 1.0], None, "row 1: the truth NaN"),
        (Regression, vec![1.0, 2.0], vec![1.0, f64::INFINITY], None, "row 1: the model answers inf"),
        (Regression, vec![1.0, 2.0], vec![1.0], None, "1 scores for 2 rows"),
        (Binary, vec![1.0, 2.0], vec![0.5, 0.5], None, "row 1: the truth 2"),
        (Binary, vec![1.0, 0.0], vec![1.5, 0.5], None, "row 0: the model answers 1.5"),
        (Multiclass { classes: 3 }, vec![0.5], vec![0.2, 0.3, 0.5], None, "row 0: the truth 0.5"),
        (Multiclass { classes: 0 }, vec![0.0], vec![], None, "scores for 1 rows of 0"),
        (Regression, vec![1.0], vec![1.0], Some(vec![0.0]), "weigh 0"),
        (Regression, vec![1.0], vec![1.0], Some(vec![-1.0]), "weights"),
    ] {
        let error = Predictions::new(task, truth, scores, weight).unwrap_err();
        assert!(error.contains(complaint), "{error} and not {complaint}");
    }
}
