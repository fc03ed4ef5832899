mod watching;

use super::*;
use crate::model::{Signature, TensorSpec};
use crate::tensor::Datatype;

fn spec(name: &str, datatype: Datatype, shape: &[i64]) -> TensorSpec {
    TensorSpec { name: name.into(), datatype, shape: shape.to_vec(), labels: None }
}

/// Three numbers and a text a row, and a score.
fn layout() -> Layout {
    let signature = Signature {
        inputs: vec![spec("x", Datatype::Fp32, &[-1, 3]), spec("city", Datatype::Bytes, &[-1, 1])],
        outputs: vec![spec("score", Datatype::Fp32, &[-1, 1])],
    };
    Layout::of(&signature, &[], 0)
}

struct Stream(u64);

impl Stream {
    fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn uniform(&mut self) -> f64 {
        (self.word() >> 11) as f64 / 2_f64.powi(53)
    }

    /// Nearly normal.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }

    /// A row, changed by `edit`: the three numbers, the number of its city, its score.
    fn row(&mut self, edit: impl Fn(&mut [f64; 5])) -> Vec<u32> {
        let mut values =
            [50.0 + 5.0 * self.normal(), self.normal(), (self.word() % 4) as f64, 0.0, self.uniform()];
        values[3] = (self.word() % 10) as f64;
        edit(&mut values);
        let [a, b, c, city, score] = values;
        let mut row: Vec<u32> = [a, b, c].iter().map(|value| number(*value as f32)).collect();
        row.push(if city < 0.0 { 0 } else { category(format!("city-{city}").as_bytes()) });
        row.push(number(score as f32));
        row
    }
}

#[test]
fn a_window_by_time_has_the_panes_of_its_time_whatever_they_hold() {
    let mut stream = Stream(9);
    let reference = reference(&mut stream);
    let mut window = Window::timed(&reference, 4);
    let total = |window: &Window| window.total(&reference).rows;
    for rows in [300, 0, 5] {
        (0..rows).for_each(|_| assert!(!window.push(&reference, &stream.row(|_| ())), "rows close nothing"));
        assert!(window.close(&reference));
    }
    assert_eq!(total(&window), 305);
    assert!(window.close(&reference) && total(&window) == 305);
    assert!(window.close(&reference) && total(&window) == 5, "the first pane is too old");
    (0..4).for_each(|_| assert!(window.close(&reference)));
    assert_eq!(total(&window), 0);
}

fn reference(stream: &mut Stream) -> Reference {
    let layout = layout();
    let mut learner = Learner::new(&layout, 2000);
    while !learner.push(&stream.row(|_| ())) {}
    let reference = learner.finish(&layout);
    assert!(reference.fits(&layout));
    reference
}

fn window(reference: &Reference, stream: &mut Stream, rows: u64, edit: impl Fn(&mut [f64; 5])) -> Counts {
    let mut counts = Counts::new(reference);
    (0..rows).for_each(|_| counts.push(reference, &stream.row(&edit)));
    counts
}

const LIMITS: Limits = Limits { alpha: 1e-6 };

#[test]
fn features_are_named_and_are_what_they_are() {
    let layout = layout();
    let names: Vec<&str> = layout.features.iter().map(|feature| feature.name.as_str()).collect();
    assert_eq!(names, ["x[0]", "x[1]", "x[2]", "city", "prediction"]);
    assert_eq!((layout.features[3].kind, layout.features[4].kind), (Kind::Category, Kind::Number));
    assert_eq!((layout.widths.as_slice(), layout.left_out), ([3, 1].as_slice(), 0));
    let named = Signature {
        inputs: vec![spec("input", Datatype::Fp64, &[-1, 2])],
        outputs: vec![spec("label", Datatype::Int64, &[-1])],
    };
    let layout = Layout::of(&named, &["age".into(), "income".into()], 0);
    assert_eq!((layout.features[1].name.as_str(), layout.features[2].kind), ("income", Kind::Category));
    let open = Signature { inputs: vec![spec("text", Datatype::Int64, &[-1, -1])], outputs: named.outputs };
    let layout = Layout::of(&open, &[], 0);
    assert_eq!((layout.words(), layout.left_out), (1, 1));
}

