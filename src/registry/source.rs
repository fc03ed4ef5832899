//! Where a version's files come from: the cache if it has them, else the store; digested on the way in either case.

use super::cache::{Cache, IntakeError, Served};
use super::digest::Digest;
use super::manifest::Manifest;
use super::store::{Stat, Store};
use super::{Listed, MAX_JSON_BYTES, MAX_MODEL_BYTES, layout, missing, model_format, unreachable};
use crate::format::{FORMATS, Format};
use crate::model::{LoadError, ModelName, Reason, Version};

/// Where files come from. Without a store only what is in the cache is there.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// The registry's storage.
    pub store: Option<&'a dyn Store>,
    /// Verified copies.
    pub cache: Option<&'a Cache>,
}

/// A version before its files are read.
#[derive(Clone, Debug)]
pub struct Described {
    /// What the model file is.
    pub format: Format,
    /// Size of the model file in bytes, as far as known; 0 when it is not there, of which [`Source::fetch`] has more
    /// to say.
    pub bytes: u64,
    /// The manifest, unless the version has none.
    pub manifest: Option<Manifest>,
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
    /// How its features were distributed, if the version says so.
    pub profile: Option<Vec<u8>>,
    /// The manifest, unless the version has none.
    pub manifest: Option<Manifest>,
}

// === impl Source ===

impl<'a> Source<'a> {
    /// Reads what a version consists of, so that the caller can say no before its files are read.
    ///
    /// # Errors
    /// The reason, as published: no manifest where one is named, another one than named, a model file beyond the cap.
    pub fn describe(&self, model: &ModelName, listed: &Listed) -> Result<Described, LoadError> {
        let version = listed.version;
        let manifest = match self.manifest(model, listed)? {
            Some(bytes) => Some(Manifest::parse(&bytes, model, version)?),
            None if listed.manifest.is_some() => return Err(missing(layout::MANIFEST)),
            None => None,
        };
        let mut found = Vec::new();
        if manifest.is_none() {
            for format in FORMATS {
                let stat = self.stat(&layout::model_file(model, version, format))?;
                found.extend(stat.map(|stat| (format, stat.bytes)));
            }
        }
        let there = |format| Ok(found.iter().any(|(found, _)| *found == format));
        // A manifest that lists none is told so when the file is verified.
        let format = model_format(manifest.as_ref(), there)?.unwrap_or(Format::Onnx);
        let bytes = match &manifest {
            Some(manifest) => manifest.files.get(format.file_name()).map_or(0, |file| file.bytes),
            None => found.iter().find(|(found, _)| *found == format).map_or(0, |(_, bytes)| *bytes),
        };
        if bytes > MAX_MODEL_BYTES {
            let detail =
                format!("{} has {bytes} bytes, at most {MAX_MODEL_BYTES} are read", format.file_name());
            return Err(LoadError::new(Reason::TooLarge, detail));
        }
        Ok(Described { format, bytes, manifest })
    }

    /// Reads and verifies a version's files, none larger than described. `pace` is called between slices of work so
    /// that the caller can yield.
    ///
    /// # Errors
    /// The reason, as published.
    pub fn fetch(
        &self,
        model: &ModelName,
        version: Version,
        described: Described,
        pace: &mut dyn FnMut(),
    ) -> Result<Artefact, LoadError> {
        let Described { format, bytes, manifest } = described;
        let manifest_of = manifest.as_ref();
        let name = format.file_name();
        let Some(file) = self.file(model, version, name, bytes, manifest_of, pace)? else {
            return Err(missing(name));
        };
        let mut beside = |name: &str| {
            // With a manifest, what it does not list is no part of the version.
            let listed = manifest_of.is_some_and(|m| m.files.contains_key(name));
            if manifest_of.is_some() && !listed {
                return Ok(None);
            }
            let file = self.file(model, version, name, MAX_JSON_BYTES, manifest_of, pace)?;
            if file.is_none() && listed { Err(missing(name)) } else { Ok(file.map(|file| file.bytes)) }
        };
        let golden = beside(layout::GOLDEN)?;
        // Monitoring keeps no model from being served.
        let profile = beside(layout::PROFILE).unwrap_or_else(|error| {
            tracing::warn!(%model, version = version.get(), %error, "profile.json cannot be used");
            None
        });
        Ok(Artefact { format, model: file.bytes, digest: file.digest, golden, profile, manifest })
    }

