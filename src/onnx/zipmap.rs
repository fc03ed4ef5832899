//! ZipMap taken out: a sequence of maps from class to score becomes the tensor of scores it was made from.
//!
//! The file is edited on the wire, so that everything else stays byte for byte as it came.

use std::collections::{HashMap, HashSet};

use super::broken;
use super::decode::Proto;
use super::graph::{Graph, Node};
use super::wire::{Message, put_bytes, put_int};
use crate::model::LoadError;

/// Class labels by output name.
pub(super) type Labels = HashMap<String, Vec<String>>;

/// A model without ZipMap, and what the maps' keys were.
pub(super) struct Rewritten {
    pub(super) bytes: Vec<u8>,
    pub(super) labels: Labels,
}

/// Oldest operator set with an `Identity` of every type, for models that import none.
const IDENTITY_OPSET: i64 = 9;

/// What becomes of a node.
enum Edit {
    Cut,
    /// The output of that name gets another.
    Rename(String, String),
    /// An `Identity` from one name to another.
    Identity(String, String),
}

/// What happens to each node, by its place in the graph.
type Edits = HashMap<usize, Edit>;

/// Takes out every ZipMap that makes an output of the graph; `None` when there is none.
pub(super) fn remove(bytes: &[u8], proto: &Proto) -> Result<Option<Rewritten>, LoadError> {
    let (edits, labels) = plan(&proto.graph)?;
    if labels.is_empty() {
        return Ok(None);
    }
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = Message::new(bytes);
    while let Some(field) = rest.next()? {
        match field.number {
            7 => put_bytes(&mut out, 7, &rewrite(bytes, field.message()?, &edits, &labels)?),
            _ => out.extend_from_slice(&bytes[field.span]),
        }
    }
    let identity = edits.values().any(|edit| matches!(edit, Edit::Identity(..)));
    if identity && !proto.opsets.iter().any(|(domain, _)| domain.is_empty()) {
        let mut opset = Vec::new();
        put_int(&mut opset, 2, IDENTITY_OPSET);
        put_bytes(&mut out, 8, &opset);
    }
    Ok(Some(Rewritten { bytes: out, labels }))
}

fn plan(graph: &Graph) -> Result<(Edits, Labels), LoadError> {
    let (mut edits, mut labels) = (Edits::new(), Labels::new());
    let is_zipmap = |node: &Node| node.domain == "ai.onnx.ml" && node.op_type == "ZipMap";
    if !graph.nodes.iter().any(is_zipmap) {
        return Ok((edits, labels));
    }
    let outputs: HashSet<&str> = graph.outputs.iter().map(|output| output.name.as_str()).collect();
    let mut uses = HashMap::new();
    count_uses(graph, &mut uses);
    let makers: HashMap<&str, usize> = graph
        .nodes
        .iter()
        .enumerate()
        .flat_map(|(index, node)| node.outputs.iter().map(move |name| (name.as_str(), index)))
        .collect();
    for (index, node) in graph.nodes.iter().enumerate().filter(|(_, node)| is_zipmap(node)) {
        let ([scores], [output]) = (node.inputs.as_slice(), node.outputs.as_slice()) else {
            return Err(broken(format!("{node} needs one input and one output")));
        };
        if !outputs.contains(output.as_str()) {
            continue;
        }
        labels.insert(output.clone(), keys(node)?);
        let alone = uses.get(scores.as_str()) == Some(&1);
        match makers.get(scores.as_str()) {
            Some(maker) if alone && !edits.contains_key(maker) => {
                edits.insert(*maker, Edit::Rename(scores.clone(), output.clone()));
                edits.insert(index, Edit::Cut);
            }
            _ => drop(edits.insert(index, Edit::Identity(scores.clone(), output.clone()))),
        }
    }
    Ok((edits, labels))
}

