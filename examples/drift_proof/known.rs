//! How soon a detector could find a change that knew it beforehand: the bound that no other can beat.
//!
//! Page's CUSUM of the logarithm of the likelihood ratio has the least delay of all at its rate of false alarms
//! (Moustakides, Annals of Statistics 14, 1986). It is told both laws, and looks after every value.

use std::f64::consts::{PI, SQRT_2};

use crate::parallel;
use crate::rng::Rng;
use crate::streams::Change;

/// Values without change that its threshold is found with.
const NULL: u32 = 40_000_000;
const RUNS: u32 = 40;

/// The logarithm of the standard normal density.
fn normal(x: f64) -> f64 {
    -0.5 * x * x - 0.5 * (2.0 * PI).ln()
}

/// The same of a changed law by its name; none where it is not of one kind.
fn law(name: &str) -> Option<fn(f64) -> f64> {
    Some(match name {
        "mean + 0.25 sd" => |x| normal(x - 0.25),
        "mean + 0.5 sd" => |x| normal(x - 0.5),
        "mean + 1 sd" => |x| normal(x - 1.0),
        "sd x 1.5" => |x| normal(x / 1.5) - 1.5_f64.ln(),
        "variance x 1.5" => |x| normal(x / 1.5_f64.sqrt()) - 0.5 * 1.5_f64.ln(),
        "shape: exponential" => |x| if x > -1.0 { -(x + 1.0) } else { f64::NEG_INFINITY },
        "shape: uniform" => |x| if x.abs() < 3_f64.sqrt() { -0.5 * 12_f64.ln() } else { f64::NEG_INFINITY },
        "shape: two peaks at 0.9 sd" => |x| {
            let deviation = (1.0 - 0.81_f64).sqrt();
            let peak = |at: f64| normal((x - at) / deviation).exp();
            (0.5 * (peak(0.9) + peak(-0.9)) / deviation).ln()
        },
        "shape: Laplace" => |x: f64| -SQRT_2 * x.abs() - SQRT_2.ln(),
        _ => return None,
    })
}

/// The median delay at so many values per false alarm.
pub(crate) fn delay(change: &Change, run: f64, streams: u32) -> Option<usize> {
    let law = law(change.name)?;
    let next = move |sum: f64, x: f64| (sum + law(x) - normal(x)).max(0.0);
    // Without change it rises from 0 and falls back again and again. Alarms are those rises that come so far.
    let mut peaks: Vec<f64> = parallel(RUNS, |number| {
        let mut rng = Rng::new(110_000_000 + u64::from(number));
        let (mut sum, mut peak, mut peaks) = (0.0_f64, 0.0_f64, Vec::new());
        for _ in 0..NULL / RUNS {
            sum = next(sum, rng.normal());
            peak = peak.max(sum);
            if sum == 0.0 {
                // Rarer ones decide.
                peaks.extend((peak > 3.0).then_some(peak));
                peak = 0.0;
            }
        }
        peaks
    })
    .concat();
    peaks.sort_unstable_by(|a, b| b.total_cmp(a));
    let threshold = *peaks.get((f64::from(NULL) / run) as usize)?;
    let mut delays = parallel(streams, |number| {
        let mut rng = Rng::new(120_000_000 + u64::from(number));
        let mut sum = (0..1000).fold(0.0, |sum, _| next(sum, rng.normal()));
        (1..).find(|_| {
            sum = next(sum, (change.draw)(&mut rng, 0.0));
            sum >= threshold
        })
    });
    delays.sort_unstable();
    delays.get(delays.len() / 2).copied().flatten()
}
