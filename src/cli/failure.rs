//! Why a command did not do what it was asked to do, and the exit code that says so.

use std::process::ExitCode;

use super::{USAGE, runtime_error};
use crate::config::Problems;
use crate::model::LoadError;
use crate::registry::signature::KeyError;
use crate::registry::store::StoreError;
use crate::registry::writer::ChangeError;

/// Why a command ends without what was asked for.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The flags or the configuration say nothing that can be done.
    #[error("{0}")]
    Usage(String),
    /// It was tried, in vain.
    #[error("{0}")]
    Failed(String),
    /// A running sidegate says no.
    #[error("{text}")]
    Refused {
        /// The code of its answer.
        code: String,
        /// Its words.
        text: String,
    },
}

// === impl Failure ===

impl Failure {
    /// Says so on standard error.
    pub(super) fn exit(&self) -> ExitCode {
        let code = runtime_error(self);
        match self {
            Self::Usage(_) => USAGE.into(),
            Self::Failed(_) | Self::Refused { .. } => code,
        }
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self::Usage(problems.to_string())
    }
}

impl From<KeyError> for Failure {
    fn from(error: KeyError) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<ChangeError> for Failure {
    fn from(error: ChangeError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Self {
        Self::Failed(error.detail)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.to_string())
    }
}
