//! Rules about operators: known versions and domains only, functions that end, and no duplicate definitions.

use std::collections::{HashMap, HashSet};

use super::decode::{Function, Proto};
use super::graph::{Graph, Node};
use super::{MAX_CALL_DEPTH, MAX_NODES, NEWEST_IR, NEWEST_OPSETS, broken, too_large};
use crate::model::{LoadError, Reason, shorten};

/// Operators of ONNX, and those that ONNX Runtime brings itself. Others would need a library of their own,
/// which is code, and models are data.
const DOMAINS: &[&str] = &["", "ai.onnx.ml", "com.microsoft"];

type Functions<'a> = HashMap<(&'a str, &'a str), &'a Function>;

/// Checks a decoded model.
pub(super) fn check(proto: &Proto) -> Result<(), LoadError> {
    versions(proto)?;
    let mut functions = Functions::new();
    for function in &proto.functions {
        if functions.insert((&function.domain, &function.name), function).is_some() {
            return Err(broken(format!("two functions are called `{}`", shorten(&function.name))));
        }
    }
    let graphs = std::iter::once(&proto.graph).chain(&proto.training);
    for node in graphs.flat_map(|graph| &graph.nodes).chain(proto.functions.iter().flat_map(|f| &f.nodes)) {
        operators(node, &functions)?;
    }
    calls(proto, &functions)?;
    unique(&proto.graph)
}

/// Newer files may keep data in fields that the reader skips, and newer operators may mean what no rule here looks
/// at, so neither is guessed at.
fn versions(proto: &Proto) -> Result<(), LoadError> {
    let newer = |what: &str, version: i64, newest: i64| {
        let detail =
            format!("{what} {version} is newer than {newest}, the newest known here; export an older one");
        LoadError::new(Reason::Unsupported, detail)
    };
    if proto.ir_version > NEWEST_IR {
        return Err(newer("format (IR) version", proto.ir_version, NEWEST_IR));
    }
    if proto.ir_version < 0 {
        return Err(broken(format!("impossible format (IR) version {}", proto.ir_version)));
    }
    let mut seen = HashMap::new();
    for (domain, version) in &proto.opsets {
        let name = if domain.is_empty() { "ai.onnx".to_owned() } else { shorten(domain) };
        if *version < 1 {
            return Err(broken(format!("impossible version {version} of operator set `{name}`")));
        }
        // Readers differ in which of the two they take.
        if seen.insert(domain, version).is_some_and(|other| other != version) {
            return Err(broken(format!("two versions of operator set `{name}`")));
        }
        let newest = NEWEST_OPSETS.iter().find(|(known, _)| known == domain);
        if let Some((_, newest)) = newest.filter(|(_, newest)| version > newest) {
            return Err(newer(&format!("version of operator set `{name}`"), *version, *newest));
        }
    }
    Ok(())
}

fn operators(node: &Node, functions: &Functions<'_>) -> Result<(), LoadError> {
    let local = functions.contains_key(&(node.domain.as_str(), node.op_type.as_str()));
    if !local && !DOMAINS.contains(&node.domain.as_str()) {
        return Err(LoadError::new(
            Reason::UnknownOperator,
            format!("{node} belongs to `{}`; no engine here knows that domain", shorten(&node.domain)),
        ));
    }
    // It stands for a compiled graph that may be in another file, named by a path.
    if node.domain == "com.microsoft" && node.op_type == "EPContext" {
        return Err(LoadError::new(
            Reason::ExternalData,
            format!("{node} may name a file; export plain ONNX"),
        ));
    }
    node.subgraphs().flat_map(|graph| &graph.nodes).try_for_each(|inner| operators(inner, functions))
}

/// What a node unfolds into.
#[derive(Clone, Copy, Default)]
struct Size {
    nodes: usize,
    /// Levels of calls.
    calls: usize,
}

impl Size {
    fn add(&mut self, other: Self) {
        self.nodes = self.nodes.saturating_add(other.nodes);
        self.calls = self.calls.max(other.calls);
    }
}

/// Refuses functions that call themselves, and those that unfold into more nodes than a graph may have.
fn calls(proto: &Proto, functions: &Functions<'_>) -> Result<(), LoadError> {
    let mut known = HashMap::new();
    let mut total = Size::default();
    for node in proto.graph.nodes.iter().chain(proto.functions.iter().flat_map(|f| &f.nodes)) {
        total.add(unfolded(node, functions, &mut known, 0)?);
    }
    if total.nodes > MAX_NODES {
        return Err(too_large("nodes after unfolding functions", MAX_NODES));
    }
    Ok(())
}

/// What `node` becomes, `depth` calls below the main graph; `known` remembers each function's size.
fn unfolded<'a>(
    node: &'a Node,
    functions: &Functions<'a>,
    known: &mut HashMap<(&'a str, &'a str), Size>,
    depth: usize,
) -> Result<Size, LoadError> {
    let mut total = Size { nodes: 1, calls: 0 };
    for inner in node.subgraphs().flat_map(|graph| &graph.nodes) {
        total.add(unfolded(inner, functions, known, depth)?);
    }
    let key = (node.domain.as_str(), node.op_type.as_str());
    let Some(function) = functions.get(&key) else {
        return Ok(total);
    };
    // A function that calls itself runs into this too: it never becomes known.
    let too_deep =
        || broken(format!("function `{}` calls itself, or others too deeply", shorten(&node.op_type)));
    if depth == MAX_CALL_DEPTH {
        return Err(too_deep());
    }
    let size = if let Some(size) = known.get(&key) {
        *size
    } else {
        let mut size = Size::default();
        for inner in &function.nodes {
            size.add(unfolded(inner, functions, known, depth + 1)?);
        }
        size.calls += 1;
        known.insert(key, size);
        size
    };
    total.add(size);
    if total.calls > MAX_CALL_DEPTH { Err(too_deep()) } else { Ok(total) }
}

/// Every value of the main graph is made once, and every input and output has a name of its own.
fn unique(graph: &Graph) -> Result<(), LoadError> {
    let mut made = HashSet::new();
    for input in &graph.inputs {
        if input.name.is_empty() || !made.insert(input.name.as_str()) {
            return Err(broken(format!("an input without a name of its own: `{}`", shorten(&input.name))));
        }
    }
    made.extend(graph.initializers.keys().map(String::as_str));
    for node in &graph.nodes {
        for output in node.outputs.iter().filter(|name| !name.is_empty()) {
            if !made.insert(output) {
                return Err(broken(format!("{node}: value `{}` is made twice", shorten(output))));
            }
        }
    }
    made.extend(graph.sparse_initializers.iter().map(String::as_str));
    let mut outputs = HashSet::new();
    for output in &graph.outputs {
        if !made.contains(output.name.as_str()) {
            return Err(broken(format!("output `{}` is made by no node", shorten(&output.name))));
        }
        if !outputs.insert(output.name.as_str()) {
            return Err(broken(format!("two outputs are called `{}`", shorten(&output.name))));
        }
    }
    if outputs.is_empty() { Err(broken("the graph has no outputs")) } else { Ok(()) }
}
