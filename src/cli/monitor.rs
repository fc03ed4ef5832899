//! `sidegate monitor`: decides the experiments of many sidecars, and looks at their features, once for all.

mod features;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};

use super::failure::Failure;
use super::registry::{WriterArgs, duration, key, writer};
use super::{Signals, complain, say};
use crate::config::{self, Config, Sources};
use crate::experiment::{Experiment, Mode};
use crate::monitor::{fleet, now};
use crate::registry::writer::Writer;
use features::Features;

pub(super) const EXAMPLES: &str = "\
Examples:
  sidegate monitor                                 look at what sidecars published, every 15 s, and decide
  sidegate monitor --once --json                   one look, for a cron job
  sidegate monitor --registry s3://models/prod --key release.pem

The configuration has the experiments that the sidecars have. They publish with experiments.publish_interval_ms. What is decided is kept in the registry; with mode = \"auto\" it
goes into the model's model.json, which sidecars follow within one look of theirs, and a variant that won is promoted.
With monitor.publish_interval_ms they publish windows of features too, of versions that came with a profile.json; those of
all are added up and held against it.
It ends by SIGTERM or Ctrl-C when a look is over, at a second one at once.
A hold (sidegate registry hold) is respected. Several monitors do no harm: what one decided, the others find.";

/// Flags of `sidegate monitor`.
#[derive(Clone, Debug, clap::Args)]
pub struct MonitorArgs {
    /// Look once and end
    #[arg(long)]
    pub once: bool,
    /// Time between two looks, such as 15s
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = duration)]
    pub interval: Duration,
    /// Private key to sign promotions with
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// Where, and who.
    #[command(flatten)]
    pub writer: WriterArgs,
    /// Print a line of JSON a look and experiment
    #[arg(long)]
    pub json: bool,
}

/// Carries the command out.
pub(super) fn run(args: &MonitorArgs) -> ExitCode {
    match watch(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.exit(),
    }
}

fn watch(args: &MonitorArgs) -> Result<(), Failure> {
    let config = configuration(args.writer.place.config.clone())?;
    let publishes = !config.monitor.publish_interval.is_zero();
    if config.experiments.is_empty() && !publishes {
        return Err(Failure::Usage(
            "the configuration has no experiment that is enabled, [experiments.NAME], and sidecars with it publish no \
             windows of features, monitor.publish_interval_ms"
                .into(),
        ));
    }
    if config.trials.only_replica && !config.experiments.is_empty() {
        return Err(Failure::Usage(
            "experiments.only_replica is set, so that a sidecar decides by itself; unset it where there are several, and for \
             this monitor"
                .into(),
        ));
    }
    let (writer, key) = (writer(&args.writer)?, key(args.key.as_deref())?);
    let signals =
        Signals::listen().map_err(|error| Failure::Failed(format!("signals cannot be heard: {error}")))?;
    let mut last: Vec<String> = vec![String::new(); config.experiments.len()];
    let budget = Some(config.monitor.false_alarms as f64).filter(|_| !args.once);
    let mut features = publishes.then(|| Features::new(budget));
    loop {
        if let Some(features) = &mut features {
            match features.look(writer.store(), now()) {
                Err(failure) if args.once => return Err(failure),
                Err(failure) => complain(&format!("sidegate: windows of features: {failure}\n")),
                Ok(seen) => {
                    for (line, view) in seen {
                        let line = if args.json { Some(view.to_string()) } else { line };
                        line.iter().for_each(|line| say(&format!("{line}\n")));
                    }
                }
            }
        }
        for (experiment, last) in config.experiments.iter().zip(&mut last) {
            let (line, value) = match look(&writer, experiment, key.as_ref()) {
                Ok(found) => found,
                Err(failure) if args.once => return Err(failure),
                // A store that is away comes back.
                Err(failure) => {
                    let text = format!("{}: {failure}", experiment.name);
                    (text.clone(), json!({"name": experiment.name.as_str(), "error": text}))
                }
            };
            if args.json {
                say(&format!("{value}\n"));
            } else if line != *last {
                say(&format!("{line}\n"));
                *last = line;
            }
        }
        if args.once || !signals.wait(args.interval) {
            return Ok(());
        }
    }
}

/// One look at an experiment: a line and all of it.
fn look(
    writer: &Writer,
    experiment: &Experiment,
    key: Option<&crate::registry::signature::SigningKey>,
) -> Result<(String, Value), Failure> {
    let name = experiment.name.as_str();
    let Some(mut fleet) = fleet::gather(writer.store(), experiment, now())? else {
        let text = format!(
            "{name}: no sidecar has published anything of this definition yet (experiments.publish_interval_ms)"
        );
        return Ok((text.clone(), json!({"name": name, "error": text})));
    };
    let entries = fleet.decide(now());
    let decided = fleet.act(writer, key);
    let mut view = fleet.view();
    let verbs: Vec<String> = entries.iter().map(|entry| format!("{} ({})", entry.verb, entry.why)).collect();
    let units: u64 = fleet.report().variants.iter().map(|variant| variant.units).sum();
    let mut line =
        format!("{name}: {}, {units} units of {} processes", fleet.standing.stage.name(), fleet.replicas);
    if !verbs.is_empty() {
        let done = if experiment.plan.mode == Mode::Auto { "done" } else { "to be done" };
        line += &format!("; {done}: {}", verbs.join(", "));
    }
    if let Err(error) = decided {
        line += &format!("; not written: {error}");
        view["error"] = error.to_string().into();
    }
    for problem in &fleet.problems {
        complain(&format!("sidegate: {name}: {problem}\n"));
    }
    Ok((line, view))
}

/// The configuration with its experiments.
pub(super) fn configuration(file: Option<PathBuf>) -> Result<Config, Failure> {
    let sources = Sources { file, ..Sources::from_process(Vec::new()) };
    Ok(config::load(&sources)?)
}
