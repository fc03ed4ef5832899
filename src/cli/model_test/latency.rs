//! How long a model takes for one row.

use std::time::{Duration, Instant};

use crate::engine::{Scratch, Session};
use crate::score::{Compute, METRICS, Metric, percentile};
use crate::tensor::Tensor;

/// Runs before anything is measured: they fill caches and buffers.
const WARM_UP: usize = 20;
/// What else goes on in the machine slows some blocks down and none up: the best of them is closest to the model.
const BLOCKS: usize = 5;
/// Runs of a block, at most, and for how long.
const MOST_RUNS: usize = 400;
const LONGEST: Duration = Duration::from_millis(100);
/// Fewer have no quantiles to speak of, however slow the model is.
const LEAST_RUNS: usize = 4;

/// How long one row takes, in microseconds, at the quantiles that metrics ask for: each the least of several blocks of
/// runs. `None` when the model fails.
pub(super) fn latency(session: &dyn Session, row: &[Tensor]) -> Option<Vec<(&'static Metric, f64)>> {
    let (mut scratch, mut outputs) = (Scratch::new(0), Vec::new());
    best(&mut || {
        let start = Instant::now();
        session.run(row, &mut scratch, &mut outputs).ok().map(|()| start.elapsed())
    })
}

fn best(run: &mut dyn FnMut() -> Option<Duration>) -> Option<Vec<(&'static Metric, f64)>> {
    for _ in 0..WARM_UP {
        run()?;
    }
    let blocks: Vec<Vec<Duration>> = (0..BLOCKS).map(|_| block(run)).collect::<Option<_>>()?;
    let least = |quantile| {
        let of_block =
            |times: &Vec<Duration>| percentile(times, quantile).map(|time| time.as_secs_f64() * 1e6);
        blocks.iter().filter_map(of_block).min_by(f64::total_cmp)
    };
    let quantiles = METRICS.iter().filter_map(|metric| match metric.compute {
        Compute::Latency(quantile) => Some((metric, least(quantile)?)),
        _ => None,
    });
    Some(quantiles.collect())
}

/// Times of some runs, ascending.
fn block(run: &mut dyn FnMut() -> Option<Duration>) -> Option<Vec<Duration>> {
    let (begun, mut times) = (Instant::now(), Vec::new());
    while times.len() < MOST_RUNS && (begun.elapsed() < LONGEST || times.len() < LEAST_RUNS) {
        times.push(run()?);
    }
    times.sort_unstable();
    Some(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_noisy_neighbour_is_not_measured() {
        let mut count = 0;
        let mut run = || {
            count += 1;
            // All but the last block are disturbed, and within it a run in fifty.
            let disturbed = count < WARM_UP + (BLOCKS - 1) * MOST_RUNS || count % 50 == 0;
            Some(Duration::from_micros(if disturbed { 900 } else { 7 }))
        };
        let found = best(&mut run).unwrap();
        let of = |name: &str| found.iter().find(|(metric, _)| metric.name == name).unwrap().1;
        assert!((of("latency_p50_us") - 7.0).abs() < 1e-9);
        assert!((of("latency_p99_us") - 900.0).abs() < 1e-9, "what is part of the model stays");
        assert!(best(&mut || None).is_none());
    }
}
