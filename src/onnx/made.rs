//! Tensors that operators make from a shape written in the file: twenty bytes can ask for any amount of memory, and
//! engines make such constants while they load.
//!
//! Only what stands there literally is judged; a shape that is computed shows when an engine computes it.

use std::collections::HashMap;

use super::constant::Constant;
use super::decode::Proto;
use super::graph::{Attribute, Graph, Node};
use super::{MAX_MADE, MAX_RANK};
use crate::model::{LoadError, Reason};
use crate::tensor::Data;

/// Operators of ONNX with the input that says how large their output is: its elements, multiplied.
const MAKERS: &[(&str, usize)] = &[
    ("AffineGrid", 1),
    ("BlackmanWindow", 0),
    ("ConstantOfShape", 0),
    ("Expand", 1),
    ("HammingWindow", 0),
    ("HannWindow", 0),
    ("OneHot", 1),
    ("Resize", 3),
    ("Tile", 1),
];

/// Constants that a node sees: those of its own graph, then those of the graphs around it.
struct Scope<'a> {
    constants: HashMap<&'a str, &'a Constant>,
    lists: HashMap<&'a str, &'a [i64]>,
    around: Option<&'a Scope<'a>>,
}

/// Refuses a model with an operator whose output a literal shape makes larger than [`MAX_MADE`] elements.
pub(super) fn check(proto: &Proto, bytes: &[u8]) -> Result<(), LoadError> {
    for graph in std::iter::once(&proto.graph).chain(&proto.training) {
        body(&graph.nodes, Some(graph), None, bytes)?;
    }
    proto.functions.iter().try_for_each(|function| body(&function.nodes, None, None, bytes))
}

fn body(
    nodes: &[Node],
    graph: Option<&Graph>,
    around: Option<&Scope<'_>>,
    bytes: &[u8],
) -> Result<(), LoadError> {
    let scope = Scope::new(nodes, graph, around);
    for node in nodes {
        let count = scope.made(node, bytes).unwrap_or(0.0);
        if count > MAX_MADE as f64 {
            let detail = format!(
                "{node} makes a tensor of {count:e} elements; at most {MAX_MADE} are made by a shape"
            );
            return Err(LoadError::new(Reason::TooLarge, detail));
        }
        for inner in node.subgraphs() {
            body(&inner.nodes, Some(inner), Some(&scope), bytes)?;
        }
    }
    Ok(())
}

impl<'a> Scope<'a> {
    fn new(nodes: &'a [Node], graph: Option<&'a Graph>, around: Option<&'a Scope<'a>>) -> Self {
        let initializers = graph.iter().flat_map(|graph| &graph.initializers);
        let mut scope = Self {
            constants: initializers.map(|(n, c)| (n.as_str(), c)).collect(),
            lists: HashMap::new(),
            around,
        };
        for node in nodes.iter().filter(|node| node.op_type == "Constant") {
            let Some(name) = node.outputs.first() else { continue };
            for (_, value) in &node.attributes {
                match value {
                    Attribute::Tensor(constant) => drop(scope.constants.insert(name, constant)),
                    Attribute::Ints(list) => drop(scope.lists.insert(name, list)),
                    Attribute::Int(one) => drop(scope.lists.insert(name, std::slice::from_ref(one))),
                    _ => {}
                }
            }
        }
        scope
    }

    /// The elements of a node's output, as far as literals tell. Floats: only the order of magnitude matters.
    fn made(&self, node: &Node, bytes: &[u8]) -> Option<f64> {
        if !node.domain.is_empty() {
            return None;
        }
        let input = |index: usize| self.numbers(node.inputs.get(index)?, bytes);
        match node.op_type.as_str() {
            "Range" => {
                let [start, limit, delta] = [input(0)?, input(1)?, input(2)?].map(|n| n.first().copied());
                Some((limit? - start?) / delta?)
            }
            "RandomNormal" | "RandomUniform" => {
                Some(node.ints("shape").ok()??.iter().map(|n| *n as f64).product())
            }
            op => {
                let (_, index) = MAKERS.iter().find(|(maker, _)| *maker == op)?;
                Some(input(*index)?.iter().product())
            }
        }
    }

    /// A short constant by name.
    fn numbers(&self, name: &str, bytes: &[u8]) -> Option<Vec<f64>> {
        if let Some(list) = self.lists.get(name) {
            return Some(list.iter().map(|n| *n as f64).collect());
        }
        let Some(constant) = self.constants.get(name) else { return self.around?.numbers(name, bytes) };
        if constant.shape.iter().product::<usize>() > MAX_RANK {
            return None;
        }
        Some(match constant.tensor(bytes).ok()?.data {
            Data::Int16(v) => v.into_iter().map(f64::from).collect(),
            Data::Int32(v) => v.into_iter().map(f64::from).collect(),
            Data::Int64(v) => v.into_iter().map(|n| n as f64).collect(),
            Data::Fp32(v) => v.into_iter().map(f64::from).collect(),
            Data::Fp64(v) => v,
            _ => return None,
        })
    }
}
