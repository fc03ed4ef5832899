//! Rolling back: to what was in Production before, with a hold so that automation does not undo it.

use serde::Serialize;

use super::{ChangeError, Done, Draft, LoadError, Store, Writer, entry, hold, must_exist, production};
use super::{promote, ready, set_stage, sign, stage_text, vet};
use crate::model::{ModelName, Stage, Version};
use crate::registry::audit;
use crate::registry::index::{AuditEntry, Index};
use crate::registry::signature::SigningKey;

/// What is wanted.
#[derive(Clone, Debug)]
pub struct Rollback {
    /// Where to; `None` is what was in Production before.
    pub to: Option<Version>,
    /// Why.
    pub why: String,
    /// Whether it is refused when the version's files are gone from the store.
    pub check: bool,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RolledBack {
    /// What answered before; `None` when nothing was in Production.
    pub from: Option<u64>,
    /// What answers now.
    pub to: u64,
    /// What may not be expected.
    pub notes: Vec<String>,
}

/// Puts a former version back into Production, alone, and holds it there. Without `to` it is the one that was there
/// before, each time one further back, else the highest in Archived. A rollout ends; a hold is replaced: this is a
/// person's decision.
///
/// # Errors
/// When there is nothing to go back to, its files are gone, or it could not be written.
pub fn rollback(
    writer: &Writer,
    model: &ModelName,
    back: &Rollback,
    key: Option<&SigningKey>,
) -> Result<Done<RolledBack>, ChangeError> {
    writer.mutate(model, |draft| {
        must_exist(writer, draft, model)?;
        let to = match back.to {
            Some(version) => version,
            None => goal(writer.store(), &draft.index, model)?.and_then(Version::new).ok_or_else(|| {
                ChangeError::refused(format!(
                    "`{model}` has no version that was in Production before, and none in Archived; name one"
                ))
            })?,
        };
        let moves = ready(&draft.index, to)?.stage != Stage::Production;
        let change = if back.check && moves { vet::check(writer, &draft.index, model, to)? } else { None };
        let is_new = moves && !was_in_production(writer.store(), &draft.index, model, to)?;
        let mut rolled = apply(draft, model, to, &back.why, key)?;
        rolled.notes.extend(change);
        rolled
            .notes
            .extend(is_new.then(|| format!("version {to} of `{model}` never was in Production before")));
        Ok(rolled)
    })
}

/// Whether a version was in Production, as far as the audit reaches back.
fn was_in_production(
    store: &dyn Store,
    index: &Index,
    model: &ModelName,
    version: Version,
) -> Result<bool, LoadError> {
    let production = Some(Stage::Production.name());
    let was_there = |entry: &AuditEntry| {
        entry.alias.is_none()
            && entry.version == Some(version.get())
            && (entry.from.as_deref() == production || entry.to.as_deref() == production)
    };
    if index.audit.iter().any(was_there) {
        return Ok(true);
    }
    let is_whole = index.audit.first().is_none_or(|entry| entry.seq <= 1);
    Ok(!is_whole && audit::trail(store, model, index)?.entries.iter().any(was_there))
}

fn apply(
    draft: &mut Draft,
    model: &ModelName,
    to: Version,
    why: &str,
    key: Option<&SigningKey>,
) -> Result<RolledBack, ChangeError> {
    let before = ready(&draft.index, to)?.stage;
    let production = draft.index.in_stage(Stage::Production);
    let from = production.last().copied();
    let note = || AuditEntry { why: Some(why.to_owned()), ..entry("rollback") };
    for other in production.into_iter().filter(|other| *other != to.get()) {
        promote::archive(draft, other, note());
    }
    if before != Stage::Production {
        set_stage(&mut draft.index, to.get(), Stage::Production);
    }
    // A rollout is undone even where nothing is promoted: some sidecars still serve what it comes from.
    if draft.index.rollout.take().is_some() || draft.is_changed() || before != Stage::Production {
        let (from, to_stage) = (stage_text(before), stage_text(Stage::Production));
        draft.note(AuditEntry { version: Some(to.get()), from, to: to_stage, ..note() });
        // Also one that was in Production: readers may have seen the promotion of a higher one since.
        sign::promotion(draft, model, to, key)?;
    }
    hold::place(draft, to.get(), why);
    let notes = sign::unsigned(draft, to, key).into_iter().collect();
    Ok(RolledBack { from, to: to.get(), notes })
}

/// What a rollback goes to when it is not told where.
pub(super) fn goal(store: &dyn Store, index: &Index, model: &ModelName) -> Result<Option<u64>, LoadError> {
    let current = index.in_stage(Stage::Production).last().copied();
    let ready = index.ready();
    let usable = |version: &u64| Some(*version) != current && ready.iter().any(|e| e.version == *version);
    let mut found = production::former(&index.audit).into_iter().find(usable);
    if found.is_none() && index.audit.first().is_some_and(|entry| entry.seq > 1) {
        let trail = audit::trail(store, model, index)?;
        found = production::former(&trail.entries).into_iter().find(usable);
    }
    Ok(found.or_else(|| index.in_stage(Stage::Archived).last().copied()))
}
