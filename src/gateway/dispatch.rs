//! From a whole request to what has to be done: a prediction, an order for the loader, or an answer at once.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::Gateway;
use super::frontend::{founding, oip, sagemaker};
use super::http::{Answer, ContentType, Head};
use super::lane::Job;
use super::predict::{Form, INLINE_BODY_BYTES, Part, Prediction, Runner, overloaded};
use super::route::{NoRoute, Route, Shelved, decode, query, route};
use super::settings::Settings;
use super::target::Target;
use super::workspace::Workspace;
use crate::metrics::Outcome;
use crate::model::{ModelName, Reference, Selector, Version};
use crate::monitor;
use crate::protocol::Policy;
use crate::registry::store::Shelf;
use crate::serving::loader::{Command, Refused, Reply};
use crate::serving::{ServedVersion, Snapshot, StageNanos};

/// What is left to do after dispatch.
pub(super) enum Call {
    Predict(Box<Prediction>),
    Control(Control),
    Shelf(sagemaker::Order),
    Outcomes(monitor::Form),
}

/// An order for the loader.
pub(super) enum Control {
    Load(ModelName),
    Unload(ModelName),
}

/// Reads what a request asks for.
///
/// # Errors
/// The answer, when it can be given at once; not every one of them is an error.
pub(super) fn call(
    gateway: &Gateway,
    head: &Head,
    work: &mut Workspace,
    arrived: Instant,
) -> Result<Call, Answer> {
    // Path and query are taken out so that the answer can be written into the same buffers.
    let path = text(&work.input, &head.path);
    let found = match route(head.method, &path, gateway.shelf.is_some()) {
        Ok(found) => found,
        Err(NoRoute::NotFound) => {
            return Err(refuse(gateway, work, 404, "not_found", "there is nothing at this path"));
        }
        Err(NoRoute::MethodNotAllowed) => {
            return Err(refuse(gateway, work, 405, "method_not_allowed", "this path takes another method"));
        }
    };
    let settings = gateway.settings.load();
    let open = matches!(found, Route::ServerLive | Route::ServerReady | Route::Ping);
    let authorization = head.authorization.clone().map(|range| &work.input[range]);
    if !open && settings.tokens.as_ref().is_some_and(|tokens| !tokens.allow(authorization)) {
        let message = "a bearer token is needed: Authorization: Bearer …";
        return Err(refuse(gateway, work, 401, "unauthorized", message));
    }
    let parameters = text(&work.input, &head.query);
    let snapshot = gateway.serving.snapshot.load();
    match found {
        Route::Infer { model, version } => {
            let target = named(model, version, work)
                .and_then(|(model, selector)| Target::of(&snapshot, &model, &selector, head, work));
            let target = target.inspect_err(|answer| count(gateway, answer.status))?;
            let form = oip_form(head, work).inspect_err(|_| target.refused())?;
            predict(target, form, head, work, &settings, arrived)
        }
        Route::Predict | Route::Invocations => {
            let target = founding_target(&snapshot, &parameters, head, work);
            let target = target.inspect_err(|answer| count(gateway, answer.status))?;
            let form =
                table_form(head, work, found == Route::Invocations).inspect_err(|_| target.refused())?;
            predict(target, form, head, work, &settings, arrived)
        }
        Route::Invoke { model } => {
            let model = Shelf::called(&sagemaker::name(model, work)?);
            let target = Target::of(&snapshot, model.as_str(), &Selector::Default, head, work);
            let target = target.inspect_err(|answer| count(gateway, answer.status))?;
            let form = table_form(head, work, true).inspect_err(|_| target.refused())?;
            predict(target, form, head, work, &settings, arrived)
        }
        Route::Shelf(wish) => {
            if wish == Shelved::Load {
                check_type(head, work)?;
            }
            sagemaker::call(wish, gateway, &parameters, head, work).map(Call::Shelf)
        }
        Route::Outcomes => Ok(Call::Outcomes(outcomes_form(head, work)?)),
        Route::RepositoryLoad { model } | Route::RepositoryUnload { model } => {
            if !settings.repository_control {
                let message =
                    "loading by request is off; set http.repository_control, or change the registry";
                return Err(work.fail(400, "repository_control_off", message));
            }
            let name: ModelName =
                model.parse().map_err(|e| work.fail(400, "invalid_request", &format!("{e}")))?;
            oip::check_control_body(work)?;
            let unload = matches!(found, Route::RepositoryUnload { .. });
            Ok(Call::Control(if unload { Control::Unload(name) } else { Control::Load(name) }))
        }
        Route::Unsupported => Err(work.fail(501, "unsupported", "this extension is not supported")),
        Route::Ping | Route::Health | Route::ModelInfo => {
            Err(founding::answer(found, gateway, &snapshot, &parameters, work))
        }
        other => Err(oip::answer(other, gateway, &snapshot, work)),
    }
}

