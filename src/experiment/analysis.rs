//! What sums say: how each variant does, how it compares with the control, and whether any of that can be trusted.
//!
//! Everything is by bucket of units. Intervals and p-values of `anytime` hold however often one looks; those of `fixed`
//! (Welch) hold for one look at a number of units that was fixed before, and are shown as such.

mod guard;
mod shadow;
mod side;
mod validity;

#[cfg(test)]
mod tests;

use serde::Serialize;

use super::Track;
use super::cohort::{Layout, Measured, Pair};
use super::metric::{Kind, Metric};
use super::sums::{Sums, Tally};
use crate::stats::sequential::{ConfidenceSequence, Look};
use crate::stats::{Lack, multiplicity, welch};

pub use guard::Harm;
pub use shadow::{Estimate, Quantile, ShadowReport};
pub use side::Side;
pub use validity::{Check, Validity};

/// Fewer units on a side than this, and nothing is said of a difference.
pub const MIN_UNITS: u64 = 100;
/// Fewer of either kind a side, and nothing is said of a difference of shares.
const MIN_EVENTS: f64 = 5.0;

/// Everything there is to say about an experiment.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Variant by variant.
    pub variants: Vec<VariantReport>,
    /// Each but the control, held against it.
    pub comparisons: Vec<Comparison>,
    /// What shadows would have answered.
    pub shadows: Vec<ShadowReport>,
    /// Whether all that can be trusted.
    pub validity: Validity,
}

/// A variant by itself.
#[derive(Clone, Debug, Serialize)]
pub struct VariantReport {
    /// Its name.
    pub variant: String,
    /// Its units.
    pub units: u64,
    /// Their requests.
    pub requests: u64,
    /// Rows that were predicted.
    pub rows: u64,
    /// Those whose prediction is no finite number.
    pub non_finite: u64,
    /// Metric by metric.
    pub metrics: Vec<Measurement>,
    /// Pairs of prediction and actual, where errors are measured: with the two below the fields of the founding A/B
    /// test.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample_size: Option<u64>,
    /// Their mean squared error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mse: Option<f64>,
    /// Its root.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rmse: Option<f64>,
}

/// A metric of a variant.
#[derive(Clone, Debug, Serialize)]
pub struct Measurement {
    /// The metric.
    pub metric: String,
    /// What it is the mean of: requests, rows or units.
    pub n: f64,
    /// The mean, or the quantile.
    pub value: Option<f64>,
    /// Its standard error, where it is a mean.
    pub standard_error: Option<f64>,
}

/// A variant held against the control.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// The variant.
    pub variant: String,
    /// The control.
    pub control: String,
    /// Whether one side is a part of its variant, as wide as the other.
    pub cohort: bool,
    /// Units of the variant and of the control that are compared.
    pub units: [u64; 2],
    /// The metric that is to become better.
    pub primary: Option<Difference>,
    /// What must not get worse.
    pub guardrails: Vec<Difference>,
    /// The founding document's form of the primary metric's fixed test.
    pub statistical_test: Option<FoundingTest>,
}

/// How a metric differs, treatment minus control.
#[derive(Clone, Debug, Serialize)]
pub struct Difference {
    /// The metric.
    pub metric: String,
    /// `ok`, or what is lacking for a result.
    pub status: &'static str,
    /// The control's side.
    pub control: Side,
    /// The variant's side.
    pub treatment: Side,
    /// The difference; as quantiles it is one of times.
    pub difference: Option<f64>,
    /// The same as a part of the control's mean.
    pub relative: Option<f64>,
    /// Whether the sign of the difference is that of an improvement.
    pub better: Option<bool>,
    /// Holds at every look.
    pub anytime: Option<Anytime>,
    /// Holds at one look that was planned.
    pub fixed: Option<Fixed>,
    /// Whether the variant is worse than allowed, for a guardrail and for the primary metric.
    pub harm: Option<Harm>,
}

/// An interval and a p-value that hold at every look.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Anytime {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// The p-value at this look.
    pub p: f64,
    /// The same among all variants (Holm); that of a guardrail is on its own.
    pub p_adjusted: f64,
}

/// Welch's test, for a number of units that was fixed before.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Fixed {
    /// t.
    pub statistic: f64,
    /// Its degrees of freedom.
    pub df: f64,
    /// The p-value, right for one look alone.
    pub p: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// Whether the number of units that was planned is there.
    pub planned: bool,
}

