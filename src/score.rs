//! How good predictions are: one table of metrics, computed as scikit-learn does; of rows that are at hand, and of sums
//! that rows come to one by one.

mod binary;
mod classification;
mod confusion;
mod curve;
mod estimate;
mod regression;
mod sums;
mod tally;

use std::fmt;
use std::str::FromStr;

pub use classification::Classes;
pub use confusion::Confusion;
pub use curve::{Curve, Group};
pub use estimate::Estimate;
pub use regression::Numbers;
pub use sums::{Pair, Sums};
pub use tally::{Average, Tally};

/// What is predicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// A number.
    Regression,
    /// One of some classes.
    Classification,
}

/// Which way a metric is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// A threshold says "at most".
    Lower,
    /// A threshold says "at least".
    Higher,
}

/// A metric.
pub struct Metric {
    /// Its name in thresholds and reports.
    pub name: &'static str,
    /// Which way it is better.
    pub better: Better,
    /// From what it is computed.
    pub compute: Compute,
}

/// From what a metric is computed.
pub enum Compute {
    /// Numbers; NaN where it is not defined.
    Regression(fn(&Numbers) -> f64),
    /// Classes, or why it cannot be.
    Classification(fn(&Classes) -> Result<f64, String>),
    /// How long one row takes, which only a clock knows: the quantile.
    Latency(f64),
}

/// Every metric, in the order of reports.
pub const METRICS: &[Metric] = &[
    Metric { name: "rmse", better: Better::Lower, compute: Compute::Regression(Numbers::rmse) },
    Metric { name: "mae", better: Better::Lower, compute: Compute::Regression(Numbers::mae) },
    Metric { name: "mse", better: Better::Lower, compute: Compute::Regression(Numbers::mse) },
    Metric { name: "r2", better: Better::Higher, compute: Compute::Regression(Numbers::r2) },
    Metric { name: "accuracy", better: Better::Higher, compute: Compute::Classification(Classes::accuracy) },
    Metric {
        name: "precision",
        better: Better::Higher,
        compute: Compute::Classification(Classes::precision),
    },
    Metric { name: "recall", better: Better::Higher, compute: Compute::Classification(Classes::recall) },
    Metric { name: "f1", better: Better::Higher, compute: Compute::Classification(Classes::f1) },
    Metric { name: "auc", better: Better::Higher, compute: Compute::Classification(Classes::auc) },
    Metric { name: "log_loss", better: Better::Lower, compute: Compute::Classification(Classes::log_loss) },
    Metric { name: "latency_p50_us", better: Better::Lower, compute: Compute::Latency(0.5) },
    Metric { name: "latency_p99_us", better: Better::Lower, compute: Compute::Latency(0.99) },
];

/// A metric and the value it must reach, written `r2=0.5`.
#[derive(Clone, Copy)]
pub struct Threshold {
    /// Which metric.
    pub metric: &'static Metric,
    /// The value that is just good enough.
    pub value: f64,
}

/// A text that is no threshold.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected METRIC=NUMBER with one of {}", names().join(" "))]
pub struct InvalidThreshold;

fn names() -> Vec<&'static str> {
    METRICS.iter().map(|metric| metric.name).collect()
}

// === impl Metric ===

impl Metric {
    /// The metric of that name.
    pub fn named(name: &str) -> Option<&'static Self> {
        METRICS.iter().find(|metric| metric.name == name)
    }

    /// The task it belongs to; `None` when it belongs to every one.
    pub const fn task(&self) -> Option<Task> {
        match self.compute {
            Compute::Regression(_) => Some(Task::Regression),
            Compute::Classification(_) => Some(Task::Classification),
            Compute::Latency(_) => None,
        }
    }
}

// === impl Threshold ===

impl Threshold {
    /// Whether a value is good enough; NaN never is.
    pub fn allows(&self, value: f64) -> bool {
        match self.metric.better {
            Better::Lower => value <= self.value,
            Better::Higher => value >= self.value,
        }
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.metric.better == Better::Lower { "at most" } else { "at least" };
        write!(f, "{word} {}", self.value)
    }
}

impl fmt::Debug for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {self}", self.metric.name)
    }
}

impl FromStr for Threshold {
    type Err = InvalidThreshold;

    fn from_str(text: &str) -> Result<Self, InvalidThreshold> {
        let (name, value) = text.split_once('=').ok_or(InvalidThreshold)?;
        let metric = Metric::named(name.trim()).ok_or(InvalidThreshold)?;
        let value = value.trim().parse().ok().filter(|value: &f64| value.is_finite());
        Ok(Self { metric, value: value.ok_or(InvalidThreshold)? })
    }
}

// === impl Task ===

impl Task {
    /// The name in flags and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Regression => "regression",
            Self::Classification => "classification",
        }
    }
}

/// The value below which `share` of the sorted values lie (nearest rank); `None` of nothing.
pub fn percentile<T: Copy>(sorted: &[T], share: f64) -> Option<T> {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.max(1) - 1).or(sorted.last()).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let sorted: Vec<u64> = (1..=100).collect();
        let found = [0.0, 0.5, 0.99, 1.0].map(|share| percentile(&sorted, share));
        assert_eq!(found, [1, 50, 99, 100].map(Some));
        assert_eq!(percentile::<u64>(&[], 0.5), None);
    }

    #[test]
    fn errors_and_times_are_better_low_and_everything_else_high() {
        let low = ["rmse", "mae", "mse", "log_loss", "latency_p50_us", "latency_p99_us"];
        for metric in METRICS {
            assert_eq!(metric.better == Better::Lower, low.contains(&metric.name), "{}", metric.name);
        }
    }

    #[test]
    fn a_threshold_itself_is_good_enough() {
        let threshold = |text: &str| text.parse::<Threshold>().unwrap();
        for (text, value, allowed) in [
            ("r2=0.5", 0.5, true),
            ("r2=0.5", 0.49, false),
            ("rmse = 10", 10.0, true),
            ("rmse=10", 10.1, false),
            ("log_loss=1", f64::NAN, false),
            ("f1=0", f64::NAN, false),
        ] {
            assert_eq!(threshold(text).allows(value), allowed, "{text}: {value}");
        }
        assert_eq!(format!("{:?}", threshold("mae=2.5")), "mae: at most 2.5");
        for bad in ["r2", "r3=1", "r2=", "r2=x", "r2=NaN", "=1", "R2=1"] {
            assert!(bad.parse::<Threshold>().is_err(), "{bad}");
        }
    }
}
