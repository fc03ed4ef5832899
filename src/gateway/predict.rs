//! A prediction between its bytes and its answer: decode, run, encode. The same for every protocol and for
//! both places it may run, inline on a worker or on an offload lane.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::http::{Answer, ContentType};
use super::id::Ids;
use super::workspace::Workspace;
use crate::engine::{RunError, Scratch};
use crate::experiment::Track;
use crate::json::push_string;
use crate::metrics::{Metrics, Outcome};
use crate::monitor::{
    self, Answered, Hand, Log, Logged, Predictions, Receipt, Receipts, Record, Recorder, Tap,
};
use crate::protocol::oip::{AnswerHead, decode, decode_raw, encode};
use crate::protocol::{DecodeError, Policy, table};
use crate::serving::mirror::Mirror;
use crate::serving::router::{Arm, Enrolled};
use crate::serving::{ServedVersion, StageNanos};

/// Bodies above this are decoded on a lane: reading them takes a fair part of [`INLINE_NANOS`].
pub(super) const INLINE_BODY_BYTES: usize = 512 << 10;
/// Runs expected to take longer leave the worker to others.
const INLINE_NANOS: u64 = 1_000_000;

/// One prediction on its way.
pub(super) struct Prediction {
    pub(super) version: Arc<ServedVersion>,
    /// The variant of an experiment that the version answers as.
    pub(super) arm: Option<Arc<Arm>>,
    /// The experiment that the request takes part in.
    pub(super) part: Option<Part>,
    pub(super) form: Form,
    pub(super) policy: Policy,
    /// When the whole request had been read.
    pub(super) arrived: Instant,
    pub(super) deadline: Instant,
    /// The client's `x-request-id`, used where the body holds no id.
    pub(super) request_id: Vec<u8>,
    pub(super) times: StageNanos,
    pub(super) decoded: bool,
    /// The variant that answers when this one fails, and how long a remote one may take before.
    pub(super) fallback: Option<Arc<Arm>>,
    pub(super) fallback_after: Duration,
    /// Who gets a copy once it is answered, and the unit that it hangs together by.
    pub(super) mirror: Option<(Arc<Mirror>, Option<u64>)>,
    /// Whether it stands in for one that failed.
    pub(super) fell_back: bool,
    /// Whether the client asked for a receipt.
    pub(super) receipt: bool,
    /// Whether heavy runs are for a lane.
    pub(super) light_only: bool,
    /// What the answer of another server begins with.
    pub(super) prefix: Vec<u8>,
}

/// A request's part in an experiment.
pub(super) struct Part {
    pub(super) track: Arc<Track>,
    pub(super) enrolled: Enrolled,
}

/// How the body is to be read, and so how the answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// OIP JSON, with the length of its JSON part when binary tensors follow.
    Oip { json_length: Option<usize>, carrier: ContentType },
    /// The body is the only input.
    OipRaw,
    /// Records, columns or rows.
    Table,
    /// `text/csv`.
    Csv,
}

/// What a thread that runs predictions owns.
pub(super) struct Runner {
    pub(super) scratch: Scratch,
    pub(super) ids: Ids,
    pub(super) metrics: Arc<Metrics>,
    pub(super) recorder: Recorder,
    pub(super) receipts: Arc<Receipts>,
    pub(super) tap: Tap,
    /// Where what is answered is kept; none where it is not.
    pub(super) log: Option<Log>,
}

impl Prediction {
    /// Decodes the body into the workspace's request.
    ///
    /// # Errors
    /// The answer for the client; it is counted.
    pub(super) fn decode(&mut self, work: &mut Workspace) -> Result<(), Answer> {
        let start = Instant::now();
        // Word of an attempt before does not fit these tensors.
        work.logged = None;
        // Taken out for the time being so that body and request can be borrowed side by side.
        let mut request = std::mem::take(&mut work.request);
        let version = &*self.version;
        let (signature, columns) = (&version.signature, version.columns.as_slice());
        let body = work.body();
        let result = match self.form {
            Form::Oip { json_length, .. } => decode(body, json_length, signature, self.policy, &mut request),
            Form::OipRaw => decode_raw(body, signature, self.policy, &mut request),
            Form::Table => table::decode(body, signature, columns, self.policy, &mut request),
            Form::Csv => table::decode_csv(body, signature, columns, self.policy, &mut request),
        };
        if let Some(limit) = request.timeout_us {
            self.deadline = self.deadline.min(self.arrived + Duration::from_micros(limit));
        }
        work.request = request;
        self.decoded = true;
        let now = Instant::now();
        self.times.queue = nanos(start - self.arrived);
        self.times.decode = nanos(now - start);
        result.map_err(|DecodeError(message)| {
            self.fail(work, 400, "invalid_request", &message, Outcome::ClientError)
        })
    }

