//! A difference that may be looked at after every observation: the asymptotic confidence sequence.

use super::{Lack, Moments};

/// One side of a comparison.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Arm {
    /// Units.
    pub n: u64,
    /// The mean of a unit.
    pub mean: f64,
    /// The variance of a unit.
    pub variance: f64,
}

/// What is known of a difference at one look, treatment minus control.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Look {
    /// The difference.
    pub difference: f64,
    /// At all looks together the true difference is this near with probability 1 − alpha.
    pub halfwidth: f64,
    /// The logarithm of the p-value of this look, which may be above 0.
    pub ln_p: f64,
    /// The p-value of this look; [`AlwaysValidP`] keeps the smallest.
    pub p: f64,
}

/// The asymptotic confidence sequence with a normal mixture (Waudby-Smith et al. 2021, as GrowthBook uses it): the
/// width √(se²N) · √(2k ln(√k/α) / (N²ρ²)) with k = Nρ² + 1 and ρ² = (−2 ln α + ln(1 − 2 ln α)) / N*.
///
/// It holds from some hundred units per side on, and for sides of about equal size: compare a small variant with a
/// control cohort of its own size, not with all others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConfidenceSequence {
    alpha: f64,
    rho2: f64,
}

/// The smallest p-value of all looks, which stays valid whenever one stops.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AlwaysValidP(f64);

// === impl ConfidenceSequence ===

impl ConfidenceSequence {
    /// For an error of `alpha` over all looks, narrowest at `n_star` units of both sides, to be fixed beforehand.
    /// None unless 0 < alpha < 1 and there is a unit.
    pub fn new(alpha: f64, n_star: f64) -> Option<Self> {
        let ln = alpha.ln();
        let valid = alpha > 0.0 && alpha < 1.0 && n_star >= 1.0;
        valid.then(|| Self { alpha, rho2: (-2.0 * ln + (1.0 - 2.0 * ln).ln()) / n_star })
    }

    /// Compares two sides now.
    ///
    /// # Errors
    /// [`Lack::NoReference`] or [`Lack::InsufficientData`] for a side without units, [`Lack::InsufficientVariance`]
    /// where neither side varies.
    pub fn look(&self, control: Arm, treatment: Arm) -> Result<Look, Lack> {
        if control.n == 0 {
            return Err(Lack::NoReference);
        }
        if treatment.n == 0 {
            return Err(Lack::InsufficientData);
        }
        let se2 = control.variance / control.n as f64 + treatment.variance / treatment.n as f64;
        // Neither 0 nor NaN.
        if se2.is_nan() || se2 <= 0.0 {
            return Err(Lack::InsufficientVariance);
        }
        Ok(self.estimate((control.n + treatment.n) as f64, treatment.mean - control.mean, se2))
    }

    /// The same of any estimate from `n` units with the squared standard error `se2` above 0, held against 0.
    pub fn estimate(&self, n: f64, difference: f64, se2: f64) -> Look {
        let k = n * self.rho2 + 1.0;
        let width = 2.0 * k * (k.sqrt() / self.alpha).ln() / (n * n * self.rho2);
        let ln_p = 0.5 * k.ln() - self.rho2 * n * (difference * difference / se2) / (2.0 * k);
        Look { difference, halfwidth: (se2 * n).sqrt() * width.sqrt(), ln_p, p: ln_p.exp().min(1.0) }
    }
}

impl TryFrom<Moments> for Arm {
    type Error = Lack;

    fn try_from(moments: Moments) -> Result<Self, Lack> {
        Ok(Self { n: moments.n, mean: moments.mean, variance: moments.variance()? })
    }
}

// === impl AlwaysValidP ===

impl AlwaysValidP {
    /// Takes one look.
    pub const fn push(&mut self, look: &Look) {
        self.0 = self.0.min(look.p);
    }

    /// The p-value so far; 1 before the first look.
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl Default for AlwaysValidP {
    fn default() -> Self {
        Self(1.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn arm(n: u64, mean: f64, variance: f64) -> Arm {
        Arm { n, mean, variance }
    }

    #[test]
    fn what_is_missing_is_said() {
        let sequence = ConfidenceSequence::new(0.05, 5000.0).unwrap();
        let some = arm(10, 1.0, 1.0);
        assert_eq!(sequence.look(arm(0, 0.0, 0.0), some), Err(Lack::NoReference));
        assert_eq!(sequence.look(some, arm(0, 0.0, 0.0)), Err(Lack::InsufficientData));
        assert_eq!(sequence.look(arm(9, 1.0, 0.0), arm(9, 2.0, 0.0)), Err(Lack::InsufficientVariance));
        for (alpha, n_star) in [(0.0, 10.0), (1.0, 10.0), (0.05, 0.0), (f64::NAN, 10.0), (0.05, f64::NAN)] {
            assert_eq!(ConfidenceSequence::new(alpha, n_star), None, "{alpha} {n_star}");
        }
    }

    #[test]
    fn the_smallest_p_stays() {
        let sequence = ConfidenceSequence::new(0.05, 5000.0).unwrap();
        let mut p = AlwaysValidP::default();
        assert_eq!(p.get(), 1.0);
        p.push(&sequence.look(arm(900, 0.0, 1.0), arm(900, 0.3, 1.0)).unwrap());
        let low = p.get();
        p.push(&sequence.look(arm(950, 0.0, 1.0), arm(950, 0.0, 1.0)).unwrap());
        assert!(low < 0.01 && p.get() == low, "{low}");
    }

    /// Peeking after every unit: 400 runs without a difference, with a fixed seed.
    #[test]
    fn looking_after_every_unit_does_not_raise_false_alarms() {
        let sequence = ConfidenceSequence::new(0.05, 5000.0).unwrap();
        let mut state = 7_u64;
        let mut uniform = || {
            // Splitmix64.
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            (z ^ (z >> 31)) as f64 / 2_f64.powi(64)
        };
        let alarms = (0..400).filter(|_| {
            let mut sides = [Moments::default(); 2];
            (0..1500).any(|unit| {
                sides.iter_mut().for_each(|side| side.push(f64::from(uniform() < 0.3)));
                let [a, b] = sides;
                unit > 100 && sequence.look(a.try_into().unwrap(), b.try_into().unwrap()).unwrap().p < 0.05
            })
        });
        let alarms = alarms.count();
        assert!(alarms <= 20, "{alarms} of 400");
    }

    proptest! {
        #[test]
        fn the_p_value_and_the_interval_say_the_same(
            n in 20..9000_u64, m in 20..9000_u64, mean in -1.0..1.0_f64, variance in 0.01..9.0_f64, alpha in 0.001..0.2_f64
        ) {
            let sequence = ConfidenceSequence::new(alpha, 5000.0).unwrap();
            let look = sequence.look(arm(n, 0.0, 1.0), arm(m, mean, variance)).unwrap();
            prop_assert!((0.0..=1.0).contains(&look.p) && look.halfwidth > 0.0);
            prop_assert!((look.p < alpha) == (look.difference.abs() > look.halfwidth) || (look.p / alpha - 1.0).abs() < 1e-9);
        }
    }
}
