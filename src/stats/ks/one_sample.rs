//! The one-sample law of D: for n values, and its limit.

use std::f64::consts::PI;

use super::durbin;
use crate::stats::special::{binomial_density, stirling_error};

/// Beyond this many values the one-sided law is its asymptotic form, as in scipy.
const MAX_SUMMED: u64 = 1_000_000;
/// √(2π)
const ROOT_TAU: f64 = 2.506_628_274_631_000_2;

/// P(√n·D > x) in the limit of large n (Kolmogorov).
pub fn kolmogorov_sf(x: f64) -> f64 {
    if x <= 0.0 {
        return 1.0;
    }
    if x < 1.0 {
        let terms = (1..8).map(|k| (-f64::from(2 * k - 1).powi(2) * PI * PI / (8.0 * x * x)).exp());
        return 1.0 - ROOT_TAU / x * terms.sum::<f64>();
    }
    let terms = (1..8).map(|k| (-2.0 * f64::from(k * k) * x * x).exp() * if k % 2 == 1 { 2.0 } else { -2.0 });
    terms.sum()
}

/// P(D_n ≥ d) for one sample of `n` values, two-sided; 1 of no values.
///
/// The methods and where they change are scipy's (`scipy.stats.kstwo`; Simard and L'Ecuyer, "Computing the two-sided
/// Kolmogorov-Smirnov distribution", 2011), since its approximations are what is reproduced: exact up to 140 values,
/// and beyond them twice the one-sided tail, or the expansion of Pelz and Good.
pub fn kstwo_sf(d: f64, n: u64) -> f64 {
    let size = n as f64;
    let (t, square) = (size * d, size * d * d);
    if n == 0 || t <= 0.5 {
        1.0
    } else if d >= 1.0 {
        0.0
    } else if t <= 1.0 {
        // Ruben and Gambino: n! (2d − 1/n)^n.
        let ln = 0.5 * (2.0 * PI * size).ln() - size + stirling_error(size) + size * (2.0 * t - 1.0).ln();
        1.0 - ln.exp()
    } else if t >= size - 1.0 {
        2.0 * (1.0 - d).powf(size)
    } else if d >= 0.5 || square > if n <= 140 { 4.0 } else { 2.2 } {
        (2.0 * one_sided_sf(d, n)).min(1.0)
    } else if n <= 140 || (n <= 100_000 && size * d.powf(1.5) <= 1.4) {
        (1.0 - durbin::cdf(d, n)).clamp(0.0, 1.0)
    } else {
        pelz_good_sf(d, size)
    }
}

/// The same in a tenth of a microsecond and to a tenth, for who looks at thousands of features: the expansion of Pelz
/// and Good, and beyond it the one-sided tail's asymptotic form. Up to 500 values it is [`kstwo_sf`].
pub fn kstwo_sf_quick(d: f64, n: u64) -> f64 {
    let size = n as f64;
    if n <= 500 || size * d <= 0.5 || d >= 1.0 {
        kstwo_sf(d, n)
    } else if size * d * d > 2.2 {
        (2.0 * (-(6.0 * size * d + 1.0).powi(2) / (18.0 * size)).exp()).min(1.0)
    } else {
        pelz_good_sf(d, size)
    }
}

/// P(D_n⁺ ≥ d), a sum of positive terms (Birnbaum and Tingey 1951, Smirnov).
fn one_sided_sf(d: f64, n: u64) -> f64 {
    let size = n as f64;
    if n > MAX_SUMMED {
        return (-(6.0 * size * d + 1.0).powi(2) / (18.0 * size)).exp();
    }
    let last = (size * (1.0 - d)) as u64;
    let terms = (1..=last).filter(|v| (*v as f64) < size * (1.0 - d)).map(|v| {
        let v = v as f64;
        let (a, b) = (d + v / size, 1.0 - d - v / size);
        if b <= 0.0 { 0.0 } else { binomial_density(v, size - v, a, b) * d / a }
    });
    terms.sum::<f64>() + (size * (-d).ln_1p()).exp()
}

