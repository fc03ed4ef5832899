//! A registered model as a `model.json`.

use std::collections::BTreeMap;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::mlflow::types::{Alias, ModelVersion};
use crate::model::{ModelName, Stage, Version};
use crate::registry::index::{Index, IndexVersion, State, is_alias};

/// Aliases that say what a stage says, in order: the first that is set decides.
const MEANS: [(Stage, [&str; 2]); 2] =
    [(Stage::Production, ["production", "champion"]), (Stage::Staging, ["staging", "challenger"])];

/// A registered model as it is now.
pub(super) struct Snapshot {
    aliases: BTreeMap<String, Version>,
    /// Those that are complete.
    pub(super) versions: BTreeMap<Version, ModelVersion>,
}

// === impl Snapshot ===

impl Snapshot {
    /// Of what the server says.
    pub(super) fn new(aliases: Vec<Alias>, versions: Vec<ModelVersion>) -> Self {
        let ready = |version: &ModelVersion| matches!(version.status.as_str(), "READY" | "");
        let versions: BTreeMap<Version, ModelVersion> = versions
            .into_iter()
            .filter(ready)
            .filter_map(|version| Some((version.version.parse().ok()?, version)))
            .collect();
        let aliases = aliases
            .into_iter()
            .filter_map(|alias| Some((alias.alias, alias.version.parse().ok()?)))
            .filter(|(_, version)| versions.contains_key(version))
            .collect();
        Self { aliases, versions }
    }

    /// As a registry keeps it. It has no generation: MLflow counts none, and what it says now is what holds.
    pub(super) fn index(&self, model: &ModelName) -> Index {
        let mut index = Index::new(model);
        index.reserved = self.versions.keys().next_back().map_or(0, |version| version.get());
        index.versions = self
            .versions
            .iter()
            .map(|(version, row)| IndexVersion {
                version: version.get(),
                stage: self.stage(*version, row),
                manifest: None,
                created: time(row.creation_timestamp),
                state: State::Ready,
                rest: Default::default(),
            })
            .collect();
        // What reads as a stage or as a number could not be asked for by that name.
        let names = self.aliases.iter().filter(|(alias, _)| is_alias(alias));
        index.aliases = names.map(|(alias, version)| (alias.clone(), version.get())).collect();
        index
    }

    /// An alias goes before a stage, which MLflow's own page does not move any more: where one says which version is
    /// in Production, no other is.
    fn stage(&self, version: Version, row: &ModelVersion) -> Stage {
        let holder = |names: &[&str]| names.iter().find_map(|name| self.alias(name));
        for (stage, names) in MEANS {
            if holder(&names) == Some(version) {
                return stage;
            }
        }
        let stage = Stage::parse(&row.current_stage).unwrap_or_default();
        let taken = MEANS.iter().any(|(held, names)| *held == stage && holder(names).is_some());
        if taken { Stage::None } else { stage }
    }

    fn alias(&self, name: &str) -> Option<Version> {
        // MLflow finds aliases in any case.
        let found = self.aliases.iter().find(|(alias, _)| alias.eq_ignore_ascii_case(name));
        found.map(|(_, version)| *version)
    }
}

/// Milliseconds as RFC 3339.
fn time(milliseconds: i64) -> Option<String> {
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(milliseconds) * 1_000_000).ok()?;
    time.format(&Rfc3339).ok().filter(|_| milliseconds > 0)
}
