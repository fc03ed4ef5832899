//! Intervals, slices, comparisons and shuffling: what chance explains, and what not.

use crate::evaluate::metric::Loss;
use crate::evaluate::paired::{Finding, Paired};
use sidegate::stats::tails;

use super::fixture::{classes, numbers, settings};
use crate::evaluate::paired::mcnemar;
use crate::evaluate::*;
use crate::table::Task;

fn bootstrap() -> Bootstrap {
    Bootstrap { resamples: 400, ..Bootstrap::default() }
}

#[test]
fn an_interval_is_as_wide_as_theory_says() {
    let predictions = numbers(900, 5, [0.0, 4.0]);
    let all = Settings { bootstrap: Bootstrap { resamples: 2000, ..bootstrap() }, ..Settings::default() };
    let evaluation = Evaluation::of(&predictions, &[], &all).unwrap();
    let mae = evaluation.metrics.iter().find(|metric| metric.name == "mae").unwrap();
    let losses = predictions.losses(Loss::Absolute);
    let variance = losses.iter().map(|loss| (loss - mae.value).powi(2)).sum::<f64>() / losses.len() as f64;
    let half = -tails::norm_ppf(0.025) * (variance / losses.len() as f64).sqrt();
    let [low, high] = mae.interval.unwrap();
    for (got, want) in [(mae.value - low, half), (high - mae.value, half)] {
        assert!((got / want - 1.0).abs() < 0.12, "{got} and not about {want}");
    }
}

#[test]
fn intervals_hold_their_value_and_depend_on_the_seed_only() {
    let predictions = classes(400, 1, 1.0);
    let evaluate = |seed, threads| {
        let bootstrap = Bootstrap { seed, threads, ..bootstrap() };
        Evaluation::of(&predictions, &[], &Settings { bootstrap, ..Settings::default() }).unwrap()
    };
    let one = evaluate(1, 1);
    assert_eq!(one, evaluate(1, 3));
    assert_ne!(one, evaluate(2, 1));
    for metric in &one.metrics {
        let [low, high] = metric.interval.unwrap();
        // The calibration error of few rows is biased upwards in resamples.
        let inside = metric.name == "ece" || (low..=high).contains(&metric.value);
        assert!(low < high && inside, "{metric:?}");
    }
}

#[test]
fn what_half_of_the_resamples_lack_has_no_interval() {
    let truth = [vec![1.0], vec![0.0; 30]].concat();
    let scores = [vec![0.9], vec![0.1; 30]].concat();
    let predictions = Predictions::new(Task::Binary, truth, scores, None).unwrap();
    let evaluation = Evaluation::of(&predictions, &[], &settings()).unwrap();
    let interval =
        |name: &str| evaluation.metrics.iter().find(|metric| metric.name == name).unwrap().interval;
    assert!(interval("auc").is_none() && interval("accuracy").is_some());
}

#[test]
fn a_slice_is_flagged_only_where_the_model_is_worse_beyond_chance() {
    let rows = 3000;
    let plain = numbers(rows, 9, [0.0, 4.0]);
    let scores: Vec<f64> =
        plain.scores().iter().enumerate().map(|(at, s)| if at % 10 == 3 { s + 3.0 } else { *s }).collect();
    let bad = Predictions::new(Task::Regression, plain.truth().to_vec(), scores, None).unwrap();
    let groups: Vec<String> = (0..rows).map(|at| format!("g{}", at % 10)).collect();
    let groupings = [Grouping::of_values("group", &groups)];
    let flagged = |predictions: &Predictions| -> Vec<String> {
        let evaluation = Evaluation::of(predictions, &groupings, &settings()).unwrap();
        assert_eq!(evaluation.slices.iter().map(|slice| slice.rows).sum::<usize>(), rows);
        evaluation.slices.into_iter().filter(|slice| slice.worse).map(|slice| slice.value).collect()
    };
    assert_eq!(flagged(&plain), Vec::<String>::new());
    assert_eq!(flagged(&bad), ["g3"]);
}

#[test]
fn numbers_are_parted_evenly_and_what_is_missing_stands_apart() {
    let values: Vec<f32> = (0..100).map(|at| if at < 10 { f32::NAN } else { at as f32 }).collect();
    let predictions = numbers(100, 1, [0.0, 1.0]);
    let groupings = [
        Grouping::of_numbers("x", &values),
        Grouping::of_numbers("constant", &[1.0; 100]),
        Grouping::of_values("many", &(0..100).map(|at| format!("v{}", at % 40)).collect::<Vec<_>>()),
    ];
    let slices = Evaluation::of(&predictions, &groupings, &settings()).unwrap().slices;
    let of = |column: &str| -> Vec<(&str, usize)> {
        let of = slices.iter().filter(|slice| slice.column == column);
        of.map(|slice| (slice.value.as_str(), slice.rows)).collect()
    };
    let even = [
        ("below 28", 18),
        ("28 to 46", 18),
        ("46 to 64", 18),
        ("64 to 82", 18),
        ("from 82", 18),
        ("missing", 10),
    ];
    assert_eq!(of("x"), even);
    assert_eq!(of("constant"), [("any", 100)]);
    assert_eq!((of("many").len(), of("many")[11].0), (12, "29 others"));
    let few = [Grouping::of_numbers("x", &[1.0])];
    assert!(Evaluation::of(&predictions, &few, &settings()).unwrap_err().contains("`x`"));
}

