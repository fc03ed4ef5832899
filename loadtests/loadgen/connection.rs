//! One connection: sends the request, gathers the answer, reports each step to the loop.
//!
//! Sockets are edge-triggered. A read that does not fill the buffer has emptied the socket, so the usual
//! second read that only returns "would block" is left out; the next byte or the end of the stream is a new
//! edge. Writability is watched only while a write is stuck: on Unix sockets each message the server takes
//! would else wake the generator.

use std::io::{ErrorKind, Read as _, Write as _};

use mio::event::Event;
use mio::{Interest, Registry, Token};

use crate::response::{Head, Malformed, parse_head};
use crate::schedule::Nanos;
use crate::target::{Stream, Target};

/// Room for the usual answer; grows once when a longer one comes.
const BUFFER: usize = 16 * 1024;

pub(crate) struct Connection {
    token: Token,
    stream: Option<Stream>,
    phase: Phase,
    /// The kernel has taken bytes: the connection stood at some time.
    established: bool,
    watching_writes: bool,
    started: Nanos,
    sent_at: Nanos,
    sent: usize,
    buffer: Vec<u8>,
    filled: usize,
    head: Option<Head>,
}

#[derive(Clone, Copy, PartialEq)]
enum Phase {
    /// No request in flight.
    Idle,
    Busy,
    /// One connection per request: answered, waiting for the server's end of stream.
    Lingering(Nanos),
}

/// What came of the last thing done with a connection.
pub(crate) enum Step {
    Wait,
    /// A whole answer; its body is [`Connection::body`] until the next request.
    Answer(Head),
    Failed(Failure),
    /// The server closed a connection that owed no answer.
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Failure {
    Connect,
    Timeout,
    /// The connection ended before the answer did.
    Short,
    Malformed,
}

// === impl Connection ===

impl Connection {
    pub(crate) fn new(slot: usize) -> Self {
        Self {
            token: Token(slot),
            stream: None,
            phase: Phase::Idle,
            established: false,
            watching_writes: false,
            started: 0,
            sent_at: 0,
            sent: 0,
            buffer: vec![0; BUFFER],
            filled: 0,
            head: None,
        }
    }

    /// When the request in flight was due.
    pub(crate) fn started(&self) -> Nanos {
        self.started
    }

    /// Has waited for an answer since before `limit`.
    pub(crate) fn overdue(&self, limit: Nanos) -> bool {
        self.phase == Phase::Busy && self.sent_at < limit
    }

    /// Has waited for the server's close since before `limit`.
    pub(crate) fn lingers_since(&self, limit: Nanos) -> bool {
        matches!(self.phase, Phase::Lingering(since) if since < limit)
    }

    pub(crate) fn body(&self, head: &Head) -> &[u8] {
        &self.buffer[head.head_len..head.head_len + head.body_len]
    }

    /// Closes the socket; the next request dials anew.
    pub(crate) fn hang_up(&mut self) {
        self.stream = None;
        self.phase = Phase::Idle;
    }

    /// Sends a request whose clock runs since `started`, over a new connection if there is none.
    pub(crate) fn send(&mut self, target: &Target, registry: &Registry, started: Nanos, now: Nanos) -> Step {
        self.phase = Phase::Busy;
        self.started = started;
        self.sent_at = now;
        self.sent = 0;
        self.filled = 0;
        self.head = None;
        if self.stream.is_none() && self.dial(target, registry).is_err() {
            return Step::Failed(Failure::Connect);
        }
        self.flush(target.request(), registry)
    }

    /// Answered on a connection that serves one request only: waits for the server to close it.
    pub(crate) fn linger(&mut self, now: Nanos) -> Step {
        self.phase = Phase::Lingering(now);
        self.watch_for_close()
    }

    /// Goes on after an event.
    pub(crate) fn advance(&mut self, event: &Event, target: &Target, registry: &Registry) -> Step {
        if self.phase != Phase::Busy {
            return self.watch_for_close();
        }
        if self.sent < target.request().len() {
            match self.flush(target.request(), registry) {
                Step::Wait => {}
                step => return step,
            }
        }
        self.receive(event.is_read_closed() || event.is_error())
    }

