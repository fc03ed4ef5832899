//! Tails and quantiles of the normal, chi-square and Student distributions, relatively precise far out.

use std::f64::consts::{SQRT_2, TAU};

use super::special::{erfc, gamma_q, incomplete_beta, prefactor};

/// P(Z > x) of the standard normal distribution.
pub fn norm_sf(x: f64) -> f64 {
    0.5 * erfc(x / SQRT_2)
}

/// The x below which a share `p` of the standard normal distribution lies; ±∞ at 1 and 0.
///
/// Newton's method of third order (Halley) on the tail, from Abramowitz and Stegun 26.2.23.
pub fn norm_ppf(p: f64) -> f64 {
    let tail = if p <= 0.5 { p } else { 1.0 - p };
    if tail <= 0.0 {
        return if p <= 0.5 { f64::NEG_INFINITY } else { f64::INFINITY };
    }
    let t = (-2.0 * tail.ln()).sqrt();
    let top = 2.515_517 + t * (0.802_853 + t * 0.010_328);
    let mut x = t - top / (1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308)));
    for _ in 0..3 {
        let step = (norm_sf(x) - tail) / ((-0.5 * x * x).exp() / TAU.sqrt());
        x += step / (1.0 - 0.5 * x * step);
    }
    if p <= 0.5 { -x } else { x }
}

/// P(χ² > x) with `df` degrees of freedom; with none, χ² is 0.
pub fn chi2_sf(x: f64, df: f64) -> f64 {
    if df > 0.0 {
        gamma_q(0.5 * df, 0.5 * x)
    } else if x > 0.0 {
        0.0
    } else {
        1.0
    }
}

/// P(|T| > |t|) of Student's distribution with `df` > 0 degrees of freedom, which need not be whole.
pub fn t_sf2(t: f64, df: f64) -> f64 {
    let (x, y) = beta_arguments(t, df);
    incomplete_beta(0.5 * df, 0.5, x, y)
}

/// The t that is exceeded in absolute value with probability `p`, 0 < p < 1: `t_sf2` inverted.
///
/// Newton's method on ln p as a function of ln t, which is concave and nearly straight in the tail.
pub fn t_isf2(p: f64, df: f64) -> f64 {
    let mut t = -norm_ppf(0.5 * p);
    for _ in 0..100 {
        let (x, y) = beta_arguments(t, df);
        let tail = incomplete_beta(0.5 * df, 0.5, x, y);
        let slope = 2.0 * prefactor(0.5 * df, 0.5, x, y) / tail;
        let step = (tail / p).ln() / slope;
        t *= step.clamp(-1.0, 2.0).exp();
        if step.abs() < 1e-15 {
            break;
        }
    }
    t
}

/// df/(df+t²) and its complement, both without cancellation or overflow.
fn beta_arguments(t: f64, df: f64) -> (f64, f64) {
    (1.0 / (1.0 + t / df * t), 1.0 / (1.0 + df / t / t))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_ends_are_reached() {
        assert_eq!([norm_ppf(0.0), norm_ppf(1.0)], [f64::NEG_INFINITY, f64::INFINITY]);
        assert_eq!([norm_sf(f64::INFINITY), norm_sf(f64::NEG_INFINITY)], [0.0, 1.0]);
        assert_eq!([t_sf2(f64::INFINITY, 3.0), t_sf2(1e200, 3.0), t_sf2(0.0, 3.0)], [0.0, 0.0, 1.0]);
        assert_eq!([chi2_sf(0.0, 0.0), chi2_sf(1.0, 0.0), chi2_sf(f64::INFINITY, 2.0)], [1.0, 0.0, 0.0]);
    }

    #[test]
    fn one_degree_of_freedom_is_cauchys_and_many_are_the_normal_distribution() {
        for t in [0.1_f64, 1.0, 12.7, 1e6] {
            let cauchy = 2.0 / std::f64::consts::PI * (1.0 / t).atan();
            assert!((t_sf2(t, 1.0) / cauchy - 1.0).abs() < 1e-12, "{t}");
            assert!((chi2_sf(t, 1.0) / (2.0 * norm_sf(t.sqrt())) - 1.0).abs() < 1e-13 || t > 1e3, "{t}");
        }
        for t in [0.5, 2.0, 6.0] {
            assert!((t_sf2(t, 1e13) / (2.0 * norm_sf(t)) - 1.0).abs() < 1e-9, "{t}");
        }
    }

    proptest! {
        #[test]
        fn quantiles_invert_tails(p in 1e-12..0.999_f64, df in 1.0..500.0_f64) {
            prop_assert!((t_sf2(t_isf2(p, df), df) / p - 1.0).abs() < 1e-11);
            prop_assert!((norm_sf(-norm_ppf(p)) / p - 1.0).abs() < 1e-11);
        }

        #[test]
        fn tails_fall_and_stay_between_0_and_1(x in 0.0..60.0_f64, more in 1e-3..5.0_f64, df in 1.0..300.0_f64) {
            for tail in [norm_sf, |x| chi2_sf(x, 7.0), |x| t_sf2(x, 4.5)] {
                prop_assert!((0.0..=1.0).contains(&tail(x)) && tail(x + more) <= tail(x));
            }
            prop_assert!(chi2_sf(x + more, df) <= chi2_sf(x, df) && t_sf2(x + more, df) <= t_sf2(x, df));
            prop_assert!((norm_sf(-x) + norm_sf(x) - 1.0).abs() < 1e-15);
        }
    }
}
