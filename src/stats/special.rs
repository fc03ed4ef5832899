//! Special functions: gamma, incomplete gamma and beta, and the error function.
//!
//! Prefactors go through Stirling's error and the deviance (C. Loader, "Fast and accurate computation of binomial
//! probabilities", 2000), so that tails keep their relative precision where logarithms of gamma would cancel.

mod beta;
mod gamma;

pub use beta::incomplete_beta;
pub use gamma::{erf, erfc, gamma_p, gamma_q, ln_gamma};

pub(super) use beta::{binomial_density, prefactor};
pub(super) use gamma::stirling_error;

/// Continued fractions and series end by themselves; this only bounds what rounding could keep alive.
const MAX_TERMS: usize = 1_000_000;
/// Stands for zero in a denominator of Lentz's method.
const TINY: f64 = 1e-300;
