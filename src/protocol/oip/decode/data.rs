//! The elements of a `data` value, flat or nested.

use crate::json::{Kind, Reader};
use crate::protocol::{Flags, Policy, Result, push_number, refuse};
use crate::tensor::Data;

/// Reads a `data` value of exactly `count` elements, flat or nested as `shape` says.
pub(super) fn read_json(
    reader: &mut Reader<'_>,
    input: &str,
    shape: &[usize],
    count: usize,
    data: &mut Data,
    flags: &mut Flags,
    policy: Policy,
) -> Result<()> {
    if let Data::Fp16(_) | Data::Bf16(_) = data {
        refuse!("input `{input}`: {} has no JSON form; send it as a binary tensor", data.datatype());
    }
    if shape.is_empty() && reader.kind()? != Kind::Array {
        return read_scalar(reader, input, data, flags, policy);
    }
    let mut nested = Nested { input, shape, flags, policy };
    reader.begin_array()?;
    if !reader.element(true)? {
        return nested.check(data.len(), count);
    }
    if shape.len() > 1 && reader.kind()? == Kind::Array {
        nested.rest(reader, 0, data)?;
    } else {
        nested.flat(reader, count, data)?;
    }
    nested.check(data.len(), count)
}

struct Nested<'a> {
    input: &'a str,
    shape: &'a [usize],
    flags: &'a mut Flags,
    policy: Policy,
}

impl Nested<'_> {
    fn check(&self, got: usize, want: usize) -> Result<()> {
        if got == want {
            return Ok(());
        }
        refuse!("input `{}`: shape {:?} holds {want} elements, `data` {got}", self.input, self.shape)
    }

    /// Elements of an array whose first one is next, none of them an array; leaves the array.
    fn flat(&mut self, reader: &mut Reader<'_>, count: usize, data: &mut Data) -> Result<()> {
        let limit = data.len() + count;
        loop {
            if data.len() >= limit {
                refuse!("input `{}`: `data` holds more elements than shape {:?}", self.input, self.shape);
            }
            if let Data::Fp32(values) = data {
                self.floats(reader, limit, values)?;
                if values.len() >= limit {
                    if reader.element(false)? {
                        continue;
                    }
                    return Ok(());
                }
            }
            read_scalar(reader, self.input, data, self.flags, self.policy)?;
            if !reader.element(false)? {
                return Ok(());
            }
        }
    }

    /// The hot loop: plain numbers, as long as they come. Stops before anything else, or at `limit`.
    #[inline]
    fn floats(&mut self, reader: &mut Reader<'_>, limit: usize, values: &mut Vec<f32>) -> Result<()> {
        while let Some(value) = reader.f32() {
            if value.is_infinite() {
                refuse!("input `{}`: a value does not fit FP32", self.input);
            }
            values.push(value);
            if values.len() == limit {
                break;
            }
            if !reader.element(false)? {
                refuse!("input `{}`: `data` holds fewer elements than shape {:?}", self.input, self.shape);
            }
        }
        Ok(())
    }

    /// The arrays of an array at `depth` whose first one is next; leaves the outer array.
    fn rest(&mut self, reader: &mut Reader<'_>, depth: usize, data: &mut Data) -> Result<()> {
        let mut items = 0;
        loop {
            items += 1;
            if items > self.shape[depth] {
                refuse!("input `{}`: `data` is not nested as shape {:?}", self.input, self.shape);
            }
            reader.begin_array()?;
            let inner = depth + 1;
            let before = data.len();
            if reader.element(true)? {
                if inner + 1 < self.shape.len() {
                    self.rest(reader, inner, data)?;
                } else {
                    self.flat(reader, self.shape[inner], data)?;
                }
            }
            if inner + 1 == self.shape.len() && data.len() - before != self.shape[inner] {
                refuse!("input `{}`: `data` is ragged, shape is {:?}", self.input, self.shape);
            }
            if !reader.element(false)? {
                break;
            }
        }
        if items != self.shape[depth] {
            refuse!("input `{}`: `data` is ragged, shape is {:?}", self.input, self.shape);
        }
        Ok(())
    }
}

fn read_scalar(
    reader: &mut Reader<'_>,
    input: &str,
    data: &mut Data,
    flags: &mut Flags,
    policy: Policy,
) -> Result<()> {
    match (reader.kind()?, data) {
        (Kind::String, Data::Bytes(strings)) => Ok(strings.push_with(|out| reader.string(out))?),
        (Kind::Bool, Data::Bool(values)) => {
            values.push(reader.bool()?);
            Ok(())
        }
        (Kind::Number, data) => push_number(data, Some(reader.number()?), input, flags, policy),
        (Kind::Null, data) if data.datatype().is_float() => {
            reader.null()?;
            push_number(data, None, input, flags, policy)
        }
        (kind, data) => refuse!("input `{input}`: a {} tensor cannot hold {kind:?}", data.datatype()),
    }
}
