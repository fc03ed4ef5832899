//! From the command line to a report: answers first, then speed.

use std::time::{Duration, Instant};

use super::compare::{Answers, Judge, side_by_side};
use super::connection::{Connection, Peer};
use super::gateway::{Choice, Gateway, Stop};
use super::measure::{self, Plan, Side, Taken};
use super::prepare::{self, Subject, Way};
use super::progress::Progress;
use super::reply::{self, Output, excerpt};
use super::report::{Alone, Measured, Report, Verdict};
use super::target::Target;
use super::usage::Processes;
use crate::cli::TryArgs;
use crate::cli::admin_client::Failure;
use crate::cli::model_file::ModelFile;
use crate::config::EngineChoice;
use crate::engine::{EngineKind, Scratch};
use crate::model::ModelName;
use crate::protocol::{Policy, Request, oip};

/// Requests from whose answers it is found out which outputs belong together.
const SAMPLE: usize = 64;

/// For the runs in process.
const ALONE: Duration = Duration::from_millis(500);

/// For comparing answers, where nobody said how many; and how many at least.
const COMPARING: (Duration, usize) = (Duration::from_secs(10), 50);

/// Who says what is right.
enum Other {
    Service { target: Target, way: Way },
    Engine(Box<ModelFile>),
    Nobody(String),
}

/// What one side said to one request.
type Said = Result<Vec<Output>, String>;

/// Does all of it.
pub(super) fn examine(args: &TryArgs, stop: &Stop) -> Result<Report, Failure> {
    prepare::check(args)?;
    let (sources, engine, onnxruntime) = prepare::configure(args)?;
    let model = prepare::open(&args.model, engine)?;
    let name = args.model.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let name = ModelName::sanitized(&name);
    let target = args
        .against
        .as_deref()
        .map(|url| Target::find(url, args.protocol, &args.headers, prepare::patience(args), name.as_str()));
    let target = target.transpose()?;
    let mut report = Report {
        model: args.model.display().to_string(),
        model_bytes: model.bytes,
        load_ms: model.load_time.as_secs_f64() * 1e3,
        engine: model.loaded.kind.name(),
        engine_reason: model.loaded.reason.clone(),
        connections: args.connections.get(),
        rounds: args.rounds.get(),
        ..Report::default()
    };
    let subject = Subject::new(args, model)?;
    report.rows_from.clone_from(&subject.rows.origin);
    report.requests = subject.batches.len();
    report.rows_per_request = subject.batches.first().map_or(1, |batch| batch.rows.len());
    let other = match target {
        Some(target) => {
            let (way, spoken) = subject.way(args, &target)?;
            report.judge = Some(target.url.clone());
            report.spoken = Some(spoken);
            Other::Service { target, way }
        }
        None => witness(args, &subject),
    };
    if let Other::Engine(_) = &other {
        report.judge = Some("ONNX Runtime in this process; --against URL compares with a service".into());
    }
    let workers = args.workers.get();
    let choice =
        Choice { model: &args.model, engine: &args.engine, workers, onnxruntime: onnxruntime.as_deref() };
    let gateway = Gateway::start(&choice, &sources, stop).map_err(Failure::Failed)?;
    let peer = Peer {
        address: gateway.http,
        host: "localhost".into(),
        headers: String::new(),
        patience: prepare::patience(args),
    };
    let mut trial = Trial { args, subject: &subject, gateway: &gateway, peer, other: &other, report };
    trial.answers()?;
    trial.alone();
    let Trial { mut report, .. } = trial;
    report.notes.extend(subject.notes);
    Ok(report)
}

/// ONNX Runtime, where it is found and is not what serves.
fn witness(args: &TryArgs, subject: &Subject) -> Other {
    if subject.model.loaded.kind == EngineKind::Ort {
        return Other::Nobody(
            "ONNX Runtime itself serves this model; --against URL compares with a service".into(),
        );
    }
    match ModelFile::open(&args.model, EngineChoice::Ort, 1) {
        Ok(model) => Other::Engine(Box::new(model)),
        Err(error) => Other::Nobody(format!(
            "ONNX Runtime cannot be asked for its answers ({}); --against URL compares with a service",
            error.detail
        )),
    }
}

