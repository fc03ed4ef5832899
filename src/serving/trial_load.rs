//! The trial load: a version is first loaded and tried in a child process, because a native engine that a hostile
//! model crashes, hangs or fills takes its process along.
//!
//! [`ChildLoad`] is the parent's side: this very executable is started with a hidden command, gets the model on its
//! standard input, and answers with a line. [`child`] is the other side: it confines itself, then does what the loader
//! does with a version, and serves nobody. What a trial is made of is [`super::admission::Trial`], on both sides.

pub mod child;
mod ending;
mod message;
mod process;
#[cfg(test)]
mod tests;

use std::time::Duration;

use super::golden::Golden;
use crate::config::{EngineChoice, ModelChecks, PredictionRange};
use crate::engine::{self, EngineKind, LoadOptions};
use crate::format::{Format, Model};
use crate::model::LoadError;

/// The hidden command that a child is started with.
pub const COMMAND: &str = "trial-load";

/// What an engine takes for itself before it reads a model; ONNX Runtime's share is measured, with room.
const ENGINE_BYTES: u64 = 192 << 20;
/// Memory as a multiple of the file: its bytes, the parsed graph, and a session for each of a few callers.
const FILE_FACTOR: u64 = 8;
/// Below this a trial would refuse models that load well: the same figures without the room.
const LEAST_ENGINE_BYTES: u64 = 48 << 20;
const LEAST_FILE_FACTOR: u64 = 4;

/// A version to be loaded in a child process.
pub struct ChildLoad<'a> {
    /// The model file, or what an engine gets of it ([`crate::onnx::Model::bytes`]).
    pub model: &'a [u8],
    /// What it is.
    pub format: Format,
    /// `golden.json`, if the version has one.
    pub golden: Option<&'a [u8]>,
    /// The engine that is asked for.
    pub choice: EngineChoice,
    /// How many threads will call the session.
    pub workers: usize,
    /// Rows of the warm-up.
    pub warmup_rows: usize,
    /// The model's own checks.
    pub checks: ModelChecks,
    /// Index of the output that holds the predictions.
    pub prediction: usize,
    /// Where predictions lie.
    pub prediction_range: Option<PredictionRange>,
    /// How long it may take, of the clock and of the processor.
    pub timeout: Duration,
    /// Memory that the child may write to, beside what it starts with: see [`memory_for`].
    pub memory_bytes: u64,
}

/// What a child found out about a version that may be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// The engine that ran it.
    pub engine: EngineKind,
    /// The most memory that was resident in the child, with all that a process needs; 0 when the kernel does not tell.
    pub peak_bytes: u64,
}

/// Why there is no [`Report`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoReport {
    /// The version must not be loaded here: what the child answered, or how it ended.
    #[error(transparent)]
    Refused(LoadError),
    /// No trial took place, which says nothing about the version.
    #[error("no trial load: {0}")]
    Unavailable(String),
    /// The caller did not want to wait any longer.
    #[error("the trial load was stopped")]
    Stopped,
}

/// Whether a trial protects from anything, beside a configuration that always or never wants it.
///
/// Files of XGBoost and LightGBM, and graphs that `trees` runs whole, are read by our own code: it is safe Rust, what
/// loading allocates is bounded by the file, and it is fuzzed. So there is nothing to protect from, unless another
/// engine would be the witness of their answers, which is so only without golden examples. What a run of a strange
/// graph may make is bounded there too, though by a gigabyte (`engine/trees/plan.rs`).
pub fn is_worthwhile(model: &Model, choice: EngineChoice, golden: Option<&[u8]>) -> bool {
    if !engine::runs_in_trees(model, choice, &LoadOptions { workers: 1 }) {
        return true;
    }
    // Examples that cannot be read refuse the version before any witness is asked.
    let proven = golden
        .is_some_and(|bytes| Golden::parse(bytes, model.signature()).map_or(true, |g| !g.cases.is_empty()));
    !proven && engine::has_alternative(model, choice)
}

/// The memory that a child gets for a file of so many bytes where `room` bytes are left (`None`: nothing is known to
/// limit it); `None` where there is too little for a trial to tell a hostile model from a good one.
pub fn memory_for(file_bytes: u64, room: Option<u64>) -> Option<u64> {
    let amount = |base: u64, factor: u64| file_bytes.saturating_mul(factor).saturating_add(base);
    let memory = amount(ENGINE_BYTES, FILE_FACTOR).min(room.unwrap_or(u64::MAX));
    (memory >= amount(LEAST_ENGINE_BYTES, LEAST_FILE_FACTOR)).then_some(memory)
}
