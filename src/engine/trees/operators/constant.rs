//! Constant: a value in the graph.

use crate::engine::trees::builder::{Builder, unsupported};
use crate::model::LoadError;
use crate::onnx::{Attribute, Node};
use crate::tensor::{Data, Tensor};

pub(super) fn build<'m>(builder: &mut Builder<'m>, node: &'m Node) -> Result<(), LoadError> {
    let [(_, attribute)] = node.attributes.as_slice() else {
        return Err(unsupported(node, "more than one attribute"));
    };
    let tensor = match attribute {
        Attribute::Tensor(constant) => constant.tensor(&builder.model.bytes)?,
        Attribute::Float(value) => Tensor::new(&[], Data::Fp32(vec![*value])),
        Attribute::Int(value) => Tensor::new(&[], Data::Int64(vec![*value])),
        Attribute::String(value) => Tensor::new(&[], Data::Bytes([value].into_iter().collect())),
        Attribute::Floats(values) => Tensor::new(&[values.len()], Data::Fp32(values.clone())),
        Attribute::Ints(values) => Tensor::new(&[values.len()], Data::Int64(values.clone())),
        Attribute::Strings(values) => Tensor::new(&[values.len()], Data::Bytes(values.clone())),
        Attribute::Graph(_) | Attribute::Graphs(_) | Attribute::Other => {
            return Err(unsupported(node, "this kind of value"));
        }
    };
    let value = builder.constant(tensor);
    builder.define(node, 0, value)
}
