//! Aliases: names of one's own for versions, moved at will.

use super::{ChangeError, Done, Draft, Writer, entry, must_exist, ready};
use crate::model::{ModelName, Version};
use crate::registry::index::{AuditEntry, is_alias};

/// Lets an alias mean a version; gives what it meant before.
///
/// # Errors
/// When the name is none for an alias, there is no such version, or it could not be written.
pub fn set_alias(
    writer: &Writer,
    model: &ModelName,
    alias: &str,
    version: Version,
    why: Option<&str>,
) -> Result<Done<Option<u64>>, ChangeError> {
    writer.mutate(model, |draft| {
        must_exist(writer, draft, model)?;
        apply(draft, alias, version, AuditEntry { why: why.map(str::to_owned), ..entry("") })
    })
}

/// Takes an alias away; gives what it meant.
///
/// # Errors
/// When there is no such alias, or it could not be written.
pub fn remove_alias(
    writer: &Writer,
    model: &ModelName,
    alias: &str,
    why: Option<&str>,
) -> Result<Done<u64>, ChangeError> {
    writer.mutate(model, |draft| {
        must_exist(writer, draft, model)?;
        let Some(meant) = draft.index.aliases.remove(alias) else {
            let there: Vec<&str> = draft.index.aliases.keys().map(String::as_str).collect();
            let there = if there.is_empty() { "none".into() } else { there.join(", ") };
            return Err(ChangeError::refused(format!(
                "`{model}` has no alias `{}`; it has {there}",
                crate::model::shorten(alias)
            )));
        };
        draft.note(AuditEntry {
            from: Some(meant.to_string()),
            alias: Some(alias.to_owned()),
            why: why.map(str::to_owned),
            ..entry("alias")
        });
        Ok(meant)
    })
}

/// Moves an alias on a draft.
pub(super) fn apply(
    draft: &mut Draft,
    alias: &str,
    version: Version,
    note: AuditEntry,
) -> Result<Option<u64>, ChangeError> {
    if !is_alias(alias) {
        return Err(ChangeError::refused(format!(
            "`{}` is no alias: a name that is neither a whole number nor a stage",
            crate::model::shorten(alias)
        )));
    }
    ready(&draft.index, version)?;
    let before = draft.index.aliases.insert(alias.to_owned(), version.get());
    if before != Some(version.get()) {
        draft.note(AuditEntry {
            verb: "alias".into(),
            version: Some(version.get()),
            from: before.map(|before| before.to_string()),
            to: Some(version.to_string()),
            alias: Some(alias.to_owned()),
            ..note
        });
    }
    Ok(before)
}