struct Trial<'a> {
    args: &'a TryArgs,
    subject: &'a Subject,
    gateway: &'a Gateway,
    peer: Peer,
    other: &'a Other,
    report: Report,
}

impl Trial<'_> {
    /// Asks both sides everything once, compares, and measures what both answered.
    fn answers(&mut self) -> Result<(), Failure> {
        let own = self.subject.own_way();
        let ours: Vec<Vec<u8>> = self.requests(&self.peer, &self.gateway.path, &own);
        let theirs = match self.other {
            Other::Service { target, way } => self.requests(&target.peer, &target.path, way),
            _ => Vec::new(),
        };
        let failed = |error: String| Failure::Failed(format!("sidegate: {error}"));
        let mut asking = Asking {
            ours: Connection::open(&self.peer).map_err(failed)?,
            theirs: match self.other {
                Other::Service { target, .. } => Some(
                    Connection::open(&target.peer)
                        .map_err(|error| Failure::Failed(format!("{}: {error}", target.url)))?,
                ),
                _ => None,
            },
            scratch: Scratch::new(0),
            took: [Vec::new(), Vec::new()],
        };
        let mut verdicts =
            Verdicts { tolerance: self.args.tolerance, sample: Vec::new(), judge: None, refused: 0 };
        let mut answered = Vec::new();
        let mut progress = Progress::new();
        let start = Instant::now();
        for (number, batch) in self.subject.batches.iter().enumerate() {
            let long = start.elapsed() > COMPARING.0 && number >= COMPARING.1;
            if long && self.args.requests_count.is_none() {
                let (done, all) = (number, self.subject.batches.len());
                self.report
                    .notes
                    .push(format!("{done} of {all} requests were compared in 10 s; -n {all} takes all"));
                self.report.requests = number;
                break;
            }
            progress.tell("comparing answers", number, self.subject.batches.len());
            let ours_said = asking.ask_ours(&ours[number]);
            let theirs_said = match self.other {
                Other::Service { .. } => asking.ask_theirs(&theirs[number]),
                Other::Engine(model) => asking.run(model, self.subject, number),
                Other::Nobody(_) => ours_said.clone(),
            };
            if number == 0 {
                self.first_answers(&ours_said, &theirs_said)?;
            }
            if ours_said.is_ok() && theirs_said.is_ok() {
                answered.push(number);
            }
            verdicts.take(number, batch.rows.len(), ours_said, theirs_said);
        }
        drop(progress);
        let typical = asking.typical();
        drop(asking);
        self.conclude(verdicts);
        let keep = |requests: Vec<Vec<u8>>| -> Vec<Vec<u8>> {
            let mut requests: Vec<Option<Vec<u8>>> = requests.into_iter().map(Some).collect();
            answered.iter().filter_map(|number| requests.get_mut(*number)?.take()).collect()
        };
        let mut sides = vec![Side {
            peer: self.peer.clone(),
            requests: keep(ours),
            processes: Ok(Processes::of(self.gateway.pid)),
            taken: Taken::default(),
        }];
        if let Other::Service { target, .. } = self.other {
            let address = target.peer.address;
            let processes = match self.args.pid {
                Some(pid) => Ok(Processes::of(pid)),
                None => Processes::listening(address.ip(), address.port()),
            };
            let (peer, requests) = (target.peer.clone(), keep(theirs));
            sides.push(Side { peer, requests, processes, taken: Taken::default() });
        }
        self.measure(sides, &typical);
        Ok(())
    }

    fn requests(&self, peer: &Peer, path: &str, way: &Way) -> Vec<Vec<u8>> {
        self.subject.batches.iter().map(|batch| self.subject.request(peer, path, way, batch)).collect()
    }

    /// What fails at once will fail always: say so instead of a thousand times.
    fn first_answers(&self, ours: &Said, theirs: &Said) -> Result<(), Failure> {
        if let Err(error) = ours {
            return Err(Failure::Failed(format!("sidegate does not answer the first request: {error}")));
        }
        let Err(error) = theirs else { return Ok(()) };
        let who = match self.other {
            Other::Service { target, .. } => target.url.as_str(),
            _ => "ONNX Runtime",
        };
        Err(Failure::Failed(format!("{who} does not answer the first request: {error}")))
    }

    fn conclude(&mut self, verdicts: Verdicts) {
        let report = &mut self.report;
        if verdicts.refused > 0 {
            report.notes.push(format!("{} requests were refused by both sides", verdicts.refused));
        }
        if let Other::Nobody(why) = self.other {
            report.why = Some(why.clone());
            return;
        }
        match verdicts.end() {
            Ok(mut equality) => {
                if let Other::Service { target, .. } = self.other
                    && !equality.not_compared.is_empty()
                {
                    let given = |name: &String| equality.given.contains(name);
                    let more: Vec<String> =
                        target.described().outputs.into_iter().filter(|name| !given(name)).collect();
                    if !more.is_empty() {
                        report
                            .notes
                            .push(format!("the other side has more outputs: --outputs {}", more.join(",")));
                    }
                }
                let equal = equality.equal == equality.rows;
                report.verdict = if equal { Verdict::Equal } else { Verdict::Different };
                if let Some(first) = &mut equality.first {
                    let start = self.subject.batches.get(first.request).map_or(0, |batch| batch.rows.start);
                    let rows = &self.subject.rows;
                    let input = |column| {
                        let value =
                            String::from_utf8_lossy(rows.cell(start + first.row, column)).into_owned();
                        (rows.name(column), value)
                    };
                    first.inputs = (0..rows.width).map(input).collect();
                }
                report.equality = Some(equality);
            }
            Err(answers) => {
                report.verdict = Verdict::NotComparable;
                let (ours, theirs) = answers.as_ref().map(side_by_side).unwrap_or_default();
                report.why = Some(format!(
                    "no output there has the kind and number of values of one here; the first row: sidegate {ours}; other {theirs}"
                ));
            }
        }
    }

    fn measure(&mut self, mut sides: Vec<Side>, typical: &[Duration]) {
        let plan = Plan {
            rounds: self.args.rounds.get(),
            time: Duration::from_secs_f64(self.args.seconds),
            connections: self.args.connections.get(),
        };
        if sides.iter().any(|side| side.requests.is_empty()) {
            return;
        }
        let per_turn = measure::requests_per_turn(plan, &typical[..sides.len()]);
        let turns = plan.rounds * sides.len();
        let mut progress = Progress::new();
        progress.tell("taking turns", 0, turns);
        let failed =
            measure::rounds(&mut sides, plan, per_turn, |turn| progress.tell("taking turns", turn, turns));
        drop(progress);
        if let Err((side, error)) = failed {
            self.report.verdict = Verdict::Failed;
            let who = ["sidegate", "the other side"][side.min(1)];
            self.report.notes.push(format!("{who} failed while it was measured: {error}"));
            return;
        }
        let measured = sides.iter().zip(["sidegate", "the other side"]);
        self.report.sides =
            measured.map(|(side, name)| Measured::new(name, &side.taken, &side.processes)).collect();
    }

    /// The engine without the gateway, and ONNX Runtime beside it where it is the witness.
    fn alone(&mut self) {
        let name = self.subject.model.loaded.kind.name();
        let mut engines = vec![(name, &self.subject.model)];
        if let Other::Engine(model) = self.other {
            engines.push((EngineKind::Ort.name(), model));
        }
        for (name, model) in engines {
            if let Some(p50_us) = run_alone(model, self.subject) {
                self.report.alone.push(Alone { engine: name, p50_us });
            }
        }
    }
}

