//! LightGBM's C API, found at run time.
//!
//! Invariants of this module:
//! 1. The function table is of a library that is never unloaded, and has the signatures of `LightGBM/c_api.h` as they
//!    are since 4.0.
//! 2. A handle that the C API returns is owned by exactly one Rust value, which frees it once.
//! 3. A booster points to the data sets that it was made with: it borrows them.
//! 4. A data set is trained on only when all its rows have been pushed, each once and none beyond its end.
//! 5. Arrays are lent to the C API for the length of one call.
//! 6. Errors and the function for messages are kept per thread.

#![expect(unsafe_code, reason = "the library is reached through its C API alone")]

mod booster;
mod dataset;

use std::ffi::{c_char, c_int, c_void};
use std::path::Path;

pub use self::booster::Booster;
pub use self::dataset::{Dataset, Filling, Sample};
use super::shared::{self, Shared, functions};

type Handle = *mut c_void;

functions! {
    struct Api {
        LGBM_GetLastError: fn() -> *const c_char;
        LGBM_RegisterLogCallback: fn(extern "C" fn(*const c_char)) -> c_int;
        LGBM_DumpParamAliases: fn(i64, *mut i64, *mut c_char) -> c_int;
        LGBM_GetSampleCount: fn(i32, *const c_char, *mut c_int) -> c_int;
        LGBM_SampleIndices: fn(i32, *const c_char, *mut i32, *mut i32) -> c_int;
        LGBM_DatasetCreateFromSampledColumn: fn(
            *mut *const f64, *mut *const c_int, i32, *const c_int, i32, i32, i64, *const c_char, *mut Handle,
        ) -> c_int;
        LGBM_DatasetCreateByReference: fn(Handle, i64, *mut Handle) -> c_int;
        LGBM_DatasetPushRows: fn(Handle, *const f32, c_int, i32, i32, i32) -> c_int;
        LGBM_DatasetSetField: fn(Handle, *const c_char, *const f32, c_int, c_int) -> c_int;
        LGBM_DatasetSetFeatureNames: fn(Handle, *mut *const c_char, c_int) -> c_int;
        LGBM_DatasetFree: fn(Handle) -> c_int;
        LGBM_BoosterCreate: fn(Handle, *const c_char, *mut Handle) -> c_int;
        LGBM_BoosterLoadModelFromString: fn(*const c_char, *mut c_int, *mut Handle) -> c_int;
        LGBM_BoosterAddValidData: fn(Handle, Handle) -> c_int;
        LGBM_BoosterUpdateOneIter: fn(Handle, *mut c_int) -> c_int;
        LGBM_BoosterGetCurrentIteration: fn(Handle, *mut c_int) -> c_int;
        LGBM_BoosterGetNumClasses: fn(Handle, *mut c_int) -> c_int;
        LGBM_BoosterGetNumFeature: fn(Handle, *mut c_int) -> c_int;
        LGBM_BoosterGetEvalCounts: fn(Handle, *mut c_int) -> c_int;
        LGBM_BoosterGetEvalNames: fn(Handle, c_int, *mut c_int, usize, *mut usize, *mut *mut c_char) -> c_int;
        LGBM_BoosterGetEval: fn(Handle, c_int, *mut c_int, *mut f64) -> c_int;
        LGBM_BoosterSaveModelToString: fn(Handle, c_int, c_int, c_int, i64, *mut i64, *mut c_char) -> c_int;
        LGBM_BoosterPredictForMat: fn(
            Handle, *const f32, c_int, i32, i32, c_int, c_int, c_int, c_int, *const c_char, *mut i64, *mut f64,
        ) -> c_int;
        LGBM_BoosterFree: fn(Handle) -> c_int;
    }
}

/// `C_API_DTYPE_FLOAT32`
const FLOAT32: c_int = 0;

/// The loaded library.
#[derive(Clone, Copy)]
pub struct Library(&'static Api);

impl Library {
    /// Loads it for the rest of the process's life.
    ///
    /// # Errors
    /// When the file is no such library, lacks another one, or is older than 4.0.
    pub fn open(path: &Path) -> Result<Self, String> {
        let shared = Shared::open(path)?;
        // SAFETY: the signatures are those of the header (invariant 1), the same in 4.0 and 4.7. Of 3.x one differs;
        // such a library is refused here, since it lacks `LGBM_DumpParamAliases`.
        Ok(Self(Box::leak(Box::new(unsafe { Api::load(&shared) }?))))
    }

    /// The parameters and their other names, as JSON.
    ///
    /// # Errors
    /// What the library says.
    pub fn parameters(self) -> Result<String, String> {
        self.text(|capacity, length, to| {
            // SAFETY: `to` has room for `capacity` bytes, which the call does not exceed.
            unsafe { (self.0.LGBM_DumpParamAliases)(capacity, length, to) }
        })
    }

    /// Calls for a text until there is room for it.
    fn text(self, mut call: impl FnMut(i64, *mut i64, *mut c_char) -> c_int) -> Result<String, String> {
        let mut buffer = vec![0_u8; 1 << 16];
        loop {
            let mut length = 0_i64;
            self.check(call(buffer.len() as i64, &raw mut length, buffer.as_mut_ptr().cast()))?;
            // The length counts the zero byte at the end.
            let length = usize::try_from(length).unwrap_or(0);
            if length > buffer.len() {
                buffer.resize(length, 0);
                continue;
            }
            buffer.truncate(length.saturating_sub(1));
            return String::from_utf8(buffer).map_err(|_| "LightGBM: a text that is no UTF-8".to_owned());
        }
    }

    /// Makes the library's messages on this thread go to the log.
    fn listen(self) {
        // SAFETY: the function is there for ever and takes what the header says.
        unsafe { (self.0.LGBM_RegisterLogCallback)(log) };
    }

    /// Checks what a call returned; called right after it (invariant 6).
    fn check(self, returned: c_int) -> Result<(), String> {
        if returned == 0 {
            return Ok(());
        }
        // SAFETY: the text is this thread's and lasts until its next call.
        Err(format!("LightGBM: {}", unsafe { shared::copied((self.0.LGBM_GetLastError)()) }.trim()))
    }
}

extern "C" fn log(line: *const c_char) {
    // SAFETY: the library gives a text that lasts for this call.
    shared::log("lightgbm", &unsafe { shared::copied(line) });
}

/// A handle that is freed when it goes.
struct Owned {
    handle: Handle,
    free: unsafe extern "C" fn(Handle) -> c_int,
}

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: the handle is ours and is freed here alone (invariant 2).
        unsafe { (self.free)(self.handle) };
    }
}
