//! Shadows: versions that predict from copies of requests after these were answered, and what comes of comparing.
//!
//! A worker leaves what it has answered with one `try_send`; what does not fit is dropped and counted. One thread at idle
//! priority runs every shadow, adds up what it finds and hands it to the monitor now and then, so that both are bounded.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use super::{Ask, now};
use crate::config::Config;
use crate::engine::{RunError, Scratch};
use crate::experiment::Track;
use crate::experiment::pairwise::{Key, Pairs};
use crate::experiment::sums::bucket;
use crate::metrics::Metrics;
use crate::model::Signature;
use crate::serving::ServedVersion;
use crate::serving::mirror::{Mirror, Shadow};
use crate::serving::pacer::Pacer;
use crate::tensor::Tensor;

/// Copies that wait; more are dropped.
const QUEUE: usize = 256;
/// Bytes of tensors that wait; more are dropped.
const MAX_BYTES: usize = 16 << 20;
/// Between two times that the monitor hears what was found.
const TELL: Duration = Duration::from_millis(100);

/// Where workers leave what they have answered.
#[derive(Clone)]
pub struct Shadows {
    jobs: SyncSender<Job>,
    bytes: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
}

/// An answered request whose inputs and outputs are to be copied.
pub struct Answered {
    /// Who gets the copy.
    pub mirror: Arc<Mirror>,
    /// The version whose signature inputs and outputs have.
    pub version: Arc<ServedVersion>,
    /// Whether another server answered in its place.
    pub remote: bool,
    /// The hash that stands for the unit, or for the request where it has none.
    pub unit: u64,
}

/// A copy that waits.
struct Job {
    answered: Answered,
    inputs: Vec<Tensor>,
    outputs: Vec<Tensor>,
    bytes: usize,
}

/// The thread that runs shadows.
struct Runner {
    scratch: Scratch,
    outputs: Vec<Tensor>,
    config: Arc<ArcSwap<Config>>,
    metrics: Arc<Metrics>,
    asks: Sender<Ask>,
    found: HashMap<String, (Arc<Track>, Pairs)>,
}

// === impl Shadows ===

impl Shadows {
    /// Starts the thread, which calls sessions as caller `number`. What it finds goes to the monitor behind `asks`.
    ///
    /// # Errors
    /// When the system has no thread for it.
    pub(super) fn start(
        number: usize,
        config: Arc<ArcSwap<Config>>,
        metrics: Arc<Metrics>,
        asks: Sender<Ask>,
    ) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (jobs, receiver) = sync_channel(QUEUE);
        let shadows = Self { jobs, bytes: Arc::default(), stop: Arc::default() };
        let mut runner = Runner {
            scratch: Scratch::new(number),
            outputs: Vec::new(),
            config,
            metrics,
            asks,
            found: HashMap::new(),
        };
        let (bytes, stop) = (shadows.bytes.clone(), shadows.stop.clone());
        let run = move || {
            // Requests go first.
            crate::native::lower_priority();
            runner.run(&receiver, &bytes, &stop);
        };
        Ok((shadows, std::thread::Builder::new().name("shadow".into()).spawn(run)?))
    }

    /// Leaves a copy of what was answered, or drops and counts it where too much waits. The tensors are taken out, which
    /// costs less than copying them: the next request brings its own.
    pub fn send(&self, answered: Answered, inputs: &mut Vec<Tensor>, outputs: &mut Vec<Tensor>) {
        let bytes: usize = inputs.iter().chain(&*outputs).map(|tensor| tensor.data.capacity_bytes()).sum();
        let waiting = self.bytes.fetch_add(bytes, Relaxed);
        if waiting + bytes > MAX_BYTES {
            self.bytes.fetch_sub(bytes, Relaxed);
            return answered.dropped();
        }
        let job = Job { answered, inputs: std::mem::take(inputs), outputs: std::mem::take(outputs), bytes };
        if let Err(error) = self.jobs.try_send(job) {
            self.bytes.fetch_sub(bytes, Relaxed);
            let (std::sync::mpsc::TrySendError::Full(job) | std::sync::mpsc::TrySendError::Disconnected(job)) =
                error;
            job.answered.dropped();
        }
    }

    /// Has the thread end, after it has told what it found.
    pub fn end(&self) {
        self.stop.store(true, Relaxed);
    }
}

// === impl Answered ===

