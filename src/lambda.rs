//! The gateway as a function of AWS Lambda: events from the Runtime API become requests to the data port's own code, and
//! its answers what the event's sender expects. No rule of a protocol is written here, and nothing listens.
//!
//! One invocation at a time: [`Api::next`] waits, [`event`] makes a request of it, a connection of its own carries that
//! ([`Running::connect`]), [`reply`] makes a payload of the answer.

mod api;
mod emf;
mod event;
mod http;
mod reply;

use std::time::{Duration, Instant, SystemTime};

use ::http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Bytes;

use crate::gateway::{Gateway, Running};

pub use api::{Api, Broken, Invocation};
pub use emf::Embedded;
pub use reply::Fault;
use reply::{Reply, problem};

/// What an answer that comes in time needs on its way, at most: Lambda ends what takes longer than the deadline.
const WAY_BACK: Duration = Duration::from_millis(100);
/// Longest that a function may take: the time of an invocation that tells no deadline.
const LONGEST: Duration = Duration::from_mins(15);
/// Lambda's own limit of the time from its start to the first question for an invocation, with something to spare.
const INIT: Duration = Duration::from_secs(8);

/// Why a function ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// It cannot serve what it is to serve; Lambda was told.
    #[error("{0}")]
    NotReady(String),
    /// The Runtime API is out of order.
    #[error(transparent)]
    Api(#[from] Broken),
}

/// Answers invocations until a signal asks the process to end; then drains. The first is asked for when the first look at
/// the registry is over. With `embedded` what each counted is handed to `tell`, as lines for CloudWatch.
///
/// # Errors
/// A required model that cannot be served, or a Runtime API that cannot be used.
pub async fn serve(
    mut running: Running,
    mut api: Api,
    embedded: Option<Embedded>,
    tell: impl Fn(&str),
) -> Result<(), Failure> {
    let result = function(&mut running, &mut api, embedded, tell).await;
    running.end().await;
    result
}

async fn function(
    running: &mut Running,
    api: &mut Api,
    mut embedded: Option<Embedded>,
    tell: impl Fn(&str),
) -> Result<(), Failure> {
    let gateway = running.gateway.clone();
    let ready = tokio::select! {
        ready = ready(&gateway) => ready,
        () = running.asked_to_end() => return Ok(()),
    };
    if let Err(reason) = ready {
        api.refuse_start(&Fault { kind: "Sidegate.NotReady".into(), message: reason.clone() }).await;
        return Err(Failure::NotReady(reason));
    }
    loop {
        let invocation = tokio::select! {
            // What was handed out is answered, whatever else comes.
            biased;
            next = api.next() => next?,
            () = running.asked_to_end() => return Ok(()),
        };
        let reply = answer(running, &invocation).await;
        // Before the answer: behind it the process may stand still.
        if let Some(embedded) = &mut embedded {
            tell(&embedded.lines(gateway.metrics.totals(), SystemTime::now()));
        }
        api.reply(&invocation, reply).await?;
    }
}

/// Waits for the first look at the registry: as ready as a sidecar that gets traffic.
async fn ready(gateway: &Gateway) -> Result<(), String> {
    let start = Instant::now();
    let mut warned = false;
    loop {
        let status = gateway.serving.status.load_full();
        if status.first_look_is_over() {
            let elapsed = start.elapsed();
            tracing::info!(?elapsed, reason = status.not_ready, "the first look at the registry is over");
            return status.not_ready.clone().map_or(Ok(()), Err);
        }
        if !warned && start.elapsed() > INIT {
            warned = true;
            tracing::warn!(
                "models still load; Lambda gives a start 10 s, then begins it anew within the first invocation's time: serve \
                 fewer models, smaller ones, or from nearer by"
            );
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What became of one invocation.
async fn answer(running: &Running, invocation: &Invocation) -> Reply {
    let (form, request) = event::read(&invocation.payload);
    let patience = patience(invocation.deadline, SystemTime::now());
    let response = match request {
        Ok(mut request) => {
            complete(request.headers_mut(), &invocation.id, patience);
            // The data path keeps the deadline of predictions itself; this is for everything else.
            let asked = tokio::time::timeout(patience + WAY_BACK / 2, ask(running, request));
            asked.await.unwrap_or_else(|_| {
                Ok(problem(
                    StatusCode::GATEWAY_TIMEOUT,
                    "deadline_exceeded",
                    "the invocation's time was over",
                ))
            })
        }
        Err(malformed) => Ok(problem(StatusCode::BAD_REQUEST, "invalid_event", &malformed)),
    };
    let response = response.unwrap_or_else(|error| {
        tracing::error!(id = invocation.id, %error, "an invocation was lost");
        problem(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the request was lost; see the log")
    });
    tracing::debug!(id = invocation.id, status = response.status().as_u16(), "answered");
    Reply::new(form, response)
}

/// The data port's answer. The connection is one of its own: one that was kept would be as old as the function slept.
async fn ask(running: &Running, request: Request<Bytes>) -> Result<Response<Bytes>, http::Error> {
    let mut connection = http::open(running.connect()?).await?;
    http::exchange(&mut connection, request.map(Full::new)).await
}

/// How long a request may take so that its answer still arrives.
fn patience(deadline: Option<SystemTime>, now: SystemTime) -> Duration {
    let Some(deadline) = deadline else { return LONGEST };
    let left = deadline.duration_since(now).unwrap_or_default();
    (left - WAY_BACK.min(left / 10)).max(Duration::from_millis(1))
}

/// Adds what the data path goes by, where the client gave no stricter word.
fn complete(headers: &mut HeaderMap, id: &str, patience: Duration) {
    let left = patience.as_millis() as u64;
    let wanted = headers.get("x-request-timeout-ms").map(|value| value.to_str().ok()?.parse::<u64>().ok());
    // What is no number is refused by who reads it.
    if wanted.is_none_or(|wanted| wanted.is_some_and(|wanted| wanted > left)) {
        headers.insert("x-request-timeout-ms", left.into());
    }
    if !headers.contains_key("x-request-id")
        && let Ok(id) = HeaderValue::from_str(id)
    {
        headers.insert("x-request-id", id);
    }
}

#[cfg(test)]
mod tests;
