//! What parent and child tell each other: a line of JSON with the bytes behind it, and lines of JSON back.

use std::io::{self, BufRead, Read as _, Write};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::ChildLoad;
use crate::config::{EngineChoice, ModelCheck, PredictionRange};
use crate::engine;
use crate::format::{FORMATS, Format};

/// No header is longer; it is mostly numbers.
const MAX_HEADER: u64 = 64 << 10;

/// What the child is told before it gets the bytes.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Header {
    /// The process that must outlive the child.
    pub(super) parent: u32,
    pub(super) timeout_ms: u64,
    pub(super) memory_bytes: u64,
    format: String,
    engine: String,
    pub(super) workers: usize,
    pub(super) warmup_rows: usize,
    checks: Vec<String>,
    pub(super) prediction: usize,
    range: Option<String>,
    /// ONNX Runtime's library as the parent finds it.
    pub(super) onnxruntime: Option<PathBuf>,
    /// Whether the parent has it loaded, so that it is a witness.
    pub(super) onnxruntime_loaded: bool,
    golden_bytes: Option<u64>,
    model_bytes: u64,
}

/// The lines that the child writes.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line {
    /// It is confined and has read everything: from here on, how it ends is the model's doing.
    Ready,
    /// The version may be loaded.
    Loaded { engine: String, peak_bytes: u64 },
    /// It may not.
    Refused { code: String, detail: String },
    /// No trial is possible here.
    Unavailable(String),
}

// === impl Header ===

impl Header {
    pub(super) fn new(load: &ChildLoad<'_>) -> Self {
        Self {
            parent: std::process::id(),
            timeout_ms: u64::try_from(load.timeout.as_millis()).unwrap_or(u64::MAX),
            memory_bytes: load.memory_bytes,
            format: load.format.file_name().to_owned(),
            engine: load.choice.name().to_owned(),
            workers: load.workers,
            warmup_rows: load.warmup_rows,
            checks: load.checks.iter().map(|check| check.name().to_owned()).collect(),
            prediction: load.prediction,
            range: load.prediction_range.map(|range| range.to_string()),
            onnxruntime: engine::onnxruntime_library(),
            onnxruntime_loaded: matches!(engine::onnxruntime_status(), Some(Ok(_))),
            golden_bytes: load.golden.map(|golden| golden.len() as u64),
            model_bytes: load.model.len() as u64,
        }
    }

    /// Sends everything.
    pub(super) fn send(&self, load: &ChildLoad<'_>, to: &mut dyn Write) -> io::Result<()> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        to.write_all(&line)?;
        to.write_all(load.golden.unwrap_or_default())?;
        to.write_all(load.model)?;
        to.flush()
    }

    pub(super) fn receive(from: &mut dyn BufRead) -> io::Result<Self> {
        let mut line = Vec::new();
        from.take(MAX_HEADER).read_until(b'\n', &mut line)?;
        Ok(serde_json::from_slice(&line)?)
    }

    /// The golden examples and the model that follow the header.
    pub(super) fn receive_bytes(&self, from: &mut dyn BufRead) -> io::Result<(Option<Vec<u8>>, Vec<u8>)> {
        let golden = self.golden_bytes.map(|bytes| receive(from, bytes)).transpose()?;
        Ok((golden, receive(from, self.model_bytes)?))
    }

    pub(super) fn format(&self) -> Option<Format> {
        FORMATS.into_iter().find(|format| format.file_name() == self.format)
    }

    pub(super) fn choice(&self) -> Option<EngineChoice> {
        EngineChoice::ALL.iter().copied().find(|choice| choice.name() == self.engine)
    }

    pub(super) fn checks(&self) -> crate::config::ModelChecks {
        ModelCheck::ALL
            .iter()
            .copied()
            .filter(|check| self.checks.iter().any(|name| name == check.name()))
            .collect()
    }

    pub(super) fn range(&self) -> Option<PredictionRange> {
        self.range.as_ref()?.parse().ok()
    }
}

fn receive(from: &mut dyn BufRead, bytes: u64) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    from.take(bytes).read_to_end(&mut out)?;
    if out.len() as u64 == bytes { Ok(out) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

// === impl Line ===

impl Line {
    pub(super) fn send(&self, to: &mut dyn Write) -> io::Result<()> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        to.write_all(&line)?;
        to.flush()
    }

    /// Every whole line; what else was written is not ours.
    pub(super) fn all(output: &[u8]) -> Vec<Self> {
        output
            .split_inclusive(|byte| *byte == b'\n')
            .filter_map(|line| serde_json::from_slice(line).ok())
            .collect()
    }
}
