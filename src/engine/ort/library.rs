//! Where ONNX Runtime's library may be, and whether a file is one that we can use.

use std::cmp::Reverse;
use std::fmt;
use std::path::{Path, PathBuf};

/// Releases from here on offer the C API that we are built for (`api-24` in Cargo.toml).
const OLDEST: (u32, u32) = (1, 24);

/// The way out that every message ends with.
const WAY_OUT: &str = "pip install onnxruntime, or run onnxruntime.sh, of scripts/ or the tarball, or name a library in \
                       `engine.onnxruntime`";

/// What the configuration knows about the library; the rest of the search needs no telling.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// `engine.onnxruntime`. A library named here is the only one tried.
    pub configured: Option<PathBuf>,
    /// `ORT_DYLIB_PATH`, the variable that the `ort` crate reads; tried alone as well.
    pub dylib_path: Option<PathBuf>,
    /// Python environments to look into before the system's: `VIRTUAL_ENV`, `CONDA_PREFIX`, `~/.local`.
    pub python_prefixes: Vec<PathBuf>,
}

/// A library that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Library {
    /// The file, absolute.
    pub path: PathBuf,
    /// Its version, `1.32.0`; unknown until loaded if the file does not say.
    pub version: Option<String>,
}

/// Why there is no library to use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unavailable {
    /// The file at fault; `None` when none was found.
    pub file: Option<PathBuf>,
    /// What is wrong with it.
    pub problem: String,
}

// === impl Unavailable ===

impl Unavailable {
    fn new(file: &Path, problem: impl Into<String>) -> Self {
        Self { file: Some(file.to_owned()), problem: problem.into() }
    }

    /// The message without the folder, for answers that leave the process.
    pub fn without_folder(&self) -> String {
        let name = self.file.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy());
        match name {
            Some(name) => format!("{name} {}; {WAY_OUT}", self.problem),
            None => format!("{}; {WAY_OUT}", self.problem),
        }
    }
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(file) => write!(f, "{} {}; {WAY_OUT}", file.display(), self.problem),
            None => write!(f, "{}; {WAY_OUT}", self.problem),
        }
    }
}

// === impl Search ===

impl Search {
    /// The first usable library, judged by the file alone.
    ///
    /// # Errors
    /// When a named library is missing, wrong or too old, or none is found; see [`Unavailable`].
    pub fn find(&self) -> Result<Library, Unavailable> {
        // A library that someone named and that does not work is a mistake to report, not to paper over.
        if let Some(named) = self.configured.as_ref().or(self.dylib_path.as_ref()) {
            return examine(named);
        }
        let mut rejected = None;
        for candidate in self.folders().iter().flat_map(|folder| libraries_in(folder)) {
            match examine(&candidate) {
                Ok(library) => return Ok(library),
                Err(error) => rejected = rejected.or(Some(error)),
            }
        }
        let nothing = Unavailable { file: None, problem: "no ONNX Runtime library was found".to_owned() };
        Err(rejected.unwrap_or(nothing))
    }

    fn folders(&self) -> Vec<PathBuf> {
        let mut folders = Vec::new();
        folders.extend(std::env::current_dir().map(|folder| folder.join("lib")));
        if let Some(beside) = std::env::current_exe().ok().as_deref().and_then(Path::parent) {
            folders.extend([beside.join("lib"), beside.to_owned()]);
        }
        // Installed from a wheel, the executable is in a Python environment's bin/; that need not be activated, and
        // another one may be.
        let own = std::env::current_exe().ok().and_then(|file| Some(file.parent()?.parent()?.to_owned()));
        let system = ["/usr/local", "/usr"].map(PathBuf::from);
        for prefix in own.iter().chain(&self.python_prefixes).chain(&system) {
            folders.extend(python_packages(prefix));
        }
        let triplet = format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH);
        folders.extend(
            ["/usr/local/lib", "/usr/local/lib64", &triplet, "/usr/lib64", "/usr/lib"].map(PathBuf::from),
        );
        folders
    }
}

/// `PREFIX/lib/python3*/{site,dist}-packages/onnxruntime/capi`, the newest Python first.
fn python_packages(prefix: &Path) -> Vec<PathBuf> {
    let mut pythons: Vec<_> = entries(&prefix.join("lib"))
        .filter_map(|(name, path)| Some((parse_numbers(name.strip_prefix("python")?), path)))
        .collect();
    pythons.sort_by(|a, b| b.cmp(a));
    let packages = |python: PathBuf| ["site-packages", "dist-packages"].map(|kind| python.join(kind));
    pythons.into_iter().flat_map(|(_, python)| packages(python)).map(|p| p.join("onnxruntime/capi")).collect()
}

