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
use crate::config::{EngineChoice, ModelChecks, PredictionRange, TrialLoad};
use crate::engine::{self, LoadOptions};
use crate::format::{Format, Model};
use crate::model::{LoadError, Reason};

/// The hidden command that a child is started with.
pub const COMMAND: &str = "trial-load";

/// What an engine takes for itself before it reads a model; ONNX Runtime's share is measured, with room.
const ENGINE_BYTES: u64 = 192 << 20;
/// Memory as a multiple of the file: its bytes, the parsed graph, and a session for each of a few callers.
const FILE_FACTOR: u64 = 8;
/// Below this a trial would refuse models that load well: the same figures without the room.
const LEAST_ENGINE_BYTES: u64 = 48 << 20;
const LEAST_FILE_FACTOR: u64 = 4;

/// A child at idle priority gets what serving leaves of the processor: by the clock a good version may take several times
/// what it takes of that. This ends one that waits for ever.
const CLOCK: u32 = 5;

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
    /// How much time of the processor it may take; by the clock, [`CLOCK`] times as long.
    pub timeout: Duration,
    /// Memory that the child may write to, beside what it starts with: see [`memory_for`].
    pub memory_bytes: u64,
}

/// Why a child did not load a version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotLoaded {
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
/// Files of XGBoost and LightGBM, and graphs that `trees` runs whole, are read by our own code: it is safe Rust, it is
/// fuzzed, and what reading a graph allocates is bounded by its file, at some five times of it (the file, and lists whose
/// elements grow; see `onnx.rs`). That much any graph takes in this process before a child is asked. So there is nothing to protect from, unless another
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
    let memory = amount(file_bytes, FILE_FACTOR, ENGINE_BYTES).min(room.unwrap_or(u64::MAX));
    (memory >= least(file_bytes)).then_some(memory)
}

fn amount(file_bytes: u64, factor: u64, base: u64) -> u64 {
    file_bytes.saturating_mul(factor).saturating_add(base)
}

fn least(file_bytes: u64) -> u64 {
    amount(file_bytes, LEAST_FILE_FACTOR, LEAST_ENGINE_BYTES)
}

/// What becomes of a version that should be tried where [`memory_for`] finds no room. Whoever publishes chooses how long
/// a file is, so where trials are `On` a version that needs one is not loaded without.
///
/// # Errors
/// [`Reason::Memory`] with what is needed.
pub fn without_room(
    wanted: TrialLoad,
    worthwhile: bool,
    file_bytes: u64,
    room: Option<u64>,
) -> Result<(), LoadError> {
    if wanted != TrialLoad::On || !worthwhile {
        return Ok(());
    }
    let detail = format!(
        "the trial load needs {} bytes and memory.budget_bytes leaves {}; raise it, or let registry.trial_load = \
         \"auto\" load such versions without a trial",
        least(file_bytes),
        room.unwrap_or(0)
    );
    Err(LoadError::new(Reason::Memory, detail))
}
