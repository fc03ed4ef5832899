//! The writing half of a registry: changes of `model.json` by compare-and-swap.
//!
//! A change is a function on the index as it is now. It is written on the condition that nobody wrote meanwhile, and
//! applied again on the new state if somebody did. Every change has an id that its audit entries carry, so that one
//! whose answer was lost is recognised and not made twice.

mod draft;
mod error;
mod hint;
mod id;
mod probe;
mod upload;

use std::sync::OnceLock;
use std::time::Duration;

pub use draft::Draft;
pub use error::{ChangeError, Outcome, Problem};

use super::audit::{self, Segment};
use super::clock::{Clock, SystemClock};
use super::index::{AuditEntry, Index};
use super::store::{Body, Condition, Fault, Read, Store, StoreError};
use super::{MAX_INDEX_BYTES, MAX_JSON_BYTES, layout, lost};
use crate::model::{LoadError, ModelName, Reason};

/// Most faults of the store that one change sits out, with pauses that double up to the longest.
const MOST_FAULTS: u32 = 7;
/// The first pause after a fault.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause after a fault.
const LONGEST_PAUSE: Duration = Duration::from_secs(8);
/// How often others may come first.
const MOST_CONFLICTS: u32 = 50;

/// Changes a registry.
pub struct Writer {
    store: Box<dyn Store>,
    clock: Box<dyn Clock>,
    who: String,
    single_writer: bool,
    conditional: OnceLock<bool>,
}

/// A change that was made, or that was not needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done<T = ()> {
    /// What the change gives.
    pub value: T,
    /// The generation of `model.json` that has it.
    pub generation: u64,
    /// The epoch of that.
    pub epoch: u64,
    /// The change's id; `None` where there was nothing to change.
    pub mutation: Option<String>,
}

/// A write whose answer may not be the truth.
struct Sent<T> {
    /// The state that it replaces; once that is gone, it cannot happen any more.
    base: Option<String>,
    generation: u64,
    epoch: u64,
    first_seq: u64,
    value: T,
}

// === impl Writer ===

impl Writer {
    /// A writer on `store`; `who` stands in the audit, as `user@host`.
    pub fn new(store: Box<dyn Store>, who: impl Into<String>) -> Self {
        Self::with_clock(store, who, Box::new(SystemClock))
    }

    /// A writer with a clock of its own.
    pub fn with_clock(store: Box<dyn Store>, who: impl Into<String>, clock: Box<dyn Clock>) -> Self {
        Self { store, clock, who: who.into(), single_writer: false, conditional: OnceLock::new() }
    }

    /// Whether to write to a store that does not keep to conditions; nobody else may write to it then.
    #[must_use]
    pub fn single_writer(mut self, single: bool) -> Self {
        self.single_writer = single;
        self
    }

    /// The store.
    pub fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// Who the audit names.
    pub fn who(&self) -> &str {
        &self.who
    }

    /// The clock.
    pub fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// Applies `change` to a model's index and writes it. `change` runs again when somebody else was first; what it
    /// notes in the audit is what makes it a change, and when it notes nothing, nothing is written.
    ///
    /// # Errors
    /// What `change` refuses with, or why it could not be written; [`ChangeError::outcome`] says whether it is
    /// certain that it was not.
    pub fn mutate<T>(
        &self,
        model: &ModelName,
        mut change: impl FnMut(&mut Draft) -> Result<T, ChangeError>,
    ) -> Result<Done<T>, ChangeError> {
        let id = self.new_id();
        let mut sent: Vec<Sent<T>> = Vec::new();
        let made = self.attempt(model, &id, &mut sent, &mut change);
        let done = made.map_err(|error| {
            let outcome = if sent.is_empty() { error.outcome } else { Outcome::Unknown };
            ChangeError { outcome, mutation: Some(id), ..error }
        })?;
        if done.mutation.is_some() {
            self.raise_hint(model, done.epoch, done.generation);
        }
        Ok(done)
    }

