//! The server's own figures over the measured window, read from `/proc` and its cgroup (Linux).
//!
//! Processor time per answer is the steadiest figure on a machine that others share. It is the sum of
//! `/proc/PID/task/*/schedstat` (nanoseconds, every thread alive); threads that ended meanwhile are missing
//! there but not in `/proc/PID/stat` (ticks of 10 ms), so when `stat` shows clearly more, `stat` is taken.
//! `cpu_source` says which.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::BoxError;

/// `USER_HZ`: what `/proc/PID/stat` counts in, 100 per second on every Linux that Rust runs on.
const TICK_NS: u64 = 10_000_000;

/// A process on this machine.
pub(crate) struct Server {
    process: PathBuf,
    cpu_stat: Option<PathBuf>,
}

/// Its counters at one moment.
pub(crate) struct Sample {
    schedstat_ns: u64,
    stat_ns: u64,
    rss_kib: u64,
    peak_rss_kib: u64,
    throttle: Option<Throttle>,
}

#[derive(Clone, Copy, Debug, PartialEq, Default)]
struct Throttle {
    periods: u64,
    throttled: u64,
    throttled_us: u64,
}

/// This process's own processor time.
pub(crate) fn own_cpu() -> Option<u64> {
    first_number(&fs::read_to_string("/proc/self/schedstat").ok()?)
}

/// Share of one processor between two readings of [`own_cpu`].
pub(crate) fn share(before: Option<u64>, after: Option<u64>, seconds: f64) -> Option<f64> {
    let used = after?.saturating_sub(before?) as f64 / 1e9;
    (seconds > 0.0).then(|| (used / seconds * 1000.0).round() / 1000.0)
}

// === impl Server ===

impl Server {
    pub(crate) fn new(pid: u32) -> Result<Self, BoxError> {
        let process = PathBuf::from(format!("/proc/{pid}"));
        if !process.exists() {
            return Err(format!("no process {pid}").into());
        }
        let cpu_stat = cpu_stat(&process);
        Ok(Self { process, cpu_stat })
    }

    pub(crate) fn sample(&self) -> Result<Sample, BoxError> {
        let gone = |error| format!("{}: {error} (did the server exit?)", self.process.display());
        let stat = fs::read_to_string(self.process.join("stat")).map_err(gone)?;
        let status = fs::read_to_string(self.process.join("status")).map_err(gone)?;
        Ok(Sample {
            schedstat_ns: schedstat(&self.process),
            stat_ns: stat_ticks(&stat).unwrap_or(0) * TICK_NS,
            rss_kib: status_kib(&status, "VmRSS:").unwrap_or(0),
            peak_rss_kib: status_kib(&status, "VmHWM:").unwrap_or(0),
            throttle: self
                .cpu_stat
                .as_deref()
                .and_then(|file| Some(parse_throttle(&fs::read_to_string(file).ok()?))),
        })
    }
}

// === impl Sample ===

impl Sample {
    /// What happened since `before`, in which time the server sent `answers`.
    pub(crate) fn since(&self, before: &Self, answers: u64) -> Value {
        let exact = self.schedstat_ns.saturating_sub(before.schedstat_ns);
        let ticks = self.stat_ns.saturating_sub(before.stat_ns);
        let (cpu_ns, source) =
            if ticks > exact + exact / 50 + 2 * TICK_NS { (ticks, "stat") } else { (exact, "schedstat") };
        let throttled = before.throttle.zip(self.throttle).map(|(before, after)| {
            json!({
                "periods": after.periods.saturating_sub(before.periods),
                "throttled": after.throttled.saturating_sub(before.throttled),
                "throttled_us": after.throttled_us.saturating_sub(before.throttled_us),
            })
        });
        json!({
            "cpu_us_per_req": (answers > 0).then(|| (cpu_ns as f64 / answers as f64 / 10.0).round() / 100.0),
            "cpu_ms": cpu_ns / 1_000_000,
            "cpu_source": source,
            "rss_kib": { "before": before.rss_kib, "after": self.rss_kib, "peak": self.peak_rss_kib },
            "throttled": throttled,
        })
    }
}

