//! Gathers the layers into one configuration, value by value.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::check::Check;
use super::file::{self, Written};
use super::key::{Family, Field, Scope};
use super::keys::KEYS;
use super::machine::Machine;
use super::problem::{Origin, Problem};
use super::sources::MODEL_FILE;
use super::url::RegistryUrl;
use super::value::Value;
use super::{Config, ModelConfig};
use crate::experiment::{Definition, ExperimentName};
use crate::model::ModelName;

/// Keys that have a flag.
const FLAGS: &[(&str, &str)] = &[
    ("registry.url", "--registry"),
    ("http.listen", "--http"),
    ("http.uds", "--uds"),
    ("http.workers", "--workers"),
    ("admin.listen", "--admin"),
    ("engine.default", "--engine"),
    ("log.format", "--log"),
];

/// A configuration in the making.
pub(super) struct Assembly<'a> {
    pub(super) config: Config,
    /// Who wrote a key, or a table with a name.
    origins: BTreeMap<String, Origin>,
    /// Keys with a value that could not be read.
    unread: BTreeSet<String>,
    pub(super) problems: Vec<Problem>,
    machine: &'a Machine,
    /// Where this user's programs keep what they can get again.
    pub(super) cache: Option<PathBuf>,
}

// === impl Assembly ===

impl<'a> Assembly<'a> {
    /// The defaults of the table.
    pub(super) fn new(machine: &'a Machine) -> Self {
        let mut assembly = Self {
            config: Config::blank(),
            origins: BTreeMap::new(),
            unread: BTreeSet::new(),
            problems: Vec::new(),
            machine,
            cache: None,
        };
        for key in KEYS {
            let scope = Scope { range: &key.range, machine };
            let value = Value::from_default(key.default);
            let config = &mut assembly.config;
            let set = match &key.field {
                Field::Once { set, .. } => set(config, &value, &scope),
                Field::PerModel { set, .. } => set(&mut config.unnamed, &value, &scope),
                Field::PerExperiment { set, .. } => set(&mut config.undefined, &value, &scope),
            };
            debug_assert_eq!(set, Ok(()), "default of {}", key.path);
        }
        assembly
    }

    /// The settings of a model, which from now on is one that the configuration names.
    fn model(&mut self, name: &ModelName) -> &mut ModelConfig {
        let unnamed = &self.config.unnamed;
        self.config.models.entry(name.clone()).or_insert_with(|| unnamed.clone())
    }

    /// Takes note of a table with a name.
    pub(super) fn named(&mut self, family: Family, name: &ModelName, origin: Origin) {
        self.origins.insert(format!("{}.{name}", family.name()), origin);
        match family {
            Family::Models => drop(self.model(name)),
            Family::Experiments => drop(self.definition(name)),
        }
    }

    fn definition(&mut self, name: &ExperimentName) -> &mut Definition {
        let undefined = &self.config.undefined;
        self.config.definitions.entry(name.clone()).or_insert_with(|| undefined.clone())
    }

    /// Takes over a value, or notes what is wrong with it.
    pub(super) fn apply(&mut self, written: Written) {
        let scope = Scope { range: &written.key.range, machine: self.machine };
        let set = match (&written.key.field, &written.name) {
            (Field::Once { set, .. }, _) => set(&mut self.config, &written.value, &scope),
            (Field::PerModel { set, .. }, Some(name)) => set(self.model(name), &written.value, &scope),
            (Field::PerExperiment { set, .. }, Some(name)) => {
                set(self.definition(name), &written.value, &scope)
            }
            (Field::PerModel { .. }, None) => Err("belongs to a model: models.NAME".into()),
            (Field::PerExperiment { .. }, None) => Err("belongs to an experiment: experiments.NAME".into()),
        };
        self.note(written.path(), written.origin, set);
    }

    /// The same for a flag.
    pub(super) fn flag(&mut self, path: &str, value: &str) {
        if path == MODEL_FILE {
            let set = RegistryUrl::model_file(value).map(|url| self.config.registry.url = url);
            self.note("registry.url".into(), Origin::Flag(MODEL_FILE.into()), set);
            return;
        }
        let flag = FLAGS.iter().find(|(key, _)| *key == path).map_or(path, |(_, flag)| flag);
        let origin = Origin::Flag(flag.into());
        match file::find(path) {
            Some(key) => self.apply(Written { key, name: None, value: Value::Untyped(value.into()), origin }),
            None => self.problems.push(Problem { origin, key: None, text: "unknown key".into() }),
        }
    }

    fn note(&mut self, path: String, origin: Origin, set: Result<(), String>) {
        match set {
            Ok(()) => {
                self.origins.insert(path, origin);
            }
            Err(text) => {
                self.unread.insert(path.clone());
                self.problems.push(Problem { origin, key: Some(path), text });
            }
        }
    }

    /// The models or experiments that variables of the environment may name.
    pub(super) fn known(&self, family: Family) -> BTreeSet<ModelName> {
        let config = &self.config;
        if family == Family::Experiments {
            return config.definitions.keys().cloned().collect();
        }
        let named = config.models.keys().chain(config.registry.models.iter().flatten());
        let named = named.chain(&config.registry.required).chain(&config.default_model).cloned();
        named.chain(config.registry.url.single_model()).collect()
    }

    /// Applies the rules between keys, and puts the problems into order.
    pub(super) fn finish(self) -> (Config, BTreeMap<String, Origin>, Vec<Problem>) {
        let Self { mut config, origins, unread, mut problems, machine, cache } = self;
        let check = Check {
            config: &mut config,
            machine,
            cache: cache.as_deref(),
            origins: &origins,
            unread: &unread,
            problems: Vec::new(),
        };
        problems.extend(check.run());
        problems.sort_by_key(|problem| problem.origin.rank());
        (config, origins, problems)
    }
}
