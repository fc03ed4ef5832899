//! Where the learners' libraries may be.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// A library that is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Library {
    /// XGBoost.
    Xgboost,
    /// LightGBM.
    Lightgbm,
}

impl Library {
    const fn name(self) -> &'static str {
        match self {
            Self::Xgboost => "XGBoost",
            Self::Lightgbm => "LightGBM",
        }
    }

    /// The variable that names the library.
    pub(crate) const fn variable(self) -> &'static str {
        match self {
            Self::Xgboost => "SIDEGATE_XGBOOST",
            Self::Lightgbm => "SIDEGATE_LIGHTGBM",
        }
    }

    /// The library's name in any folder.
    pub(crate) const fn file(self) -> &'static str {
        match self {
            Self::Xgboost => "libxgboost.so",
            Self::Lightgbm => "lib_lightgbm.so",
        }
    }

    /// The Python package that brings the library, as pip knows it: of XGBoost the one without CUDA.
    pub(super) const fn distribution(self) -> &'static str {
        match self {
            Self::Xgboost => "xgboost-cpu",
            Self::Lightgbm => "lightgbm",
        }
    }

    /// The library's folder in a folder of Python packages.
    const fn package(self) -> &'static str {
        match self {
            Self::Xgboost => "xgboost/lib",
            Self::Lightgbm => "lightgbm/lib",
        }
    }
}

/// The first library that is there: the one that the configuration names, or the variable; else of `lib/` in the
/// working folder and beside the executable, an installed Python package, the system. `variable` reads the
/// environment. The package is looked for where `sidegate-train` itself was installed by pip, too.
///
/// # Errors
/// When a library that was named is not there, or none is; with the ways out.
pub(crate) fn find(
    learner: Library,
    configured: Option<&Path>,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<PathBuf, String> {
    let filled = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let way_out = format!(
        "pip install {}, or run learners.sh, of scripts/ or the tarball, which puts it into lib/, or train with \
         model.type = \"builtin\"",
        learner.distribution()
    );
    // A library that someone named and that is not there is a mistake to report, not to paper over.
    if let Some(named) = configured.map(Path::to_owned).or_else(|| filled(learner.variable())) {
        if named.is_file() {
            return Ok(named);
        }
        return Err(format!("{}: {} does not exist; {way_out}", learner.name(), named.display()));
    }
    let mut candidates = folders(learner, &filled).into_iter().map(|folder| folder.join(learner.file()));
    candidates
        .find(|candidate| candidate.is_file())
        .ok_or_else(|| format!("no {} library ({}) was found; {way_out}", learner.name(), learner.file()))
}

/// Where it may be, the likeliest place first.
pub(super) fn folders(learner: Library, filled: &dyn Fn(&str) -> Option<PathBuf>) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    folders.extend(std::env::current_dir().map(|folder| folder.join("lib")));
    if let Some(beside) = std::env::current_exe().ok().as_deref().and_then(Path::parent) {
        folders.extend([beside.join("lib"), beside.to_owned()]);
    }
    // Installed from a wheel, the executable is in a Python environment's bin/; that need not be activated, and another
    // one may be.
    let own = std::env::current_exe().ok().and_then(|file| Some(file.parent()?.parent()?.to_owned()));
    let prefixes = own.into_iter().chain(["VIRTUAL_ENV", "CONDA_PREFIX"].into_iter().filter_map(filled));
    let prefixes = prefixes.chain(filled("HOME").map(|home| home.join(".local")));
    for prefix in prefixes.chain(["/usr/local", "/usr"].map(PathBuf::from)) {
        // A package of conda keeps the library in the environment's own folder.
        folders.push(prefix.join("lib"));
        folders.extend(python_packages(&prefix).into_iter().map(|packages| packages.join(learner.package())));
    }
    folders.push(format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH).into());
    folders.extend(["/usr/local/lib64", "/usr/lib64"].map(PathBuf::from));
    folders
}

/// `PREFIX/lib/python3*/{site,dist}-packages`, the newest Python first.
fn python_packages(prefix: &Path) -> Vec<PathBuf> {
    let numbers = |text: &str| text.split('.').map_while(|part| part.parse::<u32>().ok()).collect::<Vec<_>>();
    let entries = std::fs::read_dir(prefix.join("lib")).into_iter().flatten().flatten();
    let mut pythons: Vec<_> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            Some((numbers(name.strip_prefix("python")?), entry.path()))
        })
        .collect();
    pythons.sort_by(|a, b| b.cmp(a));
    let packages = |python: PathBuf| ["site-packages", "dist-packages"].map(|kind| python.join(kind));
    pythons.into_iter().flat_map(|(_, python)| packages(python)).collect()
}
