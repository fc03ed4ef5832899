//! The loop: hands due requests to free connections, turns events into counts, and knows the three parts of
//! a run: warm-up, measured window, and the wait for the answers still owed at its end.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::time::{Duration, Instant};

use mio::{Events, Poll};
use serde_json::Value;

use crate::BoxError;
use crate::args::Args;
use crate::connection::{Connection, Failure, Step};
use crate::response::BodyCheck;
use crate::schedule::{Nanos, Schedule};
use crate::server::{self, Server};
use crate::tally::{Setting, Tally};
use crate::target::Target;

/// How often overdue requests and the stop file are looked for.
const TICK: Nanos = 50_000_000;
/// A server that will not close an answered one-request connection is left after this time.
const LINGER: Nanos = 100_000_000;
/// Pause of a connection after a refused connect, and after any other failure.
const PAUSE_CONNECT: Nanos = 10_000_000;
const PAUSE_FAILED: Nanos = 1_000_000;
/// Waiting for the timetable is done without sleeping when less than this is left: epoll sleeps in milliseconds.
const SPIN: Nanos = 2_000_000;

pub(crate) struct Run<'a> {
    args: &'a Args,
    target: Target,
    check: Option<BodyCheck>,
    poll: Poll,
    connections: Vec<Connection>,
    /// Slots without a request, longest idle first, so that all connections are used alike.
    idle: VecDeque<usize>,
    /// Slots that failed, and when they may try again.
    cooling: Vec<(Nanos, usize)>,
    busy: usize,
    schedule: Schedule,
    tally: Tally,
    server: Option<Server>,
    epoch: Instant,
    next_tick: Nanos,
    stopped: bool,
}

// === impl Run ===

impl<'a> Run<'a> {
    pub(crate) fn new(args: &'a Args, target: Target, check: Option<BodyCheck>) -> Result<Self, BoxError> {
        let slots = args.connections as usize;
        let end = nanos(args.warmup + args.duration);
        Ok(Self {
            args,
            target,
            check,
            poll: Poll::new()?,
            connections: (0..slots).map(Connection::new).collect(),
            idle: (0..slots).collect(),
            cooling: Vec::new(),
            busy: 0,
            schedule: Schedule::new(args.rate, args.max_requests, end),
            tally: Tally::new(args.expect_status)?,
            server: args.pid.map(Server::new).transpose()?,
            epoch: Instant::now(),
            next_tick: TICK,
            stopped: false,
        })
    }

    /// Warm-up, window, drain; then the report.
    pub(crate) fn execute(mut self) -> Result<Value, BoxError> {
        let mut events = Events::with_capacity(1024);
        self.epoch = Instant::now();
        self.load_until(nanos(self.args.warmup), &mut events)?;

        let before = self.server.as_ref().map(Server::sample).transpose()?;
        let own_before = server::own_cpu();
        let opened = self.now();
        let end = opened + nanos(self.args.duration);
        self.tally.open(opened);
        self.schedule.restart(opened, end);
        self.load_until(end, &mut events)?;
        let closed = self.now();
        self.schedule.stop(closed);
        self.tally.close(closed);
        let own_after = server::own_cpu();
        let after = self.server.as_ref().map(Server::sample).transpose()?;

        self.drain(&mut events)?;
        let mut report = self.tally.report(&Setting {
            connections: self.args.connections,
            rate: self.args.rate,
            keepalive: !self.args.no_keepalive,
            unsent: self.schedule.missed(),
        });
        let seconds = (closed - opened) as f64 / 1e9;
        report["generator_cpu"] = server::share(own_before, own_after, seconds).into();
        if let (Some(before), Some(after)) = (before, after) {
            let figures = after.since(&before, self.tally.answered());
            if let (Value::Object(report), Value::Object(figures)) = (&mut report, figures) {
                report.extend(figures);
            }
        }
        Ok(report)
    }

    fn now(&self) -> Nanos {
        nanos(self.epoch.elapsed())
    }

    fn load_until(&mut self, deadline: Nanos, events: &mut Events) -> Result<(), BoxError> {
        loop {
            let now = self.now();
            let done = self.schedule.exhausted() && self.busy == 0;
            if now >= deadline || done || self.stopped {
                return Ok(());
            }
            self.turn(now, deadline, events)?;
        }
    }

