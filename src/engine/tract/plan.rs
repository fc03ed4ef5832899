//! Runnable forms of a graph: one for any extents where tract manages that, else one for each set of shapes.

use std::sync::{Arc, Mutex, PoisonError};

use tract_onnx::prelude::*;
use tract_onnx::tract_hir::infer::{DimFact, GenericFactoid};

use super::convert;
use crate::engine::RunError;
use crate::model::{LoadError, Reason, Signature};
use crate::onnx::Model;
use crate::tensor::{Data, Shape, Tensor};

type Plan = Arc<TypedRunnableModel>;

/// How a graph is run.
pub(super) enum Plans {
    /// Extents that the graph leaves open are symbols: one plan serves every batch.
    Symbolic(Plan),
    /// For graphs that tract only understands with every extent known.
    Concrete(Concrete),
}

/// Plans by shapes of inputs, built when first needed.
pub(super) struct Concrete {
    graph: InferenceModel,
    recent: Mutex<Vec<(Vec<Shape>, Plan)>>,
}

/// Each plan may hold its own packed weights, so only a few are kept, the most recently used.
const CONCRETE_PLANS: usize = 4;

/// Texts of tract's errors are cut here; the rest are dumps of its facts.
const MAX_CHARS: usize = 200;

impl Plans {
    /// Reads the graph and builds what can be built before shapes are known.
    pub(super) fn build(model: &Model) -> Result<Self, LoadError> {
        let graph = read(model).map_err(|error| refused(&error))?;
        let probes = [probe(&model.signature, 1), probe(&model.signature, 2)];
        for batch in [Batch::OfEachInput, Batch::OfAllInputs] {
            let plan = with_symbols(graph.clone(), batch)
                .and_then(|graph| graph.into_optimized()?.into_runnable())
                .map(Self::Symbolic);
            // A plan that loads may still fail on every batch; only running shows it.
            if let Ok(plan) = plan
                && probes.iter().all(|probe| plan.answers(probe))
            {
                return Ok(plan);
            }
        }
        let concrete = Concrete { graph, recent: Mutex::default() };
        concrete.plan(&probes[0]).map_err(|error| refused(&error))?;
        Ok(Self::Concrete(concrete))
    }

    fn answers(&self, probe: &[Tensor]) -> bool {
        let mut output = Tensor { shape: Shape::from_slice(&[0]), data: Data::Fp32(Vec::new()) };
        let values = super::unwound(|| self.run(probe));
        let Some(Ok(values)) = values else { return false };
        values.iter().all(|value| convert::copy_into(value, &mut output).is_ok())
    }

    /// Runs the graph; outputs are in the graph's order, which is the signature's.
    pub(super) fn run(&self, inputs: &[Tensor]) -> Result<TVec<TValue>, RunError> {
        let plan = match self {
            Self::Symbolic(plan) => Arc::clone(plan),
            Self::Concrete(concrete) => {
                concrete.plan(inputs).map_err(|error| RunError::Input(text(&error)))?
            }
        };
        let values = inputs.iter().map(|input| convert::to_tract(input).map(IntoTValue::into_tvalue));
        let values = values.collect::<Result<TVec<_>, _>>()?;
        // The graph ran its probes, so what fails now fails because of what it was given.
        plan.run(values).map_err(|error| RunError::Input(text(&error)))
    }
}

impl Concrete {
    fn plan(&self, inputs: &[Tensor]) -> TractResult<Plan> {
        let shapes: Vec<Shape> = inputs.iter().map(|input| input.shape.clone()).collect();
        let lock = || self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        {
            let mut recent = lock();
            if let Some(at) = recent.iter().position(|(known, _)| *known == shapes) {
                recent[..=at].rotate_right(1);
                return Ok(Arc::clone(&recent[0].1));
            }
        }
        // Built without the lock: others go on with the plans there are.
        let mut graph = self.graph.clone();
        for (index, shape) in shapes.iter().enumerate() {
            let fact = graph.input_fact(index)?.clone().with_shape(shape.iter().copied());
            graph.set_input_fact(index, fact)?;
        }
        let plan = graph.into_optimized()?.into_runnable()?;
        let mut recent = lock();
        recent.insert(0, (shapes, Arc::clone(&plan)));
        recent.truncate(CONCRETE_PLANS);
        Ok(plan)
    }
}

