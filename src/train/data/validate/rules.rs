//! Checks of single rows.

use std::collections::HashSet;
use std::sync::Arc;

use twox_hash::XxHash3_64;

use super::report::Check;
use crate::data::cells::Cells;
use crate::data::plan::Field;
use crate::data::schema::{Action, ColumnSchema, Schema};

/// All checks of rows, with what they have found so far.
#[derive(Clone)]
pub(crate) struct Rules(Vec<Rule>);

#[derive(Clone)]
pub(crate) struct Rule {
    pub(crate) column: usize,
    pub(crate) check: Check,
    pub(crate) action: Action,
    pub(crate) limit: String,
    /// Rows that failed.
    pub(crate) count: u64,
    /// Some of the values that did.
    pub(crate) examples: Vec<String>,
    test: Test,
}

#[derive(Clone)]
enum Test {
    Range {
        min: f64,
        max: f64,
    },
    Categories(Arc<HashSet<String>>),
    /// Hashes of what was seen: two of ten million values are taken for one in 1 of 370,000 data sets.
    Unique(HashSet<u64>),
    Present,
}

const EXAMPLES: usize = 5;

impl Rules {
    pub(crate) fn new(schema: &Schema, fields: &[Field], target: Option<usize>) -> Self {
        let mut rules = Vec::new();
        for (name, column) in &schema.columns {
            if let Some(at) = fields.iter().position(|field| field.name == *name) {
                rules.extend(of_column(at, column));
            }
        }
        // Whether they may be dropped is settled when they are counted.
        rules.extend(
            target.map(|at| {
                Rule::new(at, Check::MissingTarget, Action::Drop, "a target".into(), Test::Present)
            }),
        );
        Self(rules)
    }

    /// Which of some rows stay.
    pub(crate) fn keep(&mut self, rows: usize, cells: &[Cells]) -> Vec<bool> {
        let mut keep = vec![true; rows];
        for rule in &mut self.0 {
            let Some(cells) = cells.get(rule.column) else { continue };
            for (row, keep) in keep.iter_mut().enumerate() {
                if rule.fails(cells, row) {
                    *keep &= rule.action != Action::Drop;
                }
            }
        }
        keep
    }

    /// Those that leave out rows, before the first row.
    pub(crate) fn drops(&self) -> Self {
        let mut drops: Vec<Rule> =
            self.0.iter().filter(|rule| rule.action == Action::Drop).cloned().collect();
        for rule in &mut drops {
            if let Test::Unique(seen) = &mut rule.test {
                *seen = HashSet::new();
            }
        }
        Self(drops)
    }

    pub(crate) fn failed(&self) -> impl Iterator<Item = &Rule> {
        self.0.iter().filter(|rule| rule.count > 0)
    }
}

fn of_column(at: usize, column: &ColumnSchema) -> Vec<Rule> {
    let mut rules = Vec::new();
    if let Some(range) = &column.range {
        let bound = |bound: &Option<crate::data::schema::Bound>| {
            bound.as_ref().and_then(crate::data::schema::Bound::value)
        };
        let (min, max) = (bound(&range.min), bound(&range.max));
        let test = Test::Range { min: min.unwrap_or(f64::NEG_INFINITY), max: max.unwrap_or(f64::INFINITY) };
        let shown = |bound: &Option<crate::data::schema::Bound>| match bound {
            Some(crate::data::schema::Bound::Number(number)) => number.to_string(),
            Some(crate::data::schema::Bound::Time(text)) => text.clone(),
            None => "any".into(),
        };
        let limit = format!("[{}, {}]", shown(&range.min), shown(&range.max));
        rules.push(Rule::new(at, Check::Range, range.action, limit, test));
    }
    if let Some(categories) = &column.categories {
        let limit = format!("one of {} values", categories.allowed.len());
        let allowed = Arc::new(categories.allowed.iter().cloned().collect());
        rules.push(Rule::new(at, Check::Categories, categories.action, limit, Test::Categories(allowed)));
    }
    if let Some(unique) = &column.unique {
        rules.push(Rule::new(
            at,
            Check::Unique,
            unique.action,
            "no value twice".into(),
            Test::Unique(HashSet::new()),
        ));
    }
    rules
}

impl Rule {
    fn new(column: usize, check: Check, action: Action, limit: String, test: Test) -> Self {
        Self { column, check, action, limit, count: 0, examples: Vec::new(), test }
    }

    /// Missing values fail no check but that for missing ones.
    fn fails(&mut self, cells: &Cells, row: usize) -> bool {
        let missing = cells.is_missing(row);
        let fails = match &mut self.test {
            Test::Present => missing,
            _ if missing => false,
            Test::Range { min, max } => {
                cells.number(row).is_some_and(|number| number < *min || number > *max)
            }
            Test::Categories(allowed) => match cells {
                Cells::Texts(texts) => !allowed.contains(texts.value(row)),
                other => !allowed.contains(&other.shown(row)),
            },
            Test::Unique(seen) => {
                let mut again = false;
                cells.bytes(row, &mut |bytes| again = !seen.insert(XxHash3_64::oneshot(bytes)));
                again
            }
        };
        if fails {
            self.count += 1;
            if !missing && self.examples.len() < EXAMPLES {
                let example = cells.shown(row);
                if !self.examples.contains(&example) {
                    self.examples.push(example);
                }
            }
        }
        fails
    }
}
