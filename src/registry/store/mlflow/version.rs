//! A version: which of its artifacts is the model, and what lies beside it.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use super::flavor::{self, ModelFile};
use super::place::Place;
use super::{Buckets, Fault, Stat, StoreError, fault, give, token};
use crate::format::{FORMATS, Format};
use crate::mlflow::Server;
use crate::mlflow::types::DownloadUri;
use crate::model::{ModelName, Version};
use crate::registry::manifest::Manifest;
use crate::registry::{MAX_JSON_BYTES, layout};

/// Largest `MLmodel` that is read.
const MAX_MLMODEL_BYTES: u64 = 4 << 20;
/// Files that a message names at most.
const NAMED: usize = 5;

/// A version whose files are known.
pub(super) struct Located {
    place: Place,
    model: ModelFile,
    /// What lies beside the model's file: the name here, and the path there.
    beside: BTreeMap<&'static str, String>,
    uri: String,
}

// === impl Located ===

impl Located {
    /// Looks for the files of a version; `None` where there is no such version.
    ///
    /// # Errors
    /// [`Fault::Missing`] when none of them is a model that can be served.
    pub(super) fn find(
        server: &Server,
        buckets: &Buckets,
        model: &ModelName,
        version: Version,
    ) -> Result<Option<Self>, StoreError> {
        let number = version.to_string();
        let query = [("name", model.as_str()), ("version", number.as_str())];
        let uri = match server.get::<DownloadUri>("model-versions/get-download-uri", &query) {
            Ok(DownloadUri { artifact_uri }) => artifact_uri,
            Err(problem) if problem.is_absent() => return Ok(None),
            Err(problem) => return Err(fault(&layout::version(model, version), problem)),
        };
        let (uri, only) = single(&uri);
        let place = Place::of(uri, buckets, model.as_str(), &number)?;
        let files = place.files(server)?;
        let missing =
            |words: String| StoreError::new(&layout::version(model, version), Fault::Missing(words));
        let found = match only {
            Some(name) => ModelFile { path: name.to_owned(), format: format(name).unwrap_or(Format::Onnx) },
            None => choose(&place, server, files.as_deref())?.map_err(missing)?,
        };
        let folder = found.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut beside = BTreeMap::new();
        for name in [layout::MANIFEST, layout::GOLDEN, layout::PROFILE] {
            let path = if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
            let there = match &files {
                Some(files) => files.contains(&path),
                None => place.stat(server, &path)?.is_some(),
            };
            beside.extend(there.then_some((name, path)));
        }
        Ok(Some(Self { place, model: found, beside, uri: uri.to_owned() }))
    }