/// The founding document's fields.
#[derive(Clone, Copy, Debug, Serialize)]
#[expect(missing_docs, reason = "the founding document's names")]
pub struct FoundingTest {
    pub statistic: f64,
    pub p_value: f64,
    pub significant_difference: bool,
}

// === impl Report ===

impl Report {
    /// What the sums of an experiment say.
    pub fn of(track: &Track, sums: &Sums) -> Self {
        let (experiment, layout) = (&track.experiment, &track.layout);
        let look = Looking { track, sums };
        let mut comparisons: Vec<Comparison> =
            layout.pairs.iter().map(|pair| look.comparison(*pair)).collect();
        let p = |comparison: &Comparison| {
            comparison
                .primary
                .as_ref()
                .and_then(|primary| primary.anytime)
                .map_or(f64::NAN, |anytime| anytime.p)
        };
        let adjusted = multiplicity::holm(&comparisons.iter().map(p).collect::<Vec<_>>());
        for (comparison, adjusted) in comparisons.iter_mut().zip(adjusted) {
            if let Some(anytime) = comparison.primary.as_mut().and_then(|primary| primary.anytime.as_mut()) {
                anytime.p_adjusted = adjusted;
            }
        }
        let variants = (0..experiment.variants.len()).map(|at| look.variant(at)).collect();
        let shadows = look.shadows();
        Self { variants, comparisons, shadows, validity: validity::of(experiment, layout, sums) }
    }
}

/// What a report is made from.
pub(super) struct Looking<'a> {
    track: &'a Track,
    sums: &'a Sums,
}

