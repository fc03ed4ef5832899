//! When requests are sent: at once (closed loop) or on a fixed timetable (open loop).
//!
//! In open loop a request that finds no free connection keeps its place in the timetable and its clock runs:
//! a server that stalls is charged for every request it delayed (no coordinated omission). Requests that never
//! found a connection before the end are counted as missed.

/// Nanoseconds since the start of the run.
pub(crate) type Nanos = u64;

/// Hands out the starting times of requests.
pub(crate) struct Schedule {
    /// Nanoseconds between requests; `None` is closed loop.
    interval: Option<f64>,
    /// Where the timetable begins, and how many of its requests were handed out.
    origin: Nanos,
    taken: u64,
    /// How many more requests may be handed out.
    left: u64,
    /// Nothing is handed out at or after this time.
    end: Nanos,
}

impl Schedule {
    /// `rate` in requests per second, 0 for closed loop.
    pub(crate) fn new(rate: f64, limit: Option<u64>, end: Nanos) -> Self {
        let interval = (rate > 0.0).then(|| 1e9 / rate);
        Self { interval, origin: 0, taken: 0, left: limit.unwrap_or(u64::MAX), end }
    }

    /// The starting time of a request that is to be sent now, if there is one.
    pub(crate) fn take(&mut self, now: Nanos) -> Option<Nanos> {
        let start = self.next_start(now);
        if self.left == 0 || start > now || now >= self.end {
            return None;
        }
        self.left -= 1;
        self.taken += 1;
        Some(start)
    }

    /// How long until the next request is due; `None` when that does not depend on time.
    pub(crate) fn due_in(&self, now: Nanos) -> Option<Nanos> {
        let start = self.next_start(now);
        let open = self.interval.is_some() && self.left > 0 && start < self.end && now < self.end;
        open.then(|| start.saturating_sub(now))
    }

    /// All requests that were asked for have been handed out.
    pub(crate) fn exhausted(&self) -> bool {
        self.left == 0
    }

    /// The timetable begins anew; what the warm-up could not send is forgotten.
    pub(crate) fn restart(&mut self, now: Nanos, end: Nanos) {
        self.origin = now;
        self.taken = 0;
        self.end = end;
    }

    /// Ends it before its time.
    pub(crate) fn stop(&mut self, now: Nanos) {
        self.end = self.end.min(now);
    }

    /// Requests of the timetable that were due before the end and never sent.
    pub(crate) fn missed(&self) -> u64 {
        let Some(interval) = self.interval else { return 0 };
        let planned = (self.end.saturating_sub(self.origin) as f64 / interval).ceil() as u64;
        planned.saturating_sub(self.taken).min(self.left)
    }

    fn next_start(&self, now: Nanos) -> Nanos {
        match self.interval {
            Some(interval) => self.origin + (self.taken as f64 * interval) as Nanos,
            None => now,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_loop_keeps_its_timetable() {
        let mut schedule = Schedule::new(1e6, None, 10_000);
        assert_eq!(schedule.take(0), Some(0));
        assert_eq!(schedule.take(500), None);
        assert_eq!(schedule.due_in(500), Some(500));
        // A stall of three intervals leaves three requests, each with the time it was due.
        let late = [(); 4].map(|()| schedule.take(3_000));
        assert_eq!(late, [Some(1_000), Some(2_000), Some(3_000), None]);
        assert_eq!(schedule.missed(), 6);
    }

    #[test]
    fn warm_up_leaves_no_debt() {
        let mut schedule = Schedule::new(1e6, None, 5_000);
        schedule.restart(5_000, 7_000);
        assert_eq!(schedule.take(5_500), Some(5_000));
        assert_eq!(schedule.take(6_000), Some(6_000));
        assert_eq!(schedule.due_in(6_500), None);
        assert_eq!(schedule.take(7_000), None);
        assert_eq!(schedule.missed(), 0);
    }

    #[test]
    fn limit_and_early_stop_are_kept() {
        let mut closed = Schedule::new(0.0, Some(2), 100);
        assert_eq!([1, 2, 3].map(|now| closed.take(now)), [Some(1), Some(2), None]);
        assert!(closed.exhausted());
        assert_eq!(closed.missed(), 0);
        let mut open = Schedule::new(1e6, None, 10_000);
        assert_eq!(open.take(0), Some(0));
        open.stop(4_000);
        assert_eq!(open.take(4_000), None);
        assert_eq!(open.missed(), 3);
    }
}
