//! Streams of predictions and outcomes against what the same pairs give when they are held in memory.

use std::collections::BTreeMap;
use std::sync::mpsc::channel;

use super::*;
use crate::config::Machine;
use crate::experiment::{Definition, Predicted};
use crate::monitor::Form;
use crate::score::Classes;

const DAY: u64 = 86_400_000;

fn state(max_bytes: usize) -> State {
    let mut config = Config::defaults(&Machine::default());
    config.monitor.max_bytes = max_bytes;
    let (loader, _) = channel();
    State::new(
        Arc::new(ArcSwap::from_pointee(config)),
        Arc::new(Serving::new()),
        Arc::new(Metrics::new().unwrap()),
        Arc::default(),
        loader,
        Arc::default(),
        None,
    )
}

pub(in crate::monitor) fn track(edit: impl FnOnce(&mut Definition)) -> Arc<Track> {
    let mut definition = Definition {
        model: Some("m".parse().unwrap()),
        unit: Some("header:u".parse().unwrap()),
        variants: [("a", "1"), ("b", "2")].map(|(name, serve)| (name.into(), serve.parse().unwrap())).into(),
        metric: Some("log_loss".parse().unwrap()),
        guardrails: ["accuracy", "brier", "squared_error"].map(|metric| metric.parse().unwrap()).into(),
        planned_units: 5000,
        confidence: "95%".parse().unwrap(),
        ..Definition::default()
    };
    edit(&mut definition);
    Arc::new(Track::new(definition.check(&"e".parse().unwrap()).unwrap(), vec![Some(1), Some(2)]))
}

/// A number that looks like chance.
fn mixed(n: u64) -> u64 {
    (n + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29).wrapping_mul(0xBF58_476D_1CE4_E5B9)
}

fn probability(n: u64) -> f64 {
    (mixed(n) >> 11) as f64 / 2_f64.powi(53)
}

pub(in crate::monitor) fn record(track: &Arc<Track>, n: u64, at: u64) -> Record {
    let unit = mixed(n % 3000);
    let predictions = std::iter::once(Predicted::Probability(probability(n))).collect();
    let (variant, slot) = ((unit >> 9 & 1) as u8, (unit >> 9 & 1) as u32 * 600_000);
    let id = request_id(format!("id-{n}").as_bytes());
    let track = Some(track.clone());
    Record { track, version: 0, variant, slot, unit, at, seconds: 1e-3, failed: false, id, predictions }
}

fn post(state: &mut State, items: &[Value], now: u64) -> Value {
    state.outcomes(Value::from(items.to_vec()).to_string().as_bytes(), Form::Json, now).unwrap()
}

fn means(state: &State, track: &Track, variant: usize) -> BTreeMap<String, (f64, f64)> {
    let phase = &state.phases[&track.phase];
    let report = Report::of(track, &phase.sums);
    let metrics = report.variants[variant].metrics.iter();
    metrics.map(|metric| (metric.metric.clone(), (metric.n, metric.value.unwrap_or(f64::NAN)))).collect()
}

/// Predictions with labels that come shuffled, twice, contradict each other, or never: metrics are those of the pairs
/// that are left, by the code that `sidegate test` has from scikit-learn.
#[test]
fn metrics_are_those_of_the_join() {
    let (mut state, track) = (state(64 << 20), track(|_| ()));
    let count = 10_000;
    (0..count).for_each(|n| state.count(record(&track, n, 1000 + n)));
    let label = |n: u64| mixed(n ^ 0xABCD) >> 63;
    let (mut items, mut truth) = (Vec::new(), BTreeMap::new());
    for n in (0..count).map(|n| n.wrapping_mul(7919) % count).filter(|n| !mixed(*n ^ 0x77).is_multiple_of(10))
    {
        items.push(json!({"id": format!("id-{n}"), "actual": label(n)}));
        truth.insert(n, label(n));
        if n % 100 == 1 {
            items.push(items[items.len() - 1].clone());
        }
        if n % 200 == 3 {
            items.push(json!({"id": format!("id-{n}"), "actual": 1 - label(n)}));
            truth.insert(n, 1 - label(n));
        }
    }
    let answer = post(&mut state, &items, 50_000);
    let corrected = truth.keys().filter(|n| *n % 200 == 3).count();
    assert_eq!(
        (&answer["accepted"], &answer["counts"]["corrected"]),
        (&json!(items.len()), &json!(corrected))
    );
    for variant in [0, 1] {
        let pairs: Vec<(f64, u64)> = truth
            .iter()
            .filter(|(n, _)| record(&track, **n, 0).variant == variant)
            .map(|(n, label)| (probability(*n), *label))
            .collect();
        let found = means(&state, &track, variant.into());
        let classes = Classes {
            truth: pairs.iter().map(|(_, label)| *label as usize).collect(),
            predicted: pairs.iter().map(|(p, _)| usize::from(*p >= 0.5)).collect(),
            probabilities: pairs.iter().flat_map(|(p, _)| [1.0 - p, *p]).collect(),
            width: 2,
        };
        let squares =
            pairs.iter().map(|(p, label)| (p - *label as f64).powi(2)).sum::<f64>() / pairs.len() as f64;
        let expected = [
            ("accuracy", classes.accuracy().unwrap()),
            ("log_loss", classes.log_loss().unwrap()),
            ("brier", squares),
            ("squared_error", squares),
        ];
        for (name, expected) in expected {
            let (n, value) = found[name];
            assert_eq!(n, pairs.len() as f64, "{name}");
            assert!((value / expected - 1.0).abs() < 1e-12, "{name}: {value} and {expected}");
        }
    }
}