/// A path or query as owned text; heads were checked to be ASCII without control characters.
fn text(input: &[u8], range: &std::ops::Range<usize>) -> String {
    String::from_utf8_lossy(&input[range.clone()]).into_owned()
}

/// An error before any model is known, counted by its status.
fn refuse(gateway: &Gateway, work: &mut Workspace, status: u16, code: &str, message: &str) -> Answer {
    count(gateway, status);
    work.fail(status, code, message)
}

/// Counts a request that was refused before any model was known.
fn count(gateway: &Gateway, status: u16) {
    gateway.metrics.http_errors.with_label_values(&[&status.to_string()]).inc();
}

/// Which model a path names, and which of its versions: by `/versions/7`, or as `name@7`, `name@staging` and
/// `name@champion` do elsewhere (in a path `@` may come as `%40`). Only what no model's name can be costs anything.
///
/// # Errors
/// 404 for what no model or version is called, 400 for both at once.
pub(super) fn named<'a>(
    model: &'a str,
    version: Option<&str>,
    work: &mut Workspace,
) -> Result<(Cow<'a, str>, Selector), Answer> {
    if model.bytes().any(|byte| matches!(byte, b'@' | b'%')) {
        return referred(model, version, work).map(|(name, selector)| (Cow::Owned(name), selector));
    }
    let Some(version) = version else { return Ok((Cow::Borrowed(model), Selector::Default)) };
    match version.parse::<Version>() {
        Ok(version) => Ok((Cow::Borrowed(model), Selector::Version(version))),
        Err(_) => {
            let (model, version) = (crate::model::shorten(model), crate::model::shorten(version));
            Err(work.fail(404, "not_found", &format!("model `{model}` has no version `{version}`")))
        }
    }
}

/// The same of a text that is no plain name.
#[cold]
fn referred(model: &str, version: Option<&str>, work: &mut Workspace) -> Result<(String, Selector), Answer> {
    let text = decode(model).ok_or_else(|| {
        let text = format!("`{}` in the path is not valid text", crate::model::shorten(model));
        work.fail(404, "not_found", &text)
    })?;
    let reference: Reference = text.parse().map_err(|e| work.fail(404, "not_found", &format!("{e}")))?;
    if version.is_some() && reference.selector != Selector::Default {
        let message = "a version is named twice: behind the model's `@` and by /versions/; leave one out";
        return Err(work.fail(400, "invalid_request", message));
    }
    let (name, selector) = (reference.name.to_string(), reference.selector);
    Ok(match version {
        Some(_) => {
            let (_, selector) = named(&name, version, work)?;
            (name, selector)
        }
        None => (name, selector),
    })
}

/// The version a name and selector mean.
///
/// # Errors
/// 404 with the name.
pub(super) fn resolve<'a>(
    snapshot: &'a Snapshot,
    model: &str,
    selector: &Selector,
    work: &mut Workspace,
) -> Result<&'a Arc<ServedVersion>, Answer> {
    snapshot.resolve(model, selector).map_err(|e| work.fail(404, "not_found", &e.to_string()))
}

/// The model of a founding endpoint: `?model=NAME[@ref]`, else the default or only one.
fn founding_target<'a>(
    snapshot: &'a Snapshot,
    parameters: &str,
    head: &Head,
    work: &mut Workspace,
) -> Result<Target<'a>, Answer> {
    let named = query(parameters, "model").map_err(|e| work.fail(400, "invalid_request", &e))?;
    let reference: Cow<'_, str> = match &named {
        Some(name) => Cow::Borrowed(name),
        None => match snapshot.only_model() {
            Some(name) => Cow::Owned(name.to_string()),
            None if snapshot.models.is_empty() => {
                let answer = work.fail(503, "not_ready", "no model is served yet");
                return Err(Answer { retry_after: Some(1), ..answer });
            }
            None => {
                let message = "several models are served: name one with ?model=NAME or set default_model";
                return Err(work.fail(400, "model_needed", message));
            }
        },
    };
    let reference: Reference = reference.parse().map_err(|e| work.fail(404, "not_found", &format!("{e}")))?;
    Target::of(snapshot, reference.name.as_str(), &reference.selector, head, work)
}

