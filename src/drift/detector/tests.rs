use super::*;
use crate::drift::{Feature as Column, Kind, Layout, Learner, category, number};

struct Stream(u64);

impl Stream {
    fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Nearly normal.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| (self.word() >> 11) as f64 / 2_f64.powi(53)).sum::<f64>() - 6.0
    }
}

fn layout(kinds: &[Kind]) -> Layout {
    let features = kinds.iter().map(|kind| Column { name: "x".into(), kind: *kind }).collect();
    Layout { features, widths: vec![kinds.len()], left_out: 0 }
}

fn reference(kinds: &[Kind], rows: usize, mut row: impl FnMut() -> Vec<u32>) -> Reference {
    let layout = layout(kinds);
    let mut learner = Learner::new(&layout, rows);
    while !learner.push(&row()) {}
    learner.finish(&layout)
}

/// Counts rows, and closes panes that are full.
fn push(detector: &mut Detector, reference: &Reference, thresholds: &Thresholds, row: &[u32]) {
    let mut first = 0;
    for (profile, word) in reference.features.iter().zip(row) {
        detector.open()[first + profile.cell(*word)] += 1;
        first += profile.cells();
    }
    if detector.row() {
        detector.close(thresholds);
    }
}

const ONCE_IN: f64 = 100_000.0 / 1.5;

fn thresholds(rows: u64) -> Thresholds {
    Thresholds::new(Thresholds::evidence_of(ONCE_IN, rows))
}

/// Rows after which the only feature is found to have changed, by which test.
fn found(seed: u64, change: impl Fn(&mut Stream) -> f64) -> Option<(usize, Test)> {
    let mut stream = Stream(seed);
    let row = |value: f64| vec![number(value as f32)];
    let reference = reference(&[Kind::Number], 2000, || row(stream.normal()));
    let (mut detector, thresholds) = (Detector::new(&reference), thresholds(2000));
    for _ in 0..1000 {
        push(&mut detector, &reference, &thresholds, &row(stream.normal()));
    }
    (1..5000).find_map(|rows| {
        push(&mut detector, &reference, &thresholds, &row(change(&mut stream)));
        let strongest = detector.strongest(0);
        (strongest.level >= 1.0).then_some((rows, strongest.test))
    })
}

#[test]
fn without_change_alarms_are_as_seldom_as_was_asked_for() {
    // The formula against what happens: 64 features, 9,600 values each.
    let mut alarms = 0;
    for seed in 0..4 {
        let mut stream = Stream(900 + seed);
        let kinds = [Kind::Number; 16];
        let mut row = || (0..16).map(|_| number(stream.normal() as f32)).collect::<Vec<_>>();
        let reference = reference(&kinds, 2000, &mut row);
        let (mut detector, thresholds) = (Detector::new(&reference), thresholds(2000));
        let mut on = [false; 16];
        for _ in 0..9600 {
            push(&mut detector, &reference, &thresholds, &row());
            for (at, on) in on.iter_mut().enumerate() {
                let level = detector.strongest(at).level;
                alarms += u32::from(level >= 1.0 && !*on);
                *on = level >= 1.0 || (*on && level >= 0.7);
            }
        }
    }
    // 9.2 on average.
    assert!((2..=20).contains(&alarms), "{alarms}");
}

#[test]
fn a_change_is_found_and_named() {
    type Change = fn(&mut Stream) -> f64;
    let cases: [(Test, usize, Change); 4] = [
        (Test::Location, 90, |stream| stream.normal() + 1.0),
        (Test::Scale, 400, |stream| stream.normal() * 1.5),
        (Test::Shape, 700, |stream| (stream.normal().signum() * 0.9) + 0.4 * stream.normal()),
        (Test::Cells, 3000, |stream| if stream.word().is_multiple_of(10) { 0.3 } else { stream.normal() }),
    ];
    for (test, most, change) in cases {
        let mut delays: Vec<(usize, Test)> = (0..9).filter_map(|seed| found(seed, change)).collect();
        delays.sort_unstable_by_key(|(rows, _)| *rows);
        assert_eq!(delays.len(), 9, "{test:?}");
        assert!(delays[4].0 <= most, "{test:?}: {delays:?}");
        assert!(delays.iter().filter(|(_, by)| *by == test).count() >= 5, "{test:?}: {delays:?}");
    }
}