    /// Whether the run is expected to be too long for a worker.
    #[inline]
    pub(super) fn is_heavy(&self, work: &Workspace) -> bool {
        let row = self.version.row_nanos.load(std::sync::atomic::Ordering::Relaxed);
        row.saturating_mul(work.request.rows() as u64) > INLINE_NANOS
    }

    /// Runs the decoded request and encodes the answer; `wanted` tells whether anybody still waits for it. None leaves a
    /// heavy fallback to a lane.
    pub(super) fn run(
        &mut self,
        work: &mut Workspace,
        runner: &mut Runner,
        wanted: impl FnOnce() -> bool,
    ) -> Option<Answer> {
        let start = Instant::now();
        if start >= self.deadline {
            let message = "the request's time was over before it ran";
            self.keep(Outcome::Timeout, Some("deadline_exceeded"), work, runner);
            return Some(self.fail(work, 504, "deadline_exceeded", message, Outcome::Timeout));
        }
        self.times.queue = nanos(start - self.arrived).saturating_sub(self.times.decode);
        let version = self.version.clone();
        let session = &*version.session;
        let (scratch, outputs) = (&mut runner.scratch, &mut work.outputs);
        let inputs = work.request.inputs.as_slice();
        let result = catch_unwind(AssertUnwindSafe(|| session.run(inputs, scratch, outputs)));
        let ran = Instant::now();
        self.times.infer = nanos(ran - start);
        let rows = work.request.rows();
        match result {
            Ok(Ok(())) => {}
            Ok(Err(RunError::Input(message))) => {
                // What one variant takes and another does not is harm.
                self.keep(Outcome::ClientError, Some("invalid_input"), work, runner);
                self.record(false, work, runner, ran);
                return Some(self.fail(work, 400, "invalid_input", &message, Outcome::ClientError));
            }
            Ok(Err(RunError::Engine(message))) => {
                tracing::warn!(model = %version.model, version = version.version.get(), %message, "the engine failed");
                self.keep(Outcome::Error, Some("engine_failed"), work, runner);
                self.record(false, work, runner, ran);
                let answer = self.engine_failed(work, ran);
                return self.instead(answer, work, runner, wanted);
            }
            Err(_) => {
                runner.metrics.panics.inc();
                tracing::error!(model = %version.model, version = version.version.get(), "the engine panicked");
                self.keep(Outcome::Error, Some("engine_failed"), work, runner);
                self.record(false, work, runner, ran);
                let answer = self.engine_failed(work, ran);
                return self.instead(answer, work, runner, wanted);
            }
        }
        version.observe_run(rows, self.times.infer);
        Some(self.complete(rows, work, runner, ran, wanted))
    }

    /// Encodes the outputs in the workspace and counts the answer.
    pub(super) fn complete(
        &mut self,
        rows: usize,
        work: &mut Workspace,
        runner: &mut Runner,
        ran: Instant,
        wanted: impl FnOnce() -> bool,
    ) -> Answer {
        let version = self.version.clone();
        work.out.clear();
        let encoded = match self.form {
            Form::Oip { carrier, .. } => self.encode_oip(work, runner, carrier),
            Form::OipRaw => self.encode_oip(work, runner, ContentType::Binary),
            Form::Table | Form::Csv => self.encode_table(work, runner),
        };
        let answer = match encoded {
            Ok(answer) => answer,
            Err(DecodeError(message)) => {
                self.keep(Outcome::ClientError, Some("invalid_request"), work, runner);
                return self.fail(work, 400, "invalid_request", &message, Outcome::ClientError);
            }
        };
        let done = Instant::now();
        self.times.encode = nanos(done - ran);
        self.times.total = nanos(done - self.arrived);
        let wanted = wanted();
        if wanted {
            self.succeeded(rows);
            if self.remote().is_none() {
                let predicts = (&version.signature, version.prediction);
                runner.tap.offer(&version.watch, predicts, &work.request.inputs, &work.outputs);
            }
        } else {
            self.timed_out();
        }
        if wanted {
            self.keep(Outcome::Ok, None, work, runner);
        } else {
            self.keep(Outcome::Timeout, Some("deadline_exceeded"), work, runner);
            // Nobody takes the workspace back.
            if let (Some(log), Some(logged)) = (&runner.log, work.logged.take()) {
                log.send(*logged, &mut work.request.inputs, &mut work.outputs, Hand::Over);
            }
        }
        self.record(wanted, work, runner, done);
        if wanted && self.mirror.is_some() {
            self.reflect(work);
        }
        Answer { times: Some(self.times), ..answer }
    }

