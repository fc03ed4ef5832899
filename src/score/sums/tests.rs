use super::*;
use crate::score::{Classes, Numbers};

/// A number that looks like chance.
fn uniform(n: u64) -> f64 {
    (crate::stats::assign::unit(n) >> 11) as f64 / 2_f64.powi(53)
}

fn sums(pairs: impl IntoIterator<Item = Pair>) -> Sums {
    let mut sums = Sums::default();
    pairs.into_iter().for_each(|pair| sums.add(pair));
    sums
}

fn value(sums: &Sums, name: &str) -> f64 {
    estimate(sums, name).value
}

fn estimate(sums: &Sums, name: &str) -> Estimate {
    *sums.estimates().iter().find(|estimate| estimate.name == name).unwrap()
}

#[track_caller]
fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() <= 1e-9 * expected.abs().max(1.0), "{found} and not {expected}");
}

#[test]
fn numbers_have_the_metrics_of_their_pairs() {
    let pairs: Vec<(f64, f64)> =
        (0..999).map(|n| (1e6 + 9.0 * uniform(n), 1e6 + 9.0 * uniform(n + 7))).collect();
    let found =
        sums(pairs.iter().map(|(truth, predicted)| Pair::Numbers { truth: *truth, predicted: *predicted }));
    let (truth, predicted) = pairs.iter().copied().unzip();
    let whole = Numbers { truth, predicted };
    for (name, expected) in
        [("mse", whole.mse()), ("rmse", whole.rmse()), ("mae", whole.mae()), ("r2", whole.r2())]
    {
        close(value(&found, name), expected);
    }
    let none = sums([Pair::Numbers { truth: 1.0, predicted: f64::NAN }]);
    assert_eq!((none.rows, none.undefined, none.estimates().len()), (1, 1, 0), "never 0 for no data");
}

#[test]
fn classes_have_the_metrics_of_their_pairs() {
    let class = |n: u64| (uniform(n) * 4.0) as u8;
    let pairs: Vec<(u8, u8)> =
        (0..500).map(|n| (class(n), if uniform(n + 9000) < 0.7 { class(n) } else { class(n + 1) })).collect();
    let found =
        sums(pairs.iter().map(|(truth, predicted)| Pair::Classes { truth: *truth, predicted: *predicted }));
    let (truth, predicted) = pairs.iter().map(|(a, b)| (usize::from(*a), usize::from(*b))).unzip();
    let whole = Classes { truth, predicted, ..Classes::default() };
    for (name, expected) in [
        ("accuracy", whole.accuracy()),
        ("precision", whole.precision()),
        ("recall", whole.recall()),
        ("f1", whole.f1()),
    ] {
        close(value(&found, name), expected.unwrap());
        let [low, high] = estimate(&found, name).interval.unwrap();
        assert!(low < value(&found, name) && value(&found, name) < high && high - low < 0.1, "{name}");
    }
    // The weighted recall is the accuracy, and the jackknife of a mean its standard error.
    let (p, n) = (value(&found, "accuracy"), 500.0_f64);
    let [low, high] = estimate(&found, "recall").interval.unwrap();
    close((high - low) / 2.0, 1.959_963_984_540_054 * (p * (1.0 - p) / (n - 1.0)).sqrt());
}

#[test]
fn a_share_of_nearly_all_stays_below_all() {
    let found = sums((0..10).map(|n| Pair::Classes { truth: 1, predicted: u8::from(n < 9) }));
    let [low, high] = estimate(&found, "accuracy").interval.unwrap();
    close(low, 0.595_849_973_204_761_6);
    close(high, 0.982_123_786_904_927);
}

#[test]
fn probabilities_part_two_classes_and_are_calibrated_or_not() {
    let rows: Vec<(bool, f64)> = (0..4000).map(|n| (uniform(n + 50_000) < uniform(n), uniform(n))).collect();
    let found = sums(rows.iter().map(|(truth, p)| Pair::Scored { truth: *truth, probability: *p }));
    let whole = Classes {
        truth: rows.iter().map(|(truth, _)| usize::from(*truth)).collect(),
        predicted: rows.iter().map(|(_, p)| usize::from(*p >= 0.5)).collect(),
        probabilities: rows.iter().flat_map(|(_, p)| [1.0 - p, *p]).collect(),
        width: 2,
    };
    close(value(&found, "log_loss"), whole.log_loss().unwrap());
    close(value(&found, "brier"), whole.brier().unwrap());
    close(value(&found, "accuracy"), whole.accuracy().unwrap());
    assert!((value(&found, "auc") - whole.auc().unwrap()).abs() < 1e-3);
    let [low, high] = estimate(&found, "auc").interval.unwrap();
    assert!((0.01..0.04).contains(&(high - low)), "{low} {high}");
    assert!(value(&found, "ece") < 0.04, "{}", value(&found, "ece"));
    let wrong = sums(rows.iter().map(|(truth, p)| Pair::Scored { truth: *truth, probability: p * p }));
    assert!(value(&wrong, "ece") > 0.1);
    assert_eq!(found.curve.calibration().iter().map(|group| group.rows).sum::<u64>(), 4000);
}

#[test]
fn parts_add_up_and_what_is_taken_back_was_never_there() {
    let kinds: [fn(u64) -> Pair; 3] = [
        |n| Pair::Numbers { truth: uniform(n), predicted: uniform(n + 1) },
        |n| Pair::Classes { truth: (n % 3) as u8, predicted: (n % 5) as u8 },
        |n| Pair::Scored { truth: n.is_multiple_of(3), probability: uniform(n) },
    ];
    for pair in kinds {
        let whole = sums((0..300).map(pair));
        let mut parts = sums((0..100).map(pair));
        parts.merge(&sums((100..400).map(pair)));
        (300..400).for_each(|n| parts.take_back(pair(n)));
        assert_eq!(parts.rows, whole.rows);
        for (part, all) in parts.estimates().iter().zip(whole.estimates()) {
            assert_eq!(part.name, all.name);
            close(part.value, all.value);
            close(part.interval.unwrap_or_default()[1], all.interval.unwrap_or_default()[1]);
        }
        (0..300).for_each(|n| parts.take_back(pair(n)));
        assert_eq!(parts.estimates().len(), 0, "{:?}", parts.estimates());
    }
}
