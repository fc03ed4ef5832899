//! What a reload changes.

use std::collections::BTreeSet;

use super::Config;
use super::file::path;
use super::key::Field;
use super::keys::KEYS;
use crate::model::ModelName;

/// A key whose value differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The key, with the model's name in it.
    pub key: String,
    /// Whether it waits for a restart.
    pub restart: bool,
}

/// The keys that differ between two configurations, in the order of the table. A model or an experiment that one of
/// them does not name has the defaults there.
pub fn changes(old: &Config, new: &Config) -> Vec<Change> {
    let mut changes = Vec::new();
    for key in KEYS {
        let names: BTreeSet<Option<&ModelName>> = match &key.field {
            Field::Once { .. } => BTreeSet::from([None]),
            Field::PerModel { .. } => old.models.keys().chain(new.models.keys()).map(Some).collect(),
            Field::PerExperiment { .. } => {
                old.definitions.keys().chain(new.definitions.keys()).map(Some).collect()
            }
        };
        let show = |config: &Config, name: Option<&ModelName>| match (&key.field, name) {
            (Field::Once { get, .. }, _) => get(config),
            (Field::PerModel { get, .. }, name) => {
                get(name.and_then(|name| config.models.get(name)).unwrap_or(&config.unnamed))
            }
            (Field::PerExperiment { get, .. }, name) => {
                get(name.and_then(|name| config.definitions.get(name)).unwrap_or(&config.undefined))
            }
        };
        let differ = names.into_iter().filter(|name| show(old, *name) != show(new, *name));
        changes.extend(differ.map(|name| Change { key: path(key, name), restart: key.restart }));
    }
    changes
}
