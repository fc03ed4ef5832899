//! A store that does not answer: one request at a time, further and further apart, until it does.

use std::time::{Duration, Instant};

use crate::model::LoadError;

/// Longest pause between two questions to a store that does not answer.
pub(super) const MAX_PAUSE: Duration = Duration::from_secs(90);
/// Shortest pause after the store has said that it does not know us: asking again soon changes nothing.
const DENIED_PAUSE: Duration = Duration::from_secs(30);

/// Since when and why the registry does not answer.
#[derive(Clone, Debug)]
pub(super) struct Outage {
    /// What it said last.
    pub(super) error: LoadError,
    /// Questions without an answer.
    pub(super) failures: u32,
    /// When it began.
    pub(super) since: Instant,
    /// Whether credentials are the matter.
    pub(super) denied: bool,
}

impl Outage {
    /// How long to wait before the next question, before jitter, where `poll` is the usual pause.
    pub(super) fn pause(&self, poll: Duration) -> Duration {
        let least = if self.denied { DENIED_PAUSE } else { Duration::ZERO };
        let grown = poll.saturating_mul(1 << self.failures.saturating_sub(1).min(16));
        grown.min(MAX_PAUSE).max(least).max(poll.min(MAX_PAUSE))
    }
}

/// A pause, give or take 20 %: many sidecars must not ask a shared store at once.
pub(super) fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(rand::random_range(0.8..1.2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Reason;

    fn outage(failures: u32, denied: bool) -> Outage {
        let error = LoadError::new(Reason::Unreachable, "no answer");
        Outage { error, failures, since: Instant::now(), denied }
    }

    /// The questions of `span` after a first one failed.
    fn questions(span: Duration, poll: Duration, denied: bool) -> u32 {
        let (mut time, mut count) = (Duration::ZERO, 1);
        loop {
            time += jittered(outage(count, denied).pause(poll));
            if time > span {
                return count;
            }
            count += 1;
        }
    }

    #[test]
    fn half_an_hour_without_the_store_costs_thirty_requests_at_most() {
        for _ in 0..1000 {
            let count = questions(Duration::from_secs(1800), Duration::from_secs(15), false);
            assert!((18..=30).contains(&count), "{count}");
        }
    }

    #[test]
    fn wrong_credentials_are_shown_twice_a_minute_at_most() {
        for _ in 0..1000 {
            let count = questions(Duration::from_secs(60), Duration::from_millis(50), true);
            assert!(count <= 3, "{count}: the first, and two in the minute after it");
        }
    }

    #[test]
    fn fifty_sidecars_do_not_come_back_at_once() {
        let (poll, sidecars) = (Duration::from_secs(15), 50);
        let (healed, until, window) = (1800, 2400, 3);
        // All lost the store in the same moment and found it again in the same moment, half an hour later.
        let peak = |spread: fn(Duration) -> Duration| {
            let mut asked = vec![0; (until - healed) / window];
            for _ in 0..sidecars {
                let (mut time, mut failures) = (Duration::ZERO, 1);
                while time < Duration::from_secs(healed as u64) {
                    time += spread(outage(failures, false).pause(poll));
                    failures += 1;
                }
                while time < Duration::from_secs(until as u64) {
                    asked[(time.as_secs() as usize - healed) / window] += 1;
                    time += spread(poll);
                }
            }
            asked.into_iter().max().unwrap()
        };
        // Windows far shorter than a pause: in step, all of them would ask within one.
        assert_eq!(peak(|pause| pause), sidecars);
        // In the mean ten ask in a window; the highest of 200 windows is some three deviations above that.
        for _ in 0..100 {
            let peak = peak(jittered);
            assert!(peak <= sidecars / 2, "{peak} of {sidecars} ask within {window} s");
        }
    }

    #[test]
    fn pauses_grow_from_the_poll_to_the_longest_which_a_slow_poll_has_at_once() {
        let hour = Duration::from_secs(3600);
        assert_eq!(outage(1, false).pause(hour), MAX_PAUSE);
        assert_eq!(outage(1, false).pause(Duration::from_secs(1)), Duration::from_secs(1));
        assert_eq!(outage(9, false).pause(Duration::from_secs(1)), MAX_PAUSE);
    }
}
