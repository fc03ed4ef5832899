//! The course of a schedule: wait, lock, train, let go, and again.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use serde_json::{Value, json};
use sidegate::cli::Signals;
use sidegate::model::ModelName;
use sidegate::registry::clock;
use sidegate::registry::writer::Writer;
use time::OffsetDateTime;

use super::config::CatchUp;
use super::lock::{Held, Last, Lock, Standing, Taken};
use super::timetable::Timetable;
use crate::failure::Failure;

/// As much as the main thread has by itself: plans of queries are deep.
const STACK: usize = 8 << 20;

/// A schedule of a model.
pub(super) struct Schedule<'a> {
    pub(super) timetable: Timetable,
    pub(super) jitter: Duration,
    pub(super) catch_up: CatchUp,
    pub(super) writer: &'a Writer,
    pub(super) model: &'a ModelName,
    /// How often the lock is renewed while a training runs.
    pub(super) renewal: Duration,
}

/// What waits, and hears that it is enough.
pub(super) trait Waiting {
    /// Waits for a time; false when the schedule is to end.
    fn until(&mut self, time: OffsetDateTime) -> bool;
}

/// Between two looks whether the owner of a lock is heard of.
const ALIVE: Duration = Duration::from_secs(5);

/// The longest wait without a look at the clock, which may have been set.
const LOOK: Duration = Duration::from_secs(30);

impl Waiting for Signals {
    fn until(&mut self, time: OffsetDateTime) -> bool {
        loop {
            let left = Duration::try_from(time - OffsetDateTime::now_utc()).unwrap_or_default();
            let may_go_on = self.wait(left.min(LOOK));
            if !may_go_on || left.is_zero() {
                return may_go_on;
            }
        }
    }
}

/// How a training ended.
#[derive(Debug, Default)]
pub(super) struct Ended {
    pub(super) run: Option<String>,
    pub(super) version: Option<u64>,
    pub(super) failure: Option<Failure>,
}

/// Who hears of it: in words and in numbers.
pub(super) type Tell<'a> = &'a mut dyn FnMut(&str, Value);
/// One training.
pub(super) type Train<'a> = &'a (dyn Fn() -> Ended + Sync);

fn skipped(held: &Held, tell: Tell<'_>) {
    tell(&format!("{} trains already", held.by), json!({ "status": "skipped", "training": held }));
}

// === impl Ended ===

impl Ended {
    /// One that did not begin.
    pub(super) const fn failed(failure: Failure) -> Self {
        Self { run: None, version: None, failure: Some(failure) }
    }

    fn status(&self) -> &'static str {
        match &self.failure {
            None => "success",
            Some(Failure::Gate(_)) => "refused",
            Some(_) => "failed",
        }
    }
}

// === impl Schedule ===

