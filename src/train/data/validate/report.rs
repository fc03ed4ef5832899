//! What a validation has to say, for machines; [`Report::html`] is for people.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::data::error::DataError;
use crate::data::kind::Kind;
use crate::data::schema::Action;

pub(super) const FORMAT: u32 = 1;

/// The result of a validation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Of this structure.
    pub format: u32,
    /// Where the rows came from.
    pub origin: String,
    /// Of the values in order; it depends neither on files nor on their format. Empty where they were not read.
    pub digest: String,
    /// Rows there are.
    pub rows: u64,
    /// Rows that are trained on.
    pub kept: u64,
    /// Of all rows, as RFC 3339.
    pub first_date: Option<String>,
    /// Of all rows, as RFC 3339.
    pub last_date: Option<String>,
    /// Whether nothing failed.
    pub passed: bool,
    /// Every check that something fell through.
    pub findings: Vec<Finding>,
    /// Every column that was read.
    pub columns: Vec<ColumnSummary>,
}

/// What was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Check {
    /// What the column holds.
    Type,
    /// Its share of missing values.
    Missing,
    /// Whether the target is there.
    MissingTarget,
    /// Whether the target has more than one value.
    ConstantTarget,
    /// Whether there is more than one class.
    OneClass,
    /// Whether the column is there.
    Present,
    /// Whether there is any row.
    Rows,
    /// Least and greatest value.
    Range,
    /// Which texts there are.
    Categories,
    /// No value twice.
    Unique,
    /// How old the newest time is.
    Fresh,
}

/// A check that something fell through.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Finding {
    /// Which column; empty where it is of the data as a whole.
    pub column: String,
    /// What was checked.
    pub check: Check,
    /// What happens.
    pub action: Action,
    /// Rows it concerns.
    pub count: u64,
    /// Of all rows.
    pub share: f64,
    /// What was expected.
    pub expected: String,
    /// Some of the values.
    pub examples: Vec<String>,
    /// In a sentence.
    pub message: String,
}

impl Finding {
    /// Whether nothing may be trained.
    pub(crate) fn fails(&self) -> bool {
        self.action == Action::Fail
    }

    pub(super) fn drops_column(&self, name: &str) -> bool {
        self.column == name
            && self.action == Action::Drop
            && matches!(self.check, Check::Type | Check::Missing)
    }
}

/// What a column holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ColumnSummary {
    /// Its name.
    pub name: String,
    /// What it holds.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Rows without a value.
    pub missing: u64,
    /// Least number, or milliseconds of a time.
    pub min: Option<f64>,
    /// Greatest number, or milliseconds of a time.
    pub max: Option<f64>,
    /// Of numbers.
    pub mean: Option<f64>,
    /// Standard deviation of numbers.
    pub sd: Option<f64>,
    /// Whether all numbers are whole.
    pub whole: bool,
    /// Values that f32, in which features are, cannot hold to 7 digits: whole numbers beyond 16,777,216 and what is
    /// beyond its range.
    pub rounded: u64,
    /// How often each text is there (and each value of the target); none when there are more than 1000.
    pub categories: Option<BTreeMap<String, u64>>,
}

impl Report {
    /// Of data that could not be passed over.
    pub(crate) fn of_fault(origin: &str, fault: &DataError) -> Self {
        let mut report = Self {
            format: FORMAT,
            origin: origin.to_owned(),
            digest: String::new(),
            rows: 0,
            kept: 0,
            first_date: None,
            last_date: None,
            passed: true,
            findings: Vec::new(),
            columns: Vec::new(),
        };
        report.fail(fault);
        report
    }

    /// Names a fault with which nothing can be trained, first of all and in place of what was found of it before.
    pub(crate) fn fail(&mut self, fault: &DataError) {
        self.passed = false;
        let Some((column, check, count)) = fault.fault() else { return };
        self.findings.retain(|known| (known.column.as_str(), known.check) != (column, check));
        let finding = Finding {
            column: column.to_owned(),
            check,
            action: Action::Fail,
            count,
            share: count as f64 / self.rows.max(1) as f64,
            expected: String::new(),
            examples: Vec::new(),
            message: fault.to_string(),
        };
        self.findings.insert(0, finding);
    }

    /// As JSON.
    pub(crate) fn json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}