    fn dial(&mut self, target: &Target, registry: &Registry) -> std::io::Result<()> {
        let mut stream = target.connect()?;
        registry.register(stream.source(), self.token, Interest::READABLE)?;
        self.stream = Some(stream);
        self.established = false;
        self.watching_writes = false;
        Ok(())
    }

    fn flush(&mut self, request: &[u8], registry: &Registry) -> Step {
        while self.sent < request.len() {
            let Some(stream) = &mut self.stream else {
                return Step::Failed(Failure::Connect);
            };
            match stream.write(&request[self.sent..]) {
                Ok(written) => {
                    self.sent += written;
                    self.established = true;
                }
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => {}
                    ErrorKind::WouldBlock | ErrorKind::NotConnected => {
                        return self.watch_writes(registry, true);
                    }
                    _ if !self.established => return Step::Failed(Failure::Connect),
                    // A server may refuse a request it has not read to the end: its answer counts.
                    _ => {
                        return match self.receive(true) {
                            Step::Wait => Step::Failed(Failure::Short),
                            step => step,
                        };
                    }
                },
            }
        }
        if self.watching_writes { self.watch_writes(registry, false) } else { Step::Wait }
    }

    fn watch_writes(&mut self, registry: &Registry, watch: bool) -> Step {
        let Some(stream) = &mut self.stream else {
            return Step::Failed(Failure::Connect);
        };
        let interest = if watch { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
        if watch != self.watching_writes
            && registry.reregister(stream.source(), self.token, interest).is_err()
        {
            return Step::Failed(Failure::Connect);
        }
        self.watching_writes = watch;
        Step::Wait
    }

    /// Reads what there is; `to_the_end` when the event also announced the end of the stream.
    fn receive(&mut self, to_the_end: bool) -> Step {
        let Some(stream) = &mut self.stream else {
            return Step::Failed(Failure::Short);
        };
        loop {
            if self.filled == self.buffer.len() {
                self.buffer.resize(self.buffer.len() * 2, 0);
            }
            let room = self.buffer.len() - self.filled;
            match stream.read(&mut self.buffer[self.filled..]) {
                Ok(0) => {
                    return Step::Failed(if self.established { Failure::Short } else { Failure::Connect });
                }
                Ok(read) => {
                    self.filled += read;
                    match gather(&mut self.head, &self.buffer[..self.filled]) {
                        Ok(Some(head)) => return Step::Answer(head),
                        Ok(None) => {}
                        Err(Malformed) => return Step::Failed(Failure::Malformed),
                    }
                    if read < room && !to_the_end {
                        return Step::Wait;
                    }
                }
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => {}
                    ErrorKind::WouldBlock => return Step::Wait,
                    _ if !self.established => return Step::Failed(Failure::Connect),
                    _ => return Step::Failed(Failure::Short),
                },
            }
        }
    }

    /// Without a request in flight only the end of the stream is expected; bytes nobody asked for end it too.
    fn watch_for_close(&mut self) -> Step {
        let Some(stream) = &mut self.stream else {
            return Step::Closed;
        };
        match stream.read(&mut self.buffer) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                Step::Wait
            }
            _ => Step::Closed,
        }
    }
}

/// The head of the answer in `bytes` once the answer is whole.
fn gather(head: &mut Option<Head>, bytes: &[u8]) -> Result<Option<Head>, Malformed> {
    if head.is_none() {
        *head = parse_head(bytes)?;
    }
    match head {
        Some(known) if bytes.len() > known.head_len + known.body_len => Err(Malformed),
        Some(known) if bytes.len() == known.head_len + known.body_len => Ok(Some(*known)),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answer_is_gathered_over_several_reads() {
        let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
        let mut head = None;
        for cut in 0..bytes.len() {
            assert_eq!(gather(&mut head, &bytes[..cut]), Ok(None), "cut at {cut}");
        }
        assert_eq!(gather(&mut head, bytes).map(|head| head.map(|head| head.status)), Ok(Some(200)));
        assert_eq!(gather(&mut head, &[&bytes[..], b"x"].concat()), Err(Malformed));
    }
}
