//! From how seldom a detector may be wrong to what it asks for.

use super::Test;
use crate::stats::tails;

/// Most degrees of freedom of a test.
const MAX_DOF: usize = 32;
/// Fewer rows are not looked at.
pub(super) const MIN_ROWS: u32 = 32;
/// Rows that need as much evidence as the threshold says.
const EVEN: f32 = 1024.0;

/// What each kind of test has to come to.
#[derive(Clone, Debug, PartialEq)]
pub struct Thresholds {
    /// In −ln p.
    pub evidence: f64,
    /// χ² by degrees of freedom.
    chi2: [f32; MAX_DOF + 1],
    /// What a unit of evidence more adds to it.
    slope: [f32; MAX_DOF + 1],
}

// === impl Thresholds ===

impl Thresholds {
    /// The evidence that has one false alarm of a feature in so many values, where the reference has so many rows.
    ///
    /// A straight line through what `cargo run --release --example drift_proof -- calibration` prints: what is tested are
    /// ranks and shares, so it holds for any law. References of few rows are unlucky more often.
    pub fn evidence_of(values: f64, reference: u64) -> f64 {
        let slope = 0.88 - 40.0 / reference.max(100) as f64;
        (9.0 + (values.max(1.0).ln() - 10.76) / slope).clamp(5.0, 80.0)
    }

    /// Of so much evidence, in −ln p.
    pub fn new(evidence: f64) -> Self {
        let chi2: [f32; MAX_DOF + 1] = std::array::from_fn(|dof| quantile(evidence, dof as f64) as f32);
        let more: [f32; MAX_DOF + 1] = std::array::from_fn(|dof| quantile(evidence + 1.0, dof as f64) as f32);
        Self { evidence, chi2, slope: std::array::from_fn(|dof| more[dof] - chi2[dof]) }
    }

    /// The χ² that a test over so many rows has to come to.
    pub(super) fn chi2(&self, test: Test, dof: usize, rows: u32) -> f32 {
        let dof = dof.clamp(1, MAX_DOF);
        self.chi2[dof] + self.slope[dof] * self.more(test, rows)
    }

    /// What a test has to show beyond the threshold: few rows are looked at often, a mean that moves is what drifts most,
    /// and the tails of the third and fourth score are longer than the normal distribution's. Chosen by measure, on other
    /// seeds than those of figures.
    fn more(&self, test: Test, rows: u32) -> f32 {
        let few = if rows < 48 { 3.0 } else { 0.15 * (EVEN / rows as f32).ln() };
        few + match test {
            Test::Location => 0.0,
            Test::Scale | Test::Cells => 1.0,
            Test::Shape => 1.0 + 0.6 * (self.evidence as f32 - 9.0).max(0.0),
        }
    }
}

/// The χ² whose tail is e^−`evidence`, by bisection.
fn quantile(evidence: f64, dof: f64) -> f64 {
    if dof == 0.0 {
        return 0.0;
    }
    let tail = (-evidence).exp();
    let (mut low, mut high) = (0.0, 4.0 * (evidence + dof) + 40.0);
    for _ in 0..40 {
        let middle = f64::midpoint(low, high);
        if tails::chi2_sf(middle, dof) > tail { low = middle } else { high = middle }
    }
    high
}
