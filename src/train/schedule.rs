//! `sidegate-train schedule`: trainings when a timetable says so, one at a time wherever schedules of a model run.

mod config;
mod lock;
#[cfg(test)]
mod tests;
mod timetable;
mod turns;

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use serde_json::json;
use sidegate::cli::Signals;
use sidegate::registry::clock;

use crate::cli::{print, train};
use crate::config::Config;
use crate::failure::Failure;
use crate::progress::Progress;
use crate::registry;
use crate::run::Step;
use config::CatchUp;
pub(crate) use config::ScheduleConfig;
use lock::{LEASE, Standing};
use timetable::Timetable;
use turns::{Ended, Schedule};

pub(crate) const EXAMPLES: &str = "\
Examples:
  sidegate-train schedule config/train.flights.toml                                   [schedule] says when: 02:00 UTC unless it says else
  sidegate-train schedule config/train.flights.toml --cron \"*/30 6-22 * * MON-FRI\" --time-zone Europe/Berlin
  sidegate-train schedule config/train.flights.toml --jitter 5m --catch-up run
  sidegate-train schedule config/train.flights.toml --once     one training now: for a timer of somebody else's
  sidegate-train schedule config/train.flights.toml --show     who trains, how the last training ended, when the next is due

Several may run for one model: a lock in the registry lets one of them train, and runs out five minutes after its owner was
last heard of. A training that fails is told and does not end the schedule; SIGTERM does, after a training that is on its
way, and a second one at once.

Exit codes: 0 ended by a signal, or nothing left to do; 2 usage, configuration or timetable; 6 the registry cannot be reached
at the start; with --once those of `sidegate-train run`, and 0 where somebody else trains.";

/// Flags of `sidegate-train schedule`.
#[derive(clap::Args)]
pub(crate) struct ScheduleArgs {
    /// Configuration of the training; it is read anew for each
    #[arg(value_name = "CONFIG.toml")]
    config: PathBuf,
    /// When: minute, hour, day of the month, month, day of the week [default: schedule.cron, else "0 2 * * *"]
    #[arg(long, value_name = "CRON")]
    cron: Option<String>,
    /// Where it is that time, such as Europe/Berlin [default: schedule.time_zone, else UTC]
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
    /// Begin up to so much later, by chance: 90s, 5m, 1h [default: schedule.jitter_seconds, else 0]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    jitter: Option<Duration>,
    /// What becomes of times that went by while nothing could be trained [default: schedule.catch_up, else skip]
    #[arg(long, value_name = "POLICY")]
    catch_up: Option<CatchUp>,
    /// Train once, now, under the same lock, and end as the training does
    #[arg(long)]
    once: bool,
    /// Say who trains, how the last training ended and when the next is due, and train nothing
    #[arg(long, conflicts_with = "once")]
    show: bool,
    /// Folder of runs
    #[arg(long, value_name = "DIR", default_value = "runs")]
    work: PathBuf,
}

impl ScheduleArgs {
    /// Whether it does something once and ends by itself.
    pub(crate) const fn ends(&self) -> bool {
        self.once || self.show
    }
}

/// Carries the command out.
///
/// # Errors
/// Where the schedule cannot begin; with `--once` why the training failed.
pub(crate) fn run(args: &ScheduleArgs) -> Result<(), Failure> {
    let config = Config::read(&args.config)?;
    let told = &config.schedule;
    let cron = args.cron.as_deref().unwrap_or(&told.cron);
    let zone = args.time_zone.as_deref().unwrap_or(&told.time_zone);
    let timetable = Timetable::read(cron, zone).map_err(|why| Failure::Config(format!("schedule: {why}")))?;
    let writer = registry::open(&config.registry)?;
    if args.show {
        return show(&timetable, &Standing::read(&writer, &config.name)?);
    }
    let schedule = Schedule {
        timetable,
        jitter: args.jitter.unwrap_or(Duration::from_secs(told.jitter_seconds)),
        catch_up: args.catch_up.unwrap_or(told.catch_up),
        writer: &writer,
        model: &config.name,
        renewal: LEASE / 3,
    };
    let once = || one(args, &config);
    let mut progress = Progress::new();
    let mut tell = |words: &str, numbers| progress.say("schedule", words, numbers);
    if args.once {
        return schedule.once(&once, &mut tell);
    }
    let mut signals = Signals::listen()
        .map_err(|error| Failure::Failed(format!("signals cannot be listened for: {error}")))?;
    schedule.run(&mut signals, &once, &mut tell)
}

/// One training, by the configuration as it is now.
fn one(args: &ScheduleArgs, begun: &Config) -> Ended {
    let config = match Config::read(&args.config) {
        Ok(config) if config.name == begun.name => config,
        Ok(config) => {
            let text = format!(
                "{}: it names the model {} now, and this schedule is that of {}; start it again",
                args.config.display(),
                config.name,
                begun.name
            );
            return Ended::failed(Failure::Config(text));
        }
        Err(failure) => return Ended::failed(failure),
    };
    let (record, done) = train(&config, &args.work, Step::Promote);
    let (run, version) = record.map_or((None, None), |record| (Some(record.run), record.version));
    Ended { run, version, failure: done.err() }
}

fn show(timetable: &Timetable, standing: &Standing) -> Result<(), Failure> {
    let now = time::OffsetDateTime::now_utc();
    let next = timetable.next(now).map_err(Failure::Config)?;
    if !std::io::stdout().is_terminal() {
        let numbers =
            json!({ "next": clock::text(next), "training": standing.held(now), "last": standing.last });
        print(&format!("{numbers}\n"));
        return Ok(());
    }
    let training =
        standing.held(now).map(|held| format!("{} trains, at least until {}\n", held.by, held.until));
    let last =
        standing.last.as_ref().map_or_else(|| "never trained by a schedule".to_owned(), lock::Last::words);
    print(&format!("{}{last}\nnext: {}\n", training.unwrap_or_default(), timetable.shown(next)));
    Ok(())
}

fn duration(text: &str) -> Result<Duration, String> {
    let refused = || "a whole number and s, m or h: 90s, 5m, 1h".to_owned();
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(refused()),
    };
    let seconds = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    seconds.map(Duration::from_secs).ok_or_else(refused)
}

impl ValueEnum for CatchUp {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Run, Self::Skip]
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(match self {
            Self::Run => clap::builder::PossibleValue::new("run").help("train once for all of them"),
            Self::Skip => clap::builder::PossibleValue::new("skip").help("wait for the next"),
        })
    }
}
