//! From bytes to [`Proto`]: every graph, function and tensor of the file is visited once, within the caps.

use super::constant::{Constant, counted};
use super::graph::{Attribute, Graph, Kind, Node, ValueInfo};
use super::wire::{Field, Message, Scalar};
use super::{
    BYTES_PER_ELEMENT, MAX_ATTRIBUTES, MAX_DEPTH, MAX_FUNCTIONS, MAX_ITEMS, MAX_MADE, MAX_NODES, MAX_RANK,
    broken, too_large,
};
use crate::model::{LoadError, shorten};
use crate::tensor::Strings;

/// A ModelProto.
#[derive(Debug, Default)]
pub(super) struct Proto {
    /// Version of the format, which ONNX calls IR; 0 when the file does not say.
    pub(super) ir_version: i64,
    pub(super) graph: Graph,
    pub(super) opsets: Vec<(String, i64)>,
    pub(super) functions: Vec<Function>,
    /// Graphs of training information, which no engine runs but every rule holds for.
    pub(super) training: Vec<Graph>,
}

/// A model-local function.
#[derive(Debug, Default)]
pub(super) struct Function {
    pub(super) domain: String,
    pub(super) name: String,
    pub(super) nodes: Vec<Node>,
}

/// Counts what was read, so that many small things are bounded like one large one.
struct Decoder {
    nodes: usize,
    items: usize,
    listed: usize,
    /// Elements that lists of attributes may have in all.
    most_listed: usize,
}

/// `ai.onnx` is another way to write the default domain.
fn normal(domain: &str) -> String {
    if domain == "ai.onnx" { String::new() } else { domain.to_owned() }
}

/// Decodes a ModelProto.
pub(super) fn model(bytes: &[u8]) -> Result<Proto, LoadError> {
    let most_listed = (bytes.len() / BYTES_PER_ELEMENT).max(MAX_ITEMS);
    let mut decoder = Decoder { nodes: 0, items: 0, listed: 0, most_listed };
    let mut out = Proto::default();
    let mut graph = None;
    let mut rest = Message::new(bytes);
    while let Some(field) = rest.next()? {
        match field.number {
            1 => out.ir_version = field.int()?,
            7 if graph.is_some() => return Err(broken("the file holds two graphs")),
            7 => graph = Some(decoder.graph(field.message()?, 0)?),
            8 => {
                decoder.item()?;
                out.opsets.push(opset(field.message()?)?);
            }
            20 => decoder.training(field.message()?, &mut out.training)?,
            25 if out.functions.len() == MAX_FUNCTIONS => return Err(too_large("functions", MAX_FUNCTIONS)),
            25 => out.functions.push(decoder.function(field.message()?)?),
            _ => {}
        }
    }
    out.graph = graph.ok_or_else(|| broken("not an ONNX file: it holds no graph"))?;
    Ok(out)
}

fn opset(mut rest: Message<'_>) -> Result<(String, i64), LoadError> {
    let mut out = (String::new(), 0);
    while let Some(field) = rest.next()? {
        match field.number {
            1 => out.0 = normal(field.text()?),
            2 => out.1 = field.int()?,
            _ => {}
        }
    }
    Ok(out)
}

impl Decoder {
    fn item(&mut self) -> Result<(), LoadError> {
        self.items += 1;
        if self.items > MAX_ITEMS {
            Err(too_large("names, attributes and tensors", MAX_ITEMS))
        } else {
            Ok(())
        }
    }

    /// Counts elements of a list that take more memory than they took in the file.
    fn list(&mut self, count: usize) -> Result<(), LoadError> {
        self.listed += count;
        if self.listed > self.most_listed {
            Err(too_large("elements in lists of a file of this size", self.most_listed))
        } else {
            Ok(())
        }
    }

    fn text(&mut self, field: &Field<'_>) -> Result<String, LoadError> {
        self.item()?;
        Ok(field.text()?.to_owned())
    }

    fn graph(&mut self, mut rest: Message<'_>, depth: usize) -> Result<Graph, LoadError> {
        if depth > MAX_DEPTH {
            return Err(too_large("levels of nested graphs", MAX_DEPTH));
        }
        let mut out = Graph::default();
        while let Some(field) = rest.next()? {
            match field.number {
                1 => out.nodes.push(self.node(field.message()?, depth)?),
                5 => {
                    self.item()?;
                    let (name, constant) = Constant::read(field.message()?)?;
                    if let Some(_twice) = out.initializers.insert(name.clone(), constant) {
                        return Err(broken(format!("two initializers are called `{}`", shorten(&name))));
                    }
                }
                11 => out.inputs.push(self.value_info(field.message()?)?),
                12 => out.outputs.push(self.value_info(field.message()?)?),
                15 => drop(out.sparse_initializers.insert(self.sparse(field.message()?)?)),
                _ => {}
            }
        }
        Ok(out)
    }

