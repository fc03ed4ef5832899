//! One run: its folder, its steps and what each left behind.

mod process;
mod record;
mod resume;
mod revision;

use std::fs::{File, TryLockError};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sidegate::registry::clock;

use crate::config::Config;
use crate::failure::Failure;
use process::Process;
pub(crate) use record::Record;
use record::{FORMAT, Made};

/// The configuration as it was, in the folder of a run.
const CONFIG: &str = "train.toml";
/// What became of it, there too.
const RECORD: &str = "run.json";

/// Steps, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Step {
    /// Bring rows within reach.
    Load,
    /// What the data is, and what is wrong with it.
    Validate,
    /// Learn what features need to know, and compute them.
    Features,
    /// Which rows are for what.
    Split,
    /// Learn.
    Train,
    /// Judge on the test.
    Evaluate,
    /// May it be registered?
    Gate,
    /// Write the served file.
    Export,
    /// The file answers as the model does, in every engine.
    Prove,
    /// A new version of the registry.
    Register,
    /// Where gateways look for it.
    Promote,
}

/// A run with its folder.
pub(crate) struct Run {
    pub(crate) folder: PathBuf,
    pub(crate) record: Record,
    since: Instant,
    /// Held as long as the run lives, so that no other process takes it up.
    _lock: File,
}

// === impl Step ===

impl Step {
    /// Its name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Validate => "validate",
            Self::Features => "features",
            Self::Split => "split",
            Self::Train => "train",
            Self::Evaluate => "evaluate",
            Self::Gate => "gate",
            Self::Export => "export",
            Self::Prove => "prove",
            Self::Register => "register",
            Self::Promote => "promote",
        }
    }
}

// === impl Run ===

impl Run {
    /// A new one below `work`, which can be taken up from now on.
    ///
    /// # Errors
    /// When its folder cannot be made.
    pub(crate) fn begin(work: &Path, config: &Config) -> Result<Self, Failure> {
        let now = time::OffsetDateTime::now_utc();
        let run = format!("{}-{}", config.name, now.unix_timestamp_nanos() / 1_000_000);
        let folder = work.join(&run);
        std::fs::create_dir_all(&folder).map_err(|error| Failure::file(&folder, &error))?;
        let record = Record {
            format: FORMAT,
            run,
            model: config.name.to_string(),
            config: config.digest.clone(),
            started: clock::text(now),
            ended: None,
            status: "running".into(),
            reason: None,
            steps: Vec::new(),
            metrics: std::collections::BTreeMap::new(),
            params: serde_json::to_value(&config.model.params).unwrap_or(Value::Null),
            data: Value::Null,
            version: None,
            digest: None,
            earlier: Vec::new(),
            code: revision::of(&config.folder),
            schema: None,
            process: Some(Process::this()),
        };
        let run = Self { _lock: lock(&folder)?, folder, record, since: Instant::now() };
        run.write(CONFIG, &config.text)?;
        run.save()?;
        Ok(run)
    }

    /// The path of a file of it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Writes a file of it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> Result<PathBuf, Failure> {
        let path = self.path(name);
        write_whole(&path, bytes.as_ref()).map_err(|error| Failure::file(&path, &error))?;
        Ok(path)
    }

    /// Reads a file of it.
    ///
    /// # Errors
    /// When it is not there.
    pub(crate) fn read(&self, name: &str) -> Result<Vec<u8>, Failure> {
        let path = self.path(name);
        std::fs::read(&path).map_err(|error| Failure::file(&path, &error))
    }

    /// A step is over. One that was over already, and was done again for those behind it, keeps its time.
    ///
    /// # Errors
    /// When that cannot be written down.
    pub(crate) fn done(&mut self, step: Step) -> Result<f64, Failure> {
        let seconds = self.since.elapsed().as_secs_f64();
        self.since = Instant::now();
        if self.record.steps.iter().all(|(known, _)| *known != step) {
            self.record.steps.push((step, seconds));
        }
        self.save()?;
        Ok(seconds)
    }

    /// The run is over.
    ///
    /// # Errors
    /// When that cannot be written down.
    pub(crate) fn end(&mut self, failure: Option<&Failure>) -> Result<(), Failure> {
        self.record.ended = Some(clock::text(time::OffsetDateTime::now_utc()));
        self.record.status = match failure {
            None => "success",
            Some(Failure::Gate(_)) => "refused",
            Some(_) => "failed",
        }
        .into();
        self.record.reason = failure.map(ToString::to_string);
        self.save()
    }

    /// The founding result.
    pub(crate) fn result(&self) -> Value {
        let Record { run, metrics, status, version, model, reason, .. } = &self.record;
        json!({ "run_id": run, "metrics": metrics, "status": status, "model": model, "version": version, "reason": reason })
    }

    fn save(&self) -> Result<(), Failure> {
        self.write(RECORD, serde_json::to_vec_pretty(&self.record).unwrap_or_default()).map(drop)
    }
}

/// Makes sure that nobody else works on a run.
fn lock(folder: &Path) -> Result<File, Failure> {
    let opened = File::open(folder).map_err(|error| Failure::file(folder, &error))?;
    match opened.try_lock() {
        Err(TryLockError::WouldBlock) => {
            Err(Failure::Config(format!("{} is on its way in another process", folder.display())))
        }
        // A file system without locks has no way to tell.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(opened),
    }
}

/// Writes a file whole or not at all, even where the power goes: a run may be ended at any time, and be taken up by what is
/// there.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let part = path.with_file_name(format!(".{name}.part"));
    let mut file = File::create(&part)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&part, path)
}
