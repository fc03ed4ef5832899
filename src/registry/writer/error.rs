//! Why a change was not made, and whether that is certain.

use std::fmt;

use crate::model::LoadError;
use crate::registry::store::StoreError;

/// A change that was not made, or of which that is not known.
#[derive(Debug)]
pub struct ChangeError {
    /// Why.
    pub problem: Problem,
    /// What is known of the registry's state.
    pub outcome: Outcome,
    /// The change's id, once it had one; the audit entries of a change that was made carry it.
    pub mutation: Option<String>,
    /// What there is to know besides, for people.
    pub remark: Option<String>,
}

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// It is against the rules, or there is nothing it could apply to.
    #[error("{0}")]
    Refused(String),
    /// A stored object cannot be used.
    #[error("{}", .0.detail)]
    Unusable(LoadError),
    /// The store did not do it.
    #[error("{0}")]
    Store(StoreError),
    /// Others wrote each time.
    #[error("others changed the model {0} times meanwhile; try again")]
    Contended(u32),
}

/// What is known of a change that ended in an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was not made and will not be.
    Unchanged,
    /// It may have been made, or still be.
    Unknown,
}

// === impl ChangeError ===

impl ChangeError {
    /// Something that is against the rules; nothing was changed.
    pub fn refused(text: impl Into<String>) -> Self {
        Problem::Refused(text.into()).into()
    }

    /// The same error, with something more to know.
    pub fn remark(mut self, remark: impl Into<String>) -> Self {
        self.remark = Some(remark.into());
        self
    }
}

impl From<Problem> for ChangeError {
    fn from(problem: Problem) -> Self {
        Self { problem, outcome: Outcome::Unchanged, mutation: None, remark: None }
    }
}

impl From<StoreError> for ChangeError {
    fn from(error: StoreError) -> Self {
        Problem::Store(error).into()
    }
}

impl From<LoadError> for ChangeError {
    fn from(error: LoadError) -> Self {
        Problem::Unusable(error).into()
    }
}

impl std::error::Error for ChangeError {}

impl fmt::Display for ChangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.problem)?;
        match (self.outcome, &self.mutation) {
            (Outcome::Unknown, Some(id)) => write!(
                f,
                "; whether the change was made is not known: `sidegate registry log` shows {id} if it was"
            )?,
            (Outcome::Unknown, None) => write!(f, "; whether the change was made is not known")?,
            // A refusal says so itself.
            (Outcome::Unchanged, _) if matches!(self.problem, Problem::Refused(_)) => {}
            (Outcome::Unchanged, _) => write!(f, "; nothing was changed")?,
        }
        self.remark.as_ref().map_or(Ok(()), |remark| write!(f, "; {remark}"))
    }
}
