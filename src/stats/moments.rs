//! Count, mean and variance of values and of pairs, value by value (Welford 1962) and merged (Chan, Golub and
//! LeVeque 1979). Never sums of squares, which cancel.

use super::Lack;

/// Count, mean and squared deviations of what was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moments {
    /// Values seen.
    pub n: u64,
    /// Their mean, in their unit; 0 of none.
    pub mean: f64,
    /// The sum of squared deviations from the mean, in their unit squared.
    pub m2: f64,
}

/// Moments of pairs: two [`Moments`] and what they have in common.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Joint {
    /// Of the first of each pair.
    pub x: Moments,
    /// Of the second of each pair.
    pub y: Moments,
    /// The sum of products of deviations.
    pub cross: f64,
}

// === impl Moments ===

impl Moments {
    /// Takes one value, which must be finite.
    #[inline]
    pub fn push(&mut self, value: f64) {
        self.n += 1;
        let delta = value - self.mean;
        self.mean += delta / self.n as f64;
        self.m2 += delta * (value - self.mean);
    }

    /// Takes what another has seen.
    #[inline]
    pub fn merge(&mut self, other: &Self) {
        if other.n == 0 {
            return;
        }
        let (n, m) = (self.n as f64, other.n as f64);
        let delta = other.mean - self.mean;
        self.n += other.n;
        self.mean += delta * m / (n + m);
        self.m2 += other.m2 + delta * delta * (n * m / (n + m));
    }

    /// The variance of the population that the values were drawn from (divisor n − 1).
    ///
    /// # Errors
    /// [`Lack::InsufficientData`] for fewer than two values.
    pub fn variance(&self) -> Result<f64, Lack> {
        if self.n < 2 { Err(Lack::InsufficientData) } else { Ok(self.m2 / (self.n - 1) as f64) }
    }

    /// The standard deviation of the values themselves (divisor n).
    ///
    /// # Errors
    /// [`Lack::InsufficientData`] for no values.
    pub fn population_deviation(&self) -> Result<f64, Lack> {
        if self.n == 0 { Err(Lack::InsufficientData) } else { Ok((self.m2 / self.n as f64).sqrt()) }
    }
}

impl Extend<f64> for Moments {
    fn extend<T: IntoIterator<Item = f64>>(&mut self, values: T) {
        values.into_iter().for_each(|value| self.push(value));
    }
}

impl FromIterator<f64> for Moments {
    fn from_iter<T: IntoIterator<Item = f64>>(values: T) -> Self {
        let mut moments = Self::default();
        moments.extend(values);
        moments
    }
}

// === impl Joint ===

impl Joint {
    /// Takes one pair, which must be finite.
    #[inline]
    pub fn push(&mut self, x: f64, y: f64) {
        let delta = x - self.x.mean;
        self.x.push(x);
        self.y.push(y);
        self.cross += delta * (y - self.y.mean);
    }

    /// Takes what another has seen.
    #[inline]
    pub fn merge(&mut self, other: &Self) {
        if other.x.n == 0 {
            return;
        }
        let (n, m) = (self.x.n as f64, other.x.n as f64);
        let product = (other.x.mean - self.x.mean) * (other.y.mean - self.y.mean);
        self.cross += other.cross + product * (n * m / (n + m));
        self.x.merge(&other.x);
        self.y.merge(&other.y);
    }

    /// The covariance (divisor n − 1).
    ///
    /// # Errors
    /// [`Lack::InsufficientData`] for fewer than two pairs.
    pub fn covariance(&self) -> Result<f64, Lack> {
        if self.x.n < 2 { Err(Lack::InsufficientData) } else { Ok(self.cross / (self.x.n - 1) as f64) }
    }
}

impl FromIterator<(f64, f64)> for Joint {
    fn from_iter<T: IntoIterator<Item = (f64, f64)>>(pairs: T) -> Self {
        let mut joint = Self::default();
        pairs.into_iter().for_each(|(x, y)| joint.push(x, y));
        joint
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Sums in two passes, the reference.
    fn two_passes(pairs: &[(f64, f64)]) -> Joint {
        let n = pairs.len() as f64;
        let mean = |of: fn(&(f64, f64)) -> f64| pairs.iter().map(of).sum::<f64>() / n.max(1.0);
        let (x, y) = (mean(|pair| pair.0), mean(|pair| pair.1));
        let sum = |of: &dyn Fn(&(f64, f64)) -> f64| pairs.iter().map(of).sum::<f64>();
        Joint {
            x: Moments { n: pairs.len() as u64, mean: x, m2: sum(&|pair| (pair.0 - x).powi(2)) },
            y: Moments { n: pairs.len() as u64, mean: y, m2: sum(&|pair| (pair.1 - y).powi(2)) },
            cross: sum(&|pair| (pair.0 - x) * (pair.1 - y)),
        }
    }

    fn close(a: &Joint, b: &Joint, scale: f64) -> bool {
        let near = |a: f64, b: f64, unit: f64| (a - b).abs() <= 1e-11 * unit;
        let n = a.x.n as f64;
        let same = |a: &Moments, b: &Moments| {
            a.n == b.n && near(a.mean, b.mean, scale) && near(a.m2, b.m2, scale * scale * n)
        };
        same(&a.x, &b.x) && same(&a.y, &b.y) && near(a.cross, b.cross, scale * scale * n)
    }

    fn merged(a: &Joint, b: &Joint) -> Joint {
        let mut sum = *a;
        sum.merge(b);
        sum
    }

    #[test]
    fn a_large_mean_does_not_swallow_the_variance() {
        let moments: Moments = [1e9 + 4.0, 1e9 + 7.0, 1e9 + 13.0, 1e9 + 16.0].into_iter().collect();
        assert_eq!((moments.mean, moments.variance()), (1e9 + 10.0, Ok(30.0)));
    }

    #[test]
    fn too_few_values_are_a_lack() {
        let (none, one) = (Moments::default(), [3.0].into_iter().collect::<Moments>());
        assert_eq!([none.variance(), one.variance()], [Err(Lack::InsufficientData); 2]);
        assert_eq!(none.population_deviation(), Err(Lack::InsufficientData));
        assert_eq!(one.population_deviation(), Ok(0.0));
        assert_eq!(merged(&Joint::default(), &Joint::default()), Joint::default());
        assert_eq!([(1.0, 2.0)].into_iter().collect::<Joint>().covariance(), Err(Lack::InsufficientData));
    }

    proptest! {
        #[test]
        fn a_stream_in_parts_in_any_order_is_the_batch(
            pairs in prop::collection::vec((-1e3..1e3_f64, -1e3..1e3_f64), 0..90), cuts in (0.0..1.0_f64, 0.0..1.0_f64)
        ) {
            let n = pairs.len() as f64;
            let (first, second) = ((cuts.0.min(cuts.1) * n) as usize, (cuts.0.max(cuts.1) * n) as usize);
            let parts = [&pairs[..first], &pairs[first..second], &pairs[second..]];
            let [a, b, c] = parts.map(|part| part.iter().copied().collect::<Joint>());
            let (whole, streamed) = (two_passes(&pairs), pairs.iter().copied().collect::<Joint>());
            for sum in [streamed, merged(&merged(&a, &b), &c), merged(&a, &merged(&b, &c)), merged(&merged(&c, &a), &b)] {
                prop_assert!(close(&sum, &whole, 1e3), "{sum:?} and not {whole:?}");
            }
        }
    }
}
