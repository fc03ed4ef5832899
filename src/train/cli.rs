//! The command line of `sidegate-train`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, Parser, Subcommand};
use sidegate::cli::{Signals, pages};
use sidegate::registry::writer::Writer;

use crate::config::Config;
use crate::data::{Access, Data, Wanted};
use crate::failure::Failure;
use crate::mlflow::TrackingArgs;
use crate::pipeline::Pipeline;
use crate::progress::Progress;
use crate::run::{Record, Run, Step};
use crate::{deploy, foresee, import, registry, runs, schedule};

const EXAMPLES: &str = "\
Examples:
  sidegate-train run config/train.flights.toml              from raw data to a registered model
  sidegate-train run config/train.flights.toml --dry-run    what would be read and learned, and nothing else
  sidegate-train run config/train.flights.toml --until gate everything but to register it
  sidegate-train run config/train.flights.toml --resume RUN what is left of one that failed
  sidegate-train schedule config/train.flights.toml         the same every night
  sidegate-train import churn model.onnx --data rows.csv    a model trained elsewhere
  sidegate-train deploy churn --target sagemaker            the requests that put it there
  sidegate-train schema infer config/train.flights.toml     a first schema of the data
  sidegate-train runs ls flight-delays                      what was trained, and how good it was

Exit codes: 0 clean, 1 failed, 2 usage or configuration, 3 validation, 4 the gate refused, 5 data, 6 registry.";

const RUN_EXAMPLES: &str = "\
Examples:
  sidegate-train run config/train.flights.toml
  sidegate-train run config/train.flights.toml --until validate    the data alone
  sidegate-train run config/train.flights.toml --work /var/tmp/runs
  sidegate-train run config/train.flights.toml --tracking-url http://mlflow:5000 --experiment main
  sidegate-train run config/train.flights.toml --resume flight-delays-1764322114077
  sidegate-train run config/train.flights.toml --resume flight-delays-1764322114077 --from evaluate --until evaluate

Steps: load, validate, features, split, train, evaluate, gate, export, prove, register, promote. What each left behind is in
the folder of the run: validation.html, report.html, card.md, model.onnx and more. The last line on standard output is the
result as JSON.";

const SCHEMA_EXAMPLES: &str = "\
Example:
  sidegate-train schema infer config/train.flights.toml > config/flights.schema.toml";

const RUNS_EXAMPLES: &str = "\
Examples:
  sidegate-train runs ls flight-delays
  sidegate-train runs show flight-delays flight-delays-1764322114077
  sidegate-train runs compare flight-delays RUN RUN --registry s3://models";

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  source <(sidegate-train completions bash)        in ~/.bashrc; zsh takes the same line, after compinit
  sidegate-train completions fish > ~/.config/fish/completions/sidegate-train.fish";

/// From raw data to a served model.
#[derive(Parser)]
#[command(name = "sidegate-train", version, after_help = EXAMPLES)]
struct Command {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Train: load, validate, features, split, train, evaluate, gate, export, prove, register, promote
    #[command(after_help = RUN_EXAMPLES)]
    Run(RunArgs),
    /// Train whenever a timetable says so
    #[command(after_help = schedule::EXAMPLES)]
    Schedule(schedule::ScheduleArgs),
    /// Register a model trained elsewhere, with examples, a reference and metrics from a file of rows
    #[command(after_help = import::EXAMPLES)]
    Import(Box<import::ImportArgs>),
    /// Put a registered version on SageMaker, Lambda or Kubernetes: write the requests, or send them
    #[command(after_help = deploy::EXAMPLES)]
    Deploy(Box<deploy::DeployArgs>),
    /// What columns have to be
    #[command(subcommand, after_help = SCHEMA_EXAMPLES)]
    Schema(SchemaVerb),
    /// Trainings that are over, as the registry keeps them
    #[command(subcommand, after_help = RUNS_EXAMPLES)]
    Runs(runs::RunsVerb),
    /// Print the script that completes commands and flags in a shell
    #[command(after_help = COMPLETIONS_EXAMPLES)]
    Completions(pages::CompletionsArgs),
    /// Write manual pages into a folder; a release does
    #[command(hide = true)]
    ManPages(pages::ManPagesArgs),
}

/// Flags of `sidegate-train run`.
#[derive(Args)]
struct RunArgs {
    /// Configuration of the training
    #[arg(value_name = "CONFIG.toml")]
    config: PathBuf,
    /// Say what would be read and learned; no row is, but of a prediction log
    #[arg(long)]
    dry_run: bool,
    /// The last step that is taken
    #[arg(long, value_name = "STEP", default_value = "promote")]
    until: Step,
    /// Take up a run that failed or was ended: what it has learned is not learned again
    #[arg(long, value_name = "RUN", conflicts_with = "dry_run")]
    resume: Option<String>,
    /// Go back to this step of it, or to the one before whose results it needs [default: the first that is not over]
    #[arg(long, value_name = "STEP", requires = "resume")]
    from: Option<Step>,
    /// Folder of runs
    #[arg(long, value_name = "DIR", default_value = "runs")]
    work: PathBuf,
    #[command(flatten)]
    tracking: TrackingArgs,
}

