//! XGBoost's C API, found at run time.
//!
//! Invariants of this module:
//! 1. The function table is of a library that is never unloaded, and has the signatures of `xgboost/c_api.h` as they
//!    are since 2.0.
//! 2. A handle that the C API returns is owned by exactly one Rust value, which frees it once. Handles of matrices
//!    are counted references: a booster may outlive the matrices that it was made with.
//! 3. What the C API returns as a pointer to memory of its own is copied before the next call on the same handle.
//! 4. Arrays are lent to the C API for the length of one call, or until the next callback (`matrix`).
//! 5. A callback never unwinds into C++.
//! 6. Errors are kept per thread: their text is read on the thread that made the call, right after it.

#![expect(unsafe_code, reason = "the library is reached through its C API alone")]

mod booster;
mod matrix;

use std::ffi::{c_char, c_int, c_void};
use std::path::Path;

pub use self::booster::{Booster, Evaluation};
pub use self::matrix::{Features, Matrix, Page, Pages};
use super::shared::{self, Shared, functions};

type Handle = *mut c_void;

functions! {
    struct Api {
        XGBoostVersion: fn(*mut c_int, *mut c_int, *mut c_int) -> ();
        XGBGetLastError: fn() -> *const c_char;
        XGBRegisterLogCallback: fn(extern "C" fn(*const c_char)) -> c_int;
        XGProxyDMatrixCreate: fn(*mut Handle) -> c_int;
        XGProxyDMatrixSetDataDense: fn(Handle, *const c_char) -> c_int;
        XGDMatrixSetInfoFromInterface: fn(Handle, *const c_char, *const c_char) -> c_int;
        XGDMatrixSetStrFeatureInfo: fn(Handle, *const c_char, *mut *const c_char, u64) -> c_int;
        XGQuantileDMatrixCreateFromCallback: fn(
            Handle, Handle, Handle, extern "C" fn(Handle), extern "C" fn(Handle) -> c_int, *const c_char, *mut Handle,
        ) -> c_int;
        XGDMatrixFree: fn(Handle) -> c_int;
        XGBoosterCreate: fn(*const Handle, u64, *mut Handle) -> c_int;
        XGBoosterSetParam: fn(Handle, *const c_char, *const c_char) -> c_int;
        XGBoosterUpdateOneIter: fn(Handle, c_int, Handle) -> c_int;
        XGBoosterEvalOneIter: fn(
            Handle, c_int, *mut Handle, *mut *const c_char, u64, *mut *const c_char,
        ) -> c_int;
        XGBoosterSlice: fn(Handle, c_int, c_int, c_int, *mut Handle) -> c_int;
        XGBoosterSaveModelToBuffer: fn(Handle, *const c_char, *mut u64, *mut *const u8) -> c_int;
        XGBoosterLoadModelFromBuffer: fn(Handle, *const u8, u64) -> c_int;
        XGBoosterPredictFromDense: fn(
            Handle, *const c_char, *const c_char, Handle, *mut *const u64, *mut u64, *mut *const f32,
        ) -> c_int;
        XGBoosterFree: fn(Handle) -> c_int;
    }
}

/// The loaded library.
#[derive(Clone, Copy)]
pub struct Library(&'static Api);

impl Library {
    /// Loads it for the rest of the process's life.
    ///
    /// # Errors
    /// When the file is no such library, lacks another one, or is older than 2.0.
    pub fn open(path: &Path) -> Result<Self, String> {
        let shared = Shared::open(path)?;
        // SAFETY: the signatures are those of the header (invariant 1); a library without one of them is refused.
        let library = Self(Box::leak(Box::new(unsafe { Api::load(&shared) }?)));
        match library.version() {
            (2.., ..) => Ok(library),
            (major, minor, _) => {
                Err(format!("{} is XGBoost {major}.{minor}; 2.0 or later is needed", path.display()))
            }
        }
    }

    /// Major, minor, patch.
    pub fn version(self) -> (i32, i32, i32) {
        let (mut major, mut minor, mut patch) = (0, 0, 0);
        // SAFETY: three places for integers, which the call fills in.
        unsafe { (self.0.XGBoostVersion)(&raw mut major, &raw mut minor, &raw mut patch) };
        (major, minor, patch)
    }

    /// Makes the library's messages on this thread go to the log.
    fn listen(self) {
        // SAFETY: the function is there for ever and takes what the header says.
        unsafe { (self.0.XGBRegisterLogCallback)(log) };
    }

    /// Checks what a call returned; called right after it (invariant 6).
    fn check(self, returned: c_int) -> Result<(), String> {
        if returned == 0 {
            return Ok(());
        }
        // SAFETY: the text is this thread's and lasts until its next call.
        let text = unsafe { shared::copied((self.0.XGBGetLastError)()) };
        Err(format!("XGBoost: {}", first_lines(&text)))
    }
}

extern "C" fn log(line: *const c_char) {
    // SAFETY: the library gives a text that lasts for this call.
    shared::log("xgboost", &unsafe { shared::copied(line) });
}

/// The message without the time and source file in front of it and the stack behind it.
fn first_lines(text: &str) -> &str {
    let text = text.split("\nStack trace").next().unwrap_or(text).trim();
    match text.split_once(".cc:").or_else(|| text.split_once(".h:")) {
        Some((_, rest)) => {
            rest.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start_matches([':', ' '])
        }
        None => text,
    }
}

/// A handle that is freed when it goes.
struct Owned {
    handle: Handle,
    free: unsafe extern "C" fn(Handle) -> c_int,
}

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: the handle is ours and is freed here alone (invariant 2). It cannot fail on a handle that is one.
        unsafe { (self.free)(self.handle) };
    }
}

/// Rows of float32 as the C API is told of them; the text holds an address and is good for as long as `values`.
fn interface(values: &[f32], width: Option<usize>) -> Result<std::ffi::CString, String> {
    let address = values.as_ptr().addr();
    let shape = match width {
        None => format!("{}", values.len()),
        Some(width) => format!("{},{width}", values.len().checked_div(width).unwrap_or(0)),
    };
    shared::text(&format!(r#"{{"data":[{address},true],"shape":[{shape}],"typestr":"<f4","version":3}}"#))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_loses_place_and_stack() {
        let text =
            "[08:01:02] /workspace/src/objective/x.cc:87: label must be in [0,1]\nStack trace:\n  [bt] (0)";
        assert_eq!(first_lines(text), "label must be in [0,1]");
        assert_eq!(first_lines("plain"), "plain");
    }

    #[test]
    fn an_array_is_told_by_address_and_shape() {
        let values = [1.0_f32; 6];
        let address = values.as_ptr().addr();
        let told = |width| interface(&values, width).unwrap().into_string().unwrap();
        assert_eq!(
            told(Some(3)),
            format!(r#"{{"data":[{address},true],"shape":[2,3],"typestr":"<f4","version":3}}"#)
        );
        assert!(told(None).contains(r#""shape":[6]"#));
    }
}
