//! Keys of a registry: `<model>/model.json` and `<model>/<version>/<file>`. Nobody else spells one.

use crate::model::{ModelName, Version};

/// The model file inside a version's folder.
pub const MODEL: &str = "model.onnx";
/// The manifest inside a version's folder; written last.
pub const MANIFEST: &str = "manifest.json";
/// Golden examples inside a version's folder.
pub const GOLDEN: &str = "golden.json";

/// A model's folder.
pub fn model(name: &ModelName) -> String {
    name.to_string()
}

/// The only mutable object of a model: which version serves.
pub fn index(name: &ModelName) -> String {
    format!("{name}/model.json")
}

/// A file of a version.
pub fn file(name: &ModelName, version: Version, file: &str) -> String {
    format!("{name}/{version}/{file}")
}
