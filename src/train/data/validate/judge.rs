//! What a summary means for a schema.

use super::report::{Check, ColumnSummary, Finding};
use super::rules::Rules;
use crate::data::config::{DataConfig, MissingTarget};
use crate::data::error::DataError;
use crate::data::kind::Kind;
use crate::data::range::format_instant;
use crate::data::schema::{Action, ColumnSchema, Missing, Schema};
use crate::data::split::SplitConfig;

pub(super) struct Judge<'a> {
    pub(super) schema: &'a Schema,
    pub(super) config: &'a DataConfig,
    pub(super) split: &'a SplitConfig,
    pub(super) columns: &'a [ColumnSummary],
    pub(super) rows: u64,
    pub(super) kept: u64,
    pub(super) now: i64,
}

impl Judge<'_> {
    pub(super) fn findings(&self, rules: &Rules) -> Vec<Finding> {
        let mut findings = Vec::new();
        let unknown = ColumnSchema::default();
        for column in self.columns {
            let schema = self.schema.columns.get(&column.name).unwrap_or(&unknown);
            findings.extend(self.kind(column, schema));
            findings.extend(self.missing(column, schema));
            findings.extend(self.fresh(column, schema));
        }
        for rule in rules.failed() {
            let Some(column) = self.columns.get(rule.column) else { continue };
            let text = match rule.check {
                Check::Range => "lie outside of",
                Check::Categories => "are not",
                Check::Unique => "repeat another, expected:",
                _ => "lack",
            };
            let message = format!("{} of {} values {text} {}", rule.count, self.rows, rule.limit);
            let finding =
                self.finding(column, rule.check, rule.action, rule.count, rule.limit.clone(), message);
            findings.push(Finding { examples: rule.examples.clone(), ..finding });
        }
        findings
    }

    /// Whether there is something to learn.
    pub(super) fn target(&self, target: usize, classes: bool, rules: &Rules) -> Result<(), DataError> {
        let Some(column) = self.columns.get(target) else { return Ok(()) };
        let rows = self.kept;
        let missing =
            rules.failed().find(|rule| rule.check == Check::MissingTarget).map_or(0, |rule| rule.count);
        if missing > 0 && (self.config.missing_target == MissingTarget::Fail || missing == self.rows) {
            return Err(DataError::MissingTarget { column: column.name.clone(), missing, rows: self.rows });
        }
        let constant = match &column.categories {
            Some(found) if found.len() == 1 => found.keys().next().cloned(),
            _ => None,
        };
        match constant {
            Some(class) if classes => Err(DataError::OneClass { column: column.name.clone(), class, rows }),
            Some(value) => Err(DataError::ConstantTarget { column: column.name.clone(), value, rows }),
            None => Ok(()),
        }
    }

    fn kind(&self, column: &ColumnSummary, schema: &ColumnSchema) -> Option<Finding> {
        let expected = schema.kind?;
        // A column without any value is of every type.
        if column.missing == self.rows || fits(expected, column) {
            return None;
        }
        let message = format!("it holds {}, not {}", column.kind.name(), expected.name());
        let action = self.unless_needed(column, schema.type_action);
        Some(self.finding(column, Check::Type, action, self.rows, expected.name().into(), message))
    }

    fn missing(&self, column: &ColumnSummary, schema: &ColumnSchema) -> Option<Finding> {
        let default = Missing { max: self.schema.missing_threshold, action: Action::Warn };
        let limit = schema.missing.as_ref().unwrap_or(&default);
        let share = column.missing as f64 / self.rows as f64;
        if share <= limit.max {
            return None;
        }
        let percent = |share: f64| format!("{:.1} %", share * 100.0);
        let message = format!("{} of the values are missing, at most {}", percent(share), percent(limit.max));
        let action = self.unless_needed(column, limit.action);
        Some(self.finding(
            column,
            Check::Missing,
            action,
            column.missing,
            format!("<= {}", limit.max),
            message,
        ))
    }

    fn fresh(&self, column: &ColumnSummary, schema: &ColumnSchema) -> Option<Finding> {
        let limit = schema.fresh.as_ref()?;
        let within = limit.milliseconds()?;
        #[expect(clippy::cast_possible_truncation, reason = "it was milliseconds before")]
        let newest = column.max.filter(|_| column.kind == Kind::Time).map(|newest| newest as i64);
        if newest.is_some_and(|newest| self.now.saturating_sub(newest) <= within) {
            return None;
        }
        let newest = newest.map_or_else(
            || "there is no time".into(),
            |newest| format!("the newest is {}", format_instant(newest)),
        );
        let message =
            format!("{newest}, expected within {} before {}", limit.within, format_instant(self.now));
        Some(self.finding(column, Check::Fresh, limit.action, self.rows, limit.within.clone(), message))
    }

    /// What has a role cannot be left out.
    fn unless_needed(&self, column: &ColumnSummary, action: Action) -> Action {
        let roles = [
            &self.config.target_column,
            &self.config.weight_column,
            &self.config.date_column,
            &self.split.group,
        ];
        let needed = roles.into_iter().flatten().any(|name| *name == column.name);
        if needed && action == Action::Drop { Action::Fail } else { action }
    }

    fn finding(
        &self,
        column: &ColumnSummary,
        check: Check,
        action: Action,
        count: u64,
        expected: String,
        message: String,
    ) -> Finding {
        let share = count as f64 / self.rows as f64;
        let column = column.name.clone();
        Finding { column, check, action, count, share, expected, examples: Vec::new(), message }
    }
}

/// Whether every value there is of the expected kind, however it was stored.
fn fits(expected: Kind, column: &ColumnSummary) -> bool {
    match (expected, column.kind) {
        (expected, found) if expected == found => true,
        (Kind::Number, Kind::Integer | Kind::Boolean) => true,
        // A missing value makes floats of whole numbers in many a tool.
        (Kind::Integer, Kind::Number | Kind::Boolean) => column.whole,
        (Kind::Boolean, Kind::Integer | Kind::Number) => {
            column.whole
                && column.min.is_some_and(|min| min >= 0.0)
                && column.max.is_some_and(|max| max <= 1.0)
        }
        _ => false,
    }
}
