//! The command line: what each command takes, and the file that carries it out.
//!
//! Exit codes: 0 clean, 1 a failure at run time, 2 wrong usage or configuration (every problem is listed); `try` has
//! one more, for answers that cannot be compared.

use std::fmt;
use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::config::Problems;
use crate::serving::trial_load::COMMAND as TRIAL_LOAD;

mod admin_client;
mod answer;
mod args;
mod check;
mod csv_file;
mod dashboard;
mod drift;
mod experiment;
mod explain;
mod failure;
mod lambda;
mod markup;
mod model_file;
mod model_test;
mod models;
mod monitor;
mod outcomes;
pub mod pages;
#[cfg(feature = "parquet")]
mod parquet_file;
mod peer;
mod performance;
mod pin;
mod probe;
mod registry;
mod rows;
pub mod serve;
mod signals;
mod smoke;
mod start;
mod status;
mod store;
mod table;
mod trial;
mod trial_load;

pub use args::{AdminArgs, CheckArgs, Probe, ProbeArgs, ServeArgs, ShowArgs, TestArgs, TryArgs};
pub use dashboard::DashboardVerb;
pub use drift::DriftVerb;
pub use experiment::{ExperimentVerb, ReportArgs};
pub use explain::ExplainArgs;
pub use lambda::LambdaArgs;
pub use model_test::{Exam, Report as ModelReport};
pub use monitor::MonitorArgs;
pub use outcomes::OutcomesArgs;
pub use performance::PerformanceArgs;
pub use pin::PinArgs;
pub use registry::{Verb, open_registry};
pub use signals::Signals;
pub use smoke::SmokeArgs;
pub use store::open_store;
pub use trial::Protocol;

/// A failure at run time: a port in use, a server that does not answer.
pub const FAILURE: u8 = 1;

/// Wrong usage or configuration.
pub const USAGE: u8 = 2;

const EXAMPLES: &str = "\
Examples:
  sidegate                              serve the folder models/ on 127.0.0.1:8000
  sidegate serve ./model.onnx           serve one file (.onnx, .ubj, .json or .txt)
  sidegate serve --registry /srv/models --http 0.0.0.0:8000 --workers 2
  sidegate try ./model.onnx --against http://127.0.0.1:9000/predict --data rows.csv
                                        as fast and equal to what serves it today?
  sidegate test ./model.onnx --data held-out.csv --target price --threshold r2=0.5
                                        may it be relied on?
  sidegate registry register churn ./model.onnx && sidegate registry promote churn 8 --stage Production
                                        a new version, and who decided that it serves
  sidegate check                        is the configuration right, and who says what?

Configuration: flag, then environment (SIDEGATE_HTTP__LISTEN), then config/sidegate.toml, then default.
Exit codes: 0 clean, 1 failure at run time, 2 wrong usage or configuration.";

const SERVE_EXAMPLES: &str = "\
Examples:
  sidegate serve                                   the folder models/, or what the configuration names
  sidegate serve ./model.onnx                      one file, as version 1 of the model `model`
  sidegate serve ./churn.ubj                       so are XGBoost's .ubj and .json, and LightGBM's .txt
  sidegate serve --registry file:///srv/models --uds /run/sidegate.sock
  SIDEGATE_MODELS__CHURN__ENGINE=ort sidegate serve --config /etc/sidegate.toml";

const CHECK_EXAMPLES: &str = "\
Examples:
  sidegate check                                   the effective configuration with the origin of each value
  sidegate check --config /etc/sidegate.toml       exit code 2 and every problem, if there is any
  sidegate check --json | jq '.values[] | select(.origin != \"default\")'";

const MODELS_EXAMPLES: &str = "\
Examples:
  sidegate models                                  what is loaded, and why something is not
  sidegate models --admin 127.0.0.1:8002 --json | jq '.[].name'";

const STATUS_EXAMPLES: &str = "\
Examples:
  sidegate status                                  one page on a running sidegate
  sidegate status --admin 10.0.0.7:8002 --token-file /run/secrets/admin-token";

