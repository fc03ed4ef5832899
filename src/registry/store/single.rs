//! A single file as the smallest registry. In a version's folder that was copied, as SageMaker lays it at /opt/ml/model, it is
//! that version: with its digests, the names of its columns and its examples.

use std::io;
use std::path::PathBuf;

use super::folder::{download, failure, read, stat};
use super::{Body, Condition, Fault, Read, Stat, Store, StoreError};
use crate::format::Format;
use crate::model::{ModelName, Version};
use crate::registry::manifest::Manifest;
use crate::registry::{MAX_JSON_BYTES, layout};

/// What of a version is read beside its model.
pub(super) const BESIDE: [&str; 3] = [layout::MANIFEST, layout::GOLDEN, layout::PROFILE];

/// One model file, seen as version 1 of a model.
pub struct SingleFile {
    name: ModelName,
    format: Format,
    path: PathBuf,
    /// Whether what is beside it belongs to it without a manifest that says so.
    alone: bool,
}

impl SingleFile {
    /// A store that holds `path` as version 1 of a model named after the file's stem; its ending says what it is. A manifest
    /// of ours beside a file that is called as in a version's folder is that version's, under this name and number.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let format = Format::of(&path).unwrap_or(Format::Onnx);
        Self { name: ModelName::sanitized(&stem), format, path, alone: false }
    }

    /// The model file of a folder that is a version's and nothing else, under another name.
    pub(super) const fn of_version(name: ModelName, format: Format, path: PathBuf) -> Self {
        Self { name, format, path, alone: true }
    }

    fn key(&self, file: &str) -> String {
        layout::file(&self.name, Version::FIRST, file)
    }

    /// The file of a key, if it is one of the version's, and its name there.
    fn part(&self, key: &str) -> Result<Option<(PathBuf, &'static str)>, StoreError> {
        if key == self.key(self.format.file_name()) {
            return Ok(Some((self.path.clone(), self.format.file_name())));
        }
        let Some(name) = BESIDE.into_iter().find(|name| key == self.key(name)) else { return Ok(None) };
        Ok(self.has_others()?.then(|| (self.path.with_file_name(name), name)))
    }

    fn has_others(&self) -> Result<bool, StoreError> {
        Ok(self.alone || self.manifest()?.is_some())
    }

    /// The manifest beside the file, where that is a version's folder.
    fn manifest(&self) -> Result<Option<Read>, StoreError> {
        let name = self.format.file_name();
        if self.path.file_name().is_none_or(|own| own != name) {
            return Ok(None);
        }
        let path = self.path.with_file_name(layout::MANIFEST);
        let Read::Object { bytes, token } = read(&path, layout::MANIFEST, MAX_JSON_BYTES, None)? else {
            return Ok(None);
        };
        let copied = Manifest::copied(bytes, name, &self.name, Version::FIRST);
        Ok(copied.map(|bytes| Read::Object { bytes, token }))
    }
}

impl Store for SingleFile {
    fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        Ok(vec![if prefix.is_empty() { self.name.to_string() } else { Version::FIRST.to_string() }])
    }

    fn keys(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let mut keys = vec![self.key(self.format.file_name())];
        if self.has_others()? {
            keys.extend(BESIDE.map(|name| self.key(name)));
        }
        keys.retain(|key| key.starts_with(prefix));
        Ok(keys)
    }

    fn stat(&self, key: &str) -> Result<Option<Stat>, StoreError> {
        self.part(key)?.map_or(Ok(None), |(path, _)| stat(&path, key))
    }

    fn read(&self, key: &str, max: u64, known: Option<&str>) -> Result<Read, StoreError> {
        match self.part(key)? {
            Some((path, layout::MANIFEST)) => {
                // Its size and whether it has changed are those of the file.
                let found = read(&path, key, max, known)?;
                Ok(if matches!(found, Read::Object { .. }) {
                    self.manifest()?.unwrap_or(Read::Absent)
                } else {
                    found
                })
            }
            Some((path, _)) => read(&path, key, max, known),
            None => Ok(Read::Absent),
        }
    }

    fn download(&self, key: &str, max: u64, sink: &mut dyn io::Write) -> Result<Option<Stat>, StoreError> {
        match self.part(key)? {
            Some((path, layout::MANIFEST)) => {
                let Some(Read::Object { bytes, .. }) = self.manifest()? else { return Ok(None) };
                sink.write_all(&bytes).map_err(|error| failure(key, error))?;
                stat(&path, key)
            }
            Some((path, _)) => download(&path, key, max, sink),
            None => Ok(None),
        }
    }

    fn write(&self, key: &str, _: Body<'_>, _: Condition<'_>) -> Result<String, StoreError> {
        Err(StoreError::new(
            key,
            Fault::Refused("one model file is no registry that could be written".into()),
        ))
    }

    fn delete(&self, key: &str) -> Result<(), StoreError> {
        Err(StoreError::new(
            key,
            Fault::Refused("one model file is no registry that could be written".into()),
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_single_file_is_version_one() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("my model.onnx");
        fs::write(&path, b"m").unwrap();
        let store = SingleFile::new(&path);
        assert_eq!(store.list("").unwrap(), ["my-model"]);
        assert_eq!(store.list("my-model").unwrap(), ["1"]);
        assert_eq!(store.keys("my-model").unwrap(), ["my-model/1/model.onnx"]);
        assert_eq!(store.read("my-model/1/model.onnx", 9, None).unwrap().bytes().unwrap(), b"m");
        assert_eq!(store.read("my-model/model.json", 9, None).unwrap(), Read::Absent);
        assert!(store.write("my-model/model.json", Body::Bytes(b"{}"), Condition::None).is_err());
        let store = SingleFile::new(root.path().join("m.json"));
        assert_eq!(store.keys("m").unwrap(), ["m/1/model.json"]);
        assert_eq!(store.read("m/model.json", 9, None).unwrap(), Read::Absent);
    }

    #[test]
    fn beside_its_manifest_it_is_that_version() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("model.onnx"), b"m").unwrap();
        let store = SingleFile::new(root.path().join("model.onnx"));
        let manifest = |text: &str| {
            fs::write(root.path().join("manifest.json"), text).unwrap();
            store.read("model/1/manifest.json", 1 << 20, None).unwrap().bytes()
        };
        let ours =
            r#"{"format":1,"model":"churn","version":7,"files":{"model.onnx":{"sha256":"aa","bytes":1}}}"#;
        let read =
            Manifest::parse(&manifest(ours).unwrap(), &"model".parse().unwrap(), Version::FIRST).unwrap();
        assert_eq!(read.files.len(), 1);
        assert_eq!(store.keys("model").unwrap().len(), 4);
        assert_eq!(store.stat("model/1/golden.json").unwrap(), None);
        fs::write(root.path().join("golden.json"), b"{}").unwrap();
        assert_eq!(store.read("model/1/golden.json", 9, None).unwrap().bytes().unwrap(), b"{}");
        // Another tool's is nobody's; one of ours that cannot be used is not passed over.
        assert_eq!(manifest(r#"{"name":"an app"}"#), None);
        assert_eq!(store.read("model/1/golden.json", 9, None).unwrap(), Read::Absent);
        for broken in ["{", r#"{"format":1,"model":"churn","version":7,"files":{}}"#] {
            assert_eq!(manifest(broken).unwrap(), broken.as_bytes());
        }
        // Beside a file of another name it is not known whose it is.
        fs::write(root.path().join("my.onnx"), b"m").unwrap();
        assert_eq!(SingleFile::new(root.path().join("my.onnx")).keys("my").unwrap(), ["my/1/model.onnx"]);
    }
}
