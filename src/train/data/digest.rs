//! What the rows are, as one digest: of their values in order, so that it does not matter in how many files, in which
//! format or in what batches they came.

use sha2::{Digest as _, Sha256};
use sidegate::registry::digest::Digest;

use crate::data::cells::Cells;
use crate::data::plan::Field;

/// A digest in the making: one of each column, which keeps values of a column together.
pub(crate) struct Content {
    columns: Vec<Sha256>,
    buffer: Vec<u8>,
    rows: u64,
}

impl Content {
    pub(crate) fn new(columns: usize) -> Self {
        Self { columns: vec![Sha256::new(); columns], buffer: Vec::new(), rows: 0 }
    }

    /// Takes some rows in.
    pub(crate) fn update(&mut self, cells: &[Cells], rows: usize) {
        for (hasher, cells) in self.columns.iter_mut().zip(cells) {
            self.buffer.clear();
            for row in 0..rows {
                let buffer = &mut self.buffer;
                // A length first: neither a missing value nor a border between two can be mistaken for another.
                if cells.is_missing(row) {
                    buffer.extend_from_slice(&u32::MAX.to_le_bytes());
                }
                cells.bytes(row, &mut |bytes| {
                    buffer
                        .extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX - 1).to_le_bytes());
                    buffer.extend_from_slice(bytes);
                });
            }
            hasher.update(&self.buffer);
        }
        self.rows += rows as u64;
    }

    /// Of all rows, the names of the columns and what they hold.
    pub(crate) fn finish(self, fields: &[Field]) -> Digest {
        let mut bytes = self.rows.to_le_bytes().to_vec();
        for (field, hasher) in fields.iter().zip(self.columns) {
            bytes.extend_from_slice(&(field.name.len() as u64).to_le_bytes());
            bytes.extend_from_slice(field.name.as_bytes());
            bytes.extend_from_slice(field.kind.name().as_bytes());
            bytes.extend_from_slice(&hasher.finalize());
        }
        Digest::of(&bytes, &mut || ())
    }
}
