//! ONNX Runtime as an engine: it runs nearly every graph, when its library is found.
//!
//! The library is loaded when the first model needs it, so a process whose models all run elsewhere stays small.

#[cfg(target_os = "linux")]
mod elf;
mod library;
mod message;
mod runtime;
#[cfg(test)]
mod tests;

use ::ort::ep;
use ::ort::logging::LogLevel;
use ::ort::session::Session as OrtSession;
use ::ort::session::builder::GraphOptimizationLevel;

pub use self::library::{Library, Search, Unavailable};
pub use self::runtime::{bring, configure, find, loaded, status};
use super::{Engine, EngineKind, LoadOptions, RunError, Scratch, Session};
use crate::format::Model;
use crate::model::{LoadError, Reason};
use crate::native::ort::SharedSession;
use crate::tensor::Tensor;

/// ONNX Runtime. See [`configure`] for where its library comes from.
pub struct Ort;

/// Models from this size on share one session among all workers: as fast there, at half the memory. Smaller
/// ones lose up to half their speed to the atomics inside a shared session, so each worker has its own.
const SHARED_FROM_BYTES: usize = 8 << 20;

/// Models from this size on get ONNX Runtime's arena: 5 to 10 % faster on a transformer, but it keeps the memory
/// of the largest request. Smaller ones are as fast without.
const ARENA_FROM_BYTES: usize = 1 << 20;

/// What a session holds beside the weights: kernels, plans, names (measured on graphs of a few operators).
const SESSION_OVERHEAD_BYTES: usize = 512 << 10;

struct Replicas {
    /// One for each worker, or one for all.
    sessions: Vec<SharedSession>,
    model_bytes: usize,
}

impl Engine for Ort {
    fn kind(&self) -> EngineKind {
        EngineKind::Ort
    }

    fn load(&self, model: &Model, options: &LoadOptions) -> Result<Box<dyn Session>, LoadError> {
        let model = model.onnx()?;
        let runtime = runtime::initialise()
            .map_err(|error| LoadError::new(Reason::Unsupported, error.without_folder()))?;
        let replicas = if model.bytes.len() < SHARED_FROM_BYTES { options.workers.max(1) } else { 1 };
        let mut sessions = Vec::with_capacity(replicas);
        for _ in 0..replicas {
            let session =
                build(runtime, &model.bytes).map_err(|error| message::load_error(error.message()))?;
            let (inputs, outputs) = (&model.signature.inputs, &model.signature.outputs);
            let names = (inputs.iter().map(|spec| &*spec.name), outputs.iter().map(|spec| &*spec.name));
            let session = SharedSession::new(session, names.0, names.1);
            sessions.push(session.map_err(|failure| LoadError::new(Reason::Unsupported, failure.message))?);
        }
        Ok(Box::new(Replicas { sessions, model_bytes: model.bytes.len() }))
    }
}

impl Session for Replicas {
    fn run(
        &self,
        inputs: &[Tensor],
        scratch: &mut Scratch,
        outputs: &mut Vec<Tensor>,
    ) -> Result<(), RunError> {
        // Any session may be run from any thread; the index only keeps workers out of each other's way.
        let session = &self.sessions[scratch.worker % self.sessions.len()];
        session.run(inputs, outputs).map_err(|failure| message::run_error(&failure))
    }

    fn memory_bytes(&self) -> usize {
        self.sessions.len() * (self.model_bytes + SESSION_OVERHEAD_BYTES)
    }
}

/// One session that computes on the thread that runs it and nowhere else.
fn build(runtime: &runtime::Runtime, bytes: &[u8]) -> ::ort::Result<OrtSession> {
    let arena = bytes.len() >= ARENA_FROM_BYTES;
    let builder = OrtSession::builder(&runtime.environment)?
        .with_optimization_level(GraphOptimizationLevel::All)?
        // Requests are spread over workers; threads inside one would only fight for the same cores.
        .with_intra_threads(1)?
        .with_inter_threads(1)?
        .with_intra_op_spinning(false)?
        .with_inter_op_spinning(false)?
        // What fails is returned; ONNX Runtime would print it as well, unasked, request by request.
        .with_log_level(LogLevel::Fatal)?
        .with_memory_pattern(arena)?
        // Left to itself it takes what holds ORTM at byte 4 for a format of its own, which our scan has not read:
        // a `producer_name` can put it there.
        .with_config_entry("session.load_model_format", "ONNX")?;
    builder
        .with_execution_providers([ep::CPU::default().with_arena_allocator(arena).build()])?
        .commit_from_memory(bytes)
}