#[test]
fn bins_hold_the_same_share_and_what_is_no_number_has_a_cell() {
    let reference = reference(&mut Stream(1));
    let Shape::Number { edges, counts, mean, deviation, .. } = &reference.features[0].shape else { panic!() };
    assert_eq!((edges.len(), counts.len(), counts.iter().sum::<u64>()), (31, 32, 2000));
    assert!(counts.iter().all(|count| (60..=66).contains(count)), "{counts:?}");
    assert!((mean - 50.0).abs() < 0.5 && (deviation - 5.0).abs() < 0.3);
    let cell = |value: f32| reference.features[0].cell(number(value));
    assert_eq!([cell(f32::NAN), cell(f32::NEG_INFINITY), cell(f32::INFINITY)], [0, 1, 32]);
    assert_eq!(number(-0.0), number(0.0));
    // Four values have four cells, each where it belongs.
    let Shape::Number { counts, .. } = &reference.features[2].shape else { panic!() };
    assert!(counts.iter().filter(|count| **count > 0).count() == 4, "{counts:?}");
    let Shape::Category { known, counts } = &reference.features[3].shape else { panic!() };
    assert_eq!((known.len(), counts.len(), counts[10]), (10, 11, 0));
}

#[test]
fn a_constant_reference_sees_both_ways() {
    let layout = layout();
    let mut learner = Learner::new(&layout, 100);
    let mut stream = Stream(5);
    while !learner.push(&stream.row(|values| values[1] = 3.0)) {}
    let reference = learner.finish(&layout);
    for now in [2.0, 4.0] {
        let window = window(&reference, &mut stream, 500, |values| values[1] = now);
        let found = &evaluate(&reference, &window, LIMITS).features[1];
        assert!(found.beyond && found.ks == Some(1.0), "{found:?}");
    }
    let same = window(&reference, &mut stream, 500, |values| values[1] = 3.0);
    let found = &evaluate(&reference, &same, LIMITS).features[1];
    assert_eq!((found.status, found.ks, found.p_value, found.mean_shift), ("ok", Some(0.0), Some(1.0), None));
}

#[test]
fn a_shift_is_found_on_its_feature_and_nowhere_else() {
    let mut stream = Stream(2);
    let reference = reference(&mut stream);
    type Edit = fn(&mut [f64; 5]);
    let cases: &[(usize, Edit)] = &[
        (0, |values| values[0] += 2.5),
        (1, |values| values[1] *= 1.5),
        (3, |values| values[3] = (values[3] - 2.0).max(0.0)),
        (4, |values| values[4] = values[4] * 0.7 + 0.3),
    ];
    for (changed, edit) in cases {
        let found = evaluate(&reference, &window(&reference, &mut stream, 2048, edit), LIMITS);
        let all: Vec<bool> =
            found.features.iter().chain(&found.prediction).map(|drift| drift.beyond).collect();
        let expected: Vec<bool> = (0..5).map(|at| at == *changed).collect();
        assert_eq!(all, expected, "{changed}: {found:?}");
    }
    let found = evaluate(&reference, &window(&reference, &mut stream, 2048, |_| ()), LIMITS);
    assert!(found.features.iter().all(|drift| drift.status == "ok" && !drift.beyond), "{found:?}");
    let few = evaluate(&reference, &window(&reference, &mut stream, 40, |values| values[0] = 0.0), LIMITS);
    assert!(few.features.iter().all(|drift| drift.status == "insufficient_data" && drift.p_value.is_none()));
}

