//! Graphs value by value: names are given out here, so that none is given twice.

use std::collections::{HashMap, HashSet};

use super::{Message, OPSETS, constant, element, model, node, value};
use crate::tensor::{Data, Datatype, Tensor};

/// A value in a graph, which is its name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Value(String);

/// An input or an output has a name that another value has.
#[derive(Debug, thiserror::Error)]
#[error("the graph already has a value called `{0}`; rename the column")]
pub struct NameTaken(pub String);

/// A graph being written, node after node in the order in which they run.
#[derive(Debug, Default)]
pub struct GraphBuilder {
    nodes: Message,
    inputs: Message,
    outputs: Message,
    initializers: Message,
    names: HashSet<String>,
    /// By what they hold, so that each is kept once.
    constants: HashMap<Vec<u8>, Value>,
    count: usize,
}

impl AsRef<str> for Value {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl GraphBuilder {
    /// Declares an input; -1 is any extent. Inputs come first: what nodes make evades their names.
    ///
    /// # Errors
    /// When the name is taken.
    pub fn input(&mut self, name: &str, datatype: Datatype, shape: &[i64]) -> Result<Value, NameTaken> {
        self.reserve(name)?;
        self.inputs = std::mem::take(&mut self.inputs).message(11, value(name, element(datatype), shape));
        Ok(Value(name.to_owned()))
    }

    /// A constant tensor.
    pub fn constant(&mut self, tensor: &Tensor) -> Value {
        let key = constant("", tensor).into_bytes();
        if let Some(known) = self.constants.get(&key) {
            return known.clone();
        }
        let made = self.fresh("constant");
        self.initializers =
            std::mem::take(&mut self.initializers).message(5, constant(made.as_ref(), tensor));
        self.constants.insert(key, made.clone());
        made
    }

    /// A constant of shape `[]`.
    pub fn scalar(&mut self, data: Data) -> Value {
        self.constant(&Tensor::new(&[], data))
    }

    /// A constant of one axis.
    pub fn list(&mut self, data: Data) -> Value {
        self.constant(&Tensor::new(&[data.len()], data))
    }

    /// A node with one output; operators are written as in [`node`].
    pub fn node(&mut self, op: &str, inputs: &[&Value], attributes: Vec<Message>) -> Value {
        let [made] = self.nodes(op, inputs, attributes);
        made
    }

    /// A node with `N` outputs.
    pub fn nodes<const N: usize>(
        &mut self,
        op: &str,
        inputs: &[&Value],
        attributes: Vec<Message>,
    ) -> [Value; N] {
        let hint = op.rsplit('.').next().unwrap_or(op).to_ascii_lowercase();
        let made = std::array::from_fn(|_| self.fresh(&hint));
        let [inputs, outputs] = [inputs.to_vec(), made.iter().collect()];
        self.nodes = std::mem::take(&mut self.nodes).message(1, node(op, &inputs, &outputs, attributes));
        made
    }

    /// Declares an output of this name.
    ///
    /// # Errors
    /// When the name is taken.
    pub fn output(
        &mut self,
        from: &Value,
        name: &str,
        datatype: Datatype,
        shape: &[i64],
    ) -> Result<(), NameTaken> {
        self.reserve(name)?;
        let made = Value(name.to_owned());
        // Engines take it out again.
        let identity = node("Identity", &[from], &[&made], vec![]);
        self.nodes = std::mem::take(&mut self.nodes).message(1, identity);
        self.outputs = std::mem::take(&mut self.outputs).message(12, value(name, element(datatype), shape));
        Ok(())
    }

    /// The file; `metadata` are texts that only people and tools read.
    pub fn finish(self, metadata: &[(&str, &str)]) -> Vec<u8> {
        let Self { nodes, inputs, outputs, initializers, .. } = self;
        let mut graph = nodes.bytes(2, "sidegate");
        for part in [initializers, inputs, outputs] {
            graph.0.extend_from_slice(&part.0);
        }
        model(graph, &OPSETS, metadata).into_bytes()
    }

    fn reserve(&mut self, name: &str) -> Result<(), NameTaken> {
        if self.names.insert(name.to_owned()) { Ok(()) } else { Err(NameTaken(name.to_owned())) }
    }

    fn fresh(&mut self, hint: &str) -> Value {
        loop {
            let name = format!("{hint}_{}", self.count);
            self.count += 1;
            if self.names.insert(name.clone()) {
                return Value(name);
            }
        }
    }
}