fn read(model: &Model) -> TractResult<InferenceModel> {
    let graph = tract_onnx::onnx().model_for_read(&mut &*model.bytes)?;
    let (inputs, outputs) = (graph.input_outlets()?.len(), graph.output_outlets()?.len());
    let (wanted, made) = (model.signature.inputs.len(), model.signature.outputs.len());
    if (inputs, outputs) != (wanted, made) {
        return Err(TractError::msg(format!(
            "{inputs} inputs and {outputs} outputs, not {wanted} and {made}"
        )));
    }
    Ok(graph)
}

/// Whose symbol an open first extent gets. tract cannot always unite two of them where the graph does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Batch {
    OfEachInput,
    OfAllInputs,
}

/// Gives every extent without a name a symbol.
fn with_symbols(mut graph: InferenceModel, batch: Batch) -> TractResult<InferenceModel> {
    let shared = graph.symbols.new_with_prefix("N");
    for index in 0..graph.input_outlets()?.len() {
        let mut fact = graph.input_fact(index)?.clone();
        let extents: Vec<DimFact> = fact.shape.dims().cloned().collect();
        for (axis, extent) in extents.into_iter().enumerate() {
            if extent == GenericFactoid::Any {
                let is_shared = axis == 0 && batch == Batch::OfAllInputs;
                let symbol = if is_shared { shared.clone() } else { graph.symbols.new_with_prefix("D") };
                fact.shape.set_dim(axis, symbol.into());
            }
        }
        graph.set_input_fact(index, fact)?;
    }
    Ok(graph)
}

/// Inputs of zeros with `rows` rows; other open extents are 1.
fn probe(signature: &Signature, rows: usize) -> Vec<Tensor> {
    let probe = |spec: &crate::model::TensorSpec| {
        let extent = |(axis, &extent): (usize, &i64)| match usize::try_from(extent) {
            Ok(extent) => extent,
            Err(_) if axis == 0 => rows,
            Err(_) => 1,
        };
        let shape: Shape = spec.shape.iter().enumerate().map(extent).collect();
        let count = shape.iter().product();
        Tensor { shape, data: zeros(spec.datatype, count) }
    };
    signature.inputs.iter().map(probe).collect()
}

fn zeros(datatype: crate::tensor::Datatype, count: usize) -> Data {
    let mut data = Data::empty(datatype);
    match &mut data {
        Data::Bool(v) => v.resize(count, false),
        Data::Uint8(v) => v.resize(count, 0),
        Data::Uint16(v) | Data::Fp16(v) | Data::Bf16(v) => v.resize(count, 0),
        Data::Uint32(v) => v.resize(count, 0),
        Data::Uint64(v) => v.resize(count, 0),
        Data::Int8(v) => v.resize(count, 0),
        Data::Int16(v) => v.resize(count, 0),
        Data::Int32(v) => v.resize(count, 0),
        Data::Int64(v) => v.resize(count, 0),
        Data::Fp32(v) => v.resize(count, 0.0),
        Data::Fp64(v) => v.resize(count, 0.0),
        Data::Bytes(v) => (0..count).for_each(|_| v.push(b"")),
    }
    data
}

fn refused(error: &TractError) -> LoadError {
    LoadError::new(Reason::Unsupported, format!("tract cannot run this graph: {}", text(error)))
}

/// The cause, without the chain of places it came through.
fn text(error: &TractError) -> String {
    let cause = error.root_cause().to_string();
    let line = cause.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}