#[test]
fn what_is_no_number_constant_or_not_there_is_no_news_and_never_nan() {
    let odd = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, f32::MAX, f32::MIN_POSITIVE];
    type Of = fn(&mut Stream) -> f32;
    let laws: [Of; 4] =
        [|_| f32::NAN, |_| 7.0, |stream| (stream.word() % 2) as f32, |stream| stream.normal() as f32];
    for (number_of_law, law) in laws.into_iter().enumerate() {
        let mut stream = Stream(5);
        let reference = reference(&[Kind::Number], 500, || vec![number(law(&mut stream))]);
        let (mut detector, thresholds) = (Detector::new(&reference), thresholds(500));
        for _ in 0..3000 {
            push(&mut detector, &reference, &thresholds, &[number(law(&mut stream))]);
        }
        let quiet = detector.strongest(0);
        assert!((0.0..1.0).contains(&quiet.level), "{number_of_law}: {quiet:?}");
        for _ in 0..3000 {
            let value = odd[(stream.word() % 6) as usize];
            push(&mut detector, &reference, &thresholds, &[number(value)]);
            assert!(detector.strongest(0).level.is_finite(), "{number_of_law}");
        }
        // Where there was a value, other ones are a change.
        assert_eq!(detector.strongest(0).level >= 1.0, number_of_law != 0, "{number_of_law}");
    }
}

#[test]
fn other_categories_are_a_change_whatever_their_number() {
    for many in [2_u64, 5, 40, 300] {
        let mut stream = Stream(many);
        let word = |at: u64| vec![category(at.to_string().as_bytes())];
        let reference = reference(&[Kind::Category], 2000, || word(stream.word() % many));
        let (mut detector, thresholds) = (Detector::new(&reference), thresholds(2000));
        for _ in 0..8000 {
            push(&mut detector, &reference, &thresholds, &word(stream.word() % many));
        }
        assert!(detector.strongest(0).level < 1.0, "{many}: {:?}", detector.strongest(0));
        // One in three is now the first.
        for _ in 0..2000 {
            let at = if stream.word().is_multiple_of(3) { 0 } else { stream.word() % many };
            push(&mut detector, &reference, &thresholds, &word(at));
        }
        assert!(detector.strongest(0).level >= 1.0, "{many}: {:?}", detector.strongest(0));
    }
}

#[test]
fn rows_that_follow_from_those_before_count_for_less() {
    let mut stream = Stream(3);
    let mut before = 0.0;
    let mut follows = |stream: &mut Stream| {
        before = 0.9 * before + 0.19_f64.sqrt() * stream.normal();
        vec![number(before as f32)]
    };
    let reference = reference(&[Kind::Number], 2000, || follows(&mut stream));
    let inflation = reference.features[0].inflation;
    assert!((8.0..40.0).contains(&inflation), "{inflation}");
    let (mut detector, thresholds) = (Detector::new(&reference), thresholds(2000));
    for _ in 0..10_000 {
        push(&mut detector, &reference, &thresholds, &follows(&mut stream));
    }
    assert!(detector.strongest(0).level < 1.0, "{:?}", detector.strongest(0));
    let mut stream = Stream(4);
    let independent = super::tests::reference(&[Kind::Number], 2000, || vec![number(stream.normal() as f32)]);
    assert_eq!(independent.features[0].inflation, 1.0);
}

#[test]
fn a_thousand_features_with_their_windows_are_eight_megabytes() {
    let mut stream = Stream(8);
    let kinds = [Kind::Number; 100];
    let reference =
        reference(&kinds, 500, || (0..100).map(|_| number(stream.normal() as f32)).collect::<Vec<_>>());
    let detector = Detector::new(&reference);
    let window = crate::drift::Window::new(&reference, 128, 16);
    let cells = 2 * reference.cells() * size_of::<u64>();
    let bytes = detector.bytes() + window.bytes() + cells;
    assert!(bytes <= 800_000, "{bytes}");
}
