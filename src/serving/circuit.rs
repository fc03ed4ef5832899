//! A circuit per version: one whose engine keeps failing is left alone for a while, and its requests are refused
//! at once, so that they neither burn time nor take other models with them.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// So many failures of the engine within [`WINDOW`] open the circuit, for as long again.
const FAILURES: usize = 5;
const WINDOW: Duration = Duration::from_secs(60);

/// Counts failures of one version's engine; errors of clients are none.
#[derive(Default)]
pub struct Circuit {
    /// What the data path looks at.
    opened: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    failures: Vec<Instant>,
    until: Option<Instant>,
}

impl Circuit {
    /// Whether requests are to be refused.
    #[inline]
    pub fn is_open(&self, now: Instant) -> bool {
        self.opened.load(Relaxed) && self.is_still_open(now)
    }

    #[cold]
    fn is_still_open(&self, now: Instant) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.until.is_some_and(|until| now < until) {
            return true;
        }
        state.until = None;
        self.opened.store(false, Relaxed);
        false
    }

    /// Takes note of a failure; true when this one opened the circuit.
    #[cold]
    pub fn fail(&self, now: Instant) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.failures.retain(|at| now.saturating_duration_since(*at) < WINDOW);
        state.failures.push(now);
        if state.failures.len() < FAILURES {
            return false;
        }
        state.failures.clear();
        state.until = Some(now + WINDOW);
        self.opened.store(true, Relaxed);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_after_enough_failures_in_time_and_closes_again() {
        let circuit = Circuit::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let opened: Vec<bool> = (0..4).map(|second| circuit.fail(at(second))).collect();
        assert_eq!(opened, [false; 4]);
        assert!(!circuit.is_open(at(4)));
        // The first two are too long ago by now.
        assert!(!circuit.fail(at(61)));
        assert!(!circuit.fail(at(61)));
        assert!(!circuit.is_open(at(61)));
        assert!(circuit.fail(at(61)));
        assert!(circuit.is_open(at(62)));
        assert!(circuit.is_open(at(120)));
        assert!(!circuit.is_open(at(121)));
        assert!(!circuit.fail(at(122)));
    }
}
