//! What a model offers, as `ls` and `show` tell it; also of folders without a `model.json`.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};

use super::text;
use crate::cli::failure::Failure;
use crate::cli::table;
use crate::model::{LoadError, ModelName, Reason};
use crate::registry::index::{Index, State};
use crate::registry::manifest::Manifest;
use crate::registry::operations::{Summary, VersionSummary, summarize};
use crate::registry::store::StoreError;
use crate::registry::{Catalog, Listed, Registry, lost};

/// A model.
#[derive(Serialize)]
pub(super) struct Offer {
    /// Whether a `model.json` decides; without one the highest version serves.
    pub(super) managed: bool,
    /// Whether there was one, and it is gone.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) lost: bool,
    #[serde(flatten)]
    pub(super) summary: Summary,
    #[serde(skip)]
    listed: Vec<Listed>,
    #[serde(skip)]
    pub(super) index: Option<Arc<Index>>,
}

/// A version with what its manifest says.
#[derive(Serialize)]
pub(super) struct Detail {
    #[serde(flatten)]
    pub(super) summary: VersionSummary,
    /// Size of the model file.
    pub(super) bytes: Option<u64>,
    /// Evaluation metrics.
    pub(super) metrics: Value,
    /// Why nothing is known of its content.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) problem: Option<String>,
    #[serde(skip)]
    pub(super) manifest: Option<Manifest>,
}

/// Every name that can be a model's, in order.
pub(super) fn models(registry: &mut Registry) -> Result<Vec<ModelName>, Failure> {
    Ok(registry.survey(None, true)?.models)
}

// === impl Offer ===

impl Offer {
    /// What a model offers; `None` where there is no such model.
    ///
    /// An inner error when its `model.json` cannot be used.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) fn look(
        registry: &mut Registry,
        model: &ModelName,
    ) -> Result<Result<Option<Self>, LoadError>, StoreError> {
        let catalog = match registry.catalog(model)? {
            Ok(catalog) if catalog.is_empty() => return Ok(Ok(None)),
            Ok(catalog) => catalog,
            Err(error) => return Ok(Err(error)),
        };
        let store = registry.source().store;
        let lost = match store.filter(|_| !catalog.managed) {
            // Not worth failing for.
            Some(store) => lost::had_index(store, model).unwrap_or(false),
            None => false,
        };
        let index = catalog.index.clone();
        let summary = index.as_ref().map_or_else(|| bare(model, &catalog), |index| summarize(index));
        Ok(Ok(Some(Self { managed: catalog.managed, lost, summary, listed: catalog.versions, index })))
    }

    /// The same, for those who need it.
    pub(super) fn of(registry: &mut Registry, model: &ModelName) -> Result<Self, Failure> {
        Self::look(registry, model)??.ok_or_else(|| {
            Failure::Failed(format!(
                "the registry has no model `{model}`; `sidegate registry ls` shows what there is"
            ))
        })
    }

    /// Its versions in a stage, or all of them.
    pub(super) fn versions(
        &self,
        stage: Option<crate::model::Stage>,
    ) -> impl Iterator<Item = &VersionSummary> {
        let fits = move |version: &&VersionSummary| {
            stage.is_none_or(|stage| version.stage == stage && version.state == State::Ready)
        };
        self.summary.versions.iter().filter(fits)
    }

    /// What the manifest of a version says.
    ///
    /// # Errors
    /// When the store fails; what is wrong with the version is a part of the answer.
    pub(super) fn detail(&self, registry: &Registry, version: &VersionSummary) -> Result<Detail, LoadError> {
        let mut detail = Detail {
            summary: version.clone(),
            bytes: None,
            metrics: json!({}),
            problem: None,
            manifest: None,
        };
        let Some(listed) = self.listed.iter().find(|listed| listed.version.to_string() == version.version)
        else {
            return Ok(detail);
        };
        let model: ModelName =
            self.summary.model.parse().map_err(|error| LoadError::new(Reason::Parse, format!("{error}")))?;
        match registry.source().describe(&model, listed) {
            Ok(described) => {
                detail.bytes = Some(described.bytes);
                let metrics = described.manifest.as_ref().map(|manifest| manifest.metrics.value());
                detail.metrics = metrics.filter(Value::is_object).unwrap_or(detail.metrics);
                detail.manifest = described.manifest;
            }
            Err(error) if error.code == Reason::Unreachable => return Err(error),
            Err(error) => detail.problem = Some(error.detail),
        }
        Ok(detail)
    }
}

// === impl Detail ===

impl Detail {
    /// The heads of [`Detail::row`].
    pub(super) const HEADS: &[&str] = &["VERSION", "STAGE", "ALIASES", "STATE", "CREATED", "SIZE", "METRICS"];

    /// A line of a table.
    pub(super) fn row(&self) -> Vec<String> {
        let Self { summary, bytes, metrics, problem, .. } = self;
        vec![
            summary.version.clone(),
            summary.stage.name().to_owned(),
            text::list(&summary.aliases),
            text::state(&summary.state),
            text::cell(summary.created.as_deref()),
            table::bytes(&json!(bytes)),
            problem.as_deref().map_or_else(|| text::pairs(metrics), text::line),
        ]
    }
}

/// A model without a `model.json`: the highest version serves.
fn bare(model: &ModelName, catalog: &Catalog) -> Summary {
    let version = |listed: &Listed| VersionSummary {
        version: listed.version.to_string(),
        stage: listed.stage,
        aliases: Vec::new(),
        state: State::Ready,
        created: None,
        manifest: None,
    };
    Summary {
        model: model.to_string(),
        generation: 0,
        epoch: 0,
        default: catalog.versions.last().map(|listed| listed.version.to_string()),
        versions: catalog.versions.iter().map(version).collect(),
        hold: None,
        rollout: None,
    }
}
