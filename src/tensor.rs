//! Tensors as every protocol and every engine sees them: a shape and typed, row-major elements.
//!
//! The element types are those of the Open Inference Protocol v2 (`inference_rest.md`, "Tensor Data Types")
//! plus `BF16`. Buffers are plain vectors that a worker clears and refills, so a request of a shape seen
//! before allocates nothing.

use std::fmt;
use std::str::FromStr;

use smallvec::SmallVec;

/// Extents of a tensor, outermost first; empty for a scalar.
pub type Shape = SmallVec<[usize; 4]>;

/// The element type of a tensor, named as on the wire (`FP32`, `BYTES`, …).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Datatype {
    /// One byte, 0 or 1.
    Bool,
    /// Unsigned, 1 byte.
    Uint8,
    /// Unsigned, 2 bytes.
    Uint16,
    /// Unsigned, 4 bytes.
    Uint32,
    /// Unsigned, 8 bytes.
    Uint64,
    /// Signed, 1 byte.
    Int8,
    /// Signed, 2 bytes.
    Int16,
    /// Signed, 4 bytes.
    Int32,
    /// Signed, 8 bytes.
    Int64,
    /// IEEE 754 half precision; only in binary tensors.
    Fp16,
    /// Brain float; only in binary tensors.
    Bf16,
    /// IEEE 754 single precision.
    Fp32,
    /// IEEE 754 double precision.
    Fp64,
    /// Variable-length byte strings.
    Bytes,
}

/// Every datatype, in the order of the enum.
pub const DATATYPES: [Datatype; 14] = [
    Datatype::Bool,
    Datatype::Uint8,
    Datatype::Uint16,
    Datatype::Uint32,
    Datatype::Uint64,
    Datatype::Int8,
    Datatype::Int16,
    Datatype::Int32,
    Datatype::Int64,
    Datatype::Fp16,
    Datatype::Bf16,
    Datatype::Fp32,
    Datatype::Fp64,
    Datatype::Bytes,
];

/// The typed elements of a tensor, row-major.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "one variant per `Datatype`, which documents them")]
pub enum Data {
    Bool(Vec<bool>),
    Uint8(Vec<u8>),
    Uint16(Vec<u16>),
    Uint32(Vec<u32>),
    Uint64(Vec<u64>),
    Int8(Vec<i8>),
    Int16(Vec<i16>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    /// Bit patterns; convert with the `half` crate.
    Fp16(Vec<u16>),
    /// Bit patterns; convert with the `half` crate.
    Bf16(Vec<u16>),
    Fp32(Vec<f32>),
    Fp64(Vec<f64>),
    Bytes(Strings),
}

/// Many byte strings in one buffer: two allocations for a whole column.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Strings {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

/// A shape with its elements; `data` holds exactly the product of `shape` elements.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Extents, outermost first.
    pub shape: Shape,
    /// Elements, row-major.
    pub data: Data,
}

/// Evaluates `$body` with `$v` bound to the vector (or [`Strings`]) inside a [`Data`].
#[macro_export]
macro_rules! with_data {
    ($data:expr, $v:ident => $body:expr) => {
        match $data {
            $crate::tensor::Data::Bool($v) => $body,
            $crate::tensor::Data::Uint8($v) => $body,
            $crate::tensor::Data::Uint16($v) => $body,
            $crate::tensor::Data::Uint32($v) => $body,
            $crate::tensor::Data::Uint64($v) => $body,
            $crate::tensor::Data::Int8($v) => $body,
            $crate::tensor::Data::Int16($v) => $body,
            $crate::tensor::Data::Int32($v) => $body,
            $crate::tensor::Data::Int64($v) => $body,
            $crate::tensor::Data::Fp16($v) => $body,
            $crate::tensor::Data::Bf16($v) => $body,
            $crate::tensor::Data::Fp32($v) => $body,
            $crate::tensor::Data::Fp64($v) => $body,
            $crate::tensor::Data::Bytes($v) => $body,
        }
    };
}

/// A datatype's name that the protocol does not define.
#[derive(Debug, thiserror::Error)]
#[error("unknown datatype `{0}`; one of BOOL, UINT8…64, INT8…64, FP16, BF16, FP32, FP64, BYTES")]
pub struct UnknownDatatype(pub String);

// === impl Datatype ===

