//! `loadgen`: drives one HTTP/1.1 server on this machine and prints one line of JSON.
//!
//! It exists because the figures sidegate promises need a generator that is cheap enough to leave the
//! server the bottleneck, that can keep a fixed schedule (so that a stalled server cannot slow the clock it
//! is measured with), that speaks Unix sockets, and that reads the server's own processor time, memory and
//! throttling over exactly the measured window. One thread, one epoll, prebuilt request bytes, no allocation
//! per request. It refuses every address that is not loopback.
//!
//! ```text
//! cargo run --release --example loadgen -- --url http://127.0.0.1:8000/v2/models/gbt/infer --body gbt.json -c 8
//! ```
//!
//! Code map: [`args`] what the user asks · [`target`] where to and which bytes · [`schedule`] when ·
//! [`connection`] one socket · [`response`] the little of HTTP that is needed · [`run`] the loop ·
//! [`tally`] what is counted · [`server`] the server's figures from `/proc` and its cgroup.

mod args;
mod connection;
mod response;
mod run;
mod schedule;
mod server;
mod tally;
mod target;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

/// Errors cross module borders boxed: they are only ever printed.
type BoxError = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let args = args::Args::parse();
    match measure(&args) {
        Ok(line) => match writeln!(std::io::stdout(), "{line}") {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        Err(error) => {
            // A closed standard error leaves only the exit code to speak.
            let _ = writeln!(std::io::stderr(), "loadgen: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(args: &args::Args) -> Result<String, BoxError> {
    let target = target::Target::new(args)?;
    let check = match &args.expect_body {
        Some(file) => Some(response::BodyCheck::new(target::read(file)?)?),
        None => None,
    };
    target.probe()?;
    let report = run::Run::new(args, target, check)?.execute()?;
    Ok(serde_json::to_string(&report)?)
}