fn predict(
    target: Target<'_>,
    form: Form,
    head: &Head,
    work: &mut Workspace,
    settings: &Settings,
    arrived: Instant,
) -> Result<Call, Answer> {
    let mut target = target;
    let mut fell_back = false;
    while target.circuit().is_open(arrived) {
        target.count(Outcome::Shed);
        target.failed(arrived);
        if let Some(instead) = target.instead() {
            target = instead;
            fell_back = true;
            continue;
        }
        let message = "this version, or its server, failed too often; it is tried again within a minute";
        let answer = work.fail(503, "circuit_open", message);
        return Err(Answer { retry_after: Some(30), ..answer });
    }
    if fell_back && let Some(arm) = target.arm {
        arm.stood_in();
    }
    let version = target.version;
    let mut timeout = settings.request_timeout;
    if let Some(range) = &head.timeout_ms {
        let wanted = std::str::from_utf8(&work.input[range.clone()]).ok().and_then(|t| t.parse::<u64>().ok());
        match wanted.filter(|ms| *ms > 0) {
            Some(ms) => timeout = timeout.min(Duration::from_millis(ms)),
            None => {
                target.refused();
                let message = "x-request-timeout-ms is not a whole number of milliseconds from 1";
                return Err(work.fail(400, "invalid_request", message));
            }
        }
    }
    let id = head.request_id.clone().map_or(&[][..], |range| &work.input[range]);
    Ok(Call::Predict(Box::new(Prediction {
        version: version.clone(),
        arm: target.arm.cloned(),
        part: target.part.map(|(track, enrolled)| Part { track: track.clone(), enrolled }),
        receipt: head.receipt.clone().is_some_and(|range| &work.input[range] == b"1"),
        form,
        policy: Policy {
            max_rows: settings.max_rows(&version.model),
            reject_non_finite: settings.reject_non_finite,
        },
        arrived,
        deadline: arrived + timeout,
        request_id: if id.len() <= crate::protocol::MAX_ID_BYTES { id.to_vec() } else { Vec::new() },
        times: StageNanos::default(),
        decoded: false,
        fallback: target.fallback.map(|(arm, _)| arm.clone()),
        fallback_after: target.fallback.map_or(Duration::ZERO, |(_, after)| after),
        fell_back,
        mirror: target.mirror.map(|(mirror, unit)| (mirror.clone(), unit)),
        light_only: false,
        prefix: Vec::new(),
    })))
}

/// A media type without its parameters, and the parameters.
fn media_type<'a>(head: &Head, work: &'a Workspace) -> Option<(&'a [u8], &'a [u8])> {
    let value = &work.input[head.content_type.clone()?];
    let end = value.iter().position(|b| *b == b';').unwrap_or(value.len());
    Some((value[..end].trim_ascii(), value[end..].trim_ascii()))
}

fn is(media: &[u8], name: &str) -> bool {
    media.eq_ignore_ascii_case(name.as_bytes())
}

/// JSON, octet-stream or nothing: official clients send no type at all.
fn is_json_or_binary(media: &[u8]) -> bool {
    media.is_empty() || is(media, "application/json") || is(media, "application/octet-stream")
}

fn wrong_type(work: &mut Workspace) -> Answer {
    let message = "send application/json or application/octet-stream, or no Content-Type; \
                   `curl -d` alone sends a form: add -H 'content-type: application/json'";
    work.fail(415, "unsupported_media_type", message)
}

fn check_type(head: &Head, work: &mut Workspace) -> Result<(), Answer> {
    let accepted = media_type(head, work).is_none_or(|(media, _)| is_json_or_binary(media));
    if accepted { Ok(()) } else { Err(wrong_type(work)) }
}

/// How an OIP body is to be read.
fn oip_form(head: &Head, work: &mut Workspace) -> Result<Form, Answer> {
    check_type(head, work)?;
    let Some(range) = head.header_length.clone() else {
        return Ok(Form::Oip { json_length: None, carrier: ContentType::Binary });
    };
    let digits = &work.input[range];
    let length = if digits.iter().all(u8::is_ascii_digit) { std::str::from_utf8(digits).ok() } else { None };
    match length.and_then(|text| text.parse::<usize>().ok()) {
        Some(0) => Ok(Form::OipRaw),
        Some(length) => Ok(Form::Oip { json_length: Some(length), carrier: ContentType::Binary }),
        None => {
            Err(work.fail(400, "invalid_request", "Inference-Header-Content-Length is not a usable number"))
        }
    }
}

