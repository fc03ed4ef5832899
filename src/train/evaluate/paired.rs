//! Two models on the same rows: is the difference real, and which way does it go?

use serde::{Deserialize, Serialize};
use sidegate::score::Better;
use sidegate::stats::{Moments, special, tails};

use super::bootstrap::{Bootstrap, interval, quantile};
use super::measure::prepare;
use super::metric::{Metric, Test, metrics};
use super::predictions::Predictions;

/// A candidate against the champion, metric by metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Comparison {
    /// Rows that both answered.
    pub rows: usize,
    /// The share of resamples that an interval holds.
    pub level: f64,
    /// The metrics that both have.
    pub metrics: Vec<Paired>,
}

/// One metric of two models.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Paired {
    /// Its name.
    pub name: String,
    /// Whether less of it is better.
    pub lower_is_better: bool,
    /// The champion's value.
    pub champion: f64,
    /// The candidate's value.
    pub candidate: f64,
    /// Candidate minus champion.
    pub difference: f64,
    /// The ends of the difference's interval, from resamples of the same rows for both.
    pub interval: Option<[f64; 2]>,
    /// The chance of a difference as large, in either direction, if there were none.
    pub p: Option<f64>,
    /// How that was found: `t`, `mcnemar` or `bootstrap`.
    pub test: String,
    /// What was found.
    pub finding: Finding,
    /// By how much the candidate is worse in each resample, ascending.
    #[serde(skip)]
    worse_by: Vec<f64>,
}

/// Which of two models is better beyond chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Finding {
    /// The candidate.
    Better,
    /// The champion.
    Worse,
    /// Neither: what differs may be chance.
    NoDifferenceShown,
}

impl Comparison {
    /// Compares predictions of the same rows.
    ///
    /// # Errors
    /// For predictions of other rows, or of another task.
    pub(crate) fn of(
        champion: &Predictions,
        candidate: &Predictions,
        threshold: f64,
        bootstrap: &Bootstrap,
    ) -> Result<Self, String> {
        if champion.task() != candidate.task() {
            return Err("the champion predicts something else than the candidate".to_owned());
        }
        if champion.truth() != candidate.truth() {
            return Err("champion and candidate were not asked about the same rows".to_owned());
        }
        let weights = candidate.weights();
        let sides = [champion, candidate].map(|side| prepare(side, threshold));
        let table = metrics(candidate.task());
        let mut values = Vec::new();
        sides.iter().for_each(|side| side.values(&weights, &mut values));
        let resamples = bootstrap.run(&weights, &[&*sides[0], &*sides[1]]);
        let paired = |(at, metric): (usize, &Metric)| {
            let (old, new) = (values.get(at)?, values.get(at + table.len())?);
            let sign = if metric.better == Better::Lower { 1.0 } else { -1.0 };
            let sorted = resamples.sorted(|value| sign * (value(at + table.len()) - value(at)));
            let worse_by = sorted.unwrap_or_default();
            let ends = interval(&worse_by, bootstrap.level);
            let ends = ends.map(|[low, high]| if sign > 0.0 { [low, high] } else { [-high, -low] });
            let (test, p) = test(metric, champion, candidate, &weights, threshold, &worse_by);
            let difference = new - old;
            let finding = match p.filter(|p| *p < 1.0 - bootstrap.level) {
                Some(_) if sign * difference < 0.0 => Finding::Better,
                Some(_) if sign * difference > 0.0 => Finding::Worse,
                _ => Finding::NoDifferenceShown,
            };
            difference.is_finite().then(|| Paired {
                name: metric.name.to_owned(),
                lower_is_better: metric.better == Better::Lower,
                champion: *old,
                candidate: *new,
                difference,
                interval: ends,
                p,
                test: test.to_owned(),
                finding,
                worse_by,
            })
        };
        let metrics = table.iter().enumerate().filter_map(paired).collect();
        Ok(Self { rows: candidate.rows(), level: bootstrap.level, metrics })
    }

    /// One metric of both.
    pub(crate) fn named(&self, name: &str) -> Option<&Paired> {
        self.metrics.iter().find(|metric| metric.name == name)
    }
}

impl Paired {
    /// What the candidate is worse by at most, with this confidence; none where resamples lack the metric.
    pub(crate) fn worse_by_at_most(&self, confidence: f64) -> Option<f64> {
        quantile(&self.worse_by, confidence)
    }
}

fn test(
    metric: &Metric,
    champion: &Predictions,
    candidate: &Predictions,
    weights: &[f64],
    threshold: f64,
    worse_by: &[f64],
) -> (&'static str, Option<f64>) {
    match metric.test {
        Test::Loss(loss) => {
            let [old, new] = [champion, candidate].map(|side| side.losses(loss));
            let differences = old.iter().zip(&new).zip(weights).map(|((old, new), w)| w * (new - old));
            // Rows that cost nothing by this metric, whatever was predicted.
            ("t", student(&differences.filter(|difference| !difference.is_nan()).collect()))
        }
        Test::Right => {
            let right = |side: &Predictions| -> Vec<bool> {
                let classes = side.classes(threshold);
                classes.iter().zip(side.truth()).map(|(class, truth)| *class == *truth as usize).collect()
            };
            let [old, new] = [champion, candidate].map(right);
            let only = |a: &[bool], b: &[bool]| a.iter().zip(b).filter(|(a, b)| **a && !**b).count();
            ("mcnemar", Some(mcnemar(only(&old, &new), only(&new, &old))))
        }
        Test::Resamples => {
            let (n, beyond) = (worse_by.len() as f64, |side: fn(&f64) -> bool| {
                worse_by.iter().filter(|difference| side(difference)).count() as f64
            });
            let least = beyond(|difference| *difference <= 0.0).min(beyond(|difference| *difference >= 0.0));
            ("bootstrap", (n > 0.0).then(|| (2.0 * (least + 1.0) / (n + 1.0)).min(1.0)))
        }
    }
}

/// The paired t-test of a mean of 0; 1 where nothing differs, none where all differ by the same.
fn student(differences: &Moments) -> Option<f64> {
    let variance = differences.variance().ok()?;
    if variance == 0.0 {
        return (differences.mean == 0.0).then_some(1.0);
    }
    let n = differences.n as f64;
    Some(tails::t_sf2(differences.mean / (variance / n).sqrt(), n - 1.0))
}

/// The exact two-sided test that of the rows only one model got right each has half.
pub(super) fn mcnemar(first: usize, second: usize) -> f64 {
    let (least, n) = (first.min(second) as f64, (first + second) as f64);
    if first == second {
        return 1.0;
    }
    // P(X ≤ least) of n fair throws.
    (2.0 * special::incomplete_beta(n - least, least + 1.0, 0.5, 0.5)).min(1.0)
}
