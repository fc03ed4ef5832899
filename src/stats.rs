//! Statistics of experiments: pure functions of numbers and counts.

pub mod assign;
pub mod growthbook;
