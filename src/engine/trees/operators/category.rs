//! Categories: OneHotEncoder, LabelEncoder, CategoryMapper.

use std::collections::HashMap;

use super::cast::whole;
use super::gather::pick;
use crate::engine::RunError;
use crate::engine::trees::builder::{Builder, unsupported, wrong};
use crate::engine::trees::element::buffer;
use crate::engine::trees::plan::{Call, shaped};
use crate::model::LoadError;
use crate::onnx::Node;
use crate::tensor::{Data, Datatype, Shape};

/// Known categories, numbered.
enum Categories {
    Strings(HashMap<Vec<u8>, usize>),
    Ints(HashMap<i64, usize>),
    /// By [`bits`], of float32 or of float64.
    Floats(HashMap<u64, usize>, Datatype),
}

/// One pattern for every NaN, and for both zeros.
fn bits(value: f64) -> u64 {
    if value.is_nan() { f64::NAN.to_bits() } else { (value + 0.0).to_bits() }
}

impl Categories {
    fn new(node: &Node, keys: &Data) -> Result<Self, LoadError> {
        let categories = match keys {
            Data::Bytes(keys) => Self::Strings(keys.iter().map(<[u8]>::to_vec).zip(0..).collect()),
            Data::Int64(keys) => Self::Ints(keys.iter().copied().zip(0..).collect()),
            Data::Fp32(keys) => {
                Self::Floats(keys.iter().map(|key| bits((*key).into())).zip(0..).collect(), Datatype::Fp32)
            }
            Data::Fp64(keys) => {
                Self::Floats(keys.iter().map(|key| bits(*key)).zip(0..).collect(), Datatype::Fp64)
            }
            other => return Err(unsupported(node, &format!("{} categories", other.datatype()))),
        };
        if categories.len() == keys.len() {
            Ok(categories)
        } else {
            Err(unsupported(node, "a category listed twice"))
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Strings(map) => map.len(),
            Self::Ints(map) => map.len(),
            Self::Floats(map, _) => map.len(),
        }
    }

    /// Calls `each` with the number of each value, if it has one.
    fn find(&self, values: &Data, mut each: impl FnMut(Option<usize>)) -> Result<(), RunError> {
        match (self, values) {
            (Self::Strings(map), Data::Bytes(values)) => {
                values.iter().for_each(|v| each(map.get(v).copied()))
            }
            (Self::Ints(map), Data::Int64(values)) => values.iter().for_each(|v| each(map.get(v).copied())),
            (Self::Ints(map), Data::Int32(values)) => {
                values.iter().for_each(|v| each(map.get(&i64::from(*v)).copied()));
            }
            (Self::Ints(map), Data::Fp32(values)) => {
                values.iter().for_each(|v| each(map.get(&whole((*v).into())).copied()));
            }
            (Self::Ints(map), Data::Fp64(values)) => {
                values.iter().for_each(|v| each(map.get(&whole(*v)).copied()));
            }
            (Self::Floats(map, _), Data::Fp32(values)) => {
                values.iter().for_each(|v| each(map.get(&bits((*v).into())).copied()));
            }
            (Self::Floats(map, _), Data::Fp64(values)) => {
                values.iter().for_each(|v| each(map.get(&bits(*v)).copied()));
            }
            (_, other) => return Err(RunError::Engine(format!("{} categories", other.datatype()))),
        }
        Ok(())
    }

    fn datatype(&self) -> Datatype {
        match self {
            Self::Strings(_) => Datatype::Bytes,
            Self::Ints(_) => Datatype::Int64,
            Self::Floats(_, datatype) => *datatype,
        }
    }
}

pub(super) fn one_hot_encoder<'m>(builder: &mut Builder<'m>, node: &'m Node) -> Result<(), LoadError> {
    let input = builder.input(node, 0)?;
    let ints = node.ints("cats_int64s")?.filter(|list| !list.is_empty());
    let strings = node.strings("cats_strings")?.filter(|list| !list.is_empty());
    let keys = match (ints, strings) {
        (Some(ints), None) => Data::Int64(ints.to_vec()),
        (None, Some(strings)) => Data::Bytes(strings.clone()),
        _ => return Err(wrong(node, "categories must be either integers or texts")),
    };
    let categories = Categories::new(node, &keys)?;
    let fits = match input.datatype {
        Datatype::Bytes => categories.datatype() == Datatype::Bytes,
        Datatype::Int64 | Datatype::Int32 | Datatype::Fp32 | Datatype::Fp64 => {
            categories.datatype() == Datatype::Int64
        }
        _ => false,
    };
    if !fits {
        return Err(unsupported(
            node,
            &format!("{} among {} categories", input.datatype, categories.datatype()),
        ));
    }
    let zeros = node.int("zeros")?.is_none_or(|zeros| *zeros != 0);
    builder.emit(node, &[input], &[Datatype::Fp32], move |call: &mut Call<'_>| {
        let (input, output) = (call.inputs.get(0)?, &mut call.outputs[0]);
        let mut shape = Shape::from_slice(&input.shape);
        shape.push(categories.len());
        let count = shaped(output, &shape)?;
        let out = buffer::<f32>(output)?;
        out.reserve(count);
        let mut unknown = false;
        categories.find(&input.data, |found| {
            let start = out.len();
            out.resize(start + categories.len(), 0.0);
            match found {
                Some(number) => out[start + number] = 1.0,
                None => unknown = true,
            }
        })?;
        if unknown && !zeros {
            Err(RunError::Input("a value is none of the categories".to_owned()))
        } else {
            Ok(())
        }
    })
}

