//! A thread that does one kind of slow work for the loader: the store's network, or building versions. The loader
//! itself only decides, so that an operator's word is heard while a store hangs or a large model loads.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};

use super::Command;

type Job<S> = Box<dyn FnOnce(&mut S) + Send>;

/// A thread that owns `S` and works through jobs on it, in order. It ends when this is dropped, after its last job.
pub(super) struct Hand<S> {
    jobs: Sender<Job<S>>,
    wake: Sender<Command>,
}

/// A job's outcome, when it is there.
pub(super) struct Ticket<T>(Receiver<T>);

impl<S: Send + 'static> Hand<S> {
    /// Starts a thread called `name`. It tells of finished jobs on `wake`.
    pub(super) fn start(name: &str, mut state: S, wake: Sender<Command>) -> std::io::Result<Self> {
        let (jobs, queue) = mpsc::channel::<Job<S>>();
        std::thread::Builder::new().name(name.into()).spawn(move || {
            for job in queue {
                job(&mut state);
            }
        })?;
        Ok(Self { jobs, wake })
    }

    /// Hands over a job. One that panics has no outcome.
    pub(super) fn ask<T: Send + 'static>(&self, job: impl FnOnce(&mut S) -> T + Send + 'static) -> Ticket<T> {
        let (outcome, ticket) = mpsc::channel();
        let wake = self.wake.clone();
        let job: Job<S> = Box::new(move |state| {
            if let Ok(done) = catch_unwind(AssertUnwindSafe(|| job(state))) {
                let _ = outcome.send(done);
            }
            drop(outcome);
            let _ = wake.send(Command::Wake);
        });
        let _ = self.jobs.send(job);
        Ticket(ticket)
    }
}

impl<T> Ticket<T> {
    /// The outcome: `None` while there is none, an error when there will be none.
    pub(super) fn poll(&self) -> Result<Option<T>, super::Gone> {
        match self.0.try_recv() {
            Ok(done) => Ok(Some(done)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(super::Gone),
        }
    }
}
