//! What is known of a run, and kept of it.

use std::collections::BTreeMap;

use clap::ValueEnum as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Step;
use super::process::Process;

/// The form of `run.json`.
pub(super) const FORMAT: u32 = 1;

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
    pub(crate) metrics: BTreeMap<String, f64>,
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

// === impl Record ===

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
        let stored = include_bytes!("../../../tests/fixtures/formats/run.json");
        let record = Record::read(stored).unwrap();
        assert_eq!((record.status.as_str(), record.version), ("success", Some(1)));
        assert_eq!(record.steps.last().map(|(step, _)| *step), Some(Step::Promote));
        let later = std::str::from_utf8(stored).unwrap().replacen("\"format\": 1", "\"format\": 2", 1);
        assert!(Record::read(later.as_bytes()).unwrap_err().contains("format 2"));
    }
}