    fn node(&mut self, mut rest: Message<'_>, depth: usize) -> Result<Node, LoadError> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(too_large("nodes", MAX_NODES));
        }
        let mut out = Node::default();
        while let Some(field) = rest.next()? {
            match field.number {
                1 => out.inputs.push(self.text(&field)?),
                2 => out.outputs.push(self.text(&field)?),
                3 => field.text()?.clone_into(&mut out.name),
                4 => field.text()?.clone_into(&mut out.op_type),
                5 => {
                    let (name, value) = self.attribute(field.message()?, depth)?;
                    if out.attributes.len() == MAX_ATTRIBUTES {
                        return Err(too_large("attributes of one node", MAX_ATTRIBUTES));
                    }
                    if out.attribute(&name).is_some() {
                        return Err(broken(format!("a node has two attributes `{}`", shorten(&name))));
                    }
                    out.attributes.push((name, value));
                }
                7 => out.domain = normal(field.text()?),
                _ => {}
            }
        }
        if out.op_type.is_empty() {
            return Err(broken("a node names no operator"));
        }
        Ok(out)
    }

    fn attribute(&mut self, mut rest: Message<'_>, depth: usize) -> Result<(String, Attribute), LoadError> {
        self.item()?;
        let mut name = String::new();
        let mut declared = 0;
        let (mut float, mut int, mut string) = (None, None, None);
        let (mut tensor, mut graph) = (None, None);
        let (mut floats, mut ints, mut strings) = (Vec::new(), Vec::new(), Strings::default());
        let mut graphs = Vec::new();
        let mut reference = false;
        while let Some(field) = rest.next()? {
            match field.number {
                1 => field.text()?.clone_into(&mut name),
                2 => float = Some(field.float()?),
                3 => int = Some(field.int()?),
                4 => string = Some(field.message()?.bytes()),
                5 if tensor.is_some() => return Err(broken("an attribute holds two values")),
                5 => tensor = Some(Constant::read(field.message()?)?.1),
                6 if graph.is_some() => return Err(broken("an attribute holds two values")),
                6 => graph = Some(Box::new(self.graph(field.message()?, depth + 1)?)),
                7 => field.scalars(Scalar::Fixed32, |bits| floats.push(f32::from_bits(bits as u32)))?,
                8 => {
                    let (mut count, room) = (0, self.most_listed - self.listed);
                    field.scalars(Scalar::Varint, |bits| {
                        count += 1;
                        if count <= room {
                            ints.push(bits.cast_signed());
                        }
                    })?;
                    self.list(count)?;
                }
                9 => {
                    self.list(1)?;
                    strings.push(field.message()?.bytes());
                }
                // Read for the rules only: no engine of ours uses lists of tensors.
                10 => drop(Constant::read(field.message()?)?),
                11 => {
                    self.item()?;
                    graphs.push(self.graph(field.message()?, depth + 1)?);
                }
                20 => declared = field.int()?,
                21 => reference = true,
                22 | 23 => drop(self.sparse(field.message()?)?),
                _ => {}
            }
        }
        if name.is_empty() {
            return Err(broken("an attribute has no name"));
        }
        // Files of the first ONNX versions do not declare the type: it is what is there.
        let kind = match declared {
            0 if float.is_some() => 1,
            0 if int.is_some() => 2,
            0 if string.is_some() => 3,
            0 if tensor.is_some() => 4,
            0 if graph.is_some() => 5,
            0 if !floats.is_empty() => 6,
            0 if !ints.is_empty() => 7,
            0 if !strings.is_empty() => 8,
            0 if !graphs.is_empty() => 10,
            declared => declared,
        };
        let value = match kind {
            _ if reference => Some(Attribute::Other),
            1 => Some(Attribute::Float(float.unwrap_or(0.0))),
            2 => Some(Attribute::Int(int.unwrap_or(0))),
            3 => Some(Attribute::String(string.unwrap_or_default().to_vec())),
            4 => tensor.map(Attribute::Tensor),
            5 => graph.map(Attribute::Graph),
            6 => Some(Attribute::Floats(floats)),
            7 => Some(Attribute::Ints(ints)),
            8 => Some(Attribute::Strings(strings)),
            10 => Some(Attribute::Graphs(graphs)),
            _ => Some(Attribute::Other),
        };
        let value = value.ok_or_else(|| broken(format!("attribute `{}` has no value", shorten(&name))))?;
        Ok((name, value))
    }

    /// The name of a SparseTensorProto, whose parts obey the rules of every tensor and fit each other.
    fn sparse(&mut self, mut rest: Message<'_>) -> Result<String, LoadError> {
        self.item()?;
        let mut parts = [None, None];
        let mut dims = Vec::new();
        while let Some(field) = rest.next()? {
            match field.number {
                number @ (1 | 2) => {
                    let part = &mut parts[number as usize - 1];
                    // Protobuf would join the two.
                    if part.replace(Constant::read(field.message()?)?).is_some() {
                        return Err(broken("a sparse tensor holds two lists of values or places"));
                    }
                }
                // One more than there may be, so that it shows.
                3 => field.scalars(Scalar::Varint, |bits| {
                    if dims.len() <= MAX_RANK {
                        dims.push(bits.cast_signed());
                    }
                })?,
                _ => {}
            }
        }
        let [values, places] = parts;
        let (name, values) = values.unwrap_or_default();
        sparse_fits(&name, &values.shape, &places.unwrap_or_default().1.shape, &dims)?;
        Ok(name)
    }

    fn function(&mut self, mut rest: Message<'_>) -> Result<Function, LoadError> {
        let mut out = Function::default();
        while let Some(field) = rest.next()? {
            match field.number {
                1 => field.text()?.clone_into(&mut out.name),
                7 => out.nodes.push(self.node(field.message()?, 0)?),
                10 => out.domain = normal(field.text()?),
                11 => drop(self.attribute(field.message()?, 0)?),
                _ => {}
            }
        }
        Ok(out)
    }

    fn training(&mut self, mut rest: Message<'_>, out: &mut Vec<Graph>) -> Result<(), LoadError> {
        while let Some(field) = rest.next()? {
            if let 1 | 2 = field.number {
                self.item()?;
                out.push(self.graph(field.message()?, 0)?);
            }
        }
        Ok(())
    }

    fn value_info(&mut self, mut rest: Message<'_>) -> Result<ValueInfo, LoadError> {
        self.item()?;
        let mut out = ValueInfo { name: String::new(), kind: Kind::Other("nothing") };
        while let Some(field) = rest.next()? {
            match field.number {
                1 => field.text()?.clone_into(&mut out.name),
                2 => out.kind = kind(field.message()?)?,
                _ => {}
            }
        }
        Ok(out)
    }
}

