//! One run: its folder, its steps and what each left behind.

mod process;
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

/// The configuration as it was, in the folder of a run.
const CONFIG: &str = "train.toml";
/// What became of it, there too.
const RECORD: &str = "run.json";
/// The form of `run.json`.
const FORMAT: u32 = 1;

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

/// `run.json`: what became of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Of this structure.
    pub(crate) format: u32,
    /// Its name.
    pub(crate) run: String,
    /// What is trained.
    pub(crate) model: String,
    /// SHA-256 of the configuration.
    pub(crate) config: String,
    /// When it began, RFC 3339.
    pub(crate) started: String,
    /// When it ended.
    pub(crate) ended: Option<String>,
    /// `running`, `success`, `refused` or `failed`; as [`Record::seen`] `killed` or `unfinished` too.
    pub(crate) status: String,
    /// Why it did not succeed.
    pub(crate) reason: Option<String>,
    /// Steps that are over, with their seconds.
    pub(crate) steps: Vec<(Step, f64)>,
    /// By name.
    pub(crate) metrics: std::collections::BTreeMap<String, f64>,
    /// By the learner's own names.
    pub(crate) params: Value,
    /// Digest and rows of the data.
    pub(crate) data: Value,
    /// The version that it became.
    pub(crate) version: Option<u64>,
    /// Digest of that version's manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) digest: Option<String>,
    /// Versions that it became before it was judged again: what is known of it now is not of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) earlier: Vec<Made>,
    /// The revision of the code that learned it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<String>,
    /// Digest of the schema that the data was held against.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) schema: Option<String>,
    /// Who works on it, or did last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) process: Option<Process>,
}

/// A version that a run became.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Made {
    /// Its number.
    pub(crate) version: u64,
    /// Digest of its manifest, where it is known: of two registries the numbers may be the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) digest: Option<String>,
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

impl Record {
    /// The first step that is not over; none where all are.
    pub(crate) fn next(&self) -> Option<Step> {
        let over = |step: &Step| self.steps.iter().any(|(known, _)| known == step);
        Step::value_variants().iter().find(|step| !over(step)).copied()
    }

    /// As it looks from here: what has not said how it ended may be over all the same.
    pub(crate) fn seen(mut self) -> Self {
        let Some(process) = self.process.as_ref().filter(|_| self.status == "running") else { return self };
        let Process { host, pid, .. } = process;
        let (status, reason) = match process.lives() {
            Some(true) => return self,
            Some(false) => ("killed", format!("process {pid} of {host} is gone; --resume goes on with it")),
            None => ("unfinished", format!("process {pid} of {host} works on it, or was killed")),
        };
        (self.status, self.reason) = (status.to_owned(), Some(reason));
        self
    }

    /// Reads one that was kept.
    ///
    /// # Errors
    /// What is wrong with it; also where a newer program wrote it.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Head {
            format: u32,
        }
        let broken = |error: serde_json::Error| error.to_string();
        let Head { format } = serde_json::from_slice(bytes).map_err(broken)?;
        if format != FORMAT {
            return Err(format!("it has format {format}, this sidegate-train reads {FORMAT}"));
        }
        serde_json::from_slice(bytes).map_err(broken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_format_is_read_and_later_ones_are_refused() {
        let stored = include_bytes!("../../tests/fixtures/formats/run.json");
        let record = Record::read(stored).unwrap();
        assert_eq!((record.status.as_str(), record.version), ("success", Some(1)));
        assert_eq!(record.steps.last().map(|(step, _)| *step), Some(Step::Promote));
        let later = std::str::from_utf8(stored).unwrap().replacen("\"format\": 1", "\"format\": 2", 1);
        assert!(Record::read(later.as_bytes()).unwrap_err().contains("format 2"));
    }
}
