//! `sidegate-train`: from raw data to a served model, one configuration and one command.

mod cli;
mod config;
mod data;
mod deploy;
mod environment;
mod evaluate;
mod failure;
mod features;
mod foresee;
mod import;
mod judge;
mod kept;
mod learner;
mod mlflow;
mod package;
mod pipeline;
mod predictor;
mod progress;
mod prove;
mod registry;
mod rows;
mod run;
mod runs;
mod schedule;
mod search;
mod served;
mod spool;
mod table;
mod tolerance;
mod tracking;
mod walk;

use std::process::ExitCode;

fn main() -> ExitCode {
    // Before any thread exists and before any library can look at the environment.
    sidegate::native::prepare_environment();
    cli::main()
}