pub(super) fn label_encoder<'m>(builder: &mut Builder<'m>, node: &'m Node) -> Result<(), LoadError> {
    if let Some(classes) = node.strings("classes_strings")? {
        let numbers = Data::Int64((0..classes.len() as i64).collect());
        return mapper(builder, node, numbers, Data::Bytes(classes.clone()));
    }
    let keys = list(builder, node, "keys")?;
    let mut values = list(builder, node, "values")?;
    if keys.len() != values.len() {
        return Err(wrong(node, &format!("{} keys and {} values", keys.len(), values.len())));
    }
    default(builder, node, &mut values)?;
    encode(builder, node, &keys, values)
}

pub(super) fn category_mapper<'m>(builder: &mut Builder<'m>, node: &'m Node) -> Result<(), LoadError> {
    let (ints, strings) = (node.ints("cats_int64s")?, node.strings("cats_strings")?);
    let (Some(ints), Some(strings)) = (ints, strings) else {
        return Err(wrong(node, "categories are missing"));
    };
    if ints.len() != strings.len() {
        return Err(wrong(node, &format!("{} integers and {} texts", ints.len(), strings.len())));
    }
    mapper(builder, node, Data::Int64(ints.to_vec()), Data::Bytes(strings.clone()))
}

/// Texts to integers or the other way, whichever the input is.
fn mapper<'m>(builder: &mut Builder<'m>, node: &'m Node, ints: Data, strings: Data) -> Result<(), LoadError> {
    let is_text = builder.input(node, 0)?.datatype == Datatype::Bytes;
    let (keys, mut values) = if is_text { (strings, ints) } else { (ints, strings) };
    default(builder, node, &mut values)?;
    encode(builder, node, &keys, values)
}

/// `values` has one more entry than `keys`: what anything else becomes.
fn encode<'m>(builder: &mut Builder<'m>, node: &'m Node, keys: &Data, values: Data) -> Result<(), LoadError> {
    let input = builder.input(node, 0)?;
    let categories = Categories::new(node, keys)?;
    if input.datatype != categories.datatype() {
        return Err(unsupported(node, &format!("{} among {} keys", input.datatype, categories.datatype())));
    }
    builder.emit(node, &[input], &[values.datatype()], move |call: &mut Call<'_>| {
        let (input, output) = (call.inputs.get(0)?, &mut call.outputs[0]);
        shaped(output, &input.shape)?;
        output.data.reset(values.datatype());
        let other = values.len() - 1;
        categories.find(&input.data, |found| pick(&values, found.unwrap_or(other), &mut output.data))
    })
}

/// A list of texts, integers or floats, or a tensor, under `<name>_…`.
fn list(builder: &Builder<'_>, node: &Node, name: &str) -> Result<Data, LoadError> {
    if let Some(list) = node.strings(&format!("{name}_strings"))? {
        return Ok(Data::Bytes(list.clone()));
    }
    if let Some(list) = node.ints(&format!("{name}_int64s"))? {
        return Ok(Data::Int64(list.to_vec()));
    }
    if let Some(list) = node.floats(&format!("{name}_floats"))? {
        return Ok(Data::Fp32(list.to_vec()));
    }
    match node.tensor(&format!("{name}_tensor"))? {
        Some(constant) => Ok(constant.tensor(&builder.model.bytes)?.data),
        None => Err(wrong(node, &format!("`{name}_…` is missing"))),
    }
}

/// Appends what is given for anything that is no key.
fn default(builder: &Builder<'_>, node: &Node, values: &mut Data) -> Result<(), LoadError> {
    if let Some(constant) = node.tensor("default_tensor")? {
        let tensor = constant.tensor(&builder.model.bytes)?;
        if tensor.datatype() != values.datatype() || tensor.data.len() != 1 {
            return Err(wrong(node, "`default_tensor` is not one of the values"));
        }
        pick(&tensor.data, 0, values);
        return Ok(());
    }
    match values {
        Data::Bytes(values) => values.push(node.string("default_string")?.unwrap_or(b"_Unused")),
        Data::Int64(values) => values.push(node.int("default_int64")?.copied().unwrap_or(-1)),
        Data::Fp32(values) => values.push(node.float("default_float")?.copied().unwrap_or(-0.0)),
        Data::Fp64(values) => values.push(-0.0),
        other => return Err(unsupported(node, &format!("{} values", other.datatype()))),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Strings;

    #[test]
    fn nan_and_zeros_are_one_category_each() {
        assert_eq!(bits(f64::NAN), bits(-f64::NAN));
        assert_eq!(bits(0.0), bits(-0.0));
        let strings: Strings = ["a", "b"].into_iter().collect();
        let categories = Categories::new(&Node::default(), &Data::Bytes(strings.clone())).unwrap();
        let mut found = Vec::new();
        categories.find(&Data::Bytes(strings), |number| found.push(number)).unwrap();
        assert_eq!(found, [Some(0), Some(1)]);
    }
}
