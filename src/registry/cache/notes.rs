//! Notes of what is being loaded. One that outlives its process tells that the load brought the process down: that
//! version is set aside for a while, so that it cannot do so again and again.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::{Cache, private, remove, taken};
use crate::model::{ModelName, Version};
use crate::registry::digest::Digest;
use crate::registry::{clock, format};

/// How long a version is set aside the first time; twice as long each time after.
const FIRST: Duration = Duration::from_secs(600);
/// The longest that a version is set aside.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// A note that a version is being loaded; dropped, it is removed. Its lock tells that its process lives.
#[derive(Debug)]
pub struct Loading {
    pub(super) path: PathBuf,
    _file: File,
}

#[derive(Serialize, Deserialize)]
struct Note {
    format: u64,
    model: String,
    version: u64,
    token: String,
    /// When the machine started: a load that ended with the machine is not the model's fault.
    boot: String,
}

/// A version set aside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantine {
    format: u64,
    /// How often it brought a process down.
    pub times: u32,
    /// Until when, in seconds since 1970.
    pub until: u64,
}

impl Cache {
    /// Notes that a version is being loaded.
    ///
    /// # Errors
    /// When the folder cannot be written; the load goes on without a note.
    pub fn begin(&self, model: &ModelName, version: Version, token: &str) -> io::Result<Loading> {
        let folder = self.root.join("loading");
        fs::create_dir_all(&folder)?;
        let path = folder.join(format!("{}-{}", id(model, version, token), std::process::id()));
        let mut file = private().create(true).truncate(false).open(&path)?;
        // Another container on this folder may have a process of the same number: what it holds is not touched.
        taken(file.try_lock())?;
        file.set_len(0)?;
        let note = Note {
            format: format::FORMAT,
            model: model.to_string(),
            version: version.get(),
            token: token.into(),
            boot: boot(),
        };
        file.write_all(&serde_json::to_vec(&note).map_err(io::Error::other)?)?;
        Ok(Loading { path, _file: file })
    }

    /// Finds the notes of processes that died in a load and sets those versions aside; returns which.
    pub fn judge(&self) -> Vec<(String, u64)> {
        let mut found = Vec::new();
        for entry in fs::read_dir(self.root.join("loading")).into_iter().flatten().flatten() {
            let path = entry.path();
            let Ok(file) = File::open(&path) else { continue };
            // Its process lives, and loads.
            if file.try_lock().is_err() {
                continue;
            }
            let note = fs::read(&path).ok().and_then(|bytes| format::parse::<Note>("note", &bytes).ok());
            if let Some(note) = note.filter(|note| note.boot == boot())
                && let (Ok(model), Some(version)) = (note.model.parse(), Version::new(note.version))
            {
                self.set_aside(&model, version, &note.token);
                found.push((note.model, note.version));
            }
            let _ = fs::remove_file(path);
        }
        found
    }

    fn set_aside(&self, model: &ModelName, version: Version, token: &str) {
        let path = self.path("quarantine", &id(model, version, token));
        let times = read(&path).map_or(1, |before| before.times.saturating_add(1));
        // What served before is spared once: whoever is killed while it loads would be left with nothing to serve.
        let served = self.served(model).is_some_and(|s| s.version == version.get() && s.token == token);
        let span = match times {
            1 if served => Duration::ZERO,
            _ => FIRST.saturating_mul(1 << (times - 1).min(16)).min(LONGEST),
        };
        let until = seconds(SystemTime::now() + span);
        self.write(&path, &Quarantine { format: format::FORMAT, times, until });
    }

    fn write(&self, path: &Path, record: &Quarantine) {
        let written =
            serde_json::to_vec(record).map_err(io::Error::other).and_then(|bytes| self.replace(path, &bytes));
        if let Err(error) = written {
            tracing::warn!(%error, "a quarantine could not be written down");
        }
    }

    /// Whether a version is set aside now.
    pub fn quarantine(&self, model: &ModelName, version: Version, token: &str) -> Option<Quarantine> {
        let path = self.path("quarantine", &id(model, version, token));
        let now = SystemTime::now();
        let mut found = read(&path).filter(|found| found.until > seconds(now))?;
        // A clock that was wrong, or a hand, wrote what no quarantine is. Written down anew, it has an end.
        let latest = seconds(now + LONGEST);
        if found.until > latest {
            found.until = latest;
            self.write(&path, &found);
        }
        Some(found)
    }

    /// Ends a quarantine: an operator wants the version tried again. How often it failed stays known until it loads.
    pub fn release(&self, model: &ModelName, version: Version, token: &str) {
        let path = self.path("quarantine", &id(model, version, token));
        if let Some(found) = read(&path) {
            self.write(&path, &Quarantine { until: 0, ..found });
        }
    }

    /// A version was loaded and nothing fell: what ended a process before was not its doing, or is over.
    pub fn loaded(&self, model: &ModelName, version: Version, token: &str) {
        let _ = remove(&self.path("quarantine", &id(model, version, token)));
    }
}

impl Quarantine {
    /// How long it still is.
    pub fn left(&self) -> Duration {
        // Whatever a clock once said.
        Duration::from_secs(self.until.saturating_sub(seconds(SystemTime::now()))).min(LONGEST)
    }

    /// When it ends, for people.
    pub fn until_text(&self) -> String {
        time::OffsetDateTime::from_unix_timestamp(self.until as i64).map(clock::text).unwrap_or_default()
    }
}

impl Drop for Loading {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn read(path: &Path) -> Option<Quarantine> {
    format::parse("quarantine", &fs::read(path).ok()?).ok()
}

/// What a version is called here: other bytes under the same number are another version.
fn id(model: &ModelName, version: Version, token: &str) -> String {
    let digest = Digest::of(format!("{model}/{version}/{token}").as_bytes(), &mut || ()).to_string();
    digest["sha256:".len()..][..24].to_owned()
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Tells one start of the machine from another; empty where the kernel does not say.
fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}