/// 1 − (K₀ + K₁/√n + K₂/n + K₃/n^1.5) in z = d√n (Pelz and Good 1976), each summed in the form for small z.
fn pelz_good_sf(d: f64, n: f64) -> f64 {
    let z = n.sqrt() * d;
    let (p2, z2) = (PI * PI, z * z);
    let (p4, p6, z4, z6) = (p2 * p2, p2 * p2 * p2, z2 * z2, z2 * z2 * z2);
    let nome = -p2 / 8.0 / z2;
    if nome < -708.0 {
        return 1.0;
    }
    let terms = (16.0 * z / PI).ceil() as i32;
    let mut sums = [0.0; 4];
    for k in 1..=terms {
        let m2 = f64::from(2 * k - 1).powi(2);
        let (m4, m6) = (m2 * m2, m2 * m2 * m2);
        let weights = [
            1.0,
            -z2 + p2 / 4.0 * m2,
            6.0 * z6 + 2.0 * z4 + (2.0 * z4 - 5.0 * z2) * p2 / 4.0 * m2 + p4 * (1.0 - 2.0 * z2) / 16.0 * m4,
            -30.0 * z6 - 90.0 * z4 * z4
                + p2 * (135.0 * z4 - 96.0 * z6) / 4.0 * m2
                + p4 * (-60.0 * z2 + 212.0 * z4) / 16.0 * m4
                + p6 * (5.0 - 30.0 * z2) / 64.0 * m6,
        ];
        let factor = (nome * m2).exp();
        sums.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += weight * factor);
    }
    let scales = [z, 6.0 * z4, 72.0 * z6 * z, 6480.0 * z4 * z6];
    let mut parts: [f64; 4] = std::array::from_fn(|i| sums[i] * ROOT_TAU / scales[i]);
    for k in 1..=terms {
        let k2 = f64::from(k).powi(2);
        let factor = (4.0 * nome * k2).exp() * k2;
        parts[2] += factor * p2 * ROOT_TAU / (-36.0 * z * z2);
        parts[3] += (3.0 * z2 - p2 * k2) * factor * p2 * ROOT_TAU / (216.0 * z6);
    }
    let root = n.sqrt();
    let cdf = parts[0] + parts[1] / root + parts[2] / n + parts[3] / (n * root);
    (1.0 - cdf).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_values_follow_their_polynomial() {
        // P(D₂ ≤ d) = 2(2d − ½)² up to ½, 1 − 2(1 − d)² from there.
        for d in [0.25, 0.3, 0.4, 0.5, 0.6, 0.9, 1.0] {
            let cdf =
                if d <= 0.5 { 2.0 * f64::powi(2.0 * d - 0.5, 2) } else { 1.0 - 2.0 * f64::powi(1.0 - d, 2) };
            assert!((kstwo_sf(d, 2) - (1.0 - cdf)).abs() < 1e-14, "{d}: {}", kstwo_sf(d, 2));
        }
    }

    #[test]
    fn the_methods_meet_where_they_change() {
        for n in [20_u64, 100, 139, 140, 141, 200, 1000, 5000, 99_999, 100_001, 400_000] {
            let size = n as f64;
            for d in [
                1.0 / size,
                0.5,
                (0.754_693 / size).sqrt(),
                (2.2 / size).sqrt(),
                (4.0 / size).sqrt(),
                (1.4 / size).powf(2.0 / 3.0),
            ] {
                let [before, after] = [kstwo_sf(d * (1.0 - 1e-9), n), kstwo_sf(d * (1.0 + 1e-9), n)];
                assert!((before - after).abs() <= 1e-4 * before + 1e-15, "{n} {d}: {before:e} {after:e}");
            }
        }
    }

    #[test]
    fn each_method_has_scipys_values() {
        // scipy.stats.kstwo.sf, 1.17.1.
        for (d, n, want) in [
            (0.03766, 141, 0.9839138355689229),
            (0.05477, 200, 0.5670391976977611),
            (0.08018, 140, 0.3122649402062736),
            (0.17321, 100, 0.004293210164661504),
            (0.40825, 30, 4.926182472697053e-5),
            (0.00775, 5000, 0.922473675546745),
            (0.04583, 1000, 0.02903562882074895),
            (0.00173, 1_000_001, 0.005022576679827619),
        ] {
            let got = kstwo_sf(d, n);
            assert!((got / want - 1.0).abs() < 1e-9, "{d} {n}: {got:e} and not {want:e}");
        }
    }

    #[test]
    fn the_quick_form_is_near() {
        for n in [141_u64, 501, 1000, 5000] {
            for step in 1..60 {
                let d = f64::from(step) * 0.08 / (n as f64).sqrt();
                let (quick, exact) = (kstwo_sf_quick(d, n), kstwo_sf(d, n));
                assert!(
                    (quick - exact).abs() <= 0.1 * exact || exact < 1e-9,
                    "{n} {d}: {quick:e} and not {exact:e}"
                );
            }
        }
    }

    #[test]
    fn many_values_come_to_the_limit() {
        for x in [0.4, 0.8, 1.0, 1.36, 2.0] {
            for n in [1_000_000_u64, 20_000_000] {
                let p = kstwo_sf(x / (n as f64).sqrt(), n);
                assert!((p - kolmogorov_sf(x)).abs() < 1e-3, "{x} {n}: {p}");
            }
        }
    }

    #[test]
    fn tails_fall_from_1_to_0() {
        assert_eq!(
            [kstwo_sf(0.0, 9), kstwo_sf(0.5 / 9.0, 9), kstwo_sf(1.0, 9), kstwo_sf(1.0, 0)],
            [1.0, 1.0, 0.0, 1.0]
        );
        assert_eq!([kolmogorov_sf(0.0), kolmogorov_sf(1e-3), kolmogorov_sf(40.0)], [1.0, 1.0, 0.0]);
        for n in [1_u64, 2, 7, 50, 140, 141, 1000] {
            let mut before = 1.0;
            for step in 1..200 {
                let p = kstwo_sf(f64::from(step) / 200.0, n);
                assert!((0.0..=before + 1e-12).contains(&p), "{n} {step}: {p:e} after {before:e}");
                before = p;
            }
        }
    }
}
