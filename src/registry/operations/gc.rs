//! Taking away what nobody needs any more: old versions, uploads that ended in the middle, folders that nothing lists.
//!
//! A version is marked first, which takes it out of every reader's catalog; its files go when readers have had the
//! grace to let go of it, the manifest before the others, and its entry last.

mod choose;

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;
use time::OffsetDateTime;

use super::{ChangeError, Done, Draft, Writer, entry, must_exist, register};
use crate::model::{ModelName, Stage, Version};
use crate::registry::clock;
use crate::registry::format::Rest;
use crate::registry::index::{AuditEntry, Index, IndexVersion, State};
use crate::registry::layout;

/// What is kept.
#[derive(Clone, Copy, Debug)]
pub struct Gc {
    /// So many of the newest versions in None or Archived.
    pub keep: usize,
    /// How long a marked version's files stay, by the clock of the machine that marked it. Readers look every few
    /// seconds, so that an hour is far more than they need.
    pub grace: Duration,
    /// Whether to say what would be done and do nothing.
    pub dry_run: bool,
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Swept {
    /// Versions that were marked; their files go after the grace.
    pub marked: Vec<u64>,
    /// Uploads that ran out, likewise.
    pub expired: Vec<u64>,
    /// Folders that nothing lists, likewise.
    pub orphans: Vec<u64>,
    /// Versions whose grace was over: they are gone.
    pub purged: Vec<u64>,
}

/// Takes away what a model does not need. What the plain name, a stage, an alias, a hold or a rollout means stays, and
/// so does what a rollback would go to.
///
/// # Errors
/// When there is no such model, or something could not be written or deleted.
pub fn gc(writer: &Writer, model: &ModelName, gc: &Gc) -> Result<Done<Swept>, ChangeError> {
    // Before the index: what is in a folder by now was reserved before, so the index lists it or nobody needs it.
    let keys = writer.patiently(&mut 0, || writer.store().keys(&layout::model(model)))?;
    let folders: BTreeSet<u64> =
        keys.iter().filter_map(|key| layout::version_of(model, key)).map(Version::get).collect();
    if gc.dry_run {
        let index = writer.read(model)?;
        let (generation, epoch) = (index.generation, index.epoch);
        let mut draft = Draft::trial(index, writer.clock().now());
        let (mut swept, due) = mark(writer, &mut draft, model, gc, &folders)?;
        swept.purged = due;
        return Ok(Done { value: swept, generation, epoch, mutation: None });
    }
    let marked = writer.mutate(model, |draft| {
        must_exist(writer, draft, model)?;
        mark(writer, draft, model, gc, &folders)
    })?;
    let (marked, (mut swept, due)) = marked.split();
    for number in &due {
        let Some(version) = Version::new(*number) else { continue };
        let stopped = |error: ChangeError| error.remark("what was marked stays marked; gc again goes on");
        delete(writer, model, version).map_err(stopped)?;
        swept.purged.push(*number);
    }
    let purged = writer.mutate(model, |draft| {
        purge(draft, &due);
        Ok(())
    })?;
    // What the last change made, if both made one.
    let last = if purged.mutation.is_some() { purged } else { marked };
    Ok(last.with(swept))
}

/// Marks what is not needed; gives also the versions whose grace is over.
fn mark(
    writer: &Writer,
    draft: &mut Draft,
    model: &ModelName,
    gc: &Gc,
    folders: &BTreeSet<u64>,
) -> Result<(Swept, Vec<u64>), ChangeError> {
    let expired = register::expire(draft);
    let marked = choose::unneeded(writer.store(), model, &draft.index, gc.keep)?;
    let at = draft.at();
    for version in &marked {
        for entry in draft.index.versions.iter_mut().filter(|entry| entry.version == *version) {
            entry.state = State::Deleted { at: at.clone(), rest: Rest::new() };
        }
        draft.note(AuditEntry { version: Some(*version), ..entry("delete") });
    }
    // What has a number that was never given away is somebody's own, and numbers are given away above such folders too:
    // only the audit knows. Verify tells of the others.
    let given = |number| {
        let mut audit = draft.index.audit.iter();
        audit.any(|entry| entry.verb == "reserve" && entry.version == Some(number))
    };
    let is_listed = |index: &Index, number| index.versions.iter().any(|entry| entry.version == number);
    let is_orphan = |number: &u64| given(*number) && !is_listed(&draft.index, *number);
    let orphans: Vec<u64> = folders.iter().copied().filter(is_orphan).collect();
    for version in &orphans {
        draft.index.versions.push(IndexVersion {
            version: *version,
            stage: Stage::None,
            manifest: None,
            created: None,
            state: State::Deleted { at: at.clone(), rest: Rest::new() },
            rest: Rest::new(),
        });
        draft.note(AuditEntry { version: Some(*version), why: Some("not listed".into()), ..entry("delete") });
    }
    let due = due(&draft.index, gc.grace, draft.now());
    Ok((Swept { marked, expired, orphans, purged: Vec::new() }, due))
}

/// Marked versions whose grace is over.
fn due(index: &Index, grace: Duration, now: OffsetDateTime) -> Vec<u64> {
    // A moment beyond the calendar never comes.
    let end = |at: &str| clock::parse(at)?.checked_add(time::Duration::try_from(grace).ok()?);
    let is_over = |at: &str| end(at).is_some_and(|end| end <= now);
    let is_due = |entry: &&IndexVersion| matches!(&entry.state, State::Deleted { at, .. } if is_over(at));
    index.versions.iter().filter(is_due).map(|entry| entry.version).collect()
}

/// Deletes the files of a version, the manifest first: what is left then is no version to anybody.
fn delete(writer: &Writer, model: &ModelName, version: Version) -> Result<(), ChangeError> {
    let (store, mut faults) = (writer.store(), 0);
    let manifest = layout::file(model, version, layout::MANIFEST);
    writer.patiently(&mut faults, || store.delete(&manifest))?;
    for key in writer.patiently(&mut faults, || store.keys(&layout::version(model, version)))? {
        writer.patiently(&mut faults, || store.delete(&key))?;
    }
    Ok(())
}

/// Takes the entries of versions away whose files are gone.
fn purge(draft: &mut Draft, gone: &[u64]) {
    for number in gone {
        let index = &mut draft.index;
        let before = index.versions.len();
        index
            .versions
            .retain(|entry| entry.version != *number || !matches!(entry.state, State::Deleted { .. }));
        if index.versions.len() == before {
            continue;
        }
        index.signatures.retain(|entry| entry.known().is_none_or(|signed| signed.version != *number));
        draft.note(AuditEntry { version: Some(*number), ..entry("purge") });
    }
}