#[derive(Subcommand)]
enum SchemaVerb {
    /// Write a first schema from the data
    #[command(after_help = SCHEMA_EXAMPLES)]
    Infer {
        /// Configuration of the training
        #[arg(value_name = "CONFIG.toml")]
        config: PathBuf,
    },
}

/// Reads the command line and does what it says.
pub(crate) fn main() -> ExitCode {
    let command = match Command::try_parse() {
        Ok(command) => command,
        Err(error) => {
            drop(error.print());
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    // A schedule ends as it says itself; all else may end at any place, and is taken up by --resume.
    if !matches!(&command.verb, Verb::Schedule(args) if !args.ends())
        && let Err(error) = Signals::end_at_once()
    {
        drop(writeln!(std::io::stderr(), "sidegate-train: signals cannot be heard: {error}"));
    }
    let done = match command.verb {
        Verb::Run(args) => run(&args),
        Verb::Schedule(args) => schedule::run(&args),
        Verb::Import(args) => import::run(&args),
        Verb::Deploy(args) => deploy::run(&args),
        Verb::Schema(SchemaVerb::Infer { config }) => infer(&config),
        Verb::Runs(verb) => runs::run(&verb),
        Verb::Completions(args) => {
            print(&pages::completions("sidegate-train", &Command::command(), args));
            Ok(())
        }
        Verb::ManPages(args) => pages::man_pages(Command::command(), &args).map_err(Failure::Failed),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            drop(writeln!(std::io::stderr(), "sidegate-train: {failure}"));
            ExitCode::from(&failure)
        }
    }
}

/// Prints to standard output; whoever closed it does not want to hear.
pub(crate) fn print(text: &str) {
    drop(std::io::stdout().write_all(text.as_bytes()));
}

fn open(config: &Config, wanted: Wanted) -> Result<Data, Failure> {
    let bucket = |name: &str| registry::bucket(config, name);
    let access = Access { wanted, environment: &crate::environment::variable, bucket: &bucket };
    Ok(Data::open(&config.data, &config.split, &access)?)
}

fn run(args: &RunArgs) -> Result<(), Failure> {
    let mut config = Config::read(&args.config)?;
    config.tracking = args.tracking.over(config.tracking.take()).map_err(Failure::Config)?;
    if args.dry_run {
        let shown = foresee::shown(&config, &open(&config, Wanted::Columns)?)?;
        print(&shown);
        return Ok(());
    }
    let taken_up = match &args.resume {
        Some(run) => Begun::resumed(&config, &args.work, run, args.from, args.until)?,
        None => Begun::new(&config, &args.work)?,
    };
    taken_up.train(&config, args.until).1
}

/// One training; what became of it is printed. Its record is there as soon as it has begun.
pub(crate) fn train(config: &Config, work: &Path, until: Step) -> (Option<Record>, Result<(), Failure>) {
    match Begun::new(config, work) {
        Ok(begun) => begun.train(config, until),
        Err(failure) => (None, Err(failure)),
    }
}

/// A run with the registry that it is for.
struct Begun {
    run: Run,
    from: Step,
    asked: Option<Step>,
    writer: Writer,
}

impl Begun {
    fn new(config: &Config, work: &Path) -> Result<Self, Failure> {
        let writer = registry::open(&config.registry)?;
        Ok(Self { run: Run::begin(work, config)?, from: Step::Load, asked: None, writer })
    }

    fn resumed(
        config: &Config,
        work: &Path,
        run: &str,
        from: Option<Step>,
        until: Step,
    ) -> Result<Self, Failure> {
        let writer = registry::open(&config.registry)?;
        let asked = from;
        let (run, from) = Run::resume(work, run, config, asked, until)?;
        Ok(Self { run, from, asked, writer })
    }

    fn train(self, config: &Config, until: Step) -> (Option<Record>, Result<(), Failure>) {
        let Self { run, from, asked, writer } = self;
        let mut pipeline = Pipeline {
            config,
            run,
            progress: Progress::new(),
            from,
            asked,
            until,
            writer: Some(writer),
            parent: None,
            rounds: Vec::new(),
            drawn: Vec::new(),
        };
        let done = pipeline.go();
        print(&format!("{}\n", pipeline.run.result()));
        (Some(pipeline.run.record), done)
    }
}

fn infer(path: &Path) -> Result<(), Failure> {
    let config = Config::read(path)?;
    let data = open(&config, Wanted::Rows)?;
    let validated = data.validate(&crate::data::schema::Schema::default(), false, 0)?;
    print(&crate::data::schema::Schema::infer(&validated.report).to_toml());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound_and_every_command_has_an_example() {
        let command = Command::command();
        command.clone().debug_assert();
        has_examples(&command, "sidegate-train");
    }

    fn has_examples(command: &clap::Command, path: &str) {
        for command in command.get_subcommands().filter(|command| !command.is_hide_set()) {
            let path = format!("{path} {}", command.get_name());
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains(&path), "{path}");
            has_examples(command, &path);
        }
    }
}