impl Datatype {
    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bool => "BOOL",
            Self::Uint8 => "UINT8",
            Self::Uint16 => "UINT16",
            Self::Uint32 => "UINT32",
            Self::Uint64 => "UINT64",
            Self::Int8 => "INT8",
            Self::Int16 => "INT16",
            Self::Int32 => "INT32",
            Self::Int64 => "INT64",
            Self::Fp16 => "FP16",
            Self::Bf16 => "BF16",
            Self::Fp32 => "FP32",
            Self::Fp64 => "FP64",
            Self::Bytes => "BYTES",
        }
    }

    /// Bytes per element; `None` for [`Datatype::Bytes`].
    pub const fn size(self) -> Option<usize> {
        match self {
            Self::Bool | Self::Uint8 | Self::Int8 => Some(1),
            Self::Uint16 | Self::Int16 | Self::Fp16 | Self::Bf16 => Some(2),
            Self::Uint32 | Self::Int32 | Self::Fp32 => Some(4),
            Self::Uint64 | Self::Int64 | Self::Fp64 => Some(8),
            Self::Bytes => None,
        }
    }

    /// Whether the elements are floating-point numbers, so that NaN is a value.
    pub const fn is_float(self) -> bool {
        matches!(self, Self::Fp16 | Self::Bf16 | Self::Fp32 | Self::Fp64)
    }
}

impl fmt::Display for Datatype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Datatype {
    type Err = UnknownDatatype;

    fn from_str(name: &str) -> Result<Self, UnknownDatatype> {
        DATATYPES.into_iter().find(|d| d.name() == name).ok_or_else(|| UnknownDatatype(name.to_owned()))
    }
}

// === impl Data ===

impl Data {
    /// No elements yet, of the given type.
    pub fn empty(datatype: Datatype) -> Self {
        match datatype {
            Datatype::Bool => Self::Bool(Vec::new()),
            Datatype::Uint8 => Self::Uint8(Vec::new()),
            Datatype::Uint16 => Self::Uint16(Vec::new()),
            Datatype::Uint32 => Self::Uint32(Vec::new()),
            Datatype::Uint64 => Self::Uint64(Vec::new()),
            Datatype::Int8 => Self::Int8(Vec::new()),
            Datatype::Int16 => Self::Int16(Vec::new()),
            Datatype::Int32 => Self::Int32(Vec::new()),
            Datatype::Int64 => Self::Int64(Vec::new()),
            Datatype::Fp16 => Self::Fp16(Vec::new()),
            Datatype::Bf16 => Self::Bf16(Vec::new()),
            Datatype::Fp32 => Self::Fp32(Vec::new()),
            Datatype::Fp64 => Self::Fp64(Vec::new()),
            Datatype::Bytes => Self::Bytes(Strings::default()),
        }
    }

    /// The element type.
    pub const fn datatype(&self) -> Datatype {
        match self {
            Self::Bool(_) => Datatype::Bool,
            Self::Uint8(_) => Datatype::Uint8,
            Self::Uint16(_) => Datatype::Uint16,
            Self::Uint32(_) => Datatype::Uint32,
            Self::Uint64(_) => Datatype::Uint64,
            Self::Int8(_) => Datatype::Int8,
            Self::Int16(_) => Datatype::Int16,
            Self::Int32(_) => Datatype::Int32,
            Self::Int64(_) => Datatype::Int64,
            Self::Fp16(_) => Datatype::Fp16,
            Self::Bf16(_) => Datatype::Bf16,
            Self::Fp32(_) => Datatype::Fp32,
            Self::Fp64(_) => Datatype::Fp64,
            Self::Bytes(_) => Datatype::Bytes,
        }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        with_data!(self, v => v.len())
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The element at `index` as a number; `None` for strings and beyond the end.
    pub fn number(&self, index: usize) -> Option<f64> {
        macro_rules! wide {
            ($v:expr) => {
                $v.get(index).map(|v| *v as f64)
            };
        }
        match self {
            Self::Bool(v) => v.get(index).map(|v| f64::from(u8::from(*v))),
            Self::Uint8(v) => wide!(v),
            Self::Uint16(v) => wide!(v),
            Self::Uint32(v) => wide!(v),
            Self::Uint64(v) => wide!(v),
            Self::Int8(v) => wide!(v),
            Self::Int16(v) => wide!(v),
            Self::Int32(v) => wide!(v),
            Self::Int64(v) => wide!(v),
            Self::Fp16(v) => v.get(index).map(|v| half::f16::from_bits(*v).to_f64()),
            Self::Bf16(v) => v.get(index).map(|v| half::bf16::from_bits(*v).to_f64()),
            Self::Fp32(v) => wide!(v),
            Self::Fp64(v) => v.get(index).copied(),
            Self::Bytes(_) => None,
        }
    }

    /// Bytes of the buffers, used or not.
    pub fn held_bytes(&self) -> usize {
        match self {
            Self::Bytes(strings) => strings.bytes.capacity() + strings.ends.capacity() * size_of::<usize>(),
            _ => self.len() * self.datatype().size().unwrap_or(1),
        }
    }

    /// Bytes of the buffers with all their room: what is taken along when they are handed to somebody.
    pub fn capacity_bytes(&self) -> usize {
        match self {
            Self::Bytes(strings) => strings.bytes.capacity() + strings.ends.capacity() * size_of::<usize>(),
            Self::Bool(v) => v.capacity(),
            Self::Uint8(v) => v.capacity(),
            Self::Int8(v) => v.capacity(),
            Self::Uint16(v) | Self::Fp16(v) | Self::Bf16(v) => v.capacity() * 2,
            Self::Int16(v) => v.capacity() * 2,
            Self::Uint32(v) => v.capacity() * 4,
            Self::Int32(v) => v.capacity() * 4,
            Self::Fp32(v) => v.capacity() * 4,
            Self::Uint64(v) => v.capacity() * 8,
            Self::Int64(v) => v.capacity() * 8,
            Self::Fp64(v) => v.capacity() * 8,
        }
    }

    /// Removes all elements and keeps the buffer.
    pub fn clear(&mut self) {
        with_data!(self, v => v.clear());
    }

    /// Becomes empty data of `datatype`, keeping the buffer when the type stays the same.
    pub fn reset(&mut self, datatype: Datatype) {
        if self.datatype() == datatype {
            self.clear();
        } else {
            *self = Self::empty(datatype);
        }
    }
}

// === impl Strings ===

impl Strings {
    /// Number of strings.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Appends a string.
    pub fn push(&mut self, string: &[u8]) {
        self.bytes.extend_from_slice(string);
        self.ends.push(self.bytes.len());
    }

