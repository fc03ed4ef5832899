//! What a sidecar keeps of its registry on its own disk, so that it starts without one: verified files by their digest,
//! the last `model.json` of each model, what served last and what before that. Beside them, what this sidecar alone
//! decides: pins, and versions set aside because they brought a process down.
//!
//! Nothing read here is trusted: bytes are digested again at every read. Nothing here is needed: a folder that cannot
//! be written, is full or was emptied costs a download, never a prediction.

mod blobs;
mod notes;

use std::cmp::Reverse;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::digest::Digest;
use super::{Listed, format};
use crate::model::{ModelName, Stage, Version};

pub use blobs::{Intake, IntakeError};
pub use notes::{Loading, Quarantine};

/// An unfinished file that was not written to for so long is left over, where locks do not tell.
const LEFT_OVER: Duration = Duration::from_secs(24 * 3600);

/// The folder of one registry within the cache. Cloning it is cheap; every clone is the same folder.
#[derive(Clone, Debug)]
pub struct Cache {
    root: PathBuf,
}

/// What served a model's plain name last: enough to load it again from blobs alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Served {
    format: u64,
    /// The version.
    pub version: u64,
    /// Its stage at that time.
    pub stage: Stage,
    /// When it was registered, RFC 3339.
    pub created: Option<String>,
    /// Its change token.
    pub token: String,
    /// Digest of its manifest, unless it had none.
    pub manifest: Option<String>,
    /// Name and digest of its model file.
    pub model: (String, String),
    /// Digest of its golden examples, if there were any.
    pub golden: Option<String>,
    /// Digest of how its features were distributed, if it says so.
    #[serde(default)]
    pub profile: Option<String>,
}

/// A version that an operator of this sidecar fixed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    format: u64,
    /// The version that serves whatever the registry says.
    pub version: u64,
    /// Since when, RFC 3339.
    pub at: String,
}

/// The newest signed promotion that was followed, so that an older one is known for a replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Promoted {
    format: u64,
    epoch: u64,
    generation: u64,
}

// === impl Cache ===

impl Cache {
    /// The folder for the registry at `url` within `dir`; nothing is made before something is written.
    pub fn new(dir: &Path, url: &str) -> Self {
        let id = Digest::of(url.as_bytes(), &mut || ()).to_string();
        Self { root: dir.join(&id["sha256:".len()..][..16]) }
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The last `model.json` that was accepted.
    pub fn index(&self, model: &ModelName) -> Option<Vec<u8>> {
        fs::read(self.path("indexes", model.as_str())).ok()
    }

    /// Keeps a `model.json` that was accepted.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn keep_index(&self, model: &ModelName, bytes: &[u8]) -> io::Result<()> {
        self.replace(&self.path("indexes", model.as_str()), bytes)
    }

    /// Models of which something is kept that can serve, those first that served last.
    pub fn models(&self) -> Vec<ModelName> {
        let entries = fs::read_dir(self.root.join("served")).into_iter().flatten().flatten();
        let mut models: Vec<(Reverse<SystemTime>, ModelName)> = entries
            .filter_map(|entry| {
                let name = entry.file_name().to_str()?.parse().ok()?;
                Some((Reverse(entry.metadata().ok()?.modified().ok()?), name))
            })
            .collect();
        models.sort();
        models.into_iter().map(|(_, name)| name).collect()
    }

    /// What served a model last.
    pub fn served(&self, model: &ModelName) -> Option<Served> {
        self.record("served", model)
    }