const PROBE_EXAMPLES: &str = "\
Examples:
  sidegate probe                                   exit code 0 when ready, else 1
  sidegate probe live --admin 127.0.0.1:8002       for a health check without curl";

const TEST_EXAMPLES: &str = "\
Examples:
  sidegate test ./model.onnx                       interface, shape, determinism, edge cases, agreement of engines
  sidegate test models/churn/7 --range 0..1        a version: its manifest and golden examples as well
  sidegate test ./model.onnx --data held-out.csv --target price --threshold r2=0.5 --threshold rmse=10
  sidegate test ./model.onnx --threshold latency_p99_us=500 --report report.json --junit report.xml

Exit codes: 0 everything passed, 1 a check failed or the model cannot be loaded, 2 wrong usage.
The same checks guard a registry: models.NAME.checks in the configuration (docs/test.md).";

const TRY_EXAMPLES: &str = "\
Examples:
  sidegate try ./model.onnx                        how fast, by which engine; does ONNX Runtime agree?
  sidegate try ./model.onnx --against http://127.0.0.1:8080/v2/models/churn/infer --data rows.csv
  sidegate try ./model.onnx --against http://127.0.0.1:9000/predict --body '{\"features\": {{row}}}'
  sidegate try ./model.onnx --against http://127.0.0.1:5000/invocations --requests bodies.ndjson --html page.html

The other side may speak OIP v2 (/v2/models/NAME/infer), KServe v1 (/v1/models/NAME:predict), MLflow's and SageMaker's
/invocations, or take JSON at /predict, and on any other path with --body, --requests or --protocol predict. Both sides
are asked over HTTP by this process, in turn.
Exit codes: 0 equal (or nothing to compare with), 1 outputs differ or a side fails, 2 wrong usage, 3 the two sides
answer what cannot be compared, 130 interrupted.";

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  source <(sidegate completions bash)              in ~/.bashrc; zsh takes the same line, after compinit
  sidegate completions fish > ~/.config/fish/completions/sidegate.fish

The wheel and the tarball of a release bring them along, and manual pages.";

/// What the user typed.
#[derive(Debug, Parser)]
#[command(name = "sidegate", version, after_help = EXAMPLES)]
#[command(
    about = "Serves ONNX, XGBoost and LightGBM models over HTTP beside an app, and swaps in new versions as they come."
)]
pub struct Args {
    /// `None` serves with the default configuration.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// One per file of `cli/`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve models (also what `sidegate` alone does)
    #[command(after_help = SERVE_EXAMPLES)]
    Serve(ServeArgs),
    /// Serve models as a function of AWS Lambda
    #[command(after_help = lambda::EXAMPLES)]
    Lambda(LambdaArgs),
    /// Check the configuration and show what holds, with the origin of each value
    #[command(after_help = CHECK_EXAMPLES)]
    Check(CheckArgs),
    /// Test a model file or a version: interface, shape, range, determinism, edge cases, performance
    #[command(after_help = TEST_EXAMPLES)]
    Test(TestArgs),
    /// List the models of a running sidegate
    #[command(after_help = MODELS_EXAMPLES)]
    Models(ShowArgs),
    /// Show the state of a running sidegate on one page
    #[command(after_help = STATUS_EXAMPLES)]
    Status(ShowArgs),
    /// Ask a running sidegate whether it is live, ready or started
    #[command(after_help = PROBE_EXAMPLES)]
    Probe(ProbeArgs),
    /// Ask every endpoint of a sidegate that was just deployed, and its models their golden examples
    #[command(after_help = smoke::EXAMPLES)]
    Smoke(SmokeArgs),
    /// Keep versions of models: register, promote, roll back, compare, and who decided what
    #[command(subcommand, after_help = registry::EXAMPLES)]
    Registry(Verb),
    /// Fix what one running sidegate serves, whatever the registry says
    #[command(after_help = pin::EXAMPLES)]
    Pin(PinArgs),
    /// Show whether what models see is what they were made for
    #[command(subcommand, after_help = drift::EXAMPLES)]
    Drift(DriftVerb),
    /// Show how good predictions were, by the actuals that came
    #[command(after_help = performance::EXAMPLES)]
    Performance(PerformanceArgs),
    /// Make a dashboard of a model for Grafana
    #[command(subcommand, after_help = dashboard::EXAMPLES)]
    Dashboard(DashboardVerb),
    /// Show how experiments stand
    #[command(subcommand, after_help = experiment::EXAMPLES)]
    Experiment(ExperimentVerb),
    /// Post outcomes from a file: actuals by id or receipt, or what units did
    #[command(after_help = outcomes::EXAMPLES)]
    Outcomes(OutcomesArgs),
    /// Decide the experiments of many sidecars, and look at their features, once for all
    #[command(after_help = monitor::EXAMPLES)]
    Monitor(MonitorArgs),
    /// Say which rule or slot of an experiment decides about a request
    #[command(after_help = explain::EXAMPLES)]
    Explain(ExplainArgs),
    /// Prove it on your own model: the same requests to sidegate and to what serves it today
    #[command(after_help = TRY_EXAMPLES)]
    Try(Box<TryArgs>),
    /// Print the script that completes commands and flags in a shell
    #[command(after_help = COMPLETIONS_EXAMPLES)]
    Completions(pages::CompletionsArgs),
    /// Write manual pages into a folder; a release does
    #[command(hide = true)]
    ManPages(pages::ManPagesArgs),
    /// Load a model that comes on standard input and say how that went; sidegate starts this itself
    #[command(name = TRIAL_LOAD, hide = true)]
    TrialLoad,
}

