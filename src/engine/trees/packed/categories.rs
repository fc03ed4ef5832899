//! Splits by category in packed trees: per part of a tree and column, a table from the row's category to the
//! nodes that it sends right.

use crate::engine::trees::forest::Sets;
use crate::native::simd::Right;

/// Entries of all tables: 16 MiB. Beyond, trees are walked step by step.
const MAX_ENTRIES: usize = 1 << 20;

/// The tables of a family of parts, numbered alike.
#[derive(Debug, Default)]
pub(super) struct Categories {
    /// Per part, where its tables end in `tables`.
    ends: Vec<u32>,
    tables: Vec<Table>,
    entries: Vec<Right>,
}

/// What one column's category says about a part's nodes.
#[derive(Debug)]
struct Table {
    /// Which of the row's categories.
    slot: u32,
    /// The last entry, which stands for all categories beyond.
    last: u32,
    /// Where the entries begin.
    first: u32,
}

/// A node that asks for a category.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    /// Which of the row's categories.
    pub(super) slot: u32,
    /// Where its set begins.
    pub(super) set: u32,
    /// Its bit.
    pub(super) node: Right,
}

impl Categories {
    /// Appends the next part; `None` when the tables become too large.
    pub(super) fn push(&mut self, mut members: Vec<Member>, sets: &Sets) -> Option<()> {
        members.sort_by_key(|member| member.slot);
        for column in members.chunk_by(|a, b| a.slot == b.slot) {
            let last = column.iter().map(|member| sets.words[member.set as usize]).max().unwrap_or(0);
            let first = self.entries.len();
            if first + last as usize >= MAX_ENTRIES {
                return None;
            }
            self.entries.extend((0..=last).map(|category| {
                let mut right = Right::default();
                for member in column.iter().filter(|m| !sets.contains(m.set as usize, category as usize)) {
                    right.nodes |= member.node.nodes;
                    right.last |= member.node.last;
                }
                right
            }));
            self.tables.push(Table { slot: column[0].slot, last, first: first as u32 });
        }
        self.ends.push(self.tables.len() as u32);
        Some(())
    }

    /// The nodes of a part that go right, for a row with these categories.
    #[inline]
    pub(super) fn right(&self, part: usize, row: &[u32]) -> Right {
        let start = part.checked_sub(1).map_or(0, |before| self.ends[before]);
        let mut right = Right::default();
        for table in &self.tables[start as usize..self.ends[part] as usize] {
            let entry = self.entries[(table.first + row[table.slot as usize].min(table.last)) as usize];
            right.nodes |= entry.nodes;
            right.last |= entry.last;
        }
        right
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.ends) + size_of_val(&*self.tables) + size_of_val(&*self.entries)
    }
}
