//! One connection: read a request, have it answered, write the answer, again.
//!
//! Every wait has a deadline. A connection without a request holds no buffers. Pipelined requests are answered
//! in order, one at a time.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::acceptor::Place;
use super::deadline::Deadline;
use super::dispatch::{self, Call};
use super::http::{
    Answer, Chunked, Coding, Framing, Head, Method, Progress, Refusal, Scan, find_end, parse, write_head,
};
use super::inflate::inflate;
use super::predict::overloaded;
use super::stream::Socket;
use super::workspace::{Body, Workspace};
use super::{Gateway, worker};
use crate::monitor::Hand;

/// A new connection has to say something.
const FIRST_BYTE: Duration = Duration::from_secs(5);
/// From the first byte of a head to its end.
const HEAD: Duration = Duration::from_secs(10);
/// From the end of the head to the end of the body.
const BODY: Duration = Duration::from_secs(10);
/// Between two requests.
const IDLE: Duration = Duration::from_secs(60);
/// For a client to take an answer; one that is behind gets it anew with every [`WRITE_PROGRESS`] that it has taken.
const WRITE_STALL: Duration = Duration::from_secs(30);
/// Bytes that a client which is behind has to take within [`WRITE_STALL`] to get as much time again.
const WRITE_PROGRESS: usize = 64 << 10;
/// For a refused client to notice that it was refused.
const LINGER: Duration = Duration::from_secs(1);
/// Bytes of a refused body that are read over for the same purpose.
const LINGER_BYTES: usize = 16 << 20;
/// Free room for one read.
const READ_BYTES: usize = 8 << 10;
/// Free room for the first part of a body; most bodies are smaller.
const BODY_ROOM: usize = 256 << 10;
/// Answers up to this size are written in one piece with their head.
const ONE_PIECE: usize = 16 << 10;
/// Pipelined requests after which the others get a turn.
const FAIR_SHARE: u32 = 16;

/// Why a connection ends without an answer.
enum End {
    /// The client has gone or was too slow to be worth an answer.
    Quiet,
    /// The client gets an answer first.
    Refused(Refusal),
}

impl From<Refusal> for End {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Serves a connection on this worker until it ends.
pub(super) fn spawn(socket: Socket, place: Place, gateway: Arc<Gateway>) {
    crate::task::spawn("connection", async move {
        let deadline = Deadline::new(FIRST_BYTE);
        let mut connection = Connection { socket, gateway, deadline, behind: None };
        connection.run().await;
        drop(place);
    });
}

struct Connection {
    socket: Socket,
    gateway: Arc<Gateway>,
    deadline: Deadline,
    /// Its client does not take answers as fast as they come.
    behind: Option<Behind>,
}

/// How far a client is with answers that it does not take at once. The few bytes that a kernel lets through now and then
/// although nobody reads are no progress, so it takes more than that to get more time.
struct Behind {
    by: Instant,
    taken: usize,
}

impl Connection {
    async fn run(&mut self) {
        let mut pipelined = 0;
        let mut work = None;
        loop {
            let mut buffers = match work.take() {
                Some(buffers) => buffers,
                None => match self.readable().await {
                    Ok(()) => worker::with(worker::Worker::take),
                    Err(_) => return,
                },
            };
            let served = self.request(&mut buffers).await;
            let keep_alive = match served {
                Ok(consumed) => {
                    buffers.recycle(consumed.unwrap_or(buffers.input.len()));
                    consumed.is_some()
                }
                Err(End::Quiet) => {
                    buffers.recycle(buffers.input.len());
                    false
                }
                Err(End::Refused(refusal)) => {
                    self.refuse(&mut buffers, &refusal).await;
                    buffers.recycle(buffers.input.len());
                    false
                }
            };
            if keep_alive && !buffers.input.is_empty() {
                work = Some(buffers);
                pipelined += 1;
                if pipelined % FAIR_SHARE == 0 {
                    tokio::task::yield_now().await;
                }
            } else {
                worker::with(|w| w.give(buffers));
            }
            if !keep_alive {
                return;
            }
            self.deadline.set(Instant::now(), IDLE);
        }
    }

    /// Waits for the first byte of a request.
    async fn readable(&mut self) -> io::Result<()> {
        poll_fn(|context| {
            if let Poll::Ready(ready) = self.socket.poll_read_ready(context) {
                return Poll::Ready(ready);
            }
            // It asks for nothing while answers are on their way: what it has not taken, it has the time to take.
            self.behind = None;
            self.deadline.poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
        })
        .await
    }

