//! The `trees` engine: whole graphs of tree ensembles and the operators around them, compiled at load.
//!
//! A graph becomes a list of steps ([`plan`]); the table of operators that can be steps is in [`operators`]. Boosted
//! trees of XGBoost and LightGBM are a single step.
//! Forests are checked ([`forest`]), laid out ([`layout`]) and walked ([`walk`]). Results follow ONNX Runtime's.

mod builder;
mod element;
mod forest;
mod layout;
mod operators;
mod packed;
mod plain;
mod plan;
mod post;
mod real;
#[cfg(test)]
mod tests;
mod walk;
mod work;

use super::{Engine, EngineKind, LoadOptions, RunError, Session};
use crate::format::Model;
use crate::model::LoadError;
use crate::tensor::Tensor;

/// Buffers of one calling thread.
#[derive(Default)]
pub struct Scratch {
    slots: Vec<Tensor>,
    work: work::Work,
}

/// The engine.
pub struct Trees;

impl Engine for Trees {
    fn kind(&self) -> EngineKind {
        EngineKind::Trees
    }

    fn load(&self, model: &Model, _options: &LoadOptions) -> Result<Box<dyn Session>, LoadError> {
        Ok(Box::new(match model {
            Model::Onnx(model) => operators::compile(model)?,
            Model::Booster(booster) => operators::booster::compile(booster)?,
        }))
    }
}

impl Session for plan::Plan {
    fn run(
        &self,
        inputs: &[Tensor],
        scratch: &mut super::Scratch,
        outputs: &mut Vec<Tensor>,
    ) -> Result<(), RunError> {
        let Scratch { slots, work } = &mut scratch.trees;
        plan::Plan::run(self, inputs, slots, work, outputs)
    }

    fn memory_bytes(&self) -> usize {
        self.bytes()
    }
}
