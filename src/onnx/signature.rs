//! Inputs and outputs as the protocols carry them.

use super::constant::datatype;
use super::graph::{Graph, Kind, ValueInfo};
use super::zipmap::Labels;
use crate::model::{LoadError, Reason, Signature, TensorSpec, shorten};

/// Reads the signature off a graph; `labels` are the class labels of what were maps, by output name.
pub(super) fn of(graph: &Graph, mut labels: Labels) -> Result<Signature, LoadError> {
    let inputs = graph.inputs.iter().filter(|input| !graph.is_initializer(&input.name));
    let mut signature = Signature {
        inputs: inputs.map(|input| spec("input", input)).collect::<Result<_, _>>()?,
        outputs: graph.outputs.iter().map(|output| spec("output", output)).collect::<Result<_, _>>()?,
    };
    for output in &mut signature.outputs {
        output.labels = labels.remove(&*output.name);
    }
    Ok(signature)
}

fn spec(side: &str, value: &ValueInfo) -> Result<TensorSpec, LoadError> {
    let refuse = |what: &str| {
        let name = shorten(&value.name);
        LoadError::new(Reason::Unsupported, format!("{side} `{name}` is {what}, which no protocol carries"))
    };
    let (element, shape) = match &value.kind {
        Kind::Tensor(element, shape) => (*element, shape),
        Kind::Maps => return Err(refuse("a sequence of maps")),
        Kind::Other(what) => return Err(refuse(what)),
    };
    let Some(datatype) = datatype(element) else {
        return Err(refuse(&format!("a tensor of {}", element_name(element))));
    };
    let shape = match shape {
        Some(shape) => shape.clone(),
        // What an output declares is a hint, but requests are checked against inputs.
        None if side == "output" => vec![-1],
        None => {
            let name = shorten(&value.name);
            return Err(LoadError::new(
                Reason::Unsupported,
                format!("input `{name}` declares no shape; export it with one (its extents may be symbolic)"),
            ));
        }
    };
    Ok(TensorSpec { name: value.name.as_str().into(), datatype, shape, labels: None })
}

fn element_name(number: i64) -> String {
    let name = match number {
        0 => "no declared type",
        14 | 15 => "complex numbers",
        17..=20 | 24 => "8-bit floats",
        21 | 22 => "4-bit integers",
        23 => "4-bit floats",
        25 | 26 => "2-bit integers",
        _ => return format!("element type {number}"),
    };
    name.to_owned()
}
