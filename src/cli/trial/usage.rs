//! What the kernel says of the processes of a side: processor time, memory, threads. Linux only; elsewhere nothing
//! is known, and the report says so.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::net::IpAddr;

/// Listening, in `/proc/net/tcp`.
const LISTEN: &str = "0A";

/// Forwards a container's port and does none of its work.
const PROXY: &str = "docker-proxy";

/// The processes of one side.
#[derive(Clone, Debug, Default)]
pub(super) struct Processes(Vec<u32>);

/// Processor time of each thread, in nanoseconds.
pub(super) struct Clock(HashMap<(u32, u32), u64>);

/// What the processes hold now.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Held {
    /// Resident bytes; of several processes, what they share is counted once (PSS) where the kernel tells.
    pub(super) bytes: u64,
    pub(super) threads: usize,
}

// === impl Processes ===

impl Processes {
    /// A process with all its descendants.
    pub(super) fn of(pid: u32) -> Self {
        Self::with_descendants(BTreeSet::from([pid]))
    }

    /// Those that listen on a port of this machine, with their descendants.
    ///
    /// # Errors
    /// Why there are none to be seen.
    pub(super) fn listening(ip: IpAddr, port: u16) -> Result<Self, String> {
        let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
            .iter()
            .filter_map(|path| fs::read_to_string(path).ok())
            .flat_map(|table| listeners(&table, port))
            .collect();
        if inodes.is_empty() {
            let what = if ip.is_loopback() { "another network namespace" } else { "another machine" };
            return Err(format!("{what}; --pid PID names the process if it is here"));
        }
        let wanted: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
        let pids: BTreeSet<u32> = all().filter(|pid| holds(*pid, &wanted)).collect();
        if pids.is_empty() {
            return Err("the process belongs to another user; run this as that user, or as root".into());
        }
        if pids.iter().all(|pid| name(*pid) == PROXY) {
            return Err("it runs in a container; --pid PID names its process".into());
        }
        Ok(Self::with_descendants(pids))
    }

    fn with_descendants(mut pids: BTreeSet<u32>) -> Self {
        let parents: Vec<(u32, u32)> = all().filter_map(|pid| Some((pid, parent(pid)?))).collect();
        loop {
            let before = pids.len();
            pids.extend(
                parents
                    .iter()
                    .filter(|(_, parent)| pids.contains(parent))
                    .map(|(pid, _)| *pid)
                    .collect::<Vec<_>>(),
            );
            if pids.len() == before {
                return Self(pids.into_iter().collect());
            }
        }
    }

    pub(super) const fn count(&self) -> usize {
        self.0.len()
    }

    /// What the first of them is called.
    pub(super) fn name(&self) -> String {
        self.0.first().map(|pid| name(*pid)).unwrap_or_default()
    }

    /// Reads the processor time of every thread.
    pub(super) fn clock(&self) -> Clock {
        let threads = self.0.iter().flat_map(|pid| {
            let tasks = numbers(&format!("/proc/{pid}/task"));
            tasks.into_iter().filter_map(|tid| Some(((*pid, tid), nanos(*pid, tid)?)))
        });
        Clock(threads.collect())
    }

    /// Processor time since then, in nanoseconds; `None` when nothing can be read.
    pub(super) fn since(&self, clock: &Clock) -> Option<u64> {
        let now = self.clock().0;
        if now.is_empty() {
            return None;
        }
        Some(
            now.iter()
                .map(|(thread, nanos)| nanos - clock.0.get(thread).copied().unwrap_or(0).min(*nanos))
                .sum(),
        )
    }

    /// What they hold now; `None` when nothing can be read.
    pub(super) fn held(&self) -> Option<Held> {
        let mut held = Held::default();
        for pid in &self.0 {
            let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else { continue };
            let alone =
                (self.0.len() > 1).then(|| fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok());
            let shared = alone.flatten().and_then(|text| kibibytes(&text, "Pss:"));
            held.bytes += shared.or_else(|| kibibytes(&status, "VmRSS:")).unwrap_or(0) << 10;
            held.threads += field(&status, "Threads:").and_then(|text| text.parse().ok()).unwrap_or(0);
        }
        (held.threads > 0).then_some(held)
    }
}

/// Numbers among the names in a folder of `/proc`.
fn numbers(path: &str) -> Vec<u32> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

fn all() -> impl Iterator<Item = u32> {
    numbers("/proc").into_iter()
}

/// The sockets that listen on a port, out of the kernel's table.
fn listeners(table: &str, port: u16) -> Vec<String> {
    let port = format!(":{port:04X}");
    let line = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let ours = fields.get(1)?.ends_with(&port) && *fields.get(3)? == LISTEN;
        ours.then(|| fields.get(9).map(ToString::to_string)).flatten()
    };
    table.lines().filter_map(line).collect()
}

fn holds(pid: u32, wanted: &[String]) -> bool {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let mut links = files.filter_map(|file| fs::read_link(file.path()).ok());
    links.any(|link| wanted.iter().any(|wanted| link.as_os_str() == wanted.as_str()))
}

fn name(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned()
}

/// The fields of `stat` behind the name, which may itself hold spaces and brackets.
fn stat(path: &str) -> Option<Vec<String>> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.rsplit_once(") ")?.1.split(' ').map(str::to_owned).collect())
}

fn parent(pid: u32) -> Option<u32> {
    stat(&format!("/proc/{pid}/stat"))?.get(1)?.parse().ok()
}

/// Processor time of a thread: exact where the scheduler keeps it, else in ticks of 10 ms.
fn nanos(pid: u32, tid: u32) -> Option<u64> {
    let exact = fs::read_to_string(format!("/proc/{pid}/task/{tid}/schedstat")).ok();
    let exact = exact.and_then(|text| text.split(' ').next()?.parse().ok()).filter(|nanos| *nanos > 0);
    exact.or_else(|| {
        let stat = stat(&format!("/proc/{pid}/task/{tid}/stat"))?;
        let ticks = |at: usize| stat.get(at)?.parse::<u64>().ok();
        Some((ticks(11)? + ticks(12)?) * 10_000_000)
    })
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

fn kibibytes(text: &str, name: &str) -> Option<u64> {
    field(text, name)?.strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn the_process_behind_a_port_is_found_and_measured() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let processes = Processes::listening(address.ip(), address.port()).unwrap();
        assert!(processes.0.contains(&std::process::id()));
        let clock = processes.clock();
        let start = std::time::Instant::now();
        while start.elapsed().as_millis() < 50 {
            std::hint::black_box(0);
        }
        assert!(processes.since(&clock).unwrap() > 10_000_000);
        let held = processes.held().unwrap();
        assert!(held.bytes > 1 << 20 && held.threads > 0);
        drop(listener);
        let error = Processes::listening(address.ip(), address.port()).unwrap_err();
        assert!(error.contains("--pid"), "{error}");
        assert!(Processes::of(u32::MAX).held().is_none());
    }

    #[test]
    fn only_listening_sockets_of_the_port_count() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11 1 0 100 0 0 10 0\n\
             1: 0100007F:1F90 0100007F:C000 01 00000000:00000000 00:00000000 00000000     0        0 12 1 0 100 0 0 10 0\n\
             2: 00000000:07E8 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 13 1 0 100 0 0 10 0\n";
        assert_eq!(listeners(table, 8080), ["11"]);
        assert_eq!(listeners(table, 2024), ["13"]);
        assert!(listeners(table, 80).is_empty());
    }
}
