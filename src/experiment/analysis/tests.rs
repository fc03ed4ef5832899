use super::*;
use crate::experiment::pairwise::Key;
use crate::experiment::sums::{Cell, Place};
use crate::experiment::{Definition, Share};
use crate::tensor::{Data, Tensor};

fn track(edit: impl FnOnce(&mut Definition)) -> Track {
    let mut definition = Definition {
        model: Some("m".parse().unwrap()),
        unit: Some("header:u".parse().unwrap()),
        variants: [("a", "1"), ("b", "2")].map(|(name, serve)| (name.into(), serve.parse().unwrap())).into(),
        metric: Some("outcome:sales".parse().unwrap()),
        guardrails: vec!["errors".parse().unwrap(), "latency_p95 within 10%".parse().unwrap()],
        planned_units: 5000,
        confidence: "95%".parse::<Share>().unwrap(),
        ..Definition::default()
    };
    edit(&mut definition);
    Track::new(definition.check(&"e".parse().unwrap()).unwrap(), vec![Some(1), Some(2)])
}

/// Units one after another: their arm, what they sell, how many of their requests failed of how many.
fn sums(layout: &Layout, units: impl Iterator<Item = (usize, f64, u32, u32)>) -> Sums {
    let mut sums = Sums::new(layout);
    let sales = layout.series_of(&Kind::Outcome("sales".into())).unwrap();
    let errors = layout.series_of(&Kind::Errors).unwrap();
    for (number, (arm, sold, failed, requests)) in units.enumerate() {
        let place = Place { arms: &[arm], bucket: (number * 2_654_435_761) % 4096, at: 0 };
        sums.arms[arm].units.add(place.bucket, Cell { weight: 1.0, sum: 0.0 });
        sums.arms[arm].requests += u64::from(requests);
        (0..requests).for_each(|i| sums.arms[arm].latency.push(1e-3 * f64::from(i % 20 + 1)));
        sums.add(place, sales, Cell { weight: 1.0, sum: sold });
        sums.add(place, errors, Cell { weight: f64::from(requests), sum: f64::from(failed) });
    }
    sums
}

#[test]
fn means_and_errors_are_those_of_the_units() {
    let track = track(|_| ());
    let layout = &track.layout;
    let sold = |number: u32| f64::from(number * 7 % 13);
    let report = Report::of(&track, &sums(layout, (0..4000).map(|n| ((n % 2) as usize, sold(n), 0, 1))));
    let values: crate::stats::Moments = (0..4000).step_by(2).map(sold).collect();
    let side = &report.comparisons[0].primary.as_ref().unwrap().control;
    let error = (values.variance().unwrap() / values.n as f64).sqrt();
    assert_eq!((side.units, side.n), (2000, 2000.0));
    assert!((side.mean.unwrap() - values.mean).abs() < 1e-12);
    // Buckets stand for units: their variance is that of units, give or take what 4,096 samples allow.
    assert!((side.standard_error.unwrap() / error - 1.0).abs() < 0.1, "{side:?} and {error}");
    assert!(report.validity.failed().next().is_none(), "{:?}", report.validity);
}

#[test]
fn a_difference_is_found_and_too_little_is_said_to_be() {
    let track = track(|_| ());
    let layout = &track.layout;
    let units = |n: u32| (0..n).map(|n| ((n % 2) as usize, f64::from(n * 7 % 13) + f64::from(n % 2), 0, 1));
    let report = Report::of(&track, &sums(layout, units(6000)));
    let primary = report.comparisons[0].primary.as_ref().unwrap();
    let anytime = primary.anytime.unwrap();
    assert!(anytime.low > 0.0 && anytime.low < 1.0 && anytime.high > 1.0 && anytime.p < 0.001, "{anytime:?}");
    assert_eq!((primary.status, primary.better, primary.fixed.unwrap().planned), ("ok", Some(true), true));
    let few = Report::of(&track, &sums(layout, units(150)));
    let primary = few.comparisons[0].primary.as_ref().unwrap();
    assert_eq!((primary.status, primary.anytime.is_none()), ("insufficient_data", true));
}