/// Reads the command line and does what it says.
pub fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // Help and version are asked for; everything else is wrong usage.
            let text = error.render().to_string();
            if error.use_stderr() {
                complain(&text)
            } else {
                say(&text)
            }
            return if error.use_stderr() { USAGE.into() } else { ExitCode::SUCCESS };
        }
    };
    match args.command.unwrap_or_else(|| Command::Serve(ServeArgs::default())) {
        Command::Serve(args) => serve::run(&args),
        Command::Lambda(args) => lambda::run(args),
        Command::Check(args) => check::run(&args),
        Command::Test(args) => model_test::run(&args),
        Command::Models(args) => models::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Probe(args) => probe::run(&args),
        Command::Smoke(args) => smoke::run(&args),
        Command::Registry(verb) => registry::run(&verb),
        Command::Pin(args) => pin::run(&args),
        Command::Drift(verb) => drift::run(&verb),
        Command::Performance(args) => performance::run(&args),
        Command::Dashboard(verb) => dashboard::run(&verb),
        Command::Experiment(verb) => experiment::run(&verb),
        Command::Outcomes(args) => outcomes::run(&args),
        Command::Monitor(args) => monitor::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Try(args) => trial::run(*args),
        Command::Completions(args) => {
            say(&pages::completions("sidegate", &Args::command(), args));
            ExitCode::SUCCESS
        }
        Command::ManPages(args) => match pages::man_pages(Args::command(), &args) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => runtime_error(&error),
        },
        Command::TrialLoad => trial_load::run(),
    }
}

/// Writes to standard output; a reader that has gone (`| head`) is no failure.
pub(crate) fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Writes to standard error.
pub(crate) fn complain(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Says everything that is wrong with the configuration.
pub(crate) fn usage_error(problems: &Problems) -> ExitCode {
    complain(&format!("sidegate: {problems}\n"));
    USAGE.into()
}

/// Says what went wrong at run time. Texts of a bucket may be part of it, which must not steer a terminal.
pub(crate) fn runtime_error(error: &dyn fmt::Display) -> ExitCode {
    let text: String = error.to_string().chars().filter(|c| !c.is_control() || *c == '\n').collect();
    complain(&format!("sidegate: {text}\n"));
    FAILURE.into()
}

#[cfg(test)]
mod tests;