    /// Tries until it is made, refused or given up. `sent` is left with the writes that may still happen.
    fn attempt<T>(
        &self,
        model: &ModelName,
        id: &str,
        sent: &mut Vec<Sent<T>>,
        change: &mut dyn FnMut(&mut Draft) -> Result<T, ChangeError>,
    ) -> Result<Done<T>, ChangeError> {
        let conditional = self.is_conditional()?;
        let (mut faults, mut conflicts) = (0, 0);
        let mut now = self.clock.now();
        loop {
            let (index, base) = self.look(model, &mut faults)?;
            // One time for every attempt on a state: there the change comes out the same.
            if sent.last().is_none_or(|sent| sent.base != base) {
                now = self.clock.now();
            }
            if sent.iter().any(|sent| sent.base != base) {
                if let Some(seq) = self.find(model, &index, id, &mut faults)? {
                    // Several may have been sent; the one that came true is told by what it followed.
                    let made = sent.iter().position(|sent| sent.first_seq == seq).unwrap_or_default();
                    let made = sent.swap_remove(made);
                    sent.clear();
                    return Ok(made.done(id));
                }
                // What waits for a state that is gone waits in vain.
                sent.retain(|sent| sent.base == base || !conditional);
            }
            if conflicts > MOST_CONFLICTS {
                return Err(Problem::Contended(conflicts).into());
            }
            let mut draft = Draft::new(index, now, &self.who, id);
            let value = change(&mut draft)?;
            let (generation, epoch) = (draft.index.generation, draft.index.epoch);
            if !draft.is_changed() {
                return Ok(Done { value, generation, epoch, mutation: None });
            }
            draft.index.catalog()?;
            while let Some(segment) = Segment::take(&mut draft.index) {
                self.keep_segment(model, &segment, conditional, &mut faults)?;
            }
            let first_seq = draft.first_seq();
            let bytes = draft.finish().to_bytes();
            check_size(model, bytes.len() as u64)?;
            let condition = match &base {
                _ if !conditional => Condition::None,
                Some(token) => Condition::Token(token),
                None => Condition::Absent,
            };
            let written = self.store.write(&layout::index(model), Body::Bytes(&bytes), condition);
            let this = Sent { base, generation: generation + 1, epoch, first_seq, value };
            match written.map_err(|error| (error.fault.may_have_happened(), error)) {
                Ok(_) => {
                    sent.clear();
                    return Ok(this.done(id));
                }
                // A store that tries again by itself meets its own first attempt: that is looked for as well.
                Err((_, StoreError { fault: Fault::Conflict, .. })) => {
                    sent.push(this);
                    conflicts += 1;
                    self.pause(Duration::from_millis(10 << conflicts.min(6)));
                }
                Err((true, error)) => {
                    sent.push(this);
                    if !self.may_retry(&mut faults) {
                        return Err(error.into());
                    }
                }
                Err((false, error)) => return Err(error.into()),
            }
        }
    }

    /// A model's index as it is now.
    ///
    /// # Errors
    /// When there is none, it cannot be used or the store fails.
    pub fn read(&self, model: &ModelName) -> Result<Index, ChangeError> {
        match self.look(model, &mut 0)? {
            (index, Some(_)) => Ok(index),
            (_, None) => Err(self.absent(model)),
        }
    }

    /// That there is no such model, and what to do.
    pub(super) fn absent(&self, model: &ModelName) -> ChangeError {
        match self.patiently(&mut 0, || lost::absent(&*self.store, model)) {
            Ok(text) => ChangeError::refused(text),
            Err(error) => error.into(),
        }
    }

    /// A model's index and its token; a new index without a token when there is none.
    fn look(&self, model: &ModelName, faults: &mut u32) -> Result<(Index, Option<String>), ChangeError> {
        let key = layout::index(model);
        match self.patiently(faults, || self.store.read(&key, MAX_INDEX_BYTES, None))? {
            Read::Object { bytes, token } => Ok((Index::parse_of(model, &bytes)?, Some(token))),
            Read::Absent | Read::Unchanged => Ok((Index::new(model), None)),
        }
    }

