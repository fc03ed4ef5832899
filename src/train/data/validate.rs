//! One pass that says what the data is and what is wrong with it.

mod html;
mod judge;
pub(crate) mod report;
mod rules;
mod summary;

use crate::data::Data;
use crate::data::digest::Content;
use crate::data::error::DataError;
use crate::data::plan::Field;
use crate::data::range::format_instant;
use crate::data::schema::Schema;
use crate::data::split::{By, Moments, Split};

use judge::Judge;
use rules::Rules;
use summary::Summaries;

pub(crate) use report::{ColumnSummary, Finding, Report};

/// What a pass over the data found, and what later passes leave out because of it.
pub(crate) struct Validated {
    /// For people and machines.
    pub report: Report,
    /// What the kept columns are, in the order of [`RawBatch::columns`](crate::features::RawBatch).
    pub fields: Vec<Field>,
    /// Which of the read columns those are.
    pub(crate) columns: Vec<usize>,
    pub(crate) split: Split,
    drops: Rules,
    /// Why nothing can be trained, whatever a schema says; the report names it too.
    fault: Option<DataError>,
}

impl Validated {
    /// Rules as they are before the first row.
    pub(crate) fn rules(&self) -> Rules {
        self.drops.clone()
    }

    /// Refuses data with which nothing can be trained.
    ///
    /// # Errors
    /// No row in the range, rows without a target, a target that is always the same, a single class, or a column of the
    /// schema that is not there.
    pub(crate) fn sound(mut self) -> Result<Self, DataError> {
        self.fault.take().map_or(Ok(self), Err)
    }
}

impl Data {
    /// [`Self::examine`], where no report is kept of data with which nothing can be trained.
    ///
    /// # Errors
    /// Those of [`Self::examine`] and of [`Validated::sound`].
    pub(crate) fn validate(&self, schema: &Schema, classes: bool, now: i64) -> Result<Validated, DataError> {
        self.examine(schema, classes, now, &mut |_| {})?.sound()
    }

    /// Passes over the rows once, and tells how many went by. `now` is milliseconds from 1970 on, for freshness; `classes`
    /// says whether the target is a class. A report that has not passed is no error here, nor is a fault ([`Validated::sound`]): the report shall
    /// be written first.
    ///
    /// # Errors
    /// When data cannot be read.
    pub(crate) fn examine(
        &self,
        schema: &Schema,
        classes: bool,
        now: i64,
        seen: &mut dyn FnMut(u64),
    ) -> Result<Validated, DataError> {
        let fields = self.columns();
        let at = |name: Option<&str>| fields.iter().position(|field| Some(field.name.as_str()) == name);
        let target = at(self.config.target_column.as_deref());
        let date = at(self.config.date_column.as_deref());
        let mut rules = Rules::new(schema, fields, target);
        let mut summaries = Summaries::new(fields, target);
        let mut digest = Content::new(fields.len());
        let mut moments = Moments::default();
        let (mut rows, mut kept) = (0, 0);
        self.each(&mut |_, count, cells| {
            digest.update(cells, count);
            let keep = rules.keep(count, cells);
            summaries.update(count, cells, &keep);
            if let (By::Time, Some(cells)) = (self.split.by, date.and_then(|date| cells.get(date))) {
                for row in 0..count {
                    moments.add_cell(cells, row);
                }
            }
            rows += count as u64;
            seen(rows);
            kept += keep.iter().filter(|keep| **keep).count() as u64;
            Ok(())
        })?;
        let columns = summaries.finish();
        let judge =
            Judge { schema, config: &self.config, split: &self.split, columns: &columns, rows, kept, now };
        // Of no rows nothing can be said but that.
        let findings = if rows == 0 { Vec::new() } else { judge.findings(&rules) };
        let fault = if rows == 0 {
            Some(self.empty())
        } else {
            vanished(schema, fields).or_else(|| judge.target(target?, classes, &rules).err())
        };
        let gone = |name: &str| findings.iter().any(|finding: &Finding| finding.drops_column(name));
        let chosen: Vec<usize> =
            (0..fields.len()).filter(|at| fields.get(*at).is_some_and(|f| !gone(&f.name))).collect();
        let range = date.and_then(|date| columns.get(date));
        #[expect(clippy::cast_possible_truncation, reason = "they were milliseconds before")]
        let shown = |value: Option<f64>| value.map(|value| format_instant(value as i64));
        let mut report = Report {
            format: report::FORMAT,
            origin: self.origin().to_owned(),
            digest: digest.finish(fields).to_string(),
            rows,
            kept,
            first_date: shown(range.and_then(|range| range.min)),
            last_date: shown(range.and_then(|range| range.max)),
            passed: !findings.iter().any(Finding::fails),
            findings,
            columns,
        };
        if let Some(fault) = &fault {
            report.fail(fault);
        }
        let split = match (self.split.by, date) {
            (By::Hash, _) => Split::hash(&self.split, at(self.split.group.as_deref())),
            (By::Time, Some(date)) => Split::time(&self.split, date, &moments),
            (By::Time, None) => {
                return Err(DataError::Config("split.by = \"time\" needs data.date_column".into()));
            }
        };
        let fields = chosen.iter().filter_map(|at| fields.get(*at).cloned()).collect();
        Ok(Validated { report, fields, columns: chosen, split, drops: rules.drops(), fault })
    }

    fn empty(&self) -> DataError {
        DataError::empty(self.config.date_range.as_ref())
    }
}

/// The first column that a schema requires and the data has not.
fn vanished(schema: &Schema, fields: &[Field]) -> Option<DataError> {
    let is_there = |name: &str| fields.iter().any(|field| field.name == name);
    let (column, _) = schema.columns.iter().find(|(name, column)| column.required && !is_there(name))?;
    let names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
    let role = "required by the schema";
    Some(DataError::ColumnVanished { column: column.clone(), role, present: names.join(", ") })
}
