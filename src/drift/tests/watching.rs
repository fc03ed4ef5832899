//! A version that is watched, by a clock that the test turns.

use std::collections::BTreeSet;

use super::*;

const HOUR: u64 = 3_600_000;
/// Some Monday, an hour of the clock.
const START: u64 = 2_952 * 168 * HOUR;

fn plan(same_hour: bool) -> Plan {
    Plan {
        learn_rows: 500,
        window_rows: 2048,
        window_millis: 0,
        same_hour,
        false_alarms: 1.0,
        max_bytes: 1 << 26,
    }
}

/// Features and kinds of the alerts that were raised in these hours, 600 rows each; the first number follows the clock.
fn raised(
    watching: &mut Watching,
    stream: &mut Stream,
    plan: Plan,
    hours: std::ops::Range<u64>,
    edit: impl Fn(&mut [f64; 5]),
) -> BTreeSet<(String, &'static str)> {
    let mut raised = BTreeSet::new();
    for hour in hours {
        let phase = std::f64::consts::TAU * (hour % 24) as f64 / 24.0;
        for row in 0..600 {
            let row_time = START + hour * HOUR + row * 6000;
            let shown = stream.row(|values| {
                values[0] += 10.0 * phase.sin();
                edit(values);
            });
            watching.push(&shown, plan, row_time);
            for change in watching.look(plan, row_time) {
                if let Change::Raised(alert) = change {
                    raised.insert((alert.feature, alert.kind));
                }
            }
        }
    }
    raised
}

#[test]
fn what_follows_the_clock_is_held_against_the_same_hour_of_last_week() {
    let layout = layout();
    let name = layout.features[0].name.clone();
    let mut stream = Stream(77);
    // A day is learned, or the afternoon's values would be out of range.
    let plan = Plan { learn_rows: 24 * 600, ..plan(true) };
    let mut watching = Watching::new(layout, None, plan, START);
    assert_eq!(raised(&mut watching, &mut stream, plan, 0..17 * 24, |_| ()), BTreeSet::new());
    assert!(watching.evaluation().is_some_and(|evaluation| evaluation.rows == 600));
    // A day's cycle is twice as wide: what is shifted by a standard deviation is told by the second hour.
    let shifted = raised(&mut watching, &mut stream, plan, 17 * 24..17 * 24 + 3, |values| values[0] += 5.0);
    assert_eq!(shifted, BTreeSet::from([(name, "drift")]));
    assert_eq!(
        watching.reference().map(|reference| reference.rows),
        Some(24 * 600),
        "what was learned stays"
    );
}

#[test]
fn without_last_week_what_follows_the_clock_is_told() {
    let layout = layout();
    let name = layout.features[0].name.clone();
    let (mut stream, plan) = (Stream(77), plan(false));
    let mut watching = Watching::new(layout, None, plan, START);
    let told = raised(&mut watching, &mut stream, plan, 0..24, |_| ());
    assert!(told.iter().any(|(feature, kind)| *feature == name && *kind == "change"), "{told:?}");
}

#[test]
fn broken_data_does_not_wait_for_an_hour_of_last_week() {
    let layout = layout();
    let name = layout.features[0].name.clone();
    let (mut stream, plan) = (Stream(78), plan(true));
    let mut watching = Watching::new(layout, None, plan, START);
    raised(&mut watching, &mut stream, plan, 0..2, |_| ());
    let broken = raised(&mut watching, &mut stream, plan, 2..3, |values| values[0] *= 1000.0);
    assert!(broken.contains(&(name, "unit")), "{broken:?}");
}

#[test]
fn an_hour_that_was_not_watched_whole_or_had_few_rows_is_no_reference() {
    let mut stream = Stream(79);
    let plan = plan(true);
    let mut watching = Watching::new(layout(), None, plan, START + HOUR / 2);
    // Hour 0 is a part of one, and hour 1 is silent.
    for (at, rows) in
        [(HOUR / 2, 600), (2 * HOUR, 600), (168 * HOUR, 600), (169 * HOUR, 600), (170 * HOUR, 600)]
    {
        for row in 0..rows {
            let row_time = START + at + row;
            watching.push(&stream.row(|_| ()), plan, row_time);
            watching.look(plan, row_time);
        }
        assert!(watching.evaluation().is_none(), "hour {}", at / HOUR);
    }
    watching.push(&stream.row(|_| ()), plan, START + 171 * HOUR);
    watching.look(plan, START + 171 * HOUR);
    assert!(watching.evaluation().is_some_and(|evaluation| evaluation.reference_rows == 600));
}

#[test]
fn what_takes_too_much_memory_is_not_watched() {
    let mut plan = plan(true);
    let mut stream = Stream(80);
    let of = |stream: &mut Stream, plan| {
        let reference = std::sync::Arc::new(reference(stream));
        Watching::new(layout(), Some(&reference), plan, START)
    };
    assert_eq!(of(&mut stream, plan).state(), "watching");
    plan.max_bytes = 40_000;
    assert_eq!(of(&mut stream, plan).state(), "too_large", "168 hours are larger than that");
    assert!(!of(&mut stream, plan).wants_rows());
    plan.same_hour = false;
    assert_eq!(of(&mut stream, plan).state(), "watching");
}