    /// Reads more into the buffer; `Ok(0)` is the end of the stream.
    async fn read(&mut self, input: &mut Vec<u8>, room: usize) -> io::Result<usize> {
        if input.capacity() - input.len() < room {
            input.reserve(room);
        }
        let mut read = pin!(self.socket.read_buf(input));
        let deadline = &mut self.deadline;
        poll_fn(|context| {
            if let Poll::Ready(read) = read.as_mut().poll(context) {
                return Poll::Ready(read);
            }
            deadline.poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
        })
        .await
    }

    /// One request. Returns how many bytes of the input were its own, or `None` when the connection is to close.
    async fn request(&mut self, work: &mut Box<Workspace>) -> Result<Option<usize>, End> {
        let head = self.head(work).await?;
        // From here on a drain waits for this request.
        let _inflight = Inflight::new(&self.gateway);
        let mut reserved = Reserved { gateway: self.gateway.clone(), bytes: 0 };
        let consumed = self.body(&head, work, &mut reserved).await?;
        let arrived = Instant::now();
        let mut answer = self.answer(&head, work, arrived).await;
        let draining = self.gateway.draining.load(Relaxed);
        answer.close |= !head.keep_alive || draining;
        let request_id = head.request_id.clone().and_then(|range| work.input.get(range)).map(<[u8]>::to_vec);
        let written = self.write(work, &answer, head.method == Method::Head, request_id.as_deref()).await;
        if let (Some(log), Some(logged)) = (self.gateway.monitor.log(), work.logged.take()) {
            let hand = if work.answered.is_some() { Hand::Copied } else { Hand::Over };
            log.send(*logged, &mut work.request.inputs, &mut work.outputs, hand);
        }
        written.map_err(|_| End::Quiet)?;
        if let Some(answered) = work.answered.take() {
            self.gateway.monitor.shadows().send(answered, &mut work.request.inputs, &mut work.outputs);
        }
        drop(reserved);
        Ok((!answer.close).then_some(consumed))
    }

    async fn head(&mut self, work: &mut Workspace) -> Result<Head, End> {
        let mut scan = Scan::default();
        let mut started = false;
        loop {
            if let Some(length) = find_end(&work.input, &mut scan)? {
                return Ok(parse(&work.input[..length])?);
            }
            // A socket may be called readable and hold nothing; the deadline of the first byte goes on until there is one.
            if !started && !work.input.is_empty() {
                started = true;
                self.deadline.set(Instant::now(), HEAD);
            }
            match self.read(&mut work.input, READ_BYTES).await {
                Ok(0) | Err(_) => return Err(End::Quiet),
                Ok(_) => {}
            }
        }
    }

    /// Reads the whole body, unpacked; returns the bytes of head and body in the input.
    async fn body(
        &mut self,
        head: &Head,
        work: &mut Workspace,
        reserved: &mut Reserved,
    ) -> Result<usize, End> {
        let limit = self.gateway.settings.load().body_bytes;
        let consumed = match head.framing {
            Framing::Length(0) => {
                work.body = Body::Unpacked;
                head.length
            }
            Framing::Length(length) => {
                let Some(length) = usize::try_from(length).ok().filter(|length| *length <= limit) else {
                    let message = format!("the body has {length} bytes, at most {limit} are accepted");
                    return Err(Refusal::new(413, "body_too_large", message).into());
                };
                let end = head.length + length;
                if work.input.len() < end {
                    self.start_body(head).await?;
                    while work.input.len() < end {
                        // Room for what has arrived once more, not for what is claimed.
                        let (received, missing) = (work.input.len(), end - work.input.len());
                        self.read_body(&mut work.input, missing.min(received.max(BODY_ROOM))).await?;
                        reserved.grow(work.input.len())?;
                    }
                }
                work.body = Body::Input(head.length..end);
                end
            }
            Framing::Chunked => self.chunked(head, work, reserved, limit).await?,
        };
        if head.coding != Coding::Identity {
            let mut unpacked = Vec::new();
            inflate(head.coding, work.body(), limit, &mut unpacked)?;
            reserved.grow(unpacked.len())?;
            work.unpacked = unpacked;
            work.body = Body::Unpacked;
        }
        Ok(consumed)
    }

