//! Large objects: read by parts that are on the way together and delivered in order.
//!
//! Every part is of one state of the object (`If-Match`), has exactly the length that was asked for, and is taken up
//! again where it broke off. A body has to make progress: a connection over which nothing comes holds nothing up.

use std::cell::Cell;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use aws_sdk_s3::primitives::ByteStream;
use tokio::time::{Instant, sleep, timeout_at};

use super::fault::{Asked, Failure, root};
use super::object::{length, token};
use super::{Fault, Session, Stat};

/// A part of an object in one of its states.
pub(super) struct Part<'a> {
    pub(super) key: &'a str,
    pub(super) token: &'a str,
    /// Which bytes.
    pub(super) range: Range<u64>,
    /// Size of the whole object.
    pub(super) of: u64,
}

/// Time that went by without anybody looking at the network, which is not the network's fault.
#[derive(Default)]
pub(super) struct Clock {
    away: Cell<Duration>,
}

/// A part on the way, or there.
enum Slot<'a> {
    Running(Pin<Box<dyn Future<Output = Result<Vec<u8>, Fault>> + 'a>>),
    Done(Result<Vec<u8>, Fault>),
}

// === impl Session ===

impl Session<'_> {
    /// Writes an object into `sink`.
    pub(super) async fn download(
        &self,
        key: &str,
        max: u64,
        sink: &mut dyn io::Write,
    ) -> Result<Option<Stat>, Fault> {
        let Some(stat) = self.stat(key).await? else { return Ok(None) };
        let (size, token) = (stat.bytes, stat.token.clone());
        if size > max {
            return Err(Fault::TooLarge { bytes: size, max });
        }
        let clock = Clock::default();
        let mut window: VecDeque<Slot<'_>> = VecDeque::new();
        let mut next = 0;
        loop {
            while window.len() < self.limits.parts && next < size {
                let end = size.min(next + self.limits.part_bytes);
                window.push_back(self.part(Part { key, token: &token, range: next..end, of: size }, &clock));
                next = end;
            }
            if window.is_empty() {
                return Ok(Some(stat));
            }
            let bytes = first(&mut window).await?;
            let begun = Instant::now();
            sink.write_all(&bytes).map_err(Fault::Local)?;
            clock.away.set(clock.away.get() + begun.elapsed());
        }
    }

    fn part<'a>(&'a self, part: Part<'a>, clock: &'a Clock) -> Slot<'a> {
        Slot::Running(Box::pin(async move {
            let mut bytes = Vec::new();
            self.fill(&part, None, &mut bytes, clock).await?;
            Ok(bytes)
        }))
    }

    /// Completes `bytes`, from a body that is there already if there is one.
    pub(super) async fn fill(
        &self,
        part: &Part<'_>,
        mut body: Option<ByteStream>,
        bytes: &mut Vec<u8>,
        clock: &Clock,
    ) -> Result<(), Fault> {
        let wanted = (part.range.end - part.range.start) as usize;
        let mut resumed = 0;
        loop {
            let result = match body.take() {
                Some(body) => self.pour(body, bytes, wanted, clock).await,
                None => match self.get(part, bytes.len() as u64).await {
                    Ok(body) => self.pour(body, bytes, wanted, clock).await,
                    Err(fault) => Err(fault),
                },
            };
            match result {
                Err(Fault::Unreachable(_)) if resumed < self.limits.resumes => {
                    resumed += 1;
                    sleep(self.limits.pause * resumed).await;
                }
                result => return result,
            }
        }
    }

    /// Asks for what a part lacks after its first `done` bytes.
    async fn get(&self, part: &Part<'_>, done: u64) -> Result<ByteStream, Fault> {
        let Range { start, end } = part.range;
        let start = start + done;
        let whole = start == 0 && end == part.of;
        let request = self
            .client
            .get_object()
            .bucket(&self.options.bucket)
            .key(self.key(part.key))
            .if_match(part.token)
            .set_range((!whole).then(|| format!("bytes={start}-{}", end - 1)));
        let answer = match Box::pin(request.send()).await.map_err(Failure::of) {
            Ok(answer) => answer,
            // It is another object by now, or none.
            Err(failure) if matches!(failure.status(), 412 | 416) || failure.is_absent() => {
                return Err(Fault::Changed);
            }
            Err(failure) => return Err(self.fault(failure, Asked::Get)),
        };
        // Not every server knows the condition.
        if token(answer.e_tag())? != part.token {
            return Err(Fault::Changed);
        }
        let range = format!("bytes {start}-{}/{}", end - 1, part.of);
        if !whole && answer.content_range() != Some(&range) {
            return Err(Fault::Refused("it was asked for a part and answers with something else".into()));
        }
        match length(answer.content_length())? {
            promised if promised == end - start => Ok(answer.body),
            promised => Err(Fault::Unreachable(format!(
                "an answer of {promised} bytes where {} were due",
                end - start
            ))),
        }
    }

    /// Appends a body, until there are `wanted` bytes.
    async fn pour(
        &self,
        mut body: ByteStream,
        bytes: &mut Vec<u8>,
        wanted: usize,
        clock: &Clock,
    ) -> Result<(), Fault> {
        let (mut since, mut begun, mut before) = (0, Instant::now(), clock.away.get());
        loop {
            let away = clock.away.get();
            match timeout_at(begun + self.limits.progress + (away - before), body.next()).await {
                Ok(Some(Ok(chunk))) => {
                    if bytes.len() + chunk.len() > wanted {
                        return Err(Fault::Unreachable("an answer longer than it said".into()));
                    }
                    bytes.extend_from_slice(&chunk);
                    since += chunk.len();
                    if since >= self.limits.progress_bytes {
                        (since, begun, before) = (0, Instant::now(), away);
                    }
                }
                Ok(Some(Err(error))) => {
                    return Err(Fault::Unreachable(format!("an answer broke off: {}", root(&error))));
                }
                Ok(None) if bytes.len() == wanted => return Ok(()),
                Ok(None) => return Err(Fault::Unreachable("an answer ended early".into())),
                Err(_) if clock.away.get() > away => {}
                Err(_) => return Err(Fault::Unreachable("an answer stalled".into())),
            }
        }
    }
}

/// Takes the first part off the window, while all of them go on.
async fn first(window: &mut VecDeque<Slot<'_>>) -> Result<Vec<u8>, Fault> {
    poll_fn(|context| {
        for slot in &mut *window {
            if let Slot::Running(part) = slot
                && let Poll::Ready(result) = part.as_mut().poll(context)
            {
                *slot = Slot::Done(result);
            }
        }
        match window.pop_front() {
            Some(Slot::Done(result)) => Poll::Ready(result),
            Some(running) => {
                window.push_front(running);
                Poll::Pending
            }
            None => Poll::Ready(Ok(Vec::new())),
        }
    })
    .await
}
