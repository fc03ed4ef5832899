//! `sidegate try`: the same requests to sidegate and to what serves the model today; are the answers equal, and how
//! fast is either side?

mod asking;
mod derived;
mod examine;
mod gateway;
mod generate;
mod html;
mod measure;
mod prepare;
mod progress;
mod report;
mod requests;
mod target;
mod usage;
mod verdicts;

use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

pub(super) use self::requests::cells;
pub use self::target::Protocol;

use self::gateway::Stop;
use self::report::{Report, Verdict};
use super::failure::Failure;
use super::{FAILURE, TryArgs, complain, runtime_error, say};

/// Both sides answer, but nothing that can be compared.
const NOT_COMPARABLE: u8 = 3;

/// As a shell reports a program that a signal ended.
const INTERRUPTED: u8 = 130;

/// Carries the command out. A signal ends the gateway that was started, and then this.
pub(super) fn run(args: TryArgs) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return runtime_error(&error),
    };
    let stop = Stop::default();
    // Heard from before there is anything to stop, or a signal in between would leave the gateway behind.
    let signals = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    };
    let (Ok(mut interrupt), Ok(mut terminate)) = signals else {
        return runtime_error(&"signals cannot be heard");
    };
    let (done, outcome) = tokio::sync::oneshot::channel();
    let (held, shown) = (stop.clone(), args.clone());
    // On a thread of its own: it blocks, and signals must be heard meanwhile.
    let work = move || drop(done.send(examine::examine(&args, &held)));
    if let Err(error) = std::thread::Builder::new().name("try".into()).spawn(work) {
        return runtime_error(&error);
    }
    runtime.block_on(async {
        tokio::select! {
            outcome = outcome => match outcome {
                Ok(Ok(report)) => show(&report, &shown),
                Ok(Err(failure)) => failure.exit(),
                Err(_) => runtime_error(&"it has failed; this is an error in sidegate"),
            },
            _ = interrupt.recv() => interrupted(&stop),
            _ = terminate.recv() => interrupted(&stop),
        }
    })
}

fn interrupted(stop: &Stop) -> ExitCode {
    stop.now();
    complain("\nsidegate: interrupted\n");
    INTERRUPTED.into()
}

fn show(report: &Report, args: &TryArgs) -> ExitCode {
    say(&if args.json { report.json() } else { report.text() });
    if let Some(path) = &args.html
        && let Err(error) = std::fs::write(path, html::page(report))
    {
        return Failure::Failed(format!("{} cannot be written: {error}", path.display())).exit();
    }
    match report.verdict {
        Verdict::Equal | Verdict::NotJudged => ExitCode::SUCCESS,
        Verdict::Different | Verdict::Failed => FAILURE.into(),
        Verdict::NotComparable => NOT_COMPARABLE.into(),
    }
}
