//! What the end of a child says about the version that it loaded.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use super::message::Line;
use super::{CLOCK, ChildLoad, NotLoaded};
use crate::model::{LoadError, REASONS, Reason};

/// How a child came to its end.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ending {
    /// By itself, or by a signal that is not ours.
    Ended(ExitStatus),
    /// Killed at its deadline.
    TimedOut,
    /// Killed because the caller did not want to wait.
    Stopped,
}

/// What the standard library writes before it aborts for want of memory.
const ALLOCATION_FAILED: &str = "memory allocation of ";

/// Signals that say something of the process they end, with the name that people know.
const SIGNALS: &[(i32, &str)] = &[
    (libc::SIGABRT, "SIGABRT"),
    (libc::SIGBUS, "SIGBUS"),
    (libc::SIGFPE, "SIGFPE"),
    (libc::SIGILL, "SIGILL"),
    (libc::SIGSEGV, "SIGSEGV"),
    (libc::SIGSYS, "SIGSYS"),
    (libc::SIGTRAP, "SIGTRAP"),
    (libc::SIGXFSZ, "SIGXFSZ"),
];

/// Reads what the child wrote and how it ended.
pub(super) fn judge(
    ending: Ending,
    output: &[u8],
    log: &[u8],
    load: &ChildLoad<'_>,
) -> Result<(), NotLoaded> {
    let lines = Line::all(output);
    // An answer counts however the process ended behind it: nothing of a session is left then.
    match lines.last() {
        Some(Line::Loaded { engine, peak_bytes }) => {
            tracing::debug!(engine, peak_bytes, "the trial load went well");
            return Ok(());
        }
        Some(Line::Refused { code, detail }) => {
            let code =
                REASONS.iter().copied().find(|reason| reason.name() == code).unwrap_or(Reason::Crashed);
            return Err(refused(code, detail.clone()));
        }
        Some(Line::Unavailable(why)) => return Err(NotLoaded::Unavailable(why.clone())),
        Some(Line::Ready) | None => {}
    }
    match ending {
        Ending::Stopped => Err(NotLoaded::Stopped),
        // What ends before it has the model has not tried it.
        Ending::TimedOut if lines.is_empty() => {
            Err(NotLoaded::Unavailable(format!("the child was not ready within {:?}", load.longest())))
        }
        // The kernel does that where memory is short; the version itself would not find more.
        Ending::Ended(status) if lines.is_empty() && status.signal() == Some(libc::SIGKILL) => {
            Err(no_memory(load))
        }
        Ending::Ended(status) if lines.is_empty() => {
            Err(NotLoaded::Unavailable(format!("the child was not ready when it ended: {status}")))
        }
        Ending::TimedOut => Err(not_over(load)),
        Ending::Ended(status) => Err(died(status, log, load)),
    }
}

/// The end of a child that was at work.
fn died(status: ExitStatus, log: &[u8], load: &ChildLoad<'_>) -> NotLoaded {
    let Some(signal) = status.signal() else {
        return refused(Reason::Crashed, format!("the trial load ended without an answer: {status}"));
    };
    match signal {
        libc::SIGXCPU => too_long(load),
        _ if String::from_utf8_lossy(log).contains(ALLOCATION_FAILED) => no_memory(load),
        // We have not killed it: the kernel does that where memory is short, or to those who ignore SIGXCPU.
        libc::SIGKILL => no_memory(load),
        libc::SIGHUP | libc::SIGINT | libc::SIGQUIT | libc::SIGTERM => {
            NotLoaded::Unavailable(format!("the child was ended from outside: {status}"))
        }
        _ => {
            let name =
                SIGNALS.iter().find(|(number, _)| *number == signal).map(|(_, name)| (*name).to_owned());
            let name = name.unwrap_or_else(|| format!("signal {signal}"));
            refused(
                Reason::Crashed,
                format!("the trial load was ended by {name}; serving it would have crashed sidegate"),
            )
        }
    }
}

fn refused(code: Reason, detail: String) -> NotLoaded {
    NotLoaded::Refused(LoadError::new(code, detail))
}

fn too_long(load: &ChildLoad<'_>) -> NotLoaded {
    let detail = format!(
        "the trial load took more than {} ms of processor time (registry.trial_timeout_ms)",
        load.timeout.as_millis()
    );
    refused(Reason::Timeout, detail)
}

fn not_over(load: &ChildLoad<'_>) -> NotLoaded {
    let detail = format!(
        "the trial load was not over within {} ms by the clock ({CLOCK} times registry.trial_timeout_ms)",
        load.longest().as_millis()
    );
    refused(Reason::Timeout, detail)
}

fn no_memory(load: &ChildLoad<'_>) -> NotLoaded {
    let detail = format!("the trial load needs more than the {} bytes that it may take", load.memory_bytes);
    refused(Reason::Memory, detail)
}
