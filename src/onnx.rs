//! ONNX files: our own bounded reader, and what must be true of a model before any engine sees it.
//!
//! [`parse`] never panics, never allocates by a claimed size and never follows a path: a file that asks for
//! data outside of itself is refused wherever it asks (initializers, attributes, subgraphs, functions,
//! training). ZipMap, whose output no protocol can carry, is taken out here, so that engines need no word
//! about it: see [`Model::bytes`].

mod constant;
mod decode;
mod graph;
mod made;
mod scan;
mod signature;
mod wire;
pub mod write;
mod zipmap;

#[cfg(test)]
pub(crate) mod build;
#[cfg(test)]
mod tests;

pub use constant::Constant;
pub use graph::{Attribute, Graph, Kind, Node, ValueInfo};

use crate::model::{LoadError, Reason, Signature};

/// The largest file that is read: protobuf's own limit.
pub const MAX_BYTES: usize = i32::MAX as usize;
/// Nodes in all graphs and functions together; the largest published models have some ten thousand.
const MAX_NODES: usize = 250_000;
/// Names, initializers, attributes and the like in all; bounds memory for files made of empty messages.
const MAX_ITEMS: usize = 1_000_000;
/// A file has at least so many bytes for each element in lists of its attributes, which takes eight bytes when it is
/// read; up to [`MAX_ITEMS`] that does not matter. ONNX's own writers give each a tag and so at least two bytes, and
/// forests, the longest lists there are, have thresholds beside them.
const BYTES_PER_ELEMENT: usize = 2;
/// Attributes of one node; the widest operator has some thirty.
const MAX_ATTRIBUTES: usize = 256;
/// Graphs within graphs; real models need two or three.
const MAX_DEPTH: usize = 8;
/// Extents of one tensor; ONNX Runtime itself stops far below.
const MAX_RANK: usize = 64;
/// Elements of a tensor that a few bytes ask for, by a shape or by places in it; 1 GiB of numbers.
const MAX_MADE: usize = 1 << 28;
/// The newest format (IR) and operator sets that these rules were written for: ONNX 1.23.
const NEWEST_IR: i64 = 14;
const NEWEST_OPSETS: &[(&str, i64)] = &[("", 28), ("ai.onnx.ml", 5)];
/// Functions of one model, and how deep they may call each other.
const MAX_FUNCTIONS: usize = 10_000;
const MAX_CALL_DEPTH: usize = 32;

/// A model that passed the checks of [`parse`].
#[derive(Clone, Debug)]
pub struct Model {
    /// Inputs and outputs, in graph order.
    pub signature: Signature,
    /// The main graph, for engines that compile it themselves; constants point into `bytes`.
    pub graph: Graph,
    /// Operator sets by domain; `ai.onnx` is written as the empty domain.
    pub opsets: Vec<(String, i64)>,
    /// Number of model-local functions.
    pub functions: usize,
    /// What an engine loads: the file as it came, or without its ZipMap nodes.
    pub bytes: Vec<u8>,
}

/// Reads and checks a model file.
///
/// # Errors
/// With one of the published codes: `parse` for what is not a sound ONNX file, `too_large` beyond a cap or for a
/// constant shape that would be,
/// `external_data` for tensors kept elsewhere, `unknown_operator` for operators outside the known domains,
/// `unsupported` for inputs and outputs that no protocol carries, and for files newer than these rules.
pub fn parse(bytes: Vec<u8>) -> Result<Model, LoadError> {
    if bytes.len() > MAX_BYTES {
        return Err(LoadError::new(Reason::TooLarge, format!("the file is larger than {MAX_BYTES} bytes")));
    }
    let proto = decode::model(&bytes)?;
    scan::check(&proto)?;
    made::check(&proto, &bytes)?;
    match zipmap::remove(&bytes, &proto)? {
        None => finish(proto, bytes, zipmap::Labels::new()),
        Some(zipmap::Rewritten { bytes: rewritten, labels }) => {
            // Decoded again rather than patched: what an engine loads and what we describe stay one thing. Not beside
            // what it came from: both would be in memory.
            drop((proto, bytes));
            let proto = decode::model(&rewritten)?;
            finish(proto, rewritten, labels)
        }
    }
}

fn finish(proto: decode::Proto, bytes: Vec<u8>, labels: zipmap::Labels) -> Result<Model, LoadError> {
    let signature = signature::of(&proto.graph, labels)?;
    let functions = proto.functions.len();
    Ok(Model { signature, graph: proto.graph, opsets: proto.opsets, functions, bytes })
}

impl Model {
    /// The version of a domain's operator set, 1 when the model does not say; `""` is the default domain.
    pub fn opset(&self, domain: &str) -> i64 {
        self.opsets.iter().find(|(name, _)| name == domain).map_or(1, |(_, version)| *version)
    }
}

fn broken(detail: impl Into<String>) -> LoadError {
    LoadError::new(Reason::Parse, detail)
}

fn too_large(what: &str, limit: usize) -> LoadError {
    LoadError::new(Reason::TooLarge, format!("more than {limit} {what}"))
}

impl From<wire::WireError> for LoadError {
    fn from(error: wire::WireError) -> Self {
        broken(format!("not an ONNX file: {error}"))
    }
}
