//! One `OrtValue`: lent from a [`Tensor`], or owned after a run.

use std::ffi::{c_char, c_void};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};

use ort::AsPointer;
use ort::memory::MemoryInfo;
use ort::sys::{ONNXTensorElementDataType as Element, OrtValue};
use smallvec::SmallVec;

use super::{FAIL, Failure, check};
use crate::tensor::{Data, Datatype, Strings, Tensor, element_count};
use crate::with_data;

/// Released when dropped. `'a` is the tensor whose buffer it points to (invariant 4).
#[repr(transparent)]
pub(super) struct Value<'a> {
    pointer: NonNull<OrtValue>,
    lender: PhantomData<&'a Tensor>,
}

type Dimensions = SmallVec<[i64; 8]>;

impl<'a> Value<'a> {
    /// Takes over a value; `None` for null.
    ///
    /// # Safety
    /// `pointer` is null or a value that the C API handed over and nobody else releases.
    pub(super) unsafe fn own(pointer: *mut OrtValue) -> Option<Self> {
        NonNull::new(pointer).map(|pointer| Self { pointer, lender: PhantomData })
    }

    /// A value over the tensor's own buffer; strings are copied, since the C API keeps its own kind.
    pub(super) fn lend(tensor: &'a Tensor, memory: &MemoryInfo<'_>) -> Result<Self, Failure> {
        let dimensions = tensor.shape.iter().map(|&extent| i64::try_from(extent));
        let dimensions: Dimensions =
            dimensions.collect::<Result<_, _>>().map_err(|_| Failure::invalid("an extent is too large"))?;
        // `Tensor` promises this, but its fields are public and memory safety hangs on it.
        if element_count(&tensor.shape) != Some(tensor.data.len()) {
            return Err(Failure::invalid("the shape does not fit the number of elements"));
        }
        let (bytes, length) = match &tensor.data {
            Data::Bytes(strings) => return Self::strings(strings, &dimensions),
            data => with_data!(data, elements => raw_parts(elements)),
        };
        let mut value = ptr::null_mut();
        // SAFETY: `bytes` is valid for `length` bytes while `'a` lasts. The C API takes it as mutable, but
        // never writes to the inputs of a run. Zero elements come with a dangling pointer it does not follow.
        check(unsafe {
            (ort::api().CreateTensorWithDataAsOrtValue)(
                memory.ptr(),
                bytes.cast_mut(),
                length,
                dimensions.as_ptr(),
                dimensions.len(),
                element(tensor.datatype()),
                &raw mut value,
            )
        })?;
        // SAFETY: the call succeeded, so the value is new and ours.
        unsafe { Self::own(value) }.ok_or_else(no_value)
    }

    fn strings(strings: &Strings, dimensions: &[i64]) -> Result<Self, Failure> {
        let api = ort::api();
        let mut allocator = ptr::null_mut();
        let mut value = ptr::null_mut();
        // SAFETY: the default allocator is a static of the library and never released; the new value's
        // buffers are its own.
        let value = unsafe {
            check((api.GetAllocatorWithDefaultOptions)(&raw mut allocator))?;
            let (shape, rank) = (dimensions.as_ptr(), dimensions.len());
            let element = Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING;
            check((api.CreateTensorAsOrtValue)(allocator, shape, rank, element, &raw mut value))?;
            Self::own(value).ok_or_else(no_value)?
        };
        for (index, string) in strings.iter().enumerate() {
            let mut buffer: *mut c_char = ptr::null_mut();
            // SAFETY: on success `buffer` is valid for `string.len()` bytes until the value is changed again.
            // Written by length, a string keeps its NUL bytes, which `FillStringTensor` would cut off.
            unsafe {
                let place = value.pointer.as_ptr();
                check((api.GetResizedStringTensorElementBuffer)(
                    place,
                    index,
                    string.len(),
                    &raw mut buffer,
                ))?;
                ptr::copy_nonoverlapping(string.as_ptr(), buffer.cast::<u8>(), string.len());
            }
        }
        Ok(value)
    }

    /// Copies the value into `output`, reusing its buffers when the type is the same.
    pub(super) fn copy_into(&self, output: &mut Tensor) -> Result<(), Failure> {
        let raw_type = self.read_type(&mut output.shape)?;
        let datatype = datatype(raw_type).ok_or_else(|| Failure {
            code: FAIL,
            message: format!("an output has elements of type {raw_type}, which no protocol can carry"),
        })?;
        let count = element_count(&output.shape).ok_or_else(|| Failure::invalid("an output is too large"))?;
        output.data.reset(datatype);
        if let Data::Bytes(strings) = &mut output.data {
            return self.copy_strings(count, strings);
        }
        if count == 0 {
            return Ok(());
        }
        let mut source: *mut c_void = ptr::null_mut();
        // SAFETY: the value is alive; the pointer it gives is valid for all its elements, and on the CPU
        // (invariant 3), until it is released.
        check(unsafe { (ort::api().GetTensorMutableData)(self.pointer.as_ptr(), &raw mut source) })?;
        let source = source.cast_const();
        match &mut output.data {
            // SAFETY: one byte per element. A graph may hold other bytes than 0 and 1 (invariant 5).
            Data::Bool(to) => to.extend(
                unsafe { std::slice::from_raw_parts(source.cast::<u8>(), count) }.iter().map(|&b| b != 0),
            ),
            // SAFETY (all below): `source` holds `count` elements of just this type, as `read_type` said, and
            // every bit pattern of them is valid.
            Data::Uint8(to) => unsafe { fill(to, source, count) },
            Data::Uint16(to) | Data::Fp16(to) | Data::Bf16(to) => unsafe { fill(to, source, count) },
            Data::Uint32(to) => unsafe { fill(to, source, count) },
            Data::Uint64(to) => unsafe { fill(to, source, count) },
            Data::Int8(to) => unsafe { fill(to, source, count) },
            Data::Int16(to) => unsafe { fill(to, source, count) },
            Data::Int32(to) => unsafe { fill(to, source, count) },
            Data::Int64(to) => unsafe { fill(to, source, count) },
            Data::Fp32(to) => unsafe { fill(to, source, count) },
            Data::Fp64(to) => unsafe { fill(to, source, count) },
            Data::Bytes(_) => {}
        }
        Ok(())
    }

