//! From the command line to a report: answers first, then speed.

use std::time::{Duration, Instant};

use super::asking::{Asking, Said, run_alone};
use super::gateway::{Choice, Gateway, Stop};
use super::measure::{self, Plan, Side, Taken};
use super::prepare::{self, Subject, Way};
use super::progress::Progress;
use super::report::{Alone, Measured, Report, Verdict};
use super::target::Target;
use super::usage::Processes;
use super::verdicts::Verdicts;
use crate::cli::TryArgs;
use crate::cli::failure::Failure;
use crate::cli::model_file::{Found, ModelFile};
use crate::cli::peer::compare::side_by_side;
use crate::cli::peer::connection::{Connection, Peer};
use crate::config::EngineChoice;
use crate::engine::{EngineKind, Scratch};
use crate::format::Model;

/// For comparing answers, where nobody said how many; and how many at least.
const COMPARING: (Duration, usize) = (Duration::from_secs(10), 50);

/// Who says what is right.
enum Other {
    Service { target: Target, way: Way },
    Engine(Box<ModelFile>),
    Nobody(String),
}

/// Does all of it.
pub(super) fn examine(args: &TryArgs, stop: &Stop) -> Result<Report, Failure> {
    prepare::check(args)?;
    let (sources, engine, onnxruntime) = prepare::configure(args)?;
    let found = Found::at(&args.model).map_err(|error| Failure::Usage(error.detail))?;
    let model = prepare::open(&found, engine)?;
    let name = found.name();
    let own_bodies = args.body.is_some() || args.requests.is_some();
    let find = |url: &str| {
        let patience = prepare::patience(args);
        Target::find(url, args.protocol, own_bodies, &args.headers, patience, name.as_str())
    };
    let target = args.against.as_deref().map(find).transpose()?;
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
    let subject = Subject::new(args, &found, model)?;
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
        None => witness(&found, &subject),
    };
    if let Other::Engine(_) = &other {
        report.judge = Some("ONNX Runtime in this process; --against URL compares with a service".into());
    }
    let workers = args.workers.get();
    let choice = Choice { model: &found, engine: &args.engine, workers, onnxruntime: onnxruntime.as_deref() };
    let gateway = Gateway::start(&choice, &sources, stop).map_err(Failure::Failed)?;
    let peer = Peer {
        address: gateway.http,
        host: "localhost".into(),
        headers: String::new(),
        patience: prepare::patience(args),
        secure: None,
    };
    let mut trial = Trial { args, subject: &subject, gateway: &gateway, peer, other: &other, report };
    trial.answers()?;
    trial.alone();
    let Trial { mut report, .. } = trial;
    report.notes.extend(subject.notes);
    Ok(report)
}

/// ONNX Runtime, where it is found and is not what serves.
fn witness(found: &Found, subject: &Subject) -> Other {
    if subject.model.loaded.kind == EngineKind::Ort {
        return Other::Nobody(
            "ONNX Runtime itself serves this model; --against URL compares with a service".into(),
        );
    }
    if let Model::Booster(_) = subject.model.model {
        return Other::Nobody(
            "ONNX Runtime does not read this format; --against URL compares with a service".into(),
        );
    }
    match ModelFile::open(found, EngineChoice::Ort, 1) {
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
        let mut verdicts = Verdicts::new(self.args.tolerance);
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
                    let outputs = target.described().outputs.into_iter().map(|output| output.name);
                    let more: Vec<String> = outputs.filter(|name| !given(name)).collect();
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
