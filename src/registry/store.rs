//! Dumb storage behind the registry: list, stat, read, write on a condition, delete. `cli` picks one by URL.
//!
//! A store needs neither change tokens in its lists nor answers like "not modified" nor versioning: what is asked of
//! it fits a folder, S3 and what speaks like it, and generations of objects as well as ETags.

#[cfg(test)]
#[cfg(feature = "s3")]
#[path = "../../tests/support/bucket.rs"]
pub(crate) mod bucket;
mod folder;
mod mlflow;
#[cfg(feature = "s3")]
mod s3;
#[cfg(test)]
#[cfg(feature = "s3")]
#[path = "../../tests/support/seaweed.rs"]
pub(crate) mod seaweed;
mod shelf;
mod single;
#[cfg(test)]
mod suite;

use std::fmt;
use std::io;
use std::path::Path;
use std::time::Duration;

pub use folder::Folder;
pub use mlflow::{Buckets, Mlflow};
#[cfg(feature = "s3")]
pub use s3::{S3, S3Options};
pub use shelf::{Claim, NotPut, Placed, Shelf};
pub use single::SingleFile;
#[cfg(test)]
pub(crate) use suite::suite;

/// Storage of a registry. Keys are `/`-separated and come from [`super::layout`] only.
pub trait Store: Send + Sync {
    /// Names directly below `prefix` ("" is the root) that can hold something; no order.
    ///
    /// # Errors
    /// When the store cannot be reached. A prefix that is not there is empty, except the root of a folder.
    fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError>;

    /// Keys of every object below `prefix`, at any depth; no order. For work that may take its time.
    ///
    /// # Errors
    /// When the store cannot be reached.
    fn keys(&self, prefix: &str) -> Result<Vec<String>, StoreError>;

    /// Size and change token of an object, `None` when it is not there.
    ///
    /// # Errors
    /// When the store cannot be reached.
    fn stat(&self, key: &str) -> Result<Option<Stat>, StoreError>;

    /// A small object's bytes and token, unless its token is still `known`. A store that cannot tell reads it.
    ///
    /// # Errors
    /// When it is larger than `max` bytes or the store cannot be reached.
    fn read(&self, key: &str, max: u64, known: Option<&str>) -> Result<Read, StoreError>;

    /// Writes an object that may be large into `sink`, in order, as it arrives; what comes is of one state of the
    /// object, that of the returned stat. `None` when it is not there.
    ///
    /// # Errors
    /// [`Fault::TooLarge`] as soon as it is known to have more than `max` bytes, [`Fault::Changed`] when it was
    /// replaced meanwhile, [`Fault::Local`] when the sink fails, else when the store cannot be reached.
    fn download(&self, key: &str, max: u64, sink: &mut dyn io::Write) -> Result<Option<Stat>, StoreError>;

    /// Writes an object as a whole, if `condition` holds at that moment; returns its new token.
    ///
    /// # Errors
    /// [`Fault::Conflict`] when the condition does not hold. After a fault of [`Fault::may_have_happened`] it may
    /// have been written all the same.
    fn write(&self, key: &str, body: Body<'_>, condition: Condition<'_>) -> Result<String, StoreError>;

    /// Deletes an object; one that is not there is no fault.
    ///
    /// # Errors
    /// When the store cannot be reached.
    fn delete(&self, key: &str) -> Result<(), StoreError>;

    /// Whether it is across a network, so that what was read is worth keeping.
    fn is_remote(&self) -> bool {
        false
    }

    /// The shelf that it is, where models come and go by request.
    fn shelf(&self) -> Option<&Shelf> {
        None
    }
}

/// An object not written for this long is complete; a younger one has to look the same twice.
const SETTLED: Duration = Duration::from_secs(2);

/// Size and change token of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Size in bytes.
    pub bytes: u64,
    /// Changes whenever the object does.
    pub token: String,
    /// Whether it was last written long enough ago that nobody is still at it.
    pub settled: bool,
}

/// What a read found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// There is no such object.
    Absent,
    /// Its token is the known one.
    Unchanged,
    /// The object.
    Object {
        /// All of it.
        bytes: Vec<u8>,
        /// Its change token.
        token: String,
    },
}

/// What is written.
#[derive(Clone, Copy, Debug)]
pub enum Body<'a> {
    /// These bytes.
    Bytes(&'a [u8]),
    /// The bytes of a file, which stays as it is meanwhile.
    File(&'a Path),
}

/// What must hold for a write to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition<'a> {
    /// Nothing.
    None,
    /// The object is not there yet.
    Absent,
    /// The object's token is this one.
    Token(&'a str),
}

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("{}: {fault}", if .key.is_empty() { "the registry" } else { .key })]
pub struct StoreError {
    /// The object or prefix; empty for the root.
    pub key: String,
    /// What happened.
    pub fault: Fault,
}

/// What can go wrong with a store.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The object is larger than what was allowed.
    #[error("{bytes} bytes, at most {max} are read")]
    TooLarge {
        /// Its size, or what is known of it.
        bytes: u64,
        /// The cap.
        max: u64,
    },
    /// The condition of a write did not hold.
    #[error("it was written by somebody else")]
    Conflict,
    /// The object was replaced while it was read.
    #[error("it was replaced while it was read")]
    Changed,
    /// The store knows us and says no, or does not know us: credentials, permissions, clock.
    #[error("access was denied: {0}")]
    Denied(String),
    /// The store answers, and what it has is not what is looked for.
    #[error("{0}")]
    Missing(String),
    /// The store wants fewer requests.
    #[error("the store is throttling: {0}")]
    Throttled(String),
    /// No answer, or one that says that the store is ill.
    #[error("no answer: {0}")]
    Unreachable(String),
    /// The store answered with a refusal that another attempt will meet again.
    #[error("the store refuses: {0}")]
    Refused(String),
    /// This machine's own files.
    #[error("{0}")]
    Local(io::Error),
}

// === impl Read ===

impl Read {
    /// The bytes; `None` when there was nothing, or nothing new.
    pub fn bytes(self) -> Option<Vec<u8>> {
        match self {
            Self::Object { bytes, .. } => Some(bytes),
            Self::Absent | Self::Unchanged => None,
        }
    }
}

// === impl StoreError ===

impl StoreError {
    /// A fault at `key`.
    pub fn new(key: &str, fault: Fault) -> Self {
        Self { key: key.to_owned(), fault }
    }
}

// === impl Fault ===

impl Fault {
    /// Whether the store as a whole is out of reach or ill, so that asking it for something else is no use now.
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::Denied(_) | Self::Throttled(_) | Self::Unreachable(_))
    }

    /// Whether a write that failed like this may have been carried out.
    pub fn may_have_happened(&self) -> bool {
        matches!(self, Self::Throttled(_) | Self::Unreachable(_))
    }

    /// Its label in metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "too_large",
            Self::Conflict => "conflict",
            Self::Changed => "changed",
            Self::Denied(_) => "auth",
            Self::Missing(_) => "missing",
            Self::Throttled(_) => "throttled",
            Self::Unreachable(_) => "unreachable",
            Self::Refused(_) => "refused",
            Self::Local(_) => "local",
        }
    }
}

impl fmt::Display for Condition<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("in any case"),
            Self::Absent => f.write_str("if absent"),
            Self::Token(token) => write!(f, "if {token}"),
        }
    }
}
