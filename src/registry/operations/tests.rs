use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Duration;

use serde_json::{Value, json};
use time::OffsetDateTime;

use super::*;
use crate::registry::Registry;
use crate::registry::clock::{self, Clock};
use crate::registry::signature::{Keys, SigningKey};
use crate::registry::store::Folder;

mod deciding;
mod keeping;
mod reading;
mod telling;

/// A clock that moves when told to.
#[derive(Clone, Default)]
struct Hand(Arc<AtomicI64>);

impl Clock for Hand {
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(1_800_000_000 + self.0.load(Relaxed)).unwrap()
    }

    fn sleep(&self, pause: Duration) {
        self.0.fetch_add(pause.as_secs() as i64, Relaxed);
    }

    fn random(&self) -> u64 {
        rand::random()
    }
}

/// A registry in a folder, and local files to register.
struct Bench {
    root: tempfile::TempDir,
    files: tempfile::TempDir,
    clock: Hand,
    writer: Writer,
    model: ModelName,
}

impl Bench {
    fn new() -> Self {
        let (root, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let clock = Hand::default();
        let writer =
            Writer::with_clock(Box::new(Folder::new(root.path())), "ann@host", Box::new(clock.clone()));
        Self { root, files, clock, writer, model: "churn".parse().unwrap() }
    }

    fn wait(&self, seconds: i64) {
        self.clock.0.fetch_add(seconds, Relaxed);
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.files.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn path(&self, key: &str) -> PathBuf {
        self.root.path().join(key)
    }

    /// Registers the next version with content of its own.
    fn version(&self) -> Version {
        let content = format!("model {}", self.clock.random());
        let registration = Registration::new(self.file("some.onnx", content.as_bytes()));
        let done = register(&self.writer, &self.model, &registration, None, &mut |_, _, _| ());
        Version::new(done.unwrap().value.version).unwrap()
    }

    fn promote(&self, version: Version, stage: Stage) -> Done<Promoted> {
        self.wait(1);
        promote(&self.writer, &self.model, &Promotion::new(version, stage), None).unwrap()
    }

    fn index(&self) -> Index {
        self.writer.read(&self.model).unwrap()
    }

    /// Stages by version, as `1 Archived, 2 Production`.
    fn stages(&self) -> String {
        let index = self.index();
        let texts =
            index.ready().iter().map(|e| format!("{} {}", e.version, e.stage.name())).collect::<Vec<_>>();
        texts.join(", ")
    }

    /// Readers take what the registry has.
    fn readable(&self) -> Vec<u64> {
        let mut registry = Registry::new(Box::new(Folder::new(self.root.path())), None);
        let catalog = registry.catalog(&self.model).unwrap().unwrap();
        for listed in &catalog.versions {
            let described = registry.source().describe(&self.model, listed).unwrap();
            registry.source().fetch(&self.model, listed.version, described, &mut || ()).map(drop).unwrap();
        }
        catalog.versions.iter().map(|listed| listed.version.get()).collect()
    }
}

/// The tests name what differs.
fn rollback(
    writer: &Writer,
    model: &ModelName,
    to: Option<Version>,
    why: &str,
    key: Option<&SigningKey>,
) -> Result<Done<RolledBack>, ChangeError> {
    super::rollback(writer, model, &Rollback { to, why: why.into(), check: true }, key)
}

fn v(number: u64) -> Version {
    Version::new(number).unwrap()
}

fn refusal<T>(result: Result<T, ChangeError>) -> String {
    result.err().expect("a refusal").to_string()
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}
