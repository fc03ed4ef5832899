//! A first schema, from data that is taken to be right.

use super::{Action, Bound, Categories, ColumnSchema, FORMAT, MISSING_THRESHOLD, Missing, Range, Schema};
use crate::data::kind::Kind;
use crate::data::range::format_instant;
use crate::data::validate::{ColumnSummary, Report};

/// A column with more texts than this has no list of them.
const LISTED: usize = 50;

impl Schema {
    /// What holds for the data of a report: types are enforced, the rest is watched.
    pub(crate) fn infer(report: &Report) -> Self {
        let columns =
            report.columns.iter().map(|column| (column.name.clone(), column_schema(column, report.rows)));
        Self { format: FORMAT, missing_threshold: MISSING_THRESHOLD, columns: columns.collect() }
    }

    /// As a file.
    pub(crate) fn to_toml(&self) -> String {
        toml::to_string_pretty(self).unwrap_or_default()
    }
}

fn column_schema(column: &ColumnSummary, rows: u64) -> ColumnSchema {
    let share = column.missing as f64 / rows.max(1) as f64;
    // Twice what was seen, in whole percents, so that the next month does not warn at once.
    let missing = (share > 0.0)
        .then(|| Missing { max: (share * 200.0).ceil().min(100.0) / 100.0, action: Action::Warn });
    let bound = |value: f64| match column.kind {
        #[expect(clippy::cast_possible_truncation, reason = "it was milliseconds before")]
        Kind::Time => Bound::Time(format_instant(value as i64)),
        _ => Bound::Number(value),
    };
    let range = match (column.kind, column.min, column.max) {
        (Kind::Integer | Kind::Number, Some(min), Some(max)) => {
            Some(Range { min: Some(bound(min)), max: Some(bound(max)), action: Action::Warn })
        }
        // Time goes on.
        (Kind::Time, Some(min), _) => Some(Range { min: Some(bound(min)), max: None, action: Action::Warn }),
        _ => None,
    };
    let categories = column
        .categories
        .as_ref()
        .filter(|found| column.kind == Kind::Text && !found.is_empty() && found.len() <= LISTED)
        .map(|found| Categories { allowed: found.keys().cloned().collect(), action: Action::Warn });
    // A column without a value says nothing about its type.
    let kind = (column.missing < rows).then_some(column.kind);
    ColumnSchema { kind, missing, range, categories, ..ColumnSchema::default() }
}
