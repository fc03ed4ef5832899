//! Statistics of drift and of experiments: pure functions of numbers and counts.
//!
//! Definitions and tolerances are those of `tests/fixtures/stats`, whose answers are scipy's; a test runs every case.
//! What is fed value by value ([`Moments`], [`Joint`], the counts of [`Edges`]) allocates nothing and merges, so that
//! workers and replicas can be added up. Tests take what was collected.
//!
//! A p-value or an interval exists, or the answer is a [`Lack`]: no function returns NaN for numbers that are none.
//! They refuse only what has no definition; how many values are worth a report is the caller's rule ([`MIN_WINDOW`]).

pub mod assign;
pub mod bins;
pub mod chi2;
pub mod dependence;
pub mod divergence;
pub mod failures;
pub mod growthbook;
pub mod ks;
pub mod mann_whitney;
pub mod moments;
pub mod multiplicity;
pub mod ratio;
pub mod reversible;
pub mod sequential;
pub mod share;
pub mod special;
pub mod srm;
pub mod tails;
pub mod wasserstein;
pub mod welch;

#[cfg(test)]
mod tests;

pub use bins::Edges;
pub use moments::{Joint, Moments};
pub use reversible::Reversible;

/// Fewer values in a window than this say too little for a report.
pub const MIN_WINDOW: usize = 50;

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.name())]
pub enum Lack {
    /// Too few values, or none, on the side that is judged.
    InsufficientData,
    /// Values that do not vary, so that a difference cannot be held against chance.
    InsufficientVariance,
    /// Nothing to compare with.
    NoReference,
}

impl Lack {
    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::InsufficientData => "insufficient_data",
            Self::InsufficientVariance => "insufficient_variance",
            Self::NoReference => "no_reference",
        }
    }
}

/// The status that reports carry beside an answer: `ok`, or what is lacking.
pub fn status<T>(answer: &Result<T, Lack>) -> &'static str {
    answer.as_ref().map_or_else(|lack| lack.name(), |_| "ok")
}

/// How a p-value is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Exactly where that is affordable, as scipy's `auto` does.
    Auto,
    /// From the law of finite samples.
    Exact,
    /// From the law for large samples.
    Asymptotic,
}

/// Both samples sorted, without what is not finite.
fn finite_pair(reference: &[f64], current: &[f64]) -> Result<[Vec<f64>; 2], Lack> {
    let sorted = |values: &[f64]| {
        let mut values: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        values
    };
    let (reference, current) = (sorted(reference), sorted(current));
    if reference.is_empty() {
        return Err(Lack::NoReference);
    }
    if current.is_empty() {
        return Err(Lack::InsufficientData);
    }
    Ok([reference, current])
}

/// Both totals, or which of them is 0.
fn totals(reference: &[u64], current: &[u64]) -> Result<[u64; 2], Lack> {
    match [reference.iter().sum(), current.iter().sum()] {
        [0, _] => Err(Lack::NoReference),
        [_, 0] => Err(Lack::InsufficientData),
        totals => Ok(totals),
    }
}
