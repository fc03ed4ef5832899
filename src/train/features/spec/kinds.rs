//! The keys of each type, and what must be true of them.

use serde::Deserialize;

use super::Member;

/// `{col}_power_{d}` for d in 2 to `degree`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Polynomial {
    /// Numbers.
    pub columns: Vec<String>,
    /// The highest power; 2 to 10.
    #[serde(default = "two")]
    pub degree: u32,
    /// Whether the columns themselves are left out.
    #[serde(default)]
    pub drop: bool,
}

/// `{a}_x_{b}` for each two of the columns.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Interaction {
    /// Numbers, two or more.
    pub columns: Vec<String>,
    /// Whether the columns themselves are left out.
    #[serde(default)]
    pub drop: bool,
}

/// `{date}_hour`, `{date}_dayofweek` (Monday is 0), `{date}_month` and what else is asked for, in UTC.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct TimeBased {
    /// A column of times.
    pub date_column: Option<String>,
    /// More of them.
    #[serde(default)]
    pub columns: Vec<String>,
    /// Which parts; hour, day of the week and month if not said.
    #[serde(default = "parts")]
    pub parts: Vec<TimePart>,
}

/// A part of a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TimePart {
    Minute,
    Hour,
    /// Monday is 0.
    DayOfWeek,
    Day,
    Month,
    Year,
}

/// A category becomes its number, under the column's own name. What texts become if nothing is said.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Ordinal {
    /// Texts, integers or numbers.
    pub columns: Vec<String>,
    /// The categories in their order; else all that were seen, ascending.
    pub order: Option<Vec<toml::Value>>,
    /// Only so many, the most frequent ones; the others are unknown.
    #[serde(default = "many")]
    pub max_categories: usize,
    /// What a category becomes that is none of these.
    #[serde(default)]
    pub unknown: Unknown,
    /// Whether learners see categories (the default) or numbers (the default with `order`).
    pub categorical: Option<bool>,
}

/// What an unknown category becomes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(untagged)]
pub(crate) enum Unknown {
    /// `"missing"`, a missing value, or `"other"`, the number after the last one.
    Word(UnknownWord),
    /// This number.
    Number(f32),
    /// As `"missing"`.
    #[default]
    #[serde(skip)]
    Missing,
}

/// See [`Unknown`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum UnknownWord {
    Missing,
    Other,
}

/// `{col}_{value}`: 1 where the column has that value, else 0; all 0 for what is missing or unknown. Replaces texts.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct OneHot {
    /// Texts, integers or numbers.
    pub columns: Vec<String>,
    /// The values; else all that were seen, ascending.
    pub categories: Option<Vec<toml::Value>>,
    /// Only so many, the most frequent ones.
    #[serde(default = "some")]
    pub max_categories: usize,
    /// Whether columns of numbers are left out.
    #[serde(default)]
    pub drop: bool,
}

/// Fills in what is missing, before anything else is made of the column.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Impute {
    /// Numbers and integers; texts by `most_frequent` or `constant`.
    pub columns: Vec<String>,
    /// With what.
    pub strategy: Strategy,
    /// The constant.
    pub value: Option<toml::Value>,
    /// Whether `{col}_missing` tells where it was missing: 1 or 0.
    #[serde(default)]
    pub indicator: bool,
}

/// What is filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Strategy {
    Mean,
    Median,
    MostFrequent,
    Constant,
}

/// `{col}_log1p`, ln(1 + x); missing from -1 down.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Log1p {
    /// Numbers.
    pub columns: Vec<String>,
    /// Whether the columns themselves are left out.
    #[serde(default)]
    pub drop: bool,
}

/// `{col}_bin`: how many edges the value has reached.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Bins {
    /// Numbers.
    pub columns: Vec<String>,
    /// The edges, ascending.
    pub edges: Option<Vec<f32>>,
    /// Or so many bins of equally many rows.
    pub quantiles: Option<u32>,
    /// Whether learners see categories; numbers if not said.
    #[serde(default)]
    pub categorical: bool,
    /// Whether the columns themselves are left out.
    #[serde(default)]
    pub drop: bool,
}

/// Only columns: those to scale (`standardize`, `minmax`: after all else was made of them), or to leave out (`drop`).
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Columns {
    /// Their names.
    pub columns: Vec<String>,
}