#[test]
fn absence_is_a_label_when_the_horizon_is_over() {
    let track = track(|definition| {
        definition.horizon = std::time::Duration::from_millis(DAY);
        definition.default_label = "0".into();
    });
    let mut state = state(64 << 20);
    (0..2000).for_each(|n| state.count(record(&track, n, 1000)));
    // A tenth turn out to be 1, some of them too late.
    let item = |n: u64| json!({"id": format!("id-{n}"), "actual": 1});
    let early: Vec<Value> = (0..200).map(item).collect();
    assert_eq!(post(&mut state, &early, DAY / 2)["counts"], json!({"ok": 200}));
    assert_eq!(means(&state, &track, 0)["brier"].0, 0.0, "nothing is final yet");
    let late: Vec<Value> = (200..210).map(item).collect();
    assert_eq!(post(&mut state, &late, 2 * DAY)["counts"], json!({"late": 10}));
    assert_eq!(post(&mut state, &late, 2 * DAY)["counts"], json!({"late": 10}), "it is not known for it");
    let expected = |variant: usize| {
        let of = (0..2000).filter(|n| usize::from(record(&track, *n, 0).variant) == variant);
        let squares: Vec<f64> = of.map(|n| (probability(n) - f64::from(u8::from(n < 200))).powi(2)).collect();
        (squares.len() as f64, squares.iter().sum::<f64>() / squares.len() as f64)
    };
    for variant in [0, 1] {
        let (found, expected) = (means(&state, &track, variant)["brier"], expected(variant));
        assert!(
            found.0 == expected.0 && (found.1 / expected.1 - 1.0).abs() < 1e-9,
            "{found:?} and {expected:?}"
        );
    }
}

#[test]
fn what_waits_is_bounded_and_what_gives_way_is_counted() {
    let (mut state, track) = (state(100_000), track(|_| ()));
    (0..5000).for_each(|n| state.count(record(&track, n, n)));
    assert!(state.pending.len() < 1000 && state.pending.evicted > 4000, "{}", state.pending.len());
    let answer =
        post(&mut state, &[json!({"id": "id-0", "actual": 1}), json!({"id": "id-4999", "actual": 1})], 6000);
    assert_eq!(answer["counts"], json!({"ok": 1, "unmatched": 1}));
}

#[test]
fn a_unit_counts_once_and_in_one_variant() {
    let (mut state, track) = (state(1 << 20), track(|_| ()));
    let mut one = record(&track, 1, 1000);
    (0..5).for_each(|_| state.count(one.clone()));
    let units = |state: &State| {
        state.phases[&track.phase].sums.arms.iter().map(|arm| arm.units.total().weight).sum::<f64>()
    };
    assert_eq!((units(&state), state.phases[&track.phase].sums.moved), (1.0, 0));
    one.variant = 1 - one.variant;
    state.count(one.clone());
    assert_eq!((units(&state), state.phases[&track.phase].sums.moved), (1.0, 1));
    one.at += DAY;
    state.count(one);
    assert_eq!(units(&state), 1.0);
}
