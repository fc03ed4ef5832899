//! Constant tensors: checked when the file is read, decoded only when an engine asks.

use std::ops::Range;

use super::wire::{Field, Message, Scalar};
use super::{MAX_BYTES, MAX_RANK, broken};
use crate::model::{LoadError, Reason, shorten};
use crate::tensor::{Data, Datatype, Strings, Tensor, element_count};

/// A constant tensor: its type and shape, and where in the file it stands.
#[derive(Clone, Debug, Default)]
pub struct Constant {
    /// `None` for element types that no protocol carries (complex, 8-bit floats, 4-bit integers …).
    pub datatype: Option<Datatype>,
    /// Extents.
    pub shape: Vec<usize>,
    at: Range<usize>,
}

/// The datatype behind ONNX's number of an element type.
pub(super) const fn datatype(number: i64) -> Option<Datatype> {
    Some(match number {
        1 => Datatype::Fp32,
        2 => Datatype::Uint8,
        3 => Datatype::Int8,
        4 => Datatype::Uint16,
        5 => Datatype::Int16,
        6 => Datatype::Int32,
        7 => Datatype::Int64,
        8 => Datatype::Bytes,
        9 => Datatype::Bool,
        10 => Datatype::Fp16,
        11 => Datatype::Fp64,
        12 => Datatype::Uint32,
        13 => Datatype::Uint64,
        16 => Datatype::Bf16,
        _ => return None,
    })
}

/// Bits per element, for the types whose raw length can be checked.
const fn bits(number: i64) -> Option<usize> {
    Some(match number {
        1 | 6 | 12 => 32,
        4 | 5 | 10 | 16 => 16,
        2 | 3 | 9 | 17..=20 | 24 => 8,
        7 | 11 | 13 | 14 => 64,
        15 => 128,
        21..=23 => 4,
        25 | 26 => 2,
        _ => return None,
    })
}

/// The list field that holds elements of a type when there are no raw bytes, and how it is encoded.
const fn list(datatype: Datatype) -> (u64, Scalar) {
    match datatype {
        Datatype::Fp32 => (4, Scalar::Fixed32),
        Datatype::Bytes | Datatype::Int64 => (7, Scalar::Varint),
        Datatype::Fp64 => (10, Scalar::Fixed64),
        Datatype::Uint32 | Datatype::Uint64 => (11, Scalar::Varint),
        _ => (5, Scalar::Varint),
    }
}

/// The list field of an element type that no protocol carries, and how many numbers it holds then. Engines decode
/// them, and not all of them count first.
fn undecoded(number: i64, elements: usize) -> Option<(usize, Option<usize>)> {
    Some(match number {
        14 => (4, elements.checked_mul(2)),
        15 => (10, elements.checked_mul(2)),
        17..=20 | 24 | 27 | 28 => (5, Some(elements)),
        21..=23 => (5, Some(elements.div_ceil(2))),
        25 | 26 => (5, Some(elements.div_ceil(4))),
        _ => return None,
    })
}

/// What a TensorProto says, before its contents are compared with its shape.
#[derive(Default)]
struct Header {
    name: String,
    number: i64,
    dims: Vec<i64>,
    raw: Option<usize>,
    listed: [usize; 12],
    outside: bool,
}

impl Header {
    fn read(message: Message<'_>) -> Result<Self, LoadError> {
        let mut out = Self::default();
        let mut rest = message;
        while let Some(field) = rest.next()? {
            match field.number {
                1 => {
                    let mut count = out.dims.len();
                    let dims = &mut out.dims;
                    field.scalars(Scalar::Varint, |bits| {
                        count += 1;
                        if count <= MAX_RANK {
                            dims.push(bits.cast_signed());
                        }
                    })?;
                    if count > MAX_RANK {
                        return Err(broken(format!("a tensor has more than {MAX_RANK} dimensions")));
                    }
                }
                2 => out.number = field.int()?,
                4 => field.scalars(Scalar::Fixed32, |_| out.listed[4] += 1)?,
                5 | 7 | 11 => field.scalars(Scalar::Varint, |_| out.listed[field.number as usize] += 1)?,
                6 => {
                    field.message()?;
                    out.listed[6] += 1;
                }
                10 => field.scalars(Scalar::Fixed64, |_| out.listed[10] += 1)?,
                8 => out.name = field.text()?.to_owned(),
                9 => out.raw = Some(field.message()?.bytes().len()),
                13 => out.outside = true,
                // 0 is "in this file"; whatever else there may be, is not.
                14 => out.outside |= field.int()? != 0,
                _ => {}
            }
        }
        Ok(out)
    }
}

