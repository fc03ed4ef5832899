//! A process that ends in the middle, and a disk that does not keep what it was given: rows X3 to X5.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::time::Duration;

use super::super::bucket::{Fault, Rule};
use super::super::client::request;
use super::super::harness::{Server, Setup, wait};
use super::super::onnx::{constant, slow};
use super::{SOON, Site, answered, is_ready, padded, synced};

/// Places outside a load, in the order in which a start comes by them.
const BESIDE: [&str; 13] = [
    "cleaned",
    "index",
    "written",
    "download",
    "downloaded",
    "synced",
    "named",
    "verified",
    "swap",
    "published",
    "record",
    "recorded",
    "evict",
];
/// Places in a load: who dies there was killed by the version.
const INSIDE: [&str; 6] = ["noted", "trial", "loaded", "tried", "warmup", "built"];

/// `SIDEGATE_KILLS=100 cargo test --test it x4_` kills so often at each place.
fn rounds() -> usize {
    std::env::var("SIDEGATE_KILLS").map_or(1, |text| text.parse().unwrap())
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A bucket with version 2 of `m` in production, and a sidecar's cache from the time of version 1.
struct Before {
    site: Site,
    warm: tempfile::TempDir,
}

impl Before {
    fn new() -> Self {
        let site = Site::serving(&["m"]);
        drop(site.setup().start());
        // Something to evict, something that another process left unfinished.
        let old = site.cached().join("blobs").join("0".repeat(64));
        fs::write(&old, vec![0; 2 << 20]).unwrap();
        fs::write(site.cached().join("unfinished/1-1"), b"half a fi").unwrap();
        let warm = tempfile::tempdir().unwrap();
        copy(site.cache.path(), warm.path());
        site.publish("m", 2);
        Self { site, warm }
    }

    /// As it was before the kill.
    fn rewind(&self) {
        fs::remove_dir_all(self.site.cache.path()).unwrap();
        copy(self.warm.path(), self.site.cache.path());
    }

    fn setup(&self) -> Setup {
        self.site.with_config(
            "registry.poll_interval_ms = 50\nregistry.min_swap_interval_ms = 0\nregistry.cache_max_bytes = 1048576\n",
        )
    }

    /// Dies at `place` by its own hand.
    #[track_caller]
    fn die(&self, place: &str) {
        self.ends(place, 6);
    }

    /// Dies at `place` by SIGKILL from outside, while its other threads go on.
    #[track_caller]
    fn is_killed(&self, place: &str) {
        self.ends(&format!("KILL {place}"), 9);
    }

    #[track_caller]
    fn ends(&self, place: &str, signal: i32) {
        self.rewind();
        let end = self.setup().variable("TEST_ABORT_AT", place).run_within(SOON);
        assert_eq!(end.signal(), Some(signal), "{place}: {end}");
    }

    /// Ready with a version whose answers are right, and nothing is left unfinished.
    #[track_caller]
    fn starts(&self, place: &str) -> (Server, u64) {
        let server = self.setup().start();
        let version = answered(&server, "m").unwrap_or_else(|| panic!("{place}: nothing serves"));
        assert!([1, 2].contains(&version), "{place}: {version}");
        self.is_clean(place);
        assert!(!server.log().contains("panicked"), "{place}: {}", server.log());
        (server, version)
    }

    #[track_caller]
    fn is_clean(&self, place: &str) {
        wait(&format!("{place}: nothing unfinished"), SOON, || {
            let files = self.site.cached_files();
            let left =
                files.iter().any(|file| file.starts_with("unfinished/") || file.starts_with("loading/"));
            (!left).then_some(())
        });
    }
}

#[test]
fn x4_who_is_killed_between_loads_starts_again_with_a_verified_version() {
    let before = Before::new();
    for round in 0..rounds() {
        for (number, place) in BESIDE.iter().copied().chain(["evicted"]).enumerate() {
            if (round + number).is_multiple_of(2) {
                before.is_killed(place);
            } else {
                before.die(place);
            }
            before.site.bucket.set_fault(Fault::Down);
            drop(before.starts(place));
            before.site.bucket.heal();
            let (server, _) = before.starts(place);
            server.wait_served("m", 2, SOON);
            assert_ne!(server.version("m", 2)["state"], "quarantined", "{place}");
        }
    }
}

#[test]
fn x4_a_version_that_kills_its_process_is_set_aside_until_somebody_wants_it_tried() {
    let before = Before::new();
    for _ in 0..rounds() {
        for place in INSIDE {
            before.die(place);
            for up in [false, true] {
                if up {
                    before.site.bucket.heal();
                } else {
                    before.site.bucket.set_fault(Fault::Down);
                }
                let (server, version) = before.starts(place);
                assert_eq!(version, 1, "{place}, bucket up: {up}");
                if !up {
                    server.wait_log("set aside");
                    server.wait_state("m", 2, "quarantined");
                } else {
                    let shown = server.wait_state("m", 2, "quarantined");
                    assert_eq!(shown["reason"]["code"], "quarantined", "{place}");
                    // It is left alone, and does not fill the log.
                    let refused = || server.log().matches("version is refused").count();
                    let count = refused();
                    let looks = before.site.bucket.requests().len() + 8;
                    wait("more looks", SOON, || (before.site.bucket.requests().len() > looks).then_some(()));
                    assert!(refused() <= count + 1, "{place}: {}", server.log());
                    synced(&server, "m");
                    assert_eq!(answered(&server, "m"), Some(2), "{place}");
                }
            }
        }
    }
}

#[test]
fn x4_kill_9_in_the_middle_of_a_download_leaves_nothing_that_is_loaded() {
    let before = Before::new();
    before.site.version_of("m", 3, &padded(constant(3.0), 100_000));
    before.site.promote("m", 3);
    before.site.bucket.set_rules(vec![Rule::new(Fault::Stall(40_000)).method("GET").key("/m/3/model.onnx")]);
    before.rewind();
    let mut server = before.setup().start_unready();
    let half = || before.site.cached_files().iter().any(|file| file.starts_with("unfinished/"));
    wait("the download", SOON, || half().then_some(()));
    // The cache serves although the download of the first look never ends.
    server.wait_ready();
    assert_eq!(answered(&server, "m"), Some(1));
    server.signal("KILL");
    server.wait_end(SOON);
    before.site.bucket.set_fault(Fault::Down);
    assert_eq!(before.starts("down").1, 1);
    before.site.bucket.heal();
    let server = before.setup().start();
    server.wait_served("m", 3, SOON);
    before.is_clean("up");
}

/// The processes whose parent this is.
fn children(of: u32) -> Vec<u32> {
    let stats = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let parent: u32 = stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()?;
        (parent == of).then_some(pid)
    });
    stats.collect()
}

