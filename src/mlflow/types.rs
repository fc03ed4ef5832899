//! What MLflow says, as far as it is asked for.

use serde::Deserialize;

/// An answer of which nothing is wanted.
#[derive(Debug, Deserialize)]
pub struct Nothing {}

/// `registered-models/search`
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct RegisteredModels {
    /// A page of them.
    pub registered_models: Vec<RegisteredModel>,
    /// Where the next page begins; empty at the last.
    pub next_page_token: String,
}

/// `registered-models/get`
#[derive(Debug, Deserialize)]
pub struct Registered {
    /// The model.
    pub registered_model: RegisteredModel,
}

/// A registered model.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct RegisteredModel {
    /// Its name.
    pub name: String,
    /// Movable names of its versions.
    pub aliases: Vec<Alias>,
}

/// An alias.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Alias {
    /// The name.
    pub alias: String,
    /// The version.
    pub version: String,
}

/// `model-versions/search`
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ModelVersions {
    /// A page of them.
    pub model_versions: Vec<ModelVersion>,
    /// Where the next page begins; empty at the last.
    pub next_page_token: String,
}

/// `model-versions/create`
#[derive(Debug, Deserialize)]
pub struct Version {
    /// The version.
    pub model_version: ModelVersion,
}

/// A version of a registered model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ModelVersion {
    /// Its number.
    pub version: String,
    /// `None`, `Staging`, `Production` or `Archived`.
    pub current_stage: String,
    /// `READY`, or not yet.
    pub status: String,
    /// When it was made, milliseconds.
    pub creation_timestamp: i64,
    /// Where it was registered from.
    pub source: String,
}

/// `model-versions/get-download-uri`
#[derive(Debug, Deserialize)]
pub struct DownloadUri {
    /// Where its artifacts are.
    pub artifact_uri: String,
}

/// A list of artifacts.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Artifacts {
    /// Files and folders.
    pub files: Vec<ArtifactFile>,
}

/// A file or folder of a list.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ArtifactFile {
    /// Below the folder that was listed.
    pub path: String,
    /// Whether it is a folder.
    pub is_dir: bool,
}
