//! A child process together with whatever it starts.

#![expect(
    unsafe_code,
    reason = "the standard library ends single processes only, and gives up their number first"
)]

use std::io;
use std::process::Child;

/// Whether a child has ended. Its number stays its own until somebody waits for it.
///
/// # Errors
/// When the kernel does not know it: somebody has waited already.
pub fn has_ended(child: &Child) -> io::Result<bool> {
    // SAFETY: all zeros is a value of this plain structure.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: `info` is a valid place for the answer and outlives the call.
    if unsafe { libc::waitid(libc::P_PID, child.id() as libc::id_t, &raw mut info, options) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call has filled in what it says of a child, or left the zeros where there is nothing to say.
    Ok(unsafe { info.si_pid() } != 0)
}

/// Kills every process of the group that a child leads, the child too. Nobody may have waited for the child, or its
/// number may be another's by now; of one that leads no group nothing is killed.
pub fn kill_group(leader: &Child) {
    if let Ok(group) = libc::pid_t::try_from(leader.id())
        && group > 1
    {
        // SAFETY: `kill` takes two integers. The number is that of a child that is there, or was and is not waited for.
        unsafe { libc::kill(-group, libc::SIGKILL) };
    }
}
