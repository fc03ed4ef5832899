//! Handmade models for tests, field by field, so that they can be as wrong as a test needs: what [`super::write`] has,
//! and what only tests need.

use super::write;
pub(crate) use super::write::{Message as Msg, floats, int, ints, tensor, text, texts, value};
use crate::tensor::{Data, Tensor};

/// [`write::node`], for names as they are written in tests.
pub(crate) fn node(op: &str, inputs: &[&str], outputs: &[&str], attributes: Vec<Msg>) -> Msg {
    write::node(op, inputs, outputs, attributes)
}

pub(crate) fn subgraph(name: &str, value: Msg) -> Msg {
    Msg::default().bytes(1, name).message(6, value).int(20, 5)
}

/// What ZipMap declares.
pub(crate) fn maps(name: &str) -> Msg {
    let map = Msg::default().message(5, Msg::default().int(1, 7));
    Msg::default().bytes(1, name).message(2, Msg::default().message(4, Msg::default().message(1, map)))
}

/// A float32 TensorProto with raw bytes; the shape need not fit.
pub(crate) fn constant(name: &str, shape: &[i64], values: &[f32]) -> Msg {
    let mut tensor = Tensor::empty(crate::tensor::Datatype::Fp32);
    tensor.shape = shape.iter().map(|extent| *extent as usize).collect();
    tensor.data = Data::Fp32(values.to_vec());
    write::constant(name, &tensor)
}

pub(crate) fn graph(nodes: Vec<Msg>, inputs: Vec<Msg>, outputs: Vec<Msg>) -> Msg {
    Msg::default().all(1, nodes).bytes(2, "g").all(11, inputs).all(12, outputs)
}

/// A file around a graph.
pub(crate) fn model(graph: Msg) -> Msg {
    write::model(graph, &[("", 18), ("ai.onnx.ml", 3)], &[])
}
