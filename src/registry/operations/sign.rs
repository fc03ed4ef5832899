//! Signing: what a version is, and that it was put where it is.

use super::{ChangeError, Done, Draft, Writer, entry, manifest, must_exist, ready};
use crate::model::{ModelName, Stage, Version};
use crate::registry::digest::Digest;
use crate::registry::index::{AuditEntry, Index};
use crate::registry::signature::{Keys, Kind, SigningKey};

/// Signs a version, and the promotion of one in Production or Staging. What the key has signed already is left; the
/// value is the kinds that were added.
///
/// # Errors
/// When there is no such version, its manifest is not the one that `model.json` names, or it could not be written.
pub fn sign(
    writer: &Writer,
    model: &ModelName,
    version: Version,
    key: &SigningKey,
) -> Result<Done<Vec<Kind>>, ChangeError> {
    let keys: Keys = [key.public()].into_iter().collect();
    writer.mutate(model, |draft| {
        must_exist(writer, draft, model)?;
        let listed = ready(&draft.index, version)?.clone();
        // The key vouches for the content, not for what model.json says of it.
        manifest(writer.store(), model, &listed)?;
        let digest = digest(&draft.index, version)?;
        let is_placed = matches!(listed.stage, Stage::Production | Stage::Staging);
        let signed = |promoted| keys.check(&draft.index, model, version, &digest, promoted, None).is_ok();
        // An older promotion of it that is signed says nothing of this one.
        let is_stale = listed.stage == Stage::Production && draft.index.has_stale_promotion(version);
        let needs = (!signed(None), is_placed && (is_stale || !signed(Some(listed.stage))));
        let mut added = Vec::new();
        if needs.0 {
            draft.index.add_signature(key.sign_version(model, version, &digest));
            added.push(Kind::Version);
        }
        if needs.1 {
            promotion(draft, model, version, Some(key))?;
            added.push(Kind::Promotion);
        }
        if !added.is_empty() {
            let why = Some(format!("key {}", key.id()));
            draft.note(AuditEntry { version: Some(version.get()), why, ..entry("sign") });
        }
        Ok(added)
    })
}

/// Signs on a draft that this change puts a version where it is; without a key it does nothing.
pub(super) fn promotion(
    draft: &mut Draft,
    model: &ModelName,
    version: Version,
    key: Option<&SigningKey>,
) -> Result<(), ChangeError> {
    let Some(key) = key else { return Ok(()) };
    let stage = ready(&draft.index, version)?.stage;
    if !matches!(stage, Stage::Production | Stage::Staging) {
        return Ok(());
    }
    let digest = digest(&draft.index, version)?;
    let place = (draft.index.epoch, draft.generation());
    draft.index.add_signature(key.sign_promotion(model, version, stage, place, &digest));
    Ok(())
}

/// Says of a version in Production or Staging that readers who ask for signatures will not take it, where others of
/// the model are signed or there is a key.
pub(super) fn unsigned(draft: &Draft, version: Version, key: Option<&SigningKey>) -> Option<String> {
    let known = || draft.index.signatures.iter().filter_map(|entry| entry.known());
    let stage = draft.index.version(version)?.stage;
    if known().next().is_none() && key.is_none() || !draft.is_changed() {
        return None;
    }
    let has = |kind| known().any(|signed| signed.version == version.get() && signed.kind == kind);
    let missing = match (stage, has(Kind::Version), key.is_some()) {
        (Stage::Production | Stage::Staging, false, true) => {
            "its promotion is signed, and its content is not"
        }
        (Stage::Production | Stage::Staging, false, false) => "the version is not signed",
        (Stage::Production, true, false) => "its promotion is not signed",
        _ => return None,
    };
    let model = &draft.index.model;
    Some(format!(
        "{missing}: readers with registry.require_signature refuse version {version}; \
         `sidegate registry sign {model} {version} --key FILE` signs it"
    ))
}

/// The digest by which the index names a version's manifest.
fn digest(index: &Index, version: Version) -> Result<Digest, ChangeError> {
    let named = ready(index, version)?.manifest.as_deref();
    let digest = named.and_then(|named| named.parse().ok());
    digest.ok_or_else(|| {
        let text = format!(
            "version {version} of `{}` has no manifest, which is what would be signed; register its file again",
            index.model
        );
        ChangeError::refused(text)
    })
}
