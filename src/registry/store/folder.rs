//! A folder as a store (the embedded default), and a single file as the smallest registry.

use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use super::{Stat, Store, StoreError};
use crate::format::Format;
use crate::model::{ModelName, Version};
use crate::registry::layout;

/// A file not written for this long is complete; a younger one has to look the same twice.
const SETTLED: Duration = Duration::from_secs(2);

/// A folder in the registry's layout.
pub struct Folder {
    root: PathBuf,
}

/// One model file, seen as version 1 of a model.
pub struct SingleFile {
    name: ModelName,
    format: Format,
    path: PathBuf,
}

impl Folder {
    /// A store on `root`, which need not exist yet.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }
}

impl Store for Folder {
    fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let entries = match fs::read_dir(self.root.join(prefix)) {
            Ok(entries) => entries,
            Err(e) if e.kind() == ErrorKind::NotFound && !prefix.is_empty() => return Ok(Vec::new()),
            Err(error) => return Err(failure(prefix, error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|e| failure(prefix, e))?;
            // Links are followed (mounted config maps are made of them); plain files beside models are not models.
            if entry.path().is_dir() {
                names.extend(entry.file_name().into_string());
            }
        }
        Ok(names)
    }

    fn stat(&self, key: &str) -> Result<Option<Stat>, StoreError> {
        stat(&self.root.join(key), key)
    }

    fn read(&self, key: &str, max: u64) -> Result<Option<Vec<u8>>, StoreError> {
        read(&self.root.join(key), key, max)
    }
}

impl SingleFile {
    /// A store that holds `path` as version 1 of a model named after the file's stem; its ending says what it is.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let format = Format::of(&path).unwrap_or(Format::Onnx);
        Self { name: ModelName::sanitized(&stem), format, path }
    }

    fn is_model(&self, key: &str) -> bool {
        key == layout::model_file(&self.name, Version::FIRST, self.format)
    }
}

impl Store for SingleFile {
    fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        Ok(vec![if prefix.is_empty() { self.name.to_string() } else { Version::FIRST.to_string() }])
    }

    fn stat(&self, key: &str) -> Result<Option<Stat>, StoreError> {
        if self.is_model(key) { stat(&self.path, key) } else { Ok(None) }
    }

    fn read(&self, key: &str, max: u64) -> Result<Option<Vec<u8>>, StoreError> {
        if self.is_model(key) { read(&self.path, key, max) } else { Ok(None) }
    }
}

fn failure(key: &str, error: io::Error) -> StoreError {
    StoreError::Io { key: if key.is_empty() { "the registry".into() } else { key.into() }, error }
}

/// Metadata of a regular file: a FIFO or a device would block the reader.
fn metadata(path: &Path, key: &str) -> Result<Option<Metadata>, StoreError> {
    match fs::metadata(path) {
        Ok(meta) if meta.is_file() => Ok(Some(meta)),
        Ok(_) => Ok(None),
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(failure(key, error)),
    }
}

fn stat(path: &Path, key: &str) -> Result<Option<Stat>, StoreError> {
    Ok(metadata(path, key)?.map(|meta| {
        let modified = meta.modified().ok();
        let token = modified.and_then(|t| t.duration_since(UNIX_EPOCH).ok()).map_or(0, |d| d.as_nanos());
        let age = modified.and_then(|t| t.elapsed().ok());
        Stat { bytes: meta.len(), token: token.to_string(), settled: age.is_some_and(|age| age >= SETTLED) }
    }))
}

fn read(path: &Path, key: &str, max: u64) -> Result<Option<Vec<u8>>, StoreError> {
    let Some(meta) = metadata(path, key)? else { return Ok(None) };
    let too_large = |bytes| StoreError::TooLarge { key: key.into(), bytes, max };
    if meta.len() > max {
        return Err(too_large(meta.len()));
    }
    let mut bytes = Vec::with_capacity(meta.len() as usize);
    let file = File::open(path).map_err(|e| failure(key, e))?;
    // The file may grow while it is read; the cap holds all the same.
    file.take(max + 1).read_to_end(&mut bytes).map_err(|e| failure(key, e))?;
    if bytes.len() as u64 > max { Err(too_large(bytes.len() as u64)) } else { Ok(Some(bytes)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_passes_the_suite() {
        let root = tempfile::tempdir().unwrap();
        let put = |key: &str, bytes: &[u8]| {
            let path = root.path().join(key);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        };
        super::super::suite(&Folder::new(root.path()), &put);
    }

    #[test]
    fn a_missing_folder_is_an_error_and_no_panic() {
        assert!(Folder::new("does/not/exist").list("").is_err());
    }

    #[test]
    fn a_single_file_is_version_one() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("my model.onnx");
        fs::write(&path, b"m").unwrap();
        let store = SingleFile::new(&path);
        assert_eq!(store.list("").unwrap(), ["my-model"]);
        assert_eq!(store.list("my-model").unwrap(), ["1"]);
        assert_eq!(store.read("my-model/1/model.onnx", 9).unwrap().unwrap(), b"m");
        assert_eq!(store.read("my-model/model.json", 9).unwrap(), None);
        let store = SingleFile::new(root.path().join("m.json"));
        assert!(store.is_model("m/1/model.json") && !store.is_model("m/model.json"));
    }
}
