//! SageMaker's contract with a container of many models: `/models` and what is below it, where `registry.url` is a shelf.
//! <https://docs.aws.amazon.com/sagemaker/latest/dg/mms-container-apis.html>
//!
//! A model that is asked for is put on the shelf, and then the loader finds it there like any other; nothing of it is
//! decided here. `/models/NAME/invoke` is `/invocations` of that model and needs none of this.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::gateway::Gateway;
use crate::gateway::dispatch::order;
use crate::gateway::http::{Answer, Head, fields};
use crate::gateway::route::{Shelved, decode_path, query};
use crate::gateway::workspace::Workspace;
use crate::model::{Reason, shorten};
use crate::registry::store::{Claim, NotPut, Placed, Shelf};
use crate::serving::loader::{Command, Refused};

/// Models of a page, unless `limit` says otherwise.
const PAGE: usize = 100;
/// Most of one.
const MAX_PAGE: usize = 1000;
/// SageMaker gives a load up after six minutes.
const LOAD_WAIT: Duration = Duration::from_secs(360);
/// Between two looks whether an unloaded model is in use.
const RELEASE_LOOK: Duration = Duration::from_millis(2);

/// A change of what is loaded.
pub(in crate::gateway) enum Order {
    Load(Claim),
    Unload(Claim),
}

/// The body of a load.
#[derive(Deserialize)]
struct Wanted {
    model_name: String,
    url: String,
}

/// Answers a question, or says what is to be done.
///
/// # Errors
/// The answer, where there is nothing to be done.
pub(in crate::gateway) fn call(
    wish: Shelved<'_>,
    gateway: &Gateway,
    parameters: &str,
    head: &Head,
    work: &mut Workspace,
) -> Result<Order, Answer> {
    let Some(shelf) = &gateway.shelf else {
        return Err(work.fail(404, "not_found", "no models come by request here"));
    };
    match wish {
        Shelved::List => Err(list(shelf, parameters, work)),
        Shelved::Load => load(gateway, shelf, head, work).map(Order::Load),
        Shelved::Unload { model } => {
            let name = name(model, work)?;
            shelf.take(&name).map(Order::Unload).ok_or_else(|| not_loaded(&name, work))
        }
        Shelved::Show { model } => {
            let name = name(model, work)?;
            Err(match shelf.get(&name) {
                Some(placed) => work.reply(200, &shown(&placed)),
                None => not_loaded(&name, work),
            })
        }
    }
}

/// What a part of a path names: the model as who loaded it calls it.
///
/// # Errors
/// 404 for what is no text.
pub(in crate::gateway) fn name<'a>(part: &'a str, work: &mut Workspace) -> Result<Cow<'a, str>, Answer> {
    decode_path(part).ok_or_else(|| not_loaded(part, work))
}

fn not_loaded(name: &str, work: &mut Workspace) -> Answer {
    work.fail(404, "not_found", &format!("model `{}` is not loaded", shorten(name)))
}

fn shown(placed: &Placed) -> Value {
    json!({"modelName": placed.name, "modelUrl": placed.url})
}

fn list(shelf: &Shelf, parameters: &str, work: &mut Workspace) -> Answer {
    let read =
        query(parameters, "next_page_token").and_then(|after| Ok((after, query(parameters, "limit")?)));
    let (after, limit) = match read {
        Ok(read) => read,
        Err(text) => return work.fail(400, "invalid_request", &text),
    };
    let limit = limit.map_or(Some(PAGE), |text| text.parse().ok());
    let Some(limit) = limit.filter(|limit| (1..=MAX_PAGE).contains(limit)) else {
        let text = format!("limit is a whole number from 1 to {MAX_PAGE}");
        return work.fail(400, "invalid_request", &text);
    };
    let (page, token) = shelf.page(after.as_deref(), limit);
    let mut answer = json!({"models": page.iter().map(shown).collect::<Vec<_>>()});
    if let Some(token) = token {
        answer["nextPageToken"] = json!(token);
    }
    work.reply(200, &answer)
}

