//! Rows that are made up, for a library to say what it thinks of parameters before hours of work.

use crate::table::{Batch, Column, Part, Rows, Task};

/// So many that a small share of them is some too.
const ROWS: usize = 2048;

/// Rows of these columns with targets that every objective takes: of numbers between 0 and 1, of classes each.
pub(super) struct Rehearsal {
    columns: Vec<Column>,
    values: Vec<f32>,
    target: Vec<f32>,
    validated: bool,
}

impl Rehearsal {
    /// Of columns like those of other rows.
    pub(super) fn of(rows: &dyn Rows, task: Task) -> Self {
        let classes = match task {
            Task::Regression => 0,
            Task::Binary => 2,
            Task::Multiclass { classes } => classes as usize,
        };
        let columns = rows.columns().to_vec();
        let count = ROWS.max(2 * classes);
        let cell = |row: usize, at: usize, column: &Column| {
            // No two columns are alike.
            let value = row.wrapping_mul(2 * at + 3) % 97;
            (value % column.categories.map_or(97, |categories| categories.max(1) as usize)) as f32
        };
        let values = (0..count)
            .flat_map(|row| columns.iter().enumerate().map(move |(at, column)| cell(row, at, column)));
        let target = (0..count).map(|row| match classes {
            0 => (1 + row % 7) as f32 / 8.0,
            classes => (row % classes) as f32,
        });
        Self {
            values: values.collect(),
            target: target.collect(),
            validated: rows.count(Part::Validation) > 0,
            columns,
        }
    }
}

impl Rows for Rehearsal {
    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn count(&self, part: Part) -> usize {
        if part == Part::Validation && !self.validated { 0 } else { self.target.len() }
    }

    fn scan(&self, part: Part, each: &mut dyn FnMut(Batch<'_>) -> Result<(), String>) -> Result<(), String> {
        if self.count(part) == 0 {
            return Ok(());
        }
        each(Batch { values: &self.values, target: &self.target, weight: None })
    }
}
