//! Shapes, and the `parameters` of requests and tensors.

use crate::json::{Kind, Number, Reader};
use crate::protocol::{MAX_PARAMETERS, MAX_RANK, Request, Result, refuse};
use crate::tensor::Shape;

pub(super) fn shape(reader: &mut Reader<'_>) -> Result<Shape> {
    let mut shape = Shape::new();
    reader.begin_array()?;
    while reader.element(shape.is_empty())? {
        let extent = match reader.number()? {
            Number::Unsigned(n) => usize::try_from(n).ok(),
            _ => None,
        };
        let Some(extent) = extent else { refuse!("an extent in `shape` is not a whole number from 0") };
        shape.push(extent);
        if shape.len() > MAX_RANK {
            refuse!("a `shape` has more than {MAX_RANK} dimensions");
        }
    }
    Ok(shape)
}

pub(super) fn unsigned(reader: &mut Reader<'_>, what: &str) -> Result<usize> {
    match reader.number()? {
        Number::Unsigned(n) if usize::try_from(n).is_ok() => Ok(n as usize),
        _ => refuse!("`{what}` is not a whole number from 0"),
    }
}

/// Walks a `parameters` object; `take` consumes the values it knows, scalars it does not know are skipped.
pub(super) fn parameters<'a>(
    reader: &mut Reader<'a>,
    key: &mut Vec<u8>,
    mut take: impl FnMut(&[u8], &mut Reader<'a>) -> Result<bool>,
) -> Result<()> {
    if reader.kind()? == Kind::Null {
        return Ok(reader.null()?);
    }
    let mut count = 0;
    reader.begin_object()?;
    while reader.key(count == 0, key)? {
        count += 1;
        if count > MAX_PARAMETERS {
            refuse!("more than {MAX_PARAMETERS} `parameters`");
        }
        // Memory that is not in the request is never read.
        if key.starts_with(b"shared_memory") {
            refuse!("shared memory is not supported; send `data` or binary tensors");
        }
        if !take(key, reader)? {
            reader.skip()?;
        }
    }
    Ok(())
}

pub(super) fn request_parameters(reader: &mut Reader<'_>, request: &mut Request) -> Result<()> {
    parameters(reader, &mut Vec::new(), |key, reader| match key {
        b"binary_data_output" => {
            request.binary = reader.bool()?;
            Ok(true)
        }
        b"timeout" => {
            // Microseconds; 0 means none (`extension_schedule_policy.md`).
            request.timeout_us = Some(unsigned(reader, "timeout")? as u64).filter(|t| *t > 0);
            Ok(true)
        }
        // Answering a part of a sequence without its state would be silently wrong.
        b"sequence_id" | b"sequence_start" | b"sequence_end" => {
            let used = match reader.kind()? {
                Kind::Number => reader.number()?.to_f64() != 0.0,
                Kind::Bool => reader.bool()?,
                _ => !matches!(reader.skip()?, b"\"\"" | b"null"),
            };
            if used { refuse!("sequences are not supported") } else { Ok(true) }
        }
        _ => Ok(false),
    })
}
