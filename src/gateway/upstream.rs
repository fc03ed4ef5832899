//! Requests of our own to the servers of remote variants, over connections that a worker keeps.
//!
//! Nothing of what the client sent is passed on as it came: the body is encoded anew, and of its head there is the id.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::serving::remote::Remote;

/// Most idle connections to one server that a worker keeps.
const KEEP_IDLE: usize = 16;
/// Longest that one is kept.
const IDLE: Duration = Duration::from_secs(30);
/// Largest head of an answer.
const HEAD_BYTES: usize = 64 << 10;

/// Why there is no answer, in words for the log.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The time was over.
    #[error("it did not answer in time")]
    Time,
    /// Too many wait already.
    #[error("too many requests wait for it")]
    Busy,
    /// The server refused this request; others may fare better.
    #[error("it answered {0}")]
    Refused(StatusCode),
    /// It was not asked: the request cannot be said in JSON.
    #[error("{0}")]
    Unsaid(String),
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

type Sender = SendRequest<Full<Bytes>>;

/// The idle connections to one server, the last used at the end.
struct Pool {
    remote: Weak<Remote>,
    idle: Vec<(Sender, Instant)>,
}

thread_local! {
    static POOLS: RefCell<Vec<Pool>> = const { RefCell::new(Vec::new()) };
}

/// Sends a body to a model's `/infer` and returns that of the answer, at most `limit` bytes.
///
/// # Errors
/// See [`Failure`].
pub(super) async fn ask(
    remote: &Arc<Remote>,
    body: Vec<u8>,
    id: &[u8],
    deadline: Instant,
    limit: usize,
) -> Result<Vec<u8>, Failure> {
    let Some(_waiting) = remote.enter() else { return Err(Failure::Busy) };
    let asked = exchange(remote, body.into(), id, deadline, limit);
    tokio::time::timeout_at(deadline.into(), asked).await.unwrap_or(Err(Failure::Time))
}

async fn exchange(
    remote: &Arc<Remote>,
    body: Bytes,
    id: &[u8],
    deadline: Instant,
    limit: usize,
) -> Result<Vec<u8>, Failure> {
    if let Some(mut sender) = idle(remote).await {
        match sender.try_send_request(request(remote, body.clone(), id, deadline)?).await {
            Ok(answer) => return read(remote, sender, answer, limit).await,
            Err(error) => {
                // A server that closes an idle connection may do so at the moment that it is used again.
                let closed = error.message().is_some() || error.error().is_incomplete_message();
                let closed = closed || error.error().is_closed() || error.error().is_canceled();
                let closed = closed || is_reset(error.error());
                if !closed || !remote.may_retry() {
                    return Err(failed(error.error()));
                }
            }
        }
    }
    let url = &remote.url;
    let stream = TcpStream::connect((url.host.as_str(), url.port)).await.map_err(|error| failed(&error))?;
    stream.set_nodelay(true).map_err(|error| failed(&error))?;
    let mut builder = Builder::new();
    builder.max_buf_size(HEAD_BYTES);
    let (mut sender, connection) =
        builder.handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
    crate::task::spawn("upstream", async move { drop(connection.await) });
    let answer = sender.send_request(request(remote, body, id, deadline)?).await;
    read(remote, sender, answer.map_err(|error| failed(&error))?, limit).await
}

fn request(
    remote: &Remote,
    body: Bytes,
    id: &[u8],
    deadline: Instant,
) -> Result<Request<Full<Bytes>>, Failure> {
    let left = deadline.saturating_duration_since(Instant::now()).as_millis().max(1) as u64;
    let mut request = Request::post(format!("{}/infer", remote.url.path))
        .header(header::HOST, remote.url.authority())
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CONTENT_LENGTH, body.len())
        .header("x-request-timeout-ms", left);
    if let Some(id) = Some(id).filter(|id| !id.is_empty()).and_then(|id| HeaderValue::from_bytes(id).ok()) {
        request = request.header("x-request-id", id);
    }
    request.body(Full::new(body)).map_err(|error| failed(&error))
}

async fn read(
    remote: &Arc<Remote>,
    sender: Sender,
    answer: http::Response<hyper::body::Incoming>,
    limit: usize,
) -> Result<Vec<u8>, Failure> {
    let status = answer.status();
    let mut body = answer.into_body();
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| failed(&error))?;
        let Some(data) = frame.data_ref() else { continue };
        if bytes.len() + data.len() > limit {
            return Err(Failure::Failed(format!("its answer has more than {limit} bytes")));
        }
        bytes.extend_from_slice(data);
    }
    if status.is_success() || status.is_client_error() {
        keep(remote, sender);
    }
    match status {
        StatusCode::OK => Ok(bytes),
        // What is wrong with one request, and nothing with the server or with how it is asked.
        StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY => {
            Err(Failure::Refused(status))
        }
        status => Err(Failure::Failed(format!("it answered {status}"))),
    }
}

/// An idle connection that is still good.
async fn idle(remote: &Arc<Remote>) -> Option<Sender> {
    loop {
        let mut sender = POOLS.with_borrow_mut(|pools| {
            let pool = pools.iter_mut().find(|pool| pool.remote.as_ptr() == Arc::as_ptr(remote))?;
            pool.idle.retain(|(sender, since)| !sender.is_closed() && since.elapsed() < IDLE);
            pool.idle.pop()
        })?;
        if sender.0.ready().await.is_ok() {
            return Some(sender.0);
        }
    }
}

fn keep(remote: &Arc<Remote>, sender: Sender) {
    let now = Instant::now();
    POOLS.with_borrow_mut(|pools| {
        // Connections to what is no variant any more go with it.
        pools.retain(|pool| pool.remote.strong_count() > 0);
        match pools.iter_mut().find(|pool| pool.remote.as_ptr() == Arc::as_ptr(remote)) {
            Some(pool) if pool.idle.len() < KEEP_IDLE => pool.idle.push((sender, now)),
            Some(_) => {}
            None => pools.push(Pool { remote: Arc::downgrade(remote), idle: vec![(sender, now)] }),
        }
    });
}

fn is_reset(error: &hyper::Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<std::io::Error>());
    cause.is_some_and(|cause| matches!(cause.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe))
}

fn failed(error: &dyn std::error::Error) -> Failure {
    Failure::Failed(error.to_string())
}
