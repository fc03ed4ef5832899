//! A share that may be looked at after every observation, also where almost all or almost none of them count.

use super::special::ln_gamma;

/// Halvings of an interval: down to the last bits of a double.
const HALVINGS: u32 = 60;

/// Where the share is, of which `hits` of `n` independent observations are known: with probability 1 − `alpha` it is within
/// these ends at all looks together. `hits` and `n` need not be whole.
///
/// The likelihood of binomials mixed over all shares alike, by that of the one in question (Robbins 1970; Ville): shares
/// against which the evidence exceeds 1/`alpha` are left out. Exact, where the asymptotic sequence needs some of either kind.
pub fn interval(hits: f64, n: f64, alpha: f64) -> [f64; 2] {
    let valid = n > 0.0 && (0.0..=n).contains(&hits) && alpha > 0.0 && alpha < 1.0;
    if !valid {
        return [0.0, 1.0];
    }
    let misses = n - hits;
    let mixed = ln_gamma(hits + 1.0) + ln_gamma(misses + 1.0) - ln_gamma(n + 2.0);
    // What happened never is likely, however unlikely it was.
    let times = |count: f64, p: f64| if count > 0.0 { count * p.ln() } else { 0.0 };
    let outside = |p: f64| mixed - times(hits, p) - times(misses, 1.0 - p) > -alpha.ln();
    let between = |mut inside: f64, mut beyond: f64| {
        if !outside(beyond) {
            return beyond;
        }
        for _ in 0..HALVINGS {
            let middle = f64::midpoint(inside, beyond);
            if outside(middle) { beyond = middle } else { inside = middle }
        }
        beyond
    };
    [between(hits / n, 0.0), between(hits / n, 1.0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_those_of_the_closed_forms() {
        // All of n: 1 / ((n + 1) pⁿ) = 1/α.
        for n in [1.0, 20.0, 400.0, 1e6] {
            let [low, high] = interval(n, n, 0.05);
            let closed = (0.05 / (n + 1.0)).powf(1.0 / n);
            assert!((low - closed).abs() < 1e-12 && high == 1.0, "{n}: {low} and {closed}");
            let [none, top] = interval(0.0, n, 0.05);
            assert!(none == 0.0 && (top - (1.0 - closed)).abs() < 1e-12, "{n}");
        }
        for (hits, n, alpha) in [(0.0, 0.0, 0.05), (3.0, 2.0, 0.05), (1.0, 2.0, 0.0), (f64::NAN, 2.0, 0.05)] {
            assert_eq!(interval(hits, n, alpha), [0.0, 1.0]);
        }
        let [low, high] = interval(300.0, 1000.0, 0.05);
        assert!(low > 0.24 && low < 0.27 && high > 0.33 && high < 0.36, "{low} {high}");
    }

    /// Looking after every one of 2,000 observations, 400 runs each, with a fixed seed.
    #[test]
    fn the_share_is_within_at_every_look() {
        let mut state = 3_u64;
        let mut uniform = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / 2_f64.powi(53)
        };
        for share in [0.001, 0.2, 0.97] {
            let missed = (0..400).filter(|_| {
                let mut hits = 0.0;
                (1..=2000).any(|n| {
                    hits += f64::from(u32::from(uniform() < share));
                    let [low, high] = interval(hits, f64::from(n), 0.05);
                    !(low..=high).contains(&share)
                })
            });
            let missed = missed.count();
            assert!(missed <= 20, "{share}: {missed} of 400");
        }
    }
}
