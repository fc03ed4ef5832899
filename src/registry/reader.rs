//! Looking at the registry: which models there are, and what each offers now, with as few requests as the store allows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::cache::Cache;
use super::hint::Hint;
use super::index::Index;
use super::store::{Fault, Read, Shelf, Store, StoreError};
use super::{Catalog, Listed, MAX_INDEX_BYTES, Source, layout, lost, unreachable};
use crate::format::FORMATS;
use crate::model::{LoadError, ModelName, Reason, Version};

/// Of a bare repository on a remote store only so many versions are looked at for changes, the highest ones: each
/// costs a request a look. What is below is loaded as it is found, should the others be broken.
const REMOTE_LOOKS: usize = 3;

/// Reading half of a registry.
pub struct Registry {
    store: Box<dyn Store>,
    cache: Option<Cache>,
    known: BTreeMap<ModelName, Known>,
    hint: Option<KnownHint>,
    /// The store denied the hint, and nothing was read of it since.
    hint_denied: bool,
}

/// What a look begins with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// The models to be looked at, in order. Those that were asked for by name need not exist.
    pub models: Vec<ModelName>,
    /// Those of them whose `model.json` is known to be the one that was read last.
    pub unchanged: BTreeSet<ModelName>,
    /// Whether the store was asked for it, and has answered.
    pub answered: bool,
}

/// The last `model.json` that was accepted.
struct Known {
    token: String,
    catalog: Catalog,
}

/// `_index.json` as last read.
struct KnownHint {
    token: String,
    hint: Hint,
    models: Vec<ModelName>,
}

// === impl Registry ===

impl Registry {
    /// A registry on `store`, with a cache where there is to be one.
    pub fn new(store: Box<dyn Store>, cache: Option<Cache>) -> Self {
        Self { store, cache, known: BTreeMap::new(), hint: None, hint_denied: false }
    }

