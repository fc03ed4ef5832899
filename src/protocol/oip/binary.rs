//! Raw tensors: little-endian, row-major, one byte per BOOL, a `u32` length before each BYTES element.

use crate::protocol::{Result, refuse};
use crate::tensor::{Data, Datatype};

/// Reads `count` elements from exactly `bytes` into `data`, which must be empty.
pub(super) fn read(bytes: &[u8], count: usize, input: &str, data: &mut Data) -> Result<()> {
    if let Some(size) = data.datatype().size()
        && count.checked_mul(size) != Some(bytes.len())
    {
        refuse!(
            "input `{input}`: {count} elements need {} bytes, {} were sent",
            count.saturating_mul(size),
            bytes.len()
        );
    }
    // The sizes agree, so each of these is one copy.
    macro_rules! numbers {
        ($v:expr, $t:ty) => {
            $v.extend(bytes.as_chunks().0.iter().map(|chunk| <$t>::from_le_bytes(*chunk)))
        };
    }
    match data {
        Data::Bool(v) => v.extend(bytes.iter().map(|b| *b != 0)),
        Data::Uint8(v) => v.extend_from_slice(bytes),
        Data::Uint16(v) | Data::Fp16(v) | Data::Bf16(v) => numbers!(v, u16),
        Data::Uint32(v) => numbers!(v, u32),
        Data::Uint64(v) => numbers!(v, u64),
        Data::Int8(v) => v.extend(bytes.iter().map(|b| *b as i8)),
        Data::Int16(v) => numbers!(v, i16),
        Data::Int32(v) => numbers!(v, i32),
        Data::Int64(v) => numbers!(v, i64),
        Data::Fp32(v) => numbers!(v, f32),
        Data::Fp64(v) => numbers!(v, f64),
        Data::Bytes(v) => {
            let mut rest = bytes;
            for _ in 0..count {
                let Some((string, after)) = split_string(rest) else {
                    refuse!("input `{input}`: the BYTES elements do not fit shape and size");
                };
                v.push(string);
                rest = after;
            }
            if !rest.is_empty() {
                refuse!("input `{input}`: {} bytes follow the last BYTES element", rest.len());
            }
        }
    }
    Ok(())
}

/// How many BYTES elements `bytes` holds; `None` when they do not end where it does.
pub(super) fn count_strings(mut bytes: &[u8]) -> Option<usize> {
    let mut count = 0;
    while !bytes.is_empty() {
        bytes = split_string(bytes)?.1;
        count += 1;
    }
    Some(count)
}

fn split_string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(u32::from_le_bytes(*length) as usize)
}

/// Bytes that [`write()`] appends for `data`.
pub(super) fn size(data: &Data) -> usize {
    match data {
        Data::Bytes(strings) => strings.iter().map(|s| 4 + s.len()).sum(),
        data => data.len() * data.datatype().size().unwrap_or(0),
    }
}

/// Appends the raw form of `data`.
pub(super) fn write(out: &mut Vec<u8>, data: &Data) {
    macro_rules! numbers {
        ($v:expr) => {
            out.extend($v.iter().flat_map(|x| x.to_le_bytes()))
        };
    }
    out.reserve(size(data));
    debug_assert!(data.datatype() != Datatype::Bytes || data.len() < u32::MAX as usize);
    match data {
        Data::Bool(v) => out.extend(v.iter().map(|b| u8::from(*b))),
        Data::Uint8(v) => out.extend_from_slice(v),
        Data::Uint16(v) | Data::Fp16(v) | Data::Bf16(v) => numbers!(v),
        Data::Uint32(v) => numbers!(v),
        Data::Uint64(v) => numbers!(v),
        Data::Int8(v) => numbers!(v),
        Data::Int16(v) => numbers!(v),
        Data::Int32(v) => numbers!(v),
        Data::Int64(v) => numbers!(v),
        Data::Fp32(v) => numbers!(v),
        Data::Fp64(v) => numbers!(v),
        Data::Bytes(v) => {
            for string in v.iter() {
                out.extend_from_slice(&(string.len() as u32).to_le_bytes());
                out.extend_from_slice(string);
            }
        }
    }
}
