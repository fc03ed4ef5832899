//! Models that are asked for one by one, as SageMaker does of a container with many: each is a version's folder that was
//! laid below one root, and version 1 of its model here. Nothing is there that was not put on the shelf, and nothing
//! that was put there is read from elsewhere: whatever a path or a link says, it is followed before a file is opened.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::single::BESIDE;
use super::{Body, Condition, Fault, Read, SingleFile, Stat, Store, StoreError};
use crate::format::{FORMATS, Format};
use crate::model::ModelName;
use crate::registry::digest::Digest;

/// Longest name and path that are remembered, in bytes.
const MAX_BYTES: usize = 4096;
/// What names begin with that stand for others.
const DIGESTED: &str = "sha256-";

/// A shelf; its clones are the same one.
#[derive(Clone)]
pub struct Shelf {
    root: PathBuf,
    slots: Arc<Mutex<BTreeMap<ModelName, Slot>>>,
}

struct Slot {
    placed: Placed,
    /// Not while it is being loaded or unloaded.
    loaded: bool,
}

/// A model as who asked for it calls it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Its name, any text.
    pub name: String,
    /// The path of its folder.
    pub url: String,
}

/// Why a model was not put on the shelf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotPut {
    /// It is there.
    #[error("a model of this name is loaded, or is being loaded or unloaded")]
    Taken,
    /// As many as are allowed are there.
    #[error("{0} models are loaded, as many as registry.max_models allows; unload another one first")]
    Full(usize),
    /// Nobody would want to remember it.
    #[error("model_name and url have from 1 to {MAX_BYTES} bytes each")]
    Unfit,
}

/// The right to change what is in one slot, which nobody else has meanwhile. Dropped, it leaves the slot empty.
pub struct Claim {
    shelf: Shelf,
    /// What the model is called here.
    pub model: ModelName,
    /// What it is called elsewhere.
    pub placed: Placed,
    kept: bool,
}

// === impl Shelf ===

impl Shelf {
    /// An empty one, for folders below `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), slots: Arc::default() }
    }

    /// What a model is called here: its name where that is one, else the digest of it. So any text is safe as a key, as a
    /// label and in the log, and no two are called the same.
    pub fn called(name: &str) -> ModelName {
        match name.parse() {
            Ok(own) if !name.starts_with(DIGESTED) => own,
            _ => ModelName::sanitized(&Digest::of(name.as_bytes(), &mut || ()).to_string()),
        }
    }

    /// Takes a slot for a model to be loaded, of at most `most` in all. Its folder is looked at when it is read.
    ///
    /// # Errors
    /// [`NotPut`], which changes nothing.
    pub fn put(&self, name: &str, url: &str, most: usize) -> Result<Claim, NotPut> {
        let fits = |text: &str| (1..=MAX_BYTES).contains(&text.len());
        if !fits(name) || !fits(url) {
            return Err(NotPut::Unfit);
        }
        let model = Self::called(name);
        let mut slots = self.lock();
        if slots.contains_key(&model) {
            return Err(NotPut::Taken);
        }
        if slots.len() >= most {
            return Err(NotPut::Full(slots.len()));
        }
        let placed = Placed { name: name.to_owned(), url: url.to_owned() };
        slots.insert(model.clone(), Slot { placed: placed.clone(), loaded: false });
        Ok(Claim { shelf: self.clone(), model, placed, kept: false })
    }

    /// Claims the slot of a loaded model, to unload it; none where there is none.
    pub fn take(&self, name: &str) -> Option<Claim> {
        let model = Self::called(name);
        let mut slots = self.lock();
        let slot = slots.get_mut(&model).filter(|slot| slot.loaded)?;
        slot.loaded = false;
        Some(Claim { shelf: self.clone(), model, placed: slot.placed.clone(), kept: false })
    }

    /// A loaded model.
    pub fn get(&self, name: &str) -> Option<Placed> {
        self.lock().get(&Self::called(name)).filter(|slot| slot.loaded).map(|slot| slot.placed.clone())
    }

    /// At most `most` loaded models, those behind the token `after`, and the token of those that follow.
    pub fn page(&self, after: Option<&str>, most: usize) -> (Vec<Placed>, Option<String>) {
        let slots = self.lock();
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut loaded = slots.range::<str, _>((start, Bound::Unbounded)).filter(|(_, slot)| slot.loaded);
        let page: Vec<_> = loaded.by_ref().take(most).collect();
        let token = loaded.next().and(page.last()).map(|(model, _)| model.to_string());
        (page.into_iter().map(|(_, slot)| slot.placed.clone()).collect(), token)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ModelName, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The version that a key belongs to; none where its model is not on the shelf.
    fn version(&self, key: &str) -> Result<Option<SingleFile>, StoreError> {
        let model = key.split('/').next().unwrap_or_default();
        let found =
            self.lock().get_key_value(model).map(|(name, slot)| (name.clone(), slot.placed.url.clone()));
        let Some((name, url)) = found else { return Ok(None) };
        let (folder, format) = self.look(Path::new(&url)).map_err(|fault| StoreError::new(model, fault))?;
        Ok(Some(SingleFile::of_version(name, format, folder.join(format.file_name()))))
    }

    /// Where a folder really is, and what its model file is.
    fn look(&self, url: &Path) -> Result<(PathBuf, Format), Fault> {
        let missing = |text: &str| Fault::Missing(text.to_owned());
        let root = fs::canonicalize(&self.root).map_err(Fault::Local)?;
        // Not `.`, which is another one for every process.
        let folder = Some(url).filter(|url| url.is_absolute()).and_then(|url| fs::canonicalize(url).ok());
        let Some(folder) = folder.filter(|folder| *folder != root && folder.starts_with(&root)) else {
            return Err(missing("the url is no folder below that of registry.url"));
        };
        let there = |name: &&str| match fs::canonicalize(folder.join(name)) {
            Ok(file) if file.starts_with(&folder) => Ok(true),
            Ok(_) => Err(Fault::Missing(format!("{name} is a link that leads out of the model's folder"))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Fault::Local(error)),
        };
        for name in BESIDE {
            there(&name)?;
        }
        let mut formats = Vec::new();
        for format in FORMATS {
            formats.extend(there(&format.file_name())?.then_some(format));
        }
        match formats[..] {
            [format] => Ok((folder, format)),
            [] => Err(missing("the folder of the url has no model.onnx, model.ubj, model.json or model.txt")),
            [..] => Err(missing("the folder of the url has several model files; a version has one")),
        }
    }
}