    async fn chunked(
        &mut self,
        head: &Head,
        work: &mut Workspace,
        reserved: &mut Reserved,
        limit: usize,
    ) -> Result<usize, End> {
        let mut decoder = Chunked::new(limit);
        let mut at = head.length;
        let mut started = false;
        work.body = Body::Unpacked;
        loop {
            match decoder.decode(&work.input[at..], &mut work.unpacked)? {
                Progress::Done(used) => return Ok(at + used),
                Progress::More(used) => at += used,
            }
            reserved.grow(work.unpacked.len())?;
            // What is decoded is not kept twice.
            work.input.drain(head.length..at);
            at = head.length;
            if !started {
                started = true;
                self.start_body(head).await?;
            }
            self.read_body(&mut work.input, READ_BYTES).await?;
        }
    }

    /// Before waiting for a body: its deadline, and the go-ahead for a client that asked for it.
    async fn start_body(&mut self, head: &Head) -> Result<(), End> {
        self.deadline.set(Instant::now(), BODY);
        if head.expects_continue {
            let go_ahead = b"HTTP/1.1 100 Continue\r\n\r\n";
            let mut write = pin!(self.socket.write_all(go_ahead));
            let deadline = &mut self.deadline;
            poll_fn(|context| match write.as_mut().poll(context) {
                Poll::Ready(written) => Poll::Ready(written),
                Poll::Pending => deadline.poll(context).map(|()| Err(io::ErrorKind::TimedOut.into())),
            })
            .await
            .map_err(|_| End::Quiet)?;
        }
        Ok(())
    }

    async fn read_body(&mut self, input: &mut Vec<u8>, room: usize) -> Result<(), End> {
        match self.read(input, room).await {
            Ok(0) => Err(End::Quiet),
            Ok(_) => Ok(()),
            Err(e) if e.kind() == io::ErrorKind::TimedOut => {
                Err(Refusal::new(408, "body_timeout", "the body did not arrive in time").into())
            }
            Err(_) => Err(End::Quiet),
        }
    }

    /// The answer to a whole request, left in the workspace.
    async fn answer(&mut self, head: &Head, work: &mut Box<Workspace>, arrived: Instant) -> Answer {
        let call = dispatch::call(&self.gateway, head, work, arrived);
        let mut prediction = match call {
            Ok(Call::Predict(prediction)) => prediction,
            Ok(Call::Control(control)) => return control.perform(&self.gateway, work).await,
            Ok(Call::Shelf(order)) => return order.perform(&self.gateway, work).await,
            Ok(Call::Outcomes(form)) => return dispatch::outcomes(form, &self.gateway, work).await,
            Err(answer) => return answer,
        };
        let wait_limit = self.gateway.settings.load().queue_wait;
        if worker::with(|w| w.may_queue(wait_limit)) {
            // Lets the others read their requests first, so that the wait of each is measured.
            let unread = worker::with(|w| w.lag());
            tokio::task::yield_now().await;
            let now = Instant::now();
            if !worker::with(|w| w.admit(now, unread, now - arrived, wait_limit)) {
                return prediction.shed(work);
            }
        }
        if let Some(remote) = prediction.remote().cloned()
            && let Some(answer) = prediction.ask(&remote, work, &self.gateway).await
        {
            return answer;
        }
        let start = Instant::now();
        let done = worker::with(|w| prediction.inline(work, &mut w.runner));
        if let Some(answer) = done {
            worker::with(|w| w.observe_service(start.elapsed().as_nanos() as u64));
            return answer;
        }
        let deadline = prediction.deadline;
        let (buffers, job) = dispatch::offload(*prediction, work);
        let sent = worker::with(|w| w.lanes.submit(job));
        if let Err(job) = sent {
            *work = job.work;
            return job.prediction.shed(work);
        }
        match tokio::time::timeout_at(deadline.into(), buffers).await {
            Ok(Ok((back, answer))) => {
                *work = back;
                answer
            }
            // The lane keeps the buffers, and with them whatever was pipelined: the connection cannot go on.
            Ok(Err(_)) => {
                Answer { close: true, ..work.fail(500, "internal", "the request was lost; see the log") }
            }
            Err(_) => Answer {
                close: true,
                ..work.fail(504, "deadline_exceeded", "the request's time was over while it ran")
            },
        }
    }

