//! One exchange after another, over a connection that is kept for the next one.

use std::future::Future;
use std::io;
use std::time::{Duration, Instant};

use http::{HeaderValue, Method, Request, Response, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use tokio::runtime::{Builder, Runtime};

use super::body::{Outgoing, Sent};
use super::{Problem, stream};
use crate::config::{MlflowCredentials, MlflowUrl};

/// For a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// For the head of an answer, and for each piece of its body.
const PIECE: Duration = Duration::from_secs(20);
/// A connection that was not used for so long is not used again: MLflow's server closes it after five seconds.
const IDLE: Duration = Duration::from_secs(3);
/// What is read of an answer that is no success.
const REFUSAL_BYTES: usize = 64 << 10;

/// A request.
pub(super) struct Asked<'a> {
    pub(super) url: &'a MlflowUrl,
    pub(super) credentials: Option<&'a MlflowCredentials>,
    pub(super) method: Method,
    /// Path and query.
    pub(super) target: &'a str,
    pub(super) sent: Sent<'a>,
    /// When it has to be over.
    pub(super) until: Instant,
}

/// What is made at the first exchange, and the connection of the last.
#[derive(Default)]
pub(super) struct Link {
    runtime: Option<Runtime>,
    sender: Option<(SendRequest<Outgoing>, Instant)>,
}

/// A success.
pub(super) struct Answer {
    /// What its head says of its length.
    pub(super) length: Option<u64>,
    /// The bytes that went into the sink.
    pub(super) received: u64,
}

// === impl Link ===

impl Link {
    /// Sends a request; what a success carries goes into `sink`, at most `max` bytes.
    pub(super) fn exchange(
        &mut self,
        asked: &Asked<'_>,
        max: u64,
        sink: &mut dyn io::Write,
    ) -> Result<Answer, Problem> {
        let runtime = match &mut self.runtime {
            Some(runtime) => runtime,
            None => {
                let made = Builder::new_current_thread().enable_all().build();
                self.runtime.insert(made.map_err(Problem::Local)?)
            }
        };
        let kept = self.sender.take().filter(|(_, since)| since.elapsed() < IDLE).map(|(sender, _)| sender);
        let (outcome, sender) = runtime.block_on(async {
            // That the server closed a connection is noticed now, not by the request that is to use it.
            tokio::task::yield_now().await;
            let (answer, sender) = send(asked, kept.filter(|sender| !sender.is_closed())).await?;
            Ok::<_, Problem>((receive(asked, answer, max, sink).await, sender))
        })?;
        // After any other end something of the answer may still be on its way.
        if matches!(outcome, Ok(_) | Err(Problem::Refused { .. } | Problem::Denied(_))) {
            self.sender = Some((sender, Instant::now()));
        }
        outcome
    }
}

impl Drop for Link {
    /// A runtime must not wait for its threads where others are asynchronous, which is where a server may end.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn send(
    asked: &Asked<'_>,
    kept: Option<SendRequest<Outgoing>>,
) -> Result<(Response<Incoming>, SendRequest<Outgoing>), Problem> {
    if let Some(mut sender) = kept {
        match within(asked, PIECE + upload(asked), sender.try_send_request(request(asked)?)).await? {
            Ok(answer) => return Ok((answer, sender)),
            // It was closed at the moment that it was used again, and nothing was sent.
            Err(error) if error.message().is_some() => {}
            Err(error) => return Err(unreachable(error.error())),
        }
    }
    let connected = within(asked, CONNECT, stream::connect(asked.url)).await?;
    let mut sender = connected.map_err(Problem::Unreachable)?;
    let answer = within(asked, PIECE + upload(asked), sender.send_request(request(asked)?)).await?;
    Ok((answer.map_err(|error| unreachable(&error))?, sender))
}