    /// A version that once served, from the cache alone.
    ///
    /// # Errors
    /// [`Reason::MissingFile`] when the cache has not all of it any more.
    pub fn recall(
        cache: &Cache,
        model: &ModelName,
        served: &Served,
        pace: &mut dyn FnMut(),
    ) -> Result<Artefact, LoadError> {
        let blob = |text: &str, max: u64, pace: &mut dyn FnMut()| {
            let digest: Digest = text.parse().ok()?;
            Some((cache.blob(&digest, max, pace)?, digest))
        };
        let gone =
            |what: &str| LoadError::new(Reason::MissingFile, format!("{what} is not in the cache any more"));
        let version = Version::new(served.version).ok_or_else(|| gone("the version"))?;
        let format = Format::of(served.model.0.as_ref()).ok_or_else(|| gone("the model file"))?;
        let (model_bytes, digest) =
            blob(&served.model.1, MAX_MODEL_BYTES, pace).ok_or_else(|| gone("the model file"))?;
        let optional = |digest: &Option<String>, what: &str, pace: &mut dyn FnMut()| match digest {
            Some(digest) => {
                blob(digest, MAX_JSON_BYTES, pace).map(|(bytes, _)| Some(bytes)).ok_or_else(|| gone(what))
            }
            None => Ok(None),
        };
        let manifest = optional(&served.manifest, layout::MANIFEST, pace)?;
        let manifest = manifest.map(|bytes| Manifest::parse(&bytes, model, version)).transpose()?;
        let golden = optional(&served.golden, layout::GOLDEN, pace)?;
        let profile = optional(&served.profile, layout::PROFILE, pace).unwrap_or_default();
        Ok(Artefact { format, model: model_bytes, digest, golden, profile, manifest })
    }

    /// The bytes of a version's manifest. One that `model.json` names by its digest never changes.
    fn manifest(&self, model: &ModelName, listed: &Listed) -> Result<Option<Vec<u8>>, LoadError> {
        if let (Some(digest), Some(cache)) = (&listed.manifest, self.cache)
            && let Some(bytes) = cache.blob(digest, MAX_JSON_BYTES, &mut || ())
        {
            return Ok(Some(bytes));
        }
        let key = layout::file(model, listed.version, layout::MANIFEST);
        let Some(bytes) = self.read(&key, MAX_JSON_BYTES)? else { return Ok(None) };
        let digest = Digest::of(&bytes, &mut || ());
        if listed.manifest.is_some_and(|want| want != digest) {
            return Err(LoadError::new(Reason::BadDigest, "manifest.json is not the one model.json names"));
        }
        self.keep(&digest, &bytes);
        Ok(Some(bytes))
    }

    /// One file of a version, verified against the manifest if there is one.
    fn file(
        &self,
        model: &ModelName,
        version: Version,
        name: &str,
        max: u64,
        manifest: Option<&Manifest>,
        pace: &mut dyn FnMut(),
    ) -> Result<Option<File>, LoadError> {
        let wanted = manifest.and_then(|manifest| manifest.files.get(name)).and_then(|file| file.digest());
        if let (Some(digest), Some(cache)) = (wanted, self.cache)
            && let Some(bytes) = cache.blob(&digest, max, pace)
        {
            return Ok(Some(File { bytes, digest }));
        }
        let key = layout::file(model, version, name);
        let grown = |error: LoadError| match error.code {
            Reason::TooLarge => LoadError::new(
                Reason::BadDigest,
                format!("{name} has more than {max} bytes, which it should have"),
            ),
            _ => error,
        };
        let file = match self.intake(&key, max, wanted, pace).map_err(grown)? {
            Some(file) => Some(file),
            None => self.read(&key, max).map_err(grown)?.map(|bytes| {
                pace();
                let digest = Digest::of(&bytes, pace);
                File { bytes, digest }
            }),
        };
        if let (Some(file), Some(manifest)) = (&file, manifest) {
            manifest.verify(name, &file.bytes, &file.digest)?;
        }
        Ok(file)
    }

    /// Streams a file through the cache; `None` where there is no use in that, or no way to.
    fn intake(
        &self,
        key: &str,
        max: u64,
        wanted: Option<Digest>,
        pace: &mut dyn FnMut(),
    ) -> Result<Option<File>, LoadError> {
        let (Some(store), Some(cache)) = (self.store, self.cache) else { return Ok(None) };
        if !store.is_remote() {
            return Ok(None);
        }
        match cache.intake(wanted, |sink| store.download(key, max, sink)) {
            Ok(None) => Ok(None),
            Ok(Some(intake)) => {
                let bytes = cache.blob(&intake.digest, max, pace);
                Ok(bytes.map(|bytes| File { bytes, digest: intake.digest }))
            }
            Err(IntakeError::Store(error)) => Err(unreachable(error)),
            Err(IntakeError::Digest { bytes, digest }) => {
                let name = key.rsplit('/').next().unwrap_or(key);
                let detail = format!("{name} has {bytes} bytes and {digest}, manifest.json says otherwise");
                Err(LoadError::new(Reason::BadDigest, detail))
            }
            Err(IntakeError::Disk(error)) => {
                tracing::warn!(%error, "the cache cannot be written; the version is loaded without it");
                Ok(None)
            }
        }
    }

    fn keep(&self, digest: &Digest, bytes: &[u8]) {
        if let Some(cache) = self.cache.filter(|_| self.store.is_some_and(Store::is_remote))
            && let Err(error) = cache.keep_blob(digest, bytes)
        {
            tracing::warn!(%error, "the cache cannot be written");
        }
    }

    fn stat(&self, key: &str) -> Result<Option<Stat>, LoadError> {
        self.store.map_or(Ok(None), |store| store.stat(key)).map_err(unreachable)
    }

    fn read(&self, key: &str, max: u64) -> Result<Option<Vec<u8>>, LoadError> {
        let Some(store) = self.store else { return Ok(None) };
        Ok(store.read(key, max, None).map_err(unreachable)?.bytes())
    }
}

/// A file that was read.
struct File {
    bytes: Vec<u8>,
    digest: Digest,
}