    /// Appends a string written by `write` into the shared buffer; on an error nothing is appended.
    ///
    /// # Errors
    /// Whatever `write` returns.
    pub fn push_with<E>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<(), E> {
        let start = self.bytes.len();
        match write(&mut self.bytes) {
            Ok(()) => {
                self.ends.push(self.bytes.len());
                Ok(())
            }
            Err(error) => {
                self.bytes.truncate(start);
                Err(error)
            }
        }
    }

    /// The string at `index`, if there is one.
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        let end = *self.ends.get(index)?;
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        Some(&self.bytes[start..end])
    }

    /// The strings in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().map(move |&end| &self.bytes[std::mem::replace(&mut start, end)..end])
    }

    /// Removes all strings and keeps the buffers.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }
}

impl<S: AsRef<[u8]>> FromIterator<S> for Strings {
    fn from_iter<I: IntoIterator<Item = S>>(strings: I) -> Self {
        let mut out = Self::default();
        strings.into_iter().for_each(|s| out.push(s.as_ref()));
        out
    }
}

// === impl Tensor ===

impl Tensor {
    /// An empty tensor of shape `[0]`, the starting point of a buffer to be refilled.
    pub fn empty(datatype: Datatype) -> Self {
        Self { shape: Shape::from_slice(&[0]), data: Data::empty(datatype) }
    }

    /// A tensor from its parts, for loading and tests; the path fills buffers in place.
    ///
    /// # Panics
    /// In debug builds, when the shape does not fit the number of elements.
    pub fn new(shape: &[usize], data: Data) -> Self {
        debug_assert_eq!(
            shape.iter().product::<usize>(),
            data.len(),
            "shape {shape:?} does not fit the data"
        );
        Self { shape: Shape::from_slice(shape), data }
    }

    /// The element type.
    pub const fn datatype(&self) -> Datatype {
        self.data.datatype()
    }

    /// Extent of the first dimension, the batch; 1 for a scalar.
    pub fn rows(&self) -> usize {
        self.shape.first().copied().unwrap_or(1)
    }
}

/// The number of elements of `shape`, or `None` when it does not fit in a `usize`.
pub fn element_count(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1_usize, |n, &d| n.checked_mul(d))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datatypes_round_trip_by_name() {
        for d in DATATYPES {
            assert_eq!(d.name().parse::<Datatype>().unwrap(), d);
            assert_eq!(Data::empty(d).datatype(), d);
        }
        assert!("fp32".parse::<Datatype>().is_err(), "names are case-sensitive on the wire");
    }

    #[test]
    fn strings_keep_their_boundaries() {
        let strings: Strings = ["a", "", "bc"].into_iter().collect();
        assert_eq!(strings.iter().collect::<Vec<_>>(), [b"a".as_slice(), b"", b"bc"]);
        assert_eq!(strings.get(2), Some(b"bc".as_slice()));
        assert_eq!(strings.get(3), None);
    }

    #[test]
    fn element_counts_are_checked() {
        assert_eq!(element_count(&[]), Some(1));
        assert_eq!(element_count(&[0, usize::MAX]), Some(0));
        assert_eq!(element_count(&[usize::MAX, 2]), None);
    }
}
