//! Engines run models; everything above sees only [`Session`].
//!
//! `trees` is ours (tree ensembles and the operators around them), `ort` is ONNX Runtime found at run time,
//! `tract` runs dense nets without a native library. [`load`] picks one per version and says why.

use std::fmt;

#[cfg(feature = "ort")]
pub mod ort;
mod select;
#[cfg(feature = "tract")]
pub mod tract;
pub mod trees;

pub use select::{
    ENGINES, Loaded, alternative, bring_onnxruntime, configure, has_alternative, load, onnxruntime_library,
    onnxruntime_status, runs_in_trees,
};

use crate::format::Model;
use crate::model::LoadError;
use crate::tensor::Tensor;

/// Which engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EngineKind {
    /// Our own tree-ensemble engine.
    Trees,
    /// ONNX Runtime.
    Ort,
    /// tract.
    Tract,
}

/// One loaded, runnable version. Shared by all workers; what is mutable lives in [`Scratch`].
pub trait Session: Send + Sync {
    /// Runs the graph once. `inputs` are in signature order with the declared datatypes; `outputs` is
    /// refilled in signature order (buffers are reused where type and engine allow).
    ///
    /// # Errors
    /// [`RunError::Input`] when the graph cannot take these shapes or values, [`RunError::Engine`] otherwise.
    fn run(
        &self,
        inputs: &[Tensor],
        scratch: &mut Scratch,
        outputs: &mut Vec<Tensor>,
    ) -> Result<(), RunError>;

    /// Estimate of the memory the session holds, in bytes.
    fn memory_bytes(&self) -> usize;
}

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The request's fault: shapes or values this graph cannot take.
    #[error("{0}")]
    Input(String),
    /// The engine's fault.
    #[error("{0}")]
    Engine(String),
}

/// An engine: a name, and a way to make sessions.
pub trait Engine: Sync {
    /// Which one it is.
    fn kind(&self) -> EngineKind;

    /// Builds a session. Must not panic on any bytes that [`Model::parse`] accepted.
    ///
    /// # Errors
    /// [`Reason::Unsupported`](crate::model::Reason) or `UnknownOperator` (naming the operator) when the engine cannot run the graph whole.
    fn load(&self, model: &Model, options: &LoadOptions) -> Result<Box<dyn Session>, LoadError>;
}

/// What a session is built for.
#[derive(Clone, Copy, Debug)]
pub struct LoadOptions {
    /// How many threads will call `run`, with [`Scratch::worker`] below this number.
    pub workers: usize,
}

/// What one calling thread owns for its runs.
pub struct Scratch {
    /// Number of the calling thread, below [`LoadOptions::workers`]; chooses per-thread replicas.
    pub worker: usize,
    /// Buffers of the `trees` engine.
    pub trees: trees::Scratch,
}

// === impl EngineKind ===

impl EngineKind {
    /// The name on the wire and in flags.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Trees => "trees",
            Self::Ort => "ort",
            Self::Tract => "tract",
        }
    }
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

// === impl Scratch ===

impl Scratch {
    /// Buffers of the calling thread with this number.
    pub fn new(worker: usize) -> Self {
        Self { worker, trees: trees::Scratch::default() }
    }
}
