//! What shadows would have answered: how often otherwise, and by how much.

use serde::Serialize;

use super::Looking;
use crate::experiment::pairwise::{Key, Pairwise};
use crate::experiment::sums::{BUCKETS, Histogram, Series};
use crate::stats::{ratio, share};

/// The quantiles of the difference that are told.
const QUANTILES: [f64; 5] = [0.01, 0.1, 0.5, 0.9, 0.99];
/// Fewer rows that agree or disagree, and nothing is said of their share.
const MIN_EVENTS: f64 = 5.0;
/// Fewer units, and nothing is said.
const MIN_UNITS: f64 = 100.0;

/// A shadow's version, held against one that answered.
#[derive(Clone, Debug, Serialize)]
pub struct ShadowReport {
    /// The shadow's name.
    pub shadow: String,
    /// Its version.
    pub version: u64,
    /// The version that answered; 0 for another server.
    pub against: u64,
    /// Requests that both predicted.
    pub requests: u64,
    /// Rows of these.
    pub rows: u64,
    /// Requests that the shadow failed.
    pub failed: u64,
    /// The share of rows that it predicts differently.
    pub disagreement: Estimate,
    /// The mean of its prediction minus the answered one.
    pub difference: Estimate,
    /// Quantiles of that difference.
    pub quantiles: Vec<Quantile>,
    /// Seconds of its runs that half of them take, and 99 % of them: at idle priority, so no less than they would take.
    pub run_seconds: [Option<f64>; 2],
}

/// A mean with an interval that holds at every look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Estimate {
    /// The mean.
    pub value: Option<f64>,
    /// The lower end; none while there is too little.
    pub low: Option<f64>,
    /// The upper end.
    pub high: Option<f64>,
}

/// A quantile with an interval that holds at every look.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Quantile {
    /// Which.
    pub quantile: f64,
    /// Its value, to 2.5 %.
    #[serde(flatten)]
    pub estimate: Estimate,
}

// === impl Looking ===

impl Looking<'_> {
    /// Every pair of versions that there was.
    pub(super) fn shadows(&self) -> Vec<ShadowReport> {
        self.sums.pairs.iter().map(|(key, pair)| self.shadow(key, pair)).collect()
    }

    fn shadow(&self, key: &Key, pair: &Pairwise) -> ShadowReport {
        let time = |quantile| pair.times.class(quantile).map(Histogram::end);
        ShadowReport {
            shadow: key.shadow.clone(),
            version: key.version,
            against: key.against,
            requests: pair.requests,
            rows: pair.disagreements.total().weight as u64,
            failed: pair.failed,
            disagreement: self.disagreement(pair),
            difference: self.mean(&pair.differences, pair.requests),
            quantiles: QUANTILES.map(|quantile| self.quantile(quantile, pair)).to_vec(),
            run_seconds: [time(0.5), time(0.99)],
        }
    }

    /// What a variant answers and the control would have answered otherwise, or the other way round, as far as a shadow
    /// with the other version looked at it.
    pub(super) fn disagreement_of(&self, variant: usize) -> (Estimate, Pairwise) {
        let version = |at: usize| self.track.versions.get(at).copied().flatten();
        let mut both = Pairwise::default();
        if let Some((one, other)) = version(variant).zip(version(self.track.experiment.control())) {
            let fits = |key: &Key| {
                [key.version, key.against] == [one, other] || [key.version, key.against] == [other, one]
            };
            self.sums.pairs.iter().filter(|(key, _)| fits(key)).for_each(|(_, pair)| both.merge(pair));
        }
        (self.disagreement(&both), both)
    }

    fn disagreement(&self, pair: &Pairwise) -> Estimate {
        let total = pair.disagreements.total();
        let found = self.mean(&pair.disagreements, pair.requests);
        let effective = effective(&pair.disagreements);
        if total.sum.min(total.weight - total.sum) < MIN_EVENTS && effective >= MIN_UNITS {
            // Too few of a kind for a variance between buckets.
            let hits = found.value.unwrap_or_default() * effective;
            let [low, high] = share::interval(hits, effective, self.track.experiment.plan.alpha);
            return Estimate { low: Some(low), high: Some(high), ..found };
        }
        Estimate {
            low: found.low.map(|low| low.max(0.0)),
            high: found.high.map(|high| high.min(1.0)),
            ..found
        }
    }

    fn mean(&self, series: &Series, requests: u64) -> Estimate {
        let total = series.total();
        if total.weight <= 0.0 {
            return Estimate::default();
        }
        let value = Some(total.sum / total.weight);
        let units = units(series, requests);
        let found = ratio::ratio(&series.joint()).ok().filter(|found| found.standard_error > 0.0);
        let (Some(found), Some(sequence)) = (found, self.sequence(self.track.experiment.plan.alpha)) else {
            return Estimate { value, ..Estimate::default() };
        };
        if units < MIN_UNITS {
            return Estimate { value, ..Estimate::default() };
        }
        let look = sequence.estimate(units, found.ratio, found.standard_error.powi(2));
        Estimate {
            value,
            low: Some(look.difference - look.halfwidth),
            high: Some(look.difference + look.halfwidth),
        }
    }

    /// The share below a quantile is known as well as a share of so many independent rows as there are units: rows of a
    /// unit count as one. What is between the ends of that share's interval may be the quantile.
    fn quantile(&self, quantile: f64, pair: &Pairwise) -> Quantile {
        let at = |share: f64| pair.spread.quantile(share);
        let effective = effective(&pair.differences);
        let mut estimate = Estimate { value: at(quantile), ..Estimate::default() };
        if effective >= MIN_UNITS
            && let Some(sequence) = self.sequence(self.track.experiment.plan.alpha)
        {
            let look = sequence.estimate(effective, quantile, quantile * (1.0 - quantile) / effective);
            // Beyond the first and the last of them nothing is known.
            estimate.low = Some(quantile - look.halfwidth).filter(|share| *share > 0.0).and_then(at);
            estimate.high = Some(quantile + look.halfwidth).filter(|share| *share < 1.0).and_then(at);
        }
        Quantile { quantile, estimate }
    }
}

