//! The store of a registry for people: its faults say which place they are of, and a writer that waits says so.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::cli::complain;
use crate::config::{self, RegistryUrl};
use crate::registry::store::{Body, Condition, Fault, Read, Stat, Store, StoreError};

/// After so much silence a person is told that it is being waited for.
const PATIENCE: Duration = Duration::from_millis(1500);

/// A store with the name of its place.
pub(super) struct Named {
    store: Box<dyn Store>,
    place: String,
    /// Since when it does not answer, and whether that was told; `None` where nobody tries again.
    silence: Option<Mutex<Silence>>,
}

#[derive(Default)]
struct Silence {
    since: Option<Instant>,
    is_told: bool,
}

/// Where a registry is, and which keys say so.
pub(super) fn place(config: &config::Registry) -> String {
    let url = &config.url;
    match (url, &config.endpoint) {
        (RegistryUrl::S3 { .. }, Some(endpoint)) => {
            format!("the registry {url} at {} (registry.url, registry.endpoint)", endpoint.as_str())
        }
        (RegistryUrl::S3 { .. }, None) => format!(
            "the registry {url} (registry.url; registry.endpoint is not set: AWS, or what AWS_ENDPOINT_URL or the profile \
             names)"
        ),
        (RegistryUrl::SageMaker(_), _) => format!("what SageMaker lays at {url} (registry.url)"),
        (RegistryUrl::Mlflow(url), _) => format!("the registry of MLflow at {url} (registry.url)"),
        (RegistryUrl::File(path) | RegistryUrl::SingleFile(path), _) => {
            let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
            format!("the registry {} (registry.url)", path.display())
        }
    }
}

// === impl Named ===

impl Named {
    /// That of somebody who asks once.
    pub(super) fn reader(store: Box<dyn Store>, place: String) -> Self {
        Self { store, place, silence: None }
    }

    /// That of somebody who tries again.
    pub(super) fn writer(store: Box<dyn Store>, place: String) -> Self {
        Self { store, place, silence: Some(Mutex::default()) }
    }

    fn call<T>(&self, ask: impl FnOnce(&dyn Store) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let begun = Instant::now();
        let answer = ask(&*self.store);
        if let Some(silence) = &self.silence {
            let mut silence = silence.lock().unwrap_or_else(PoisonError::into_inner);
            match &answer {
                Err(error) if error.fault.may_have_happened() => self.wait(&mut silence, begun, &error.fault),
                _ => silence.since = None,
            }
        }
        answer.map_err(|error| self.name(error))
    }

    fn wait(&self, silence: &mut Silence, begun: Instant, fault: &Fault) {
        let since = *silence.since.get_or_insert(begun);
        if !silence.is_told && since.elapsed() >= PATIENCE {
            silence.is_told = true;
            complain(&format!("{} does not answer ({fault}); trying again for up to 30 s\n", self.place));
        }
    }

    /// Of a place that cannot be used it is of no use to know which object was asked for.
    fn name(&self, error: StoreError) -> StoreError {
        let is_of_the_place = match &error.fault {
            Fault::Throttled(_) | Fault::Unreachable(_) | Fault::Refused(_) => true,
            Fault::Denied(_) => error.key.is_empty() || error.key.starts_with('_'),
            Fault::Local(_) => error.key.is_empty(),
            Fault::TooLarge { .. } | Fault::Conflict | Fault::Changed | Fault::Missing(_) => false,
        };
        if is_of_the_place { StoreError { key: self.place.clone(), ..error } } else { error }
    }
}

impl Store for Named {
    fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.call(|store| store.list(prefix))
    }

    fn keys(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.call(|store| store.keys(prefix))
    }

    fn stat(&self, key: &str) -> Result<Option<Stat>, StoreError> {
        self.call(|store| store.stat(key))
    }

    fn read(&self, key: &str, max: u64, known: Option<&str>) -> Result<Read, StoreError> {
        self.call(|store| store.read(key, max, known))
    }

    fn download(&self, key: &str, max: u64, sink: &mut dyn io::Write) -> Result<Option<Stat>, StoreError> {
        self.call(|store| store.download(key, max, sink))
    }

    fn write(&self, key: &str, body: Body<'_>, condition: Condition<'_>) -> Result<String, StoreError> {
        self.call(|store| store.write(key, body, condition))
    }

    fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.call(|store| store.delete(key))
    }

    fn is_remote(&self) -> bool {
        self.store.is_remote()
    }
}
