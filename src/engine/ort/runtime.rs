//! The one ONNX Runtime of this process: loaded when the first session needs it, never before, never twice.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use ::ort::environment::Environment;

use super::library::{self, Library, Search, Unavailable};

/// The loaded library and its environment, of which a process may have one.
pub(super) struct Runtime {
    pub(super) environment: Environment,
    library: Library,
}

static RUNTIME: OnceLock<Runtime> = OnceLock::new();
/// Locked for as long as loading takes, so that there is one attempt at a time.
static ATTEMPT: Mutex<()> = Mutex::new(());
static SEARCH: Mutex<Option<Search>> = Mutex::new(None);
static LAST_FAILURE: Mutex<Option<Unavailable>> = Mutex::new(None);

/// Says where to look for the library. Without effect once it is loaded, since it cannot be replaced.
pub fn configure(search: Search) {
    *lock(&SEARCH) = Some(search);
}

/// The library that is loaded; `None` while no model needed it.
pub fn loaded() -> Option<&'static Library> {
    RUNTIME.get().map(|runtime| &runtime.library)
}

/// The library that is or would be loaded, by looking at files only.
///
/// # Errors
/// See [`Search::find`].
pub fn find() -> Result<Library, Unavailable> {
    match loaded() {
        Some(library) => Ok(library.clone()),
        None => search().find(),
    }
}

/// Path and version of the loaded library, or why the last attempt failed; `None` if there was none.
pub fn status() -> Option<Result<(String, String), String>> {
    if let Some(library) = loaded() {
        let version = library.version.clone().unwrap_or_default();
        return Some(Ok((library.path.display().to_string(), version)));
    }
    lock(&LAST_FAILURE).as_ref().map(|failure| Err(failure.to_string()))
}

/// Loads the library before a model needs it. What stands against it is in [`status`].
pub fn bring() {
    drop(initialise());
}

/// Loads the library unless that is done. A failure does not last: the file may be put there later.
///
/// # Errors
/// When there is no usable library; see [`Unavailable`].
pub(super) fn initialise() -> Result<&'static Runtime, Unavailable> {
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    let _attempt = lock(&ATTEMPT);
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    match open(&search()) {
        Ok(fresh) => Ok(RUNTIME.get_or_init(|| fresh)),
        Err(failure) => {
            // Every model of a process without the library comes by here; one line is enough.
            if lock(&LAST_FAILURE).replace(failure.clone()).as_ref() != Some(&failure) {
                tracing::warn!(error = %failure, "ONNX Runtime is not available");
            }
            Err(failure)
        }
    }
}

fn search() -> Search {
    lock(&SEARCH).clone().unwrap_or_default()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn open(search: &Search) -> Result<Runtime, Unavailable> {
    let found = search.find()?;
    // The library reads the variable when it starts, and some releases start a thread that reports home.
    if !crate::native::telemetry_is_off() {
        let problem = "is not loaded, because its telemetry was not switched off at start".to_owned();
        return Err(Unavailable { file: Some(found.path), problem });
    }
    let library = library::load(&found)?;
    let build = || -> Result<Environment, String> {
        let builder = ::ort::init_from(&library.path).map_err(|error| error.to_string())?;
        let builder = builder.with_name("sidegate").with_telemetry(false);
        builder.build().map_err(|error| error.message().to_owned())
    };
    // `ort` asserts what our probe has checked; a panic there must not take the process along.
    let environment =
        catch_unwind(AssertUnwindSafe(build)).unwrap_or_else(|_| Err("start failed".to_owned()));
    match environment {
        Ok(environment) => {
            let version = library.version.as_deref().unwrap_or_default();
            tracing::info!(path = %library.path.display(), version, "ONNX Runtime loaded");
            Ok(Runtime { environment, library })
        }
        Err(error) => {
            Err(Unavailable { file: Some(library.path), problem: format!("does not start: {error}") })
        }
    }
}