    /// Writes the extents into `shape` and returns the element type's number.
    fn read_type(&self, shape: &mut crate::tensor::Shape) -> Result<i32, Failure> {
        let api = ort::api();
        let mut info = ptr::null_mut();
        // SAFETY: the value is alive, and a failed call leaves nothing to release.
        check(unsafe { (api.GetTensorTypeAndShape)(self.pointer.as_ptr(), &raw mut info) })?;
        let mut raw_type = 0_i32;
        let mut rank = 0;
        let mut dimensions = Dimensions::new();
        // SAFETY: `info` is ours until it is released below, whatever the calls between answer. The type is
        // an `int` in C and read as one (invariant 5); `dimensions` has `rank` places when it is filled.
        let read = unsafe {
            check((api.GetTensorElementType)(info, (&raw mut raw_type).cast::<Element>()))
                .and_then(|()| check((api.GetDimensionsCount)(info, &raw mut rank)))
                .and_then(|()| {
                    dimensions.resize(rank, 0);
                    check((api.GetDimensions)(info, dimensions.as_mut_ptr(), rank))
                })
        };
        // SAFETY: released once, here.
        unsafe { (api.ReleaseTensorTypeAndShapeInfo)(info) };
        read?;
        shape.clear();
        for extent in dimensions {
            shape.push(usize::try_from(extent).map_err(|_| Failure::invalid("an output has no shape"))?);
        }
        Ok(raw_type)
    }

    fn copy_strings(&self, count: usize, strings: &mut Strings) -> Result<(), Failure> {
        let api = ort::api();
        for index in 0..count {
            let mut length = 0;
            // SAFETY: the value is alive and holds strings; the index is checked by the callee.
            check(unsafe {
                (api.GetStringTensorElementLength)(self.pointer.as_ptr(), index, &raw mut length)
            })?;
            strings.push_with(|to| {
                let start = to.len();
                to.resize(start + length, 0);
                let place = to[start..].as_mut_ptr().cast::<c_void>();
                // SAFETY: `place` is valid for `length` bytes, which the callee checks against the string.
                check(unsafe { (api.GetStringTensorElement)(self.pointer.as_ptr(), length, index, place) })
            })?;
        }
        Ok(())
    }
}

impl Drop for Value<'_> {
    fn drop(&mut self) {
        // SAFETY: owned by this value alone (invariant 2).
        unsafe { (ort::api().ReleaseValue)(self.pointer.as_ptr()) };
    }
}

/// Elements of a tensor as bytes in memory.
trait Elements {
    fn raw_parts(&self) -> (*const c_void, usize);
}

impl<T: Copy> Elements for Vec<T> {
    fn raw_parts(&self) -> (*const c_void, usize) {
        (self.as_ptr().cast(), size_of_val(self.as_slice()))
    }
}

impl Elements for Strings {
    /// Never asked: strings go another way.
    fn raw_parts(&self) -> (*const c_void, usize) {
        (ptr::null(), 0)
    }
}

fn raw_parts(elements: &impl Elements) -> (*const c_void, usize) {
    elements.raw_parts()
}

/// Replaces the elements of `to`.
///
/// # Safety
/// `source` is valid for `count` elements, any of whose bit patterns is a `T`.
unsafe fn fill<T: Copy>(to: &mut Vec<T>, source: *const c_void, count: usize) {
    to.clear();
    to.reserve(count);
    // SAFETY: room for `count` elements was just reserved; copied as bytes, alignment does not matter.
    unsafe {
        ptr::copy_nonoverlapping(source.cast::<u8>(), to.as_mut_ptr().cast::<u8>(), count * size_of::<T>());
        to.set_len(count);
    }
}

fn no_value() -> Failure {
    Failure { code: FAIL, message: "no value was made".to_owned() }
}

const fn element(datatype: Datatype) -> Element {
    match datatype {
        Datatype::Bool => Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL,
        Datatype::Uint8 => Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8,
        Datatype::Uint16 => Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16,
        Datatype::Uint32 => Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT32,
        Datatype::Uint64 => Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT64,
        Datatype::Int8 => Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8,
        Datatype::Int16 => Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16,
        Datatype::Int32 => Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32,
        Datatype::Int64 => Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64,
        Datatype::Fp16 => Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16,
        Datatype::Bf16 => Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16,
        Datatype::Fp32 => Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT,
        Datatype::Fp64 => Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE,
        Datatype::Bytes => Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING,
    }
}

fn datatype(raw: i32) -> Option<Datatype> {
    crate::tensor::DATATYPES.into_iter().find(|&datatype| element(datatype) as i32 == raw)
}