#[test]
fn a_comparison_finds_the_better_model_and_no_difference_where_there_is_none() {
    let compare = |old: &Predictions, new: &Predictions, name: &str| {
        let comparison = Comparison::of(old, new, 0.5, &bootstrap()).unwrap();
        comparison.named(name).unwrap().clone()
    };
    let (good, bad, other) =
        (numbers(600, 1, [0.0, 3.0]), numbers(600, 1, [0.0, 3.5]), numbers(600, 2, [0.0, 3.0]));
    for name in ["rmse", "mae", "mse", "r2", "median_ae"] {
        let [better, worse] = [compare(&bad, &good, name), compare(&good, &bad, name)];
        assert_eq!([better.finding, worse.finding], [Finding::Better, Finding::Worse], "{name}");
        assert!((better.difference + worse.difference).abs() < 1e-12, "{name}");
        let [low, high] = better.interval.unwrap();
        assert!(low <= better.difference && better.difference <= high, "{better:?}");
        assert!(better.worse_by_at_most(0.95).unwrap() < 0.0, "{better:?}");
        assert_eq!(compare(&good, &other, name).finding, Finding::NoDifferenceShown, "{name}");
    }
    let (good, bad) = (classes(800, 1, 1.0), classes(800, 1, 0.2));
    for name in ["accuracy", "auc", "average_precision", "log_loss", "brier"] {
        assert_eq!(compare(&bad, &good, name).finding, Finding::Better, "{name}");
    }
    let same = compare(&good, &good, "log_loss");
    assert_eq!((same.p, same.difference, same.finding), (Some(1.0), 0.0, Finding::NoDifferenceShown));
    let text = serde_json::to_string(&same).unwrap();
    assert_eq!(serde_json::from_str::<Paired>(&text).unwrap().p, same.p);
}

#[test]
fn only_the_same_rows_compare() {
    let error = Comparison::of(&numbers(5, 1, [0.0, 1.0]), &numbers(6, 1, [0.0, 1.0]), 0.5, &bootstrap());
    assert!(error.unwrap_err().contains("same rows"));
    let error = Comparison::of(&numbers(5, 1, [0.0, 1.0]), &classes(5, 1, 1.0), 0.5, &bootstrap());
    assert!(error.unwrap_err().contains("something else"));
}

/// Expected values are scipy 1.17's `binomtest(k, n).pvalue`.
#[test]
fn mcnemars_test_is_the_binomial_one() {
    for (first, second, want) in [
        (0, 0, 1.0),
        (5, 5, 1.0),
        (0, 6, 0.03125),
        (3, 11, 0.057_373_046_875),
        (40, 60, 0.056_887_933_640_980_8),
    ] {
        let got = mcnemar(first, second);
        assert!((got - want).abs() < 1e-12, "{first} {second}: {got} and not {want}");
        assert_eq!(got, mcnemar(second, first));
    }
}

#[test]
fn rows_are_chosen_by_the_seed_only_and_evenly() {
    assert_eq!(chosen(5, 9, 1), [0, 1, 2, 3, 4]);
    let (some, others) = (chosen(10_000, 500, 1), chosen(10_000, 500, 2));
    assert_eq!(some, chosen(10_000, 500, 1));
    assert!(some != others && some.is_sorted() && some.len() == 500);
    let first_half = some.iter().filter(|at| **at < 5000).count();
    assert!((200..300).contains(&first_half), "{first_half}");
}

#[test]
fn shuffling_shows_what_a_model_looks_at() {
    let predictions = numbers(500, 3, [0.0, 1.0]);
    let truth = predictions.truth();
    // The first column is the truth, the second its half, the third says nothing.
    let values: Vec<f32> =
        truth.iter().enumerate().flat_map(|(at, t)| [*t as f32, 0.5 * *t as f32, at as f32]).collect();
    let sample = Sample { values: &values, width: 3, truth, task: Task::Regression };
    let mut predict = |rows: &[f32]| {
        Ok(rows.chunks_exact(3).map(|row| f64::from(row[0]) * 0.8 + f64::from(row[1]) * 0.4).collect())
    };
    let found = permutation(sample, 5, 1, &mut predict).unwrap();
    // A weight w on something of variance v adds 2 w² v when it is shuffled.
    let variance = {
        let mean = truth.iter().sum::<f64>() / truth.len() as f64;
        truth.iter().map(|t| (t - mean).powi(2)).sum::<f64>() / truth.len() as f64
    };
    assert!((found[0].loss / (2.0 * 0.64 * variance) - 1.0).abs() < 0.1, "{found:?} {variance}");
    assert!((found[1].loss / (2.0 * 0.04 * variance) - 1.0).abs() < 0.1, "{found:?}");
    assert_eq!(found[2].loss, 0.0);
    assert!(permutation(sample, 1, 1, &mut |_| Err("no".to_owned())).unwrap_err() == "no");
    assert!(permutation(Sample { width: 2, ..sample }, 1, 1, &mut predict).is_err());
}
