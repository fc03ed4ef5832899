//! The files of every version that is listed.

use super::super::{LoadError, ModelName, Store, Version, manifest, number, unreachable};
use super::{Findings, Severity};
use crate::format::FORMATS;
use crate::model::Reason;
use crate::registry::digest::Hashing;
use crate::registry::index::{Index, IndexVersion};
use crate::registry::manifest::Manifest;
use crate::registry::{MAX_MODEL_BYTES, layout, model_format};

pub(super) fn check(store: &dyn Store, index: &Index, findings: &mut Findings<'_>) -> Result<(), LoadError> {
    for entry in index.ready() {
        // The catalog said so already.
        let Ok(version) = number(entry) else { continue };
        match of_version(store, findings, entry, version) {
            Err(error) if error.code == Reason::Unreachable => return Err(error),
            Err(error) => findings.error(Some(entry.version), error.detail),
            Ok(()) => {}
        }
    }
    Ok(())
}

fn of_version(
    store: &dyn Store,
    findings: &mut Findings<'_>,
    entry: &IndexVersion,
    version: Version,
) -> Result<(), LoadError> {
    let model = findings.model;
    let Some(manifest) = manifest(store, model, entry)? else {
        let there = |format| {
            Ok(store.stat(&layout::model_file(model, version, format)).map_err(unreachable)?.is_some())
        };
        if model_format(None, there)?.is_none() {
            findings.error(Some(entry.version), "it has neither a manifest nor a model file");
        } else {
            findings.add(
                Severity::Info,
                Some(entry.version),
                "it has no manifest, so its files cannot be checked",
            );
        }
        return Ok(());
    };
    if model_format(Some(&manifest), |_| Ok(false))?.is_none() {
        let names: Vec<&str> = FORMATS.iter().map(|format| format.file_name()).collect();
        findings
            .error(Some(entry.version), format!("manifest.json lists no model file ({})", names.join(", ")));
    }
    for name in manifest.files.keys() {
        if let Some(what) = damage(store, model, version, &manifest, name)? {
            findings.error(Some(entry.version), what);
        }
    }
    for key in store.keys(&layout::version(model, version)).map_err(unreachable)? {
        let name = key.rsplit('/').next().unwrap_or_default();
        if name != layout::MANIFEST && !manifest.files.contains_key(name) {
            let text = format!("{name} is there and not listed in manifest.json; nobody reads it");
            findings.add(Severity::Info, Some(entry.version), text);
        }
    }
    Ok(())
}

/// What is wrong with a listed file.
fn damage(
    store: &dyn Store,
    model: &ModelName,
    version: Version,
    manifest: &Manifest,
    name: &str,
) -> Result<Option<String>, LoadError> {
    let Some(listed) = manifest.files.get(name) else { return Ok(None) };
    let mut hasher = Hashing::new(std::io::sink());
    let key = layout::file(model, version, name);
    let stat = match store.download(&key, MAX_MODEL_BYTES, &mut hasher).map_err(unreachable) {
        Err(error) if error.code == Reason::TooLarge => return Ok(Some(error.detail)),
        stat => stat?,
    };
    let (digest, bytes) = hasher.finish();
    Ok(match stat {
        None => Some(format!("{name} is not there")),
        Some(_) if bytes != listed.bytes => {
            Some(format!("{name} has {bytes} bytes, manifest.json says {}", listed.bytes))
        }
        Some(_) if listed.digest() != Some(digest) => {
            Some(format!("{name} has other content than manifest.json says ({digest})"))
        }
        Some(_) => None,
    })
}
