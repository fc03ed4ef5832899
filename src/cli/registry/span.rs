//! Spans and moments as people write them: `10m`, `7d`; `2026-11-23T02:00:00Z`, `2026-11-23`, `2h ago`.

use std::time::Duration;

use time::OffsetDateTime;

use crate::registry::clock::{self, Clock as _, SystemClock};

/// Longer spans are mistakes, and would lead out of the calendar.
const MOST_SECONDS: u64 = 36_500 * 86_400;

/// A whole number with its unit.
pub(in crate::cli) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => 0,
    };
    let seconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    match seconds.filter(|seconds| unit > 0 && *seconds <= MOST_SECONDS) {
        Some(seconds) => Ok(Duration::from_secs(seconds)),
        None => Err("a whole number with s, m, h or d, such as 90s, 10m or 7d; at most 36500d".into()),
    }
}

/// A moment.
pub(super) fn moment(text: &str) -> Result<OffsetDateTime, String> {
    if let Some(span) = text.strip_suffix("ago") {
        return Ok(SystemClock.now() - duration(span.trim())?);
    }
    let moment = clock::parse(text).or_else(|| clock::parse(&format!("{text}T00:00:00Z")));
    moment.ok_or_else(|| {
        "a time such as 2026-11-23T02:00:00Z, 2026-11-23 (when that day begins, UTC) or \"2h ago\"".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_a_unit() {
        for (text, seconds) in [
            ("90s", Some(90)),
            ("10m", Some(600)),
            ("2h", Some(7200)),
            ("7d", Some(604_800)),
            ("0s", Some(0)),
        ] {
            assert_eq!(duration(text).ok().map(|span| span.as_secs()), seconds, "{text}");
        }
        for text in ["", "10", "m", "1.5h", "-1s", "10 m", "10min", "36501d", "99999999999999999999d", "٣d"]
        {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_moment_is_a_time_a_day_or_a_while_ago() {
        let text = |moment: &str| clock::text(super::moment(moment).unwrap());
        assert_eq!(text("2026-11-23T03:00:11+01:00"), "2026-11-23T02:00:11Z");
        assert_eq!(text("2026-11-23"), "2026-11-23T00:00:00Z");
        let passed = SystemClock.now() - moment("2h ago").unwrap();
        assert!((7199..7300).contains(&passed.whole_seconds()), "{passed}");
        for text in ["yesterday", "ago", "2 ago", "2026-13-01", "2026-11-23 02:00"] {
            assert!(moment(text).is_err(), "{text}");
        }
    }
}
