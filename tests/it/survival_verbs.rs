//! What operators of one sidecar ask for while the bucket is away, and promotions that sidecars follow one by one.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::json;
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::super::bucket::{Fault, Rule};
use super::super::client::{Answer, request};
use super::super::harness::{Server, wait};
use super::super::onnx::constant;
use super::{SOON, Site, answered, is_ready, load, padded, sync, synced, unharmed};

pub(super) fn pin(server: &Server, version: u64) -> Answer {
    server.admin().post("/models/m/pin", format!("{{\"version\": \"{version}\"}}"))
}

pub(super) fn unpin(server: &Server) -> Answer {
    server.admin().send(&request("DELETE", "/models/m/pin", &[], b""))
}

pub(super) fn rollback(server: &Server) -> Answer {
    server.admin().post("/models/m/rollback", "")
}

#[track_caller]
fn pinned(server: &Server) -> Option<String> {
    server.models()[0]["pin"].as_str().map(str::to_owned)
}

/// With versions 1 to 3, of which 2 and 3 are in memory and 1 is in the cache.
fn three() -> (Site, Server) {
    let site = Site::serving(&["m"]);
    let server = site.setup().start();
    for version in 2..=3 {
        site.publish("m", version);
        server.wait_served("m", version, SOON);
    }
    (site, server)
}

#[test]
fn verbs_of_this_sidecar_need_no_bucket() {
    let (site, server) = three();
    let clients = load(&server, "m");
    site.bucket.set_fault(Fault::Down);
    wait("the outage", SOON, || (server.metric("sidegate_registry_up") == 0.0).then_some(()));
    assert_eq!(rollback(&server).status, 200);
    assert_eq!((answered(&server, "m"), pinned(&server)), (Some(2), Some("2".into())));
    assert_eq!(unpin(&server).status, 200);
    assert_eq!((answered(&server, "m"), pinned(&server)), (Some(3), None));
    // Not in memory any more, but in the cache.
    let answer = pin(&server, 1);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answered(&server, "m"), Some(1));
    pin(&server, 77).error(404);
    for path in ["/sync", "/models/m/sync"] {
        let start = Instant::now();
        let answer = sync(&server, path);
        if path == "/sync" {
            assert_eq!(answer.json()["code"], "registry_unreachable", "{}", answer.text());
            answer.error(503);
        }
        assert!(start.elapsed() < Duration::from_secs(5), "{path}");
    }
    unharmed(clients);
    drop(server);
    // The pin outlives the process, also without the bucket.
    let server = site.setup().start();
    assert_eq!((answered(&server, "m"), pinned(&server)), (Some(1), Some("1".into())));
    site.bucket.heal();
    site.publish("m", 4);
    sync(&server, "/sync");
    wait("the bucket", SOON, || (server.version("m", 4)["stage"] == "Production").then_some(()));
    assert_eq!(answered(&server, "m"), Some(1), "the registry moves on without this sidecar");
    assert_eq!(unpin(&server).status, 200);
    server.wait_served("m", 4, SOON);
}

#[test]
fn a_rollback_goes_to_what_served_before_also_when_only_the_cache_has_it() {
    let dropped =
        "registry.poll_interval_ms = 50\nregistry.min_swap_interval_ms = 0\nregistry.keep_previous = 0\n";
    let hanging = Fault::Delay(Duration::from_secs(3600));
    for (case, restarts, fault) in [
        ("nothing is kept in memory", false, Fault::Down),
        ("a restart", true, Fault::Down),
        ("a restart, and a bucket that hangs", true, hanging),
    ] {
        let site = Site::serving(&["m"]);
        let mut server = site.with_config(dropped).start();
        for version in 2..=3 {
            site.publish("m", version);
            server.wait_served("m", version, SOON);
        }
        assert_eq!(server.version("m", 2)["state"], "standby", "{case}");
        if !restarts {
            site.bucket.set_fault(fault);
            wait("the outage", SOON, || (server.metric("sidegate_registry_up") == 0.0).then_some(()));
        } else {
            drop(server);
            site.bucket.set_fault(fault);
            server = site.with_config(dropped).start();
        }
        assert_eq!(answered(&server, "m"), Some(3), "{case}");
        let start = Instant::now();
        let answer = rollback(&server);
        assert_eq!(answer.status, 200, "{case}: {}", answer.text());
        assert!(start.elapsed() < Duration::from_secs(4), "{case}: {:?}", start.elapsed());
        assert_eq!((answered(&server, "m"), pinned(&server)), (Some(2), Some("2".into())), "{case}");
        // The next one goes back to where this one came from.
        assert_eq!(rollback(&server).status, 200, "{case}");
        assert_eq!(answered(&server, "m"), Some(3), "{case}");
    }
}