#[test]
fn without_drift_hardly_anything_is_called_so() {
    // Thresholds of an evaluation, over 300 of them on one reference each.
    let limits = Limits { alpha: 0.01 };
    let alarms = (0..300).filter(|seed| {
        let mut stream = Stream(1000 + seed);
        let reference = reference(&mut stream);
        let found = evaluate(&reference, &window(&reference, &mut stream, 1024, |_| ()), limits);
        found.features.iter().any(|drift| drift.beyond)
    });
    let alarms = alarms.count();
    assert!(alarms <= 6, "{alarms} of 300");
}

#[test]
fn what_is_broken_is_named() {
    let mut stream = Stream(3);
    let reference = reference(&mut stream);
    type Edit = fn(&mut [f64; 5]);
    let cases: &[(&str, &str, Edit)] = &[
        ("x[0]", "unit", |values| values[0] *= 1000.0),
        ("x[0]", "unit", |values| values[0] /= 10.0),
        ("x[0]", "missing", |values| values[0] = if values[2] == 1.0 { f64::NAN } else { values[0] }),
        ("x[0]", "infinite", |values| values[0] = if values[2] == 1.0 { f64::INFINITY } else { values[0] }),
        ("x[1]", "range", |values| values[1] = if values[2] == 1.0 { 40.0 } else { values[1] }),
        ("city", "missing", |values| values[3] = if values[2] == 1.0 { -1.0 } else { values[3] }),
        ("city", "unseen_category", |values| values[3] = if values[2] == 1.0 { 77.0 } else { values[3] }),
    ];
    for (feature, kind, edit) in cases {
        let found = quality::problems(&reference, &window(&reference, &mut stream, 60, edit)).unwrap();
        let named: Vec<_> = found.iter().map(|problem| (problem.feature.as_str(), problem.kind)).collect();
        assert_eq!(named, [(*feature, *kind)], "{found:?}");
    }
    for seed in 0..100 {
        let rows = window(&reference, &mut Stream(seed), 200, |_| ());
        let found = quality::problems(&reference, &rows).unwrap();
        assert!(found.is_empty() && quality::stuck(&reference, &rows).is_empty(), "{found:?}");
    }
    let few = window(&reference, &mut stream, 10, |v| v[0] = f64::NAN);
    assert_eq!(quality::problems(&reference, &few), None);
    let still = quality::stuck(&reference, &window(&reference, &mut stream, 120, |values| values[1] = 0.5));
    assert_eq!((still.len(), still[0].feature.as_str(), still[0].kind), (1, "x[1]", "constant"));
    // Predictions that are no number, and a few sentinels, which are no unit.
    let broken = |edit: fn(&mut [f64; 5])| {
        let found = quality::problems(&reference, &window(&reference, &mut Stream(9), 200, edit)).unwrap();
        found.into_iter().map(|problem| (problem.feature, problem.kind)).collect::<Vec<_>>()
    };
    assert_eq!(broken(|values| values[4] = f64::NAN), [("prediction".to_owned(), "missing")]);
    let sentinel = |values: &mut [f64; 5]| values[0] = if values[3] == 1.0 { 9999.0 } else { values[0] };
    assert_eq!(broken(sentinel), [("x[0]".to_owned(), "range")]);
}

#[test]
fn gaps_and_rare_categories_that_were_always_there_are_no_news() {
    let layout = layout();
    let odd = |values: &mut [f64; 5]| {
        values[0] = if values[2] == 1.0 { f64::NAN } else { values[0] };
        // A tail of categories that come once or twice.
        values[3] = if values[4] < 0.01 { (values[4] * 1e6).floor() } else { values[3] };
    };
    let mut stream = Stream(21);
    let mut learner = Learner::new(&layout, 2000);
    while !learner.push(&stream.row(odd)) {}
    let reference = learner.finish(&layout);
    let told = (0..1000).filter(|seed| {
        let rows = window(&reference, &mut Stream(5000 + seed), 64 + seed % 192, odd);
        !quality::problems(&reference, &rows).unwrap().is_empty()
    });
    assert_eq!(told.count(), 0);
}