/// Files in `folder` that are named like the library, the newest first, each real file once.
fn libraries_in(folder: &Path) -> Vec<PathBuf> {
    let named = |name: &str| {
        let rest = name.strip_prefix("libonnxruntime.")?;
        let rest = rest.strip_suffix("dylib").or_else(|| rest.strip_prefix("so"))?;
        Some(parse_numbers(rest.trim_matches('.')))
    };
    let mut found: Vec<_> = entries(folder)
        .filter_map(|(name, path)| Some((named(&name)?, std::fs::canonicalize(path).ok()?)))
        .collect();
    // `libonnxruntime.so` without numbers is the link that its keeper set: it decides.
    found.sort_by_key(|(numbers, _)| (!numbers.is_empty(), Reverse(numbers.clone())));
    let mut paths: Vec<PathBuf> = Vec::new();
    for (_, path) in found {
        if !paths.contains(&path) {
            paths.push(path);
        }
    }
    paths
}

fn entries(folder: &Path) -> impl Iterator<Item = (String, PathBuf)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())))
}

fn parse_numbers(text: &str) -> Vec<u32> {
    text.split('.').map_while(|part| part.parse().ok()).collect()
}

/// Checks one file without loading it.
fn examine(path: &Path) -> Result<Library, Unavailable> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    #[cfg(target_os = "linux")]
    let version = super::elf::version(&path).map_err(|problem| Unavailable::new(&path, problem))?;
    #[cfg(not(target_os = "linux"))]
    let version = if path.is_file() { None } else { return Err(Unavailable::new(&path, "does not exist")) };
    if let Some(version) = &version {
        check_version(version).map_err(|problem| Unavailable::new(&path, problem))?;
    }
    Ok(Library { path, version })
}

/// Loads the library's code and completes what is known about it.
pub(super) fn load(library: &Library) -> Result<Library, Unavailable> {
    let version = crate::native::ort::version(&library.path)
        .and_then(|version| check_version(&version).map(|()| version))
        .map_err(|problem| Unavailable::new(&library.path, problem))?;
    Ok(Library { path: library.path.clone(), version: Some(version) })
}

fn check_version(version: &str) -> Result<(), String> {
    let numbers = parse_numbers(version);
    let number = |at: usize| numbers.get(at).copied().unwrap_or_default();
    let (major, minor) = (number(0), number(1));
    if major == OLDEST.0 && minor >= OLDEST.1 {
        return Ok(());
    }
    let known = crate::model::shorten(version);
    Err(format!("is version {known}, but {}.{} or a later {}.x is needed", OLDEST.0, OLDEST.1, OLDEST.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_from_1_24_are_taken() {
        for good in ["1.24.0", "1.24.4", "1.32.0", "1.100"] {
            assert_eq!(check_version(good), Ok(()), "{good}");
        }
        for bad in ["1.23.9", "1.9", "0.99", "2.30.0", "", "abc"] {
            assert!(check_version(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_named_library_is_the_only_one_tried() {
        let search = Search { configured: Some("/nowhere/libonnxruntime.so".into()), ..Search::default() };
        let error = search.find().unwrap_err();
        assert_eq!(error.file.as_deref(), Some(Path::new("/nowhere/libonnxruntime.so")));
        assert!(
            error
                .to_string()
                .contains("/nowhere/libonnxruntime.so does not exist; pip install onnxruntime, or run")
        );
        assert!(error.without_folder().starts_with("libonnxruntime.so does not exist"));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn an_old_or_wrong_library_is_a_message_with_the_way_out() {
        let folder = tempfile::tempdir().unwrap();
        let check = |name: &str, content: &[u8], expected: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            let search = Search { dylib_path: Some(path.clone()), ..Search::default() };
            let error = search.find().unwrap_err();
            assert_eq!(error.to_string(), format!("{} {expected}; {WAY_OUT}", path.display()));
            assert_eq!(error.without_folder(), format!("{name} {expected}; {WAY_OUT}"));
        };
        let old = super::super::elf::fake("OrtGetApiBase", "1.22.1");
        check("old.so", &old, "is version 1.22.1, but 1.24 or a later 1.x is needed");
        check("text.so", &b"text ".repeat(50), "is not a shared library");
    }

    #[test]
    fn the_link_decides_then_the_newest() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["libonnxruntime.so.1.9.0", "libonnxruntime.so.1.32.0", "libonnxruntime.so.1.24.4"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        std::fs::write(folder.path().join("libonnxruntime_providers_shared.so"), "").unwrap();
        let names = || -> Vec<String> {
            let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
            libraries_in(folder.path()).iter().map(name).collect()
        };
        let newest = ["libonnxruntime.so.1.32.0", "libonnxruntime.so.1.24.4", "libonnxruntime.so.1.9.0"];
        assert_eq!(names(), newest);
        let link = folder.path().join("libonnxruntime.so");
        std::os::unix::fs::symlink("libonnxruntime.so.1.24.4", link).unwrap();
        assert_eq!(names(), [newest[1], newest[0], newest[2]]);
    }

    #[test]
    fn a_python_environment_is_searched() {
        let prefix = tempfile::tempdir().unwrap();
        for python in ["python3.9", "python3.13", "python3"] {
            std::fs::create_dir_all(prefix.path().join("lib").join(python)).unwrap();
        }
        let packages = python_packages(prefix.path());
        assert_eq!(packages[0], prefix.path().join("lib/python3.13/site-packages/onnxruntime/capi"));
        assert_eq!(packages.len(), 6);
    }
}