#[test]
fn failures_that_hang_together_in_a_unit_are_no_harm() {
    let track = track(|_| ());
    let layout = &track.layout;
    let beyond = |report: &Report| report.comparisons[0].guardrails[0].harm.as_ref().unwrap().beyond;
    // 40 failures of the treatment, none of the control: of as many units, or all of one.
    let spread = (0..2000_u32).map(|n| ((n % 2) as usize, 0.0, u32::from(n % 2 == 1 && n < 80), 1));
    assert!(beyond(&Report::of(&track, &sums(layout, spread))));
    let one = (0..2000_u32)
        .map(|n| ((n % 2) as usize, 0.0, if n == 1 { 40 } else { 0 }, if n == 1 { 40 } else { 1 }));
    assert!(!beyond(&Report::of(&track, &sums(layout, one))));
}

#[test]
fn a_slower_quantile_is_harm_beyond_its_margin() {
    let track = track(|_| ());
    let layout = &track.layout;
    let report = |factor: f64| {
        let mut sums = sums(layout, (0..400).map(|n| ((n % 2) as usize, 0.0, 0, 0)));
        for i in 0..20_000 {
            let time = 1e-3 * (1.0 + f64::from(i % 997) / 100.0);
            sums.arms[0].latency.push(time);
            sums.arms[1].latency.push(time * factor);
        }
        let report = Report::of(&track, &sums);
        report.comparisons[0].guardrails[1].harm.as_ref().unwrap().beyond
    };
    assert_eq!([report(1.0), report(1.05), report(1.3)], [false, false, true]);
}

#[test]
fn predictions_that_are_no_number_or_all_the_same_are_harm() {
    let track = track(|_| ());
    let layout = &track.layout;
    let why = |of: &dyn Fn(u32) -> f64, control: &dyn Fn(u32) -> f64, units: u32| {
        let mut sums = sums(layout, (0..400).map(|n| ((n % 2) as usize, 0.0, 0, 1)));
        for (arm, predicts) in [(0, control), (1, of)] {
            let mut before = None;
            for n in 0..300_u32 {
                let mut outputs = crate::experiment::sums::Outputs::default();
                outputs.push(predicts(n));
                let bucket = (n % units).wrapping_mul(2_654_435_761) as usize % 4096;
                sums.add_outputs(arm, bucket, &outputs, before);
                before = outputs.ends().map(|[_, last]| last).or(before);
            }
        }
        let report = Report::of(&track, &sums);
        report.comparisons[0].guardrails.last().unwrap().harm.clone().unwrap().why
    };
    let rare = |n: u32| f64::from(n % 150 == 7);
    assert_eq!(why(&f64::from, &f64::from, 300), None);
    assert_eq!(why(&|_| 0.5, &f64::from, 300).as_deref(), Some("all of 300 predictions are 0.5"));
    // A label that comes twice in three hundred rows may as well not come, and one unit is no proof.
    assert_eq!(why(&|_| 0.0, &rare, 300), None);
    assert_eq!(why(&|_| 0.0, &f64::from, 1), None);
    let broken = |n: u32| if n.is_multiple_of(10) { f64::NAN } else { f64::from(n) };
    assert_eq!(why(&broken, &f64::from, 300).as_deref(), Some("30 of 300 predictions are no number"));
    // All of one unit's.
    let of_one = |n: u32| if n % 10 == 3 { f64::NAN } else { f64::from(n) };
    assert_eq!(why(&of_one, &f64::from, 10), None);
}

#[test]
fn shares_at_their_ends_are_held_against_an_absolute_margin() {
    let rail = |text: &str| text.parse().unwrap();
    let track = track(|definition| definition.guardrails = vec![rail("errors within 0.01")]);
    let beyond = |failed: u32| {
        let units =
            (0..1200_u32).map(|n| ((n % 2) as usize, 0.0, u32::from(n % 2 == 1 && n % 100 < failed), 1));
        let report = Report::of(&track, &sums(&track.layout, units));
        report.comparisons[0].guardrails[0].harm.as_ref().is_some_and(|harm| harm.beyond)
    };
    // Of a control that never fails; half of every hundred are the treatment's.
    assert_eq!([beyond(0), beyond(2), beyond(20), beyond(100)], [false, false, true, true]);
}