    /// Where files of versions come from.
    pub fn source(&self) -> Source<'_> {
        Source { store: Some(&*self.store), cache: self.cache.as_ref() }
    }

    /// Whether it is across a network.
    pub fn is_remote(&self) -> bool {
        self.store.is_remote()
    }

    /// The shelf that it reads, where models come and go by request.
    pub fn shelf(&self) -> Option<Shelf> {
        self.store.shelf().cloned()
    }

    /// Finds out which models to look at: those `named`, else all that have a folder; names that no model can have
    /// are left out. Unless `full`, a remote store is asked for no more than its hint, if it has one.
    ///
    /// # Errors
    /// When the store does not answer.
    pub fn survey(&mut self, named: Option<&[ModelName]>, full: bool) -> Result<Survey, StoreError> {
        // For one model the hint would cost what its model.json costs.
        let hinted = self.store.is_remote() && named.is_none_or(|named| named.len() > 1);
        let mut answered = false;
        if hinted && (self.hint.is_some() || full && !self.hint_denied) {
            match self.read_hint() {
                Ok(()) => answered = true,
                // Who may read his models and no more is told so of an object that is not there.
                Err(error) if named.is_some() && matches!(error.fault, Fault::Denied(_)) => {
                    (self.hint, self.hint_denied) = (None, true);
                }
                Err(error) => return Err(error),
            }
        }
        let models = match (named, &self.hint) {
            (Some(named), _) if self.store.is_remote() => named.to_vec(),
            (None, Some(known)) if hinted && !full => known.models.clone(),
            _ => {
                answered = true;
                let mut names: Vec<ModelName> =
                    self.store.list("")?.iter().filter_map(|name| name.parse().ok()).collect();
                names.sort();
                if let Some(named) = named {
                    names.retain(|name| named.contains(name));
                }
                names
            }
        };
        if let Some(known) = &mut self.hint
            && named.is_none()
            && full
        {
            known.models = models.clone();
        }
        let unchanged = models.iter().filter(|name| !full && self.is_as_hinted(name)).cloned().collect();
        Ok(Survey { models, unchanged, answered })
    }

    fn read_hint(&mut self) -> Result<(), StoreError> {
        let known = self.hint.as_ref().map(|known| known.token.as_str());
        let read = match self.store.read(layout::HINT, MAX_INDEX_BYTES, known) {
            Ok(read) => read,
            Err(error) => {
                self.without_hint(&answer_of(error)?);
                return Ok(());
            }
        };
        match read {
            Read::Unchanged => {}
            Read::Absent => self.hint = None,
            Read::Object { bytes, token } => match Hint::parse(&bytes) {
                Ok(hint) => {
                    let mut models = self.hint.take().map(|known| known.models).unwrap_or_default();
                    // What appeared since the last full look.
                    models.extend(hint.models.keys().filter_map(|name| name.parse().ok()));
                    models.sort();
                    models.dedup();
                    self.hint = Some(KnownHint { token, hint, models });
                }
                Err(error) => self.without_hint(&error),
            },
        }
        Ok(())
    }

    /// It is no more than a hint.
    fn without_hint(&mut self, error: &LoadError) {
        tracing::warn!(%error, "the hint cannot be used; every model is looked at");
        self.hint = None;
    }

    /// Whether what is known of a model is what the hint says or newer.
    fn is_as_hinted(&self, model: &ModelName) -> bool {
        let hint = self.hint.as_ref().and_then(|known| known.hint.models.get(model.as_str()));
        let index = self.known.get(model).and_then(|known| known.catalog.index.as_ref());
        match (hint, index) {
            (Some(hint), Some(index)) => (index.epoch, index.generation) >= (hint.epoch, hint.generation),
            _ => false,
        }
    }

    /// What `model` offered at the last look.
    pub fn known(&self, model: &ModelName) -> Option<Catalog> {
        self.known.get(model).map(|known| known.catalog.clone())
    }

    /// What `model` offers now; an inner error when what the store answers cannot be used: [`Reason::Stale`] for a
    /// `model.json` older than one that was seen, [`Reason::Parse`] and [`Reason::TooLarge`] for one that is none.
    ///
    /// # Errors
    /// When the store does not answer.
    pub fn catalog(&mut self, model: &ModelName) -> Result<Result<Catalog, LoadError>, StoreError> {
        let known = self.known.get(model);
        let token = known.map(|known| known.token.as_str());
        let read = match self.store.read(&layout::index(model), MAX_INDEX_BYTES, token) {
            Ok(read) => read,
            Err(error) => return answer_of(error).map(Err),
        };
        self.hint_denied = false;
        match (read, known) {
            (Read::Unchanged, Some(known)) => Ok(Ok(known.catalog.clone())),
            (Read::Object { bytes, token }, _) => Ok(self.accept(model, &bytes, token)),
            _ => self.without_index(model),
        }
    }

    /// Takes over a `model.json`, unless it goes back.
    fn accept(&mut self, model: &ModelName, bytes: &[u8], token: String) -> Result<Catalog, LoadError> {
        let catalog = parse(model, bytes)?;
        self.check_order(model, &catalog)?;
        self.keep_index(model, bytes);
        self.known.insert(model.clone(), Known { token, catalog: catalog.clone() });
        Ok(catalog)
    }

    /// What a model offers that has no `model.json`. Where it had one, nothing does: which of the versions may serve
    /// was said there and nowhere else.
    fn without_index(&self, model: &ModelName) -> Result<Result<Catalog, LoadError>, StoreError> {
        let catalog = match self.bare_catalog(model) {
            Ok(catalog) => catalog,
            Err(error) => return answer_of(error).map(Err),
        };
        if catalog.is_empty() || self.last_index(model).is_none() {
            return Ok(Ok(catalog));
        }
        let detail = format!("what is loaded keeps serving; {}", lost::lost(model));
        Ok(Err(LoadError::new(Reason::Stale, detail)))
    }

    /// The newest `model.json` that was accepted, by this process or one before it.
    fn last_index(&self, model: &ModelName) -> Option<Arc<Index>> {
        let known = self.known.get(model).and_then(|known| known.catalog.index.clone());
        known.or_else(|| Self::remembered(self.cache.as_ref()?, model)?.index)
    }

    /// What `model` offered when the registry was last read, by this process or one before it.
    pub fn remembered(cache: &Cache, model: &ModelName) -> Option<Catalog> {
        let bytes = cache.index(model)?;
        parse(model, &bytes)
            .inspect_err(|error| tracing::warn!(%model, %error, "the cached model.json cannot be used"))
            .ok()
    }

    /// Refuses a `model.json` that goes back: a replay, a replica that lags, a bucket restored from a copy.
    fn check_order(&self, model: &ModelName, catalog: &Catalog) -> Result<(), LoadError> {
        let Some(new) = &catalog.index else { return Ok(()) };
        let Some(old) = self.last_index(model) else { return Ok(()) };
        let (was, is) = ((old.epoch, old.generation), (new.epoch, new.generation));
        let detail = if is < was {
            format!("went back from generation {} (epoch {}) to {} (epoch {})", was.1, was.0, is.1, is.0)
        } else if is == was
            && old.mutation != new.mutation
            && old.mutation.is_some()
            && new.mutation.is_some()
        {
            format!("was written twice as generation {} (epoch {})", was.1, was.0)
        } else {
            return Ok(());
        };
        let detail = format!(
            "model.json {detail}; what is loaded keeps serving. If that is meant, as after a restored bucket, raise the \
             epoch: sidegate registry verify {model} --raise-epoch"
        );
        Err(LoadError::new(Reason::Stale, detail))
    }

    fn keep_index(&self, model: &ModelName, bytes: &[u8]) {
        crate::failpoint::at("index");
        let cache = self.cache.as_ref().filter(|_| self.store.is_remote());
        if let Some(Err(error)) = cache.map(|cache| cache.keep_index(model, bytes)) {
            tracing::warn!(%model, %error, "the cache cannot be written");
        }
    }

    /// Versions without a `model.json`: every numbered folder that holds a model file.
    fn bare_catalog(&self, model: &ModelName) -> Result<Catalog, StoreError> {
        let folder = layout::model(model);
        let mut files: BTreeMap<Version, BTreeSet<String>> = BTreeMap::new();
        for key in self.store.keys(&folder)? {
            let inside = key.strip_prefix(&folder).and_then(|rest| rest.strip_prefix('/'));
            if let Some((version, file)) = inside.and_then(|inside| inside.split_once('/'))
                && let Ok(version) = version.parse()
            {
                files.entry(version).or_default().insert(file.to_owned());
            }
        }
        files.retain(|_, files| FORMATS.iter().any(|format| files.contains(format.file_name())));
        let mut catalog = Catalog::default();
        let unlooked = if self.store.is_remote() { files.len().saturating_sub(REMOTE_LOOKS) } else { 0 };
        for (position, (version, files)) in files.into_iter().enumerate() {
            let mut listed = Listed::bare(version);
            // A manifest or examples that come or change later are a reason to look at the version again.
            let models = FORMATS.map(|format| format.file_name());
            for name in models.into_iter().chain([layout::MANIFEST, layout::GOLDEN, layout::PROFILE]) {
                let key = layout::file(model, version, name);
                let stat = if position < unlooked || !files.contains(name) {
                    None
                } else {
                    self.store.stat(&key)?
                };
                listed
                    .token
                    .push_str(&stat.as_ref().map_or("-;".into(), |s| format!("{}:{};", s.bytes, s.token)));
                listed.settled &= stat.is_none_or(|s| s.settled);
            }
            catalog.versions.push(listed);
        }
        Ok(catalog)
    }
}

/// What a store says by an error that is an answer: of this object, not of the store.
fn answer_of(error: StoreError) -> Result<LoadError, StoreError> {
    match error.fault {
        Fault::TooLarge { .. } | Fault::Changed | Fault::Local(_) | Fault::Missing(_) => {
            Ok(unreachable(error))
        }
        _ => Err(error),
    }
}

fn parse(model: &ModelName, bytes: &[u8]) -> Result<Catalog, LoadError> {
    let index = Index::parse_of(model, bytes)?;
    let mut catalog = index.catalog().map_err(|error| lost::broken(model, error))?;
    catalog.index = Some(Arc::new(index));
    Ok(catalog)
}