/// How many units there were: by how many buckets are empty (linear counting) while that tells, else no more than there
/// were requests.
fn units(series: &Series, requests: u64) -> f64 {
    let (all, filled) = (BUCKETS as f64, series.filled().count() as f64);
    let counted = if filled < all { -all * (1.0 - filled / all).ln() } else { f64::INFINITY };
    counted.min(requests as f64)
}

/// How many independent rows are worth as much as those of all buckets, where rows of one bucket were all the same (Kish).
fn effective(series: &Series) -> f64 {
    let (mut sum, mut squares) = (0.0, 0.0);
    for (_, cell) in series.filled() {
        sum += cell.weight;
        squares += cell.weight * cell.weight;
    }
    if squares > 0.0 { sum * sum / squares } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::analysis::Report;
    use crate::experiment::sums::{Sums, bucket};
    use crate::experiment::{Definition, Margin, Track};
    use crate::tensor::{Data, Tensor};

    fn track() -> Track {
        let definition = Definition {
            model: Some("m".parse().unwrap()),
            shadow: vec![("next".into(), "8".parse().unwrap())],
            shadow_margin: Margin::Relative(0.01),
            planned_units: 1000,
            confidence: "95%".parse().unwrap(),
            ..Definition::default()
        };
        Track::new(definition.check(&"e".parse().unwrap()).unwrap(), Vec::new())
    }

    /// Users with four requests each, whose difference from what was answered is mostly theirs.
    fn sums(track: &Track, users: u64, shift: f64, seed: u64) -> Sums {
        let mut sums = Sums::new(&track.layout);
        let mut state = seed;
        let mut uniform = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1_u64 << 53) as f64
        };
        let pair = sums.pairs.entry(Key { shadow: "next".into(), version: 8, against: 7 });
        for user in 0..users {
            let own = uniform() - 0.5;
            let bucket =
                bucket(crate::stats::assign::bytes(&[user.to_le_bytes(), seed.to_le_bytes()].concat()));
            for _ in 0..4 {
                let difference = shift + own + 0.1 * (uniform() - 0.5);
                let tensor = |value: f64| Tensor::new(&[1], Data::Fp64(vec![value]));
                pair.push(bucket, &tensor(10.0), &tensor(10.0 + difference), Margin::Relative(0.01));
            }
        }
        sums
    }

    #[test]
    fn intervals_hold_the_truth_though_requests_of_a_user_hang_together() {
        let track = track();
        let (mut mean, mut share, mut median) = (0, 0, 0);
        for seed in 1..=200 {
            let report = Report::of(&track, &sums(&track, 600, 0.05, seed));
            let shadow = &report.shadows[0];
            assert_eq!((shadow.requests, shadow.rows, shadow.version, shadow.against), (2400, 2400, 8, 7));
            let holds = |estimate: Estimate, truth: f64| {
                estimate.low.is_some_and(|low| low <= truth)
                    && estimate.high.is_some_and(|high| truth <= high)
            };
            mean += u32::from(holds(shadow.difference, 0.05));
            // Off by more than a tenth: the part of the triangle-edged law outside of -0.1..0.1.
            share += u32::from(holds(shadow.disagreement, 0.8));
            median += u32::from(holds(shadow.quantiles[2].estimate, 0.05));
        }
        assert!(mean >= 190 && share >= 190 && median >= 190, "{mean} {share} {median} of 200");
    }

    #[test]
    fn too_little_is_said_to_be() {
        let track = track();
        let few = Report::of(&track, &sums(&track, 20, 0.0, 1));
        assert_eq!((few.shadows[0].difference.low, few.shadows[0].disagreement.high), (None, None));
        assert!(few.shadows[0].difference.value.is_some());
        assert!(Report::of(&track, &Sums::new(&track.layout)).shadows.is_empty());
    }
}
