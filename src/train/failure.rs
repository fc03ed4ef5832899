//! How the process ends when it does not end well: an exit code for each kind of fault, so that cron and CI can tell.

use std::process::ExitCode;

use sidegate::model::LoadError;
use sidegate::registry::writer::ChangeError;

use crate::data::DataError;
use crate::features;
use crate::learner::FitError;

/// Why there is no new version.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Something that no other code is for.
    #[error("{0}")]
    Failed(String),
    /// Usage or configuration.
    #[error("{0}")]
    Config(String),
    /// The data is not what it has to be.
    #[error("{0}")]
    Validation(String),
    /// The gate said no.
    #[error("{0}")]
    Gate(String),
    /// The data is not there, or cannot be read.
    #[error("{0}")]
    Data(String),
    /// The registry is not there, or refuses.
    #[error("{0}")]
    Registry(String),
}

impl Failure {
    /// The exit code.
    pub(crate) const fn code(&self) -> u8 {
        match self {
            Self::Failed(_) => 1,
            Self::Config(_) => 2,
            Self::Validation(_) => 3,
            Self::Gate(_) => 4,
            Self::Data(_) => 5,
            Self::Registry(_) => 6,
        }
    }

    /// The same with something said behind it.
    pub(crate) fn remark(self, remark: &str) -> Self {
        let with = |text: String| format!("{text}; {remark}");
        match self {
            Self::Failed(text) => Self::Failed(with(text)),
            Self::Config(text) => Self::Config(with(text)),
            Self::Validation(text) => Self::Validation(with(text)),
            Self::Gate(text) => Self::Gate(with(text)),
            Self::Data(text) => Self::Data(with(text)),
            // It says itself what it has done.
            Self::Registry(text) => Self::Registry(text),
        }
    }

    /// Data that cannot be had however often one asks.
    pub(crate) fn data(text: impl Into<String>) -> Self {
        Self::Data(text.into())
    }

    /// A file of the run's own folder.
    pub(crate) fn file(path: &std::path::Path, error: &dyn std::fmt::Display) -> Self {
        Self::Failed(format!("{}: {error}", path.display()))
    }
}

impl From<&Failure> for ExitCode {
    fn from(failure: &Failure) -> Self {
        Self::from(failure.code())
    }
}

impl From<DataError> for Failure {
    fn from(error: DataError) -> Self {
        let text = error.to_string();
        match error.exit_code() {
            2 => Self::Config(text),
            3 => Self::Validation(text),
            _ => Self::Data(text),
        }
    }
}

impl From<features::Error> for Failure {
    fn from(error: features::Error) -> Self {
        match error {
            features::Error::Config(text) => Self::Config(text),
            features::Error::Data(text) => Self::data(text),
            features::Error::Model(text) => Self::Failed(text),
        }
    }
}

impl From<FitError> for Failure {
    fn from(error: FitError) -> Self {
        match error {
            FitError::Parameters(text) => Self::Config(format!("model.params: {text}")),
            FitError::Data(text) => Self::data(text),
            FitError::Values(text) => Self::Validation(text),
            FitError::Library(text) => Self::Failed(text),
        }
    }
}

impl From<ChangeError> for Failure {
    fn from(error: ChangeError) -> Self {
        Self::Registry(error.to_string())
    }
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Self {
        Self::Failed(error.to_string())
    }
}
