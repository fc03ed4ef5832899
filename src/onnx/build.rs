//! Handmade models for tests, field by field, so that they can be as wrong as a test needs.

use super::wire::{put_bytes, put_int, put_varint};

/// A protobuf message being written.
#[derive(Clone, Default)]
pub(crate) struct Msg(pub(crate) Vec<u8>);

impl Msg {
    pub(crate) fn int(mut self, number: u64, value: i64) -> Self {
        put_int(&mut self.0, number, value);
        self
    }

    pub(crate) fn float(mut self, number: u64, value: f32) -> Self {
        put_varint(&mut self.0, number << 3 | 5);
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(crate) fn bytes(mut self, number: u64, value: impl AsRef<[u8]>) -> Self {
        put_bytes(&mut self.0, number, value.as_ref());
        self
    }

    pub(crate) fn message(self, number: u64, inner: Self) -> Self {
        self.bytes(number, inner.0)
    }

    pub(crate) fn all(self, number: u64, inner: impl IntoIterator<Item = Self>) -> Self {
        inner.into_iter().fold(self, |out, inner| out.message(number, inner))
    }
}

/// An operator of ONNX, or of `ai.onnx.ml` when written `ml.Scaler`, or of any domain: `my.domain.Op`.
pub(crate) fn node(op: &str, inputs: &[&str], outputs: &[&str], attributes: Vec<Msg>) -> Msg {
    let (domain, op) = op.rsplit_once('.').unwrap_or(("", op));
    let out = inputs.iter().fold(Msg::default(), |out, name| out.bytes(1, name));
    let out = outputs.iter().fold(out, |out, name| out.bytes(2, name));
    out.bytes(4, op).all(5, attributes).bytes(7, if domain == "ml" { "ai.onnx.ml" } else { domain })
}

pub(crate) fn int(name: &str, value: i64) -> Msg {
    Msg::default().bytes(1, name).int(3, value).int(20, 2)
}

pub(crate) fn text(name: &str, value: &str) -> Msg {
    Msg::default().bytes(1, name).bytes(4, value).int(20, 3)
}

pub(crate) fn tensor(name: &str, value: Msg) -> Msg {
    Msg::default().bytes(1, name).message(5, value).int(20, 4)
}

pub(crate) fn subgraph(name: &str, value: Msg) -> Msg {
    Msg::default().bytes(1, name).message(6, value).int(20, 5)
}

pub(crate) fn floats(name: &str, values: &[f32]) -> Msg {
    values.iter().fold(Msg::default().bytes(1, name), |out, v| out.float(7, *v)).int(20, 6)
}

pub(crate) fn ints(name: &str, values: &[i64]) -> Msg {
    values.iter().fold(Msg::default().bytes(1, name), |out, v| out.int(8, *v)).int(20, 7)
}

pub(crate) fn texts(name: &str, values: &[&str]) -> Msg {
    values.iter().fold(Msg::default().bytes(1, name), |out, v| out.bytes(9, v)).int(20, 8)
}

/// A ValueInfoProto of a dense tensor; -1 becomes a symbol.
pub(crate) fn value(name: &str, element: i64, shape: &[i64]) -> Msg {
    let dimension = |d: &i64| match *d {
        -1 => Msg::default().bytes(2, "N"),
        extent => Msg::default().int(1, extent),
    };
    let shape = Msg::default().all(1, shape.iter().map(dimension));
    let kind = Msg::default().message(1, Msg::default().int(1, element).message(2, shape));
    Msg::default().bytes(1, name).message(2, kind)
}

/// What ZipMap declares.
pub(crate) fn maps(name: &str) -> Msg {
    let map = Msg::default().message(5, Msg::default().int(1, 7));
    Msg::default().bytes(1, name).message(2, Msg::default().message(4, Msg::default().message(1, map)))
}

/// A float32 TensorProto with raw bytes.
pub(crate) fn constant(name: &str, shape: &[i64], values: &[f32]) -> Msg {
    let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    shape.iter().fold(Msg::default(), |out, d| out.int(1, *d)).int(2, 1).bytes(8, name).bytes(9, raw)
}

pub(crate) fn graph(nodes: Vec<Msg>, inputs: Vec<Msg>, outputs: Vec<Msg>) -> Msg {
    Msg::default().all(1, nodes).bytes(2, "g").all(11, inputs).all(12, outputs)
}

/// A file around a graph.
pub(crate) fn model(graph: Msg) -> Msg {
    let opset = |domain: &str, version| Msg::default().bytes(1, domain).int(2, version);
    Msg::default().int(1, 8).message(7, graph).all(8, [opset("", 18), opset("ai.onnx.ml", 3)])
}