impl Constant {
    /// Reads and checks a TensorProto; gives its name too.
    pub(super) fn read(message: Message<'_>) -> Result<(String, Self), LoadError> {
        let header = Header::read(message)?;
        let name = shorten(&header.name);
        if header.outside {
            return Err(LoadError::new(
                Reason::ExternalData,
                format!("tensor `{name}` is kept outside the file; save the model as one file"),
            ));
        }
        let Some((shape, elements)) = counted(&header.dims) else {
            return Err(broken(format!("tensor `{name}` has impossible dimensions {:?}", header.dims)));
        };
        if header.raw.is_some() && header.listed.iter().any(|n| *n > 0) {
            return Err(broken(format!("tensor `{name}` holds both raw bytes and a list")));
        }
        let datatype = datatype(header.number);
        let (found, wanted, unit) = match (header.raw, datatype) {
            (Some(found), _) => {
                let Some(bits) = bits(header.number) else {
                    return Err(broken(format!(
                        "tensor `{name}` of type {} cannot be raw bytes",
                        header.number
                    )));
                };
                (found, elements.checked_mul(bits).map(|n| n.div_ceil(8)), "bytes")
            }
            (None, Some(Datatype::Bytes)) => (header.listed[6], Some(elements), "strings"),
            (None, Some(datatype)) => (header.listed[list(datatype).0 as usize], Some(elements), "numbers"),
            (None, None) => {
                let Some((field, wanted)) = undecoded(header.number, elements) else {
                    return Err(broken(format!("tensor `{name}` is of the unknown type {}", header.number)));
                };
                (header.listed[field], wanted, "numbers")
            }
        };
        if wanted != Some(found) {
            return Err(broken(format!(
                "tensor `{name}` of shape {shape:?} holds {found} {unit}, not {}",
                wanted.map_or_else(|| "a countable number".to_owned(), |n| n.to_string())
            )));
        }
        Ok((header.name, Self { datatype, shape, at: message.range() }))
    }

    /// The elements; `bytes` is the file this constant was read from ([`super::Model::bytes`]).
    ///
    /// # Errors
    /// `unsupported` for element types that no protocol carries.
    pub fn tensor(&self, bytes: &[u8]) -> Result<Tensor, LoadError> {
        let Some(datatype) = self.datatype else {
            return Err(LoadError::new(
                Reason::Unsupported,
                "a constant of an element type that is not carried",
            ));
        };
        let file = bytes.get(self.at.clone()).ok_or_else(|| broken("a constant of another file"))?;
        let mut data = Data::empty(datatype);
        let mut rest = Message::new(file);
        while let Some(field) = rest.next()? {
            match field.number {
                9 => data = raw(datatype, field.message()?.bytes()),
                6 if datatype == Datatype::Bytes => {
                    if let Data::Bytes(strings) = &mut data {
                        strings.push(field.message()?.bytes());
                    }
                }
                number if number == list(datatype).0 && datatype != Datatype::Bytes => {
                    listed(&mut data, &field, list(datatype).1)?;
                }
                _ => {}
            }
        }
        Ok(Tensor::new(&self.shape, data))
    }
}

/// Extents that can be, and how many elements they hold. None is beyond what a file can hold, not even beside one of
/// zero: engines multiply them in other orders.
pub(super) fn counted(dims: &[i64]) -> Option<(Vec<usize>, usize)> {
    let extent = |d: &i64| usize::try_from(*d).ok().filter(|d| *d <= MAX_BYTES);
    let shape: Vec<usize> = dims.iter().map(extent).collect::<Option<_>>()?;
    let elements = element_count(&shape)?;
    Some((shape, elements))
}

fn raw(datatype: Datatype, bytes: &[u8]) -> Data {
    macro_rules! numbers {
        ($variant:ident, $type:ty) => {
            Data::$variant(bytes.as_chunks().0.iter().map(|b| <$type>::from_le_bytes(*b)).collect())
        };
    }
    match datatype {
        Datatype::Bool => Data::Bool(bytes.iter().map(|b| *b != 0).collect()),
        Datatype::Uint8 => Data::Uint8(bytes.to_vec()),
        Datatype::Uint16 => numbers!(Uint16, u16),
        Datatype::Uint32 => numbers!(Uint32, u32),
        Datatype::Uint64 => numbers!(Uint64, u64),
        Datatype::Int8 => numbers!(Int8, i8),
        Datatype::Int16 => numbers!(Int16, i16),
        Datatype::Int32 => numbers!(Int32, i32),
        Datatype::Int64 => numbers!(Int64, i64),
        Datatype::Fp16 => numbers!(Fp16, u16),
        Datatype::Bf16 => numbers!(Bf16, u16),
        Datatype::Fp32 => numbers!(Fp32, f32),
        Datatype::Fp64 => numbers!(Fp64, f64),
        // Refused when the file was read.
        Datatype::Bytes => Data::Bytes(Strings::default()),
    }
}

/// Appends a list field; each number is cut to the type's width, as protobuf's own accessors do.
#[expect(clippy::cast_possible_truncation, reason = "narrow types travel in wider fields")]
fn listed(data: &mut Data, field: &Field<'_>, kind: Scalar) -> Result<(), LoadError> {
    match data {
        Data::Bool(v) => field.scalars(kind, |bits| v.push(bits != 0)),
        Data::Uint8(v) => field.scalars(kind, |bits| v.push(bits as u8)),
        Data::Uint16(v) | Data::Fp16(v) | Data::Bf16(v) => field.scalars(kind, |bits| v.push(bits as u16)),
        Data::Uint32(v) => field.scalars(kind, |bits| v.push(bits as u32)),
        Data::Uint64(v) => field.scalars(kind, |bits| v.push(bits)),
        Data::Int8(v) => field.scalars(kind, |bits| v.push(bits as i8)),
        Data::Int16(v) => field.scalars(kind, |bits| v.push(bits as i16)),
        Data::Int32(v) => field.scalars(kind, |bits| v.push(bits as i32)),
        Data::Int64(v) => field.scalars(kind, |bits| v.push(bits as i64)),
        Data::Fp32(v) => field.scalars(kind, |bits| v.push(f32::from_bits(bits as u32))),
        Data::Fp64(v) => field.scalars(kind, |bits| v.push(f64::from_bits(bits))),
        Data::Bytes(_) => Ok(()),
    }
    .map_err(LoadError::from)
}
