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

/// The keys that differ between two configurations, in the order of the table. A model that one of them does not
/// name has the defaults there.
pub fn changes(old: &Config, new: &Config) -> Vec<Change> {
    let models: BTreeSet<&ModelName> = old.models.keys().chain(new.models.keys()).collect();
    let mut changes = Vec::new();
    for key in KEYS {
        let mut differ = |name: Option<&ModelName>| {
            changes.push(Change { key: path(key, name), restart: key.restart });
        };
        match &key.field {
            Field::Once { get, .. } if get(old) != get(new) => differ(None),
            Field::Once { .. } => {}
            Field::PerModel { get, .. } => {
                let show = |config: &Config, name: &ModelName| {
                    get(config.models.get(name).unwrap_or(&config.unnamed))
                };
                models.iter().filter(|n| show(old, n) != show(new, n)).for_each(|name| differ(Some(name)));
            }
        }
    }
    changes
}
