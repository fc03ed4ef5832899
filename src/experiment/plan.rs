//! What an experiment is for: what it measures, when that is enough, and what then happens.

use core::time::Duration;
use std::fmt;
use std::str::FromStr;

use super::metric::{Guardrail, Metric};
use super::share::Share;
use crate::model::shorten;

/// The part of an experiment that is about its result.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// What is to become better; without it, guardrails alone decide.
    pub metric: Option<Metric>,
    /// What must not get worse.
    pub guardrails: Vec<Guardrail>,
    /// What a prediction without an outcome counts as when its time is over.
    pub default_label: Option<f64>,
    /// Units of both sides at which the comparison is sharpest, and after which it ends without a result.
    pub planned_units: u64,
    /// The chance of finding a difference that is not there, over all looks together.
    pub alpha: f64,
    /// Nothing is promoted sooner.
    pub min_runtime: Duration,
    /// Shares that are enrolled one after another; empty: `coverage` alone.
    pub canary: Vec<Step>,
    /// Who acts.
    pub mode: Mode,
}

/// A step of a canary: a share of all units that is enrolled until there are enough of them and enough time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Who is enrolled; with two variants of the same width, half of them get the new version.
    pub coverage: Share,
    /// Units of the variant before the next step.
    pub units: u64,
    /// Time before the next step.
    pub time: Duration,
}

/// What is done about a result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// It is shown.
    #[default]
    Observe,
    /// It is shown with what should be done.
    Recommend,
    /// It is done.
    Auto,
}

// === impl Mode ===

impl Mode {
    /// Every mode.
    pub const ALL: &[Self] = &[Self::Observe, Self::Recommend, Self::Auto];

    /// The name in configurations and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Recommend => "recommend",
            Self::Auto => "auto",
        }
    }
}

// === impl Step ===

impl FromStr for Step {
    type Err = String;

    /// `10% for 500 units and 30m`: either condition may be left out.
    fn from_str(text: &str) -> Result<Self, String> {
        let unknown = || {
            format!(
                "expected SHARE, or SHARE for N units and TIME such as `10% for 500 units and 30m`; got `{}`",
                shorten(text)
            )
        };
        let (share, rest) = text.split_once(" for ").unwrap_or((text, ""));
        let mut step = Self { coverage: share.trim().parse()?, units: 0, time: Duration::ZERO };
        for part in rest.split(" and ").map(str::trim).filter(|part| !part.is_empty()) {
            match part.strip_suffix("units").map(str::trim) {
                Some(units) => step.units = units.parse().map_err(|_| unknown())?,
                None => step.time = time(part).ok_or_else(unknown)?,
            }
        }
        Ok(step)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = (self.units > 0).then(|| format!("{} units", self.units));
        let seconds = self.time.as_secs();
        let time = match seconds {
            0 => None,
            _ if seconds.is_multiple_of(3600) => Some(format!("{}h", seconds / 3600)),
            _ if seconds.is_multiple_of(60) => Some(format!("{}m", seconds / 60)),
            _ => Some(format!("{seconds}s")),
        };
        let parts: Vec<String> = units.into_iter().chain(time).collect();
        write!(f, "{}", self.coverage)?;
        if parts.is_empty() { Ok(()) } else { write!(f, " for {}", parts.join(" and ")) }
    }
}

/// `30s`, `10m`, `2h` or `1d`; none for another text, and for more than 400 days.
pub fn time(text: &str) -> Option<Duration> {
    let unit = text.chars().next_back()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return None,
    };
    let number: u64 = text[..text.len() - 1].trim().parse().ok()?;
    number.checked_mul(seconds).filter(|seconds| *seconds <= 400 * 86_400).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_written_as_they_are_read() {
        for text in ["2% for 500 units and 10m", "10% for 2h", "100%", "5% for 100 units", "1% for 90s"] {
            assert_eq!(text.parse::<Step>().unwrap().to_string(), text);
        }
        assert_eq!("1% for 1d".parse::<Step>().unwrap().time, Duration::from_secs(86_400));
        for bad in ["", "2", "2% for", "2% for x units", "2% for 10", "2% for 10w", "2% for 1000d"] {
            let step = bad.parse::<Step>();
            assert!(step.is_err() || bad == "2% for", "{bad}");
        }
    }
}
