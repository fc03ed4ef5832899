//! Which process works on a run, and whether it still does.

use serde::{Deserialize, Serialize};
use sidegate::config::Machine;

/// A process of some machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    /// The machine's name, in a container its own.
    pub(crate) host: String,
    /// Its number there.
    pub(crate) pid: u32,
    /// When it began, in the kernel's ticks since the machine did: later processes may have the same number. None where
    /// the kernel does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    began: Option<u64>,
}

impl Process {
    /// The one that asks.
    pub(crate) fn this() -> Self {
        let pid = std::process::id();
        Self { host: Machine::detect().host, pid, began: began(pid) }
    }

    /// Whether it is still there; none where that cannot be known, as of another machine's.
    pub(crate) fn lives(&self) -> Option<bool> {
        let here = Self::this();
        let known = self.began.is_some() && here.began.is_some() && !here.host.is_empty();
        (known && self.host == here.host).then(|| began(self.pid) == self.began)
    }
}

/// When a process of this machine began; none of one that is not there, or is over and only waits to be taken note of.
fn began(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before may hold anything (proc_pid_stat(5)): the state is the third field, this the 22nd.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    fields.nth(18)?.parse().ok().filter(|_| !matches!(state, "Z" | "X"))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_told_from_what_ended_and_from_those_of_other_machines() {
        let this = Process::this();
        assert_eq!(this.lives(), Some(true), "{this:?}");
        let number_taken_again = Process { began: Some(1), ..this.clone() };
        assert_eq!(number_taken_again.lives(), Some(false));
        assert_eq!(Process { host: "elsewhere".to_owned(), ..this.clone() }.lives(), None);
        assert_eq!(Process { began: None, ..this.clone() }.lives(), None);
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let its = Process { pid: child.id(), began: began(child.id()), ..this };
        assert_eq!(its.lives(), Some(true));
        child.kill().unwrap();
        // Before it is waited for the kernel still has it.
        while its.lives() == Some(true) {
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert_eq!(its.lives(), Some(false));
    }
}
