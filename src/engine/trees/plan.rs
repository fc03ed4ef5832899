//! A graph as a list of steps over values.

use smallvec::SmallVec;

use super::work::Work;
use crate::engine::RunError;
use crate::tensor::{Datatype, Tensor, element_count};

/// The most elements that a step may make: bounds what a small request can make a strange model allocate.
const MAX_ELEMENTS: usize = 1 << 24;
/// The most bytes that all steps of a run may make, for the same reason.
const MAX_BYTES: usize = 1 << 30;
/// Values above this size are given back after a run.
const KEPT_BYTES: usize = 1 << 20;

/// An operator with its attributes and constants, ready to run.
pub(super) trait Operator: Send + Sync {
    /// Reads the inputs of `call` and fills its outputs.
    fn run(&self, call: &mut Call<'_>) -> Result<(), RunError>;

    /// Bytes held.
    fn bytes(&self) -> usize {
        size_of_val(self)
    }
}

impl<F: Fn(&mut Call<'_>) -> Result<(), RunError> + Send + Sync> Operator for F {
    fn run(&self, call: &mut Call<'_>) -> Result<(), RunError> {
        self(call)
    }
}

/// Where a value lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Input(usize),
    Slot(usize),
    Constant(usize),
}

pub(super) struct Step {
    /// The node, for messages.
    pub(super) name: String,
    pub(super) operator: Box<dyn Operator>,
    pub(super) inputs: SmallVec<[Place; 4]>,
    /// Slots.
    pub(super) outputs: SmallVec<[usize; 2]>,
}

/// A compiled graph.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    pub(super) constants: Vec<Tensor>,
    pub(super) slots: usize,
    pub(super) outputs: Vec<Place>,
    /// Types of the inputs.
    pub(super) inputs: Vec<Datatype>,
}

/// One run of an operator.
pub(super) struct Call<'a> {
    pub(super) inputs: Inputs<'a>,
    /// To be filled, in the operator's order.
    pub(super) outputs: SmallVec<[Tensor; 2]>,
    /// Buffers that outlive the run.
    pub(super) work: &'a mut Work,
}

/// The inputs of one run of an operator.
#[derive(Clone, Copy)]
pub(super) struct Inputs<'a> {
    places: &'a [Place],
    constants: &'a [Tensor],
    inputs: &'a [Tensor],
    slots: &'a [Tensor],
}

impl<'a> Inputs<'a> {
    pub(super) fn get(self, index: usize) -> Result<&'a Tensor, RunError> {
        let tensor = match self.places.get(index) {
            Some(Place::Input(i)) => self.inputs.get(*i),
            Some(Place::Slot(i)) => self.slots.get(*i),
            Some(Place::Constant(i)) => self.constants.get(*i),
            None => None,
        };
        tensor.ok_or_else(|| RunError::Engine(format!("input {index} is missing")))
    }

    pub(super) fn len(self) -> usize {
        self.places.len()
    }
}

/// Gives an output its shape, and checks that it stays within bounds; gives the number of elements.
pub(super) fn shaped(output: &mut Tensor, shape: &[usize]) -> Result<usize, RunError> {
    let count = element_count(shape).filter(|count| *count <= MAX_ELEMENTS);
    let Some(count) = count else {
        return Err(RunError::Input(format!("a result of shape {shape:?} is too large")));
    };
    output.shape.clear();
    output.shape.extend_from_slice(shape);
    Ok(count)
}

/// Rows and columns as the operators of `ai.onnx.ml` see them: a list is one row.
pub(super) fn matrix(shape: &[usize]) -> Result<(usize, usize), RunError> {
    match *shape {
        [columns] => Ok((1, columns)),
        [rows, columns] => Ok((rows, columns)),
        _ => Err(RunError::Input(format!("expected a matrix, got shape {shape:?}"))),
    }
}

impl Plan {
    /// Runs all steps; `outputs` is refilled in graph order.
    pub(super) fn run(
        &self,
        inputs: &[Tensor],
        slots: &mut Vec<Tensor>,
        work: &mut Work,
        outputs: &mut Vec<Tensor>,
    ) -> Result<(), RunError> {
        if !inputs.iter().map(Tensor::datatype).eq(self.inputs.iter().copied()) {
            return Err(RunError::Engine("inputs are not those of the signature".to_owned()));
        }
        if slots.len() < self.slots {
            slots.resize_with(self.slots, || Tensor::empty(Datatype::Fp32));
        }
        outputs.truncate(self.outputs.len());
        outputs.resize_with(self.outputs.len(), || Tensor::empty(Datatype::Fp32));
        // The caller's buffers are filled in place.
        self.exchange(slots, outputs);
        let mut made = 0;
        let done = self.steps.iter().try_for_each(|step| {
            made += step.run(&self.constants, inputs, slots, work)?;
            let bound = || RunError::Input(format!("the graph makes more than {MAX_BYTES} bytes"));
            if made > MAX_BYTES { Err(bound()) } else { Ok(()) }
        });
        self.exchange(slots, outputs);
        slots.iter_mut().filter(|slot| slot.data.held_bytes() > KEPT_BYTES).for_each(|slot| {
            *slot = Tensor::empty(Datatype::Fp32);
        });
        done?;
        for (index, place) in self.outputs.iter().enumerate() {
            let source = match *place {
                Place::Input(i) => &inputs[i],
                Place::Constant(i) => &self.constants[i],
                Place::Slot(_) => match self.outputs[..index].iter().position(|other| other == place) {
                    Some(same) => &outputs[same].clone(),
                    None => continue,
                },
            };
            outputs[index].clone_from(source);
        }
        Ok(())
    }

    fn exchange(&self, slots: &mut [Tensor], outputs: &mut [Tensor]) {
        for (index, place) in self.outputs.iter().enumerate() {
            if let Place::Slot(slot) = *place
                && !self.outputs[..index].contains(place)
            {
                std::mem::swap(&mut slots[slot], &mut outputs[index]);
            }
        }
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        let constants = self.constants.iter().map(|c| c.data.len() * c.datatype().size().unwrap_or(32));
        let operators = self.steps.iter().map(|step| step.operator.bytes());
        size_of_val(&*self.steps) + constants.sum::<usize>() + operators.sum::<usize>()
    }
}

impl Step {
    /// Gives the bytes that its outputs hold.
    fn run(
        &self,
        constants: &[Tensor],
        inputs: &[Tensor],
        slots: &mut [Tensor],
        work: &mut Work,
    ) -> Result<usize, RunError> {
        let taken = |slot: &usize| std::mem::replace(&mut slots[*slot], Tensor::empty(Datatype::Bool));
        let outputs = self.outputs.iter().map(taken).collect();
        let inputs = Inputs { places: &self.inputs, constants, inputs, slots };
        let mut call = Call { inputs, outputs, work };
        let done = self.operator.run(&mut call);
        let mut made = 0;
        for (slot, output) in self.outputs.iter().zip(call.outputs) {
            made += output.data.held_bytes();
            slots[*slot] = output;
        }
        done.map(|()| made).map_err(|error| match error {
            RunError::Input(text) => RunError::Input(format!("{}: {text}", self.name)),
            RunError::Engine(text) => RunError::Engine(format!("{}: {text}", self.name)),
        })
    }
}
