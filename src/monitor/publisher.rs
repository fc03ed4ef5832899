//! Puts what is known of experiments and features into the registry, and reads what was put there before: on a thread that may wait.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::Ask;
use crate::registry::layout;
use crate::registry::store::{Body, Condition, Store, StoreError};

/// Most bytes of one published object.
pub const MAX_BYTES: u64 = 64 << 20;
/// Before the store is asked again for what was published earlier.
const AGAIN: Duration = Duration::from_secs(5);
/// At the end there is less time.
const AGAIN_AT_END: Duration = Duration::from_millis(200);
const AT_END: Duration = Duration::from_secs(4);

/// What the publisher does.
pub(super) enum Job {
    /// Put an object; one that waits under the same key is replaced.
    Put(String, Vec<u8>),
    /// Read what is there of a phase, and hand it to the monitor.
    Earlier { experiment: String, phase: String },
}

/// The way to the publisher; it ends, after its last job, when the last of these is dropped.
#[derive(Clone)]
pub(super) struct Publisher(Sender<Job>);

/// What was published of a phase.
#[derive(Debug, Default)]
pub struct Earlier {
    /// The sums, replica by replica, in the order of their names.
    pub sums: Vec<Vec<u8>>,
    /// The standing.
    pub standing: Option<Vec<u8>>,
}

// === impl Publisher ===

impl Publisher {
    /// Starts its thread.
    pub(super) fn start(store: Box<dyn Store>, asks: Sender<Ask>) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (jobs, receiver) = channel();
        let thread = std::thread::Builder::new()
            .name("publisher".into())
            .spawn(move || run(&*store, &receiver, &asks))?;
        Ok((Self(jobs), thread))
    }

    pub(super) fn submit(&self, job: Job) {
        drop(self.0.send(job));
    }
}

fn run(store: &dyn Store, jobs: &Receiver<Job>, asks: &Sender<Ask>) {
    let mut waiting: Vec<(String, String)> = Vec::new();
    // Only the latest state of each object is worth a write; one that fails is tried again.
    let mut puts = BTreeMap::new();
    let mut ending: Option<Instant> = None;
    let mut failing = false;
    loop {
        let next = match ending {
            Some(by) if Instant::now() >= by || puts.is_empty() => return,
            Some(_) => {
                std::thread::sleep(AGAIN_AT_END);
                Err(RecvTimeoutError::Timeout)
            }
            None if waiting.is_empty() && puts.is_empty() => {
                jobs.recv().map_err(|_| RecvTimeoutError::Disconnected)
            }
            None => jobs.recv_timeout(AGAIN),
        };
        if next.as_ref().is_err_and(|error| *error == RecvTimeoutError::Disconnected) {
            // Nobody waits for an answer any more; what is not written yet gets a last chance.
            ending = Some(Instant::now() + AT_END);
            waiting.clear();
        }
        for job in next.into_iter().chain(jobs.try_iter()) {
            match job {
                Job::Put(key, bytes) => drop(puts.insert(key, bytes)),
                Job::Earlier { experiment, phase } => waiting.push((experiment, phase)),
            }
        }
        puts.retain(|key, bytes| match store.write(key, Body::Bytes(bytes), Condition::None) {
            Ok(_) => {
                failing = false;
                false
            }
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(%error, "what is known is not published; it is tried again");
                }
                true
            }
        });
        waiting.retain(|(experiment, phase)| match read(store, experiment, phase) {
            Ok(earlier) => {
                drop(asks.send(Ask::Earlier(phase.clone(), earlier)));
                false
            }
            Err(error) => {
                tracing::warn!(%error, %experiment, "what was published of it cannot be read; it is tried again");
                true
            }
        });
    }
}

/// Reads what was published of a phase.
///
/// # Errors
/// When the store does not answer.
pub fn read(store: &dyn Store, experiment: &str, phase: &str) -> Result<Earlier, StoreError> {
    let mut earlier = Earlier::default();
    let mut keys = store.keys(&layout::experiment_phase(experiment, phase))?;
    keys.sort();
    for key in keys.iter().filter(|key| layout::is_experiment_sums(key)) {
        earlier.sums.extend(store.read(key, MAX_BYTES, None)?.bytes());
    }
    earlier.standing = store.read(&layout::experiment_standing(experiment, phase), MAX_BYTES, None)?.bytes();
    Ok(earlier)
}