/// Whether so many values have so many places in a tensor of these extents. Engines unfold it when they load.
fn sparse_fits(name: &str, values: &[usize], places: &[usize], dims: &[i64]) -> Result<(), LoadError> {
    let name = shorten(name);
    let elements = if dims.len() > MAX_RANK { None } else { counted(dims).map(|(_, elements)| elements) };
    let Some(elements) = elements else {
        return Err(broken(format!("sparse tensor `{name}` has impossible dimensions")));
    };
    if elements > MAX_MADE {
        return Err(too_large(&format!("elements in sparse tensor `{name}`"), MAX_MADE));
    }
    let fits = match (values, places) {
        (&[], &[]) => true,
        (&[count], &[rows]) => rows == count && count <= elements,
        (&[count], &[rows, rank]) => rows == count && rank == dims.len() && count <= elements,
        _ => false,
    };
    if fits { Ok(()) } else { Err(broken(format!("sparse tensor `{name}` has other places than values"))) }
}

fn kind(mut rest: Message<'_>) -> Result<Kind, LoadError> {
    let mut out = Kind::Other("nothing");
    while let Some(field) = rest.next()? {
        out = match field.number {
            1 => tensor_type(field.message()?)?,
            4 => sequence(field.message()?)?,
            5 => Kind::Other("a map"),
            7 => Kind::Other("an opaque value"),
            8 => Kind::Other("a sparse tensor"),
            9 => Kind::Other("an optional value"),
            _ => continue,
        };
    }
    Ok(out)
}

/// A sequence of maps is what ZipMap gives; other sequences are not looked into.
fn sequence(mut rest: Message<'_>) -> Result<Kind, LoadError> {
    while let Some(field) = rest.next()? {
        if field.number == 1 {
            let mut element = field.message()?;
            while let Some(field) = element.next()? {
                if field.number == 5 {
                    return Ok(Kind::Maps);
                }
            }
        }
    }
    Ok(Kind::Other("a sequence"))
}

fn tensor_type(mut rest: Message<'_>) -> Result<Kind, LoadError> {
    let mut element = 0;
    let mut shape = None;
    while let Some(field) = rest.next()? {
        match field.number {
            1 => element = field.int()?,
            2 => shape = Some(extents(field.message()?)?),
            _ => {}
        }
    }
    Ok(Kind::Tensor(element, shape))
}

fn extents(mut rest: Message<'_>) -> Result<Vec<i64>, LoadError> {
    let mut out = Vec::new();
    while let Some(field) = rest.next()? {
        if field.number != 1 {
            continue;
        }
        if out.len() == MAX_RANK {
            return Err(broken(format!("a tensor has more than {MAX_RANK} dimensions")));
        }
        let mut dimension = field.message()?;
        let mut extent = -1;
        while let Some(field) = dimension.next()? {
            match field.number {
                1 => extent = field.int()?.max(-1),
                2 => extent = -1,
                _ => {}
            }
        }
        out.push(extent);
    }
    Ok(out)
}
