//! The `trees` engine: whole graphs of tree ensembles and the operators around them, compiled at load.

mod forest;
mod layout;
mod real;
mod walk;

use super::{Engine, EngineKind, LoadOptions, Session};
use crate::model::{LoadError, Reason};
use crate::onnx::Model;

/// Buffers.
#[derive(Default)]
pub struct Scratch {}

/// The engine.
pub struct Trees;

impl Engine for Trees {
    fn kind(&self) -> EngineKind {
        EngineKind::Trees
    }

    fn load(&self, _model: &Model, _options: &LoadOptions) -> Result<Box<dyn Session>, LoadError> {
        Err(LoadError::new(Reason::Unsupported, "not yet"))
    }
}
