//! Whether a model may be registered: every rule is asked, and each answers in plain words.

mod read;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sidegate::score::Better;

use super::evaluation::Evaluation;
use super::paired::Comparison;

/// What a gate demands.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Gate {
    /// In the order in which they are reported.
    pub(crate) rules: Vec<Rule>,
}

/// One demand.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Rule {
    /// A metric or a fact must reach a value.
    Bound {
        /// A metric, or one of [`FACTS`].
        name: String,
        /// `Lower`: at most this much; `Higher`: at least.
        better: Better,
        /// The value that is just good enough.
        value: f64,
    },
    /// With this confidence the candidate is not worse than the champion by more than the margin.
    NotWorse {
        /// A metric.
        metric: String,
        /// What may be lost.
        margin: Margin,
        /// Between a half and 1.
        confidence: f64,
    },
}

/// How much of a metric may be lost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Margin {
    /// In the metric's own unit.
    Absolute(f64),
    /// As a share of the champion's value.
    Relative(f64),
}

/// What is known of a model besides its metrics: a name, and which way less or more is better.
pub(crate) const FACTS: [(&str, Better); 6] = [
    ("model_bytes", Better::Lower),
    ("latency_p50_us", Better::Lower),
    ("latency_p99_us", Better::Lower),
    ("peak_memory_bytes", Better::Lower),
    ("train_seconds", Better::Lower),
    ("test_rows", Better::Higher),
];

/// The model that serves now.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Champion<'a> {
    /// There is none: the candidate is the first.
    Absent,
    /// It answered the same rows.
    Compared(&'a Comparison),
    /// There is one, but it could not answer; why.
    Unknown(&'a str),
}

/// Every rule's answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Decision {
    /// Whether all rules are kept.
    pub(crate) passed: bool,
    /// One answer a rule.
    pub(crate) rules: Vec<Answer>,
}

/// What a rule says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Answer {
    /// What is demanded: `rmse at most 12`.
    pub(crate) rule: String,
    /// Whether it is kept.
    pub(crate) passed: bool,
    /// What was found; none where it is missing.
    pub(crate) found: Option<f64>,
    /// Why, in plain words.
    pub(crate) reason: String,
}

impl Gate {
    /// Asks every rule.
    pub(crate) fn decide(
        &self,
        evaluation: &Evaluation,
        champion: Champion<'_>,
        facts: &BTreeMap<String, f64>,
    ) -> Decision {
        let answer = |rule: &Rule| match rule {
            Rule::Bound { name, better, value } => bound(name, *better, *value, evaluation, facts),
            Rule::NotWorse { metric, margin, confidence } => {
                not_worse(metric, *margin, *confidence, champion)
            }
        };
        Decision::of(self.rules.iter().map(answer).collect())
    }
}

impl Decision {
    /// Passed when each answer is.
    pub(crate) fn of(rules: Vec<Answer>) -> Self {
        Self { passed: rules.iter().all(|answer| answer.passed), rules }
    }

    /// The reasons of a refusal; empty where there is none.
    pub(crate) fn refusals(&self) -> Vec<&str> {
        self.rules.iter().filter(|answer| !answer.passed).map(|answer| answer.reason.as_str()).collect()
    }
}

fn bound(
    name: &str,
    better: Better,
    value: f64,
    evaluation: &Evaluation,
    facts: &BTreeMap<String, f64>,
) -> Answer {
    let word = if better == Better::Lower { "at most" } else { "at least" };
    let rule = format!("{name} {word} {value}");
    let fact = facts.get(name).copied().or((name == "test_rows").then_some(evaluation.rows as f64));
    let Some(found) = evaluation.value(name).or(fact).filter(|found| found.is_finite()) else {
        let why = match evaluation.undefined.get(name) {
            Some(why) => format!("has no value: {why}"),
            None if FACTS.iter().any(|fact| fact.0 == name) => "was not measured".to_owned(),
            None => format!("is no metric of a {} model", evaluation.task),
        };
        return Answer { rule, passed: false, found: None, reason: format!("{name} {why}") };
    };
    let passed = if better == Better::Lower { found <= value } else { found >= value };
    let not = if passed { "" } else { "not " };
    let reason = format!("{name} is {}, {not}{word} {value}", short(found));
    Answer { rule, passed, found: Some(found), reason }
}

fn not_worse(metric: &str, margin: Margin, confidence: f64, champion: Champion<'_>) -> Answer {
    let allowed = match margin {
        Margin::Absolute(value) => short(value),
        Margin::Relative(share) => format!("{} % of its value", short(100.0 * share)),
    };
    let sure = short(100.0 * confidence);
    let rule = format!("{metric} not worse than the champion's by more than {allowed} ({sure} % confidence)");
    let refused = |reason: String| Answer { rule: rule.clone(), passed: false, found: None, reason };
    let comparison = match champion {
        Champion::Absent => {
            let reason = "there is no champion yet to compare with".to_owned();
            return Answer { rule, passed: true, found: None, reason };
        }
        Champion::Unknown(why) => return refused(format!("the champion could not be asked: {why}")),
        Champion::Compared(comparison) => comparison,
    };
    let Some(paired) = comparison.named(metric) else {
        return refused(format!("{metric} is missing: both models need it on the test rows"));
    };
    let Some(most) = paired.worse_by_at_most(confidence) else {
        return refused(format!("{metric} has no interval on so few rows, so nothing can be shown"));
    };
    let limit = match margin {
        Margin::Absolute(value) => value,
        Margin::Relative(share) => share * paired.champion.abs(),
    };
    let passed = most <= limit;
    let (new, old) = (short(paired.candidate), short(paired.champion));
    let worse = if most > 0.0 {
        format!("with {sure} % confidence worse by at most {}", short(most))
    } else {
        format!("with {sure} % confidence better by at least {}", short(-most))
    };
    let end = if passed { "within" } else { "more than" };
    let reason = format!(
        "{metric} is {new} against the champion's {old}, {worse}: {end} the {} allowed",
        short(limit)
    );
    Answer { rule, passed, found: Some(paired.candidate), reason }
}

/// A chance as people write it.
pub(super) fn chance(p: f64) -> String {
    if p < 1e-4 { "< 0.0001".to_owned() } else { short((p * 1e4).round() / 1e4) }
}

/// A number as people write it: at most six digits.
pub(super) fn short(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let digits = 5 - value.abs().log10().floor() as i32;
    if !(-4..=12).contains(&digits) {
        return format!("{value:.3e}");
    }
    let text = format!("{value:.*}", digits.max(0) as usize);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}
