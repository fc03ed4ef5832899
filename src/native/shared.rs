//! Shared libraries opened at run time, and tables of their functions.

#![expect(unsafe_code, reason = "libraries that are found at run time have no safe form")]

use std::ffi::{CStr, CString, c_char};
use std::path::{Path, PathBuf};

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_LOCAL, RTLD_NOW};

/// A table of C functions. Its field names are the symbols, so that none is spelled twice.
macro_rules! functions {
    (struct $table:ident { $($name:ident: fn($($argument:ty),* $(,)?) -> $result:ty;)* }) => {
        #[expect(non_snake_case, reason = "the names of the symbols")]
        struct $table { $($name: unsafe extern "C" fn($($argument),*) -> $result,)* }

        impl $table {
            /// # Safety
            /// The library must be the one whose header these signatures were taken from.
            unsafe fn load(library: &$crate::native::shared::Shared) -> Result<Self, String> {
                // SAFETY: each field has the type that the header gives the symbol of its name.
                Ok(unsafe { Self { $($name: library.symbol(stringify!($name))?,)* } })
            }
        }
    };
}
pub(super) use functions;

/// A library that stays loaded for the life of the process: OpenMP's threads never leave its code.
pub(super) struct Shared {
    library: &'static Library,
    path: PathBuf,
}

impl Shared {
    /// Opens a library, after the OpenMP runtimes that stand beside it.
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        for runtime in runtimes_beside(path) {
            // One that does not open is no harm yet: the library itself says what it lacks.
            drop(open(&runtime, RTLD_NOW | RTLD_GLOBAL));
        }
        let library = open(path, RTLD_NOW | RTLD_LOCAL).map_err(|problem| explain(path, &problem))?;
        Ok(Self { library, path: path.to_owned() })
    }

    /// A symbol as a function.
    ///
    /// # Safety
    /// `F` is the type of a C function, and that of the symbol with this name.
    pub(super) unsafe fn symbol<F: Copy>(&self, name: &str) -> Result<F, String> {
        // SAFETY: the caller vouches for the type; the library is never closed, so a copy of the pointer is good
        // for ever.
        let symbol = unsafe { self.library.get::<F>(name) };
        symbol.map(|symbol| *symbol).map_err(|_| {
            format!("{} has no function {name}: it is too old, or no such library", self.path.display())
        })
    }
}

fn open(path: &Path, flags: std::ffi::c_int) -> Result<&'static Library, String> {
    // SAFETY: opening runs what the library's makers want run then. The file is one that the operator named or
    // installed for this purpose; with an absolute path no other is found in its place.
    let library =
        unsafe { Library::open(Some(std::path::absolute(path).map_err(|e| e.to_string())?), flags) };
    library.map(|library| &*Box::leak(Box::new(library))).map_err(|error| {
        let source = std::error::Error::source(&error).map(ToString::to_string);
        source.unwrap_or_else(|| error.to_string())
    })
}

/// `libgomp*` in the library's folder. Wheels rename the copy they bring, and a library asks for the name that its
/// own wheel has, which the linker looks up among what is loaded already.
fn runtimes_beside(path: &Path) -> Vec<PathBuf> {
    let entries = path.parent().and_then(|folder| std::fs::read_dir(folder).ok());
    let named = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with("libgomp") && name.contains(".so") && !name.contains("plugin")
    };
    let mut found: Vec<_> = entries.into_iter().flatten().flatten().map(|e| e.path()).filter(named).collect();
    found.sort();
    found
}

fn explain(path: &Path, problem: &str) -> String {
    let way_out = if problem.contains("libgomp") {
        "; it needs GCC's OpenMP runtime: install the package libgomp1 (Debian, Ubuntu) or libgomp (Fedora, Red Hat), \
         or run learners.sh, of scripts/ or the tarball, which puts one beside it"
    } else {
        ""
    };
    let problem = problem.strip_prefix(&format!("{}: ", path.display())).unwrap_or(problem);
    format!("{} cannot be loaded: {problem}{way_out}", path.display())
}

/// A text for C.
pub(super) fn text(text: &str) -> Result<CString, String> {
    CString::new(text).map_err(|_| format!("`{}` holds a NUL byte", text.escape_default()))
}

/// Texts for C: the pointers are good for as long as this value.
pub(super) struct Texts {
    pointers: Vec<*const c_char>,
    _owned: Vec<CString>,
}

impl Texts {
    pub(super) fn new<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let owned: Vec<CString> = texts.into_iter().map(text).collect::<Result<_, _>>()?;
        // They lead into the heap, where the strings stay when this value moves.
        Ok(Self { pointers: owned.iter().map(|text| text.as_ptr()).collect(), _owned: owned })
    }

    pub(super) fn as_ptr(&self) -> *mut *const c_char {
        self.pointers.as_ptr().cast_mut()
    }

    pub(super) fn len(&self) -> usize {
        self.pointers.len()
    }
}

/// A text from C, copied.
///
/// # Safety
/// `pointer` is null, or leads to a text that ends in a zero byte and lasts for this call.
pub(super) unsafe fn copied(pointer: *const c_char) -> String {
    if pointer.is_null() {
        return String::new();
    }
    // SAFETY: as the caller says.
    unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned()
}

/// Takes a line that a library would print. It may come from within any call.
pub(super) fn log(library: &'static str, line: &str) {
    let line = line.trim();
    if line.is_empty() {
        return;
    }
    // Both put the level into the line, in brackets or capitals.
    if line.contains("[Warning]") || line.contains("WARNING") {
        tracing::warn!(library, "{line}");
    } else {
        tracing::debug!(library, "{line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_the_way_out() {
        let missing = Shared::open(Path::new("/nowhere/libxgboost.so")).err().unwrap();
        assert!(missing.starts_with("/nowhere/libxgboost.so cannot be loaded: cannot open"), "{missing}");
        let error = explain(Path::new("a.so"), "libgomp.so.1: cannot open shared object file");
        assert!(error.contains("libgomp1 (Debian, Ubuntu)") && error.contains("learners.sh"), "{error}");
    }

    #[test]
    fn runtimes_are_found_by_name() {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "libgomp.so.1",
            "libgomp-e985bcbb.so.1.0.0",
            "libxgboost.so",
            "gomp",
            "libgomp-plugin-nvptx.so.1",
        ] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let found = runtimes_beside(&folder.path().join("libxgboost.so"));
        let names: Vec<_> = found.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["libgomp-e985bcbb.so.1.0.0", "libgomp.so.1"]);
    }

    #[test]
    fn a_text_with_a_zero_byte_is_refused() {
        assert_eq!(text("a\0b").unwrap_err(), "`a\\u{0}b` holds a NUL byte");
        assert!(Texts::new(["a", "b\0"]).is_err());
    }
}