#[test]
fn wrong_shares_moved_units_and_uneven_labels_are_told() {
    let track = track(|definition| definition.metric = Some("accuracy".parse().unwrap()));
    let layout = &track.layout;
    let labelled = layout.labelled().unwrap();
    let report = |share: f64, moved: u64, of_b: f64| {
        let mut sums = Sums::new(layout);
        for n in 0..30_000_u32 {
            let arm = usize::from(f64::from(n.wrapping_mul(2_654_435_761) % 10_000) < share * 10_000.0);
            let place = Place { arms: &[arm], bucket: n.wrapping_mul(40_503) as usize % 4096, at: 0 };
            sums.arms[arm].units.add(place.bucket, Cell { weight: 1.0, sum: 0.0 });
            let has = f64::from(f64::from(n % 100) < if arm == 1 { of_b } else { 50.0 });
            sums.add(place, labelled, Cell { weight: 1.0, sum: has });
        }
        sums.moved = moved;
        Report::of(&track, &sums).validity.failed().map(|(name, _)| name).collect::<Vec<_>>()
    };
    assert_eq!(report(0.5, 0, 50.0), Vec::<&str>::new());
    assert_eq!(report(0.52, 0, 50.0), ["sample_ratio"]);
    assert_eq!(report(0.5, 400, 50.0), ["multiple_exposure"]);
    assert_eq!(report(0.5, 0, 40.0), ["label_coverage"]);
}

#[test]
fn a_small_variant_is_held_against_as_many_of_the_control() {
    let track = track(|definition| {
        let slots = [("a", "0..900000"), ("b", "900000..950000")];
        definition.slots = slots.map(|(name, slots)| (name.into(), slots.parse().unwrap())).into();
    });
    let layout = &track.layout;
    assert_eq!((layout.arms(), layout.cohorts.len(), layout.pairs[0].control), (3, 1, 2));
    assert_eq!(layout.width(&track.experiment, 2), 50_000);
    assert_eq!(layout.of_unit(0, 49_999).as_slice(), [0, 2]);
    assert_eq!(layout.of_unit(0, 50_000).as_slice(), [0]);
    assert_eq!(layout.of_unit(1, 900_000).as_slice(), [1]);
}

#[test]
fn rows_that_the_control_predicts_otherwise_are_harm_beyond_their_margin() {
    let track = track(|definition| {
        definition.guardrails = vec!["disagreement within 10%".parse().unwrap()];
        definition.shadow = vec![("old".into(), "1".parse().unwrap())];
    });
    let found = |per_hundred: u32, versions: [u64; 2]| {
        let mut sums = sums(&track.layout, (0..400).map(|n| ((n % 2) as usize, 0.0, 0, 1)));
        let [version, against] = versions;
        let pair = sums.pairs.entry(Key { shadow: "old".into(), version, against });
        for n in 0..2000_u32 {
            let label = |label: bool| Tensor::new(&[1], Data::Int64(vec![i64::from(label)]));
            let bucket = n.wrapping_mul(2_654_435_761) as usize % 4096;
            pair.push(bucket, &label(true), &label(n % 100 >= per_hundred), track.experiment.shadow_margin);
        }
        let report = Report::of(&track, &sums);
        let rail = &report.comparisons[0].guardrails[0];
        (rail.status, rail.difference, rail.harm.as_ref().unwrap().beyond)
    };
    assert_eq!(found(30, [1, 2]), ("ok", Some(0.3), true));
    assert_eq!(found(30, [2, 1]), ("ok", Some(0.3), true));
    assert_eq!(found(10, [1, 2]), ("ok", Some(0.1), false));
    assert_eq!(found(0, [1, 2]), ("ok", Some(0.0), false));
    assert_eq!(found(100, [1, 2]), ("ok", Some(1.0), true));
    // Of other versions nothing is said.
    assert_eq!(found(30, [1, 3]), ("insufficient_data", None, false));
}
