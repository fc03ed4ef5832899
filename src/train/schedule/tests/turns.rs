use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use serde_json::{Value, json};
use time::OffsetDateTime;

use super::{Hand, Place, at};
use crate::failure::Failure;
use crate::schedule::config::CatchUp;
use crate::schedule::lock::{LEASE, Lock, Standing, Taken};
use crate::schedule::timetable::Timetable;
use crate::schedule::turns::{Ended, Schedule, Waiting};
use sidegate::registry::clock;
use sidegate::registry::clock::Clock as _;
use sidegate::registry::writer::Writer;

/// Lets time pass in no time; after so many waits comes the signal.
struct Script {
    clock: Hand,
    waits: usize,
    until: Vec<OffsetDateTime>,
}

impl Script {
    fn new(place: &Place, waits: usize) -> Self {
        Self { clock: place.clock.clone(), waits, until: Vec::new() }
    }
}

impl Waiting for Script {
    fn until(&mut self, time: OffsetDateTime) -> bool {
        if self.until.len() == self.waits {
            return false;
        }
        self.until.push(time);
        self.clock.set(time.max(self.clock.now()));
        true
    }
}

fn schedule<'a>(place: &'a Place, writer: &'a Writer, catch_up: CatchUp) -> Schedule<'a> {
    Schedule {
        timetable: Timetable::read("0 2 * * *", "UTC").unwrap(),
        jitter: Duration::ZERO,
        catch_up,
        writer,
        model: &place.model,
        renewal: Duration::from_secs(60),
    }
}

/// What was told under a key.
fn told(all: &[Value], key: &str) -> Vec<String> {
    all.iter().filter_map(|numbers| numbers[key].as_str().map(str::to_owned)).collect()
}

/// Runs to the signal: when each training began, and what was told.
fn run(place: &Place, catch_up: CatchUp, waits: usize, seconds: &[i64]) -> (Vec<String>, Vec<Value>) {
    let writer = place.writer("a");
    let (begun, turn) = (std::sync::Mutex::new(Vec::new()), AtomicU32::new(0));
    let train = || {
        begun.lock().unwrap().push(clock::text(place.clock.now()));
        place.clock.go(seconds[turn.fetch_add(1, Relaxed) as usize % seconds.len()]);
        Ended { run: Some("r".to_owned()), version: Some(7), failure: None }
    };
    let mut all = Vec::new();
    let mut script = Script::new(place, waits);
    schedule(place, &writer, catch_up).run(&mut script, &train, &mut |_, numbers| all.push(numbers)).unwrap();
    assert_eq!(all.last(), Some(&json!({ "ended": true })), "a signal ends it");
    (begun.into_inner().unwrap(), all)
}

#[test]
fn trainings_begin_when_they_are_due_and_are_told() {
    let place = Place::new("2026-11-28T01:00:00Z");
    let (begun, all) = run(&place, CatchUp::Skip, 2, &[600]);
    assert_eq!(begun, ["2026-11-28T02:00:00Z", "2026-11-29T02:00:00Z"]);
    assert_eq!(told(&all, "next"), ["2026-11-28T02:00:00Z", "2026-11-29T02:00:00Z", "2026-11-30T02:00:00Z"]);
    let last = Standing::read(&place.writer("b"), &place.model).unwrap().last.unwrap();
    assert_eq!(last.due.as_deref(), Some("2026-11-29T02:00:00Z"));
    assert_eq!((last.ended.as_str(), last.status.as_str()), ("2026-11-29T02:10:00Z", "success"));
    assert_eq!((last.run.as_deref(), last.version, last.exit_code), (Some("r"), Some(7), 0));
}

#[test]
fn times_that_went_by_are_left_out_or_made_up_for_once() {
    let days = |days: i64| days * 86_400;
    // The first training lasts for more than two days.
    let place = Place::new("2026-11-01T01:00:00Z");
    let (begun, all) = run(&place, CatchUp::Skip, 2, &[days(2) + 60, 60]);
    assert_eq!(begun, ["2026-11-01T02:00:00Z", "2026-11-04T02:00:00Z"]);
    assert_eq!(told(&all, "skipped"), ["2026-11-03T02:00:00Z"]);
    let place = Place::new("2026-11-01T01:00:00Z");
    let (begun, all) = run(&place, CatchUp::Run, 3, &[days(2) + 60, 60]);
    assert_eq!(begun, ["2026-11-01T02:00:00Z", "2026-11-03T02:01:00Z", "2026-11-04T02:00:00Z"]);
    assert_eq!(told(&all, "missed"), ["2026-11-03T02:00:00Z"]);
    // Nothing ran for a week: the next schedule knows by what the last one left behind.
    place.clock.set(at("2026-11-11T12:00:00Z"));
    assert_eq!(run(&place, CatchUp::Run, 2, &[60]).0, ["2026-11-11T12:00:00Z", "2026-11-12T02:00:00Z"]);
    place.clock.set(at("2026-11-20T12:00:00Z"));
    assert_eq!(run(&place, CatchUp::Skip, 1, &[60]).0, ["2026-11-21T02:00:00Z"]);
    // Who never trained has missed nothing.
    let fresh = Place::new("2026-11-01T03:00:00Z");
    assert_eq!(run(&fresh, CatchUp::Run, 1, &[60]).0, ["2026-11-02T02:00:00Z"]);
}

