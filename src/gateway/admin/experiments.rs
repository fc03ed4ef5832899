//! What experiments are on, and which rule or slot decides about a request.

use hyper::StatusCode;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::{Answer, failure, text};
use crate::experiment::{Decision, Experiment, Given};
use crate::gateway::Gateway;
use crate::gateway::route::decode;
use crate::monitor::Ask;

/// The answer to a `GET`, or nothing for other paths.
pub(super) fn answer(gateway: &Gateway, path: &str, query: &str) -> Option<Answer> {
    let rest = path.strip_prefix("/experiments")?;
    if rest.is_empty() {
        return Some(text(StatusCode::OK, &list(gateway)));
    }
    let name = rest.strip_prefix('/')?.strip_suffix("/explain")?;
    let config = gateway.config.load();
    let Some(experiment) = config.experiments.iter().find(|experiment| experiment.name.as_str() == name)
    else {
        let message = format!("no experiment `{}` is switched on", crate::model::shorten(name));
        return Some(failure(StatusCode::NOT_FOUND, "unknown_experiment", &message));
    };
    Some(match given(experiment, query) {
        Ok(given) => text(StatusCode::OK, &explain(gateway, experiment, &given)),
        Err(message) => failure(StatusCode::BAD_REQUEST, "invalid_request", &message),
    })
}

/// The experiment that `/experiments/NAME` names.
pub(super) fn reported(path: &str) -> Option<&str> {
    path.strip_prefix("/experiments/").filter(|name| !name.is_empty() && !name.contains('/'))
}

/// What is known of an experiment.
pub(super) async fn report(gateway: &Gateway, name: &str) -> Answer {
    let (reply, result) = oneshot::channel();
    gateway.monitor.ask(Ask::Report(name.to_owned(), reply));
    match result.await {
        Ok(Some(report)) => text(StatusCode::OK, &report),
        Ok(None) => {
            let message = format!("no experiment `{}` routes requests", crate::model::shorten(name));
            failure(StatusCode::NOT_FOUND, "unknown_experiment", &message)
        }
        Err(_) => failure(StatusCode::SERVICE_UNAVAILABLE, "not_ready", "the monitor has ended"),
    }
}

/// Definitions, with what answers for each variant.
fn list(gateway: &Gateway) -> Value {
    let (config, status) = (gateway.config.load(), gateway.serving.status.load());
    let describe = |experiment: &Experiment| {
        let name = experiment.name.as_str();
        let texts = |items: Vec<String>| json!(items);
        json!({
            "name": name,
            "model": experiment.model.as_str(),
            "unit": experiment.unit.to_string(),
            "salt": experiment.salt.as_str(),
            "hash": experiment.hash.name(),
            "coverage": experiment.coverage.to_string(),
            "default": experiment.default.map(|at| experiment.variants[at].name.as_str()),
            "segment": texts(experiment.segment.iter().map(ToString::to_string).collect()),
            "rules": texts(experiment.rules.iter().map(ToString::to_string).collect()),
            "shadows": status.experiments.iter().find(|known| known.name == name).map(|known| &known.shadows),
            "shadow_share": experiment.shadow_share.to_string(),
            "variants": status.experiments.iter().find(|known| known.name == name).map(|known| &known.variants),
        })
    };
    config.experiments.iter().map(describe).collect()
}

fn explain(gateway: &Gateway, experiment: &Experiment, given: &Given) -> Value {
    let mut explanation = json!(experiment.explain(given));
    let snapshot = gateway.serving.snapshot.load();
    let model = snapshot.models.get(&experiment.model);
    let router = model.and_then(|model| Some((model, model.router.as_ref()?)));
    // A definition of just now routes from the next snapshot on.
    explanation["answer"] = match router.filter(|(_, router)| router.experiment() == experiment) {
        Some((model, router)) => {
            let Decision { variant, reason, .. } = experiment.decide_under(&router.ruling, given);
            let routed = router.answer(model, variant, reason);
            json!({
                "variant": routed.arm.map(|arm| arm.name.as_str()),
                "version": routed.version.map(|version| version.version.to_string()),
                "reason": routed.reason.name(),
            })
        }
        None => Value::Null,
    };
    explanation
}

/// The request that a query describes: `unit`, `body`, and any number of `header` and `cookie` as `NAME=VALUE`.
fn given(experiment: &Experiment, query: &str) -> Result<Given, String> {
    let mut given = Given::default();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = decode(value).ok_or_else(|| format!("query parameter `{name}` is not valid text"))?;
        given.add(experiment, name, &value)?;
    }
    Ok(given)
}
