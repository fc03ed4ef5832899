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
        must_exist(draft, model)?;
        let listed = ready(&draft.index, version)?.clone();
        // The key vouches for the content, not for what model.json says of it.
        manifest(writer.store(), model, &listed)?;
        let digest = digest(&draft.index, version)?;
        let is_placed = matches!(listed.stage, Stage::Production | Stage::Staging);
        let signed = |promoted| keys.check(&draft.index, model, version, &digest, promoted, None).is_ok();
        let needs = (!signed(None), is_placed && !signed(Some(listed.stage)));
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

/// Says of a version that readers who ask for signatures will not take it, where others of the model are signed.
pub(super) fn unsigned(draft: &Draft, version: Version, key: Option<&SigningKey>) -> Option<String> {
    let known = || draft.index.signatures.iter().filter_map(|entry| entry.known());
    let is_in_production = draft.index.in_stage(Stage::Production).contains(&version.get());
    if known().next().is_none() && key.is_none() || !is_in_production || !draft.is_changed() {
        return None;
    }
    let has = |kind| known().any(|signed| signed.version == version.get() && signed.kind == kind);
    let missing = match (has(Kind::Version), key.is_some()) {
        (true, true) => return None,
        (false, _) => "the version is not signed",
        (true, false) => "its promotion is not signed",
    };
    let model = &draft.index.model;
    Some(format!(
        "{missing}: readers with registry.require_signature refuse version {version}; \
         `sidegate registry sign {model} {version}` signs it"
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
