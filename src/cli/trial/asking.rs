//! One request after the other to both sides, and to engines in this process.

use std::time::{Duration, Instant};

use super::prepare::Subject;
use crate::cli::model_file::ModelFile;
use crate::cli::peer::connection::Connection;
use crate::cli::peer::reply::{self, Output, excerpt};
use crate::cli::peer::wire;
use crate::engine::Scratch;
use crate::protocol::Request;
use crate::score::percentile;

/// Different requests of the runs in process, and the time for them.
const ALONE: (usize, Duration) = (64, Duration::from_millis(500));

/// What one side said to one request.
pub(super) type Said = Result<Vec<Output>, String>;

/// The connections, and how long each answer took.
pub(super) struct Asking<'a> {
    pub(super) ours: Connection<'a>,
    pub(super) theirs: Option<Connection<'a>>,
    pub(super) scratch: Scratch,
    pub(super) took: [Vec<Duration>; 2],
}

impl Asking<'_> {
    pub(super) fn ask_ours(&mut self, request: &[u8]) -> Said {
        ask(&mut self.ours, request, &mut self.took[0])
    }

    pub(super) fn ask_theirs(&mut self, request: &[u8]) -> Said {
        match &mut self.theirs {
            Some(connection) => ask(connection, request, &mut self.took[1]),
            None => Err("nobody is asked".into()),
        }
    }

    pub(super) fn run(&mut self, model: &ModelFile, subject: &Subject, number: usize) -> Said {
        let inputs = decoded(model, subject, number)?;
        let mut outputs = Vec::new();
        let run = model.loaded.session.run(&inputs.inputs, &mut self.scratch, &mut outputs);
        run.map_err(|error| error.to_string())?;
        Ok(reply::of_tensors(&model.signature.outputs, &outputs))
    }

    /// What a request usually takes either side.
    pub(super) fn typical(&self) -> Vec<Duration> {
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
    wire::request(&model.signature, &subject.columns, &subject.rows, &subject.batches[number].rows)
}

/// The median of one request in process, in microseconds; `None` when the engine refuses them.
pub(super) fn run_alone(model: &ModelFile, subject: &Subject) -> Option<f64> {
    let count = subject.batches.len().min(ALONE.0);
    let requests: Vec<Request> =
        (0..count).filter_map(|number| decoded(model, subject, number).ok()).collect();
    let (mut scratch, mut outputs, mut took) = (Scratch::new(0), Vec::new(), Vec::new());
    let start = Instant::now();
    while start.elapsed() < ALONE.1 && took.len() < 1_000_000 && !requests.is_empty() {
        for request in &requests {
            let before = Instant::now();
            model.loaded.session.run(&request.inputs, &mut scratch, &mut outputs).ok()?;
            took.push(before.elapsed().as_nanos() as u64);
        }
    }
    took.sort_unstable();
    Some(percentile(&took, 0.5)? as f64 / 1e3)
}