#[test]
fn x3_sigterm_in_a_download_or_a_load_ends_within_two_seconds_and_leaves_nothing() {
    let site = Site::serving(&["m"]);
    let toml = "registry.poll_interval_ms = 50\nregistry.trial_load = \"on\"\nmodels.m.warmup_rows = 20000\n\
                registry.min_swap_interval_ms = 0\n";
    let end = |mut server: Server, when: &str| {
        let pid = server.pid();
        let offspring = children(pid);
        server.signal("TERM");
        let status = server.wait_end(Duration::from_secs(2));
        assert_eq!(status.code(), Some(0), "{when}: {status}");
        let left = |child: &u32| Path::new(&format!("/proc/{child}/exe")).exists();
        wait("its children to end", SOON, || (!offspring.iter().any(left)).then_some(()));
        let files = site.cached_files();
        assert!(!files.iter().any(|file| file.starts_with("loading/")), "{when}: {files:?}");
    };
    // In the download.
    let server = site.with_config(toml).start();
    site.bucket.set_rules(vec![Rule::new(Fault::Stall(10)).method("GET").key("/m/2/model.onnx")]);
    site.publish("m", 2);
    let asked = || site.bucket.requests().iter().any(|request| request.target.contains("/m/2/model.onnx"));
    wait("the download", SOON, || asked().then_some(()));
    end(server, "download");
    site.bucket.heal();
    let server = site.setup().start();
    server.wait_served("m", 2, SOON);
    assert!(!server.log().contains("set aside"));
    drop(server);
    // In the trial load.
    let server = site.with_config(toml).start();
    site.version_of("m", 1, &slow(512, 4));
    fs::rename(site.bucket.folder().join("m/1"), site.bucket.folder().join("m/3")).unwrap();
    site.repository.rewrite("m/3/manifest.json", |text| text.replace("\"version\":1", "\"version\":3"));
    site.promote("m", 3);
    wait("the trial load", SOON * 2, || (!children(server.pid()).is_empty()).then_some(()));
    end(server, "trial load");
    let server = site.setup().start();
    wait("version 3", SOON, || (server.version("m", 3)["state"] == "serving").then_some(()));
    assert!(!server.log().contains("set aside"));
    assert!(!site.cached_files().iter().any(|file| file.starts_with("unfinished/")));
}

