//! What an experiment measures, and what must not get worse.

use std::fmt;
use std::str::FromStr;

use crate::model::shorten;
use crate::score::Better;

/// Something measured about units, by variant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metric {
    /// What is measured.
    pub kind: Kind,
    /// Which way it is better.
    pub better: Better,
}

/// What is measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Requests that the variant failed: its engine, what it does not take although its inputs say so, or the deadline. 1
    /// or 0 a request.
    Errors,
    /// Seconds from a whole request to its answer, by request.
    Latency,
    /// A quantile of these, in thousandths.
    LatencyQuantile(u16),
    /// A prediction held against the actual.
    Score(Score),
    /// What is posted under this name, summed by unit.
    Outcome(String),
    /// Rows that a shadow with the other side's version predicts differently.
    Disagreement,
}

/// How a prediction is held against the actual, row by row; the mean is what scikit-learn computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Score {
    /// (prediction − actual)²: `mean_squared_error`.
    SquaredError,
    /// |prediction − actual|: `mean_absolute_error`.
    AbsoluteError,
    /// Whether the label is right: `accuracy_score`. A probability is the label 1 from a half on.
    Accuracy,
    /// −ln of the probability of what happened: `log_loss`.
    LogLoss,
    /// (probability − actual)²: `brier_score_loss`.
    Brier,
}

/// A metric that must not get worse than this.
#[derive(Clone, Debug, PartialEq)]
pub struct Guardrail {
    /// What is watched.
    pub metric: Metric,
    /// How much worse than the control it may be.
    pub margin: Margin,
}

/// How much worse something may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Margin {
    /// In the metric's unit.
    Absolute(f64),
    /// As a part of the control's mean.
    Relative(f64),
}

/// What a row predicts, as far as outcomes are held against it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Predicted {
    /// A number or a label.
    Value(f64),
    /// The probability of label 1, where there are two.
    Probability(f64),
}

/// The names, for messages.
pub(super) const EXPECTED: &str = "errors, latency, latency_p50, latency_p90, latency_p95, latency_p99, squared_error, \
                            absolute_error, accuracy, log_loss, brier, disagreement, or outcome:NAME, after which `lower` says that \
                            less of it is better";

const NAMES: &[(&str, Kind, Better)] = &[
    ("errors", Kind::Errors, Better::Lower),
    ("latency", Kind::Latency, Better::Lower),
    ("latency_p50", Kind::LatencyQuantile(500), Better::Lower),
    ("latency_p90", Kind::LatencyQuantile(900), Better::Lower),
    ("latency_p95", Kind::LatencyQuantile(950), Better::Lower),
    ("latency_p99", Kind::LatencyQuantile(990), Better::Lower),
    ("squared_error", Kind::Score(Score::SquaredError), Better::Lower),
    ("absolute_error", Kind::Score(Score::AbsoluteError), Better::Lower),
    ("accuracy", Kind::Score(Score::Accuracy), Better::Higher),
    ("log_loss", Kind::Score(Score::LogLoss), Better::Lower),
    ("brier", Kind::Score(Score::Brier), Better::Lower),
    ("disagreement", Kind::Disagreement, Better::Lower),
];

// === impl Metric ===

impl Metric {
    /// How much worse a difference (treatment minus control) is; negative where it is better.
    pub const fn harm(&self, difference: f64) -> f64 {
        match self.better {
            Better::Higher => -difference,
            Better::Lower => difference,
        }
    }
}

impl FromStr for Metric {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if let Some((_, kind, better)) = NAMES.iter().find(|(name, ..)| *name == text) {
            return Ok(Self { kind: kind.clone(), better: *better });
        }
        let outcome = text.strip_prefix("outcome:").and_then(|rest| {
            let (name, better) = match rest.trim().split_once(char::is_whitespace) {
                None => (rest.trim(), Better::Higher),
                Some((name, way)) if way.trim() == "lower" => (name, Better::Lower),
                Some((name, way)) if way.trim() == "higher" => (name, Better::Higher),
                Some(_) => return None,
            };
            is_outcome(name).then(|| Self { kind: Kind::Outcome(name.to_owned()), better })
        });
        outcome.ok_or_else(|| format!("expected {EXPECTED}; got `{}`", shorten(text)))
    }
}

/// Whether outcomes can have that name: 1 to 64 letters, digits, `.`, `_`, `-`.
pub fn is_outcome(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.kind, self.better) {
            (Kind::Outcome(name), Better::Higher) => write!(f, "outcome:{name}"),
            (Kind::Outcome(name), Better::Lower) => write!(f, "outcome:{name} lower"),
            (kind, _) => f.write_str(kind.name()),
        }
    }
}

// === impl Kind ===

impl Kind {
    /// The name in reports; that of an outcome is its own.
    pub fn name(&self) -> &str {
        match self {
            Self::Outcome(name) => name,
            kind => {
                NAMES.iter().find(|(_, known, _)| known == kind).map_or("latency_quantile", |(name, ..)| name)
            }
        }
    }

    /// Whether a request, row or unit counts for it as 0 or 1.
    pub const fn is_binary(&self) -> bool {
        matches!(self, Self::Errors | Self::Score(Score::Accuracy))
    }

    /// Whether it is known only some time after the request, when an outcome has come.
    pub const fn is_late(&self) -> bool {
        matches!(self, Self::Score(_) | Self::Outcome(_))
    }
}

// === impl Predicted ===