    async fn write(
        &mut self,
        work: &mut Workspace,
        answer: &Answer,
        head_only: bool,
        request_id: Option<&[u8]>,
    ) -> io::Result<()> {
        let now = Instant::now();
        work.head.clear();
        worker::with(|w| {
            write_head(&mut work.head, answer, work.out.len(), w.date(now), request_id, &work.receipt);
        });
        if head_only {
            work.out.clear();
        } else if work.out.len() <= ONE_PIECE {
            work.head.extend_from_slice(&work.out);
            work.out.clear();
        }
        let total = work.head.len() + work.out.len();
        let mut written = 0;
        let by = self.behind.as_ref().map_or(now + WRITE_STALL, |behind| behind.by);
        self.deadline.set(now, by.saturating_duration_since(now));
        while written < total {
            let head = &work.head[written.min(work.head.len())..];
            let body = &work.out[written.saturating_sub(work.head.len())..];
            let slices = [IoSlice::new(head), IoSlice::new(body)];
            let (socket, deadline) = (&mut self.socket, &mut self.deadline);
            let mut waited = false;
            let wrote = poll_fn(|context| {
                let wrote = if body.is_empty() {
                    Pin::new(&mut *socket).poll_write(context, head)
                } else {
                    Pin::new(&mut *socket).poll_write_vectored(context, &slices)
                };
                match wrote {
                    Poll::Ready(wrote) => Poll::Ready(wrote),
                    Poll::Pending => {
                        waited = true;
                        deadline.poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
                    }
                }
            })
            .await?;
            if wrote == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            written += wrote;
            if waited && self.behind.is_none() {
                self.behind = Some(Behind { by, taken: 0 });
            }
            if let Some(behind) = &mut self.behind {
                behind.taken += wrote;
                if behind.taken >= WRITE_PROGRESS {
                    let now = Instant::now();
                    *behind = Behind { by: now + WRITE_STALL, taken: 0 };
                    self.deadline.set(now, WRITE_STALL);
                }
            }
        }
        Ok(())
    }

    /// Answers what cannot be understood and closes, giving the client the time to read the answer.
    async fn refuse(&mut self, work: &mut Workspace, refusal: &Refusal) {
        self.gateway.metrics.http_errors.with_label_values(&[&refusal.status.to_string()]).inc();
        let mut answer = work.fail(refusal.status, refusal.code, &refusal.message);
        if refusal.status == 503 {
            answer = overloaded(work);
        }
        answer.close = true;
        if self.write(work, &answer, false, None).await.is_err() || self.socket.shutdown().await.is_err() {
            return;
        }
        // Closing with unread bytes would reset the connection and take the answer with it.
        self.deadline.set(Instant::now(), LINGER);
        let mut read_over = 0;
        while read_over < LINGER_BYTES {
            work.input.clear();
            match self.read(&mut work.input, READ_BYTES).await {
                Ok(0) | Err(_) => return,
                Ok(read) => read_over += read,
            }
        }
    }
}

/// A share of `limits.inflight_bytes`, given back when it is dropped.
struct Reserved {
    gateway: Arc<Gateway>,
    bytes: usize,
}

impl Reserved {
    /// Small bodies are not worth counting: their number is bounded by the connections.
    const FREE: usize = 16 << 10;

    fn grow(&mut self, total: usize) -> Result<(), Refusal> {
        if total <= Self::FREE || total <= self.bytes {
            return Ok(());
        }
        let more = total - self.bytes;
        let before = self.gateway.inflight_bytes.fetch_add(more, Relaxed);
        self.bytes = total;
        if before + more > self.gateway.settings.load().inflight_bytes {
            return Err(Refusal::new(503, "overloaded", "too many bytes are in flight; try again shortly"));
        }
        Ok(())
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.gateway.inflight_bytes.fetch_sub(self.bytes, Relaxed);
        }
    }
}

/// Counts a request as in flight while it lives.
struct Inflight(Arc<Gateway>);

impl Inflight {
    fn new(gateway: &Arc<Gateway>) -> Self {
        gateway.inflight.fetch_add(1, Relaxed);
        Self(gateway.clone())
    }
}

impl Drop for Inflight {
    fn drop(&mut self) {
        self.0.inflight.fetch_sub(1, Relaxed);
    }
}
