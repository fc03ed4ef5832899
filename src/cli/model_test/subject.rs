//! What is tested: a model file, or a version's folder with what lies beside the file.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::Value;

use crate::cli::model_file::ModelFile;
use crate::config::EngineChoice;
use crate::engine::{self, EngineKind, LoadOptions, Session};
use crate::format::{FORMATS, Format};
use crate::model::{LoadError, ModelName, Reason, Version};
use crate::registry::digest::Digest;
use crate::registry::layout;
use crate::registry::manifest::Manifest;
use crate::serving::checks::Finding;

/// Threads that the checks call a session from.
pub(super) const CALLERS: usize = 2;

/// An engine with its session of a graph that another one runs.
pub(super) type Witness = (EngineKind, Box<dyn Session>);

/// A model that was opened.
pub(super) struct Subject {
    pub(super) file: ModelFile,
    /// What it is, from its format, its operators and the engine that runs it.
    pub(super) model_type: String,
    /// Another engine that runs the same graph.
    pub(super) witness: Option<Witness>,
    pub(super) manifest: Option<Manifest>,
    pub(super) golden: Option<Vec<u8>>,
    /// What the manifest says of files and signature, where there is one.
    pub(super) manifest_finding: Option<Finding>,
}

// === impl Subject ===

impl Subject {
    /// Opens `path`.
    ///
    /// # Errors
    /// As published; a folder without a model is [`Reason::MissingFile`].
    pub(super) fn open(path: &Path, choice: EngineChoice) -> Result<Self, LoadError> {
        let (file_path, folder) =
            if path.is_dir() { (model_in(path)?, Some(path)) } else { (path.to_owned(), None) };
        // Engines are not trusted with a model's bytes.
        let opened = catch_unwind(AssertUnwindSafe(|| ModelFile::open(&file_path, choice, CALLERS)));
        let crashed = || Err(LoadError::new(Reason::Crashed, "the engine panicked while loading"));
        let file = opened.unwrap_or_else(|_| crashed())?;
        let (model_type, witness) = look_inside(&file_path, &file);
        let mut subject =
            Self { file, model_type, witness, manifest: None, golden: None, manifest_finding: None };
        if let Some(folder) = folder {
            subject.golden = fs::read(folder.join(layout::GOLDEN)).ok();
            if let Ok(bytes) = fs::read(folder.join(layout::MANIFEST)) {
                let started = Instant::now();
                let result = subject.read_manifest(&bytes, &file_path);
                subject.manifest_finding = Some(Finding::new("manifest", result, started));
            }
        }
        Ok(subject)
    }

    /// Reads the manifest, and holds the files and the graph against it.
    fn read_manifest(&mut self, bytes: &[u8], file: &Path) -> Result<String, String> {
        let text = |error: LoadError| error.detail;
        // The folder may be a copy, so the manifest itself says whose it is.
        let value: Value = serde_json::from_slice(bytes).unwrap_or_default();
        let name = ModelName::sanitized(value["model"].as_str().unwrap_or_default());
        let version = value["version"].as_u64().and_then(Version::new).unwrap_or(Version::FIRST);
        let manifest = self.manifest.insert(Manifest::parse(bytes, &name, version).map_err(text)?);
        let model = fs::read(file).map_err(|error| error.to_string())?;
        let file_name = file.file_name().unwrap_or_default().to_string_lossy();
        let files = [(&*file_name, Some(model.as_slice())), (layout::GOLDEN, self.golden.as_deref())];
        for (name, bytes) in files {
            match bytes {
                Some(bytes) => {
                    manifest.verify(name, bytes, &Digest::of(bytes, &mut || ())).map_err(text)?;
                }
                None if manifest.files.contains_key(name) => return Err(format!("{name} is not there")),
                None => {}
            }
        }
        manifest.check_signature(&self.file.signature).map_err(text)?;
        Ok(format!("digests and signature are those of {name}/{version}"))
    }

    /// The output with the predictions: the one that is named, else the manifest's, else the first.
    ///
    /// # Errors
    /// When there is no such output.
    pub(super) fn prediction(&self, named: Option<&str>) -> Result<usize, String> {
        let outputs = &self.file.signature.outputs;
        let name = named.or_else(|| self.manifest.as_ref().and_then(|m| m.prediction.as_deref()));
        let Some(name) = name else { return Ok(0) };
        outputs.iter().position(|spec| *spec.name == *name).ok_or_else(|| {
            let names: Vec<String> = outputs.iter().map(|spec| format!("`{}`", spec.name)).collect();
            format!("`{name}` is no output; there is {}", names.join(", "))
        })
    }
}

/// The model file in a version's folder.
fn model_in(folder: &Path) -> Result<PathBuf, LoadError> {
    let usual = FORMATS.map(|format| folder.join(format.file_name()));
    if let Some(model) = usual.into_iter().find(|path| path.is_file()) {
        return Ok(model);
    }
    let missing = |detail: String| LoadError::new(Reason::MissingFile, detail);
    let entries = fs::read_dir(folder).map_err(|error| missing(format!("{}: {error}", folder.display())))?;
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    let is_version = |path: &&PathBuf| {
        path.is_dir() && path.file_name().is_some_and(|n| n.to_string_lossy().parse::<Version>().is_ok())
    };
    if let Some(version) = paths.iter().rfind(is_version) {
        let detail =
            format!("{} holds versions; name one of them, such as {}", folder.display(), version.display());
        return Err(missing(detail));
    }
    let names = FORMATS.map(Format::file_name).join(", ");
    Err(missing(format!("{} holds none of {names}", folder.display())))
}

/// What kind of model it is, and another engine that runs it.
fn look_inside(path: &Path, file: &ModelFile) -> (String, Option<Witness>) {
    let engine = file.loaded.kind;
    let format = Format::of(path).map_or("model", Format::extension);
    let choices = [EngineChoice::Trees, EngineChoice::Ort, EngineChoice::Tract];
    let others = choices.into_iter().filter(|choice| choice.name() != engine.name());
    let witness = others.into_iter().find_map(|choice| {
        let load = || engine::load(&file.model, choice, &LoadOptions { workers: 1 });
        let loaded = catch_unwind(AssertUnwindSafe(load)).ok()?.ok()?;
        Some((loaded.kind, loaded.session))
    });
    (format!("{format} {} ({engine})", file.model.family()), witness)
}
