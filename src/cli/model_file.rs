//! A model file named on the command line, loaded as the gateway would load it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::config::EngineChoice;
use crate::engine::{self, LoadOptions, Loaded};
use crate::format::{FORMATS, Format, Model};
use crate::model::{LoadError, ModelName, Reason, Signature, Version};
use crate::registry::layout;
use crate::registry::manifest::Manifest;
use crate::registry::model_format;

/// A model file that was found, not yet read.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// The file itself.
    pub(crate) path: PathBuf,
    /// What it is.
    pub(crate) format: Format,
}

/// A model that can be run.
pub(crate) struct ModelFile {
    /// Inputs and outputs.
    pub(crate) signature: Signature,
    /// What was read.
    pub(crate) model: Model,
    /// Session, engine, and why that one.
    pub(crate) loaded: Loaded,
    /// Size of the file.
    pub(crate) bytes: usize,
    /// From the file's bytes to a session.
    pub(crate) load_time: Duration,
}

// === impl Found ===

impl Found {
    /// The file at `path`, or the model file of the version's folder there.
    ///
    /// # Errors
    /// [`Reason::MissingFile`] with what is there instead, [`Reason::Unsupported`] for another ending,
    /// [`Reason::Parse`] for a folder with several model files.
    pub(crate) fn at(path: &Path) -> Result<Self, LoadError> {
        let about = fs::metadata(path).map_err(|error| unreadable(path, &error))?;
        if about.is_dir() {
            return in_folder(path);
        }
        let format = Format::of(path).ok_or_else(|| {
            let detail = format!("{}: a model file ends in .onnx, .ubj, .json or .txt", path.display());
            LoadError::new(Reason::Unsupported, detail)
        })?;
        Ok(Self { path: path.to_owned(), format })
    }

    /// What the gateway calls a model of this file.
    pub(crate) fn name(&self) -> ModelName {
        ModelName::sanitized(&self.path.file_stem().unwrap_or_default().to_string_lossy())
    }

    /// The manifest beside it, if there is one.
    pub(crate) fn manifest(&self) -> Option<Result<Manifest, LoadError>> {
        fs::read(self.path.with_file_name(layout::MANIFEST)).ok().map(|bytes| Manifest::parse_any(&bytes))
    }
}

/// The model file in a version's folder.
fn in_folder(folder: &Path) -> Result<Found, LoadError> {
    let missing = |detail: String| LoadError::new(Reason::MissingFile, detail);
    let shown = folder.display();
    let entries = fs::read_dir(folder).map_err(|error| unreadable(folder, &error))?;
    let versions = entries.filter_map(|entry| {
        let path = entry.ok()?.path();
        path.file_name()?.to_str()?.parse::<Version>().ok().filter(|_| path.is_dir())
    });
    // Before any file: the model.json beside versions is the registry's, and no model of XGBoost.
    if let Some(version) = versions.max() {
        let example = folder.join(version.to_string());
        let detail = format!("{shown} holds versions; name one of them, such as {}", example.display());
        return Err(missing(detail));
    }
    // What is wrong with a manifest is said when the files are held against it.
    let manifest =
        fs::read(folder.join(layout::MANIFEST)).ok().and_then(|bytes| Manifest::parse_any(&bytes).ok());
    let there = |format: Format| Ok(folder.join(format.file_name()).is_file());
    let in_manifest = model_format(manifest.as_ref(), there)?;
    let format = match in_manifest {
        Some(format) => Some(format),
        None => model_format(None, there)?,
    };
    let Some(format) = format else {
        let names = FORMATS.map(Format::file_name).join(", ");
        return Err(missing(format!("{shown} holds none of {names}")));
    };
    Ok(Found { path: folder.join(format.file_name()), format })
}

fn unreadable(path: &Path, error: &std::io::Error) -> LoadError {
    LoadError::new(Reason::MissingFile, format!("{}: {error}", path.display()))
}

// === impl ModelFile ===

impl ModelFile {
    /// Reads a file and builds a session for `workers` calling threads.
    ///
    /// # Errors
    /// As published; a file that cannot be read is [`Reason::MissingFile`].
    pub(crate) fn open(found: &Found, choice: EngineChoice, workers: usize) -> Result<Self, LoadError> {
        let bytes = fs::read(&found.path).map_err(|error| unreadable(&found.path, &error))?;
        Self::load(found.format, bytes, choice, workers)
    }

    /// The same of bytes that are there already.
    ///
    /// # Errors
    /// As published.
    pub(crate) fn load(
        format: Format,
        bytes: Vec<u8>,
        choice: EngineChoice,
        workers: usize,
    ) -> Result<Self, LoadError> {
        let (size, start) = (bytes.len(), Instant::now());
        let model = Model::parse(format, bytes)?;
        let loaded = engine::load(&model, choice, &LoadOptions { workers })?;
        let load_time = start.elapsed();
        Ok(Self { signature: model.signature().clone(), model, loaded, bytes: size, load_time })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes empty files; the name of what is found in the folder, or why nothing is.
    fn found(files: &[&str], manifest: &str) -> Result<String, String> {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, manifest).unwrap();
        }
        let found = Found::at(dir.path()).map_err(|error| error.detail)?;
        Ok(found.path.file_name().unwrap().to_str().unwrap().to_owned())
    }

    #[test]
    fn a_folder_holds_one_model_or_says_what_it_holds() {
        let listing = r#"{"format":1,"model":"m","version":1,"files":{"model.txt":{"sha256":"","bytes":0}}}"#;
        for (files, manifest, outcome) in [
            (&["model.onnx"][..], "", Ok("model.onnx")),
            (&["model.json"], "", Ok("model.json")),
            (&["model.json", "1/model.onnx"], "", Err("holds versions; name one of them, such as ")),
            (&["2/model.onnx", "10/model.onnx", "model.onnx"], "", Err("/10")),
            (&["model.onnx", "model.ubj"], "", Err("model.onnx and model.ubj are both there; keep one")),
            (&["model.onnx", "model.txt", "manifest.json"], listing, Ok("model.txt")),
            (&["model.onnx", "manifest.json"], "{}", Ok("model.onnx")),
            (&["other.onnx"], "", Err("holds none of model.onnx, model.ubj, model.json, model.txt")),
        ] {
            match (found(files, manifest), outcome) {
                (Ok(found), Ok(wanted)) => assert_eq!(found, wanted),
                (Err(error), Err(part)) => assert!(error.contains(part), "{error}"),
                other => panic!("{files:?}: {other:?}"),
            }
        }
    }
}
