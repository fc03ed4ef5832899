//! What is around the versions: uploads, folders, the hint, signatures.

use std::collections::BTreeSet;

use time::OffsetDateTime;

use super::super::{LoadError, Stage, Store, Version, unreachable};
use super::{Findings, Severity};
use crate::registry::hint::Hint;
use crate::registry::index::{Index, State};
use crate::registry::signature::Keys;
use crate::registry::{MAX_INDEX_BYTES, clock, layout};

/// Uploads that ran out.
pub(super) fn uploads(index: &Index, now: OffsetDateTime, findings: &mut Findings<'_>) {
    for entry in &index.versions {
        let State::Uploading { owner, deadline: Some(deadline), .. } = &entry.state else { continue };
        if clock::parse(deadline).is_some_and(|deadline| deadline < now) {
            let text =
                format!("the upload by {owner} did not end by {deadline}; `sidegate registry gc` ends it");
            findings.add(Severity::Warning, Some(entry.version), text);
        }
    }
}

/// Folders that the index does not list.
pub(super) fn folders(
    store: &dyn Store,
    index: &Index,
    findings: &mut Findings<'_>,
) -> Result<(), LoadError> {
    let keys = store.keys(&layout::model(findings.model)).map_err(unreachable)?;
    let found: BTreeSet<Version> =
        keys.iter().filter_map(|key| layout::version_of(findings.model, key)).collect();
    for version in found.into_iter().filter(|version| index.version(*version).is_none()) {
        let number = version.get();
        let text = if number <= index.reserved {
            "its folder is there and model.json does not list it; `sidegate registry gc` takes it away"
        } else {
            "its folder is there, its number was never given away and model.json does not list it: nobody serves it"
        };
        findings.add(Severity::Warning, Some(number), text);
    }
    Ok(())
}

/// A hint that is behind, or that comes from a state which is lost.
pub(super) fn hint(store: &dyn Store, index: &Index, findings: &mut Findings<'_>) -> Result<(), LoadError> {
    let read = store.read(layout::HINT, MAX_INDEX_BYTES, None).map_err(unreachable)?;
    let hint = match read.bytes().map(|bytes| Hint::parse(&bytes)) {
        None => return Ok(()),
        Some(Err(error)) => {
            findings.add(Severity::Warning, None, error.detail);
            return Ok(());
        }
        Some(Ok(hint)) => hint,
    };
    let hinted = hint.models.get(&index.model).map_or((0, 0), |entry| (entry.epoch, entry.generation));
    let actual = (index.epoch, index.generation);
    if hinted < actual {
        let text = format!("{} is behind: the next change of the model brings it up", layout::HINT);
        findings.add(Severity::Info, None, text);
    } else if hinted > actual {
        let text = format!(
            "{} knows epoch {} and generation {}, model.json has {} and {}: an older state was put back; \
             `sidegate registry verify --raise-epoch` lets readers take it",
            layout::HINT,
            hinted.0,
            hinted.1,
            actual.0,
            actual.1
        );
        findings.error(None, text);
    }
    Ok(())
}

/// Signatures that a reader who asks for them would miss.
pub(super) fn signatures(index: &Index, keys: &Keys, findings: &mut Findings<'_>) {
    let default = index.default_version();
    for entry in index.ready() {
        let Some(version) = Version::new(entry.version) else { continue };
        let Some(manifest) = entry.manifest.as_deref().and_then(|digest| digest.parse().ok()) else {
            findings.add(
                Severity::Warning,
                Some(entry.version),
                "it has no manifest, so it cannot be signed",
            );
            continue;
        };
        let promoted = (default == Some(entry.version)).then_some(entry.stage);
        if let Err(error) = keys.check(index, findings.model, version, &manifest, promoted, None) {
            let severity = if promoted.is_some() { Severity::Error } else { Severity::Warning };
            findings.add(severity, Some(entry.version), error.detail);
            continue;
        }
        if promoted == Some(Stage::Production) && index.has_stale_promotion(version) {
            let text = format!(
                "its promotion to Production is not signed, only an older one is: sidecars that saw a later one \
                 refuse it; `sidegate registry sign {} {version} --key FILE` signs it",
                findings.model
            );
            findings.error(Some(entry.version), text);
        }
    }
}
