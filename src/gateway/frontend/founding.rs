//! `/health`, `/model/info` and `/ping`.

use serde_json::{Value, json};

use super::oip::signature;
use crate::gateway::Gateway;
use crate::gateway::http::Answer;
use crate::gateway::route::{Route, query};
use crate::gateway::workspace::Workspace;
use crate::model::{ModelName, Reference, Selector, Stage};
use crate::serving::{ServedModel, ServedVersion, Snapshot};

/// Answers one of the three.
pub(in crate::gateway) fn answer(
    route: Route<'_>,
    gateway: &Gateway,
    snapshot: &Snapshot,
    parameters: &str,
    work: &mut Workspace,
) -> Answer {
    match route {
        Route::Ping => work.reply(if gateway.not_ready().is_none() { 200 } else { 503 }, &json!({})),
        Route::Health => match query(parameters, "model") {
            Ok(named) => health(gateway, snapshot, named.as_deref(), work),
            Err(message) => work.fail(400, "invalid_request", &message),
        },
        _ => info(snapshot, parameters, work),
    }
}

fn health(gateway: &Gateway, snapshot: &Snapshot, named: Option<&str>, work: &mut Workspace) -> Answer {
    let model = named.map(str::to_owned).or_else(|| snapshot.default_model.as_ref().map(ToString::to_string));
    let Some(model) = model else {
        let mut models: Vec<&str> = snapshot.models.keys().map(ModelName::as_str).collect();
        models.sort_unstable();
        return match gateway.not_ready() {
            None => work.reply(200, &json!({"status": "healthy", "model": null, "models": models})),
            Some(reason) => work.reply(
                503,
                &json!({"status": "unhealthy", "model": null, "models": models, "reason": reason}),
            ),
        };
    };
    let parsed = model.parse::<Reference>();
    let served = parsed.ok().and_then(|r| snapshot.resolve(r.name.as_str(), &r.selector).ok());
    let shown = crate::model::shorten(&model);
    match (served, gateway.draining.load(std::sync::atomic::Ordering::Relaxed)) {
        (Some(served), false) => work
            .reply(200, &json!({"status": "healthy", "model": shown, "version": served.version.to_string()})),
        (Some(_), true) => {
            work.reply(503, &json!({"status": "unhealthy", "model": shown, "reason": "draining"}))
        }
        (None, _) => {
            let reason = format!("model `{shown}` is not served");
            work.reply(503, &json!({"status": "unhealthy", "model": shown, "reason": reason}))
        }
    }
}

/// `GET /model/info?stage=Production[&model=NAME]`.
fn info(snapshot: &Snapshot, parameters: &str, work: &mut Workspace) -> Answer {
    let (stage, named) = match (query(parameters, "stage"), query(parameters, "model")) {
        (Ok(stage), Ok(named)) => (stage, named),
        (Err(message), _) | (_, Err(message)) => return work.fail(400, "invalid_request", &message),
    };
    let stage_name = stage.as_deref().unwrap_or("Production");
    let Some(stage) = Stage::parse(stage_name) else {
        return work.fail(400, "invalid_request", "stage is one of None, Staging, Production, Archived");
    };
    let name = match named.as_deref().or_else(|| snapshot.only_model().map(ModelName::as_str)) {
        Some(name) => name.to_owned(),
        None => return work.fail(404, "not_found", "name a model with ?model=NAME, or set default_model"),
    };
    let Some(model) = snapshot.models.get(name.as_str()) else {
        return work.fail(
            404,
            "not_found",
            &format!("model `{}` is not served", crate::model::shorten(&name)),
        );
    };
    match model.resolve_leniently(&Selector::Stage(stage)) {
        Some(served) => work.reply(200, &describe(model, served)),
        None => work.fail(
            404,
            "not_found",
            &format!("model `{name}` has no loaded version in stage {}", stage.name()),
        ),
    }
}

fn describe(model: &ServedModel, served: &ServedVersion) -> Value {
    let stage = model.versions.get(&served.version).map_or(Stage::None, |(stage, _)| *stage);
    let aliases: Vec<&String> =
        model.aliases.iter().filter(|(_, v)| **v == served.version).map(|(a, _)| a).collect();
    json!({
        "model_name": served.model.as_str(),
        "version": served.version.to_string(),
        "stage": stage.name(),
        "created": served.created,
        "aliases": aliases,
        "engine": served.engine.name(),
        "signature": signature(served),
        "digest": served.digest.to_string(),
    })
}