#[test]
fn a_rollback_works_in_a_bare_repository_without_the_bucket() {
    let site = Site::new();
    site.repository.bare("m", 1, &constant(1.0));
    let server = site.setup().start();
    site.repository.bare("m", 2, &constant(2.0));
    server.wait_served("m", 2, SOON);
    drop(server);
    site.bucket.set_fault(Fault::Down);
    let server = site.setup().start();
    assert_eq!(answered(&server, "m"), Some(2));
    let answer = rollback(&server);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answered(&server, "m"), Some(1));
}

#[test]
fn a_rollback_to_nowhere_says_so_and_a_squeezed_cache_lets_the_way_back_go_last() {
    let site = Site::serving(&["m"]);
    let server = site.setup().start();
    let answer = rollback(&server);
    assert!(answer.text().contains("sidegate pin m VERSION"), "{}", answer.text());
    answer.error(409);
    drop(server);
    // A megabyte is what the cache may hold: what serves, what did before, and not what did before that.
    let toml = "registry.poll_interval_ms = 50\nregistry.min_swap_interval_ms = 0\nregistry.keep_previous = 0\n\
                registry.cache_max_bytes = 1048576\n";
    let server = site.with_config(toml).start();
    for version in 2..=4 {
        site.version_of("m", version, &padded(constant(version as f32), 400_000));
        site.promote("m", version);
        server.wait_served("m", version, SOON);
    }
    drop(server);
    site.bucket.set_fault(Fault::Down);
    let server = site.with_config(toml).start();
    pin(&server, 2).error(503);
    assert_eq!(unpin(&server).status, 200);
    assert_eq!(rollback(&server).status, 200);
    assert_eq!(answered(&server, "m"), Some(3));
}

#[test]
fn a_pin_that_ends_is_followed_soon_whatever_the_interval_between_looks() {
    let site = Site::serving(&["m"]);
    let toml = "registry.poll_interval_ms = 600000\nregistry.min_swap_interval_ms = 0\n";
    let server = site.with_config(toml).start();
    assert_eq!(pin(&server, 1).status, 200);
    site.publish("m", 2);
    synced(&server, "m");
    assert_eq!(answered(&server, "m"), Some(1));
    assert_eq!(unpin(&server).status, 200);
    server.wait_served("m", 2, SOON);
}

#[test]
fn verbs_are_heard_while_a_download_hangs() {
    let (site, server) = three();
    let clients = load(&server, "m");
    site.bucket.set_rules(vec![Rule::new(Fault::Stall(10)).method("GET").key("/m/4/model.onnx")]);
    site.publish("m", 4);
    wait("the download", SOON, || (server.version("m", 4)["state"] == "loading").then_some(()));
    let start = Instant::now();
    assert_eq!(rollback(&server).status, 200);
    assert_eq!(answered(&server, "m"), Some(2));
    assert_eq!(pin(&server, 3).status, 200);
    assert_eq!(answered(&server, "m"), Some(3));
    assert_eq!(unpin(&server).status, 200);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert_eq!(server.version("m", 4)["state"], "loading", "all that while it hangs");
    // A sync waits 5 s, and then says that it does not know.
    let start = Instant::now();
    let answer = sync(&server, "/models/m/sync");
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    assert_eq!(answer.json()["code"], "registry_unreachable", "{}", answer.text());
    answer.error(503);
    assert!(is_ready(&server));
    unharmed(clients);
}

#[test]
fn a_sync_of_a_bucket_that_hangs_is_answered_all_the_same() {
    let site = Site::serving(&["m"]);
    let server = site.with_config("registry.poll_interval_ms = 600000\n").start();
    site.bucket.set_fault(Fault::Delay(Duration::from_secs(3600)));
    let start = Instant::now();
    let answer = sync(&server, "/sync");
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    answer.error(503);
    // A version that is not loaded cannot be had, and the pin says so instead of pretending.
    site.version("m", 2);
    let start = Instant::now();
    pin(&server, 2).error(404);
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    assert_eq!(answered(&server, "m"), Some(1));
}

/// The share of a rollout's span after which this pod follows.
pub(super) fn share(pod: &str, version: u64) -> f64 {
    let digest = Sha256::digest(format!("{pod}\nm\n{version}"));
    let number = u64::from_be_bytes(digest[..8].try_into().unwrap());
    (number >> 11) as f64 / (1_u64 << 53) as f64
}