impl Schedule<'_> {
    /// Trains whenever it is time, until it is told to end.
    ///
    /// # Errors
    /// When the registry cannot be reached at the start, or no time is left. What comes later is told.
    pub(super) fn run(
        &self,
        waiting: &mut dyn Waiting,
        train: Train<'_>,
        tell: Tell<'_>,
    ) -> Result<(), Failure> {
        let standing = Standing::read(self.writer, self.model)?;
        let mut after = match self.catch_up {
            // What came due while no schedule ran at all.
            CatchUp::Run => standing.last_due().unwrap_or_else(|| self.now()).min(self.now()),
            CatchUp::Skip => self.now(),
        };
        if let Some(last) = &standing.last {
            tell(&last.words(), json!({ "last": last }));
        }
        loop {
            while let Some(missed) = self.timetable.latest(after, self.now()) {
                after = missed;
                let shown = self.timetable.shown(missed);
                if self.catch_up == CatchUp::Skip {
                    tell(
                        &format!("{shown} went by and is left out"),
                        json!({ "skipped": clock::text(missed) }),
                    );
                } else if !waiting.until(self.now()) {
                    break;
                } else {
                    tell(
                        &format!("{shown} went by and is made up for"),
                        json!({ "missed": clock::text(missed) }),
                    );
                    self.one(missed, train, tell);
                }
            }
            let due = self.timetable.next(after).map_err(Failure::Config)?;
            tell(&format!("next: {}", self.timetable.shown(due)), json!({ "next": clock::text(due) }));
            if !waiting.until(due + self.later()) {
                tell("ended by a signal", json!({ "ended": true }));
                return Ok(());
            }
            after = due;
            self.one(due, train, tell);
        }
    }

    /// One of the timetable's. What came of it is told.
    fn one(&self, due: OffsetDateTime, train: Train<'_>, tell: Tell<'_>) {
        if let Ok(Some(held)) = self.turn(Some(due), train, tell) {
            skipped(&held, tell);
        }
    }

    /// Trains once, now. A lock whose owner is not heard of any more, a pod that was killed say, is waited for until it
    /// has run out.
    ///
    /// # Errors
    /// Why the training failed, or could not begin. That somebody else trains is no error.
    pub(super) fn once(&self, train: Train<'_>, tell: Tell<'_>) -> Result<(), Failure> {
        let mut seen: Option<Held> = None;
        while let Some(held) = self.turn(None, train, tell)? {
            match &seen {
                None => {
                    let words = format!(
                        "{} holds the lock until {}; it is taken if nobody renews it",
                        held.by, held.until
                    );
                    tell(&words, json!({ "status": "waiting", "training": held }));
                }
                Some(before) if *before != held => {
                    skipped(&held, tell);
                    break;
                }
                Some(_) => {}
            }
            seen = Some(held);
            self.writer.clock().sleep(ALIVE);
        }
        Ok(())
    }

    /// One training, where the lock is free and nobody has trained for that time; who holds it, where it is not.
    fn turn(
        &self,
        due: Option<OffsetDateTime>,
        train: Train<'_>,
        tell: Tell<'_>,
    ) -> Result<Option<Held>, Failure> {
        let taken = Lock::take(self.writer, self.model, due);
        let mut lock = match taken {
            Ok(Taken::Ours(lock)) => lock,
            Ok(Taken::Held(held)) => return Ok(Some(held)),
            Ok(Taken::Over(last)) => {
                tell(
                    &format!("{} has trained for this time", last.by),
                    json!({ "status": "skipped", "last": last }),
                );
                return Ok(None);
            }
            Err(failure) => {
                let text = format!("nothing was trained: {failure}");
                tell(
                    &text,
                    json!({ "status": "failed", "exit_code": failure.code(), "reason": failure.to_string() }),
                );
                return Err(failure);
            }
        };
        let started = self.now();
        let ended = self.attended(&mut lock, train, tell);
        let last = Last {
            due: due.map(clock::text),
            started: clock::text(started),
            ended: clock::text(self.now()),
            by: self.writer.who().to_owned(),
            status: ended.status().to_owned(),
            exit_code: ended.failure.as_ref().map_or(0, Failure::code),
            run: ended.run,
            version: ended.version,
            reason: ended.failure.as_ref().map(ToString::to_string),
        };
        tell(&last.words(), json!({ "last": last }));
        match lock.release(last) {
            Ok(true) => {}
            Ok(false) => tell("the lock is somebody else's by now", json!({ "lock": "lost" })),
            Err(error) => tell(&format!("the lock is left to run out: {error}"), json!({ "lock": "left" })),
        }
        ended.failure.map_or(Ok(None), Err)
    }

    /// Trains, and keeps the lock meanwhile.
    fn attended(&self, lock: &mut Lock<'_>, train: Train<'_>, tell: Tell<'_>) -> Ended {
        let broken = |why: &str| Ended::failed(Failure::Failed(format!("the training broke off: {why}")));
        std::thread::scope(|scope| {
            let (to, from) = channel();
            let work = move || drop(to.send(train()));
            let builder = std::thread::Builder::new().name("training".to_owned()).stack_size(STACK);
            let thread = match builder.spawn_scoped(scope, work) {
                Ok(thread) => thread,
                Err(error) => return broken(&error.to_string()),
            };
            let mut lost = false;
            let ended = loop {
                match from.recv_timeout(self.renewal) {
                    Ok(ended) => break ended,
                    Err(RecvTimeoutError::Disconnected) => break broken("it panicked"),
                    Err(RecvTimeoutError::Timeout) if lost => {}
                    Err(RecvTimeoutError::Timeout) => match lock.renew() {
                        Ok(true) => {}
                        Ok(false) => {
                            lost = true;
                            tell("the lock ran out and is somebody else's now", json!({ "lock": "lost" }));
                        }
                        Err(error) => {
                            tell(
                                &format!("the lock could not be renewed: {error}"),
                                json!({ "lock": "shaky" }),
                            );
                        }
                    },
                }
            };
            // What it panicked with has been printed.
            drop(thread.join());
            ended
        })
    }

    fn now(&self) -> OffsetDateTime {
        self.writer.clock().now()
    }

    /// How much later a training begins.
    fn later(&self) -> Duration {
        let share = (self.writer.clock().random() >> 11) as f64 / (1_u64 << 53) as f64;
        self.jitter.mul_f64(share)
    }
}
