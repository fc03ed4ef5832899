//! The gamma function's logarithm, the incomplete gamma functions, and the error function as one of them.

use std::f64::consts::{PI, TAU};

use super::{MAX_TERMS, TINY};

/// ln Γ(x) for x > 0, to about 1e-15 absolutely or relatively, whichever is larger.
pub fn ln_gamma(x: f64) -> f64 {
    (x - 0.5) * x.ln() - x + 0.5 * TAU.ln() + stirling_error(x)
}

/// δ(x) = ln Γ(x+1) − ln(√(2πx) (x/e)^x) for x > 0: what Stirling's formula leaves out.
pub(in crate::stats) fn stirling_error(mut x: f64) -> f64 {
    // δ(x) = δ(x+1) + (x + ½) ln(1 + 1/x) − 1 until the series is exact.
    let mut below = 0.0;
    while x < 16.0 {
        below += (x + 0.5) * (1.0 / x).ln_1p() - 1.0;
        x += 1.0;
    }
    let s = 1.0 / (x * x);
    let tail = 1.0 / 1680.0 - s * (1.0 / 1188.0 - s * 691.0 / 360_360.0);
    below + (1.0 / 12.0 - s * (1.0 / 360.0 - s * (1.0 / 1260.0 - s * tail))) / x
}

/// x ln(x/m) + m − x without cancellation where x is near m.
pub(super) fn deviance(x: f64, m: f64) -> f64 {
    if x == 0.0 {
        return m;
    }
    if (x - m).abs() >= 0.1 * (x + m) {
        return x * (x / m).ln() + m - x;
    }
    let v = (x - m) / (x + m);
    let (mut sum, mut term) = ((x - m) * v, 2.0 * x * v);
    for odd in (3..).step_by(2) {
        term *= v * v;
        let next = sum + term / f64::from(odd);
        if next == sum {
            break;
        }
        sum = next;
    }
    sum
}

/// x^a e^−x / Γ(a+1).
fn density(a: f64, x: f64) -> f64 {
    (-stirling_error(a) - deviance(a, x)).exp() / (TAU * a).sqrt()
}

/// The regularised lower incomplete gamma function P(a, x), a > 0; 0 for x ≤ 0.
pub fn gamma_p(a: f64, x: f64) -> f64 {
    if x <= 0.0 {
        0.0
    } else if x < a + 1.0 {
        series(a, x)
    } else {
        1.0 - fraction(a, x)
    }
}

/// The regularised upper incomplete gamma function Q(a, x) = 1 − P(a, x), a > 0, precise in the tail.
pub fn gamma_q(a: f64, x: f64) -> f64 {
    if x <= 0.0 {
        1.0
    } else if x < a + 1.0 {
        1.0 - series(a, x)
    } else {
        fraction(a, x)
    }
}

/// P by its series (DLMF 8.11.4).
fn series(a: f64, x: f64) -> f64 {
    let (mut term, mut sum) = (1.0, 1.0);
    for k in 1..MAX_TERMS {
        term *= x / (a + k as f64);
        sum += term;
        if term < sum * 1e-17 {
            break;
        }
    }
    density(a, x) * sum
}

/// Q by its continued fraction (DLMF 8.9.2), after Lentz.
fn fraction(a: f64, x: f64) -> f64 {
    if x == f64::INFINITY {
        return 0.0;
    }
    let mut b = x + 1.0 - a;
    let mut c = 1.0 / TINY;
    let mut d = 1.0 / b;
    let mut value = d;
    for k in 1..MAX_TERMS {
        let k = k as f64;
        let up = -k * (k - a);
        b += 2.0;
        d = up * d + b;
        c = b + up / c;
        d = 1.0 / if d == 0.0 { TINY } else { d };
        c = if c == 0.0 { TINY } else { c };
        value *= d * c;
        if (d * c - 1.0).abs() < 1e-16 {
            break;
        }
    }
    density(a, x) * a * value
}

/// erf(x) = 2/√π ∫₀ˣ e^−t² dt.
pub fn erf(x: f64) -> f64 {
    if x.abs() < 1e-10 { 2.0 / PI.sqrt() * x } else { gamma_p(0.5, x * x).copysign(x) }
}

/// 1 − erf(x), with relative precision for large x.
pub fn erfc(x: f64) -> f64 {
    if x < 0.0 { 1.0 + gamma_p(0.5, x * x) } else { gamma_q(0.5, x * x) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn close(got: f64, want: f64, relative: f64) {
        assert!((got - want).abs() <= relative * want.abs(), "{got:e} and not {want:e}");
    }

    #[test]
    fn the_logarithm_of_gamma_is_that_of_factorials_and_halves() {
        let mut factorial = 1.0;
        for n in 1..=20 {
            assert!((ln_gamma(f64::from(n)) - f64::ln(factorial)).abs() < 1e-14 * f64::from(n * n), "{n}");
            factorial *= f64::from(n);
        }
        close(ln_gamma(0.5), PI.sqrt().ln(), 1e-14);
        close(ln_gamma(1e-5), 11.512_919_692_895_826, 1e-14);
        close(ln_gamma(1e6), 12_815_504.569_147_612, 1e-15);
    }

    #[test]
    fn the_error_function_keeps_its_tail() {
        close(erf(0.5), 0.520_499_877_813_046_5, 1e-15);
        close(erf(-1e-12), -1.128_379_167_095_512_6e-12, 1e-15);
        close(erfc(3.0), 2.209_049_699_858_544e-5, 1e-14);
        close(erfc(20.0), 5.395_865_611_607_901e-176, 1e-13);
        close(erfc(-1.0), 1.842_700_792_949_715, 1e-15);
        assert_eq!([erfc(f64::INFINITY), erfc(0.0), erf(0.0)], [0.0, 1.0, 0.0]);
    }

    #[test]
    fn lower_and_upper_gamma_make_one_and_meet_where_the_methods_change() {
        for a in [0.5, 1.0, 4.5, 127.5, 1e4, 1e6] {
            for x in [0.01 * a, 0.9 * a, a, a + 0.999_999, a + 1.000_001, 1.1 * a, 3.0 * a] {
                assert!((gamma_p(a, x) + gamma_q(a, x) - 1.0).abs() < 1e-14, "{a} {x}");
            }
            let step = gamma_q(a, a + 1.0 - 1e-9) - gamma_q(a, a + 1.0 + 1e-9);
            assert!((0.0..1e-8).contains(&step), "{a}: {step}");
        }
        close(gamma_q(1.0, 30.0), (-30.0_f64).exp(), 1e-14);
    }
}
