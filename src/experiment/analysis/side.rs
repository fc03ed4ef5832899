//! One side of a comparison.

use serde::Serialize;

use crate::experiment::sums::{Histogram, Series};
use crate::stats::sequential::Arm;
use crate::stats::{Lack, Moments, ratio};

/// A metric of one side.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Side {
    /// Units.
    pub units: u64,
    /// What it is the mean of: requests, rows or units.
    pub n: f64,
    /// The mean, or the quantile.
    pub mean: Option<f64>,
    /// Its standard error by buckets of units, where it is a mean.
    pub standard_error: Option<f64>,
}

// === impl Side ===

impl Side {
    /// Of a series, in which `units` took part.
    pub(super) fn of(series: &Series, units: u64) -> Self {
        let total = series.total();
        if total.weight <= 0.0 {
            return Self { units: 0, n: total.weight, ..Self::default() };
        }
        // Where only some units have something to show, no more than these count.
        let units = units.min(total.weight as u64);
        let found = ratio::ratio(&series.joint());
        Self {
            units,
            n: total.weight,
            mean: Some(total.sum / total.weight),
            standard_error: found.ok().map(|ratio| ratio.standard_error),
        }
    }

    /// Of so many among all.
    pub(super) fn share(count: u64, all: u64) -> Self {
        if all == 0 {
            return Self::default();
        }
        let (n, mean) = (all as f64, count as f64 / all as f64);
        Self { units: all, n, mean: Some(mean), standard_error: Some((mean * (1.0 - mean) / n).sqrt()) }
    }

    /// A quantile of times.
    pub(super) fn quantile(times: &Histogram, thousandths: u16) -> Self {
        let class = times.class(f64::from(thousandths) / 1000.0);
        Self {
            units: times.count(),
            n: times.count() as f64,
            mean: class.map(Histogram::end),
            standard_error: None,
        }
    }

    /// Those that count as 1 and as 0, of a share.
    pub(super) fn events(&self) -> Option<[f64; 2]> {
        self.mean.map(|mean| [mean * self.n, (1.0 - mean) * self.n])
    }

    /// For a comparison at every look.
    pub(super) fn arm(&self) -> Result<Arm, Lack> {
        let moments = self.moments()?;
        Ok(Arm { n: self.units, mean: moments.mean, variance: moments.variance()? })
    }

    /// As if its units were a sample: their mean, and the variance that gives its standard error.
    pub(super) fn moments(&self) -> Result<Moments, Lack> {
        match (self.mean, self.standard_error) {
            (Some(mean), Some(error)) if self.units >= 2 => {
                let n = self.units as f64;
                Ok(Moments { n: self.units, mean, m2: error * error * n * (n - 1.0) })
            }
            _ => Err(Lack::InsufficientData),
        }
    }
}
