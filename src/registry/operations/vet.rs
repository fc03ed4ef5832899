//! What a version shows before it is put where it answers: that its files are there, and what its callers will notice.

use super::{ChangeError, Writer, ready};
use crate::format::FORMATS;
use crate::model::{ModelName, Signature, Stage, Version};
use crate::registry::digest::Digest;
use crate::registry::index::Index;
use crate::registry::manifest::Manifest;
use crate::registry::{MAX_JSON_BYTES, layout, model_format};

/// Refuses a version whose manifest or model file is gone from the store; gives what people may not expect of it
/// beside what is in Production.
pub(super) fn check(
    writer: &Writer,
    index: &Index,
    model: &ModelName,
    version: Version,
) -> Result<Option<String>, ChangeError> {
    let manifest = manifest(writer, index, model, version)?;
    let is_there = |format| {
        let key = layout::model_file(model, version, format);
        writer.patiently(&mut 0, || writer.store().stat(&key)).map(|stat| stat.is_some())
    };
    let named = manifest.as_ref().map(|manifest| model_format(Some(manifest), |_| Ok(false))).transpose()?;
    let found = match named.flatten() {
        Some(format) => is_there(format)?.then_some(format),
        // One that was taken over, and has no manifest.
        None => {
            let mut found = None;
            for format in FORMATS {
                found = if is_there(format)? { Some(format) } else { found };
            }
            found
        }
    };
    if found.is_none() {
        let file = named.flatten().map_or("its model file", |format| format.file_name());
        return Err(gone(model, version, file));
    }
    let before = index.in_stage(Stage::Production).last().copied().and_then(Version::new);
    let Some(manifest) = manifest else { return Ok(None) };
    let beside = |before| changed(writer, index, model, (manifest.signature(), manifest.breaking), before);
    Ok(before.filter(|before| *before != version).and_then(beside))
}

/// What changes for callers between a version in Production and inputs and outputs that come after it, unless that is
/// said to be meant. What cannot be read is no reason to say anything.
pub(super) fn changed(
    writer: &Writer,
    index: &Index,
    model: &ModelName,
    (signature, is_meant): (Option<Signature>, bool),
    before: Version,
) -> Option<String> {
    if is_meant {
        return None;
    }
    let was = manifest(writer, index, model, before).ok()??.signature()?;
    let change = was.breaking_change(&signature?)?;
    Some(format!(
        "{change}, compared with version {before} in Production: a sidecar that serves that one refuses it as \
         signature_changed, unless it is registered with --breaking or models.{model}.allow_breaking is set"
    ))
}

/// The manifest that the index names, from a store that is given time.
fn manifest(
    writer: &Writer,
    index: &Index,
    model: &ModelName,
    version: Version,
) -> Result<Option<Manifest>, ChangeError> {
    let key = layout::file(model, version, layout::MANIFEST);
    let read = writer.patiently(&mut 0, || writer.store().read(&key, MAX_JSON_BYTES, None))?;
    match (read.bytes(), ready(index, version)?.manifest.as_deref()) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err(gone(model, version, layout::MANIFEST)),
        (Some(bytes), Some(named)) if Digest::of(&bytes, &mut || ()).to_string() != named => {
            Err(ChangeError::refused(format!(
                "manifest.json of version {version} of `{model}` is not the one model.json names, and no sidecar would \
                 take it (--no-check does it all the same)"
            )))
        }
        (Some(bytes), _) => Ok(Some(Manifest::parse(&bytes, model, version)?)),
    }
}

fn gone(model: &ModelName, version: Version, file: &str) -> ChangeError {
    ChangeError::refused(format!(
        "version {version} of `{model}` cannot serve: {file} is gone from the registry; put it back from a backup, or \
         register its file again (--no-check does it all the same)"
    ))
}