    /// The number of the first audit entry of a change, if it was made.
    fn find(
        &self,
        model: &ModelName,
        index: &Index,
        id: &str,
        faults: &mut u32,
    ) -> Result<Option<u64>, ChangeError> {
        let seq = |entries: &[AuditEntry]| {
            entries.iter().find(|entry| entry.mutation.as_deref() == Some(id)).map(|entry| entry.seq)
        };
        let kept = seq(&index.audit);
        if kept.is_some() || index.audit.first().is_none_or(|entry| entry.seq <= 1) {
            return Ok(kept);
        }
        // Others may have written so much meanwhile that it is in a segment by now.
        loop {
            match audit::trail(&*self.store, model, index) {
                Ok(trail) => return Ok(seq(&trail.entries)),
                Err(error) if error.code == Reason::Unreachable && self.may_retry(faults) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Writes a segment before the `model.json` that no longer has its entries.
    fn keep_segment(
        &self,
        model: &ModelName,
        segment: &Segment,
        conditional: bool,
        faults: &mut u32,
    ) -> Result<(), ChangeError> {
        let (first, last) = segment.range();
        let key = layout::segment(model, first, last);
        let bytes = segment.to_bytes();
        let condition = if conditional { Condition::Absent } else { Condition::None };
        match self.patiently(faults, || self.store.write(&key, Body::Bytes(&bytes), condition)) {
            Ok(_) => return Ok(()),
            Err(StoreError { fault: Fault::Conflict, .. }) => {}
            Err(error) => return Err(error.into()),
        }
        // Somebody had the same entries to move.
        let there = self.patiently(faults, || self.store.read(&key, MAX_JSON_BYTES, None))?;
        let there = there.bytes().map(|bytes| Segment::parse(&bytes)).transpose()?;
        if there.is_some_and(|there| there.entries == segment.entries) {
            return Ok(());
        }
        let text = format!(
            "{key} holds other changes than model.json had, as after a backup of one without the other; move it away"
        );
        Err(LoadError::new(Reason::Parse, text).into())
    }

    /// Asks the store again while it does not answer.
    pub(super) fn patiently<T>(
        &self,
        faults: &mut u32,
        mut ask: impl FnMut() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        loop {
            match ask() {
                Err(error) if error.fault.may_have_happened() && self.may_retry(faults) => {}
                answer => return answer,
            }
        }
    }

    /// Counts a fault and waits; false when there were too many.
    fn may_retry(&self, faults: &mut u32) -> bool {
        *faults += 1;
        if *faults > MOST_FAULTS {
            return false;
        }
        self.pause(FIRST_PAUSE.saturating_mul(1 << (*faults - 1)).min(LONGEST_PAUSE));
        true
    }

    /// Waits for half of `most` up to all of it, so that those who failed together do not come back together.
    fn pause(&self, most: Duration) {
        let part = (self.clock.random() % 1000) as u32;
        self.clock.sleep(most / 2 + most / 2 * part / 1000);
    }

    fn new_id(&self) -> String {
        id::ulid(&*self.clock)
    }
}

// === impl Done ===

impl<T> Done<T> {
    /// The same change, without its value, and the value.
    pub fn split(self) -> (Done, T) {
        let Self { value, generation, epoch, mutation } = self;
        (Done { value: (), generation, epoch, mutation }, value)
    }

    /// The same change with another value.
    pub fn with<U>(self, value: U) -> Done<U> {
        let Self { generation, epoch, mutation, .. } = self;
        Done { value, generation, epoch, mutation }
    }
}

// === impl Sent ===

impl<T> Sent<T> {
    fn done(self, id: &str) -> Done<T> {
        let Self { generation, epoch, value, .. } = self;
        Done { value, generation, epoch, mutation: Some(id.to_owned()) }
    }
}

/// Refuses what readers would.
fn check_size(model: &ModelName, bytes: u64) -> Result<(), ChangeError> {
    if bytes <= MAX_INDEX_BYTES {
        return Ok(());
    }
    Err(ChangeError::refused(format!(
        "model.json of `{model}` would have {bytes} bytes, and sidecars read at most {MAX_INDEX_BYTES}; take old versions \
         out first: sidegate registry gc {model}"
    )))
}

#[cfg(test)]
mod tests;
