//! The registry of an MLflow server as a store that is only read.
//!
//! What a registry keeps as objects, MLflow keeps as rows of its database and as artifacts. So the objects are made up
//! as they are asked for: `model.json` of the registered model with its aliases and stages, a version's model file of
//! its artifacts. Nothing above knows, and everything above holds: the cache, the checks, a server that goes away.

mod flavor;
mod index;
mod place;
mod version;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Body, Condition, Fault, Read, Stat, Store, StoreError};
use crate::mlflow::types::{ModelVersion, ModelVersions, Registered, RegisteredModels};
use crate::mlflow::{Problem, Server};
use crate::model::{ModelName, Version};
use crate::registry::digest::Digest;
use crate::registry::layout;
use index::Snapshot;
use version::Located;

/// Rows that are asked for at a time.
const PAGE: &str = "1000";
/// Pages that are read at most.
const PAGES: usize = 100;

/// Opens the bucket of this name with this prefix, where a version's files are in one.
pub type Buckets = Box<dyn Fn(&str, &str) -> Result<Box<dyn Store>, StoreError> + Send + Sync>;

/// An MLflow server's registry.
pub struct Mlflow {
    server: Server,
    buckets: Buckets,
    /// What is known of models since their `model.json` was last read.
    known: Mutex<BTreeMap<ModelName, Known>>,
}

#[derive(Default)]
struct Known {
    versions: BTreeMap<Version, ModelVersion>,
    located: BTreeMap<Version, Arc<Located>>,
}

/// What a key stands for.
enum Object {
    Index(ModelName),
    File(ModelName, Version, String),
    /// Nothing that MLflow has.
    Other,
}

// === impl Object ===

impl Object {
    fn of(key: &str) -> Self {
        let mut parts = key.split('/');
        let (model, second, third) = (parts.next(), parts.next(), parts.next());
        let Some(Ok(model)) = model.map(str::parse::<ModelName>) else { return Self::Other };
        match (second, third, parts.next()) {
            (Some(_), None, _) if key == layout::index(&model) => Self::Index(model),
            (Some(version), Some(file), None) => match version.parse() {
                Ok(version) => Self::File(model, version, file.to_owned()),
                Err(_) => Self::Other,
            },
            _ => Self::Other,
        }
    }
}

// === impl Mlflow ===

impl Mlflow {
    /// A store on a server's registry; nothing is asked of it yet.
    pub fn new(server: Server, buckets: Buckets) -> Self {
        Self { server, buckets, known: Mutex::default() }
    }

