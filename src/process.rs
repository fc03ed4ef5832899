//! What the kernel says of this process. On systems without `/proc` nothing is known, and nothing is limited by it.

/// Resident memory in bytes.
pub fn resident_bytes() -> Option<u64> {
    memory("VmRSS:")
}

/// The most memory that was resident at any time, in bytes.
pub fn peak_bytes() -> Option<u64> {
    memory("VmHWM:")
}

fn memory(name: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}

/// How many files this process may have open; `None` when unlimited or unknown.
pub fn open_files_limit() -> Option<u64> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_understood() {
        assert!(resident_bytes().unwrap() > 1 << 20);
        assert!(open_files_limit().is_none_or(|n| n > 16));
    }
}