#[test]
fn a_training_that_fails_or_panics_does_not_end_the_schedule() {
    let place = Place::new("2026-11-28T01:00:00Z");
    let writer = place.writer("a");
    let turn = AtomicU32::new(0);
    let train = || match turn.fetch_add(1, Relaxed) {
        0 => Ended::failed(Failure::Gate("rmse is above".to_owned())),
        1 => panic!("on purpose"),
        _ => Ended::default(),
    };
    let mut last = Vec::new();
    let mut tell = |_: &str, numbers: Value| last.extend(numbers.get("last").cloned());
    schedule(&place, &writer, CatchUp::Skip).run(&mut Script::new(&place, 3), &train, &mut tell).unwrap();
    let ended: Vec<_> =
        last.iter().map(|last| (last["status"].as_str().unwrap(), last["exit_code"].clone())).collect();
    assert_eq!(ended, [("refused", json!(4)), ("failed", json!(1)), ("success", json!(0))]);
    assert_eq!(last[0]["reason"], "rmse is above");
    assert!(last[1]["reason"].as_str().unwrap().contains("it panicked"));
}

#[test]
fn two_schedules_train_once_for_a_time() {
    let place = Place::new("2026-11-28T01:00:00Z");
    let (a, b) = (place.writer("a"), place.writer("b"));
    // While a trains, b wakes; and once more when a is done.
    let skipped = |all: &[Value]| told(all, "status") == ["skipped"];
    let other = |all: &mut Vec<Value>| {
        let train = || panic!("it trained too");
        let script = &mut Script::new(&place, 1);
        place.clock.set(at("2026-11-28T01:59:59Z"));
        schedule(&place, &b, CatchUp::Skip).run(script, &train, &mut |_, numbers| all.push(numbers)).unwrap();
    };
    let during = std::sync::Mutex::new(Vec::new());
    let train = || {
        other(&mut during.lock().unwrap());
        Ended::default()
    };
    schedule(&place, &a, CatchUp::Skip).run(&mut Script::new(&place, 1), &train, &mut |_, _| ()).unwrap();
    let during = during.into_inner().unwrap();
    assert!(skipped(&during) && during.iter().any(|told| told["training"]["by"].is_string()), "{during:?}");
    let mut after = Vec::new();
    other(&mut after);
    assert!(skipped(&after) && after.iter().any(|told| told["last"]["by"] == "a"), "{after:?}");
}

#[test]
fn the_lock_is_kept_while_a_training_runs() {
    let place = Place::new("2026-11-28T12:00:00Z");
    let (a, b) = (place.writer("a"), place.writer("b"));
    let schedule = Schedule { renewal: Duration::from_millis(5), ..schedule(&place, &a, CatchUp::Skip) };
    let train = || {
        let mut held = 0;
        for _ in 0..4 {
            place.clock.go(200);
            std::thread::sleep(Duration::from_millis(400));
            held += u32::from(matches!(Lock::take(&b, &place.model, None), Ok(Taken::Held(_))));
        }
        Ended { version: Some(u64::from(held)), ..Ended::default() }
    };
    schedule.once(&train, &mut |_, _| ()).unwrap();
    assert_eq!(Standing::read(&b, &place.model).unwrap().last.unwrap().version, Some(4));
}

#[test]
fn once_ends_as_the_training_does() {
    let place = Place::new("2026-11-28T12:00:00Z");
    let (a, b) = (place.writer("a"), place.writer("b"));
    let once =
        |train: &(dyn Fn() -> Ended + Sync)| schedule(&place, &a, CatchUp::Skip).once(train, &mut |_, _| ());
    once(&Ended::default).unwrap();
    let failed = once(&|| Ended::failed(Failure::Validation("rows".to_owned()))).unwrap_err();
    assert_eq!(failed.code(), 3);
    // Where somebody else trains there is nothing to do.
    let Ok(Taken::Ours(mut lock)) = Lock::take(&b, &place.model, None) else { panic!("it is free") };
    let mut said = Vec::new();
    let mut alive = |_: &str, numbers: Value| {
        place.clock.go(10);
        assert!(lock.renew().unwrap());
        said.push(numbers["status"].clone());
    };
    let other = schedule(&place, &a, CatchUp::Skip);
    other.once(&|| panic!("it trained too"), &mut alive).unwrap();
    assert_eq!(said, [json!("waiting"), json!("skipped")]);
    // Whoever held it is not heard of any more. What was asked for is for no time of the timetable.
    let before = place.clock.now();
    once(&Ended::default).unwrap();
    assert!(place.clock.now() >= before + LEASE, "nobody trains beside one that may still live");
    assert_eq!(Standing::read(&b, &place.model).unwrap().last_due(), None);
}

#[test]
fn jitter_begins_later_by_chance_and_never_by_more() {
    let place = Place::new("2026-11-01T01:00:00Z");
    let writer = place.writer("a");
    let schedule = Schedule { jitter: Duration::from_secs(600), ..schedule(&place, &writer, CatchUp::Skip) };
    let mut script = Script::new(&place, 12);
    schedule.run(&mut script, &Ended::default, &mut |_, _| ()).unwrap();
    let two = at("2026-11-01T02:00:00Z");
    let later: Vec<f64> = (0..)
        .zip(&script.until)
        .map(|(day, time)| (*time - two - time::Duration::days(day)).as_seconds_f64())
        .collect();
    assert!(later.iter().all(|seconds| (0.0..=600.0).contains(seconds)), "{later:?}");
    let spread = |low: f64, high: f64| later.iter().any(|seconds| (low..high).contains(seconds));
    assert!(spread(0.0, 250.0) && spread(350.0, 600.0), "{later:?}");
}