    /// Keeps what serves a model now.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn keep_served(&self, model: &ModelName, served: &Served) -> io::Result<()> {
        self.write_record("served", model, served)
    }

    /// What served a model before the present version: where a rollback of this sidecar goes when it is not in memory.
    pub fn former(&self, model: &ModelName) -> Option<Served> {
        self.record("former", model)
    }

    /// Keeps what served a model before.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn keep_former(&self, model: &ModelName, served: &Served) -> io::Result<()> {
        self.write_record("former", model, served)
    }

    /// The version that this sidecar is pinned to.
    pub fn pin(&self, model: &ModelName) -> Option<Version> {
        self.record::<Pin>("pins", model).and_then(|pin| Version::new(pin.version))
    }

    /// Keeps a pin, or none.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn keep_pin(&self, model: &ModelName, version: Option<Version>, at: &str) -> io::Result<()> {
        match version {
            Some(version) => {
                let pin = Pin { format: format::FORMAT, version: version.get(), at: at.into() };
                self.write_record("pins", model, &pin)
            }
            None => remove(&self.path("pins", model.as_str())),
        }
    }

    /// Epoch and generation of the newest signed promotion that was followed.
    pub fn promoted(&self, model: &ModelName) -> Option<(u64, u64)> {
        self.record::<Promoted>("promoted", model).map(|promoted| (promoted.epoch, promoted.generation))
    }

    /// Keeps the newest signed promotion that was followed.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn keep_promoted(&self, model: &ModelName, (epoch, generation): (u64, u64)) -> io::Result<()> {
        self.write_record("promoted", model, &Promoted { format: format::FORMAT, epoch, generation })
    }

    fn path(&self, kind: &str, name: &str) -> PathBuf {
        self.root.join(kind).join(name)
    }

    fn record<T: DeserializeOwned>(&self, kind: &str, model: &ModelName) -> Option<T> {
        let bytes = fs::read(self.path(kind, model.as_str())).ok()?;
        let record = format::parse(kind, &bytes);
        if let Err(error) = &record {
            tracing::warn!(%model, %error, "a record of the cache cannot be read and is left out");
        }
        record.ok()
    }

    fn write_record<T: Serialize>(&self, kind: &str, model: &ModelName, record: &T) -> io::Result<()> {
        let bytes = serde_json::to_vec_pretty(record).map_err(io::Error::other)?;
        self.replace(&self.path(kind, model.as_str()), &bytes)
    }

    /// Writes a small file so that it is there as a whole or not at all.
    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let (mut file, unfinished) = self.unfinished()?;
        let written = file.write_all(bytes).and_then(|()| file.sync_all());
        crate::failpoint::at("written");
        let placed = written.and_then(|()| place(&unfinished, path));
        if placed.is_err() {
            let _ = fs::remove_file(unfinished);
        }
        placed
    }

    /// A new file that nobody else writes; whoever made it holds its lock, so that left-overs can be told.
    fn unfinished(&self) -> io::Result<(File, PathBuf)> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let folder = self.root.join("unfinished");
        fs::create_dir_all(&folder)?;
        loop {
            let name = format!("{}-{}", std::process::id(), NUMBER.fetch_add(1, Relaxed));
            let path = folder.join(name);
            match private().create_new(true).open(&path) {
                Ok(file) => {
                    return match taken(file.try_lock()) {
                        Ok(_) => Ok((file, path)),
                        Err(error) => {
                            let _ = fs::remove_file(path);
                            Err(error)
                        }
                    };
                }
                // Processes in containers often have the same number.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Removes what processes that are no more left unfinished.
    pub fn clean(&self) {
        for entry in fs::read_dir(self.root.join("unfinished")).into_iter().flatten().flatten() {
            let Ok(file) = File::open(entry.path()) else { continue };
            let left = match taken(file.try_lock()) {
                Ok(true) => true,
                // Whether somebody writes it cannot be told; nobody writes for so long.
                Ok(false) => is_older(&file, LEFT_OVER),
                Err(_) => false,
            };
            if left {
                let _ = fs::remove_file(entry.path());
                crate::failpoint::at("cleaned");
            }
        }
    }
}

impl Served {
    /// The record of a version that was loaded.
    pub fn new(
        listed: &Listed,
        model: (String, Digest),
        golden: Option<Digest>,
        profile: Option<Digest>,
    ) -> Self {
        Self {
            format: format::FORMAT,
            version: listed.version.get(),
            stage: listed.stage,
            created: listed.created.clone(),
            token: listed.token.clone(),
            manifest: listed.manifest.map(|digest| digest.to_string()),
            model: (model.0, model.1.to_string()),
            golden: golden.map(|digest| digest.to_string()),
            profile: profile.map(|digest| digest.to_string()),
        }
    }
}

impl Served {
    /// Every file that it needs.
    pub fn digests(&self) -> Vec<Digest> {
        let optional = self.manifest.iter().chain(&self.golden).chain(&self.profile);
        optional.chain([&self.model.1]).filter_map(|digest| digest.parse().ok()).collect()
    }
}

/// Options for a file that only its owner reads: models may be worth protecting.
fn private() -> fs::OpenOptions {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = File::options();
    options.read(true).write(true).mode(0o600);
    options
}

/// Whether a lock was taken. Where the filesystem has no locks, as some of NFS, the file is used without.
fn taken(lock: Result<(), TryLockError>) -> io::Result<bool> {
    const NO_LOCKS: [i32; 3] = [libc::ENOLCK, libc::ENOSYS, libc::EOPNOTSUPP];
    match lock {
        Ok(()) => Ok(true),
        Err(TryLockError::Error(error))
            if error.kind() == io::ErrorKind::Unsupported
                || error.raw_os_error().is_some_and(|code| NO_LOCKS.contains(&code)) =>
        {
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

fn is_older(file: &File, age: Duration) -> bool {
    let modified = file.metadata().and_then(|meta| meta.modified());
    modified.is_ok_and(|at| at.elapsed().is_ok_and(|elapsed| elapsed > age))
}

/// Gives a finished file its name.
fn place(unfinished: &Path, path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::rename(unfinished, path)?;
    // The name is part of the folder; where one cannot be synced, a rename is atomic all the same.
    if let Some(folder) = path.parent() {
        let _ = File::open(folder).and_then(|folder| folder.sync_all());
    }
    Ok(())
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
