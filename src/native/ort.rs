//! ONNX Runtime's C API where the `ort` crate's safe one does not serve: several threads in one session, and
//! tensors over our own buffers in both directions.
//!
//! Invariants of this module:
//! 1. `ort::api()` is called only while a [`Session`] exists (or is being built), so the library is loaded and
//!    checked; its function table is never unloaded.
//! 2. A pointer that the C API returns is owned by exactly one Rust value, which releases it once.
//! 3. `OrtApi::Run` may be called on one session from several threads (ONNX Runtime's documentation of
//!    `InferenceSession::Run`); only the CPU execution provider is ever registered, whose allocators lock.
//! 4. Buffers lent to the C API stay borrowed for as long as the value that points to them.
//! 5. What the C API writes is never read as a Rust type with invalid bit patterns (`bool`, enums).

#![expect(unsafe_code, reason = "concurrent runs and zero-copy tensors need the C API itself")]

mod probe;
mod value;

use std::ffi::{CStr, CString, c_char};
use std::ptr;

use ort::AsPointer;
use ort::memory::{AllocationDevice, AllocatorType, MemoryInfo, MemoryType};
use ort::session::Session;
use smallvec::SmallVec;

pub use self::probe::version;
use self::value::Value;
use crate::tensor::{Data, Datatype, Tensor};

/// What the C API answered instead of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// `OrtErrorCode`; 2 is `ORT_INVALID_ARGUMENT`.
    pub code: i32,
    /// Its text, which may hold source paths.
    pub message: String,
}

/// A session that any number of threads may run at once.
pub struct SharedSession {
    session: Session,
    memory: MemoryInfo<'static>,
    inputs: Names,
    outputs: Names,
}

/// Names as the C API takes them.
struct Names {
    pointers: Vec<*const c_char>,
    _owned: Vec<CString>,
}

// SAFETY: the pointers lead into the heap buffers of `_owned`, which are never changed or moved out; both are
// dropped together, wherever that happens.
unsafe impl Send for Names {}
// SAFETY: nothing is written through a shared `Names`.
unsafe impl Sync for Names {}

impl Names {
    fn new<'a>(names: impl Iterator<Item = &'a str>) -> Result<Self, Failure> {
        let owned = names.map(CString::new).collect::<Result<Vec<_>, _>>();
        let owned = owned.map_err(|_| Failure::invalid("the name of a tensor holds a NUL byte"))?;
        Ok(Self { pointers: owned.iter().map(|name| name.as_ptr()).collect(), _owned: owned })
    }
}

impl SharedSession {
    /// A session with the names of its inputs and outputs, in the order in which [`Self::run`] takes them.
    ///
    /// # Errors
    /// When a name holds a NUL byte.
    pub fn new<'a>(
        session: Session,
        inputs: impl Iterator<Item = &'a str>,
        outputs: impl Iterator<Item = &'a str>,
    ) -> Result<Self, Failure> {
        let kind = (AllocatorType::Device, MemoryType::Default);
        let memory = MemoryInfo::new(AllocationDevice::CPU, 0, kind.0, kind.1)
            .map_err(|error| Failure { code: FAIL, message: error.message().to_owned() })?;
        Ok(Self { session, memory, inputs: Names::new(inputs)?, outputs: Names::new(outputs)? })
    }

    /// Runs the graph over `inputs`, without copying them, and copies the results into `outputs`.
    ///
    /// # Errors
    /// Whatever the C API refuses, with `outputs` in a valid but unspecified state.
    pub fn run(&self, inputs: &[Tensor], outputs: &mut Vec<Tensor>) -> Result<(), Failure> {
        if inputs.len() != self.inputs.pointers.len() {
            let expected = self.inputs.pointers.len();
            return Err(Failure::invalid(&format!("expected {expected} inputs, got {}", inputs.len())));
        }
        let mut values: SmallVec<[Value<'_>; 8]> = SmallVec::new();
        for tensor in inputs {
            values.push(Value::lend(tensor, &self.memory)?);
        }
        let results = self.run_values(&values)?;
        outputs.truncate(results.len());
        while outputs.len() < results.len() {
            outputs.push(Tensor { shape: [0].into_iter().collect(), data: Data::empty(Datatype::Fp32) });
        }
        for (result, output) in results.iter().zip(outputs) {
            result.copy_into(output)?;
        }
        Ok(())
    }

    fn run_values(&self, inputs: &[Value<'_>]) -> Result<SmallVec<[Value<'static>; 4]>, Failure> {
        let mut raw: SmallVec<[*mut ort::sys::OrtValue; 4]> =
            SmallVec::from_elem(ptr::null_mut(), self.outputs.pointers.len());
        // SAFETY: the session lives in `self`; by invariant 3 it may be run from here whatever other threads
        // do. `Value` is a transparent pointer, so `inputs` is an array of them, as long as the names; `raw`
        // has a null place for each output name, which asks the callee to allocate it.
        let status = unsafe {
            (ort::api().Run)(
                self.session.ptr().cast_mut(),
                ptr::null(),
                self.inputs.pointers.as_ptr(),
                inputs.as_ptr().cast::<*const ort::sys::OrtValue>(),
                inputs.len(),
                self.outputs.pointers.as_ptr(),
                raw.len(),
                raw.as_mut_ptr(),
            )
        };
        // Owned before the status is looked at: a failed run may have filled some places.
        // SAFETY: what `Run` leaves in `raw` is null or a value that now belongs to us.
        let results = raw.into_iter().map(|value| unsafe { Value::own(value) }).collect();
        check(status)?;
        let results: Option<SmallVec<_>> = results;
        results.ok_or_else(|| Failure { code: FAIL, message: "an output has no value".to_owned() })
    }
}

const FAIL: i32 = ort::sys::OrtErrorCode::ORT_FAIL as i32;

impl Failure {
    fn invalid(message: &str) -> Self {
        Self { code: ort::sys::OrtErrorCode::ORT_INVALID_ARGUMENT as i32, message: message.to_owned() }
    }
}

/// Takes over a status: an error with its text, or nothing.
fn check(status: ort::sys::OrtStatusPtr) -> Result<(), Failure> {
    let status = status.0;
    if status.is_null() { Ok(()) } else { Err(failure(status)) }
}

#[cold]
fn failure(status: *mut ort::sys::OrtStatus) -> Failure {
    let api = ort::api();
    // SAFETY: the signatures differ only in the returned enum, which is an `int` in C; read as one, a code
    // newer than our bindings is no undefined behaviour (invariant 5).
    let code = unsafe {
        std::mem::transmute::<
            unsafe extern "system" fn(*const ort::sys::OrtStatus) -> ort::sys::OrtErrorCode,
            unsafe extern "system" fn(*const ort::sys::OrtStatus) -> i32,
        >(api.GetErrorCode)
    };
    // SAFETY: `status` is not null and ours; the text belongs to it and is copied before it is released, once.
    unsafe {
        let code = code(status);
        let message = CStr::from_ptr((api.GetErrorMessage)(status)).to_string_lossy().into_owned();
        (api.ReleaseStatus)(status);
        Failure { code, message }
    }
}
