//! Where the versions of a model come from.

use serde::Serialize;
use serde_json::{Map, Value};

use super::{LoadError, ModelName, Stage, Store, index, manifest};
use crate::registry::format::Raw;
use crate::registry::manifest::Manifest;

/// Where the versions of a model come from.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Lineage {
    /// The model.
    pub model_name: String,
    /// Every complete version, by number.
    pub versions: Vec<LineageVersion>,
}

/// Where one comes from.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LineageVersion {
    /// The number, as text.
    pub version: String,
    /// Its stage.
    pub stage: Stage,
    /// When it was registered, RFC 3339.
    pub created: Option<String>,
    /// The training run.
    pub run_id: Option<String>,
    /// What it was trained on: the tag `data_source`, and what the lineage names as data.
    pub data_sources: Vec<String>,
    /// Training parameters.
    pub training_params: Value,
    /// Evaluation metrics.
    pub performance_metrics: Value,
    /// Free labels.
    pub tags: Value,
    /// The version it was made from.
    pub parent: Option<String>,
    /// The code that made it.
    pub code: Option<String>,
    /// What it was measured against before it was let through.
    pub gate: Value,
    /// Why its manifest could not be read, in which case little is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// Where the versions of a model come from.
///
/// # Errors
/// When there is no such model or its index cannot be used.
pub fn lineage(store: &dyn Store, model: &ModelName) -> Result<Lineage, LoadError> {
    let index = index(store, model)?;
    let mut versions = Vec::new();
    for entry in index.ready() {
        let (manifest, problem) = match manifest(store, model, entry) {
            Ok(manifest) => (manifest, None),
            Err(error) => (None, Some(error.detail)),
        };
        let of = |get: fn(&Manifest) -> &Raw| {
            let value = manifest.as_ref().map(get).filter(|value| !value.is_null());
            value.map_or_else(|| Value::Object(Map::new()), Raw::value)
        };
        let (tags, lineage) = (of(|manifest| &manifest.tags), of(|manifest| &manifest.lineage));
        let mut data_sources = texts(tags.get("data_source"));
        for source in texts(lineage.get("data")) {
            if !data_sources.contains(&source) {
                data_sources.push(source);
            }
        }
        let named = |name: &str| texts(lineage.get(name)).into_iter().next();
        versions.push(LineageVersion {
            version: entry.version.to_string(),
            stage: entry.stage,
            created: entry.created.clone(),
            run_id: named("run"),
            data_sources,
            training_params: of(|manifest| &manifest.params),
            performance_metrics: of(|manifest| &manifest.metrics),
            parent: named("parent"),
            code: named("code"),
            gate: of(|manifest| &manifest.gate),
            tags,
            problem,
        });
    }
    Ok(Lineage { model_name: model.to_string(), versions })
}

/// A text or number, or a list of them, as texts.
fn texts(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::String(text)) => vec![text.clone()],
        Some(Value::Number(number)) => vec![number.to_string()],
        Some(Value::Array(list)) => list.iter().flat_map(|value| texts(Some(value))).collect(),
        _ => Vec::new(),
    }
}
