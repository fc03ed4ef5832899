//! Which version a library is, asked before the `ort` crate touches it.

use std::ffi::{CStr, CString, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use ort::sys::OrtApiBase;

/// Loads the library and returns its version, if it offers the C API that we are built for.
///
/// The library then stays loaded: its code has run, and unloading C++ code safely is not for us to promise.
///
/// # Errors
/// A text that says what is wrong with the file, without naming it.
pub fn version(path: &Path) -> Result<String, String> {
    let path =
        CString::new(path.as_os_str().as_bytes()).map_err(|_| "its name holds a NUL byte".to_owned())?;
    // SAFETY: loading runs the library's initialisers. The operator names the file or keeps the searched
    // folders; the caller has checked that it is a shared library for this machine that exports the symbol.
    let library = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_LAZY | libc::RTLD_LOCAL) };
    if library.is_null() {
        return Err(format!("cannot be loaded: {}", last_error()));
    }
    // SAFETY: the handle is valid and never closed; the name ends in NUL.
    let symbol = unsafe { libc::dlsym(library, c"OrtGetApiBase".as_ptr()) };
    if symbol.is_null() {
        return Err("is no ONNX Runtime: it does not export `OrtGetApiBase`".to_owned());
    }
    // SAFETY: a library that exports this name has this function behind it; the type is that of the C header.
    let get =
        unsafe { std::mem::transmute::<*mut c_void, unsafe extern "C" fn() -> *const OrtApiBase>(symbol) };
    // SAFETY: the function takes nothing and returns a static or null.
    let Some(base) = (unsafe { get().as_ref() }) else {
        return Err("offers no C API".to_owned());
    };
    // SAFETY: both functions are plain reads of statics; the version is a NUL-terminated static string.
    let (version, api) = unsafe {
        (
            CStr::from_ptr((base.GetVersionString)()).to_string_lossy(),
            (base.GetApi)(ort::sys::ORT_API_VERSION),
        )
    };
    if api.is_null() {
        return Err(format!("is version {version}, which lacks the C API {}", ort::sys::ORT_API_VERSION));
    }
    Ok(version.into_owned())
}

fn last_error() -> String {
    // SAFETY: `dlerror` returns null or a string of this thread that lasts until the next call of its family.
    unsafe {
        let text = libc::dlerror();
        if text.is_null() {
            "no reason given".to_owned()
        } else {
            CStr::from_ptr(text).to_string_lossy().into_owned()
        }
    }
}
