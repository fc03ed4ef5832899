//! Whether a variant does harm.

use serde::Serialize;

use super::{Anytime, Difference, Looking, Side};
use crate::experiment::cohort::Pair;
use crate::experiment::metric::{Guardrail, Kind, Margin, Metric};
use crate::experiment::sums::Tally;
use crate::score::Better;
use crate::stats::{failures, share};

/// Requests of a variant before its failures count: the test is exact, but a start is no time to judge.
const MIN_REQUESTS: f64 = 20.0;
/// Predictions that are all the same say nothing before there are so many.
const MIN_CONSTANT: u64 = 200;

/// How a variant stands to a limit.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Harm {
    /// How much worse it may be, in the metric's unit.
    pub margin: f64,
    /// Whether it is worse than that, beyond doubt at the experiment's level.
    pub beyond: bool,
    /// In words, where it is.
    pub why: Option<String>,
}

/// The primary metric: a variant that is worse beyond doubt.
pub(super) fn primary(look: &Looking<'_>, metric: &Metric, difference: &Difference) -> Option<Harm> {
    Some(harm(difference, 0.0, worse(look, metric, 0.0, difference)?))
}

/// A guardrail: worse than its margin beyond doubt.
pub(super) fn guardrail(
    look: &Looking<'_>,
    rail: &Guardrail,
    pair: Pair,
    difference: &Difference,
) -> Option<Harm> {
    let margin = rail.margin.of(difference.control.mean.unwrap_or(0.0));
    let sides = [difference.control.clone(), difference.treatment.clone()];
    let beyond = match (&rail.metric.kind, rail.margin) {
        (Kind::Errors, Margin::Absolute(0.0)) => fails(look, 0.0, &sides),
        (Kind::Errors, Margin::Relative(part)) => fails(look, part, &sides),
        (Kind::LatencyQuantile(thousandths), margin) => slower(look, *thousandths, margin, pair, difference)?,
        _ => worse(look, &rail.metric, margin, difference)?,
    };
    Some(harm(difference, margin, beyond))
}

/// What no version should do, whatever is measured: predict what is no number, or always the same.
pub(super) fn outputs(look: &Looking<'_>, pair: Pair) -> Difference {
    let arms = [pair.control, pair.treatment].map(|arm| &look.sums.arms[arm]);
    let [control, treatment] = arms.map(|arm| arm.outputs);
    let sides = arms.map(|arm| Side::of(&arm.broken, super::units(arm)));
    let broken = fails(look, 0.0, &sides);
    let constant = treatment.is_constant() && !control.is_constant() && is_stuck(look, arms);
    let why = match (broken, constant) {
        (true, _) => {
            Some(format!("{} of {} predictions are no number", treatment.non_finite, treatment.rows))
        }
        (_, true) => Some(format!("all of {} predictions are {}", treatment.rows, treatment.low)),
        _ => None,
    };
    let [control, treatment] = sides;
    let difference = control.mean.zip(treatment.mean).map(|(control, treatment)| treatment - control);
    Difference {
        metric: "outputs".into(),
        status: if difference.is_some() { "ok" } else { "insufficient_data" },
        difference,
        relative: None,
        better: None,
        anytime: None,
        fixed: None,
        harm: Some(Harm { margin: 0.0, beyond: why.is_some(), why }),
        control,
        treatment,
    }
}

/// Rows that the control would have predicted otherwise; how many of them may be is the margin, not a part of anything.
pub(super) fn disagreement(look: &Looking<'_>, rail: &Guardrail, pair: Pair) -> Difference {
    let margin = match rail.margin {
        Margin::Absolute(margin) | Margin::Relative(margin) => margin,
    };
    let (found, seen) = look.disagreement_of(pair.variant);
    let beyond = found.low.is_some_and(|low| low > margin);
    let rows = seen.disagreements.total().weight;
    let why = || {
        let (share, requests) = (found.value.unwrap_or_default(), seen.requests);
        format!(
            "{share:.6} of the rows of {requests} requests are predicted otherwise by the other side's version"
        )
    };
    let anytime = found.low.zip(found.high);
    Difference {
        metric: rail.metric.kind.name().to_owned(),
        status: if anytime.is_some() { "ok" } else { "insufficient_data" },
        control: Side::default(),
        treatment: Side { units: seen.requests, n: rows, mean: found.value, standard_error: None },
        difference: found.value,
        relative: None,
        better: None,
        // Disagreement is no difference to be tested: there is no p-value of its being zero.
        anytime: anytime.map(|(low, high)| Anytime { low, high, p: 1.0, p_adjusted: 1.0 }),
        fixed: None,
        harm: Some(Harm { margin, beyond, why: beyond.then(why) }),
    }
}

