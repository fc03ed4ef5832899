//! Writes ONNX files: messages field by field, and [`GraphBuilder`] for whole graphs.
//!
//! The same calls give the same bytes, so that the digest of a model tells whether it changed. Lists are appended in
//! place; a message is copied once into what holds it.

mod graph;
#[cfg(test)]
mod tests;

pub use graph::{GraphBuilder, NameTaken, Value};

use super::wire::{put_bytes, put_int, put_varint};
use crate::tensor::{Data, Datatype, Tensor};

/// The format (IR) that is written, and the operator sets: old enough for every runtime in use (ONNX Runtime since
/// 1.14), new enough for the operators that are needed.
pub const IR: i64 = 8;
/// See [`IR`].
pub const OPSETS: [(&str, i64); 2] = [("", 17), (ML, 3)];
/// The domain of classical machine learning.
const ML: &str = "ai.onnx.ml";

/// A protobuf message being written.
#[derive(Clone, Debug, Default)]
pub struct Message(pub(crate) Vec<u8>);

impl Message {
    /// Appends an integer.
    #[must_use]
    pub fn int(mut self, number: u64, value: i64) -> Self {
        put_int(&mut self.0, number, value);
        self
    }

    /// Appends a float32.
    #[must_use]
    pub fn float(mut self, number: u64, value: f32) -> Self {
        put_varint(&mut self.0, number << 3 | 5);
        self.0.extend(value.to_le_bytes());
        self
    }

    /// Appends text or raw bytes.
    #[must_use]
    pub fn bytes(mut self, number: u64, value: impl AsRef<[u8]>) -> Self {
        put_bytes(&mut self.0, number, value.as_ref());
        self
    }

    /// Appends a message.
    #[must_use]
    pub fn message(self, number: u64, inner: Self) -> Self {
        self.bytes(number, inner.0)
    }

    /// Appends messages.
    #[must_use]
    pub fn all(self, number: u64, inner: impl IntoIterator<Item = Self>) -> Self {
        inner.into_iter().fold(self, |out, inner| out.message(number, inner))
    }

    /// The bytes written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// A NodeProto: an operator of ONNX, or of `ai.onnx.ml` when written `ml.Scaler`, or of any domain: `my.domain.Op`.
pub fn node<S: AsRef<str>>(op: &str, inputs: &[S], outputs: &[S], attributes: Vec<Message>) -> Message {
    let (domain, op) = op.rsplit_once('.').unwrap_or(("", op));
    let out = inputs.iter().fold(Message::default(), |out, name| out.bytes(1, name.as_ref()));
    let out = outputs.iter().fold(out, |out, name| out.bytes(2, name.as_ref()));
    out.bytes(4, op).all(5, attributes).bytes(7, if domain == "ml" { ML } else { domain })
}

/// An attribute that is an integer.
pub fn int(name: &str, value: i64) -> Message {
    Message::default().bytes(1, name).int(3, value).int(20, 2)
}

/// An attribute that is a float32.
pub fn float(name: &str, value: f32) -> Message {
    Message::default().bytes(1, name).float(2, value).int(20, 1)
}

/// An attribute that is a text.
pub fn text(name: &str, value: &str) -> Message {
    Message::default().bytes(1, name).bytes(4, value).int(20, 3)
}

/// An attribute that is a tensor.
pub fn tensor(name: &str, value: Message) -> Message {
    Message::default().bytes(1, name).message(5, value).int(20, 4)
}

/// An attribute that is a list of float32.
pub fn floats(name: &str, values: &[f32]) -> Message {
    values.iter().fold(Message::default().bytes(1, name), |out, v| out.float(7, *v)).int(20, 6)
}

/// An attribute that is a list of integers.
pub fn ints(name: &str, values: &[i64]) -> Message {
    values.iter().fold(Message::default().bytes(1, name), |out, v| out.int(8, *v)).int(20, 7)
}

/// An attribute that is a list of texts.
pub fn texts<S: AsRef<[u8]>>(name: &str, values: &[S]) -> Message {
    values.iter().fold(Message::default().bytes(1, name), |out, v| out.bytes(9, v)).int(20, 8)
}

/// A ValueInfoProto of a dense tensor; -1 becomes a symbol.
pub fn value(name: &str, element: i64, shape: &[i64]) -> Message {
    let dimension = |d: &i64| match *d {
        -1 => Message::default().bytes(2, "N"),
        extent => Message::default().int(1, extent),
    };
    let shape = Message::default().all(1, shape.iter().map(dimension));
    let kind = Message::default().message(1, Message::default().int(1, element).message(2, shape));
    Message::default().bytes(1, name).message(2, kind)
}

/// A TensorProto: raw bytes, or a list of texts.
pub fn constant(name: &str, tensor: &Tensor) -> Message {
    let out = tensor.shape.iter().fold(Message::default(), |out, extent| out.int(1, *extent as i64));
    let out = out.int(2, element(tensor.datatype()));
    macro_rules! raw {
        ($values:expr) => {
            out.bytes(9, $values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>())
        };
    }
    let out = match &tensor.data {
        Data::Bool(v) => out.bytes(9, v.iter().map(|v| u8::from(*v)).collect::<Vec<u8>>()),
        Data::Uint8(v) => out.bytes(9, v),
        Data::Uint16(v) | Data::Fp16(v) | Data::Bf16(v) => raw!(v),
        Data::Uint32(v) => raw!(v),
        Data::Uint64(v) => raw!(v),
        Data::Int8(v) => raw!(v),
        Data::Int16(v) => raw!(v),
        Data::Int32(v) => raw!(v),
        Data::Int64(v) => raw!(v),
        Data::Fp32(v) => raw!(v),
        Data::Fp64(v) => raw!(v),
        Data::Bytes(v) => v.iter().fold(out, |out, text| out.bytes(6, text)),
    };
    out.bytes(8, name)
}

/// ONNX's number of an element type.
pub const fn element(datatype: Datatype) -> i64 {
    match datatype {
        Datatype::Fp32 => 1,
        Datatype::Uint8 => 2,
        Datatype::Int8 => 3,
        Datatype::Uint16 => 4,
        Datatype::Int16 => 5,
        Datatype::Int32 => 6,
        Datatype::Int64 => 7,
        Datatype::Bytes => 8,
        Datatype::Bool => 9,
        Datatype::Fp16 => 10,
        Datatype::Fp64 => 11,
        Datatype::Uint32 => 12,
        Datatype::Uint64 => 13,
        Datatype::Bf16 => 16,
    }
}

/// A ModelProto around a graph, with texts that only people and tools read.
pub fn model(graph: Message, opsets: &[(&str, i64)], metadata: &[(&str, &str)]) -> Message {
    let opset = |(domain, version): &(&str, i64)| Message::default().bytes(1, domain).int(2, *version);
    let entry = |(key, value): &(&str, &str)| Message::default().bytes(1, key).bytes(2, value);
    Message::default()
        .int(1, IR)
        .bytes(2, "sidegate")
        .message(7, graph)
        .all(8, opsets.iter().map(opset))
        .all(14, metadata.iter().map(entry))
}