/// How the body of outcomes is to be read.
fn outcomes_form(head: &Head, work: &mut Workspace) -> Result<monitor::Form, Answer> {
    match media_type(head, work) {
        Some((media, _)) if is(media, "application/x-ndjson") || is(media, "application/jsonl") => {
            Ok(monitor::Form::Lines)
        }
        Some((media, _)) if !is_json_or_binary(media) => {
            let message =
                "send application/json (one outcome or a list), or application/x-ndjson (one a line)";
            Err(work.fail(415, "unsupported_media_type", message))
        }
        _ => Ok(monitor::Form::Json),
    }
}

/// Has the monitor take outcomes and waits for what became of them.
pub(super) async fn outcomes(form: monitor::Form, gateway: &Gateway, work: &mut Workspace) -> Answer {
    let Some(result) = gateway.monitor.outcomes(work.body(), form) else { return overloaded(work) };
    let limit = gateway.settings.load().request_timeout;
    let Ok(result) = tokio::time::timeout(limit, result).await else {
        let message = "the outcomes were not counted in time, but may be yet; sent again, those by id or receipt count once, and those by \
             unit once more";
        return work.fail(504, "deadline_exceeded", message);
    };
    match result {
        Ok(Ok(answer)) => {
            let all = answer["results"].as_array().map_or(0, Vec::len) as u64;
            let status = if answer["accepted"] == all { 200 } else { 202 };
            work.reply(status, &answer)
        }
        Ok(Err(problem)) => work.fail(400, "invalid_request", &problem),
        Err(_) => work.fail(503, "not_ready", "the monitor has ended"),
    }
}

/// How the body of a founding endpoint is to be read.
fn table_form(head: &Head, work: &mut Workspace, invocations: bool) -> Result<Form, Answer> {
    let Some((media, parameters)) = media_type(head, work) else { return Ok(Form::Table) };
    if is_json_or_binary(media) {
        return Ok(Form::Table);
    }
    if invocations && is(media, "text/csv") {
        return Ok(Form::Csv);
    }
    if invocations && is(media, "application/vnd.sagemaker-triton.binary+json") {
        let size =
            parameters.strip_prefix(b";json-header-size=").and_then(|size| std::str::from_utf8(size).ok());
        return match size.and_then(|size| size.parse().ok()) {
            Some(length) => {
                Ok(Form::Oip { json_length: Some(length), carrier: ContentType::SageMakerBinary })
            }
            None => Err(work.fail(400, "invalid_request", "json-header-size is not a usable number")),
        };
    }
    Err(wrong_type(work))
}

impl Prediction {
    /// Runs here if it is light; `None` leaves it to a lane, decoded or not.
    pub(super) fn inline(&mut self, work: &mut Workspace, runner: &mut Runner) -> Option<Answer> {
        if work.body().len() > INLINE_BODY_BYTES {
            return None;
        }
        if let Err(answer) = self.decode(work) {
            return Some(answer);
        }
        if self.is_heavy(work) {
            return None;
        }
        self.light_only = true;
        let ran = self.run(work, runner, || true);
        self.light_only = false;
        ran
    }
}

/// Moves a prediction and its buffers into a job; the receiver gets them back with the answer.
pub(super) fn offload(
    prediction: Prediction,
    work: &mut Box<Workspace>,
) -> (oneshot::Receiver<(Box<Workspace>, Answer)>, Job) {
    let (reply, answer) = oneshot::channel();
    (answer, Job { prediction, work: std::mem::take(work), queued: Instant::now(), reply })
}

/// Has the loader carry out a command, and waits for what became of it; none where it has ended.
pub(super) async fn order(
    gateway: &Gateway,
    command: impl FnOnce(Reply) -> Command,
) -> Option<Result<(), Refused>> {
    let (reply, result) = oneshot::channel();
    gateway.loader.send(command(reply)).ok()?;
    result.await.ok()
}

impl Control {
    /// Has the loader do it and waits for the result.
    pub(super) async fn perform(self, gateway: &Gateway, work: &mut Workspace) -> Answer {
        let (command, name, verb): (fn(ModelName, Reply) -> Command, _, _) = match self {
            Self::Load(name) => (Command::Load, name, "load"),
            Self::Unload(name) => (Command::Unload, name, "unload"),
        };
        match order(gateway, |reply| command(name.clone(), reply)).await {
            Some(Ok(())) => work.reply(200, &serde_json::json!({"name": name.as_str(), verb: true})),
            Some(Err(message)) => work.fail(400, "load_failed", &message.to_string()),
            None => work.fail(503, "not_ready", "the loader has ended"),
        }
    }
}
