//! What an error of the SDK means for whoever asked.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use super::Fault;
use crate::model::shorten;

/// Codes of S3 that mean: known, and not allowed; or not known at all.
const DENIED: [&str; 10] = [
    "AccessDenied",
    "AllAccessDisabled",
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidSecurity",
    "InvalidToken",
    "RequestExpired",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
];
/// Codes that ask for fewer requests.
const THROTTLED: [&str; 5] =
    ["RequestLimitExceeded", "SlowDown", "ThrottlingException", "Throttling", "TooManyRequests"];
/// Codes that say that another attempt may do better, whatever the status.
const ILL: [&str; 3] = ["InternalError", "RequestTimeout", "ServiceUnavailable"];

/// A request that failed.
pub(super) enum Failure {
    /// The server answered.
    Answered {
        /// The status.
        status: u16,
        /// S3's code; empty where there is none, as in every answer to `HEAD`.
        code: String,
    },
    /// It did not, or the request was never sent.
    Silent(Fault),
}

/// What was asked, for what it takes to be allowed it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asked {
    List,
    /// `GET` and `HEAD`.
    Get,
    Put,
    /// A write on the condition that the object is still the known one.
    Replace,
    Delete,
}

// === impl Asked ===

impl Asked {
    /// What a policy has to allow.
    fn permissions(self) -> &'static str {
        match self {
            Self::List => "s3:ListBucket",
            // Without the second one S3 says so of an object that is not there.
            Self::Get => "s3:GetObject, and s3:ListBucket for objects that may be missing",
            Self::Put => "s3:PutObject",
            // S3 compares for nobody who may not read.
            Self::Replace => "s3:PutObject and s3:GetObject",
            Self::Delete => "s3:DeleteObject",
        }
    }
}

// === impl Failure ===

impl Failure {
    /// What became of a request.
    pub(super) fn of<E>(error: SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        match &error {
            SdkError::ServiceError(answer) => {
                let code = answer.err().code().map(shorten).unwrap_or_default();
                Self::Answered { status: answer.raw().status().as_u16(), code: without_noise(&code) }
            }
            // A page of a proxy, or half an answer.
            SdkError::ResponseError(answer) => {
                let status = answer.raw().status().as_u16();
                if (300..500).contains(&status) && cause::<std::io::Error>(&error).is_none() {
                    return Self::Answered { status, code: String::new() };
                }
                let text = format!("an answer that is not one of S3 (status {status})");
                Self::Silent(Fault::Unreachable(text))
            }
            _ => Self::Silent(silence(&error)),
        }
    }

    /// The status of the answer; 0 when there was none.
    pub(super) fn status(&self) -> u16 {
        match self {
            Self::Answered { status, .. } => *status,
            Self::Silent(_) => 0,
        }
    }

    /// Whether there is no such bucket.
    pub(super) fn lacks_bucket(&self) -> bool {
        matches!(self, Self::Answered { code, .. } if code == "NoSuchBucket")
    }

    /// Whether the server says that the bucket is there and the object is not.
    pub(super) fn is_absent(&self) -> bool {
        matches!(self, Self::Answered { code, .. } if code == "NoSuchKey")
    }

    /// In the words of the store's user.
    pub(super) fn into_fault(self, asked: Asked) -> Fault {
        let (status, code) = match self {
            Self::Silent(fault) => return fault,
            Self::Answered { status, code } => (status, code),
        };
        let said =
            if code.is_empty() { format!("status {status}") } else { format!("{code} (status {status})") };
        let code = code.as_str();
        match status {
            _ if THROTTLED.contains(&code) => Fault::Throttled(said),
            _ if DENIED.contains(&code) => Fault::Denied(said + &way_in(code, asked)),
            _ if ILL.contains(&code) => Fault::Unreachable(said),
            401 | 403 => Fault::Denied(said + &way_in(code, asked)),
            // An expired token is a 400, and the answer to a `HEAD` has no room for the code.
            400 if code.is_empty() => Fault::Denied(said + "; are credentials and region right?"),
            408 => Fault::Unreachable(said),
            429 => Fault::Throttled(said),
            501 => Fault::Refused(format!("{said}: it does not know such requests")),
            500.. => Fault::Unreachable(said),
            300..400 => Fault::Refused(format!(
                "{said}: redirects to other hosts are not followed; set registry.region or registry.endpoint"
            )),
            404 => Fault::Refused(format!("{said}: is registry.endpoint that of an object store?")),
            _ => Fault::Refused(said),
        }
    }
}

/// What a user can do about a code.
fn way_in(code: &str, asked: Asked) -> String {
    let way = match code {
        "RequestTimeTooSkewed" => "; set this machine's clock",
        "ExpiredToken" | "RequestExpired" | "TokenRefreshRequired" => "; renew the credentials",
        "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "InvalidToken" => "; are the credentials right?",
        _ => return format!("; do the credentials allow {}?", asked.permissions()),
    };
    way.to_owned()
}

/// The words for a request without an answer.
fn silence(error: &(dyn Error + 'static)) -> Fault {
    if let Some(error) = cause::<CredentialsError>(error) {
        return Fault::Denied(match error {
            CredentialsError::CredentialsNotLoaded(_) => {
                "no credentials were found (environment, profile, web identity, container, instance); see \
                 docs/registry.md#credentials"
                    .into()
            }
            CredentialsError::ProviderTimedOut(_) => "credentials could not be obtained in time".into(),
            other => format!("credentials could not be obtained: {}", root(other)),
        });
    }
    Fault::Unreachable(root(error))
}

/// The error of this type that led to `error`.
fn cause<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    std::iter::successors(Some(error), |&error| error.source()).find_map(|error| error.downcast_ref())
}

/// The words of the first cause: those above it repeat that something failed.
pub(super) fn root(error: &(dyn Error + 'static)) -> String {
    let last = std::iter::successors(Some(error), |&error| error.source()).last();
    let text = last.map(ToString::to_string).unwrap_or_default();
    shorten(text.trim_end_matches('.'))
}

/// A code is one word; what else a server puts there is not repeated.
fn without_noise(code: &str) -> String {
    code.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '.' || *c == '_').collect()
}
