//! The registry: which models and versions exist, and their verified bytes.
//!
//! A [`Store`](store::Store) is dumb storage; [`layout`] alone spells its keys; [`index`] and [`manifest`] are the stored
//! formats. [`Registry`] reads, and never writes. Reading needs no more than `GET`, `HEAD` and a list without change
//! tokens, so that every object store fits.

pub mod audit;
pub mod cache;
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

pub(crate) mod lost;
mod reader;
mod source;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::format::{FORMATS, Format};
use crate::model::{LoadError, Reason, Stage, Version};
use digest::Digest;
use index::Index;
use manifest::Manifest;
use store::{Fault, StoreError};

pub use reader::{Registry, Survey};
pub use source::{Artefact, Described, Source};

/// Largest manifest, golden file or segment of an audit that is read, in bytes.
pub const MAX_JSON_BYTES: u64 = 16 << 20;
/// Largest `model.json` and `_index.json` that are read and written, in bytes. 1,000 signed versions take a quarter.
const MAX_INDEX_BYTES: u64 = 4 << 20;
/// Largest model file that is read, in bytes.
pub const MAX_MODEL_BYTES: u64 = 2 << 30;

/// What a model's folder offers.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// By version, ascending.
    pub versions: Vec<Listed>,
    /// Movable names.
    pub aliases: BTreeMap<String, Version>,
    /// Whether a `model.json` decides (else every complete version counts).
    pub managed: bool,
    /// That `model.json`.
    pub index: Option<Arc<Index>>,
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

// === impl Catalog ===

impl Catalog {
    /// The entry of a version.
    pub fn listed(&self, version: Version) -> Option<&Listed> {
        self.versions.iter().find(|listed| listed.version == version)
    }

    /// Whether there is no such model.
    pub fn is_empty(&self) -> bool {
        !self.managed && self.versions.is_empty()
    }
}

// === impl Listed ===

impl Listed {
    /// A version of which nothing but its number is known yet.
    pub fn bare(version: Version) -> Self {
        Self {
            version,
            stage: Stage::None,
            created: None,
            manifest: None,
            token: String::new(),
            settled: true,
        }
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

/// The store's own words, with the reason that fits: a size, this machine's disk, or a store that does not answer.
pub(crate) fn unreachable(error: StoreError) -> LoadError {
    let code = match error.fault {
        Fault::TooLarge { .. } => Reason::TooLarge,
        Fault::Changed => Reason::BadDigest,
        Fault::Local(_) | Fault::Missing(_) => Reason::MissingFile,
        _ => Reason::Unreachable,
    };
    LoadError::new(code, error.to_string())
}

#[cfg(test)]
mod tests;
