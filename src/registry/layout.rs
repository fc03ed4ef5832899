//! Keys of a registry: `<model>/model.json` and `<model>/<version>/<file>`. Nobody else spells one.

use crate::format::Format;
use crate::model::{ModelName, Version};

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

/// The model file of a version, if it is of this format. `model.json` is XGBoost's here, and [`index`] one folder
/// further up.
pub fn model_file(name: &ModelName, version: Version, format: Format) -> String {
    file(name, version, format.file_name())
}

/// A file of a version.
pub fn file(name: &ModelName, version: Version, file: &str) -> String {
    format!("{name}/{version}/{file}")
}
