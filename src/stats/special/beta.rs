//! The incomplete beta function and the binomial probability it is made of.

use std::f64::consts::TAU;

use super::gamma::{deviance, stirling_error};
use super::{MAX_TERMS, TINY};

/// The probability of `k` hits and `rest` misses of chances `p` and `q` = 1 − `p`, for real numbers above 0.
pub(in crate::stats) fn binomial_density(k: f64, rest: f64, p: f64, q: f64) -> f64 {
    let n = k + rest;
    let exponent = stirling_error(n)
        - stirling_error(k)
        - stirling_error(rest)
        - deviance(k, n * p)
        - deviance(rest, n * q);
    exponent.exp() * (n / (TAU * k * rest)).sqrt()
}

/// The regularised incomplete beta function I_x(a, b), a, b > 0, where `y` is 1 − `x`: the caller knows which of the
/// two is exact. Precise relatively where it is small.
pub fn incomplete_beta(a: f64, b: f64, x: f64, y: f64) -> f64 {
    if x <= 0.0 {
        0.0
    } else if y <= 0.0 {
        1.0
    } else if (a + b) * x <= a {
        prefactor(a, b, x, y) * fraction(a, b, x, y)
    } else {
        1.0 - prefactor(a, b, x, y) * fraction(b, a, y, x)
    }
}

/// x^a y^b / B(a, b).
pub(in crate::stats) fn prefactor(a: f64, b: f64, x: f64, y: f64) -> f64 {
    binomial_density(a, b, x, y) * (a / (a + b) * b)
}

/// The continued fraction of Didonato and Morris (TOMS 708, 1992) for x ≤ a/(a+b), after Lentz. It begins with
/// a − (a+b)x, which is taken from the side without cancellation: for a large `a` nothing else tells x from 1.
fn fraction(a: f64, b: f64, x: f64, y: f64) -> f64 {
    let guard = |value: f64| if value == 0.0 { TINY } else { value };
    let distance = if a > b { (a + b) * y - b } else { a - (a + b) * x };
    let part = |n: f64| {
        n + n * (b - n) * x / (a + 2.0 * n - 1.0)
            + (a + n) / (a + 2.0 * n + 1.0) * (distance + 1.0 + n * (1.0 + y))
    };
    let mut d = 1.0 / guard(a / (a + 1.0) * (distance + 1.0));
    let mut c = 1.0 / TINY;
    let mut value = d;
    for n in 1..MAX_TERMS {
        let n = n as f64;
        let s = a + 2.0 * n - 1.0;
        let numerator = (a + n - 1.0) / s * ((a + b + n - 1.0) / s) * n * (b - n) * x * x;
        let part = part(n);
        d = 1.0 / guard(part + numerator * d);
        c = guard(part + numerator / c);
        value *= c * d;
        if (c * d - 1.0).abs() < 1e-16 {
            break;
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_incomplete_beta_is_a_sum_of_binomial_probabilities() {
        for (n, k, x) in [(10, 4, 0.3), (10, 4, 0.7), (50, 45, 0.2), (1000, 480, 0.5)] {
            let sum: f64 =
                (k..n).map(|j| binomial_density(f64::from(j), f64::from(n - j), x, 1.0 - x)).sum::<f64>()
                    + x.powi(n);
            let got = incomplete_beta(f64::from(k), f64::from(n - k + 1), x, 1.0 - x);
            assert!((got - sum).abs() <= 1e-12 * sum, "{n} {k} {x}: {got:e} and not {sum:e}");
        }
    }

    #[test]
    fn both_ends_make_one() {
        for (a, b, x) in [(0.5, 0.5, 0.1), (3.0, 7.5, 0.9), (5e5, 0.5, 0.999_999), (2e3, 3e3, 0.4)] {
            let sum = incomplete_beta(a, b, x, 1.0 - x) + incomplete_beta(b, a, 1.0 - x, x);
            assert!((sum - 1.0).abs() < 1e-13, "{a} {b} {x}: {sum}");
        }
        assert_eq!([incomplete_beta(1.0, 2.0, 0.0, 1.0), incomplete_beta(1.0, 2.0, 1.0, 0.0)], [0.0, 1.0]);
    }
}
