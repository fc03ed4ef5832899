//! A metric of a sample, and where that of all that could have been sampled lies.

use crate::stats::Reversible;
use crate::stats::tails::{norm_ppf, t_isf2};

/// 1 − the confidence of intervals.
const ALPHA: f64 = 0.05;

/// The value of a metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The metric.
    pub name: &'static str,
    /// Its value over the sample.
    pub value: f64,
    /// Where it lies with 95 % confidence, were the sample's rows independent; none where there is no way to tell.
    pub interval: Option<[f64; 2]>,
}

/// A mean, by Student's t; none of nothing.
pub(super) fn mean(name: &'static str, of: &Reversible) -> Option<Estimate> {
    let (n, value) = (of.n(), of.mean());
    let interval = of.variance().map(|variance| {
        let half = t_isf2(ALPHA, (n - 1) as f64) * (variance / n as f64).sqrt();
        [value - half, value + half]
    });
    (n > 0).then_some(Estimate { name, value, interval })
}

/// The root of a mean square: that of its ends.
pub(super) fn root(square: Estimate) -> Estimate {
    let ends = |[low, high]: [f64; 2]| [low.max(0.0).sqrt(), high.sqrt()];
    Estimate { name: "rmse", value: square.value.sqrt(), interval: square.interval.map(ends) }
}

/// A share of rows that count, by Wilson's score interval (1927); none of nothing.
pub(super) fn share(name: &'static str, hits: u64, rows: u64) -> Option<Estimate> {
    let (n, z) = (rows as f64, norm_ppf(1.0 - ALPHA / 2.0));
    let p = hits as f64 / n;
    let (middle, shrunk) = ((p + z * z / (2.0 * n)) / (1.0 + z * z / n), 1.0 + z * z / n);
    let half = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt() / shrunk;
    (rows > 0).then(|| Estimate {
        name,
        value: p,
        interval: Some([(middle - half).max(0.0), (middle + half).min(1.0)]),
    })
}

/// A value with a standard error, by the normal distribution, within the ends that it cannot leave.
pub(super) fn normal(
    name: &'static str,
    value: f64,
    error: Option<f64>,
    [least, most]: [f64; 2],
) -> Estimate {
    let half = error.map(|error| norm_ppf(1.0 - ALPHA / 2.0) * error);
    let interval = half.map(|half| [(value - half).max(least), (value + half).min(most)]);
    Estimate { name, value, interval }
}
