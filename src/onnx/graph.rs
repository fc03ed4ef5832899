//! The graph as engines read it: nodes, attributes, constants.

use std::collections::{HashMap, HashSet};

use super::broken;
use super::constant::Constant;
use crate::model::{LoadError, shorten};
use crate::tensor::Strings;

/// A graph: the main one, or the body of an `If`, a `Loop` or a `Scan`.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// In topological order, as ONNX demands; not verified here.
    pub nodes: Vec<Node>,
    /// Constants by name.
    pub initializers: HashMap<String, Constant>,
    /// Names of sparse constants, which count as initializers too.
    pub sparse_initializers: HashSet<String>,
    /// Inputs, including those that an initializer gives a default.
    pub inputs: Vec<ValueInfo>,
    /// Outputs.
    pub outputs: Vec<ValueInfo>,
}

/// A named value with its declared type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueInfo {
    /// Name of the value.
    pub name: String,
    /// What it is declared to be.
    pub kind: Kind,
}

/// A declared type, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A dense tensor: ONNX's number of the element type, and extents (-1 for any; `None` without a shape).
    Tensor(i64, Option<Vec<i64>>),
    /// A sequence of maps, which ZipMap makes.
    Maps,
    /// Anything else, named for messages.
    Other(&'static str),
}

/// One operation.
#[derive(Clone, Debug, Default)]
pub struct Node {
    /// May be empty; for messages only.
    pub name: String,
    /// The operator.
    pub op_type: String,
    /// Its domain; empty for ONNX's own.
    pub domain: String,
    /// Names of values; an empty name is an input left out.
    pub inputs: Vec<String>,
    /// Names of values.
    pub outputs: Vec<String>,
    /// By name, each once.
    pub attributes: Vec<(String, Attribute)>,
}

/// The value of an attribute.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the variants are ONNX's own attribute types")]
pub enum Attribute {
    Float(f32),
    Int(i64),
    String(Vec<u8>),
    Tensor(Constant),
    Graph(Box<Graph>),
    Floats(Vec<f32>),
    Ints(Vec<i64>),
    Strings(Strings),
    Graphs(Vec<Graph>),
    /// Lists of tensors, sparse tensors, types, and references to a function's attributes.
    Other,
}

macro_rules! accessors {
    ($($name:ident, $variant:ident, $type:ty, $what:literal;)*) => {$(
        #[doc = concat!("The attribute, ", $what, "; `None` when it is absent.")]
        ///
        /// # Errors
        /// When it has another type.
        pub fn $name(&self, name: &str) -> Result<Option<&$type>, LoadError> {
            match self.attribute(name) {
                None => Ok(None),
                Some(Attribute::$variant(value)) => Ok(Some(value)),
                Some(_) => Err(broken(format!("{self}: attribute `{name}` is not {}", $what))),
            }
        }
    )*};
}

impl Node {
    /// The attribute of that name.
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|(n, _)| n == name).map(|(_, value)| value)
    }

    accessors! {
        float, Float, f32, "a number";
        int, Int, i64, "an integer";
        string, String, [u8], "a text";
        tensor, Tensor, Constant, "a tensor";
        floats, Floats, [f32], "a list of numbers";
        ints, Ints, [i64], "a list of integers";
        strings, Strings, Strings, "a list of texts";
    }

    /// Graphs among the attributes.
    pub fn subgraphs(&self) -> impl Iterator<Item = &Graph> {
        self.attributes.iter().flat_map(|(_, value)| match value {
            Attribute::Graph(graph) => std::slice::from_ref(graph.as_ref()),
            Attribute::Graphs(graphs) => graphs,
            _ => &[],
        })
    }
}

impl std::fmt::Display for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "operator `{}`", shorten(&self.op_type))?;
        if !self.name.is_empty() {
            write!(f, " (node `{}`)", shorten(&self.name))?;
        }
        Ok(())
    }
}

impl Graph {
    /// Whether a constant has that name.
    pub fn is_initializer(&self, name: &str) -> bool {
        self.initializers.contains_key(name) || self.sparse_initializers.contains(name)
    }
}
