//! Count, mean and variance of values that may be taken back.
//!
//! Sums of numbers and of their squares in twice the precision of a double (Dekker 1971; Knuth's TwoSum, and products by
//! a fused multiplication): what was taken and is taken back leaves nothing, as long as its square is no more than
//! 2⁵⁰ times as large as the sum of the others', and the difference of sums does not cancel as it would in single ones.

/// What was seen of values, less what was taken back.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reversible {
    n: u64,
    sum: Double,
    squares: Double,
}

/// A number in two doubles, of which the second is what the first is short of.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Double(f64, f64);

// === impl Reversible ===

impl Reversible {
    /// Takes a value, whose square must be finite.
    pub fn push(&mut self, value: f64) {
        self.n += 1;
        self.sum = self.sum.plus(Double(value, 0.0));
        self.squares = self.squares.plus(Double::product(value, value));
    }

    /// Takes back one that was taken.
    pub fn remove(&mut self, value: f64) {
        self.n = self.n.saturating_sub(1);
        self.sum = self.sum.plus(Double(-value, 0.0));
        self.squares = self.squares.plus(Double::product(-value, value));
        if self.n == 0 {
            *self = Self::default();
        }
    }

    /// Takes what another has seen.
    pub fn merge(&mut self, other: &Self) {
        self.n += other.n;
        self.sum = self.sum.plus(other.sum);
        self.squares = self.squares.plus(other.squares);
    }

    /// How many there are.
    pub const fn n(&self) -> u64 {
        self.n
    }

    /// Their mean; NaN of none.
    pub fn mean(&self) -> f64 {
        self.sum.0 / self.n as f64
    }

    /// The sum of their squared deviations from the mean; NaN of none.
    pub fn deviations(&self) -> f64 {
        // n Σx² − (Σx)², to twice the precision.
        let (n, Double(high, low)) = (self.n as f64, self.sum);
        let scaled = Double::product(self.squares.0, n).plus(Double(self.squares.1 * n, 0.0));
        let square = Double::product(high, high).plus(Double(2.0 * high * low, 0.0));
        let Double(value, _) = scaled.plus(Double(-square.0, -square.1));
        (value / n).max(0.0)
    }

    /// The variance of the population that the values were drawn from (divisor n − 1); none of fewer than two.
    pub fn variance(&self) -> Option<f64> {
        (self.n > 1).then(|| self.deviations() / (self.n - 1) as f64)
    }
}

// === impl Double ===

impl Double {
    fn product(a: f64, b: f64) -> Self {
        let high = a * b;
        Self(high, a.mul_add(b, -high))
    }

    fn plus(self, other: Self) -> Self {
        let (high, error) = two_sum(self.0, other.0);
        let (low, rest) = two_sum(self.1, other.1);
        let (high, error) = two_sum(high, error + low);
        let (high, low) = two_sum(high, error + rest);
        Self(high, low)
    }
}

/// A sum, and what it is short of.
fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let of_b = sum - a;
    (sum, (a - (sum - of_b)) + (b - of_b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Moments;

    fn of(values: impl IntoIterator<Item = f64>) -> Reversible {
        let mut seen = Reversible::default();
        values.into_iter().for_each(|value| seen.push(value));
        seen
    }

    #[test]
    fn means_and_variances_are_those_of_the_values_also_far_from_zero() {
        for offset in [0.0, 1e3, 1e9, -1e12] {
            let values = || (0..1000).map(move |n| offset + f64::from(n % 7) - 3.0);
            let (found, expected) = (of(values()), values().collect::<Moments>());
            assert!((found.mean() - expected.mean).abs() <= 1e-15 * expected.mean.abs().max(1.0));
            let exact = (0..1000).map(|n| f64::from(n % 7)).collect::<Moments>().m2;
            assert!(
                (found.deviations() - exact).abs() < 1e-3,
                "{offset}: {} and not {exact}",
                found.deviations()
            );
        }
        assert_eq!((of([4.0]).variance(), of([]).n()), (None, 0));
    }

    #[test]
    fn what_is_taken_back_leaves_nothing() {
        for outlier in [1.0, 1e9, -1e15] {
            let plain = of((0..100).map(f64::from));
            let mut found = plain;
            found.push(outlier);
            found.remove(outlier);
            assert_eq!(
                (found.n(), found.mean(), found.variance()),
                (100, 49.5, plain.variance()),
                "{outlier}"
            );
        }
        let mut one = of([1e200]);
        one.remove(1e200);
        assert_eq!(one, Reversible::default());
    }
}