fn pod(wanted: std::ops::Range<f64>) -> String {
    let mut pods = (0..).map(|number| format!("pod-{number}"));
    pods.find(|pod| wanted.contains(&share(pod, 2))).unwrap()
}

/// Promotes version 2 over 1 within so many seconds, in one write: between two, a sidecar would follow at once.
fn roll_out(site: &Site, seconds: u64) -> Instant {
    site.version("m", 2);
    let manifest = fs::read(site.bucket.folder().join("m/2/manifest.json")).unwrap();
    let digest: String = Sha256::digest(manifest).iter().map(|byte| format!("{byte:02x}")).collect();
    let start = OffsetDateTime::now_utc().format(&Rfc3339).unwrap();
    site.edit("m", |index| {
        let versions = index["versions"].as_array_mut().unwrap();
        versions.truncate(1);
        versions[0]["stage"] = json!("Archived");
        versions.push(json!({"version": 2, "stage": "Production", "manifest": format!("sha256:{digest}"),
            "created": start, "state": "ready"}));
        index["generation"] = json!(index["generation"].as_u64().unwrap() + 1);
        index["rollout"] = json!({"version": 2, "from": 1, "start": start, "seconds": seconds});
    });
    Instant::now()
}

#[test]
fn sidecars_follow_a_rollout_at_moments_of_their_own() {
    let site = Site::serving(&["m"]);
    let roll_out = |seconds: u64| roll_out(&site, seconds);
    let toml = |pod: &str| {
        format!(
            "registry.poll_interval_ms = 50\nregistry.min_swap_interval_ms = 0\nregistry.pod = \"{pod}\"\n"
        )
    };
    let pods = [pod(0.0..0.05), pod(0.45..0.55), pod(0.95..1.0)];
    let servers = pods.each_ref().map(|pod| site.with_config(&toml(pod)).start());
    const SPAN: u64 = 4;
    let start = roll_out(SPAN);
    let mut followed = [None; 3];
    while followed.contains(&None) {
        let now = start.elapsed().as_secs_f64();
        for (server, followed) in servers.iter().zip(&mut followed) {
            if followed.is_none() && answered(server, "m") == Some(2) {
                *followed = Some(now);
            }
        }
        assert!(now < SPAN as f64 + SOON.as_secs_f64(), "{followed:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    for (pod, followed) in pods.iter().zip(followed) {
        let moment = share(pod, 2) * SPAN as f64;
        assert!(followed.unwrap() > moment - 0.1, "{pod}: {followed:?}, due at {moment}");
    }
    assert!(followed[0] < followed[1] && followed[1] < followed[2], "{followed:?}");
    drop(servers);
    // A sidecar that starts before its moment serves what the others serve.
    roll_out(3600);
    let server = site.with_config(&toml(&pods[2])).start();
    assert_eq!(answered(&server, "m"), Some(1));
    roll_out(0);
    server.wait_served("m", 2, SOON);
}

#[test]
fn a_sidecar_on_which_the_version_fails_stays_with_the_old_one_while_others_follow() {
    let site = Site::serving(&["m"]);
    let toml = |pod: &str, more: &str| {
        format!(
            "registry.poll_interval_ms = 50\nregistry.min_swap_interval_ms = 0\nregistry.pod = \"{pod}\"\n{more}"
        )
    };
    // What this one finds of version 2, and nobody else does.
    let particular = "models.m.checks = [\"range\"]\nmodels.m.prediction_range = \"0..1.5\"\n";
    let (early, middle, late) = (pod(0.0..0.1), pod(0.3..0.4), pod(0.7..0.8));
    let failing = toml(&middle, particular);
    let server = site.with_config(&failing).start();
    // Pods have caches of their own.
    let caches = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let of = |at: usize, pod: &str| {
        site.with_config(&toml(pod, "")).variable("XDG_CACHE_HOME", caches[at].path().to_str().unwrap())
    };
    let others = [of(0, &early).start(), of(1, &late).start()];
    let clients = load(&server, "m");
    roll_out(&site, 6);
    wait("the failure", SOON, || (server.version("m", 2)["state"] == "failed").then_some(()));
    assert_eq!(answered(&others[1], "m"), Some(1), "the rollout is in its middle");
    assert_eq!(answered(&server, "m"), Some(1));
    // Nor does the end of the rollout bring it, or a restart.
    others.iter().for_each(|other| other.wait_served("m", 2, SOON));
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(server.version("m", 2)["state"], "failed");
    assert_eq!(answered(&server, "m"), Some(1));
    unharmed(clients);
    drop(server);
    let server = site.with_config(&failing).start();
    assert_eq!(answered(&server, "m"), Some(1));
    assert!(is_ready(&server));
}
