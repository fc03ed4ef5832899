//! What a process asks of its C library and kernel: environment at start, thread priority, heap.

#![expect(unsafe_code, reason = "environment, scheduler and allocator are reached through libc")]

/// Switches ONNX Runtime's telemetry off, for good.
///
/// ONNX Runtime 1.29 and later report home on Linux unless this is in the environment before they start.
const TELEMETRY: (&str, &str) = ("ORT_DISABLE_TELEMETRY", "1");

/// Sets up what later code finds in the environment. Call it first in `main`, before any thread exists.
///
/// A later call changes nothing that an earlier one set.
pub fn prepare_environment() {
    if !telemetry_is_off() {
        // SAFETY: `setenv` must not run beside code that reads the environment in another thread. The caller
        // is `main`, which has started none; the standard library's own readers hold its lock anyway.
        unsafe { std::env::set_var(TELEMETRY.0, TELEMETRY.1) };
    }
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // SAFETY: `mallopt` takes two plain integers; it is called before other threads use the heap.
        unsafe { libc::mallopt(libc::M_ARENA_MAX, MALLOC_ARENAS) };
    }
}

/// Heaps glibc may create; its default of 8 per core keeps memory that no thread uses any more.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MALLOC_ARENAS: libc::c_int = 2;

/// Whether ONNX Runtime will find its telemetry switched off; its library is never loaded without.
#[expect(clippy::disallowed_methods, reason = "what this module has set is no configuration")]
pub fn telemetry_is_off() -> bool {
    std::env::var_os(TELEMETRY.0).is_some_and(|value| value == TELEMETRY.1)
}

/// Where the dynamic linker looks for libraries first, for a program that must find what this one finds.
#[expect(clippy::disallowed_methods, reason = "the linker's variable is no configuration")]
pub fn library_path() -> Option<std::ffi::OsString> {
    std::env::var_os("LD_LIBRARY_PATH")
}

/// Lets every other thread run first, for the calling thread's whole life. Elsewhere than on Linux it does nothing.
///
/// A loading thread so takes only the time that serving leaves on its core.
pub fn lower_priority() {
    #[cfg(target_os = "linux")]
    {
        let parameters = libc::sched_param { sched_priority: 0 };
        // SAFETY: 0 names the calling thread and `parameters` outlives the call. A refusal (a seccomp filter)
        // leaves the priority as it was, which is only slower for others.
        unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameters) };
    }
}

/// Gives free heap pages back to the kernel, after a version was dropped. Only glibc keeps them.
pub fn trim_heap() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // SAFETY: `malloc_trim` takes a plain integer and may run beside any allocation.
        unsafe { libc::malloc_trim(0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn telemetry_is_off_after_preparation() {
        prepare_environment();
        assert!(telemetry_is_off());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_lowered_thread_is_idle_and_alone() {
        // SAFETY: 0 names the calling thread; the call only reads.
        let policy = || unsafe { libc::sched_getscheduler(0) };
        let lowered = std::thread::spawn(move || {
            lower_priority();
            policy()
        });
        assert_eq!(lowered.join().unwrap(), libc::SCHED_IDLE);
        assert_eq!(policy(), libc::SCHED_OTHER);
    }

    #[test]
    fn trimming_returns_free_pages() {
        let resident = || {
            let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
            statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or_default()
        };
        // Small blocks, so that they come from the heap rather than from mappings of their own.
        let blocks: Vec<Vec<u8>> = (0..16 * 1024).map(|_| vec![1; 4096]).collect();
        let full = resident();
        drop(blocks);
        trim_heap();
        assert!(full == 0 || resident() + 8 * 1024 < full, "{full} pages before, {} after", resident());
    }
}
