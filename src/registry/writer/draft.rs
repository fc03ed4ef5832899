//! A change in the making: the index as it was read, being brought to its next generation.

use time::OffsetDateTime;

use crate::registry::audit;
use crate::registry::clock;
use crate::registry::index::{AuditEntry, Index};

/// The index of a model while a change is applied to it. What notes no audit entry changes nothing.
#[derive(Clone)]
pub struct Draft {
    /// The index; the caller changes versions, aliases and so on, and leaves generation and audit alone.
    pub index: Index,
    now: OffsetDateTime,
    by: String,
    mutation: String,
    entries: Vec<AuditEntry>,
}

impl Draft {
    /// A draft on the index as it was read.
    pub(super) fn new(mut index: Index, now: OffsetDateTime, by: &str, mutation: &str) -> Self {
        audit::number(&mut index.audit);
        Self { index, now, by: by.to_owned(), mutation: mutation.to_owned(), entries: Vec::new() }
    }

    /// A draft that is never written, to see what a change would do.
    pub fn trial(index: Index, now: OffsetDateTime) -> Self {
        Self::new(index, now, "", "")
    }

    /// The time of the change.
    pub fn now(&self) -> OffsetDateTime {
        self.now
    }

    /// The time of the change as stored.
    pub fn at(&self) -> String {
        clock::text(self.now)
    }

    /// Who makes the change.
    pub fn by(&self) -> &str {
        &self.by
    }

    /// The generation that the change makes.
    pub fn generation(&self) -> u64 {
        self.index.generation + 1
    }

    /// Appends an entry to the audit; number, time, who and the change's id are filled in.
    pub fn note(&mut self, entry: AuditEntry) {
        let (at, by, mutation) = (self.at(), self.by.clone(), Some(self.mutation.clone()));
        self.entries.push(AuditEntry { seq: self.next_seq(), at, by, mutation, ..entry });
    }

    /// Whether anything was noted.
    pub fn is_changed(&self) -> bool {
        !self.entries.is_empty()
    }

    /// The number of the change's first entry.
    pub(super) fn first_seq(&self) -> u64 {
        self.index.audit.last().map_or(0, |entry| entry.seq) + 1
    }

    /// The next generation.
    pub(super) fn finish(self) -> Index {
        let mut index = self.index;
        index.generation += 1;
        index.mutation = Some(self.mutation);
        index.audit.extend(self.entries);
        index
    }

    fn next_seq(&self) -> u64 {
        self.first_seq() + self.entries.len() as u64
    }
}