    /// Leaves word of what is to be copied after the answer.
    #[cold]
    fn reflect(&mut self, work: &mut Workspace) {
        let Some((mirror, unit)) = self.mirror.take() else { return };
        let remote = self.remote().is_some();
        let unit = unit.unwrap_or_else(|| monitor::request_id(&work.request.id));
        if mirror.has_work((!remote).then_some(self.version.version)) {
            work.answered = Some(Answered { mirror, version: self.version.clone(), remote, unit });
        }
    }

    /// Leaves word of what is to be logged after the answer, in place of what was left before.
    #[inline]
    pub(super) fn keep(
        &self,
        outcome: Outcome,
        error: Option<&'static str>,
        work: &mut Workspace,
        runner: &mut Runner,
    ) {
        if runner.log.is_some() {
            self.give_id(work, runner);
            let key = runner.log.as_ref().and_then(|log| log.wants(&self.version.model, &work.request.id));
            work.logged = key.map(|key| Box::new(self.logged(outcome, error, &work.request.id, key)));
        }
    }

    fn logged(&self, outcome: Outcome, error: Option<&'static str>, id: &[u8], key: u64) -> Logged {
        let mut times = self.times;
        if outcome != Outcome::Ok {
            times.total = nanos(self.arrived.elapsed());
        }
        Logged {
            version: self.version.clone(),
            arm: self.arm.clone(),
            part: self.part.as_ref().map(|part| (part.track.clone(), part.enrolled)),
            fell_back: self.fell_back,
            outcome,
            error,
            arrived: self.arrived,
            times,
            id: id.to_vec(),
            key,
        }
    }

    /// Tells the monitor, once, of a request that takes part in an experiment or whose predictions wait for actuals, and
    /// signs a receipt where one is wanted; one that was not `answered` the variant failed.
    #[inline]
    pub(super) fn record(
        &mut self,
        answered: bool,
        work: &mut Workspace,
        runner: &mut Runner,
        ended: Instant,
    ) {
        let part = self.part.take();
        if part.is_some() || (answered && self.version.watch.remembers()) {
            self.tell(part, answered, work, runner, ended);
        }
    }

    fn tell(
        &self,
        part: Option<Part>,
        answered: bool,
        work: &mut Workspace,
        runner: &mut Runner,
        ended: Instant,
    ) {
        let (track, enrolled) = part.map(|part| (part.track, part.enrolled)).unzip();
        let Enrolled { variant, slot, unit } = enrolled.unwrap_or_default();
        let local = self.remote().is_none();
        if track.is_none() && !local {
            return;
        }
        let output = work.outputs.get(self.version.prediction).filter(|_| answered);
        let labels = &self.version.labels;
        let record = Record {
            unit,
            id: monitor::request_id(&work.request.id),
            at: runner.recorder.millis(self.arrived),
            seconds: (ended - self.arrived).as_secs_f32(),
            version: if local { self.version.watch.id } else { 0 },
            predictions: output.map_or_else(Predictions::default, |output| Predictions::of(output, labels)),
            slot,
            variant: variant as u8,
            failed: output.is_none(),
            track,
        };
        if self.receipt && !record.failed && runner.receipts.is_on() {
            self.sign(&record, work, runner);
        }
        runner.recorder.record(record);
    }

    #[cold]
    fn sign(&self, record: &Record, work: &mut Workspace, runner: &Runner) {
        let track = record.track.as_deref();
        let receipt = Receipt {
            phase: track.map_or(0, |track| u64::from_str_radix(&track.phase, 16).unwrap_or(0)),
            variant: record.variant,
            version: if self.remote().is_some() { 0 } else { self.version.version.get() },
            slot: record.slot,
            unit: record.unit,
            id: record.id,
            at: record.at,
            propensity: track.map_or(1.0, |track| track.propensity(record.variant.into())),
            predictions: record.predictions.clone(),
            model: self.version.model.to_string(),
        };
        work.receipt.clear();
        runner.receipts.push(&receipt, &mut work.receipt);
    }

    #[cold]
    fn engine_failed(&self, work: &mut Workspace, now: Instant) -> Answer {
        let version = &self.version;
        if version.circuit.fail(now) {
            tracing::error!(model = %version.model, version = version.version.get(), "failed too often: refused for a minute");
        }
        self.fail(work, 500, "engine_failed", "the engine failed on this request", Outcome::Error)
    }

    fn succeeded(&self, rows: usize) {
        self.count(Outcome::Ok);
        if self.remote().is_some() {
            return;
        }
        let (metrics, times) = (&self.version.metrics, &self.times);
        let seconds = |nanos: u64| nanos as f64 * 1e-9;
        metrics.rows.inc_by(rows as u64);
        metrics.duration.observe(seconds(times.total));
        metrics.decode.observe(seconds(times.decode));
        metrics.queue.observe(seconds(times.queue));
        metrics.infer.observe(seconds(times.infer));
        metrics.encode.observe(seconds(times.encode));
        self.version.statistics.succeeded(times, rows);
    }