async fn receive(
    asked: &Asked<'_>,
    answer: Response<Incoming>,
    max: u64,
    sink: &mut dyn io::Write,
) -> Result<Answer, Problem> {
    let status = answer.status();
    let length = answer.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
    let (mut body, mut refusal, mut received) = (answer.into_body(), Vec::new(), 0);
    if let Some(bytes) =
        length.filter(|bytes| status.is_success() && asked.method != Method::HEAD && *bytes > max)
    {
        return Err(Problem::TooLarge { bytes, max });
    }
    while let Some(frame) = within(asked, PIECE, body.frame()).await? {
        let frame = frame.map_err(|error| unreachable(&error))?;
        let Some(data) = frame.data_ref() else { continue };
        if !status.is_success() {
            let room = REFUSAL_BYTES.saturating_sub(refusal.len()).min(data.len());
            refusal.extend(data.iter().take(room));
            continue;
        }
        received += data.len() as u64;
        if received > max {
            return Err(Problem::TooLarge { bytes: received, max });
        }
        sink.write_all(data).map_err(Problem::Local)?;
    }
    if status.is_success() {
        Ok(Answer { length, received })
    } else {
        Err(Problem::of(status.as_u16(), &refusal))
    }
}

fn request(asked: &Asked<'_>) -> Result<Request<Outgoing>, Problem> {
    let body = Outgoing::open(asked.sent).map_err(Problem::Local)?;
    let mut request = Request::builder()
        .method(asked.method.clone())
        .uri(format!("{}{}", asked.url.path, asked.target))
        .header(header::HOST, asked.url.authority())
        .header(header::USER_AGENT, concat!("sidegate/", env!("CARGO_PKG_VERSION")));
    let kind = match asked.sent {
        Sent::Nothing => None,
        Sent::Json(_) => Some("application/json"),
        Sent::File(_) => Some("application/octet-stream"),
    };
    if let Some(kind) = kind {
        request = request.header(header::CONTENT_TYPE, kind).header(header::CONTENT_LENGTH, body.left());
    }
    if let Some(credentials) = asked.credentials {
        let unusable = |_| Problem::Denied("the credentials have characters that no header can hold".into());
        let mut value = HeaderValue::try_from(authorization(credentials)).map_err(unusable)?;
        value.set_sensitive(true);
        request = request.header(header::AUTHORIZATION, value);
    }
    request.body(body).map_err(|error| Problem::Local(io::Error::other(error)))
}

fn authorization(credentials: &MlflowCredentials) -> String {
    match credentials {
        MlflowCredentials::Token(token) => format!("Bearer {token}"),
        MlflowCredentials::Basic { user, password } => {
            format!("Basic {}", base64(format!("{user}:{password}").as_bytes()))
        }
    }
}

/// RFC 4648, with padding.
pub(super) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits =
            group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for digit in 0..4 {
            let value = (bits >> (18 - 6 * digit)) & 63;
            text.push(if digit <= group.len() { char::from(DIGITS[value as usize]) } else { '=' });
        }
    }
    text
}

/// What sending takes before an answer can begin.
fn upload(asked: &Asked<'_>) -> Duration {
    match asked.sent {
        Sent::File(_) => asked.until.saturating_duration_since(Instant::now()),
        Sent::Nothing | Sent::Json(_) => Duration::ZERO,
    }
}

/// The outcome, unless it takes longer than this or than everything may.
async fn within<T>(
    asked: &Asked<'_>,
    longest: Duration,
    work: impl Future<Output = T>,
) -> Result<T, Problem> {
    let until = asked.until.min(Instant::now() + longest);
    let late = |_| Problem::Unreachable("it did not answer in time".into());
    tokio::time::timeout_at(until.into(), work).await.map_err(late)
}

/// The innermost cause says most.
fn unreachable(error: &dyn std::error::Error) -> Problem {
    let innermost = std::iter::successors(Some(error), |error| error.source()).last().unwrap_or(error);
    Problem::Unreachable(innermost.to_string())
}
