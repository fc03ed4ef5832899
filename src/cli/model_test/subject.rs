//! What is tested: a model file, or a version's folder with what lies beside the file.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Instant;

use crate::cli::model_file::{Found, ModelFile};
use crate::config::EngineChoice;
use crate::engine::{self, EngineKind, LoadOptions, Session};
use crate::format::Format;
use crate::model::{LoadError, Reason};
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
        let found = Found::at(path)?;
        // Engines are not trusted with a model's bytes.
        let opened = catch_unwind(AssertUnwindSafe(|| ModelFile::open(&found, choice, CALLERS)));
        let crashed = || Err(LoadError::new(Reason::Crashed, "the engine panicked while loading"));
        let mut subject = Self::of(found.format, opened.unwrap_or_else(|_| crashed())?);
        subject.witness = witness(&subject.file);
        // Of a file named by itself, what lies beside it is not meant.
        if path.is_dir() {
            subject.golden = fs::read(found.path.with_file_name(layout::GOLDEN)).ok();
            if let Some(manifest) = found.manifest() {
                let started = Instant::now();
                let result = subject.hold_against(manifest, &found);
                subject.manifest_finding = Some(Finding::new("manifest", result, started));
            }
        }
        Ok(subject)
    }

    /// A model that was loaded already, without another engine to hold it against.
    pub(super) fn of(format: Format, file: ModelFile) -> Self {
        let (engine, format) = (file.loaded.kind, format.extension());
        let model_type = format!("{format} {} ({engine})", file.model.family());
        Self { file, model_type, witness: None, manifest: None, golden: None, manifest_finding: None }
    }

    /// Holds the files and the graph against the manifest.
    fn hold_against(
        &mut self,
        manifest: Result<Manifest, LoadError>,
        found: &Found,
    ) -> Result<String, String> {
        let text = |error: LoadError| error.detail;
        let manifest = self.manifest.insert(manifest.map_err(text)?);
        let model = fs::read(&found.path).map_err(|error| error.to_string())?;
        let file_name = found.path.file_name().unwrap_or_default().to_string_lossy();
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
        Ok(format!("digests and signature are those of {}", manifest.owner()))
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

/// Another engine that runs the same graph.
fn witness(file: &ModelFile) -> Option<Witness> {
    let choices = [EngineChoice::Trees, EngineChoice::Ort, EngineChoice::Tract];
    let mut others = choices.into_iter().filter(|choice| choice.name() != file.loaded.kind.name());
    others.find_map(|choice| {
        let load = || engine::load(&file.model, choice, &LoadOptions { workers: 1 });
        let loaded = catch_unwind(AssertUnwindSafe(load)).ok()?.ok()?;
        Some((loaded.kind, loaded.session))
    })
}
