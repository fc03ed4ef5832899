//! Serving while the registry does not: rows R1 to R5 of the reliability table. The bucket is in this process and can
//! be made to fail (`tests/support/bucket.rs`), the cache outlives the server. Neighbours of this file: `versions`
//! (R6 to R20, what arrives is not what was published), `signed` (who may write and has no key), `kills` (X3 to X5),
//! `verbs`, `scale`.
//!
//! Rows R12 to R14 are in `tests/simulation.rs`, R18 is beside the back-off (`serving/loader/outage.rs`).

#[path = "survival_following.rs"]
mod following;
#[path = "survival_kills.rs"]
mod kills;
#[path = "survival_scale.rs"]
mod scale;
#[path = "survival_signed.rs"]
mod signed;
#[path = "survival_verbs.rs"]
mod verbs;
#[path = "survival_versions.rs"]
mod versions;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::bucket::{Bucket, Fault};
use super::harness::{Server, Setup, constant_request, constant_version, wait};
use super::load::{Load, Manner, constant_judge};
use super::onnx::{constant, slow};
use super::repository::{Extras, Repository, golden};

/// Looks come every 50 ms here; a busy machine gets much more.
const SOON: Duration = Duration::from_secs(15);

/// A bucket, who publishes into it, and the cache of the sidecars that serve it one after another.
struct Site {
    bucket: Bucket,
    repository: Repository,
    cache: TempDir,
}

impl Site {
    fn new() -> Self {
        let bucket = Bucket::start();
        let repository = Repository::new(&bucket.folder());
        Self { bucket, repository, cache: tempfile::tempdir().unwrap() }
    }

    /// With version 1 of these models in production.
    fn serving(models: &[&str]) -> Self {
        let site = Self::new();
        models.iter().for_each(|model| {
            site.version(model, 1);
            site.promote(model, 1);
        });
        site
    }

    /// Writes a version that answers with its number. Its examples spare it a trial in a process of its own.
    fn version(&self, model: &str, version: u64) {
        self.version_of(model, version, &constant(version as f32));
    }

    fn version_of(&self, model: &str, version: u64, bytes: &[u8]) {
        let extras = Extras { golden: Some(golden(version as f32)), ..Extras::default() };
        self.repository.version(model, version, bytes, &extras);
    }

    /// Puts a version into production in place of whichever was.
    fn promote(&self, model: &str, version: u64) {
        let folder = fs::read_dir(self.bucket.folder().join(model)).unwrap();
        let numbers = folder.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
        let mut numbers: Vec<u64> = numbers.filter(|number| self.has_manifest(model, *number)).collect();
        numbers.sort_unstable();
        let stage = |number| if number == version { "Production" } else { "Archived" };
        let versions: Vec<_> = numbers.into_iter().map(|number| (number, stage(number))).collect();
        self.repository.index(model, &versions, &[]);
    }

    fn has_manifest(&self, model: &str, version: u64) -> bool {
        self.bucket.folder().join(format!("{model}/{version}/manifest.json")).exists()
    }

    fn publish(&self, model: &str, version: u64) {
        self.version(model, version);
        self.promote(model, version);
    }

    /// Changes fields of a `model.json` that is there.
    fn edit(&self, model: &str, change: impl FnOnce(&mut Value)) {
        self.repository.rewrite(&format!("{model}/model.json"), |text| {
            let mut index = serde_json::from_str(&text).unwrap();
            change(&mut index);
            index.to_string()
        });
    }

    /// A sidecar of this bucket that looks often.
    fn setup(&self) -> Setup {
        self.with_config("registry.poll_interval_ms = 50\nregistry.min_swap_interval_ms = 0\n")
    }

    fn with_config(&self, toml: &str) -> Setup {
        let setup = Setup::new().registry(&self.bucket.url()).only_config(toml);
        let variables = self.bucket.environment();
        let setup = variables.iter().fold(setup, |setup, (name, value)| setup.variable(name, value));
        setup.variable("XDG_CACHE_HOME", self.cache.path().to_str().unwrap())
    }

