//! Limits that a process puts on itself before it touches what it does not trust.

#![expect(unsafe_code, reason = "limits of a process are set through libc")]

use std::io;
use std::time::Duration;

/// Files that may be open: ONNX Runtime reads its library and what the system says of the processor.
#[cfg(target_os = "linux")]
const OPEN_FILES: u64 = 64;

/// Address space beside the memory that may be written: code and constants of libraries, and what they reserve
/// without using it.
#[cfg(target_os = "linux")]
const RESERVED_BYTES: u64 = 1 << 30;

/// What a confined process may still use.
#[derive(Clone, Copy, Debug)]
pub struct Confinement {
    /// The process that started this one, without which it must not live.
    pub parent: u32,
    /// Time of the processor, rounded up to seconds.
    pub cpu: Duration,
    /// Memory that may be written, beside what is mapped already.
    pub memory_bytes: u64,
}

#[cfg(target_os = "linux")]
impl Confinement {
    /// Confines this process for the rest of its life: it dies with its parent, gains no rights, writes no file and
    /// leaves no core, is the first to go when memory is short, and uses no more than it may.
    ///
    /// The limit on memory counts what can be written (`RLIMIT_DATA`), so that a library of 30 MB costs what it
    /// dirties; the one on address space is behind it for mappings that the kernel does not count there.
    ///
    /// # Errors
    /// When the kernel refuses a limit, or the parent has gone already.
    pub fn apply(&self) -> io::Result<()> {
        // SAFETY: `prctl` with these two options takes plain integers and changes only this process.
        let refused = unsafe {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong, 0, 0, 0) != 0
                || libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1 as libc::c_ulong, 0, 0, 0) != 0
        };
        if refused {
            return Err(io::Error::last_os_error());
        }
        // A parent that died before the first call sends no signal any more.
        if std::os::unix::process::parent_id() != self.parent {
            return Err(io::Error::other("the process that started this one has gone"));
        }
        // A container without memory then loses this process and not the one that serves. Where all of them go
        // together (`memory.oom.group`), the limits below have to hold.
        drop(std::fs::write("/proc/self/oom_score_adj", "1000"));
        let status = std::fs::read_to_string("/proc/self/status")?;
        let mapped = |name: &str| -> io::Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            let kibibytes = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
            kibibytes
                .map(|k| k << 10)
                .ok_or_else(|| io::Error::other(format!("the kernel does not tell {name}")))
        };
        let seconds = self.cpu.as_secs().saturating_add(1);
        let data = mapped("VmData")?.saturating_add(self.memory_bytes);
        let address_space =
            mapped("VmSize")?.saturating_add(self.memory_bytes).saturating_add(RESERVED_BYTES);
        limit(libc::RLIMIT_CORE, 0, 0)?;
        limit(libc::RLIMIT_FSIZE, 0, 0)?;
        limit(libc::RLIMIT_NOFILE, OPEN_FILES, OPEN_FILES)?;
        // The first signal can be told from others; the second cannot be missed.
        limit(libc::RLIMIT_CPU, seconds, seconds.saturating_add(1))?;
        limit(libc::RLIMIT_DATA, data, data)?;
        limit(libc::RLIMIT_AS, address_space, address_space)
    }
}

#[cfg(not(target_os = "linux"))]
impl Confinement {
    /// Limits are set on Linux only.
    ///
    /// # Errors
    /// Always.
    pub fn apply(&self) -> io::Result<()> {
        Err(io::Error::other("limits are set on Linux only"))
    }
}

/// What `getrlimit` takes; the C libraries differ.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
type Resource = libc::__rlimit_resource_t;
#[cfg(all(target_os = "linux", not(target_env = "gnu")))]
type Resource = libc::c_int;

/// Lowers a limit; one that is lower already stays.
#[cfg(target_os = "linux")]
fn limit(resource: Resource, soft: u64, hard: u64) -> io::Result<()> {
    let mut now = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `now` is a valid place for the answer and outlives the call.
    if unsafe { libc::getrlimit(resource, &raw mut now) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let new = libc::rlimit { rlim_cur: soft.min(now.rlim_cur), rlim_max: hard.min(now.rlim_max) };
    // SAFETY: `new` is initialised and outlives the call, which only reads it.
    if unsafe { libc::setrlimit(resource, &raw const new) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
