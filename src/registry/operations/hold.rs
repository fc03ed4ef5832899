//! Holds: a version that stays in Production whatever automation thinks.

use super::{ChangeError, Done, Draft, Writer, entry, must_exist, ready};
use crate::model::{ModelName, Stage, Version};
use crate::registry::format::Rest;
use crate::registry::index::{AuditEntry, Hold};

/// Holds a version in Production: that which is there, or the named one of several.
///
/// # Errors
/// When it is not in Production, or it could not be written.
pub fn hold(
    writer: &Writer,
    model: &ModelName,
    version: Option<Version>,
    why: &str,
) -> Result<Done<Hold>, ChangeError> {
    writer.mutate(model, |draft| {
        must_exist(writer, draft, model)?;
        let production = draft.index.in_stage(Stage::Production);
        let held = match version {
            Some(version) => Some(ready(&draft.index, version)?.version),
            None => production.last().copied(),
        };
        let Some(held) = held.filter(|held| production.contains(held)) else {
            let what = version.map_or("nothing".into(), |version| format!("not version {version}"));
            let there = "a hold keeps a version in Production, where there is";
            return Err(ChangeError::refused(format!("{there} {what}; promote it first")));
        };
        Ok(place(draft, held, why))
    })
}

/// Ends a hold.
///
/// # Errors
/// When there is none, or it could not be written.
pub fn release(writer: &Writer, model: &ModelName, why: Option<&str>) -> Result<Done<Hold>, ChangeError> {
    writer.mutate(model, |draft| {
        must_exist(writer, draft, model)?;
        let held = draft.index.hold.take();
        let held = held.ok_or_else(|| ChangeError::refused(format!("`{model}` is not held")))?;
        draft.note(AuditEntry {
            version: Some(held.version),
            why: why.map(str::to_owned),
            ..entry("release")
        });
        Ok(held)
    })
}

/// Places a hold on a draft, unless it is there for the same reason.
pub(super) fn place(draft: &mut Draft, version: u64, why: &str) -> Hold {
    if let Some(held) = draft.index.hold.as_ref().filter(|held| held.version == version && held.why == why) {
        return held.clone();
    }
    let hold =
        Hold { version, by: draft.by().to_owned(), why: why.to_owned(), at: draft.at(), rest: Rest::new() };
    draft.index.hold = Some(hold.clone());
    draft.note(AuditEntry { version: Some(version), why: Some(why.to_owned()), ..entry("hold") });
    hold
}

/// Refuses a draft that changes what is in Production while there is a hold, or releases that and says so.
pub(super) fn check(draft: &mut Draft, is_overridden: bool) -> Result<Option<String>, ChangeError> {
    let Some(Hold { version, by, why, at, .. }) = draft.index.hold.clone() else { return Ok(None) };
    let model = &draft.index.model;
    if !is_overridden {
        return Err(ChangeError::refused(format!(
            "`{model}` is held at version {version} by {by} since {at} ({why}); end that with \
             `sidegate registry hold {model} --release`"
        )));
    }
    draft.index.hold = None;
    draft.note(AuditEntry { version: Some(version), why: Some("overridden".into()), ..entry("release") });
    Ok(Some(format!("the hold on version {version} by {by} ({why}) was released")))
}