fn load(gateway: &Gateway, shelf: &Shelf, head: &Head, work: &mut Workspace) -> Result<Claim, Answer> {
    let Wanted { model_name, url } = serde_json::from_slice(work.body()).map_err(|error| {
        let form = "the body is {\"model_name\": NAME, \"url\": FOLDER}";
        work.fail(400, "invalid_request", &format!("{form}: {error}"))
    })?;
    let most = gateway.config.load().registry.max_models;
    let claim = shelf.put(&model_name, &url, most).map_err(|why| {
        let (status, code) = match why {
            NotPut::Taken => (409, "already_loaded"),
            NotPut::Full(_) => (507, "too_many_models"),
            NotPut::Unfit => (400, "invalid_request"),
        };
        work.fail(status, code, &why.to_string())
    })?;
    // SageMaker's names are hashes; here it says of what, and nowhere else.
    let target = fields(&work.input[..head.length], "x-amzn-sagemaker-target-model").next();
    let target = target.map(|target| shorten(&String::from_utf8_lossy(target)));
    tracing::info!(model = %claim.model, name = ?shorten(&model_name), ?target, "a model is asked for");
    Ok(claim)
}

// === impl Order ===

impl Order {
    /// Has the loader do it and waits for the result. Whatever ends this, the model is on the shelf only if it is loaded.
    pub(in crate::gateway) async fn perform(self, gateway: &Gateway, work: &mut Workspace) -> Answer {
        match self {
            Self::Load(claim) => {
                let loaded = tokio::time::timeout(LOAD_WAIT, loaded(gateway, &claim)).await;
                match loaded.unwrap_or_else(|_| Some(Err(Refused::Unreachable("it takes too long".into())))) {
                    Some(Ok(())) => {
                        let answer = work.reply(200, &shown(&claim.placed));
                        claim.keep();
                        answer
                    }
                    Some(Err(refused)) => refuse(&refused, work),
                    None => work.fail(503, "not_ready", "the loader is shutting down"),
                }
            }
            Self::Unload(claim) => {
                unloaded(gateway, &claim).await;
                work.reply(200, &shown(&claim.placed))
            }
        }
    }
}

/// What became of a load. The loader answers after half a minute at the latest, and what it is at goes on.
async fn loaded(gateway: &Gateway, claim: &Claim) -> Option<Result<(), Refused>> {
    loop {
        let result = order(gateway, |reply| Command::Load(claim.model.clone(), reply)).await;
        if !matches!(result, Some(Err(Refused::Unreachable(_)))) {
            return result;
        }
    }
}

/// Returns when the model answers nothing any more and its memory is free, or after as long as requests may take.
async fn unloaded(gateway: &Gateway, claim: &Claim) {
    let served = {
        let snapshot = gateway.serving.snapshot.load();
        let model = snapshot.models.get(&claim.model);
        model.and_then(|model| model.default.as_ref()).map(Arc::downgrade)
    };
    // Nothing of it may be there; then there is nothing to end.
    drop(order(gateway, |reply| Command::Unload(claim.model.clone(), reply)).await);
    let limit = Instant::now() + gateway.settings.load().request_timeout;
    while served.as_ref().is_some_and(|served| served.strong_count() > 0) && Instant::now() < limit {
        tokio::time::sleep(RELEASE_LOOK).await;
    }
}

/// SageMaker makes room where it is told that there is none; all else is the model's own matter, or ours.
fn refuse(refused: &Refused, work: &mut Workspace) -> Answer {
    let (status, code) = match refused {
        Refused::Load(error) => match error.code {
            Reason::Memory => (507, error.code.name()),
            Reason::Timeout | Reason::Crashed => (500, error.code.name()),
            _ => (400, error.code.name()),
        },
        Refused::Unknown(_) | Refused::Conflict(_) => (400, "load_failed"),
        Refused::Unreachable(_) => (504, "deadline_exceeded"),
    };
    work.fail(status, code, &refused.to_string())
}