impl Looking<'_> {
    fn variant(&self, at: usize) -> VariantReport {
        let arm = &self.sums.arms[at];
        let measurement = |metric: &Metric| {
            let side = self.side(&metric.kind, arm);
            Measurement {
                metric: metric.kind.name().to_owned(),
                n: side.n,
                value: side.mean,
                standard_error: side.standard_error,
            }
        };
        let mut metrics: Vec<Measurement> = Vec::new();
        for found in self.track.experiment.metrics().map(measurement) {
            if metrics.iter().all(|known| known.metric != found.metric) {
                metrics.push(found);
            }
        }
        let squared = self.track.experiment.metrics().find(|metric| metric.kind.name() == "squared_error");
        let squared = squared.map(|metric| self.side(&metric.kind, arm));
        let mse = squared.as_ref().and_then(|side| side.mean);
        VariantReport {
            variant: self.track.experiment.variants[at].name.clone(),
            units: units(arm),
            requests: arm.requests,
            rows: arm.outputs.rows,
            non_finite: arm.outputs.non_finite,
            metrics,
            sample_size: squared.map(|side| side.n as u64),
            mse,
            rmse: mse.map(f64::sqrt),
        }
    }

    fn comparison(&self, pair: Pair) -> Comparison {
        let plan = &self.track.experiment.plan;
        let primary = plan.metric.as_ref().map(|metric| {
            let mut difference = self.difference(metric, pair);
            difference.harm = guard::primary(self, metric, &difference);
            difference
        });
        let guardrail = |guardrail: &super::Guardrail| {
            if guardrail.metric.kind == Kind::Disagreement {
                return guard::disagreement(self, guardrail, pair);
            }
            let mut difference = self.difference(&guardrail.metric, pair);
            difference.harm = guard::guardrail(self, guardrail, pair, &difference);
            difference
        };
        let mut guardrails: Vec<Difference> = plan.guardrails.iter().map(guardrail).collect();
        guardrails.push(guard::outputs(self, pair));
        let control = self.track.experiment.control();
        let fixed = primary.as_ref().and_then(|primary| primary.fixed);
        Comparison {
            variant: self.track.experiment.variants[pair.variant].name.clone(),
            control: self.track.experiment.variants[control].name.clone(),
            cohort: pair.treatment != pair.variant || pair.control != control,
            units: [pair.treatment, pair.control].map(|arm| units(&self.sums.arms[arm])),
            statistical_test: fixed.map(|fixed| FoundingTest {
                statistic: fixed.statistic,
                p_value: fixed.p,
                significant_difference: fixed.p < plan.alpha,
            }),
            primary,
            guardrails,
        }
    }

    /// The sequence of an experiment at its level, where `units` were planned.
    fn sequence(&self, alpha: f64) -> Option<ConfidenceSequence> {
        ConfidenceSequence::new(alpha, self.track.experiment.plan.planned_units as f64)
    }

    fn difference(&self, metric: &Metric, pair: Pair) -> Difference {
        let [control, treatment] = [pair.control, pair.treatment].map(|arm| &self.sums.arms[arm]);
        let sides = [control, treatment].map(|arm| self.side(&metric.kind, arm));
        let found = match metric.kind {
            Kind::LatencyQuantile(thousandths) => self.quantiles(thousandths, control, treatment, 0),
            _ => self.means(metric, &sides),
        };
        let difference = match &sides {
            [Side { mean: Some(control), .. }, Side { mean: Some(treatment), .. }] => {
                Some(treatment - control)
            }
            _ => None,
        };
        let relative =
            difference.zip(sides[0].mean).and_then(|(d, mean)| (mean != 0.0).then(|| d / mean.abs()));
        let fixed = match metric.kind {
            Kind::LatencyQuantile(_) => None,
            _ => found.is_ok().then(|| self.fixed(&sides)).flatten(),
        };
        let [control, treatment] = sides;
        Difference {
            metric: metric.kind.name().to_owned(),
            status: crate::stats::status(&found),
            difference,
            relative,
            better: difference.map(|difference| metric.harm(difference) < 0.0),
            anytime: found.ok().map(|look| Anytime {
                low: look.difference - look.halfwidth,
                high: look.difference + look.halfwidth,
                p: look.p,
                p_adjusted: look.p,
            }),
            fixed,
            harm: None,
            control,
            treatment,
        }
    }

    fn means(&self, metric: &Metric, [control, treatment]: &[Side; 2]) -> Result<Look, Lack> {
        // Of either kind on both sides together: a side without any may be the very difference.
        let events = || match (control.events(), treatment.events()) {
            (Some(a), Some(b)) => [a[0] + b[0], a[1] + b[1]].into_iter().all(|few| few >= 2.0 * MIN_EVENTS),
            _ => false,
        };
        let few = [control, treatment].into_iter().any(|side| side.units < MIN_UNITS);
        if few || (metric.kind.is_binary() && !events()) {
            return Err(Lack::InsufficientData);
        }
        let sequence = self.sequence(self.track.experiment.plan.alpha).ok_or(Lack::NoReference)?;
        sequence.look(control.arm()?, treatment.arm()?)
    }

    /// How much more often the treatment takes longer than the control's quantile; `wider` classes are allowed.
    fn quantiles(
        &self,
        thousandths: u16,
        control: &Tally,
        treatment: &Tally,
        wider: usize,
    ) -> Result<Look, Lack> {
        let class = control.latency.class(f64::from(thousandths) / 1000.0).ok_or(Lack::NoReference)? + wider;
        let side = |tally: &Tally| {
            let side = Side::share(tally.latency.above(class), tally.latency.count());
            // Requests of a unit hang together, as their times show.
            let spread = tally.latency.dispersion(&tally.seconds);
            Side {
                units: side.units.min(units(tally)),
                standard_error: side.standard_error.map(|error| error * spread.sqrt()),
                ..side
            }
        };
        let [control, treatment] = [control, treatment].map(side);
        if control.units < MIN_UNITS || treatment.units < MIN_UNITS {
            return Err(Lack::InsufficientData);
        }
        let sequence = self.sequence(self.track.experiment.plan.alpha).ok_or(Lack::NoReference)?;
        sequence.look(control.arm()?, treatment.arm()?)
    }

    fn fixed(&self, [control, treatment]: &[Side; 2]) -> Option<Fixed> {
        let moments = [control.moments().ok()?, treatment.moments().ok()?];
        let test = welch::welch(&moments[0], &moments[1]).ok()?;
        let estimate = test.estimate?;
        let [low, high] = test.interval(self.track.experiment.plan.alpha)?;
        let planned = control.units + treatment.units >= self.track.experiment.plan.planned_units;
        Some(Fixed { statistic: estimate.statistic, df: estimate.df, p: test.p, low, high, planned })
    }

    fn side(&self, kind: &Kind, arm: &Tally) -> Side {
        match kind {
            Kind::LatencyQuantile(thousandths) => Side::quantile(&arm.latency, *thousandths),
            Kind::Disagreement => Side::default(),
            kind => match self.track.layout.series_of(kind) {
                Some(series) => Side::of(&arm.series[series], units(arm)),
                None => Side::default(),
            },
        }
    }
}

/// The units of an arm.
pub(super) fn units(arm: &Tally) -> u64 {
    arm.units.total().weight as u64
}

impl Layout {
    fn is_labelled(&self) -> bool {
        self.series.contains(&Measured::Labelled)
    }
}