/// The connections, and how long each answer took.
struct Asking<'a> {
    ours: Connection<'a>,
    theirs: Option<Connection<'a>>,
    scratch: Scratch,
    took: [Vec<Duration>; 2],
}

impl Asking<'_> {
    fn ask_ours(&mut self, request: &[u8]) -> Said {
        ask(&mut self.ours, request, &mut self.took[0])
    }

    fn ask_theirs(&mut self, request: &[u8]) -> Said {
        match &mut self.theirs {
            Some(connection) => ask(connection, request, &mut self.took[1]),
            None => Err("nobody is asked".into()),
        }
    }

    fn run(&mut self, model: &ModelFile, subject: &Subject, number: usize) -> Said {
        let inputs = decoded(model, subject, number)?;
        let mut outputs = Vec::new();
        let run = model.loaded.session.run(&inputs.inputs, &mut self.scratch, &mut outputs);
        run.map_err(|error| error.to_string())?;
        Ok(reply::of_tensors(&model.signature.outputs, &outputs))
    }

    /// What a request usually takes either side.
    fn typical(&self) -> Vec<Duration> {
        let median = |took: &Vec<Duration>| {
            let mut sorted = took.clone();
            sorted.sort_unstable();
            sorted.get(sorted.len() / 2).copied().unwrap_or_default()
        };
        self.took.iter().map(median).collect()
    }
}

