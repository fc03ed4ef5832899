//! The hidden command `sidegate trial-load`: the child of a trial load, see [`crate::serving::trial_load`].

use std::process::ExitCode;

use crate::serving::trial_load::child;

/// Answers the parent on standard output.
pub(super) fn run() -> ExitCode {
    match child::run(&mut std::io::stdin().lock(), &mut std::io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => super::runtime_error(&error),
    }
}
