//! Time and chance as writing needs them, so that a simulation can hand out its own.

use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Where a writer has the time, its pauses and its random numbers from.
pub trait Clock: Send + Sync {
    /// The wall clock, UTC.
    fn now(&self) -> OffsetDateTime;

    /// Waits.
    fn sleep(&self, pause: Duration);

    /// Random bits, for ids and for the length of pauses; they need to be distinct, not secret.
    fn random(&self) -> u64;
}

/// This machine's.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc()
    }

    fn sleep(&self, pause: Duration) {
        std::thread::sleep(pause);
    }

    fn random(&self) -> u64 {
        rand::random()
    }
}

/// A time as it is stored: RFC 3339, UTC, whole seconds.
pub fn text(time: OffsetDateTime) -> String {
    let time = time.to_offset(time::UtcOffset::UTC);
    let time = time.replace_nanosecond(0).unwrap_or(time);
    time.format(&Rfc3339).unwrap_or_default()
}

/// A stored time; `None` when it is none.
pub fn parse(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text, &Rfc3339).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_stored_in_utc_with_whole_seconds() {
        let time = parse("2026-11-23T03:00:11.75+01:00").unwrap();
        assert_eq!(text(time), "2026-11-23T02:00:11Z");
        assert_eq!(parse("yesterday"), None);
    }
}
