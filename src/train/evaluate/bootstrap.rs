//! How far metrics would scatter with other rows of the same kind: percentile bootstrap (Efron 1979) over rows, where a
//! resample is a count per row.

use super::measure::Measure;
use super::random::Random;

/// A resample lacks a metric where a class is missing from it; with more of such there is no interval.
const MOST_UNDEFINED: f64 = 0.1;

/// How intervals are found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bootstrap {
    /// Resamples.
    pub resamples: u32,
    /// The same seed gives the same intervals, whatever the threads.
    pub seed: u64,
    /// The share of resamples that an interval holds.
    pub level: f64,
    /// Threads to compute with.
    pub threads: usize,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self { resamples: 1000, seed: 42, level: 0.95, threads: 1 }
    }
}

/// Each metric's values over resamples.
pub(super) struct Resamples(Vec<Vec<f64>>);

impl Bootstrap {
    /// The metrics of each resample; what several measures say of the same resample stands side by side.
    pub(super) fn run(&self, base: &[f64], measures: &[&dyn Measure]) -> Resamples {
        let threads = self.threads.clamp(1, 64) as u32;
        let share = self.resamples.div_ceil(threads).max(1);
        let rows = std::thread::scope(|scope| {
            let parts: Vec<_> = (0..threads)
                .map(|part| (part * share, (part * share + share).min(self.resamples)))
                .filter(|(from, to)| from < to)
                .map(|(from, to)| scope.spawn(move || self.part(from..to, base, measures)))
                .collect();
            parts.into_iter().flat_map(|part| part.join().unwrap_or_default()).collect::<Vec<_>>()
        });
        let width = rows.first().map_or(0, Vec::len);
        let column = |at: usize| rows.iter().filter_map(|row| row.get(at).copied()).collect();
        Resamples((0..width).map(column).collect())
    }

    fn part(&self, numbers: std::ops::Range<u32>, base: &[f64], measures: &[&dyn Measure]) -> Vec<Vec<f64>> {
        let mut weight = vec![0.0; base.len()];
        let resample = |number: u32| {
            let mut random = Random::new(self.seed, u64::from(number));
            weight.fill(0.0);
            for _ in 0..base.len() {
                let at = random.below(base.len());
                weight[at] += base[at];
            }
            let mut values = Vec::new();
            measures.iter().for_each(|measure| measure.values(&weight, &mut values));
            values
        };
        numbers.map(resample).collect()
    }
}

impl Resamples {
    /// The defined values of a metric, ascending; none where too many are not defined.
    pub(super) fn sorted(&self, of: impl Fn(&dyn Fn(usize) -> f64) -> f64) -> Option<Vec<f64>> {
        let count = self.0.first().map_or(0, Vec::len);
        let value = |resample: usize| of(&|metric| self.0.get(metric).map_or(f64::NAN, |all| all[resample]));
        let mut values: Vec<f64> = (0..count).map(value).filter(|value| value.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        let lacking = (count - values.len()) as f64;
        (!values.is_empty() && lacking <= MOST_UNDEFINED * count as f64).then_some(values)
    }
}

/// The ends between which a share of sorted values lies.
pub(super) fn interval(sorted: &[f64], level: f64) -> Option<[f64; 2]> {
    let tail = (1.0 - level) / 2.0;
    Some([quantile(sorted, tail)?, quantile(sorted, 1.0 - tail)?])
}

/// A quantile of sorted values, between two of them by the straight line, as numpy has it.
pub(super) fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let place = share.clamp(0.0, 1.0) * sorted.len().checked_sub(1)? as f64;
    let (below, above) = (sorted.get(place.floor() as usize)?, sorted.get(place.ceil() as usize)?);
    Some(below + (above - below) * place.fract())
}
