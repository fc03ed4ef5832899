//! tract as an engine: dense nets without a native library.
//!
//! Only operators that tract was seen to compute right are let through (see [`support`]): what it gets wrong,
//! it gets wrong silently.

mod convert;
mod plan;
mod support;
#[cfg(test)]
mod tests;

use std::panic::{AssertUnwindSafe, catch_unwind};

use self::plan::Plans;
use super::{Engine, EngineKind, LoadOptions, RunError, Scratch, Session};
use crate::format::Model;
use crate::model::{LoadError, Reason, TensorSpec};
use crate::tensor::{Data, Datatype, Shape, Tensor};

/// tract.
pub struct Tract;

/// What tract holds beside the weights: facts, names, packed copies of small constants.
const OVERHEAD_BYTES: usize = 1 << 20;

struct Net {
    plans: Plans,
    /// What each input may look like; tract itself takes some shapes for others.
    inputs: Vec<TensorSpec>,
    model_bytes: usize,
}

/// Whether tract would be given this graph at all; tract itself sees nothing of it yet.
pub(super) fn takes(model: &crate::onnx::Model) -> bool {
    support::check(model).is_ok()
}

impl Engine for Tract {
    fn kind(&self) -> EngineKind {
        EngineKind::Tract
    }

    fn load(&self, model: &Model, _options: &LoadOptions) -> Result<Box<dyn Session>, LoadError> {
        let model = model.onnx()?;
        support::check(model)?;
        let plans = unwound(|| Plans::build(model)).unwrap_or_else(|| {
            Err(LoadError::new(Reason::Crashed, "tract panicked while it built the graph"))
        })?;
        Ok(Box::new(Net { plans, inputs: model.signature.inputs.clone(), model_bytes: model.bytes.len() }))
    }
}

impl Session for Net {
    fn run(
        &self,
        inputs: &[Tensor],
        _scratch: &mut Scratch,
        outputs: &mut Vec<Tensor>,
    ) -> Result<(), RunError> {
        if let Some((spec, input)) = self.inputs.iter().zip(inputs).find(|(spec, input)| !fits(spec, input)) {
            let (name, found) = (&spec.name, &input.shape);
            return Err(RunError::Input(format!(
                "input `{name}` of shape {found:?} does not fit {:?}",
                spec.shape
            )));
        }
        let results = unwound(|| self.plans.run(inputs))
            .unwrap_or_else(|| Err(RunError::Engine("tract panicked while it ran the graph".to_owned())))?;
        outputs.truncate(results.len());
        while outputs.len() < results.len() {
            outputs.push(Tensor { shape: Shape::from_slice(&[0]), data: Data::empty(Datatype::Fp32) });
        }
        for (result, output) in results.iter().zip(outputs) {
            convert::copy_into(result, output)?;
        }
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        // The weights as read and, for the large ones, as packed for the kernels.
        self.model_bytes * 3 / 2 + OVERHEAD_BYTES
    }
}

fn fits(spec: &TensorSpec, input: &Tensor) -> bool {
    let fits = |(wanted, found): (&i64, &usize)| *wanted < 0 || *wanted == *found as i64;
    spec.shape.len() == input.shape.len() && spec.shape.iter().zip(&input.shape).all(fits)
}

/// `None` when `work` panicked. tract's own data is dropped or replaced then, and ours is not reached.
fn unwound<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}