/// The highest power; beyond it float32 says little.
const MAX_DEGREE: u32 = 10;
/// A category is a column of its own, or an entry in the model.
const MAX_ONE_HOT: usize = 1024;
const MAX_ORDINAL: usize = 1 << 20;

const fn two() -> u32 {
    2
}

const fn some() -> usize {
    64
}

const fn many() -> usize {
    65_536
}

fn parts() -> Vec<TimePart> {
    vec![TimePart::Hour, TimePart::DayOfWeek, TimePart::Month]
}

impl TimePart {
    /// What is put behind the column's name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::DayOfWeek => "dayofweek",
            Self::Day => "day",
            Self::Month => "month",
            Self::Year => "year",
        }
    }
}

impl TimeBased {
    /// All columns named.
    pub(crate) fn all(&self) -> impl Iterator<Item = &String> {
        self.date_column.iter().chain(&self.columns)
    }
}

impl Member {
    /// The columns it names.
    pub(crate) fn columns(&self) -> Vec<&String> {
        match self {
            Self::TimeBased(spec) => spec.all().collect(),
            Self::Polynomial(Polynomial { columns, .. })
            | Self::Interaction(Interaction { columns, .. })
            | Self::Ordinal(Ordinal { columns, .. })
            | Self::OneHot(OneHot { columns, .. })
            | Self::Impute(Impute { columns, .. })
            | Self::Log1p(Log1p { columns, .. })
            | Self::Bins(Bins { columns, .. })
            | Self::Standardize(Columns { columns })
            | Self::Minmax(Columns { columns })
            | Self::Drop(Columns { columns }) => columns.iter().collect(),
        }
    }

    /// Columns that it leaves out.
    pub(crate) fn dropped(&self) -> &[String] {
        match self {
            Self::Polynomial(Polynomial { columns, drop: true, .. })
            | Self::Interaction(Interaction { columns, drop: true })
            | Self::OneHot(OneHot { columns, drop: true, .. })
            | Self::Log1p(Log1p { columns, drop: true })
            | Self::Bins(Bins { columns, drop: true, .. })
            | Self::Drop(Columns { columns }) => columns,
            _ => &[],
        }
    }

    /// What no type can say.
    pub(super) fn check(&self) -> Result<(), String> {
        let columns = self.columns();
        let twice = columns
            .iter()
            .enumerate()
            .find(|(at, name)| columns.iter().take(*at).any(|other| other == *name));
        let least = if matches!(self, Self::Interaction(_)) { 2 } else { 1 };
        let within = |key: &str, found: usize, most: usize| match found {
            found if (1..=most).contains(&found) => Ok(()),
            found => Err(format!("`{key}` is {found}; 1 to {most} are possible")),
        };
        match self {
            _ if columns.len() < least => Err(format!("`columns` needs {least} or more")),
            _ if twice.is_some() => {
                Err(format!("column `{}` is named twice", twice.map_or("", |(_, name)| name.as_str())))
            }
            Self::Polynomial(spec) if !(2..=MAX_DEGREE).contains(&spec.degree) => {
                Err(format!("`degree` is {}; 2 to {MAX_DEGREE} are possible", spec.degree))
            }
            Self::TimeBased(spec) if spec.parts.is_empty() => Err("`parts` is empty".to_owned()),
            Self::Ordinal(spec) => within("max_categories", spec.max_categories, MAX_ORDINAL),
            Self::OneHot(spec) => within("max_categories", spec.max_categories, MAX_ONE_HOT),
            Self::Impute(spec) if (spec.strategy == Strategy::Constant) != spec.value.is_some() => {
                Err("`value` belongs to strategy `constant`, which needs it".to_owned())
            }
            Self::Bins(spec) => match (&spec.edges, spec.quantiles) {
                (Some(edges), None) if edges.is_empty() || !edges.is_sorted_by(|a, b| a < b) => {
                    Err("`edges` must ascend, and be one or more".to_owned())
                }
                (Some(_), None) => Ok(()),
                (None, Some(bins)) if (2..=1024).contains(&bins) => Ok(()),
                (None, Some(bins)) => Err(format!("`quantiles` is {bins}; 2 to 1024 bins are possible")),
                _ => Err("either `edges` or `quantiles` is needed".to_owned()),
            },
            _ => Ok(()),
        }
    }
}