    fn encode_oip(
        &self,
        work: &mut Workspace,
        runner: &mut Runner,
        carrier: ContentType,
    ) -> Result<Answer, DecodeError> {
        self.give_id(work, runner);
        let (version, request) = (&*self.version, &work.request);
        let (prefix, variant) = (self.prefix(), self.variant());
        let head = AnswerHead { prefix, id: &request.id, variant, fallback: self.fell_back };
        let json_length = encode(head, &version.signature, request, &work.outputs, &mut work.out)?;
        let content_type = match json_length {
            None => ContentType::Json,
            Some(_) if carrier == ContentType::SageMakerBinary => carrier,
            Some(_) => ContentType::Binary,
        };
        Ok(Answer { content_type, json_length, ..Answer::json(200) })
    }

    fn encode_table(&self, work: &mut Workspace, runner: &mut Runner) -> Result<Answer, DecodeError> {
        self.give_id(work, runner);
        let (version, request, out) = (&*self.version, &work.request, &mut work.out);
        out.push(b'{');
        table::push_predictions(
            out,
            &version.signature,
            &work.outputs,
            version.prediction,
            request.non_finite_tokens,
        )?;
        // The prefix opens an object of its own.
        out.push(b',');
        out.extend_from_slice(&self.prefix()[1..]);
        match self.variant() {
            // Names of variants hold nothing that JSON would escape.
            Some(variant) => {
                out.extend([b",\"variant\":\"", variant.as_bytes(), b"\",\"id\":"].iter().copied().flatten())
            }
            None => out.extend_from_slice(b",\"variant\":null,\"id\":"),
        }
        push_string(out, &request.id);
        if self.fell_back {
            out.extend_from_slice(b",\"fallback\":true");
        }
        out.extend_from_slice(b",\"timestamp\":\"");
        out.extend_from_slice(timestamp().as_bytes());
        out.extend_from_slice(b"\"}");
        Ok(Answer::json(200))
    }

    /// What the answer begins with.
    fn prefix(&self) -> &[u8] {
        if self.prefix.is_empty() { &self.version.answer_prefix } else { &self.prefix }
    }

    /// What the answer says of an experiment.
    fn variant(&self) -> Option<&str> {
        self.arm.as_ref().map(|arm| arm.name.as_str())
    }

    /// Counts how the request ended, for the version as what it answers.
    #[inline]
    pub(super) fn count(&self, outcome: Outcome) {
        self.version.count(self.arm.as_deref(), outcome);
    }

    /// Every answer has an id: the body's, else the header's, else a new one.
    fn give_id(&self, work: &mut Workspace, runner: &mut Runner) {
        let id = &mut work.request.id;
        if id.is_empty() {
            if self.request_id.is_empty() {
                runner.ids.push(id);
            } else {
                id.extend_from_slice(&self.request_id);
            }
        }
    }

    /// An error answer, counted.
    pub(super) fn fail(
        &self,
        work: &mut Workspace,
        status: u16,
        code: &str,
        message: &str,
        outcome: Outcome,
    ) -> Answer {
        self.count(outcome);
        if self.remote().is_none() {
            self.version.statistics.failed(nanos(self.arrived.elapsed()));
        }
        work.fail(status, code, message)
    }

    /// Counts a request whose caller was told that its time was over.
    #[cold]
    pub(super) fn timed_out(&self) {
        self.count(Outcome::Timeout);
        self.version.statistics.failed(nanos(self.arrived.elapsed()));
    }

    /// 503 for a request that waited too long or found its queue full.
    #[cold]
    pub(super) fn shed(&self, work: &mut Workspace) -> Answer {
        self.count(Outcome::Shed);
        overloaded(work)
    }
}

/// 503 with a jittered `Retry-After`, so that clients do not come back all at once.
pub(super) fn overloaded(work: &mut Workspace) -> Answer {
    let answer = work.fail(503, "overloaded", "too many requests are waiting; try again shortly");
    Answer { retry_after: Some(rand::random_range(1..=3)), ..answer }
}

fn nanos(duration: Duration) -> u64 {
    duration.as_nanos() as u64
}

/// Now, as RFC 3339 in UTC with milliseconds.
fn timestamp() -> String {
    let now = time::OffsetDateTime::now_utc();
    let now = now.replace_nanosecond(now.nanosecond() / 1_000_000 * 1_000_000).unwrap_or(now);
    now.format(&time::format_description::well_known::Rfc3339).unwrap_or_default()
}
