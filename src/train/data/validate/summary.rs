//! What columns hold, collected row by row.

use std::collections::{BTreeMap, HashMap};

use super::report::ColumnSummary;
use crate::data::cells::Cells;
use crate::data::kind::Kind;
use crate::data::plan::Field;

/// Texts counted at most.
const COUNTED: usize = 1000;

pub(super) struct Summaries {
    columns: Vec<Summary>,
    target: Option<usize>,
}

struct Summary {
    field: Field,
    missing: u64,
    count: u64,
    min: f64,
    max: f64,
    mean: f64,
    squares: f64,
    whole: bool,
    rounded: u64,
    /// None: not counted, or given up.
    categories: Option<HashMap<String, u64>>,
}

impl Summaries {
    pub(super) fn new(fields: &[Field], target: Option<usize>) -> Self {
        let columns = fields.iter().enumerate().map(|(at, field)| Summary {
            field: field.clone(),
            missing: 0,
            count: 0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            mean: 0.0,
            squares: 0.0,
            whole: true,
            rounded: 0,
            categories: (Some(at) == target || matches!(field.kind, Kind::Text | Kind::Boolean))
                .then(HashMap::new),
        });
        Self { columns: columns.collect(), target }
    }

    /// Takes some rows in: all of them, but of the target only those that are kept.
    pub(super) fn update(&mut self, rows: usize, cells: &[Cells], keep: &[bool]) {
        for (at, (summary, cells)) in self.columns.iter_mut().zip(cells).enumerate() {
            let all = Some(at) != self.target;
            for row in 0..rows {
                if cells.is_missing(row) {
                    summary.missing += 1;
                } else if all || keep.get(row) == Some(&true) {
                    summary.add(cells, row);
                }
            }
        }
    }

    pub(super) fn finish(self) -> Vec<ColumnSummary> {
        self.columns.into_iter().map(Summary::finish).collect()
    }
}

impl Summary {
    fn add(&mut self, cells: &Cells, row: usize) {
        if let Some(number) = cells.number(row) {
            self.count += 1;
            self.min = self.min.min(number);
            self.max = self.max.max(number);
            if self.field.kind != Kind::Time {
                // Welford's, which does not lose the small beside the large.
                let from = number - self.mean;
                self.mean += from / self.count as f64;
                self.squares += from * (number - self.mean);
                let whole = number.fract() == 0.0;
                self.whole &= whole;
                #[expect(clippy::cast_possible_truncation, reason = "what it loses is what is looked for")]
                let held = number as f32;
                let exact = f64::from(held) == number;
                self.rounded += u64::from(!exact && (whole || !held.is_finite()));
            }
        }
        if let Some(categories) = &mut self.categories {
            match cells {
                Cells::Texts(texts) => count(categories, texts.value(row)),
                other => count(categories, &other.shown(row)),
            }
            if categories.len() > COUNTED {
                self.categories = None;
            }
        }
    }

    fn finish(self) -> ColumnSummary {
        let numbers = self.count > 0;
        let moments = numbers && self.field.kind != Kind::Time;
        let finite = |number: f64| Some(number).filter(|number| number.is_finite());
        ColumnSummary {
            min: numbers.then_some(self.min).and_then(finite),
            max: numbers.then_some(self.max).and_then(finite),
            mean: moments.then_some(self.mean).and_then(finite),
            sd: moments.then(|| (self.squares / self.count as f64).sqrt()).and_then(finite),
            whole: moments && self.whole,
            rounded: self.rounded,
            missing: self.missing,
            kind: self.field.kind,
            name: self.field.name,
            categories: self.categories.map(|found| found.into_iter().collect::<BTreeMap<_, _>>()),
        }
    }
}

fn count(categories: &mut HashMap<String, u64>, text: &str) {
    match categories.get_mut(text) {
        Some(count) => *count += 1,
        None => {
            categories.insert(text.to_owned(), 1);
        }
    }
}
