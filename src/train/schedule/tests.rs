mod lock;
mod timetable;
mod turns;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use sidegate::model::ModelName;
use sidegate::registry::clock::{self, Clock};
use sidegate::registry::store::Folder;
use sidegate::registry::writer::Writer;
use time::OffsetDateTime;

use super::config::{CatchUp, ScheduleConfig};
use super::duration;

fn at(text: &str) -> OffsetDateTime {
    clock::parse(text).unwrap()
}

/// A clock that goes when it is told to.
#[derive(Clone)]
struct Hand(Arc<Mutex<(OffsetDateTime, u64)>>);

impl Hand {
    fn at(text: &str) -> Self {
        Self(Arc::new(Mutex::new((at(text), 0))))
    }

    fn set(&self, time: OffsetDateTime) {
        self.0.lock().unwrap().0 = time;
    }

    fn go(&self, seconds: i64) {
        self.0.lock().unwrap().0 += time::Duration::seconds(seconds);
    }
}

impl Clock for Hand {
    fn now(&self) -> OffsetDateTime {
        self.0.lock().unwrap().0
    }

    fn sleep(&self, pause: Duration) {
        self.0.lock().unwrap().0 += pause;
    }

    fn random(&self) -> u64 {
        let mut hand = self.0.lock().unwrap();
        hand.1 += 1;
        hand.1.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

/// A registry that several may write to.
struct Place {
    folder: tempfile::TempDir,
    clock: Hand,
    model: ModelName,
}

impl Place {
    fn new(now: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder, clock: Hand::at(now), model: "m".parse().unwrap() }
    }

    fn writer(&self, who: &str) -> Writer {
        Writer::with_clock(Box::new(Folder::new(self.folder.path())), who, Box::new(self.clock.clone()))
    }
}

#[test]
fn durations_are_read_as_people_write_them() {
    for (text, seconds) in [("90", 90), ("90s", 90), ("5m", 300), ("1h", 3600), ("0", 0)] {
        assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
    }
    for text in ["", "m", "5 m", "1.5h", "-1s", "5d", "99999999999999999999s", "9999999999999999999h", "5µ"]
    {
        assert!(duration(text).is_err(), "{text}");
    }
}

#[test]
fn the_configuration_has_defaults_and_no_other_keys() {
    let read = |text: &str| toml::from_str::<ScheduleConfig>(text);
    let own = read("").unwrap();
    assert_eq!(
        (own.cron.as_str(), own.time_zone.as_str(), own.catch_up),
        ("0 2 * * *", "UTC", CatchUp::Skip)
    );
    let all =
        read("cron = \"@hourly\"\ntime_zone = \"+02:00\"\njitter_seconds = 9\ncatch_up = \"run\"").unwrap();
    assert_eq!((all.catch_up, all.jitter_seconds, all.check()), (CatchUp::Run, 9, Ok(())));
    assert!(read("crom = \"\"").unwrap_err().to_string().contains("unknown field `crom`"));
    let wrong = read("cron = \"0 25 * * *\"").unwrap().check().unwrap_err();
    assert!(wrong.starts_with("schedule: `0 25 * * *` is no timetable"), "{wrong}");
}
