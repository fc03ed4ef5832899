//! What is known of features: `/drift`, `/drift/MODEL` and `/drift/MODEL/profile`.

use hyper::StatusCode;
use tokio::sync::oneshot;

use super::{Answer, failure, text};
use crate::gateway::Gateway;
use crate::monitor::{Ask, Seen};

/// What a path asks; none for others.
pub(super) fn asked(path: &str) -> Option<Seen> {
    let rest = path.strip_prefix("/drift")?;
    if rest.is_empty() {
        return Some(Seen::All);
    }
    let rest = rest.strip_prefix('/')?;
    match rest.strip_suffix("/profile") {
        Some(model) => model.parse().ok().map(Seen::Profile),
        None => rest.parse().ok().map(Seen::Of),
    }
}

/// The answer.
pub(super) async fn answer(gateway: &Gateway, seen: Seen) -> Answer {
    let (reply, result) = oneshot::channel();
    let missing = match &seen {
        Seen::All => "nothing is watched".into(),
        Seen::Of(model) => format!("no version of model `{model}` is watched; see /drift"),
        Seen::Profile(model) => format!("no reference of model `{model}` is known yet; see /drift"),
    };
    gateway.monitor.ask(Ask::Drift(seen, reply));
    match result.await {
        Ok(Some(known)) => text(StatusCode::OK, &known),
        Ok(None) => failure(StatusCode::NOT_FOUND, "not_found", &missing),
        Err(_) => failure(StatusCode::SERVICE_UNAVAILABLE, "not_ready", "the monitor has ended"),
    }
}