impl Predicted {
    /// The number, whatever it means.
    pub const fn number(self) -> f64 {
        let (Self::Value(number) | Self::Probability(number)) = self;
        number
    }
}

// === impl Score ===

impl Score {
    /// What one row counts for; none where it has no meaning, such as a probability of a label that is neither 0 nor 1.
    pub fn value(self, predicted: Predicted, actual: f64) -> Option<f64> {
        let (Predicted::Value(number) | Predicted::Probability(number)) = predicted;
        let binary = actual == 0.0 || actual == 1.0;
        let probability = || Some(number).filter(|p| binary && (0.0..=1.0).contains(p));
        let value = match self {
            Self::SquaredError => (number - actual).powi(2),
            Self::AbsoluteError => (number - actual).abs(),
            Self::Accuracy => {
                let label = match predicted {
                    Predicted::Probability(p) => f64::from(p >= 0.5),
                    Predicted::Value(label) => label,
                };
                f64::from(label == actual)
            }
            Self::LogLoss => {
                let p = probability()?;
                // scikit-learn keeps probabilities this far from 0 and 1.
                let of_actual = if actual == 1.0 { p } else { 1.0 - p };
                -of_actual.clamp(f64::EPSILON, 1.0 - f64::EPSILON).ln()
            }
            Self::Brier => (probability()? - actual).powi(2),
        };
        value.is_finite().then_some(value)
    }
}

// === impl Guardrail ===

impl FromStr for Guardrail {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (metric, margin) = match text.split_once(" within ") {
            None => (text, Margin::Absolute(0.0)),
            Some((metric, margin)) => (metric, margin.parse()?),
        };
        Ok(Self { metric: metric.parse()?, margin })
    }
}

impl fmt::Display for Guardrail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.margin {
            Margin::Absolute(0.0) => write!(f, "{}", self.metric),
            margin => write!(f, "{} within {margin}", self.metric),
        }
    }
}

// === impl Margin ===

impl Default for Margin {
    fn default() -> Self {
        Self::Absolute(0.0)
    }
}

impl Margin {
    /// The margin in the metric's unit, where the control has this mean.
    pub fn of(self, control: f64) -> f64 {
        match self {
            Self::Absolute(margin) => margin,
            Self::Relative(part) => part * control.abs(),
        }
    }
}

impl FromStr for Margin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let number = |text: &str| text.parse::<f64>().ok().filter(|n| n.is_finite() && *n >= 0.0);
        let margin = match text.strip_suffix('%') {
            Some(part) => number(part).map(|part| Self::Relative(part / 100.0)),
            None => number(text).map(Self::Absolute),
        };
        margin.ok_or_else(|| {
            format!(
                "expected a number from 0, or a percentage of the control's, after `within`; got `{}`",
                shorten(text)
            )
        })
    }
}

impl fmt::Display for Margin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absolute(margin) => write!(f, "{margin}"),
            // As near as the number written, whose hundredth it is.
            Self::Relative(part) => write!(f, "{}%", (part * 1e8).round() / 1e6),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_and_guardrails_are_written_as_they_are_read() {
        for text in ["accuracy", "latency_p99", "outcome:revenue", "outcome:churned lower"] {
            assert_eq!(text.parse::<Metric>().unwrap().to_string(), text);
        }
        for text in
            ["errors", "latency within 10%", "accuracy within 0.02", "outcome:refunds lower within 2.5%"]
        {
            assert_eq!(text.parse::<Guardrail>().unwrap().to_string(), text);
        }
        for bad in ["", "auc", "outcome:", "outcome:a b", "outcome:a/b"] {
            assert!(bad.parse::<Metric>().is_err(), "{bad}");
        }
        for bad in ["errors within", "errors within -1", "errors within x%", "errors within inf"] {
            assert!(bad.parse::<Guardrail>().is_err(), "{bad}");
        }
    }

    #[test]
    fn rows_count_as_in_scikit_learn() {
        use Predicted::{Probability, Value};
        assert_eq!(Score::SquaredError.value(Value(3.0), 1.0), Some(4.0));
        assert_eq!(Score::AbsoluteError.value(Value(-3.0), 1.0), Some(4.0));
        assert_eq!(Score::Accuracy.value(Probability(0.5), 1.0), Some(1.0));
        assert_eq!(Score::Accuracy.value(Value(2.0), 2.0), Some(1.0));
        assert_eq!(Score::LogLoss.value(Probability(0.25), 1.0), Some(-0.25_f64.ln()));
        assert_eq!(Score::LogLoss.value(Probability(0.0), 1.0), Some(-f64::EPSILON.ln()));
        assert_eq!(Score::Brier.value(Probability(0.25), 0.0), Some(0.0625));
        for (score, predicted, actual) in [
            (Score::LogLoss, Probability(0.5), 2.0),
            (Score::Brier, Value(1.5), 1.0),
            (Score::SquaredError, Value(f64::NAN), 1.0),
        ] {
            assert_eq!(score.value(predicted, actual), None);
        }
    }

    #[test]
    fn harm_is_by_the_way_that_is_better() {
        let metric = |text: &str| text.parse::<Metric>().unwrap();
        assert_eq!((metric("accuracy").harm(-0.1), metric("errors").harm(0.1)), (0.1, 0.1));
        assert_eq!((Margin::Relative(0.1).of(-20.0), Margin::Absolute(0.1).of(-20.0)), (2.0, 0.1));
    }
}