#[test]
fn x5_without_a_usable_cache_folder_everything_serves_from_memory() {
    let large = padded(constant(1.0), 8000);
    let site = Site::new();
    site.version_of("m", 1, &large);
    site.promote("m", 1);
    let file = site.cache.path().join("file");
    fs::write(&file, b"no folder").unwrap();
    let full = "trap '' XFSZ; ulimit -f 4";
    let cases: [(&str, &dyn Fn(Setup) -> Setup); 4] = [
        ("a file in its place", &|setup| setup.variable("XDG_CACHE_HOME", file.to_str().unwrap())),
        ("below what cannot be written", &|setup| setup.variable("XDG_CACHE_HOME", "/proc/1")),
        ("a disk that is full soon", &|setup| setup.before(full)),
        ("a disk that is full", &|setup| setup.before("trap '' XFSZ; ulimit -f 0")),
    ];
    for (number, (name, change)) in cases.into_iter().enumerate() {
        let version = number as u64 + 1;
        let server = change(site.setup()).start();
        server.wait_served("m", version, SOON);
        server.wait_log("the cache cannot be written");
        site.version_of("m", version + 1, &padded(constant(version as f32 + 1.0), 8000));
        site.promote("m", version + 1);
        server.wait_served("m", version + 1, SOON);
        // A verb of this sidecar holds as long as it runs.
        let pin = format!("{{\"version\": {version}}}");
        assert_eq!(server.admin().post("/models/m/pin", pin).status, 200, "{name}");
        assert_eq!(answered(&server, "m"), Some(version), "{name}");
        let unpin = request("DELETE", "/models/m/pin", &[], b"");
        assert_eq!(server.admin().send(&unpin).status, 200, "{name}");
        std::thread::sleep(Duration::from_millis(500));
        let warnings = server.log().matches("the cache cannot be written").count();
        assert!(warnings <= 20, "{name}: {warnings} warnings");
    }
}

#[test]
fn x5_a_cache_that_goes_away_under_a_running_sidecar_is_made_again() {
    let site = Site::serving(&["m"]);
    let server = site.setup().start();
    fs::remove_dir_all(site.cache.path().join("sidegate")).unwrap();
    site.publish("m", 2);
    server.wait_served("m", 2, SOON);
    drop(server);
    site.bucket.set_fault(Fault::Down);
    assert_eq!(answered(&site.setup().start(), "m"), Some(2));
}

#[test]
fn x5_what_the_cache_holds_is_verified_at_every_read() {
    let site = Site::serving(&["m"]);
    drop(site.setup().start());
    let blobs = || fs::read_dir(site.cached().join("blobs")).unwrap().map(|entry| entry.unwrap().path());
    let flip = |bytes: &mut Vec<u8>| bytes[10] ^= 1;
    let spoil = |change: &dyn Fn(&mut Vec<u8>)| {
        for blob in blobs() {
            let mut bytes = fs::read(&blob).unwrap();
            change(&mut bytes);
            fs::write(blob, bytes).unwrap();
        }
    };
    type Change<'a> = (&'a str, &'a dyn Fn(&mut Vec<u8>));
    let changes: [Change<'_>; 4] = [
        ("a bit", &flip),
        ("cut off", &|bytes| bytes.truncate(bytes.len() / 2)),
        ("empty", &Vec::clear),
        ("another model", &|bytes| *bytes = constant(9.0)),
    ];
    for (name, change) in changes {
        spoil(change);
        site.bucket.set_fault(Fault::Down);
        let mut server = site.setup().start_unready();
        server.wait_log("is not what its name says");
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(answered(&server, "m"), None, "{name}");
        assert!(!is_ready(&server) && !server.has_ended(), "{name}");
        drop(server);
        site.bucket.heal();
        let server = site.setup().start();
        assert_eq!(answered(&server, "m"), Some(1), "{name}");
        drop(server);
        // What was wrong is right again.
        spoil(change);
        let server = site.setup().start();
        assert_eq!(answered(&server, "m"), Some(1), "{name}, with the bucket");
        drop(server);
        site.bucket.set_fault(Fault::Down);
        assert_eq!(answered(&site.setup().start(), "m"), Some(1), "{name}, from what was repaired");
        site.bucket.heal();
    }
    // Records that are none.
    for record in ["served/m", "indexes/m"] {
        for junk in ["", "{", "{\"format\":1}", "{\"format\":99}"] {
            fs::write(site.cached().join(record), junk).unwrap();
            let server = site.setup().start();
            assert_eq!(answered(&server, "m"), Some(1), "{record} {junk}");
        }
        // They are written anew, when there is a bucket to write them from.
        site.bucket.set_fault(Fault::Down);
        assert_eq!(answered(&site.setup().start(), "m"), Some(1), "{record}");
        site.bucket.heal();
    }
}