    /// The registry's folder in the cache.
    fn cached(&self) -> PathBuf {
        let folder = self.cache.path().join("sidegate/registry");
        let mut found = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let only = found.next().unwrap();
        assert_eq!(found.next(), None);
        only
    }

    /// Every file of the cache, by its path in the registry's folder.
    fn cached_files(&self) -> Vec<String> {
        let (root, mut files) = (self.cached(), Vec::new());
        walk(&root, &root, &mut files);
        files.sort();
        files
    }
}

fn walk(root: &Path, folder: &Path, into: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            walk(root, &entry, into);
        } else {
            into.push(entry.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
        }
    }
}

/// What a path of the data port answers with: a version, whose answer is its number, or nothing.
#[track_caller]
fn answered(server: &Server, path: &str) -> Option<u64> {
    let answer = server.data().send(&constant_request(&format!("/v2/models/{path}/infer")));
    (answer.status == 200).then(|| constant_version(&answer))
}

/// The time in the middle: neither one lucky try passes nor one unlucky one fails.
fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    times[times.len() / 2]
}

fn is_ready(server: &Server) -> bool {
    server.admin().get("/readyz").status == 200
}

/// Clients of a model, until they are stopped.
fn load(server: &Server, model: &str) -> Load {
    let request = constant_request(&format!("/v2/models/{model}/infer"));
    let (manners, pause) = ([Manner::KeepAlive, Manner::OneEach], Duration::from_millis(5));
    Load::paced(&server.data(), &request, &manners, pause, constant_judge)
}

/// Ends a load, of which every request was answered well.
#[track_caller]
fn unharmed(load: Load) {
    load.flow(5);
    let tally = load.stop();
    assert_eq!(tally.failures, [""; 0], "of {}", tally.answered);
}

/// Versions, and catalogs, of a model that were refused for this reason.
fn refusals(server: &Server, model: &str, reason: &str) -> f64 {
    server.metric(&format!("sidegate_model_load_failures_total{{model=\"{model}\",reason=\"{reason}\"}}"))
}

fn registry_errors(server: &Server, reason: &str) -> f64 {
    server.metric(&format!("sidegate_registry_errors_total{{reason=\"{reason}\"}}"))
}

/// A look out of turn; what the admin port answers.
fn sync(server: &Server, path: &str) -> super::client::Answer {
    server.admin().post(path, "")
}

/// Looks until it is said that all is as the registry says. What it finds is built at idle priority: on a busy
/// machine that may take longer than a sync waits.
#[track_caller]
fn synced(server: &Server, model: &str) {
    wait("a sync", SOON, || (sync(server, &format!("/models/{model}/sync")).status == 200).then_some(()));
}

