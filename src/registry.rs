//! The registry: which models and versions exist, and their verified bytes.
//!
//! A [`Store`] is dumb storage; [`layout`] alone spells its keys; [`index`] and [`manifest`] are the stored formats.
//! Reading needs no more than `GET`, `HEAD` and a list without change tokens, so that every object store fits.

pub mod audit;
pub mod clock;
pub mod digest;
pub mod format;
pub mod hint;
pub mod index;
pub mod layout;
pub mod manifest;
pub mod operations;
pub mod signature;
pub mod store;
pub mod writer;

use std::collections::BTreeMap;

use crate::format::{FORMATS, Format};
use crate::model::{LoadError, ModelName, Reason, Stage, Version};
use digest::Digest;
use index::Index;
use manifest::Manifest;
use store::{Fault, Stat, Store, StoreError};

/// Largest `model.json`, manifest or golden file that is read, in bytes.
const MAX_JSON_BYTES: u64 = 16 << 20;
/// Largest model file that is read, in bytes.
const MAX_MODEL_BYTES: u64 = 2 << 30;

/// Reading half of a registry.
pub struct Registry {
    store: Box<dyn Store>,
}

/// What a model's folder offers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalog {
    /// By version, ascending.
    pub versions: Vec<Listed>,
    /// Movable names.
    pub aliases: BTreeMap<String, Version>,
    /// Whether a `model.json` decides (else every complete version counts).
    pub managed: bool,
}

/// One version as listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its number.
    pub version: Version,
    /// Its stage; `None` in a bare repository.
    pub stage: Stage,
    /// When it was registered, RFC 3339.
    pub created: Option<String>,
    /// Digest of its manifest, where `model.json` names one.
    pub manifest: Option<Digest>,
    /// Changes when the version's files change.
    pub token: String,
    /// Whether the files are known to be complete; else the token has to be equal on two looks.
    pub settled: bool,
}

/// The verified bytes of one version.
pub struct Artefact {
    /// What the model file is.
    pub format: Format,
    /// The model file.
    pub model: Vec<u8>,
    /// Digest of the model file.
    pub digest: Digest,
    /// Golden examples, if the version has any.
    pub golden: Option<Vec<u8>>,
    /// The manifest, unless the repository is bare.
    pub manifest: Option<Manifest>,
}

// === impl Registry ===

impl Registry {
    /// A registry on `store`.
    pub fn new(store: Box<dyn Store>) -> Self {
        Self { store }
    }

    /// The models that have a folder, in order; names that no model can have are left out.
    ///
    /// # Errors
    /// When the store cannot be listed.
    pub fn models(&self) -> Result<Vec<ModelName>, StoreError> {
        let mut names: Vec<ModelName> =
            self.store.list("")?.iter().filter_map(|name| name.parse().ok()).collect();
        names.sort();
        Ok(names)
    }

    /// What `model` offers now.
    ///
    /// # Errors
    /// [`Reason::Parse`] for a `model.json` that cannot be used, [`Reason::MissingFile`] when the store fails.
    pub fn catalog(&self, model: &ModelName) -> Result<Catalog, LoadError> {
        match self.read(&layout::index(model), MAX_JSON_BYTES)? {
            Some(bytes) => {
                let index = Index::parse(&bytes)?;
                if index.model != model.as_str() {
                    let detail = format!("model.json is that of `{}`, not of `{model}`", index.model);
                    return Err(LoadError::new(Reason::Parse, detail));
                }
                index.catalog()
            }
            None => self.bare_catalog(model),
        }
    }

    /// Versions without a `model.json`: every numbered folder that holds a model file.
    fn bare_catalog(&self, model: &ModelName) -> Result<Catalog, LoadError> {
        let mut catalog = Catalog::default();
        for name in self.store.list(&layout::model(model)).map_err(unreachable)? {
            let Ok(version) = name.parse::<Version>() else { continue };
            let stat = |file| self.store.stat(&layout::file(model, version, file)).map_err(unreachable);
            let models = FORMATS.map(|format| stat(format.file_name()));
            let models = models.into_iter().collect::<Result<Vec<_>, _>>()?;
            if models.iter().all(Option::is_none) {
                continue;
            }
            // A manifest or examples that come or change later are a reason to look at the version again.
            let (mut token, mut settled) = (String::new(), true);
            let others = [stat(layout::MANIFEST)?, stat(layout::GOLDEN)?];
            for stat in models.into_iter().chain(others) {
                token.push_str(&stat.as_ref().map_or("-;".into(), |s| format!("{}:{};", s.bytes, s.token)));
                settled &= stat.is_none_or(|s| s.settled);
            }
            catalog.versions.push(Listed {
                version,
                stage: Stage::None,
                created: None,
                manifest: None,
                token,
                settled,
            });
        }
        catalog.versions.sort_by_key(|listed| listed.version);
        Ok(catalog)
    }

