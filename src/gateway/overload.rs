//! Who waits and who is turned away: controlled delay on measured waits.
//!
//! A worker serves one request at a time, so the number of requests that may wait is a time divided by the
//! service time, and limiting the *wait* limits concurrency adaptively whatever a model costs. Bursts may wait
//! as long as `http.queue_wait_ms` (a throttle period is 100 ms); a queue that never drains within an interval
//! is overload, and then only a quarter of that is allowed, so that admitted requests stay fast. This is CoDel
//! (K. Nichols and V. Jacobson, 2012) as adapted to servers ("Fail at Scale", B. Maurer, ACM Queue 2015).

use std::time::{Duration, Instant};

/// One queue's state.
pub(super) struct Admission {
    interval_ends: Instant,
    /// Shortest wait seen in this interval.
    shortest: Duration,
    overloaded: bool,
}

impl Admission {
    /// A queue that is not overloaded.
    pub(super) fn new(now: Instant) -> Self {
        Self { interval_ends: now, shortest: Duration::MAX, overloaded: false }
    }

    /// Whether a request that has waited so long is served.
    #[inline]
    pub(super) fn admit(&mut self, now: Instant, wait: Duration, limit: Duration) -> bool {
        let target = limit / 4;
        if now >= self.interval_ends {
            self.overloaded = self.shortest > target && self.shortest != Duration::MAX;
            self.shortest = wait;
            self.interval_ends = now + limit.max(Duration::from_millis(1));
        } else {
            self.shortest = self.shortest.min(wait);
        }
        wait <= if self.overloaded { target } else { limit }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_millis(100);

    fn millis(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn a_burst_may_wait_up_to_the_limit() {
        let now = Instant::now();
        let mut queue = Admission::new(now);
        assert!(queue.admit(now, millis(1), LIMIT));
        assert!(queue.admit(now + millis(10), millis(99), LIMIT));
        assert!(!queue.admit(now + millis(20), millis(101), LIMIT));
        // The queue drained in between, so the next interval is not overloaded.
        assert!(queue.admit(now + millis(150), millis(90), LIMIT));
    }

    #[test]
    fn a_standing_queue_is_cut_to_a_quarter_and_recovers() {
        let now = Instant::now();
        let mut queue = Admission::new(now);
        for n in 0..20 {
            queue.admit(now + millis(10 * n), millis(60), LIMIT);
        }
        assert!(!queue.admit(now + millis(210), millis(60), LIMIT));
        assert!(queue.admit(now + millis(211), millis(20), LIMIT));
        for n in 0..40 {
            queue.admit(now + millis(220 + 10 * n), millis(1), LIMIT);
        }
        assert!(queue.admit(now + millis(700), millis(60), LIMIT));
    }
}
