//! What a model's settings demand of its versions: names of checks, and a range of predictions.

use std::fmt;
use std::str::FromStr;

use super::choice::ModelCheck;
use super::key::Scope;
use super::setting::{Named, Setting, texts};
use super::value::{Value, quoted};

/// A set of checks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ModelChecks(u8);

/// Where predictions lie, ends included; an end that was left out is an infinity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PredictionRange {
    /// The lowest.
    pub min: f64,
    /// The highest.
    pub max: f64,
}

/// A text that is no range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, got `{got}`", expected = <PredictionRange as Named>::EXPECTED)]
pub struct InvalidRange {
    got: String,
}

// === impl ModelChecks ===

impl ModelChecks {
    /// Whether this check is among them.
    pub const fn contains(self, check: ModelCheck) -> bool {
        self.0 & Self::bit(check) != 0
    }

    /// Whether there are none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those that are among them, in the order of the enum.
    pub fn iter(self) -> impl Iterator<Item = ModelCheck> {
        ModelCheck::ALL.iter().copied().filter(move |check| self.contains(*check))
    }

    const fn bit(check: ModelCheck) -> u8 {
        1 << check as u8
    }
}

impl FromIterator<ModelCheck> for ModelChecks {
    fn from_iter<I: IntoIterator<Item = ModelCheck>>(checks: I) -> Self {
        Self(checks.into_iter().fold(0, |bits, check| bits | Self::bit(check)))
    }
}

impl Setting for ModelChecks {
    fn read(value: &Value, scope: &Scope<'_>) -> Result<Self, String> {
        let texts = texts(value, scope, "a list of checks")?;
        texts.iter().map(|text| ModelCheck::parse(text)).collect()
    }

    fn write(&self) -> String {
        let names: Vec<String> = self.iter().map(|check| quoted(check.name())).collect();
        format!("[{}]", names.join(", "))
    }
}

// === impl PredictionRange ===

impl PredictionRange {
    /// Whether a prediction lies within; NaN lies nowhere.
    pub fn contains(&self, value: f64) -> bool {
        self.min <= value && value <= self.max
    }
}

impl fmt::Display for PredictionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = |value: f64| if value.is_finite() { value.to_string() } else { String::new() };
        write!(f, "{}..{}", end(self.min), end(self.max))
    }
}

impl FromStr for PredictionRange {
    type Err = InvalidRange;

    fn from_str(text: &str) -> Result<Self, InvalidRange> {
        let end = |text: &str, open: f64| match text.trim() {
            "" => Some(open),
            text => text.parse().ok().filter(|value: &f64| value.is_finite()),
        };
        let ends = text.split_once("..").and_then(|(min, max)| {
            Some(Self { min: end(min, f64::NEG_INFINITY)?, max: end(max, f64::INFINITY)? })
        });
        ends.filter(|range| range.min <= range.max)
            .ok_or_else(|| InvalidRange { got: crate::model::shorten(text) })
    }
}

impl Named for PredictionRange {
    const EXPECTED: &str = "MIN..MAX such as 0..1, MIN no larger than MAX; either may be left out";

    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|error: InvalidRange| error.to_string())
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_two_ends_which_belong_to_it() {
        let range: PredictionRange = " -1.5 .. 2e3".parse().unwrap();
        assert_eq!(range, PredictionRange { min: -1.5, max: 2000.0 });
        for (value, inside) in [(-1.5, true), (2000.0, true), (-1.6, false), (f64::NAN, false)] {
            assert_eq!(range.contains(value), inside, "{value}");
        }
        let open: PredictionRange = "0..".parse().unwrap();
        assert!(open.contains(f64::INFINITY) && !open.contains(-0.1));
        for text in ["-1.5..2000", "0..", "..1", ".."] {
            assert_eq!(text.parse::<PredictionRange>().unwrap().to_string(), text);
        }
        for bad in ["", "1", "1.2", "2..1", "a..b", "NaN..1", "0..inf"] {
            assert!(bad.parse::<PredictionRange>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_set_holds_what_was_put_in() {
        let set: ModelChecks = [ModelCheck::EdgeCases, ModelCheck::Shape].into_iter().collect();
        for check in ModelCheck::ALL {
            assert_eq!(set.contains(*check), matches!(check, ModelCheck::EdgeCases | ModelCheck::Shape));
        }
        assert_eq!(set.write(), r#"["shape", "edge_cases"]"#);
        assert!(ModelChecks::default().is_empty() && !set.is_empty());
    }
}