    /// No new requests; the answers still owed are part of the measurement.
    fn drain(&mut self, events: &mut Events) -> Result<(), BoxError> {
        let deadline = self.now() + nanos(self.args.timeout) + TICK;
        loop {
            let now = self.now();
            if self.busy == 0 || now >= deadline {
                return Ok(());
            }
            self.turn(now, deadline, events)?;
        }
    }

    fn turn(&mut self, now: Nanos, deadline: Nanos, events: &mut Events) -> Result<(), BoxError> {
        self.rewarm(now);
        self.send_due(now);
        match self.poll.poll(events, Some(self.patience(now, deadline))) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
        for event in events.iter() {
            let slot = event.token().0;
            let step = self.connections[slot].advance(event, &self.target, self.poll.registry());
            self.settle(slot, step);
        }
        if now >= self.next_tick {
            self.next_tick = now + TICK;
            self.tick(now);
        }
        Ok(())
    }

    /// How long the loop may sleep.
    fn patience(&self, now: Nanos, deadline: Nanos) -> Duration {
        if self.args.spin {
            return Duration::ZERO;
        }
        let mut wait = TICK.min(deadline.saturating_sub(now));
        if !self.cooling.is_empty() {
            wait = wait.min(PAUSE_FAILED);
        }
        if let Some(due) = self.schedule.due_in(now)
            && !self.idle.is_empty()
        {
            if due < SPIN {
                return Duration::ZERO;
            }
            wait = wait.min(due - SPIN / 2);
        }
        Duration::from_millis(wait.div_ceil(1_000_000))
    }

    fn rewarm(&mut self, now: Nanos) {
        if !self.cooling.is_empty() {
            let idle = &mut self.idle;
            self.cooling.retain(|&(until, slot)| {
                let keep = until > now;
                if !keep {
                    idle.push_back(slot);
                }
                keep
            });
        }
    }

    fn send_due(&mut self, now: Nanos) {
        while let Some(&slot) = self.idle.front() {
            let Some(started) = self.schedule.take(now) else {
                return;
            };
            self.idle.pop_front();
            self.send(slot, started, now);
        }
    }

    fn send(&mut self, slot: usize, started: Nanos, now: Nanos) {
        self.busy += 1;
        let step = self.connections[slot].send(&self.target, self.poll.registry(), started, now);
        self.settle(slot, step);
    }

    fn settle(&mut self, slot: usize, step: Step) {
        let connection = &mut self.connections[slot];
        match step {
            Step::Wait => {}
            Step::Answer(head) => {
                self.busy -= 1;
                let good = self.check.as_ref().is_none_or(|check| check.holds(connection.body(&head)));
                let now = nanos(self.epoch.elapsed());
                self.tally.answer(connection.started(), now, &head, good);
                if self.args.no_keepalive {
                    let step = connection.linger(now);
                    return self.settle(slot, step);
                }
                if head.close {
                    connection.hang_up();
                    self.tally.reconnect();
                }
                self.release(slot, now);
            }
            Step::Failed(failure) => {
                self.busy -= 1;
                self.tally.failure(connection.started(), failure);
                connection.hang_up();
                let pause = if failure == Failure::Connect { PAUSE_CONNECT } else { PAUSE_FAILED };
                self.cooling.push((self.now() + pause, slot));
            }
            Step::Closed if self.args.no_keepalive => {
                connection.hang_up();
                let now = self.now();
                self.release(slot, now);
            }
            Step::Closed => {
                // It stays where it is among the idle ones and dials when its turn comes.
                connection.hang_up();
                self.tally.reconnect();
            }
        }
    }

    /// A slot is free: it takes the next request at once if one is due.
    fn release(&mut self, slot: usize, now: Nanos) {
        if self.idle.is_empty()
            && let Some(started) = self.schedule.take(now)
        {
            return self.send(slot, started, now);
        }
        self.idle.push_back(slot);
    }

    fn tick(&mut self, now: Nanos) {
        let overdue = now.saturating_sub(nanos(self.args.timeout));
        let linger = now.saturating_sub(LINGER);
        for slot in 0..self.connections.len() {
            if self.connections[slot].overdue(overdue) {
                self.settle(slot, Step::Failed(Failure::Timeout));
            } else if self.connections[slot].lingers_since(linger) {
                self.settle(slot, Step::Closed);
            }
        }
        if let Some(file) = &self.args.stop_file {
            self.stopped |= file.exists();
        }
    }
}

fn nanos(duration: Duration) -> Nanos {
    // 2^64 ns are 584 years.
    duration.as_nanos() as Nanos
}
