use super::at;
use crate::schedule::timetable::Timetable;

fn next(cron: &str, zone: &str, after: &str) -> String {
    let next = Timetable::read(cron, zone).unwrap().next(at(after)).unwrap();
    sidegate::registry::clock::text(next)
}

#[test]
fn times_are_those_of_the_zone() {
    assert_eq!(next("0 2 * * *", "UTC", "2026-11-28T01:59:59Z"), "2026-11-28T02:00:00Z");
    assert_eq!(next("0 2 * * *", "UTC", "2026-11-28T02:00:00Z"), "2026-11-29T02:00:00Z");
    assert_eq!(next("0 2 * * *", "Europe/Berlin", "2026-11-28T00:00:00Z"), "2026-11-28T01:00:00Z");
    assert_eq!(next("0 2 * * *", "Europe/Berlin", "2026-07-01T00:00:01Z"), "2026-07-02T00:00:00Z");
    assert_eq!(next("0 2 * * *", "-03:30", "2026-11-28T00:00:00Z"), "2026-11-28T05:30:00Z");
    assert_eq!(next("*/15 * * * MON-FRI", "UTC", "2026-11-27T23:50:00Z"), "2026-11-30T00:00:00Z");
    assert_eq!(next("@monthly", "UTC", "2026-11-27T23:50:00Z"), "2026-12-01T00:00:00Z");
}

#[test]
fn an_hour_that_the_clocks_leave_out_or_repeat_comes_once() {
    // 29 March 2026: 02:00 is 03:00. 25 October 2026: 02:30 is there twice.
    let spring = "2026-03-28T12:00:00Z";
    assert_eq!(next("30 2 * * *", "Europe/Berlin", spring), "2026-03-29T01:00:00Z");
    assert_eq!(next("30 2 * * *", "Europe/Berlin", "2026-03-29T01:00:00Z"), "2026-03-30T00:30:00Z");
    let autumn = next("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z");
    assert_eq!(autumn, "2026-10-25T00:30:00Z");
    assert_eq!(next("30 2 * * *", "Europe/Berlin", &autumn), "2026-10-26T01:30:00Z");
}

#[test]
fn what_is_no_timetable_is_refused() {
    for (cron, zone, expected) in [
        ("", "UTC", "`` is no timetable"),
        ("0 2 * *", "UTC", "five fields are one"),
        ("0 0 2 * * *", "UTC", "five fields are one"),
        ("0 2 * * * 2027", "UTC", "five fields are one"),
        ("61 2 * * *", "UTC", "`61 2 * * *` is no timetable"),
        ("0 2 * * *", "Mars/Olympus", "`Mars/Olympus` is no time zone"),
        ("0 0 30 2 *", "UTC", "never comes"),
    ] {
        let error = Timetable::read(cron, zone).unwrap_err();
        assert!(error.contains(expected), "{cron}: {error}");
    }
}

#[test]
fn the_latest_time_that_went_by_is_found() {
    let timetable = Timetable::read("0 2 * * *", "UTC").unwrap();
    let latest = |after, until| timetable.latest(at(after), at(until)).map(sidegate::registry::clock::text);
    let three = latest("2026-11-20T02:00:00Z", "2026-11-28T01:00:00Z");
    assert_eq!(three.as_deref(), Some("2026-11-27T02:00:00Z"));
    assert_eq!(latest("2026-11-27T02:00:00Z", "2026-11-28T01:59:59Z"), None);
    let sharp = latest("2026-11-27T02:00:00Z", "2026-11-28T02:00:00Z");
    assert_eq!(sharp.as_deref(), Some("2026-11-28T02:00:00Z"));
}

#[test]
fn people_read_the_clocks_of_their_zone() {
    let shown = |zone| Timetable::read("0 2 * * *", zone).unwrap().shown(at("2026-11-28T01:00:00Z"));
    assert_eq!(shown("UTC"), "2026-11-28T01:00:00Z");
    assert_eq!(shown("Europe/Berlin"), "2026-11-28 02:00:00 (Europe/Berlin)");
}
