//! Predictions held against what came, as sums: those of parts add up to those of the whole, and a pair that turns out
//! to be another one is taken back.

use super::confusion::Confusion;
use super::curve::Curve;
use super::estimate::{Estimate, mean, root};
use crate::stats::Reversible;

/// Errors and numbers as large as this are undefined: the squares of their squares are none.
const LARGEST: f64 = 1e70;

/// A prediction and what came.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pair {
    /// Two numbers.
    Numbers {
        /// What came.
        truth: f64,
        /// What was predicted.
        predicted: f64,
    },
    /// Two classes, by their numbers.
    Classes {
        /// What came.
        truth: u8,
        /// What was predicted.
        predicted: u8,
    },
    /// A class and the probability of the second of two.
    Scored {
        /// Whether the second came.
        truth: bool,
        /// Its probability.
        probability: f64,
    },
}

/// What is known of pairs. All of one [`Pair`]'s kind.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sums {
    /// Pairs.
    pub rows: u64,
    /// Pairs without a number or a probability to hold against another, which are in no metric.
    pub undefined: u64,
    errors: Errors,
    /// Truth by prediction.
    pub confusion: Confusion,
    /// Probabilities.
    pub curve: Curve,
}

/// Prediction minus truth, its size and its square, and the truth.
#[derive(Clone, Debug, Default, PartialEq)]
struct Errors {
    signed: Reversible,
    absolute: Reversible,
    squared: Reversible,
    truth: Reversible,
}

// === impl Sums ===

impl Sums {
    /// Takes a pair.
    pub fn add(&mut self, pair: Pair) {
        self.count(pair, true);
    }

    /// Takes back one that was taken.
    pub fn take_back(&mut self, pair: Pair) {
        self.count(pair, false);
    }

    fn count(&mut self, pair: Pair, more: bool) {
        step(&mut self.rows, more);
        match pair {
            Pair::Numbers { truth, predicted } => {
                let error = predicted - truth;
                // The variance of squares must be a number too, and that of the truth.
                if error.abs() < LARGEST && truth.abs() < LARGEST {
                    self.errors.count(truth, error, more);
                } else {
                    step(&mut self.undefined, more);
                }
            }
            Pair::Classes { truth, predicted } => self.confusion.count(truth, predicted, more),
            Pair::Scored { truth, probability } => {
                if (0.0..=1.0).contains(&probability) {
                    self.confusion.count(u8::from(truth), u8::from(probability >= 0.5), more);
                    self.curve.count(truth, probability, more);
                } else {
                    step(&mut self.undefined, more);
                }
            }
        }
    }

    /// Takes the pairs of another.
    pub fn merge(&mut self, other: &Self) {
        self.rows += other.rows;
        self.undefined += other.undefined;
        self.errors.merge(&other.errors);
        self.confusion.merge(&other.confusion);
        self.curve.merge(&other.curve);
    }

    /// Every metric that they have a value for, with 95 % intervals where there is a way to one.
    pub fn estimates(&self) -> Vec<Estimate> {
        [self.confusion.estimates(), self.curve.estimates(), self.errors.estimates()].concat()
    }

    /// The same, without the intervals of classes, which take as many steps as there are pairs of them times classes.
    pub fn values(&self) -> Vec<Estimate> {
        [self.confusion.values(), self.curve.estimates(), self.errors.estimates()].concat()
    }
}

/// One more or one less.
pub(super) const fn step(count: &mut u64, more: bool) {
    *count = if more { *count + 1 } else { count.saturating_sub(1) };
}

/// A value that comes, or goes again.
pub(super) fn shift(moments: &mut Reversible, value: f64, more: bool) {
    if more { moments.push(value) } else { moments.remove(value) }
}

// === impl Errors ===

impl Errors {
    fn count(&mut self, truth: f64, error: f64, more: bool) {
        shift(&mut self.signed, error, more);
        shift(&mut self.absolute, error.abs(), more);
        shift(&mut self.squared, error * error, more);
        shift(&mut self.truth, truth, more);
    }

    fn merge(&mut self, other: &Self) {
        self.signed.merge(&other.signed);
        self.absolute.merge(&other.absolute);
        self.squared.merge(&other.squared);
        self.truth.merge(&other.truth);
    }

    fn estimates(&self) -> Vec<Estimate> {
        let mse = mean("mse", &self.squared);
        let all = [mse.map(root), mse, mean("mae", &self.absolute), mean("mean_error", &self.signed)];
        all.into_iter().chain([self.r2()]).flatten().collect()
    }

    /// As scikit-learn has it: where the truth does not vary, 1 if it is met exactly, else 0.
    fn r2(&self) -> Option<Estimate> {
        let (squared, spread) = (self.squared.mean(), self.truth.deviations());
        let value = match (self.truth.n(), squared == 0.0, spread == 0.0) {
            (0 | 1, ..) => return None,
            (_, true, true) => 1.0,
            (_, false, true) => 0.0,
            (n, ..) => 1.0 - squared * n as f64 / spread,
        };
        Some(Estimate { name: "r2", value, interval: None })
    }
}

#[cfg(test)]
mod tests;