/// Whether a variant whose predictions are all the same would have changed, did it what the control does. Only units whose
/// predictions changed count, and of two changes one: a rare label comes and goes.
fn is_stuck(look: &Looking<'_>, [control, treatment]: [&Tally; 2]) -> bool {
    let units = control.changed.filled().filter(|(_, cell)| cell.sum > 0.0).count() as u64;
    let changes = units.min(control.outputs.changes / 2);
    let [control, treatment] = [control, treatment].map(|tally| tally.outputs.rows as f64);
    let evidence = failures::excess(changes, 0, control / (control + treatment));
    treatment >= MIN_CONSTANT as f64 && evidence > limit(look)
}

/// Whether it is worse by more than a margin, beyond doubt; none while there is too little to say.
fn worse(look: &Looking<'_>, metric: &Metric, margin: f64, difference: &Difference) -> Option<bool> {
    let found = difference.anytime.map(|anytime| least_harm(metric, anytime) > margin);
    let shares = metric.kind.is_binary().then(|| worse_share(look, metric, margin, difference));
    found.or(shares).map(|found| found || shares == Some(true))
}

/// The same of shares of which one is nearly 0 or 1, where a variance says little: by what is known of each side.
fn worse_share(look: &Looking<'_>, metric: &Metric, margin: f64, difference: &Difference) -> bool {
    let sides = [&difference.control, &difference.treatment];
    let spread = dispersion(&sides.map(Clone::clone));
    let alpha = look.track.experiment.plan.alpha / 2.0;
    let bad = |side: &Side| {
        let mean = side.mean.unwrap_or_default();
        if metric.better == Better::Higher { 1.0 - mean } else { mean }
    };
    let [control, treatment] = sides.map(|side| {
        let n = side.n / spread;
        share::interval(bad(side) * n, n, alpha)
    });
    difference.treatment.n >= MIN_REQUESTS && treatment[0] - control[1] > margin
}

/// The least harm that the interval allows.
fn least_harm(metric: &Metric, anytime: Anytime) -> f64 {
    metric.harm(anytime.low).min(metric.harm(anytime.high))
}

fn harm(difference: &Difference, margin: f64, beyond: bool) -> Harm {
    let number = |side: &Side| side.mean.map_or_else(|| "nothing".to_owned(), |mean| format!("{mean:.6}"));
    let why = || {
        let (metric, units) = (&difference.metric, difference.treatment.units);
        let (control, treatment) = (number(&difference.control), number(&difference.treatment));
        format!("{metric} is {treatment} and that of the control {control}, after {units} units")
    };
    Harm { margin, beyond, why: beyond.then(why) }
}

/// Failures, which may be few: by the exact test, tempered by how much they cluster in units.
fn fails(look: &Looking<'_>, margin: f64, sides: &[Side; 2]) -> bool {
    let failures = |side: &Side| side.mean.map_or(0.0, |mean| (mean * side.n).round()) as u64;
    let evidence = failures::excess(failures(&sides[1]), failures(&sides[0]), expected(sides, margin));
    sides[1].n >= MIN_REQUESTS && evidence / dispersion(sides) > limit(look)
}

/// The share of all failures that the treatment has where it fails (1 + margin) times as often.
fn expected([control, treatment]: &[Side; 2], margin: f64) -> f64 {
    let weight = treatment.n * (1.0 + margin);
    if weight + control.n > 0.0 { weight / (weight + control.n) } else { 0.5 }
}

/// How much larger the variance by units is than that of independent requests; never less than 1.
fn dispersion(sides: &[Side; 2]) -> f64 {
    let ratio = |side: &Side| {
        let (mean, error) = (side.mean?, side.standard_error?);
        let independent = mean * (1.0 - mean) / side.n;
        (independent > 0.0).then(|| error * error / independent)
    };
    sides.iter().filter_map(ratio).fold(1.0, f64::max)
}

/// What evidence has to exceed: the experiment's level, all of it on the one side that is harm.
fn limit(look: &Looking<'_>) -> f64 {
    -look.track.experiment.plan.alpha.ln()
}

/// A quantile: whether more requests than the control's are slower than it, with its margin.
fn slower(
    look: &Looking<'_>,
    thousandths: u16,
    margin: Margin,
    pair: Pair,
    found: &Difference,
) -> Option<bool> {
    let allowed = margin.of(found.control.mean?);
    let factor = 1.0 + allowed / found.control.mean?;
    let wider = (factor.ln() / 1.05_f64.ln()).ceil() as usize;
    let [control, treatment] = [pair.control, pair.treatment].map(|arm| &look.sums.arms[arm]);
    let Ok(above) = look.quantiles(thousandths, control, treatment, wider) else { return Some(false) };
    // The control's own share above the wider class is smaller; what is asked is whether the treatment exceeds the
    // share that the quantile leaves above it.
    let share = 1.0 - f64::from(thousandths) / 1000.0;
    let class = control.latency.class(f64::from(thousandths) / 1000.0)? + wider;
    let own = treatment.latency.above(class) as f64 / treatment.latency.count().max(1) as f64;
    Some(above.difference - above.halfwidth > 0.0 && own > share)
}
