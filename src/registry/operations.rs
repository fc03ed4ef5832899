//! What is done with a registry, one file each. Changes are functions on a [`Draft`] that a [`Writer`] makes; what
//! only reads takes a [`Store`], so that it needs no right to write.

mod alias;
mod compare;
mod epoch;
mod gc;
mod hold;
mod lineage;
mod log;
mod production;
mod promote;
mod register;
mod rollback;
mod rule;
mod show;
mod sign;
mod verify;
mod vet;

pub use alias::{remove_alias, set_alias};
pub use compare::{Better, Comparison, Difference, MetricComparison, Side, Sizes, compare};
pub use epoch::raise_epoch;
pub use gc::{Gc, Swept, gc};
pub use hold::{hold, release};
pub use lineage::{Lineage, LineageVersion, lineage};
pub use log::{log, production_at};
pub use production::Tenure;
pub use promote::{Promoted, Promotion, promote};
pub use register::{Registered, Registration, register};
pub use rollback::{Rollback, RolledBack, rollback};
pub use rule::rule;
pub use show::{Summary, VersionSummary, get_models_by_stage, show, summarize};
pub use sign::sign;
pub use verify::{Finding, Severity, verify, verify_all};

use super::index::{AuditEntry, Index, IndexVersion, State};
use super::manifest::Manifest;
use super::store::Store;
use super::writer::{ChangeError, Done, Draft, Writer};
use super::{MAX_INDEX_BYTES, MAX_JSON_BYTES, digest::Digest, layout, lost, missing, unreachable};
use crate::model::{LoadError, ModelName, Reason, Stage, Version};

/// A model's index, for those who only read.
fn index(store: &dyn Store, model: &ModelName) -> Result<Index, LoadError> {
    let read = store.read(&layout::index(model), MAX_INDEX_BYTES, None).map_err(unreachable)?;
    match read.bytes() {
        Some(bytes) => Index::parse_of(model, &bytes),
        None => Err(LoadError::new(Reason::MissingFile, lost::absent(store, model).map_err(unreachable)?)),
    }
}

/// The manifest that the index names; `None` for a version that was taken over without one.
fn manifest(
    store: &dyn Store,
    model: &ModelName,
    entry: &IndexVersion,
) -> Result<Option<Manifest>, LoadError> {
    let version = number(entry)?;
    let read = store.read(&layout::file(model, version, layout::MANIFEST), MAX_JSON_BYTES, None);
    let (bytes, named) = (read.map_err(unreachable)?.bytes(), entry.manifest.as_deref());
    match (bytes, named) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err(missing(layout::MANIFEST)),
        (Some(bytes), Some(named)) if Digest::of(&bytes, &mut || ()).to_string() != named => {
            let detail = format!("manifest.json of version {version} is not the one model.json names");
            Err(LoadError::new(Reason::BadDigest, detail))
        }
        (Some(bytes), _) => Manifest::parse(&bytes, model, version).map(Some),
    }
}

fn number(entry: &IndexVersion) -> Result<Version, LoadError> {
    Version::new(entry.version)
        .ok_or_else(|| LoadError::new(Reason::Parse, "model.json lists version 0; versions start at 1"))
}

/// Refuses a change of a model that is not there; only `register` makes one.
fn must_exist(writer: &Writer, draft: &Draft, model: &ModelName) -> Result<(), ChangeError> {
    let is_new = draft.index.generation == 0 && draft.index.versions.is_empty();
    if is_new { Err(writer.absent(model)) } else { Ok(()) }
}

/// A complete version's entry.
fn ready(index: &Index, version: Version) -> Result<&IndexVersion, ChangeError> {
    let model = &index.model;
    match index.version(version) {
        Some(entry) if entry.state == State::Ready => Ok(entry),
        Some(IndexVersion { state: State::Uploading { owner, .. }, .. }) => Err(ChangeError::refused(
            format!("version {version} of `{model}` is still being uploaded by {owner}"),
        )),
        Some(_) => Err(ChangeError::refused(format!("version {version} of `{model}` was deleted"))),
        None => {
            let there: Vec<String> = index.ready().iter().map(|entry| entry.version.to_string()).collect();
            let there = if there.is_empty() { "none".into() } else { there.join(", ") };
            Err(ChangeError::refused(format!("`{model}` has no version {version}; it has {there}")))
        }
    }
}

/// Moves a version to a stage.
fn set_stage(index: &mut Index, version: u64, stage: Stage) {
    for entry in index.versions.iter_mut().filter(|entry| entry.version == version) {
        entry.stage = stage;
    }
}

fn entry(verb: &str) -> AuditEntry {
    AuditEntry { verb: verb.into(), ..AuditEntry::default() }
}

fn stage_text(stage: Stage) -> Option<String> {
    Some(stage.name().to_owned())
}

#[cfg(test)]
mod tests;
