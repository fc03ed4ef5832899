//! What the machine allows this process: the CPU quota and memory limit of its control groups, v1 and v2; and what
//! it is called.
//!
//! A limit can sit on any group on the way up from the process to the mounted root, so the smallest one counts.

use std::fs;
use std::path::{Path, PathBuf};

/// Limits that defaults derive from. Tests write one down; [`Machine::detect`] reads the real one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Machine {
    /// CPUs' worth of time per second; `None` without a quota.
    pub cpu_quota: Option<f64>,
    /// Bytes of memory before the kernel kills; `None` without a limit.
    pub memory_limit: Option<u64>,
    /// The host's name, in a container its own; empty where it cannot be read.
    pub host: String,
}

/// Where one hierarchy of control groups is mounted, and which of its groups the mount shows as its root.
struct Mount {
    root: String,
    point: PathBuf,
    /// `None` is v2, which carries all controllers.
    controllers: Option<Vec<String>>,
}

/// The most memory that request bodies take by default, however much there is.
const MAX_INFLIGHT_BYTES: u64 = 256 << 20;

/// v1 writes "no limit" as the largest multiple of the page size; no machine has a quarter of that.
const NO_LIMIT: u64 = 1 << 60;

// === impl Machine ===

impl Machine {
    /// Reads the limits of this process; what cannot be read is no limit.
    pub fn detect() -> Self {
        Self::read(Path::new("/"))
    }

    /// Reads the limits under another root folder, for tests.
    pub fn read(root: &Path) -> Self {
        let text = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
        let groups = text("proc/self/cgroup");
        let host = text("proc/sys/kernel/hostname").trim().to_owned();
        let mut machine = Self { host, ..Self::default() };
        for mount in text("proc/self/mountinfo").lines().filter_map(Mount::parse) {
            for dir in mount.group(&groups).iter().flat_map(|group| mount.way_up(root, group)) {
                machine.cpu_quota = smaller(machine.cpu_quota, quota(&dir));
                machine.memory_limit = smaller(machine.memory_limit, memory(&dir));
            }
        }
        machine
    }

    /// Takes the machine's whole memory for this process's, as far as it can be read.
    pub(super) fn limit_to_memory(&mut self) {
        let total = fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
            let kilobytes = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
            kilobytes.trim().trim_end_matches("kB").trim().parse::<u64>().ok()
        });
        self.memory_limit = smaller(self.memory_limit, total.map(|total| total.saturating_mul(1 << 10)));
    }

    /// Takes note of a limit that no control group tells.
    pub fn limit_memory(&mut self, bytes: u64) {
        self.memory_limit = smaller(self.memory_limit, Some(bytes));
    }

    /// Data-path threads: as many as the quota feeds, two at most (a sidecar leaves the rest to its app), one
    /// without a quota.
    pub fn workers(&self) -> usize {
        self.cpu_quota.map_or(1, |quota| if quota > 1.0 { 2 } else { 1 })
    }

    /// Bytes of request bodies held at one time.
    pub fn inflight_bytes(&self) -> usize {
        let bytes = self.memory_limit.map_or(MAX_INFLIGHT_BYTES, |limit| (limit / 8).min(MAX_INFLIGHT_BYTES));
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }

    /// Bytes of memory for models: the rest is for requests, code and the kernel's own buffers.
    pub fn budget_bytes(&self) -> Option<u64> {
        self.memory_limit.map(|limit| limit / 5 * 4)
    }

    /// Whether the kernel stops this process when it has used its share of a period.
    pub fn has_quota(&self) -> bool {
        self.cpu_quota.is_some()
    }
}

// === impl Mount ===

impl Mount {
    /// A line of `mountinfo` (proc(5)): `id parent dev root point options … - type source super-options`.
    fn parse(line: &str) -> Option<Self> {
        let (front, back) = line.split_once(" - ")?;
        let mut front = front.split(' ').skip(3);
        let (root, point) = (front.next()?, front.next()?);
        let mut back = back.split(' ');
        let controllers = match back.next()? {
            "cgroup2" => None,
            "cgroup" => Some(back.nth(1)?.split(',').map(str::to_owned).collect()),
            _ => return None,
        };
        Some(Self { root: unescape(root), point: unescape(point).into(), controllers })
    }

    /// This process's group in the hierarchy, from `/proc/self/cgroup`: `id:controllers:path`.
    fn group<'a>(&self, groups: &'a str) -> Option<&'a str> {
        groups.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let (names, path) = (fields.next()?, fields.next()?);
            let ours = match &self.controllers {
                None => names.is_empty(),
                Some(all) => !names.is_empty() && names.split(',').all(|name| all.iter().any(|c| c == name)),
            };
            ours.then_some(path)
        })
    }

    /// The folders from the group up to the mount.
    fn way_up(&self, machine: &Path, group: &str) -> Vec<PathBuf> {
        let top = machine.join(self.point.strip_prefix("/").unwrap_or(&self.point));
        // A container often sees its own group as the mount's root while /proc still tells the host's path.
        let below = Path::new(group).strip_prefix(&self.root).unwrap_or(Path::new(""));
        // `/../..` is a group outside of the namespace: only the mount itself can be looked at.
        let below = if group.contains("..") { Path::new("") } else { below };
        let below = below.strip_prefix("/").unwrap_or(below);
        below.ancestors().map(|part| top.join(part)).collect()
    }
}

/// CPUs of a group: `cpu.max` of v2 holds quota (or `max`) and period, v1 has a file for each (-1: none).
fn quota(dir: &Path) -> Option<f64> {
    let read = |name: &str| fs::read_to_string(dir.join(name)).ok();
    let (quota, period) = match read("cpu.max") {
        Some(text) => {
            let (quota, period) = text.trim().split_once(' ')?;
            (quota.to_owned(), period.to_owned())
        }
        None => (read("cpu.cfs_quota_us")?, read("cpu.cfs_period_us")?),
    };
    let quota: f64 = quota.trim().parse().ok().filter(|quota| *quota > 0.0)?;
    let period: f64 = period.trim().parse().ok().filter(|period| *period > 0.0)?;
    Some(quota / period)
}

/// Bytes of a group: `memory.max` of v2 (or `max`), `memory.limit_in_bytes` of v1.
fn memory(dir: &Path) -> Option<u64> {
    let read = |name: &str| fs::read_to_string(dir.join(name)).ok();
    let text = read("memory.max").or_else(|| read("memory.limit_in_bytes"))?;
    text.trim().parse().ok().filter(|bytes| *bytes < NO_LIMIT)
}

fn smaller<T: PartialOrd>(a: Option<T>, b: Option<T>) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if b < a { b } else { a }),
        (a, b) => a.or(b),
    }
}

/// Undoes the octal escapes of `mountinfo` for space, tab, newline and backslash.
fn unescape(text: &str) -> String {
    let escapes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    escapes.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

#[cfg(test)]
mod tests;
