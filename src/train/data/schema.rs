//! A schema file: what a column must be, and what happens when it is not.

mod founding;
mod infer;

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sidegate::registry::digest::Digest;

use crate::data::error::DataError;
use crate::data::kind::Kind;

pub(crate) use founding::ValidationConfig;

/// The only format there is so far.
pub(crate) const FORMAT: u32 = 1;
/// The share of missing values a column may have unless the schema says otherwise.
pub(crate) const MISSING_THRESHOLD: f64 = 0.1;

/// What happens when a check fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Action {
    /// It stands in the report.
    Warn,
    /// The rows are left out (`range`, `categories`, `unique`), or the column (`type`, `missing`).
    Drop,
    /// Nothing is trained.
    Fail,
}

/// A schema file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Schema {
    /// [`FORMAT`].
    pub format: u32,
    /// For columns without a `missing` of their own: above it there is a warning.
    #[serde(default = "missing_threshold")]
    pub missing_threshold: f64,
    /// By name; the others are only watched for missing values.
    #[serde(default)]
    pub columns: BTreeMap<String, ColumnSchema>,
}

/// What is known of a column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ColumnSchema {
    /// What it holds.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// When it holds something else.
    #[serde(default = "fail")]
    pub type_action: Action,
    /// Whether the data must have it.
    #[serde(default = "yes")]
    pub required: bool,
    /// Share of missing values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<Missing>,
    /// Least and greatest value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<Range>,
    /// Which texts there may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub categories: Option<Categories>,
    /// No value twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unique: Option<Unique>,
    /// How old the newest time may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fresh: Option<Fresh>,
}

/// Share of missing values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Missing {
    /// The largest accepted share, from 0 to 1.
    pub max: f64,
    /// Above it.
    #[serde(default = "warn")]
    pub action: Action,
}

/// Least and greatest value, both included.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Range {
    /// No bound when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<Bound>,
    /// No bound when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Bound>,
    /// For values beyond.
    #[serde(default = "warn")]
    pub action: Action,
}

/// A bound of numbers or of times.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Bound {
    /// Of numbers.
    Number(f64),
    /// Of times: `2024-01-31` or RFC 3339.
    Time(String),
}

/// Which texts there may be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Categories {
    /// These.
    pub allowed: Vec<String>,
    /// For others.
    #[serde(default = "warn")]
    pub action: Action,
}

/// No value twice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Unique {
    /// For all but the first.
    #[serde(default = "warn")]
    pub action: Action,
}

/// How old the newest time may be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fresh {
    /// `36h`, `7d` or `30m`.
    pub within: String,
    /// When it is older; `drop` would leave nothing.
    #[serde(default = "warn")]
    pub action: Action,
}

fn missing_threshold() -> f64 {
    MISSING_THRESHOLD
}

fn yes() -> bool {
    true
}

fn warn() -> Action {
    Action::Warn
}

fn fail() -> Action {
    Action::Fail
}

impl Default for Schema {
    fn default() -> Self {
        Self { format: FORMAT, missing_threshold: MISSING_THRESHOLD, columns: BTreeMap::new() }
    }
}

impl Default for ColumnSchema {
    fn default() -> Self {
        Self {
            kind: None,
            type_action: Action::Fail,
            required: true,
            missing: None,
            range: None,
            categories: None,
            unique: None,
            fresh: None,
        }
    }
}

impl Schema {
    /// Reads a schema file, JSON when its name says so and else TOML.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub(crate) fn read(path: &Path) -> Result<Self, DataError> {
        let named = |error: &dyn std::fmt::Display| {
            DataError::Config(format!("validation.schema: {}: {error}", path.display()))
        };
        let text = std::fs::read_to_string(path).map_err(|error| named(&error))?;
        let schema: Self = if path.extension().is_some_and(|extension| extension == "json") {
            serde_json::from_str(&text).map_err(|error| named(&error))?
        } else {
            toml::from_str(&text).map_err(|error| named(&error))?
        };
        schema.check().map_err(|error| named(&error))?;
        Ok(schema)
    }

    /// Digest of what it says: comments and order are no part of it.
    pub(crate) fn digest(&self) -> String {
        Digest::of(&serde_json::to_vec(self).unwrap_or_default(), &mut || {}).to_string()
    }

    fn check(&self) -> Result<(), String> {
        if self.format != FORMAT {
            return Err(format!("format is {}, this build reads {FORMAT}", self.format));
        }
        let share = |share: f64| (0.0..=1.0).contains(&share);
        if !share(self.missing_threshold) {
            return Err("missing_threshold is a share from 0 to 1".into());
        }
        for (name, column) in &self.columns {
            if column.missing.as_ref().is_some_and(|missing| !share(missing.max)) {
                return Err(format!("columns.{name}.missing.max is a share from 0 to 1"));
            }
            if let Some(fresh) = &column.fresh {
                fresh
                    .milliseconds()
                    .ok_or(format!("columns.{name}.fresh.within: use `36h`, `7d` or `30m`"))?;
                if fresh.action == Action::Drop {
                    return Err(format!("columns.{name}.fresh.action: `warn` or `fail`"));
                }
            }
            for bound in column.range.iter().flat_map(|range| [&range.min, &range.max]).flatten() {
                bound
                    .value()
                    .ok_or(format!("columns.{name}.range: a number or a date such as 2024-01-31"))?;
            }
        }
        Ok(())
    }
}

impl Bound {
    pub(crate) fn value(&self) -> Option<f64> {
        match self {
            Self::Number(number) => (!number.is_nan()).then_some(*number),
            Self::Time(text) => crate::data::range::parse_instant(text).map(|instant| instant as f64),
        }
    }
}

impl Fresh {
    pub(crate) fn milliseconds(&self) -> Option<i64> {
        let (at, unit) = self.within.char_indices().next_back()?;
        let number: i64 = self.within.get(..at)?.trim().parse().ok().filter(|number| *number > 0)?;
        number.checked_mul(match unit {
            'm' => 60_000,
            'h' => 3_600_000,
            'd' => 86_400_000,
            _ => return None,
        })
    }
}