/// The keys of the maps, as text.
fn keys(node: &Node) -> Result<Vec<String>, LoadError> {
    let integers = node.ints("classlabels_int64s")?.unwrap_or_default();
    let integers: Vec<String> = integers.iter().map(i64::to_string).collect();
    let texts: Vec<String> = match node.strings("classlabels_strings")? {
        None => Vec::new(),
        Some(labels) => labels
            .iter()
            .map(|label| String::from_utf8(label.to_vec()))
            .collect::<Result<_, _>>()
            .map_err(|_| broken(format!("{node}: a class label is not UTF-8")))?,
    };
    match (integers.is_empty(), texts.is_empty()) {
        (false, true) => Ok(integers),
        (true, false) => Ok(texts),
        _ => Err(broken(format!("{node} needs class labels of one type"))),
    }
}

/// Counts how often each value is read, in a graph and the graphs within.
fn count_uses<'a>(graph: &'a Graph, uses: &mut HashMap<&'a str, usize>) {
    for output in &graph.outputs {
        *uses.entry(&output.name).or_default() += 1;
    }
    for node in &graph.nodes {
        for input in &node.inputs {
            *uses.entry(input).or_default() += 1;
        }
        node.subgraphs().for_each(|inner| count_uses(inner, uses));
    }
}

fn rewrite(
    bytes: &[u8],
    mut rest: Message<'_>,
    edits: &Edits,
    labels: &Labels,
) -> Result<Vec<u8>, LoadError> {
    let gone: HashSet<&str> = edits
        .values()
        .filter_map(|edit| if let Edit::Rename(from, _) = edit { Some(from.as_str()) } else { None })
        .collect();
    let mut out = Vec::with_capacity(rest.bytes().len());
    let mut index = 0;
    while let Some(field) = rest.next()? {
        match field.number {
            1 => {
                match edits.get(&index) {
                    None => out.extend_from_slice(&bytes[field.span]),
                    Some(Edit::Cut) => {}
                    Some(Edit::Rename(from, to)) => {
                        put_bytes(&mut out, 1, &renamed(bytes, field.message()?, from, to)?);
                    }
                    Some(Edit::Identity(from, to)) => put_bytes(&mut out, 1, &identity(from, to)),
                }
                index += 1;
            }
            12 | 13 => {
                let name = name(field.message()?)?;
                match labels.get(name) {
                    Some(labels) if field.number == 12 => {
                        put_bytes(&mut out, 12, &scores(name, labels.len()));
                    }
                    // A type declared for a value that is now another, or gone.
                    Some(_) => {}
                    None if field.number == 13 && gone.contains(name) => {}
                    None => out.extend_from_slice(&bytes[field.span]),
                }
            }
            _ => out.extend_from_slice(&bytes[field.span]),
        }
    }
    Ok(out)
}

/// The name in a ValueInfoProto.
fn name(mut rest: Message<'_>) -> Result<&str, LoadError> {
    let mut name = "";
    while let Some(field) = rest.next()? {
        if field.number == 1 {
            name = field.text()?;
        }
    }
    Ok(name)
}

fn renamed(bytes: &[u8], mut rest: Message<'_>, from: &str, to: &str) -> Result<Vec<u8>, LoadError> {
    let mut out = Vec::with_capacity(rest.bytes().len() + to.len());
    while let Some(field) = rest.next()? {
        if field.number == 2 && field.text()? == from {
            put_bytes(&mut out, 2, to.as_bytes());
        } else {
            out.extend_from_slice(&bytes[field.span]);
        }
    }
    Ok(out)
}

fn identity(from: &str, to: &str) -> Vec<u8> {
    let mut node = Vec::new();
    put_bytes(&mut node, 1, from.as_bytes());
    put_bytes(&mut node, 2, to.as_bytes());
    put_bytes(&mut node, 4, b"Identity");
    node
}

/// A ValueInfoProto: float32 `[any, classes]`.
fn scores(name: &str, classes: usize) -> Vec<u8> {
    let message = |number, inner: &[u8]| {
        let mut out = Vec::new();
        put_bytes(&mut out, number, inner);
        out
    };
    let mut columns = Vec::new();
    put_int(&mut columns, 1, classes as i64);
    let mut shape = message(1, &[]);
    put_bytes(&mut shape, 1, &columns);
    let mut tensor = Vec::new();
    put_int(&mut tensor, 1, 1);
    put_bytes(&mut tensor, 2, &shape);
    let mut out = Vec::new();
    put_bytes(&mut out, 1, name.as_bytes());
    put_bytes(&mut out, 2, &message(1, &tensor));
    out
}