fn schedstat(process: &Path) -> u64 {
    let Ok(threads) = fs::read_dir(process.join("task")) else {
        return 0;
    };
    threads
        .flatten()
        .filter_map(|thread| first_number(&fs::read_to_string(thread.path().join("schedstat")).ok()?))
        .sum()
}

fn first_number(text: &str) -> Option<u64> {
    text.split_ascii_whitespace().next()?.parse().ok()
}

/// User and system time; the name before them may hold spaces and parentheses.
fn stat_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn status_kib(status: &str, key: &str) -> Option<u64> {
    status.lines().find_map(|line| first_number(line.strip_prefix(key)?))
}

/// The `cpu.stat` that counts this process's throttled periods: cgroup v1 if its cpu controller is mounted, else v2.
fn cpu_stat(process: &Path) -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let groups = fs::read_to_string(process.join("cgroup")).ok()?;
    let (v1, v2) = (v1_folder(&mounts, &groups), v2_folder(&mounts, &groups));
    [v1, v2].into_iter().flatten().map(|folder| folder.join("cpu.stat")).find(|file| {
        fs::read_to_string(file).is_ok_and(|text| text.lines().any(|line| line.starts_with("nr_throttled ")))
    })
}

fn v1_folder(mounts: &str, groups: &str) -> Option<PathBuf> {
    let has_cpu = |list: &str| list.split(',').any(|item| item == "cpu");
    let mount = mounts.lines().find_map(|line| {
        let fields: Vec<_> = line.split(' ').collect();
        (*fields.get(2)? == "cgroup" && has_cpu(fields.get(3)?)).then(|| fields[1])
    })?;
    let group = groups.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        has_cpu(controllers).then_some(path)
    })?;
    Some(Path::new(mount).join(group.trim_start_matches('/')))
}

fn v2_folder(mounts: &str, groups: &str) -> Option<PathBuf> {
    let mount = mounts.lines().find_map(|line| {
        let fields: Vec<_> = line.split(' ').collect();
        (*fields.get(2)? == "cgroup2").then(|| fields[1])
    })?;
    let group = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    Some(Path::new(mount).join(group.trim_start_matches('/')))
}

/// Both versions count periods alike; time is `throttled_time` in ns (v1) or `throttled_usec` (v2).
fn parse_throttle(text: &str) -> Throttle {
    let mut throttle = Throttle::default();
    for line in text.lines() {
        let Some((key, value)) = line.split_once(' ') else {
            continue;
        };
        let value = value.trim().parse().unwrap_or(0);
        match key {
            "nr_periods" => throttle.periods = value,
            "nr_throttled" => throttle.throttled = value,
            "throttled_usec" => throttle.throttled_us = value,
            "throttled_time" => throttle.throttled_us = value / 1000,
            _ => {}
        }
    }
    throttle
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_texts_are_read() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0";
        assert_eq!(stat_ticks(stat), Some(300));
        assert_eq!(status_kib("Name:\tx\nVmHWM:\t  900 kB\nVmRSS:\t   812 kB\n", "VmRSS:"), Some(812));
    }

    #[test]
    fn both_cgroup_versions_are_found_and_read() {
        let mounts = "cgroup /sys/fs/cgroup/cpuset cgroup rw,cpuset 0 0\n\
                      cgroup /sys/fs/cgroup/cpu cgroup rw,cpu,cpuacct 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        let groups = "3:cpuset:/\n1:cpu,cpuacct:/half\n0::/pod/x\n";
        assert_eq!(v1_folder(mounts, groups), Some("/sys/fs/cgroup/cpu/half".into()));
        assert_eq!(v2_folder(mounts, groups), Some("/sys/fs/cgroup/unified/pod/x".into()));
        let v1 = parse_throttle("nr_periods 9\nnr_throttled 4\nthrottled_time 5000\n");
        let v2 = parse_throttle("usage_usec 1\nnr_periods 9\nnr_throttled 4\nthrottled_usec 5\n");
        assert_eq!(v1, Throttle { periods: 9, throttled: 4, throttled_us: 5 });
        assert_eq!(v1, v2);
    }
}