    /// Size of a version's model file, so that the caller can say no before it is read; 0 when it is not there, of
    /// which [`Registry::fetch`] has more to say.
    ///
    /// # Errors
    /// [`Reason::MissingFile`] when the store fails, [`Reason::TooLarge`] beyond the cap.
    pub fn model_bytes(&self, model: &ModelName, version: Version) -> Result<u64, LoadError> {
        let manifest = self.read(&layout::file(model, version, layout::MANIFEST), MAX_JSON_BYTES)?;
        let manifest = manifest.and_then(|bytes| Manifest::parse(&bytes, model, version).ok());
        // What is wrong with the manifest, and which file is meant where there are several, is for fetch to say.
        let listed = |format: &Format| {
            manifest.as_ref().is_none_or(|manifest| manifest.files.contains_key(format.file_name()))
        };
        let mut most = 0;
        for format in FORMATS.into_iter().filter(listed) {
            let key = layout::model_file(model, version, format);
            match self.store.stat(&key).map_err(unreachable)? {
                Some(Stat { bytes, .. }) if bytes > MAX_MODEL_BYTES => {
                    let fault = Fault::TooLarge { bytes, max: MAX_MODEL_BYTES };
                    return Err(unreachable(StoreError::new(&key, fault)));
                }
                stat => most = most.max(stat.map_or(0, |stat| stat.bytes)),
            }
        }
        Ok(most)
    }

    /// Reads and verifies a version whose model file has at most `model_bytes`. `pace` is called between slices of
    /// work so that the caller can yield.
    ///
    /// # Errors
    /// The reason, as published.
    pub fn fetch(
        &self,
        model: &ModelName,
        listed: &Listed,
        model_bytes: u64,
        pace: &mut dyn FnMut(),
    ) -> Result<Artefact, LoadError> {
        let version = listed.version;
        let manifest = match self.read(&layout::file(model, version, layout::MANIFEST), MAX_JSON_BYTES)? {
            Some(bytes) => {
                if listed.manifest.as_ref().is_some_and(|want| *want != Digest::of(&bytes, &mut || ())) {
                    return Err(LoadError::new(
                        Reason::BadDigest,
                        "manifest.json is not the one model.json names",
                    ));
                }
                Some(Manifest::parse(&bytes, model, version)?)
            }
            None if listed.manifest.is_some() => {
                return Err(missing(layout::MANIFEST));
            }
            None => None,
        };
        let format = self.format(model, version, manifest.as_ref())?;
        let file =
            |name: &str, max: u64, pace: &mut dyn FnMut()| -> Result<Option<(Vec<u8>, Digest)>, LoadError> {
                let key = layout::file(model, version, name);
                let Some(bytes) = self.read(&key, max)? else { return Ok(None) };
                pace();
                let digest = Digest::of(&bytes, pace);
                if let Some(manifest) = &manifest {
                    manifest.verify(name, &bytes, &digest)?;
                }
                Ok(Some((bytes, digest)))
            };
        let name = format.file_name();
        let read = file(name, model_bytes, pace).map_err(|error| match error.code {
            Reason::TooLarge => LoadError::new(Reason::BadDigest, format!("{name} grew while it was read")),
            _ => error,
        });
        let Some((bytes, digest)) = read? else {
            return Err(missing(name));
        };
        let golden = file(layout::GOLDEN, MAX_JSON_BYTES, pace)?.map(|(bytes, _)| bytes);
        if golden.is_none() && manifest.as_ref().is_some_and(|m| m.files.contains_key(layout::GOLDEN)) {
            return Err(missing(layout::GOLDEN));
        }
        Ok(Artefact { format, model: bytes, digest, golden, manifest })
    }

    /// What a version's model file is, by the rule of [`model_format`].
    fn format(
        &self,
        model: &ModelName,
        version: Version,
        manifest: Option<&Manifest>,
    ) -> Result<Format, LoadError> {
        let there = |format| {
            let key = layout::model_file(model, version, format);
            Ok(self.store.stat(&key).map_err(unreachable)?.is_some())
        };
        // A manifest that lists none is told so when the file is verified.
        Ok(model_format(manifest, there)?.unwrap_or(Format::Onnx))
    }

    fn read(&self, key: &str, max: u64) -> Result<Option<Vec<u8>>, LoadError> {
        Ok(self.store.read(key, max, None).map_err(unreachable)?.bytes())
    }
}

/// What a version's model file is: the one that its manifest lists, else the only one that is there; `None` where
/// there is none.
///
/// # Errors
/// [`Reason::Parse`] for several, and what `there` fails with.
pub fn model_format(
    manifest: Option<&Manifest>,
    mut there: impl FnMut(Format) -> Result<bool, LoadError>,
) -> Result<Option<Format>, LoadError> {
    let mut found = Vec::new();
    for format in FORMATS {
        let counts = match manifest {
            Some(manifest) => manifest.files.contains_key(format.file_name()),
            None => there(format)?,
        };
        found.extend(counts.then_some(format));
    }
    let [one, other, ..] = *found else { return Ok(found.first().copied()) };
    let (one, other) = (one.file_name(), other.file_name());
    let detail = match manifest {
        Some(_) => format!("manifest.json lists both {one} and {other}; a version has one model file"),
        None => format!("{one} and {other} are both there; keep one, or add a manifest.json that lists it"),
    };
    Err(LoadError::new(Reason::Parse, detail))
}

fn missing(file: &str) -> LoadError {
    LoadError::new(Reason::MissingFile, format!("{file} is not there"))
}

/// The store's own words; a size cap is a reason of its own.
fn unreachable(error: StoreError) -> LoadError {
    let code = match error.fault {
        Fault::TooLarge { .. } => Reason::TooLarge,
        Fault::Local(_) => Reason::MissingFile,
        _ => Reason::Unreachable,
    };
    LoadError::new(code, error.to_string())
}

#[cfg(test)]
mod tests;
