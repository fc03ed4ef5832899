//! Taking over a folder of numbered versions that had no `model.json`: with one, only what it lists is served.

use super::super::{ChangeError, Draft, LoadError, Writer, entry, stage_text};
use crate::format::FORMATS;
use crate::model::{ModelName, Stage, Version};
use crate::registry::digest::Digest;
use crate::registry::format::Rest;
use crate::registry::index::{AuditEntry, IndexVersion, State};
use crate::registry::manifest::Manifest;
use crate::registry::store::StoreError;
use crate::registry::{MAX_JSON_BYTES, layout};

/// The numbered folders of a model, ascending.
pub(super) fn folders(writer: &Writer, model: &ModelName) -> Result<Vec<Version>, ChangeError> {
    let names = writer.patiently(&mut 0, || writer.store().list(&layout::model(model)))?;
    let mut folders: Vec<Version> = names.iter().filter_map(|name| name.parse().ok()).collect();
    folders.sort();
    Ok(folders)
}

/// Lists those that hold a model file. The highest, which serves so far, goes to Production.
pub(super) fn adopt(
    writer: &Writer,
    draft: &mut Draft,
    model: &ModelName,
    folders: &[Version],
) -> Result<Vec<u64>, ChangeError> {
    let mut faults = 0;
    let mut complete = Vec::new();
    for version in folders {
        let mut is_complete = false;
        for format in FORMATS {
            let key = layout::model_file(model, *version, format);
            is_complete |= writer.patiently(&mut faults, || writer.store().stat(&key))?.is_some();
        }
        complete.extend(is_complete.then_some(*version));
    }
    for version in &complete {
        let key = layout::file(model, *version, layout::MANIFEST);
        let read = writer.patiently(&mut faults, || writer.store().read(&key, MAX_JSON_BYTES, None));
        let bytes = read.map_err(|error: StoreError| ChangeError::from(error))?.bytes();
        let manifest = bytes.as_ref().map(|bytes| Manifest::parse(bytes, model, *version));
        let manifest = manifest.transpose().map_err(|error: LoadError| ChangeError::from(error))?;
        let is_last = Some(version) == complete.last();
        let stage = if is_last { Stage::Production } else { Stage::None };
        draft.index.versions.push(IndexVersion {
            version: version.get(),
            stage,
            manifest: bytes.map(|bytes| Digest::of(&bytes, &mut || ()).to_string()),
            created: manifest.and_then(|manifest| manifest.created),
            state: State::Ready,
            rest: Rest::new(),
        });
        let to = is_last.then(|| stage_text(stage)).flatten();
        draft.note(AuditEntry { version: Some(version.get()), to, ..entry("adopt") });
    }
    Ok(complete.into_iter().map(Version::get).collect())
}