#[test]
fn parts_add_up_in_any_order_to_the_whole() {
    let mut stream = Stream(4);
    let reference = reference(&mut stream);
    let rows: Vec<Vec<u32>> =
        (0..600).map(|_| stream.row(|values| values[0] = (values[0] * 8.0).round() / 8.0)).collect();
    let counted = |rows: &[Vec<u32>]| {
        let mut counts = Counts::new(&reference);
        rows.iter().for_each(|row| counts.push(&reference, row));
        counts
    };
    let whole = counted(&rows);
    let parts: Vec<Counts> = rows.chunks(77).map(counted).collect();
    let mut merged = Counts::new(&reference);
    parts.iter().rev().for_each(|part| merged.merge(part));
    assert_eq!(merged.rows, whole.rows);
    for ((cells, tally), (merged_cells, merged_tally)) in
        whole.features(&reference).zip(merged.features(&reference))
    {
        assert_eq!(cells, merged_cells);
        assert_eq!(
            (tally.finite, tally.low, tally.high),
            (merged_tally.finite, merged_tally.low, merged_tally.high)
        );
        assert_eq!(tally.is_constant(), merged_tally.is_constant());
    }
}

#[test]
fn a_window_is_its_latest_panes() {
    let mut stream = Stream(6);
    let reference = reference(&mut stream);
    let mut window = Window::new(&reference, 10, 4);
    let closed = (0..57).filter(|_| window.push(&reference, &stream.row(|_| ()))).count();
    assert_eq!((closed, window.total(&reference).rows, window.last(&reference, 2).rows), (5, 47, 17));
    assert!(!window.close(&reference));
    assert_eq!(window.total(&reference).rows, 47);
    assert!(window.bytes() < 64 << 10, "{}", window.bytes());
}

#[test]
fn alerts_wait_last_and_end() {
    let mut alerts = Alerts::default();
    let found = |level: f64, at_once: bool| Found {
        feature: "age".into(),
        kind: "drift",
        level,
        at_once,
        detail: format!("level {level}"),
    };
    let minute = 60_000;
    assert_eq!(alerts.take(&["drift"], &[found(2.0, false)], 0), []);
    // An evaluation of something else says nothing of it.
    assert_eq!(alerts.take(&["unit"], &[], 1), []);
    let raised = alerts.take(&["drift"], &[found(3.0, false)], minute);
    assert!(matches!(&raised[..], [Change::Raised(alert)] if alert.since == minute && alert.peak == 3.0));
    // What is less than its threshold, but not much, keeps it on.
    for step in 2..20 {
        assert_eq!(alerts.take(&["drift"], &[found(0.8, false)], step * minute), []);
    }
    assert_eq!((alerts.on()[0].peak, alerts.on()[0].last), (3.0, 19 * minute));
    let cleared: Vec<_> = (20..24).flat_map(|step| alerts.take(&["drift"], &[], step * minute)).collect();
    assert!(
        matches!(&cleared[..], [Change::Cleared(alert, lasted)] if *lasted == 21 * minute && alert.last == 19 * minute)
    );
    assert!(alerts.on().is_empty());
    // What is broken is told at once, and not for less than five minutes.
    assert_eq!(alerts.take(&["drift"], &[found(1.0, true)], 30 * minute).len(), 1);
    let ended = (1..6).find(|step| !alerts.take(&["drift"], &[], (30 + step) * minute).is_empty());
    assert_eq!(ended, Some(5));
    // Where nobody looks any more, they are over.
    assert_eq!(alerts.take(&["drift"], &[found(1.0, true)], 40 * minute).len(), 1);
    assert!(matches!(&alerts.end(42 * minute)[..], [Change::Cleared(_, lasted)] if *lasted == 2 * minute));
    assert!(alerts.on().is_empty());
}