fn read_only<T>(key: &str) -> Result<T, StoreError> {
    Err(StoreError::new(key, Fault::Refused("models that are asked for one by one are only read".into())))
}

impl Store for Shelf {
    fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        if prefix.is_empty() {
            return Ok(self.lock().keys().map(ToString::to_string).collect());
        }
        self.version(prefix)?.map_or(Ok(Vec::new()), |version| version.list(prefix))
    }

    fn keys(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        if !prefix.is_empty() {
            return self.version(prefix)?.map_or(Ok(Vec::new()), |version| version.keys(prefix));
        }
        let models = self.list("")?;
        let keys: Vec<Vec<String>> = models.iter().map(|model| self.keys(model)).collect::<Result<_, _>>()?;
        Ok(keys.concat())
    }

    fn stat(&self, key: &str) -> Result<Option<Stat>, StoreError> {
        let stat = self.version(key)?.map_or(Ok(None), |version| version.stat(key))?;
        // Who asks for a model has laid its files there.
        Ok(stat.map(|stat| Stat { settled: true, ..stat }))
    }

    fn read(&self, key: &str, max: u64, known: Option<&str>) -> Result<Read, StoreError> {
        self.version(key)?.map_or(Ok(Read::Absent), |version| version.read(key, max, known))
    }

    fn download(&self, key: &str, max: u64, sink: &mut dyn io::Write) -> Result<Option<Stat>, StoreError> {
        self.version(key)?.map_or(Ok(None), |version| version.download(key, max, sink))
    }

    fn write(&self, key: &str, _: Body<'_>, _: Condition<'_>) -> Result<String, StoreError> {
        read_only(key)
    }

    fn delete(&self, key: &str) -> Result<(), StoreError> {
        read_only(key)
    }

    fn shelf(&self) -> Option<&Shelf> {
        Some(self)
    }
}

// === impl Claim ===

impl Claim {
    /// The model is loaded, and its slot is its own.
    pub fn keep(mut self) {
        if let Some(slot) = self.shelf.lock().get_mut(&self.model) {
            slot.loaded = true;
        }
        self.kept = true;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.kept {
            self.shelf.lock().remove(&self.model);
        }
    }
}

#[cfg(test)]
mod tests;
