//! The learner that needs nothing: trees and linear models in plain Rust.
//!
//! - `gbdt`: boosted trees, grown leaf by leaf on histograms, with LightGBM's parameters
//! - `random_forest`: with scikit-learn's parameters, on the same bins
//! - `linear`, `logistic`: least squares and logistic regression with an L2 penalty
//!
//! The same rows, parameters and seed give the same bits with any number of threads: sums that threads share are of
//! integers, everything else is summed in the order of the rows.

mod bins;
mod checks;
mod forest;
mod gbdt;
mod linear;
mod matrix;
mod params;
#[cfg(test)]
mod predict;
mod random;
mod threads;
mod tree;

#[cfg(test)]
mod tests;

pub(crate) use forest::{check as check_random_forest, fit as random_forest};
pub(crate) use gbdt::{check as check_gbdt, fit as gbdt};
pub(crate) use linear::{check as check_linear, check_logistic, logistic, ridge as linear};

use super::{FitError, Fitted, Importance, Linear, Model};
