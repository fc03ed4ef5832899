//! Whether a model may be registered: every rule is asked, and each answers in plain words.

mod read;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use sidegate::config::{ModelChecks, PredictionRange};
use sidegate::score::Better;
use sidegate::serving::checks::{Finding, Status};

use super::evaluation::Evaluation;
use super::paired::Comparison;

/// What a gate demands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Gate {
    /// In the order in which they are reported.
    pub(crate) rules: Vec<Rule>,
    /// Tests that the served file has to pass.
    pub(crate) checks: ModelChecks,
    /// Where its predictions lie, for the test of that.
    pub(crate) range: Option<PredictionRange>,
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
pub(crate) const FACTS: [(&str, Better); 5] = [
    ("model_bytes", Better::Lower),
    // Of one row in this process, without network, by the engine that will serve it.
    ("latency_p50_us", Better::Lower),
    ("latency_p99_us", Better::Lower),
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

impl Rule {
    /// The metric or fact that it is about.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Bound { name, .. } => name,
            Self::NotWorse { metric, .. } => metric,
        }
    }
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
            Rule::Bound { name, better, value } => bound(rule, (name, *better, *value), evaluation, facts),
            Rule::NotWorse { metric, margin, confidence } => {
                not_worse(rule, (metric, *margin, *confidence), champion)
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

    /// With one answer more: what the tests of the served file have found.
    pub(crate) fn and_tests(mut self, findings: &[Finding]) -> Self {
        let count = |status| findings.iter().filter(|finding| finding.status == status).count();
        let failed = findings.iter().filter(|finding| finding.status == Status::Failed);
        let failed: Vec<String> =
            failed.map(|finding| format!("test {}: {}", finding.name, finding.detail)).collect();
        let reason = if failed.is_empty() {
            format!("{} passed, {} skipped", count(Status::Passed), count(Status::Skipped))
        } else {
            failed.join("; ")
        };
        let rule = "the tests of the model pass".to_owned();
        self.rules.push(Answer { rule, passed: failed.is_empty(), found: None, reason });
        Self::of(self.rules)
    }

    /// The reasons of a refusal; empty where there is none.
    pub(crate) fn refusals(&self) -> Vec<&str> {
        self.rules.iter().filter(|answer| !answer.passed).map(|answer| answer.reason.as_str()).collect()
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bound { name, better: Better::Lower, value } => write!(f, "{name} at most {value}"),
            Self::Bound { name, better: Better::Higher, value } => write!(f, "{name} at least {value}"),
            Self::NotWorse { metric, margin, confidence } => {
                let allowed = match margin {
                    Margin::Absolute(value) => short(*value),
                    Margin::Relative(share) => format!("{} % of its value", short(100.0 * share)),
                };
                let sure = short(100.0 * confidence);
                write!(
                    f,
                    "{metric} not worse than the champion's by more than {allowed} ({sure} % confidence)"
                )
            }
        }
    }
}

fn bound(
    rule: &Rule,
    (name, better, value): (&str, Better, f64),
    evaluation: &Evaluation,
    facts: &BTreeMap<String, f64>,
) -> Answer {
    let word = if better == Better::Lower { "at most" } else { "at least" };
    let rule = rule.to_string();
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
    let reason = if passed {
        format!("{name} is {}, {word} {value}", short(found))
    } else {
        format!("{name} is {} and has to be {word} {value}", short(found))
    };
    Answer { rule, passed, found: Some(found), reason }
}

fn not_worse(
    rule: &Rule,
    (metric, margin, confidence): (&str, Margin, f64),
    champion: Champion<'_>,
) -> Answer {
    let (rule, sure) = (rule.to_string(), short(100.0 * confidence));
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
pub(crate) fn short(value: f64) -> String {
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