fn ask(connection: &mut Connection<'_>, request: &[u8], took: &mut Vec<Duration>) -> Said {
    let start = Instant::now();
    let answer = connection.ask(request)?;
    took.push(start.elapsed());
    if answer.status != 200 {
        return Err(format!("status {}: {}", answer.status, excerpt(&answer.body)));
    }
    reply::read(&answer.body)
}

/// A request as sidegate's own decoder reads it.
fn decoded(model: &ModelFile, subject: &Subject, number: usize) -> Result<Request, String> {
    let body = subject.body(&subject.own_way(), &subject.batches[number]);
    let mut request = Request::default();
    let policy = Policy { max_rows: usize::MAX, reject_non_finite: false };
    oip::decode(&body, None, &model.signature, policy, &mut request).map_err(|error| error.to_string())?;
    Ok(request)
}

/// The median of one request in process, in microseconds; `None` when the engine refuses them.
fn run_alone(model: &ModelFile, subject: &Subject) -> Option<f64> {
    let count = subject.batches.len().min(SAMPLE);
    let requests: Vec<Request> =
        (0..count).filter_map(|number| decoded(model, subject, number).ok()).collect();
    let (mut scratch, mut outputs, mut took) = (Scratch::new(0), Vec::new(), Vec::new());
    let start = Instant::now();
    while start.elapsed() < ALONE && took.len() < 1_000_000 && !requests.is_empty() {
        for request in &requests {
            let before = Instant::now();
            model.loaded.session.run(&request.inputs, &mut scratch, &mut outputs).ok()?;
            took.push(before.elapsed().as_nanos() as u64);
        }
    }
    took.sort_unstable();
    Some(measure::percentile(&took, 0.5) as f64 / 1e3)
}

/// Judges answers as they come, after a sample has told what belongs together.
struct Verdicts {
    tolerance: f64,
    sample: Vec<Answers>,
    judge: Option<Judge>,
    refused: usize,
}

impl Verdicts {
    fn take(&mut self, request: usize, rows: usize, ours: Said, theirs: Said) {
        match (ours, theirs) {
            (Ok(ours), Ok(theirs)) => {
                let answers = Answers { request, rows, ours, theirs };
                match &mut self.judge {
                    Some(judge) => judge.take(&answers),
                    None => self.sample.push(answers),
                }
                if self.sample.len() >= SAMPLE {
                    self.decide();
                }
            }
            (Err(_), Err(_)) => self.refused += 1,
            (ours, theirs) => {
                self.decide();
                let said = |said: Said| said.map_or_else(|error| error, |_| "an answer".into());
                let (ours, theirs) = (said(ours), said(theirs));
                if let Some(judge) = &mut self.judge {
                    judge.unanswered(request, rows, &ours, &theirs);
                }
            }
        }
    }

    fn decide(&mut self) {
        if self.judge.is_none() {
            self.judge = Judge::new(&self.sample, self.tolerance);
            if let Some(judge) = &mut self.judge {
                self.sample.drain(..).for_each(|answers| judge.take(&answers));
            } else {
                self.sample.truncate(1);
            }
        }
    }

    /// What was found; else answers that cannot be compared.
    fn end(mut self) -> Result<super::compare::Equality, Option<Answers>> {
        self.decide();
        match self.judge {
            Some(judge) => Ok(judge.found),
            None => Err(self.sample.into_iter().next()),
        }
    }
}
