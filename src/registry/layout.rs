//! Keys of a registry: `<model>/model.json`, `<model>/<version>/<file>` and what is beside them. Nobody else spells
//! one.

use crate::format::Format;
use crate::model::{ModelName, Version};

/// The manifest inside a version's folder; written last.
pub const MANIFEST: &str = "manifest.json";
/// Golden examples inside a version's folder.
pub const GOLDEN: &str = "golden.json";
/// How features were distributed, inside a version's folder.
pub const PROFILE: &str = "profile.json";
/// How far each model is; see [`super::hint`]. No model is called so.
pub const HINT: &str = "_index.json";

/// A model's folder.
pub fn model(name: &ModelName) -> String {
    name.to_string()
}

/// The only mutable object of a model: which version serves.
pub fn index(name: &ModelName) -> String {
    format!("{name}/model.json")
}

/// A version's folder.
pub fn version(name: &ModelName, version: Version) -> String {
    format!("{name}/{version}")
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

/// The version that a key of a model belongs to.
pub fn version_of(name: &ModelName, key: &str) -> Option<Version> {
    let (version, _file) = key.strip_prefix(name.as_str())?.strip_prefix('/')?.split_once('/')?;
    version.parse().ok()
}

/// Where a model's older audit entries are.
pub fn segments(name: &ModelName) -> String {
    format!("{name}/audit")
}

/// The audit entries of these numbers; as text the keys sort like the numbers.
pub fn segment(name: &ModelName, first: u64, last: u64) -> String {
    format!("{name}/audit/{first:010}-{last:010}.json")
}

/// The numbers of the entries that a key below [`segments`] holds.
pub fn segment_range(key: &str) -> Option<(u64, u64)> {
    let (first, last) = key.rsplit('/').next()?.strip_suffix(".json")?.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?))
}

/// Where what is known of an experiment is published, phase by phase.
pub fn experiment(name: &str) -> String {
    format!("_experiments/{name}")
}

/// Where replicas publish what they know of one phase of an experiment.
pub fn experiment_phase(name: &str, phase: &str) -> String {
    format!("_experiments/{name}/{phase}")
}

/// What one replica knows.
pub fn experiment_sums(name: &str, phase: &str, replica: &str) -> String {
    format!("_experiments/{name}/{phase}/{replica}.sums")
}

/// Whether a key is one of these.
pub fn is_experiment_sums(key: &str) -> bool {
    key.ends_with(".sums")
}

/// What was decided, and on what.
pub fn experiment_standing(name: &str, phase: &str) -> String {
    format!("_experiments/{name}/{phase}/standing.json")
}

/// Where what replicas see of features is published.
pub const DRIFT: &str = "_drift";

/// That of a model, version by version.
pub fn drift_model(model: &str) -> String {
    format!("{DRIFT}/{model}")
}

/// That of a version, replica by replica.
pub fn drift_version(model: &str, version: &str) -> String {
    format!("{DRIFT}/{model}/{version}")
}

/// What one replica sees.
pub fn drift_window(model: &str, version: &str, replica: &str) -> String {
    format!("{DRIFT}/{model}/{version}/{replica}.json")
}

/// A segment of the predictions of a model, in a log of predictions, which is no registry and has a place of its own.
pub fn logged_predictions(model: &str, day: &str, name: &str) -> String {
    format!("{LOGGED_PREDICTIONS}/{model}/{day}/{name}")
}

/// Where segments of predictions are in such a log, of all models.
pub const LOGGED_PREDICTIONS: &str = "predictions";

/// A segment of outcomes in such a log.
pub fn logged_outcomes(day: &str, name: &str) -> String {
    format!("outcomes/{day}/{name}")
}

/// Where records of trainings are.
pub const RUNS: &str = "_runs";

/// Those of a model.
pub fn runs(model: &str) -> String {
    format!("{RUNS}/{model}")
}

/// The record of a training.
pub fn run(model: &str, run: &str) -> String {
    format!("{RUNS}/{model}/{run}.json")
}

/// Who trains a model by a schedule, until when, and how the last training ended. A folder keeps locks of its own in
/// `_locks`, by the first parts of keys; no key begins with this second part.
pub fn training_lock(model: &ModelName) -> String {
    format!("_locks/_train/{model}.json")
}

/// An object that is written and deleted to see whether a store keeps to conditions.
pub fn probe(id: &str) -> String {
    format!("_probe/{id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_they_are_written() {
        let name: ModelName = "churn".parse().unwrap();
        let seven = Version::new(7).unwrap();
        assert_eq!(version_of(&name, &file(&name, seven, MANIFEST)), Some(seven));
        for other in
            ["churn/model.json", "churn/audit/1-50.json", "churn2/7/manifest.json", "churn/07/x", "x"]
        {
            assert_eq!(version_of(&name, other), None, "{other}");
        }
        let key = segment(&name, 1, 50);
        assert_eq!(key, "churn/audit/0000000001-0000000050.json");
        assert_eq!(segment_range(&key), Some((1, 50)));
        assert_eq!(segment_range("churn/audit/notes.txt"), None);
    }
}
