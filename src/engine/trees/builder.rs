//! From nodes to steps.

use std::collections::HashMap;

use super::plan::{Operator, Place, Plan, Step};
use crate::model::{LoadError, Reason, shorten};
use crate::onnx::{Model, Node};
use crate::tensor::{Datatype, Tensor};

/// What is known of a value when the plan is built.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value {
    pub(super) place: Place,
    pub(super) datatype: Datatype,
}

/// Builds a plan node by node.
pub(super) struct Builder<'m> {
    pub(super) model: &'m Model,
    values: HashMap<&'m str, Value>,
    plan: Plan,
}

/// `unsupported`, naming the node.
pub(super) fn unsupported(node: &Node, what: &str) -> LoadError {
    LoadError::new(Reason::Unsupported, format!("{node}: the trees engine does not support {what}"))
}

/// `parse`, naming the node.
pub(super) fn wrong(node: &Node, what: &str) -> LoadError {
    LoadError::new(Reason::Parse, format!("{node}: {what}"))
}

impl<'m> Builder<'m> {
    pub(super) fn new(model: &'m Model) -> Self {
        let mut values = HashMap::new();
        let mut plan = Plan::default();
        let names = model.graph.inputs.iter().filter(|input| !model.graph.is_initializer(&input.name));
        for ((index, spec), input) in model.signature.inputs.iter().enumerate().zip(names) {
            values.insert(&*input.name, Value { place: Place::Input(index), datatype: spec.datatype });
            plan.inputs.push(spec.datatype);
        }
        Self { model, values, plan }
    }

    /// The value behind an input of a node; `None` when it is left out.
    pub(super) fn optional(&mut self, node: &'m Node, index: usize) -> Result<Option<Value>, LoadError> {
        let Some(name) = node.inputs.get(index).filter(|name| !name.is_empty()) else { return Ok(None) };
        if let Some(value) = self.values.get(name.as_str()) {
            return Ok(Some(*value));
        }
        let Some(constant) = self.model.graph.initializers.get(name) else {
            return Err(wrong(node, &format!("input `{}` is made by no node before it", shorten(name))));
        };
        let value = self.constant(constant.tensor(&self.model.bytes)?);
        self.values.insert(name, value);
        Ok(Some(value))
    }

    pub(super) fn input(&mut self, node: &'m Node, index: usize) -> Result<Value, LoadError> {
        self.optional(node, index)?.ok_or_else(|| wrong(node, &format!("input {index} is missing")))
    }

    pub(super) fn inputs(&mut self, node: &'m Node) -> Result<Vec<Value>, LoadError> {
        (0..node.inputs.len()).map(|index| self.input(node, index)).collect()
    }

    /// How wide rows of a value are, where the graph declares it.
    pub(super) fn width(&self, value: Value) -> Option<usize> {
        let Place::Input(index) = value.place else { return None };
        match *self.model.signature.inputs.get(index)?.shape.as_slice() {
            [columns] | [_, columns] => usize::try_from(columns).ok().filter(|columns| *columns > 0),
            _ => None,
        }
    }

    /// The tensor behind an input that must be a constant.
    pub(super) fn known(&mut self, node: &'m Node, index: usize) -> Result<&Tensor, LoadError> {
        let value = self.input(node, index)?;
        match value.place {
            Place::Constant(index) => Ok(&self.plan.constants[index]),
            _ => Err(unsupported(node, &format!("an input {index} that is no constant"))),
        }
    }

    /// Keeps a constant.
    pub(super) fn constant(&mut self, tensor: Tensor) -> Value {
        let datatype = tensor.datatype();
        self.plan.constants.push(tensor);
        Value { place: Place::Constant(self.plan.constants.len() - 1), datatype }
    }

    /// Gives one of the node's outputs a value.
    pub(super) fn define(&mut self, node: &'m Node, index: usize, value: Value) -> Result<(), LoadError> {
        let Some(name) = node.outputs.get(index).filter(|name| !name.is_empty()) else { return Ok(()) };
        match self.values.insert(name, value) {
            None => Ok(()),
            Some(_) => Err(wrong(node, &format!("value `{}` is made twice", shorten(name)))),
        }
    }

    /// Adds a step that makes the node's outputs, whose types are given in order.
    pub(super) fn emit(
        &mut self,
        node: &'m Node,
        inputs: &[Value],
        outputs: &[Datatype],
        operator: impl Operator + 'static,
    ) -> Result<(), LoadError> {
        if node.outputs.len() > outputs.len() {
            return Err(unsupported(node, &format!("{} outputs", node.outputs.len())));
        }
        let first = self.plan.slots;
        self.plan.slots += outputs.len();
        for (index, datatype) in outputs.iter().enumerate() {
            self.define(node, index, Value { place: Place::Slot(first + index), datatype: *datatype })?;
        }
        self.plan.steps.push(Step {
            name: node.to_string(),
            operator: Box::new(operator),
            inputs: inputs.iter().map(|value| value.place).collect(),
            outputs: (first..self.plan.slots).collect(),
        });
        Ok(())
    }

    /// The finished plan; its outputs must have the types that the graph declares.
    pub(super) fn finish(mut self) -> Result<Plan, LoadError> {
        for (spec, output) in self.model.signature.outputs.iter().zip(&self.model.graph.outputs) {
            let name = shorten(&output.name);
            let constant = self.model.graph.initializers.get(&output.name);
            let value = match (self.values.get(output.name.as_str()), constant) {
                (Some(value), _) => *value,
                (None, Some(constant)) => self.constant(constant.tensor(&self.model.bytes)?),
                (None, None) => {
                    return Err(LoadError::new(Reason::Parse, format!("output `{name}` is made by no node")));
                }
            };
            if value.datatype != spec.datatype {
                let (declared, computed) = (spec.datatype, value.datatype);
                let detail = format!("output `{name}` is declared {declared} but computed {computed}");
                return Err(LoadError::new(Reason::Unsupported, detail));
            }
            self.plan.outputs.push(value.place);
        }
        Ok(self.plan)
    }
}