    /// Every registered model that can be served under its name.
    fn models(&self) -> Result<Vec<ModelName>, Problem> {
        let mut names = Vec::new();
        let mut token = String::new();
        for _ in 0..PAGES {
            let query = [("max_results", PAGE), ("page_token", token.as_str())];
            let query = if token.is_empty() { &query[..1] } else { &query[..] };
            let page: RegisteredModels = self.server.get("registered-models/search", query)?;
            for model in page.registered_models {
                match model.name.parse() {
                    Ok(name) => names.push(name),
                    Err(error) => tracing::debug!(%error, "a registered model is not followed"),
                }
            }
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        Ok(names)
    }

    /// What a model is now; `None` where there is none.
    fn snapshot(&self, model: &ModelName) -> Result<Option<Snapshot>, Problem> {
        let registered: Registered =
            match self.server.get("registered-models/get", &[("name", model.as_str())]) {
                Ok(registered) => registered,
                Err(problem) if problem.is_absent() => return Ok(None),
                Err(problem) => return Err(problem),
            };
        let filter = format!("name='{model}'");
        let (mut versions, mut token) = (Vec::new(), String::new());
        for _ in 0..PAGES {
            let query = [("filter", filter.as_str()), ("max_results", PAGE), ("page_token", token.as_str())];
            let query = if token.is_empty() { &query[..2] } else { &query[..] };
            let page: ModelVersions = self.server.get("model-versions/search", query)?;
            versions.extend(page.model_versions);
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        Ok(Some(Snapshot::new(registered.registered_model.aliases, versions)))
    }

    /// `model.json`, made up.
    fn index(&self, model: &ModelName) -> Result<Option<Vec<u8>>, Problem> {
        let Some(snapshot) = self.snapshot(model)? else { return Ok(None) };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.entry(model.clone()).or_default();
        // A number that was given again is another version.
        known.located.retain(|version, _| {
            let same = |now: &ModelVersion, then: &ModelVersion| {
                (now.creation_timestamp, &now.source) == (then.creation_timestamp, &then.source)
            };
            let (now, then) = (snapshot.versions.get(version), known.versions.get(version));
            now.zip(then).is_some_and(|(now, then)| same(now, then))
        });
        let bytes = snapshot.index(model).to_bytes();
        known.versions = snapshot.versions;
        Ok(Some(bytes))
    }

    /// Where a version's files are; `None` where there is no such version.
    fn located(&self, model: &ModelName, version: Version) -> Result<Option<Arc<Located>>, StoreError> {
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known().get(model).and_then(|known| known.located.get(&version).cloned());
        if found.is_some() {
            return Ok(found);
        }
        let Some(located) = Located::find(&self.server, &self.buckets, model, version)? else {
            return Ok(None);
        };
        let located = Arc::new(located);
        known().entry(model.clone()).or_default().located.insert(version, Arc::clone(&located));
        Ok(Some(located))
    }

    fn file(&self, model: &ModelName, version: Version, name: &str) -> Result<Option<Stat>, StoreError> {
        let Some(located) = self.located(model, version)? else { return Ok(None) };
        located.stat(&self.server, (model, version), name)
    }
}

impl Store for Mlflow {
    fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let fault = |problem| fault(prefix, problem);
        if prefix.is_empty() {
            return Ok(self.models().map_err(fault)?.iter().map(ModelName::to_string).collect());
        }
        let Ok(model) = prefix.parse() else { return Ok(Vec::new()) };
        let snapshot = self.snapshot(&model).map_err(fault)?;
        let versions = snapshot.map(|snapshot| snapshot.versions).unwrap_or_default();
        Ok(versions.keys().map(Version::to_string).collect())
    }

    fn keys(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let fault = |problem| fault(prefix, problem);
        let (model, below) =
            prefix.split_once('/').map_or((prefix, None), |(model, rest)| (model, Some(rest)));
        let models = match model.parse() {
            Ok(model) => vec![model],
            Err(_) if prefix.is_empty() => self.models().map_err(fault)?,
            Err(_) => Vec::new(),
        };
        let mut keys = Vec::new();
        for model in models {
            let Some(snapshot) = self.snapshot(&model).map_err(fault)? else { continue };
            keys.extend(Some(layout::index(&model)).filter(|_| below.is_none()));
            for version in snapshot.versions.keys() {
                if below.is_some_and(|below| below != version.to_string()) {
                    continue;
                }
                match self.located(&model, *version) {
                    Ok(located) => keys.extend(
                        located
                            .iter()
                            .flat_map(|located| located.names())
                            .map(|name| layout::file(&model, *version, name)),
                    ),
                    // One that cannot be served has nothing to show.
                    Err(StoreError { fault: Fault::Missing(_), .. }) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(keys)
    }

    fn stat(&self, key: &str) -> Result<Option<Stat>, StoreError> {
        match Object::of(key) {
            Object::Index(model) => {
                let index = self.index(&model).map_err(|problem| fault(key, problem))?;
                index.map(|index| give(key, &index, u64::MAX, &mut io::sink())).transpose()
            }
            Object::File(model, version, name) => self.file(&model, version, &name),
            Object::Other => Ok(None),
        }
    }

    fn read(&self, key: &str, max: u64, known: Option<&str>) -> Result<Read, StoreError> {
        let mut bytes = Vec::new();
        let Some(stat) = self.download(key, max, &mut bytes)? else { return Ok(Read::Absent) };
        let token = stat.token;
        Ok(if known == Some(&token) { Read::Unchanged } else { Read::Object { bytes, token } })
    }

    fn download(&self, key: &str, max: u64, sink: &mut dyn io::Write) -> Result<Option<Stat>, StoreError> {
        match Object::of(key) {
            Object::Index(model) => {
                let index = self.index(&model).map_err(|problem| fault(key, problem))?;
                index.map(|index| give(key, &index, max, sink)).transpose()
            }
            Object::File(model, version, name) => match self.located(&model, version)? {
                Some(located) => located.download(&self.server, (&model, version), &name, max, sink),
                None => Ok(None),
            },
            Object::Other => Ok(None),
        }
    }

    fn write(&self, key: &str, _: Body<'_>, _: Condition<'_>) -> Result<String, StoreError> {
        Err(read_only(key))
    }

    fn delete(&self, key: &str) -> Result<(), StoreError> {
        Err(read_only(key))
    }

    fn is_remote(&self) -> bool {
        true
    }
}

/// Bytes that are here already.
fn give(key: &str, bytes: &[u8], max: u64, sink: &mut dyn io::Write) -> Result<Stat, StoreError> {
    let length = bytes.len() as u64;
    if length > max {
        return Err(StoreError::new(key, Fault::TooLarge { bytes: length, max }));
    }
    sink.write_all(bytes).map_err(|error| StoreError::new(key, Fault::Local(error)))?;
    Ok(Stat { bytes: length, token: token(bytes), settled: true })
}

fn token(bytes: &[u8]) -> String {
    Digest::of(bytes, &mut || ()).to_string()
}

fn read_only(key: &str) -> StoreError {
    let text = "the registry of an MLflow server is only read; register and promote there, or write to a folder or a \
                bucket of its own";
    StoreError::new(key, Fault::Refused(text.into()))
}

/// What a problem with the server means for a store.
fn fault(key: &str, problem: Problem) -> StoreError {
    let fault = match problem {
        Problem::Unreachable(words) => Fault::Unreachable(words),
        Problem::Denied(words) => Fault::Denied(words),
        Problem::Throttled(words) => Fault::Throttled(words),
        Problem::TooLarge { bytes, max } => Fault::TooLarge { bytes, max },
        Problem::Local(error) => Fault::Local(error),
        // To a store that is no answer: the next look may have a better one.
        Problem::Refused { status: 500.., message, .. } => Fault::Unreachable(message),
        Problem::Refused { message, .. } => Fault::Refused(message),
    };
    StoreError::new(key, fault)
}
