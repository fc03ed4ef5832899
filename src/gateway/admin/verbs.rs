//! The verbs of the admin port: what an operator asks of this one sidecar. Each works without the registry.

use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::oneshot;

use super::{Answer, failure, text};
use crate::gateway::Gateway;
use crate::model::{InvalidName, ModelName, Version};
use crate::serving::loader::{Command, Refused};

/// Largest body of a verb, in bytes.
const MAX_BODY: usize = 4096;

/// A path under which something is done.
pub(super) enum Verb {
    /// `POST /sync`, `POST /models/NAME/sync`: look at the registry now.
    Sync(Option<String>),
    /// `POST /models/NAME/pin` with `{"version": "6"}`: serve this version whatever the registry says.
    Pin(String),
    /// `DELETE /models/NAME/pin`: follow the registry again.
    Unpin(String),
    /// `POST /models/NAME/rollback`: pin the version that served before.
    Rollback(String),
    /// A verb by another method.
    Misused,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PinBody {
    version: serde_json::Value,
}

impl Verb {
    /// The verb of a request; `None` for other paths.
    pub(super) fn of(method: &Method, path: &str) -> Option<Self> {
        if path == "/sync" {
            return Some(if method == Method::POST { Self::Sync(None) } else { Self::Misused });
        }
        let (name, verb) = path.strip_prefix("/models/")?.split_once('/')?;
        let name = name.to_owned();
        Some(match (verb, method) {
            ("sync", &Method::POST) => Self::Sync(Some(name)),
            ("pin", &Method::POST) => Self::Pin(name),
            ("pin", &Method::DELETE) => Self::Unpin(name),
            ("rollback", &Method::POST) => Self::Rollback(name),
            ("sync" | "pin" | "rollback", _) => Self::Misused,
            _ => return None,
        })
    }

    /// Has the loader do it, and waits for the outcome.
    pub(super) async fn perform(self, gateway: &Gateway, request: Request<Incoming>) -> Answer {
        let invalid = |error: &dyn std::fmt::Display| {
            failure(StatusCode::BAD_REQUEST, "invalid_request", &error.to_string())
        };
        let (reply, outcome) = oneshot::channel();
        let command = match self {
            Self::Misused => {
                let text = "this path takes another method";
                return failure(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", text);
            }
            Self::Sync(name) => {
                let name = name.map(|name| name.parse()).transpose();
                name.map(|name| (Command::Sync(name, reply), json!({"synced": true})))
            }
            Self::Pin(name) => match pinned(request).await {
                Ok(version) => name.parse().map(|name: ModelName| {
                    let done = json!({"pinned": version.to_string(), "model": name.as_str()});
                    (Command::Pin(name, Some(version), reply), done)
                }),
                Err(error) => return invalid(&error),
            },
            Self::Unpin(name) => name.parse().map(|name: ModelName| {
                let done = json!({"pinned": null, "model": name.as_str()});
                (Command::Pin(name, None, reply), done)
            }),
            Self::Rollback(name) => name.parse().map(|name: ModelName| {
                let done = json!({"rolled_back": true, "model": name.as_str()});
                (Command::Rollback(name, reply), done)
            }),
        };
        let (command, done) = match command {
            Ok(command) => command,
            Err(error) => {
                let error: InvalidName = error;
                return invalid(&error);
            }
        };
        let ended = || failure(StatusCode::SERVICE_UNAVAILABLE, "not_ready", "the loader is shutting down");
        if gateway.loader.send(command).is_err() {
            return ended();
        }
        match outcome.await {
            Ok(Ok(())) => text(StatusCode::OK, &done),
            Ok(Err(refused)) => {
                let (status, code) = match refused {
                    Refused::Unknown(_) => (StatusCode::NOT_FOUND, "unknown_model"),
                    Refused::Conflict(_) | Refused::Load(_) => (StatusCode::CONFLICT, "load_failed"),
                    Refused::Unreachable(_) => (StatusCode::SERVICE_UNAVAILABLE, "registry_unreachable"),
                };
                failure(status, code, &refused.to_string())
            }
            Err(_) => ended(),
        }
    }
}

/// The version that a pin names, as a text or a number.
async fn pinned(request: Request<Incoming>) -> Result<Version, String> {
    const FORM: &str = "the body is {\"version\": \"6\"}";
    let body = Limited::new(request.into_body(), MAX_BODY).collect().await;
    let body = body.map_err(|error| format!("the body cannot be read: {error}"))?.to_bytes();
    let pin: PinBody = serde_json::from_slice(&body).map_err(|error| format!("{FORM}: {error}"))?;
    let version = match &pin.version {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    version.parse().map_err(|error: InvalidName| error.to_string())
}
