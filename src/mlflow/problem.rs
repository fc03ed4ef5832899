//! Why there is no answer, or none that helps.

use std::io;

use serde::Deserialize;

use crate::model::shorten;

/// What can go wrong with a call. Never holds credentials.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// No answer, or one that says that the server is ill.
    #[error("no answer: {0}")]
    Unreachable(String),
    /// The server knows us and says no, or does not know us.
    #[error("access was denied: {0}")]
    Denied(String),
    /// The server wants fewer requests.
    #[error("the server is throttling: {0}")]
    Throttled(String),
    /// The server said no to this call.
    #[error("{message}")]
    Refused {
        /// The status.
        status: u16,
        /// MLflow's name of it, such as `RESOURCE_DOES_NOT_EXIST`; empty where it was not MLflow who said so.
        code: String,
        /// In words.
        message: String,
    },
    /// The answer is larger than what was allowed.
    #[error("{bytes} bytes, at most {max} are read")]
    TooLarge {
        /// Its size, or what is known of it.
        bytes: u64,
        /// The cap.
        max: u64,
    },
    /// This machine's own files.
    #[error("{0}")]
    Local(io::Error),
}

/// How MLflow says no.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    error_code: String,
    message: String,
}

// === impl Problem ===

impl Problem {
    /// What an answer of this status, which is no success, says.
    pub(super) fn of(status: u16, body: &[u8]) -> Self {
        let Refusal { error_code: code, message } = serde_json::from_slice(body).unwrap_or_default();
        let words = match (code.as_str(), message.lines().next().unwrap_or_default()) {
            ("", _) => format!("it answered {status}"),
            (code, "") => format!("it answered {status}, {code}"),
            (code, line) => format!("it answered {status}, {code}: {}", shorten(line)),
        };
        match status {
            401 | 403 => Self::Denied(words),
            429 => Self::Throttled(words),
            // By its own name for it, MLflow says that of this call; without one, or as 503, of itself.
            500 if !code.is_empty() => Self::Refused { status, code, message: words },
            500.. => Self::Unreachable(words),
            _ => Self::Refused { status, code, message: words },
        }
    }

    /// An answer that is not what MLflow says.
    pub(super) fn not_mlflow(error: &serde_json::Error) -> Self {
        Self::Refused {
            status: 200,
            code: String::new(),
            message: format!("its answer is not MLflow's: {error}"),
        }
    }

    /// Whether MLflow itself says that there is no such thing. What a proxy says to an unknown path does not count.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if code == "RESOURCE_DOES_NOT_EXIST")
    }

    /// Whether it is there already.
    pub fn is_there(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if code == "RESOURCE_ALREADY_EXISTS")
    }

    /// Whether the server does not know the call.
    pub fn is_unknown_call(&self) -> bool {
        matches!(self, Self::Refused { status: 404 | 405, code, .. } if code != "RESOURCE_DOES_NOT_EXIST")
    }

    /// Whether asking for something else is no use now either.
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::Denied(_) | Self::Throttled(_) | Self::Unreachable(_))
    }
}