/// A model file that answers the same and is so many bytes longer.
pub(crate) fn padded(mut bytes: Vec<u8>, more: usize) -> Vec<u8> {
    // A field that ONNX does not know.
    bytes.extend([0xfa, 0x3f]);
    let mut length = more;
    while length >= 0x80 {
        bytes.push(length as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
    bytes.extend(std::iter::repeat_n(0x2a, more));
    bytes
}

#[test]
fn r1_a_warm_cache_is_ready_within_a_second_whether_the_bucket_is_down_or_hangs() {
    // 10 MB.
    let large = slow(1580, 1);
    let managed = Site::new();
    managed.version_of("m", 1, &large);
    managed.promote("m", 1);
    let bare = Site::new();
    bare.repository.bare("m", 1, &large);
    bare.repository.bare_file("m", 1, "golden.json", golden(1.0).to_string().as_bytes());
    for (layout, site) in [("managed", managed), ("bare", bare)] {
        let ask = |server: &Server| {
            let answer = server.data().send(&constant_request("/v2/models/m/infer")).ok();
            (answer["model_version"].clone(), answer["outputs"].clone())
        };
        let answer = ask(&site.setup().start());
        for fault in [Fault::Down, Fault::Delay(Duration::from_secs(3600))] {
            site.bucket.set_fault(fault.clone());
            // A busy machine may be slow now and then.
            let times = (0..7).map(|_| {
                let start = Instant::now();
                let server = site.setup().start();
                let took = start.elapsed();
                assert_eq!(ask(&server), answer);
                assert_eq!(server.metric("sidegate_registry_up"), 0.0, "{layout}, {fault:?}");
                let stale = || server.metric("sidegate_registry_staleness_seconds");
                let before = stale();
                wait("the age to grow", SOON, || (stale() > before.max(0.05)).then_some(()));
                assert_eq!(
                    server.admin().get("/status").ok()["registry"]["up"],
                    false,
                    "{layout}, {fault:?}"
                );
                took
            });
            let times: Vec<_> = times.collect();
            println!("R1 {layout}, {fault:?}: {times:?}");
            assert!(median(&times) < Duration::from_secs(1), "{layout}, {fault:?}: {times:?}");
        }
    }
}

#[test]
fn r2_without_bucket_and_cache_it_lives_says_why_and_comes_back() {
    let site = Site::serving(&["m"]);
    site.bucket.set_fault(Fault::Down);
    let mut server = site.setup().start_unready();
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(2) {
        assert_eq!(server.admin().get("/livez").status, 200);
        assert!(!is_ready(&server));
        std::thread::sleep(Duration::from_millis(100));
    }
    let reason = server.admin().get("/readyz").text();
    assert!(reason.contains("the registry cannot be read") && reason.contains("no answer"), "{reason}");
    assert!(!server.has_ended());
    site.bucket.heal();
    let (lasted, healed) = (start.elapsed(), Instant::now());
    server.wait_ready();
    // A pause is as long as all before it together, give or take 20 %.
    let took = healed.elapsed();
    assert!(took < lasted * 3 / 2 + Duration::from_secs(3), "{took:?} after {lasted:?}");
    assert_eq!(answered(&server, "m"), Some(1));
}

#[test]
fn r3_an_outage_fails_no_prediction_and_is_over_when_it_is_over() {
    let site = Site::serving(&["m"]);
    let server = site.setup().start();
    let clients = load(&server, "m");
    clients.flow(20);
    site.bucket.set_fault(Fault::Down);
    site.publish("m", 2);
    let start = Instant::now();
    let mut stale = 0.0;
    while start.elapsed() < Duration::from_secs(4) {
        assert!(is_ready(&server));
        let now = server.metric("sidegate_registry_staleness_seconds");
        assert!(now > stale, "{now} after {stale}");
        stale = now;
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(stale > 3.0, "{stale}");
    assert_eq!(server.metric("sidegate_registry_up"), 0.0);
    site.bucket.heal();
    server.wait_served("m", 2, SOON);
    unharmed(clients);
    assert_eq!(server.metric("sidegate_registry_up"), 1.0);
}

/// How many requests come within `span` of an outage, from the one that noticed it; predictions are answered meanwhile.
#[track_caller]
fn requests_of_an_outage(site: &Site, server: &Server, span: Duration) -> usize {
    site.bucket.set_fault(Fault::Answer(503, "ServiceUnavailable"));
    wait("the outage", Duration::from_secs(60), || {
        (registry_errors(server, "unreachable") > 0.0).then_some(())
    });
    // Those that came before it was noticed here count too.
    let start = Instant::now();
    let noticed = registry_errors(server, "unreachable") as usize;
    site.bucket.take_requests();
    let mut predictions = 0_u64;
    while start.elapsed() < span {
        assert_eq!(answered(server, "m"), Some(1));
        assert!(!predictions.is_multiple_of(10) || is_ready(server));
        predictions += 1;
        std::thread::sleep(Duration::from_millis(100));
    }
    let requests = noticed + site.bucket.take_requests().len();
    println!("R3: {requests} requests in {span:?}, {predictions} predictions");
    requests
}

#[test]
fn r3_an_outage_costs_no_more_requests_than_doubled_pauses_allow() {
    let (span, poll) = (Duration::from_secs(8), Duration::from_millis(50));
    let site = Site::serving(&["m"]);
    let server = site.setup().start();
    let requests = requests_of_an_outage(&site, &server, span);
    // Each pause is twice the one before, so that n of them take 2^n - 1 of the first, a fifth less at the least.
    let least = |pauses: u32| poll.mul_f64(0.8) * (2_u32.pow(pauses) - 1);
    let most = 1 + (1..).take_while(|pauses| least(*pauses) < span).count();
    assert_eq!(most, 8);
    // One may have been on its way when the requests were counted.
    assert!((3..=most + 1).contains(&requests), "{requests} requests in {span:?}, not {most}");
}

/// `SIDEGATE_OUTAGE_SECONDS=1800 cargo test --test it r3_ -- --nocapture` takes as long as it says.
#[test]
fn r3_half_an_hour_without_the_bucket_costs_thirty_requests_at_most() {
    let Ok(seconds) = std::env::var("SIDEGATE_OUTAGE_SECONDS") else {
        return println!("skipped: SIDEGATE_OUTAGE_SECONDS says how long; 1800 is the half hour");
    };
    let seconds: usize = seconds.parse().unwrap();
    let site = Site::serving(&["m"]);
    // With the intervals that users have.
    let server = site.with_config("").start();
    let requests = requests_of_an_outage(&site, &server, Duration::from_secs(seconds as u64));
    assert!(requests <= seconds.div_ceil(60).max(5), "{requests} requests in {seconds} s");
}

#[test]
fn r4_a_bucket_that_denies_access_is_not_asked_again_and_again() {
    let all = "registry.poll_interval_ms = 50\nregistry.min_swap_interval_ms = 0\n";
    let named = format!("registry.models = [\"m\"]\n{all}");
    let cases = [
        (Fault::Answer(403, "AccessDenied"), all),
        (Fault::Answer(400, "ExpiredToken"), all),
        (Fault::Answer(403, "RequestTimeTooSkewed"), all),
        (Fault::Answer(403, "InvalidAccessKeyId"), &named),
    ];
    let sidecars: Vec<_> = cases
        .into_iter()
        .map(|(fault, toml)| {
            let site = Site::serving(&["m"]);
            let server = site.with_config(toml).start();
            site.bucket.set_fault(fault.clone());
            (fault, site, server)
        })
        .collect();
    for (fault, site, server) in &sidecars {
        wait(&format!("{fault:?}"), SOON, || (registry_errors(server, "auth") > 0.0).then_some(()));
        site.bucket.take_requests();
    }
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(10) {
        for (fault, _, server) in &sidecars {
            assert!(answered(server, "m") == Some(1) && is_ready(server), "{fault:?}");
        }
        std::thread::sleep(Duration::from_millis(250));
    }
    for (fault, site, server) in &sidecars {
        let requests = site.bucket.take_requests();
        assert!(requests.len() <= 2, "{fault:?}: {requests:?}");
        // Who has put it right need not wait.
        site.bucket.heal();
        site.publish("m", 2);
        synced(server, "m");
        assert_eq!(answered(server, "m"), Some(2), "{fault:?}");
    }
}

#[test]
fn r5_a_bucket_that_is_ill_is_asked_less_and_less_often() {
    let site = Site::serving(&["m"]);
    let server = site.setup().start();
    let clients = load(&server, "m");
    let faults = [
        (Fault::Answer(503, "SlowDown"), "throttled"),
        (Fault::Answer(500, "InternalError"), "unreachable"),
        (Fault::LostReply, "unreachable"),
    ];
    for (number, (fault, reason)) in faults.into_iter().enumerate() {
        let before = registry_errors(&server, reason);
        site.bucket.set_fault(fault.clone());
        wait(&format!("{fault:?}"), SOON, || (registry_errors(&server, reason) > before).then_some(()));
        site.bucket.take_requests();
        std::thread::sleep(Duration::from_secs(1));
        let requests = site.bucket.take_requests().len();
        assert!(requests <= 8, "{fault:?}: {requests} requests in a second, looks are 50 ms apart");
        assert!(is_ready(&server));
        site.bucket.heal();
        let version = number as u64 + 2;
        site.publish("m", version);
        server.wait_served("m", version, SOON);
    }
    unharmed(clients);
    drop(server);
    // A name that leads nowhere.
    let server = site.setup().variable("AWS_ENDPOINT_URL", "http://bucket.invalid:9").start();
    assert_eq!(answered(&server, "m"), Some(4));
    assert_eq!(server.metric("sidegate_registry_up"), 0.0);
}
