//! Rows as they were given: the text of JSON scalars, so that every body carries the very same digits.

use std::ops::Range;

use crate::model::Signature;
use crate::tensor::{Datatype, Strings};

/// Most cells that are held: with the bodies of both sides, 4 million numbers are some 200 MB.
pub(super) const MAX_CELLS: usize = 1 << 22;

/// A table of `width` cells a row.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// Where they come from, for the report.
    pub(super) origin: String,
    /// Names of the columns, where any are known.
    pub(super) names: Option<Vec<String>>,
    pub(super) width: usize,
    cells: Strings,
}

/// The columns that the model takes, all inputs one after the other.
#[derive(Clone, Debug)]
pub(super) struct Columns {
    /// The type of each column.
    pub(super) types: Vec<Datatype>,
    /// For each input, how many columns belong to it.
    pub(super) widths: Vec<usize>,
    /// Their names: those of the manifest, or of the inputs if each is one column.
    pub(super) names: Option<Vec<String>>,
}

/// One request: some rows, and what is sent for them where it is given word by word.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    pub(super) rows: Range<usize>,
    pub(super) verbatim: Option<Vec<u8>>,
}

// === impl Rows ===

impl Rows {
    pub(super) fn new(origin: impl Into<String>, width: usize, names: Option<Vec<String>>) -> Self {
        Self { origin: origin.into(), names, width, cells: Strings::default() }
    }

    /// Appends one cell: a JSON scalar.
    pub(super) fn push(&mut self, cell: &[u8]) {
        self.cells.push(cell);
    }

    pub(super) fn len(&self) -> usize {
        self.cells.len().checked_div(self.width).unwrap_or(0)
    }

    pub(super) fn cell(&self, row: usize, column: usize) -> &[u8] {
        self.cells.get(row * self.width + column).unwrap_or(b"null")
    }

    /// The name of a column, or its number.
    pub(super) fn name(&self, column: usize) -> String {
        let names = self.names.as_ref().and_then(|names| names.get(column));
        names.cloned().unwrap_or_else(|| column.to_string())
    }

    /// Requests of `per` rows each; what does not fill one is left out, but for a single short one.
    pub(super) fn batches(&self, per: usize) -> Vec<Batch> {
        let whole = (0..self.len() / per).map(|n| n * per..(n + 1) * per);
        let ranges: Vec<Range<usize>> = whole.collect();
        let ranges = if ranges.is_empty() { std::iter::once(0..self.len()).collect() } else { ranges };
        ranges.into_iter().map(|rows| Batch { rows, verbatim: None }).collect()
    }
}

// === impl Columns ===

impl Columns {
    /// The columns of a signature. An input whose width the model leaves open takes the `open` columns that are there.
    ///
    /// # Errors
    /// When a width is left open and nothing tells it, or is beyond what can be held.
    pub(super) fn new(signature: &Signature, known: &[String], open: Option<usize>) -> Result<Self, String> {
        let (mut types, mut widths) = (Vec::new(), Vec::new());
        let only = signature.inputs.len() == 1;
        for spec in &signature.inputs {
            let inner = spec.shape.get(1..).unwrap_or_default();
            let mut width = 1_usize;
            for extent in inner {
                let extent = match usize::try_from(*extent) {
                    Ok(extent) => extent,
                    Err(_) if !only => 1,
                    Err(_) if !known.is_empty() => known.len(),
                    Err(_) if inner.len() == 1 => open.ok_or_else(|| {
                        format!("input `{}` does not say how many columns it takes: give rows with --data FILE.csv", spec.name)
                    })?,
                    Err(_) => 1,
                };
                width = width.saturating_mul(extent);
            }
            if width > MAX_CELLS {
                return Err(format!(
                    "input `{}` of shape {:?} is too large to be tried",
                    spec.name, spec.shape
                ));
            }
            widths.push(width);
            types.extend(std::iter::repeat_n(spec.datatype, width));
        }
        let names = if known.len() == types.len() && only {
            Some(known.to_vec())
        } else if widths.iter().all(|width| *width == 1) && !only {
            Some(signature.inputs.iter().map(|spec| spec.name.to_string()).collect())
        } else {
            None
        };
        Ok(Self { types, widths, names })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_hold_whole_batches() {
        let mut rows = Rows::new("", 1, None);
        (0..7).for_each(|_| rows.push(b"1"));
        let ranges = |per| rows.batches(per).into_iter().map(|batch| batch.rows).collect::<Vec<_>>();
        assert_eq!(ranges(3), [0..3, 3..6]);
        assert_eq!(ranges(9), std::iter::once(0..7).collect::<Vec<_>>());
    }
}