    /// The names of its files.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.beside.keys().copied().chain([self.model.format.file_name()])
    }

    /// The path of a file of this name.
    fn path(&self, name: &str) -> Option<&str> {
        if name == self.model.format.file_name() {
            return Some(&self.model.path);
        }
        self.beside.get(name).map(String::as_str)
    }

    /// Size and token of a file.
    pub(super) fn stat(
        &self,
        server: &Server,
        of: (&ModelName, Version),
        name: &str,
    ) -> Result<Option<Stat>, StoreError> {
        if name == layout::MANIFEST {
            let manifest = self.manifest(server, of)?;
            return Ok(manifest.map(|bytes| self.stat_of(name, bytes.len() as u64)));
        }
        let Some(path) = self.path(name) else { return Ok(None) };
        Ok(self.place.stat(server, path)?.map(|stat| self.stat_of(name, stat.bytes)))
    }

    /// What a version holds is settled when it is made, so its address and its size are all there is to compare.
    fn stat_of(&self, name: &str, bytes: u64) -> Stat {
        Stat { bytes, token: token(format!("{}\n{name}\n{bytes}", self.uri).as_bytes()), settled: true }
    }

    /// Writes a file into `sink`.
    pub(super) fn download(
        &self,
        server: &Server,
        of: (&ModelName, Version),
        name: &str,
        max: u64,
        sink: &mut dyn io::Write,
    ) -> Result<Option<Stat>, StoreError> {
        if name == layout::MANIFEST {
            let Some(bytes) = self.manifest(server, of)? else { return Ok(None) };
            give(name, &bytes, max, sink)?;
            return Ok(Some(self.stat_of(name, bytes.len() as u64)));
        }
        let Some(path) = self.path(name) else { return Ok(None) };
        Ok(self.place.download(server, path, max, sink)?.map(|bytes| self.stat_of(name, bytes)))
    }

    /// The manifest that a registry of ours wrote, with the name and the number that the version has in MLflow; `None`
    /// where there is none, or another tool's. One of ours that cannot be used is handed on as it is, for the loader to
    /// refuse: what came with digests is not served without them.
    fn manifest(
        &self,
        server: &Server,
        (model, version): (&ModelName, Version),
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(path) = self.path(layout::MANIFEST) else { return Ok(None) };
        let Some(bytes) = self.place.read(server, path, MAX_JSON_BYTES)? else {
            // It was listed.
            return Err(StoreError::new(path, Fault::Changed));
        };
        let (path, file) = (&self.model.path, self.model.format.file_name());
        // One of ours is of files that are called so, and is no use to others.
        let file = if path.rsplit('/').next() == Some(file) { file } else { "" };
        Ok(Manifest::copied(bytes, file, model, version))
    }
}

fn format(path: &str) -> Option<Format> {
    Format::of(Path::new(path))
}

/// An address of one file is its folder and its name.
fn single(uri: &str) -> (&str, Option<&str>) {
    match uri.rsplit_once('/') {
        Some((folder, name)) if format(name).is_some() => (folder, Some(name)),
        _ => (uri, None),
    }
}

/// The model among a version's files: what a flavor names, else a file with a name of ours, else the only one that can
/// be a model. An inner error says why there is none.
fn choose(
    place: &Place,
    server: &Server,
    files: Option<&[String]>,
) -> Result<Result<ModelFile, String>, StoreError> {
    let own = |format: Format| ModelFile { path: format.file_name().to_owned(), format };
    let there = |path: &str| match files {
        Some(files) => Ok(files.iter().any(|file| file == path)),
        None => Ok(place.stat(server, path)?.is_some()),
    };
    let mut flavors = Vec::new();
    if there(flavor::FILE)? {
        let text = place.read(server, flavor::FILE, MAX_MLMODEL_BYTES)?.unwrap_or_default();
        match flavor::model_file(&String::from_utf8_lossy(&text)) {
            Ok(found) => return Ok(Ok(found)),
            Err(names) => flavors = names,
        }
    }
    for format in FORMATS {
        if there(format.file_name())? {
            return Ok(Ok(own(format)));
        }
    }
    let mut candidates = files.unwrap_or_default().iter().filter_map(|file| {
        // Of JSON and text there are many kinds; such a file is a model by its name alone.
        let format = format(file).filter(|format| matches!(format, Format::Onnx | Format::XgboostUbj))?;
        Some(ModelFile { path: file.clone(), format })
    });
    if let (Some(only), None) = (candidates.next(), candidates.next()) {
        return Ok(Ok(only));
    }
    Ok(Err(refusal(&flavors, files.unwrap_or_default())))
}

fn refusal(flavors: &[String], files: &[String]) -> String {
    let mut named: Vec<&str> = files.iter().take(NAMED).map(String::as_str).collect();
    if files.len() > NAMED {
        named.push("…");
    }
    let has = match (flavors, &named[..]) {
        ([], []) => "no model.onnx, model.ubj, model.json or model.txt".to_owned(),
        ([], files) => format!("no model file, or several: {}", files.join(", ")),
        (flavors, _) => format!("the flavors {}", flavors.join(", ")),
    };
    format!(
        "its artifacts in MLflow have {has}; log it with mlflow.onnx, mlflow.xgboost or mlflow.lightgbm (a Booster)"
    )
}
