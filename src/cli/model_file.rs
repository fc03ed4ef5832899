//! A model file named on the command line, loaded as the gateway would load it.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::config::EngineChoice;
use crate::engine::{self, LoadOptions, Loaded};
use crate::format::{Format, Model};
use crate::model::{LoadError, Reason, Signature};

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

impl ModelFile {
    /// Reads a file and builds a session for `workers` calling threads.
    ///
    /// # Errors
    /// As published; a file that cannot be read is [`Reason::MissingFile`].
    pub(crate) fn open(path: &Path, choice: EngineChoice, workers: usize) -> Result<Self, LoadError> {
        let unreadable = |error| LoadError::new(Reason::MissingFile, format!("{}: {error}", path.display()));
        let unknown = || {
            let detail = format!("{}: a model file ends in .onnx, .ubj, .json or .txt", path.display());
            LoadError::new(Reason::Unsupported, detail)
        };
        let bytes = std::fs::read(path).map_err(unreadable)?;
        let (size, start) = (bytes.len(), Instant::now());
        let model = Model::parse(Format::of(path).ok_or_else(unknown)?, bytes)?;
        let loaded = engine::load(&model, choice, &LoadOptions { workers })?;
        let load_time = start.elapsed();
        Ok(Self { signature: model.signature().clone(), model, loaded, bytes: size, load_time })
    }
}