impl Answered {
    fn due(&self) -> impl Iterator<Item = (&Shadow, &Arc<ServedVersion>)> {
        self.mirror.due((!self.remote).then_some(self.version.version))
    }

    #[cold]
    fn dropped(&self) {
        self.due().for_each(|(shadow, _)| shadow.counts.dropped.inc());
    }
}

// === impl Runner ===

impl Runner {
    fn run(&mut self, jobs: &Receiver<Job>, bytes: &AtomicUsize, stop: &AtomicBool) {
        let mut told = Instant::now();
        while !stop.load(Relaxed) {
            match jobs.recv_timeout(TELL) {
                Ok(job) => {
                    let mut pacer = Pacer::new(self.config.load().registry.slow_load);
                    bytes.fetch_sub(job.bytes, Relaxed);
                    self.compare(job);
                    pacer.pace();
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if told.elapsed() >= TELL {
                told = Instant::now();
                self.tell();
            }
        }
        self.tell();
    }

    fn tell(&mut self) {
        for (_, (track, pairs)) in self.found.drain() {
            drop(self.asks.send(Ask::Compared(track, pairs)));
        }
    }

    fn compare(&mut self, job: Job) {
        let Job { answered, mut inputs, outputs, .. } = job;
        let track = &answered.mirror.track;
        let mut order = &answered.version.signature;
        for (shadow, version) in answered.due() {
            arrange(&mut inputs, order, &version.signature);
            order = &version.signature;
            let start = Instant::now();
            let (scratch, into) = (&mut self.scratch, &mut self.outputs);
            let ran = catch_unwind(AssertUnwindSafe(|| version.session.run(&inputs, scratch, into)));
            let seconds = start.elapsed().as_secs_f64();
            let failure = match ran {
                Ok(Ok(())) => None,
                Ok(Err(RunError::Input(message) | RunError::Engine(message))) => Some(message),
                Err(_) => {
                    self.metrics.panics.inc();
                    Some("the engine panicked".into())
                }
            };
            let (_, pairs) =
                self.found.entry(track.phase.clone()).or_insert_with(|| (track.clone(), Pairs::default()));
            let pair = pairs.entry(Key {
                shadow: shadow.name.clone(),
                version: version.version.get(),
                against: if answered.remote { 0 } else { answered.version.version.get() },
            });
            pair.at = now();
            let predicted = (outputs.get(answered.version.prediction), into.get(version.prediction));
            match (failure, predicted) {
                (None, (Some(answer), Some(prediction))) => {
                    pair.times.push(seconds);
                    pair.push(bucket(answered.unit), answer, prediction, track.experiment.shadow_margin);
                    shadow.counts.compared.inc();
                }
                (failure, _) => {
                    let message = failure.unwrap_or_else(|| "it has no prediction".into());
                    tracing::debug!(shadow = %shadow.name, version = version.version.get(), message, "a shadow failed");
                    pair.failed += 1;
                    shadow.counts.failed.inc();
                }
            }
        }
    }
}

/// Brings inputs from the order of one signature into that of another with the same names.
fn arrange(inputs: &mut [Tensor], from: &Signature, to: &Signature) {
    let mut names: Vec<&str> = from.inputs.iter().map(|spec| &*spec.name).collect();
    for (at, spec) in to.inputs.iter().enumerate().take(inputs.len()) {
        let Some(found) = names.iter().position(|name| *name == &*spec.name) else { continue };
        inputs.swap(at, found);
        names.swap(at, found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::TensorSpec;
    use crate::tensor::{Data, Datatype};

    #[test]
    fn inputs_go_by_their_names() {
        let signature = |names: &[&str]| Signature {
            inputs: names
                .iter()
                .map(|name| TensorSpec {
                    name: (*name).into(),
                    datatype: Datatype::Int64,
                    shape: vec![-1],
                    labels: None,
                })
                .collect(),
            ..Signature::default()
        };
        let tensors = |values: &[i64]| -> Vec<Tensor> {
            values.iter().map(|value| Tensor::new(&[1], Data::Int64(vec![*value]))).collect()
        };
        let mut inputs = tensors(&[1, 2, 3]);
        arrange(&mut inputs, &signature(&["a", "b", "c"]), &signature(&["c", "a", "b"]));
        assert_eq!(inputs, tensors(&[3, 1, 2]));
        arrange(&mut inputs, &signature(&["c", "a", "b"]), &signature(&["a", "b", "c"]));
        assert_eq!(inputs, tensors(&[1, 2, 3]));
    }
}
