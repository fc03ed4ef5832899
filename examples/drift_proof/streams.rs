//! Values of one feature before and after it changes.

use crate::rng::Rng;

/// Rows that a reference is learned from.
pub(crate) const LEARNED: usize = 2000;
/// Clean values before the change, at least.
pub(crate) const CLEAN: usize = 4000;
/// Values after it.
pub(crate) const AFTER: usize = 16_000;

/// What becomes of a standard normal value, so many values after the change.
pub(crate) struct Change {
    pub(crate) name: &'static str,
    /// The median delay that is wanted at 1.5 alarms per 100,000 values.
    pub(crate) goal: Option<usize>,
    pub(crate) draw: fn(&mut Rng, f64) -> f64,
}

pub(crate) const CHANGES: &[Change] = &[
    Change { name: "mean + 0.25 sd", goal: Some(271), draw: |rng, _| rng.normal() + 0.25 },
    Change { name: "mean + 0.5 sd", goal: Some(79), draw: |rng, _| rng.normal() + 0.5 },
    Change { name: "mean + 1 sd", goal: Some(47), draw: |rng, _| rng.normal() + 1.0 },
    Change { name: "sd x 1.5", goal: Some(143), draw: |rng, _| rng.normal() * 1.5 },
    Change { name: "variance x 1.5", goal: None, draw: |rng, _| rng.normal() * 1.5_f64.sqrt() },
    Change {
        name: "ramp, 1 sd over 2,000",
        goal: Some(656),
        draw: |rng, since| rng.normal() + (since / 2000.0).min(1.0),
    },
    // Of mean 0 and variance 1, all of these.
    Change { name: "shape: exponential", goal: Some(271), draw: |rng, _| rng.exponential() - 1.0 },
    Change { name: "shape: uniform", goal: Some(271), draw: |rng, _| (rng.uniform() - 0.5) * 12_f64.sqrt() },
    Change {
        name: "shape: two peaks at 0.9 sd",
        goal: Some(271),
        draw: |rng, _| {
            let side = if rng.word() >> 63 == 0 { 0.9 } else { -0.9 };
            side + (1.0 - 0.81_f64).sqrt() * rng.normal()
        },
    },
    Change {
        name: "shape: Laplace",
        goal: None,
        draw: |rng, _| {
            let side = if rng.word() >> 63 == 0 { 1.0 } else { -1.0 };
            side * rng.exponential() / 2_f64.sqrt()
        },
    },
    Change {
        name: "a default value in 5 %",
        goal: None,
        draw: |rng, _| if rng.uniform() < 0.05 { 0.3 } else { rng.normal() },
    },
];

/// One stream: a reference, clean values, and the change at an offset that no pane knows.
pub(crate) struct Stream {
    rng: Rng,
    pub(crate) change: usize,
    at: usize,
    draw: fn(&mut Rng, f64) -> f64,
}

// === impl Stream ===

impl Stream {
    pub(crate) fn new(change: &Change, seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let offset = (rng.word() % 512) as usize;
        Self { rng, change: CLEAN + offset, at: 0, draw: change.draw }
    }

    pub(crate) fn learned(&mut self) -> Vec<f64> {
        (0..LEARNED).map(|_| self.rng.normal()).collect()
    }
}

impl Iterator for Stream {
    type Item = f64;

    fn next(&mut self) -> Option<f64> {
        let at = self.at;
        self.at += 1;
        if at < self.change {
            Some(self.rng.normal())
        } else {
            (at < self.change + AFTER).then(|| (self.draw)(&mut self.rng, (at - self.change) as f64))
        }
    }
}
