//! Offload lanes: threads for predictions that would hold up a worker's other connections.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use tokio::sync::oneshot;

use super::Gateway;
use super::http::Answer;
use super::overload::Admission;
use super::predict::{Prediction, Runner};
use super::workspace::Workspace;
use crate::metrics::Outcome;
use crate::monitor::Hand;

/// Most jobs that wait for a lane. The wait is bounded by time; this only bounds memory.
const QUEUE: usize = 1024;

/// A prediction on its way to a lane and back.
pub(super) struct Job {
    pub(super) prediction: Prediction,
    pub(super) work: Box<Workspace>,
    pub(super) queued: Instant,
    pub(super) reply: oneshot::Sender<(Box<Workspace>, Answer)>,
}

/// The way to the lanes.
#[derive(Clone)]
pub(super) struct Lanes {
    jobs: SyncSender<Job>,
}

impl Lanes {
    /// Starts one lane per runner. They end when every [`Lanes`] is gone.
    pub(super) fn start(
        gateway: &Arc<Gateway>,
        runners: Vec<Runner>,
    ) -> std::io::Result<(Self, Vec<JoinHandle<()>>)> {
        let (jobs, receiver) = sync_channel(QUEUE);
        let receiver = Arc::new(Mutex::new(receiver));
        let spawn = |(number, runner): (usize, Runner)| {
            let (gateway, receiver) = (gateway.clone(), receiver.clone());
            std::thread::Builder::new()
                .name(format!("lane-{number}"))
                .spawn(move || run(&gateway, &receiver, runner))
        };
        let threads = runners.into_iter().enumerate().map(spawn).collect::<std::io::Result<_>>()?;
        Ok((Self { jobs }, threads))
    }

    /// Hands a job over; gives it back when too many wait.
    pub(super) fn submit(&self, job: Job) -> Result<(), Box<Job>> {
        self.jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(job) | TrySendError::Disconnected(job) => Box::new(job),
        })
    }
}

fn run(gateway: &Gateway, jobs: &Mutex<Receiver<Job>>, mut runner: Runner) {
    let mut admission = Admission::new(Instant::now());
    loop {
        // Whoever holds the lock waits for the next job; the others wait for the lock.
        let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(mut job) = next else { return };
        // Work whose caller has gone is not started.
        if job.reply.is_closed() {
            job.prediction.timed_out();
            continue;
        }
        let now = Instant::now();
        let answer = if admission.admit(now, now - job.queued, gateway.settings.load().queue_wait) {
            // Without this a panic would end the lane, and with it every heavy prediction.
            catch_unwind(AssertUnwindSafe(|| perform(&mut job, &mut runner))).unwrap_or_else(|_| {
                gateway.metrics.panics.inc();
                job.prediction.fail(
                    &mut job.work,
                    500,
                    "internal",
                    "the request was lost; see the log",
                    Outcome::Error,
                )
            })
        } else {
            job.prediction.shed(&mut job.work)
        };
        if let Err((mut work, _)) = job.reply.send((job.work, answer))
            && let (Some(log), Some(logged)) = (&runner.log, work.logged.take())
        {
            log.send(*logged, &mut work.request.inputs, &mut work.outputs, Hand::Over);
        }
    }
}

fn perform(job: &mut Job, runner: &mut Runner) -> Answer {
    if !job.prediction.decoded
        && let Err(answer) = job.prediction.decode(&mut job.work)
    {
        return answer;
    }
    let reply = &job.reply;
    let ran = job.prediction.run(&mut job.work, runner, || !reply.is_closed());
    // Only a worker leaves anything to a lane.
    ran.unwrap_or_else(|| job.prediction.shed(&mut job.work))
}
