//! What is known of features: `/drift`, `/drift/MODEL` and `/drift/MODEL/profile`.

use hyper::StatusCode;
use tokio::sync::oneshot;

use super::{Answer, failure, text};
use crate::gateway::Gateway;
use crate::monitor::{Ask, Seen};

/// What a path asks, with `?version=N` for another version than the one that the name means; none for others.
pub(super) fn asked(path: &str, query: &str) -> Option<Seen> {
    let version = match query.strip_prefix("version=") {
        Some(version) => Some(version.parse().ok()?),
        None => None,
    };
    let rest = path.strip_prefix("/drift")?;
    if rest.is_empty() {
        return Some(Seen::All);
    }
    let rest = rest.strip_prefix('/')?;
    match rest.strip_suffix("/profile") {
        Some(model) => model.parse().ok().map(|model| Seen::Profile(model, version)),
        None => rest.parse().ok().map(|model| Seen::Of(model, version)),
    }
}

/// The answer.
pub(super) async fn answer(gateway: &Gateway, seen: Seen) -> Answer {
    let (reply, result) = oneshot::channel();
    let missing = match &seen {
        Seen::All => "nothing is watched".into(),
        Seen::Of(model, _) => format!("no such version of model `{model}` is watched; see /drift"),
        Seen::Profile(model, _) => format!("no reference of model `{model}` is known yet; see /drift"),
    };
    gateway.monitor.ask(Ask::Drift(seen, reply));
    match result.await {
        Ok(Some(known)) => text(StatusCode::OK, &known),
        Ok(None) => failure(StatusCode::NOT_FOUND, "not_found", &missing),
        Err(_) => failure(StatusCode::SERVICE_UNAVAILABLE, "not_ready", "the monitor has ended"),
    }
}
