//! What a model has.

use serde::Serialize;

use super::{Index, LoadError, ModelName, Stage, State, Store, index};
use crate::registry::index::{Hold, IndexVersion, Rollout};

/// A model, for people.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// The model.
    pub model: String,
    /// Counts its changes.
    pub generation: u64,
    /// Goes before the generation.
    pub epoch: u64,
    /// What the plain name means.
    pub default: Option<String>,
    /// Every version that is listed, ascending, also those that are not complete.
    pub versions: Vec<VersionSummary>,
    /// What automation must not override.
    pub hold: Option<Hold>,
    /// A promotion that sidecars follow one after another.
    pub rollout: Option<Rollout>,
}

/// A version, for people.
#[derive(Clone, Debug, Serialize)]
pub struct VersionSummary {
    /// The number, as text.
    pub version: String,
    /// Its stage.
    pub stage: Stage,
    /// Aliases that point at it.
    pub aliases: Vec<String>,
    /// Whether its files are there.
    pub state: State,
    /// When it was registered.
    pub created: Option<String>,
    /// Digest of its manifest.
    pub manifest: Option<String>,
}

/// What a model has.
///
/// # Errors
/// When there is no such model or its index cannot be used.
pub fn show(store: &dyn Store, model: &ModelName) -> Result<Summary, LoadError> {
    Ok(summarize(&index(store, model)?))
}

/// What a model has whose index was read already.
pub fn summarize(index: &Index) -> Summary {
    let mut versions: Vec<_> = index.versions.iter().collect();
    versions.sort_by_key(|entry| entry.version);
    Summary {
        model: index.model.clone(),
        generation: index.generation,
        epoch: index.epoch,
        default: index.default_version().map(|version| version.to_string()),
        versions: versions.into_iter().map(|entry| summary(index, entry)).collect(),
        hold: index.hold.clone(),
        rollout: index.rollout.clone(),
    }
}

/// The versions in a stage, ascending; the last is the model in that stage.
///
/// # Errors
/// As [`show`].
pub fn get_models_by_stage(
    store: &dyn Store,
    model: &ModelName,
    stage: Stage,
) -> Result<Vec<VersionSummary>, LoadError> {
    let index = index(store, model)?;
    let entries = index.ready().into_iter().filter(|entry| entry.stage == stage);
    Ok(entries.map(|entry| summary(&index, entry)).collect())
}

fn summary(index: &Index, entry: &IndexVersion) -> VersionSummary {
    let aliases = index.aliases.iter().filter(|(_, version)| **version == entry.version);
    VersionSummary {
        version: entry.version.to_string(),
        stage: entry.stage,
        aliases: aliases.map(|(alias, _)| alias.clone()).collect(),
        state: entry.state.clone(),
        created: entry.created.clone(),
        manifest: entry.manifest.clone(),
    }
}
