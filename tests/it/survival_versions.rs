//! What arrives is not what was published, or not what should serve: rows R6 to R11, R15 to R17, R19 and R20.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::super::bucket::{Fault, Rule};
use super::super::client::request;
use super::super::harness::{Server, wait};
use super::super::onnx::{constant, slow};
use super::{
    SOON, Site, answered, is_ready, load, median, padded, refusals, registry_errors, sync, synced, unharmed,
};

fn problem(server: &Server, model: &str) -> String {
    let models = server.models();
    let found = models.as_array().unwrap().iter().find(|entry| entry["name"] == model).cloned();
    found.unwrap_or_default()["problem"]["code"].as_str().unwrap_or_default().to_owned()
}

#[track_caller]
fn wait_problem(server: &Server, model: &str, code: &str) {
    wait(&format!("{code} of {model}"), SOON, || (problem(server, model) == code).then_some(()));
}

#[track_caller]
fn failed_with(server: &Server, model: &str, version: u64, code: &str) {
    let shown = server.wait_state(model, version, "failed");
    assert_eq!(shown["reason"]["code"], code, "{shown}");
}

/// Loads are one at a time: a body that stalls holds up the loads of other models for as long as its deadlines last,
/// and no prediction.
#[test]
fn r6_a_slow_or_stalled_body_is_taken_up_again_and_fails_nobody() {
    let meet = |fault: Fault| {
        let site = Site::serving(&["m", "z"]);
        let server = site.setup().start();
        let clients = load(&server, "m");
        let key = "/m/2/model.onnx";
        site.version_of("m", 2, &padded(constant(2.0), 200_000));
        site.bucket.set_rules(vec![Rule::new(fault.clone()).method("GET").key(key).times(1)]);
        site.promote("m", 2);
        wait("the load", SOON, || (server.version("m", 2)["state"] == "loading").then_some(()));
        site.publish("z", 2);
        // The deadline is 10 s for 64 KiB.
        server.wait_served("m", 2, Duration::from_secs(30));
        server.wait_served("z", 2, SOON);
        unharmed(clients);
        let requests = site.bucket.requests();
        let ranges: Vec<_> =
            requests.iter().filter(|r| r.target.contains(key)).flat_map(|r| &r.range).collect();
        assert!(ranges.iter().any(|range| !range.starts_with("bytes=0-")), "{fault:?}: {ranges:?}");
        assert_eq!(server.metric("sidegate_model_loads_total{model=\"m\",result=\"error\"}"), 0.0);
    };
    // Each waits for its deadline.
    std::thread::scope(|scope| {
        scope.spawn(|| meet(Fault::Stall(1000)));
        scope.spawn(|| meet(Fault::Trickle(1000)));
    });
}

#[test]
fn r6_a_new_model_that_comes_slowly_takes_no_readiness_away() {
    let site = Site::serving(&["m"]);
    let server = site.setup().start();
    // Other bytes than the cache has.
    site.bucket.set_rules(vec![
        Rule::new(Fault::Delay(Duration::from_secs(2))).method("GET").key("/new/3/model.onnx"),
    ]);
    site.publish("new", 3);
    wait("the load", SOON, || (server.version("new", 3)["state"] == "loading").then_some(()));
    while server.version("new", 3)["state"] == "loading" {
        assert!(is_ready(&server), "{}", server.admin().get("/readyz").text());
        std::thread::sleep(Duration::from_millis(50));
    }
    server.wait_served("new", 3, SOON);
}

#[test]
fn r7_a_body_of_the_wrong_length_or_content_never_serves() {
    type Spoil = fn(&Site, u64);
    fn rule(site: &Site, fault: Fault) {
        site.bucket.set_rules(vec![Rule::new(fault).method("GET").key("/model.onnx")]);
    }
    fn file(site: &Site, version: u64, bytes: &[u8]) {
        site.repository.bare("m", version, bytes);
    }
    let cases: [(&str, Spoil, &str); 6] = [
        ("it ends early", |site, _| rule(site, Fault::Cut(10)), "unreachable"),
        ("it says too little", |site, _| rule(site, Fault::Length(-10)), "unreachable"),
        ("it says too much", |site, _| rule(site, Fault::Length(10)), "unreachable"),
        (
            "it has more bytes",
            |site, version| file(site, version, &[constant(version as f32), vec![0; 7]].concat()),
            "bad_digest",
        ),
        (
            "it has fewer bytes",
            |site, version| file(site, version, &constant(version as f32)[..50]),
            "bad_digest",
        ),
        ("it has other bytes", |site, version| file(site, version, &constant(1e6)), "bad_digest"),
    ];
    let site = Site::serving(&["m"]);
    let server = site.setup().start();
    let clients = load(&server, "m");
    for (number, (name, spoil, code)) in cases.into_iter().enumerate() {
        let version = number as u64 + 2;
        site.version("m", version);
        let before = refusals(&server, "m", code);
        spoil(&site, version);
        site.promote("m", version);
        failed_with(&server, "m", version, code);
        assert!(refusals(&server, "m", code) > before, "{name}: {code} is not counted");
        assert_eq!(answered(&server, "m"), Some(version - 1), "{name}");
        site.bucket.heal();
        file(&site, version, &constant(version as f32));
        synced(&server, "m");
        assert_eq!(answered(&server, "m"), Some(version), "{name}");
    }
    unharmed(clients);
}

#[test]
fn r8_an_object_replaced_while_it_is_read_is_read_again() {
    let site = Site::new();
    site.repository.bare("m", 1, &constant(1.0));
    let server = site.setup().start();
    let clients = load(&server, "m");
    // Three parts, and the wrong answer.
    let replace = Rule::new(Fault::Replace(constant(2.0))).method("GET").key("/m/2/model.onnx").times(1);
    site.bucket.set_rules(vec![replace]);
    site.repository.bare("m", 2, &slow(1100, 1));
    server.wait_served("m", 2, SOON);
    assert!(refusals(&server, "m", "bad_digest") >= 1.0);
    unharmed(clients);
}

#[test]
fn r9_a_missing_object_holds_up_its_own_model_and_a_restart_serves_the_last_good_version() {
    for missing in ["manifest.json", "model.onnx", "golden.json"] {
        let site = Site::serving(&["m", "z"]);
        let server = site.setup().start();
        site.bucket.set_fault(Fault::Down);
        site.publish("m", 2);
        drop(server);
        // The bucket comes back without that object, before any sidecar saw it.
        let path = site.bucket.folder().join("m/2").join(missing);
        fs::remove_file(&path).unwrap();
        // Of other content, or the cache would have it for both.
        site.publish("z", 5);
        site.bucket.heal();
        let check = |server: &Server| {
            server.wait_served("z", 5, SOON);
            server.wait_served("m", 1, SOON);
            failed_with(server, "m", 2, "missing_file");
            assert!(is_ready(server), "without {missing}");
        };
        let server = site.setup().start();
        check(&server);
        // And once more, with all that this run has left in the cache.
        drop(server);
        let server = site.setup().start();
        check(&server);
        site.publish("z", 6);
        server.wait_served("z", 6, SOON);
        site.version("m", 2);
        synced(&server, "m");
        assert_eq!(answered(&server, "m"), Some(2), "with {missing}");
    }
}

#[test]
fn r9_a_model_json_that_cannot_be_had_holds_up_its_own_model() {
    let site = Site::serving(&["a", "m", "z"]);
    let mut server = site.setup().start();
    for (fault, version) in
        [(Fault::Answer(403, "AccessDenied"), 2), (Fault::Answer(500, "InternalError"), 3)]
    {
        site.bucket.set_rules(vec![Rule::new(fault.clone()).key("/m/model.json")]);
        for restarted in [false, true] {
            if restarted {
                drop(server);
                server = site.setup().start();
            }
            wait_problem(&server, "m", "unreachable");
            ["a", "z"].iter().for_each(|model| site.publish(model, 2 * version + u64::from(restarted)));
            ["a", "z"].iter().for_each(|model| {
                server.wait_served(model, 2 * version + u64::from(restarted), SOON);
            });
            assert_eq!(answered(&server, "m"), Some(version - 1), "{fault:?}, restarted: {restarted}");
            assert!(is_ready(&server) && server.metric("sidegate_registry_up") == 1.0, "{fault:?}");
        }
        site.publish("m", version);
        site.bucket.heal();
        server.wait_served("m", version, SOON);
        assert_eq!(problem(&server, "m"), "");
    }
}

#[test]
fn r9_a_hint_that_cannot_be_had_is_done_without() {
    let toml = "registry.models = [\"a\", \"m\"]\nregistry.poll_interval_ms = 50\nregistry.min_swap_interval_ms = 0\n";
    let site = Site::serving(&["a", "m"]);
    site.repository.replace("_index.json", b"{}");
    let denied = Fault::Answer(403, "AccessDenied");
    for (fault, version) in [(Some(denied), 2), (Some(Fault::Length(500 << 20)), 3), (None, 4)] {
        let rule = |fault| Rule::new(fault).method("GET").key("/_index.json");
        site.bucket.set_rules(fault.map(rule).into_iter().collect());
        if version == 4 {
            // A good one, but for its size.
            let hint = json!({"format": 1, "models": {}, "long": "x".repeat(5 << 20)});
            site.repository.replace("_index.json", hint.to_string().as_bytes());
        }
        let server = site.with_config(toml).start();
        site.publish("m", version);
        server.wait_served("m", version, SOON);
        assert_eq!(server.metric("sidegate_registry_up"), 1.0);
        assert_eq!(server.log().contains("the hint cannot be used"), version > 2, "{}", server.log());
    }
}

#[test]
fn r10_an_older_model_json_is_ignored_before_and_after_a_restart_and_a_higher_epoch_is_followed() {
    let site = Site::serving(&["m"]);
    site.version("m", 2);
    let numbered = |epoch: u64, generation: u64, version: u64| {
        site.promote("m", version);
        site.edit("m", |index| {
            index["epoch"] = epoch.into();
            index["generation"] = generation.into();
        });
    };
    numbered(1, 50, 2);
    let server = site.setup().start();
    assert_eq!(answered(&server, "m"), Some(2));
    assert_eq!(refusals(&server, "m", "stale"), 0.0);
    numbered(1, 49, 1);
    wait_problem(&server, "m", "stale");
    assert!(refusals(&server, "m", "stale") >= 1.0);
    assert_eq!(answered(&server, "m"), Some(2));
    drop(server);
    let server = site.setup().start();
    wait_problem(&server, "m", "stale");
    assert_eq!(answered(&server, "m"), Some(2), "after a restart");
    let refused = refusals(&server, "m", "stale");
    assert!(refused >= 1.0, "after a restart");
    numbered(2, 3, 1);
    server.wait_served("m", 1, SOON);
    assert_eq!(problem(&server, "m"), "");
    numbered(1, 99, 2);
    wait_problem(&server, "m", "stale");
    assert!(refusals(&server, "m", "stale") > refused);
    drop(server);
    let server = site.setup().start();
    wait_problem(&server, "m", "stale");
    assert_eq!(answered(&server, "m"), Some(1), "the epoch is remembered");
}

#[test]
fn r11_a_monstrous_model_json_leaves_the_last_good_one_in_force() {
    let site = Site::serving(&["m", "z"]);
    let mut server = site.setup().start();
    let twice = |index: &mut Value| {
        let versions = index["versions"].as_array_mut().unwrap();
        versions.push(versions[0].clone());
    };
    let deep = |index: &mut Value| index["deep"] = "@".into();
    let spoiled: [(&str, &str); 5] = [
        ("500 MB", "too_large"),
        ("5 MB", "too_large"),
        ("deep", "parse"),
        ("twice", "parse"),
        ("gone", "stale"),
    ];
    for (round, (name, code)) in spoiled.into_iter().enumerate() {
        let peak = server.peak();
        site.promote("m", 1);
        match name {
            "500 MB" => {
                site.bucket
                    .set_rules(vec![Rule::new(Fault::Length(500 << 20)).method("GET").key("/m/model.json")]);
            }
            // No lie, and good but for its size.
            "5 MB" => site.edit("m", |index| index["long"] = "x".repeat(5 << 20).into()),
            "deep" => {
                site.edit("m", deep);
                let depth = 100_000;
                site.repository.rewrite("m/model.json", |text| {
                    text.replace("\"@\"", &("[".repeat(depth) + &"]".repeat(depth)))
                });
            }
            "twice" => site.edit("m", twice),
            // Its versions are there, and nothing says which of them may serve.
            _ => {
                site.version("m", 7);
                fs::remove_file(site.bucket.folder().join("m/model.json")).unwrap();
            }
        }
        wait_problem(&server, "m", code);
        assert_eq!(answered(&server, "m"), Some(1), "{name}");
        let version = round as u64 + 2;
        site.publish("z", version);
        server.wait_served("z", version, SOON);
        assert!(server.peak() < peak + (32 << 10), "{name}: {} KiB after {peak}", server.peak());
        drop(server);
        server = site.setup().start();
        wait_problem(&server, "m", code);
        assert_eq!(answered(&server, "m"), Some(1), "{name}, after a restart");
        assert_eq!(answered(&server, "z"), Some(version), "{name}, after a restart");
        site.bucket.heal();
    }
}

#[test]
fn r15_what_is_deleted_from_the_bucket_serves_on_from_memory_and_after_a_restart_from_the_cache() {
    let site = Site::serving(&["m", "z"]);
    site.repository.bare("bare", 1, &constant(1.0));
    let server = site.setup().start();
    ["m", "bare"].iter().for_each(|model| server.wait_served(model, 1, SOON));
    fs::remove_dir_all(site.bucket.folder().join("m/1")).unwrap();
    site.repository.remove("bare");
    wait_problem(&server, "bare", "missing_file");
    assert_eq!(["m", "bare"].map(|model| answered(&server, model)), [Some(1), Some(1)]);
    drop(server);
    let server = site.setup().start();
    assert_eq!(answered(&server, "m"), Some(1), "listed, and verified from the cache");
    assert_eq!(answered(&server, "bare"), None, "neither listed nor asked for: 404");
    drop(server);
    // The whole bucket is empty; a model that is asked for by name is served all the same.
    site.repository.remove("m");
    let toml = "registry.models = [\"m\", \"bare\"]\nregistry.poll_interval_ms = 50\n";
    let server = site.with_config(toml).start();
    for model in ["m", "bare"] {
        server.wait_served(model, 1, SOON);
        wait_problem(&server, model, "missing_file");
    }
}

#[test]
fn r16_a_rollback_to_what_is_in_memory_is_routed_within_100_ms_and_downloads_nothing() {
    let site = Site::serving(&["m"]);
    let server = site.with_config("registry.poll_interval_ms = 600000\n").start();
    let clients = load(&server, "m");
    site.publish("m", 2);
    synced(&server, "m");
    site.bucket.take_requests();
    let mut times = Vec::new();
    // A busy machine may be slow now and then. The default interval between swaps holds none of them up.
    for _ in 0..5 {
        site.promote("m", 1);
        let start = Instant::now();
        synced(&server, "m");
        assert_eq!(answered(&server, "m"), Some(1));
        times.push(start.elapsed());
        // Forward again as only an operator of this sidecar may: the interval is not over.
        assert_eq!(server.admin().post("/models/m/pin", "{\"version\": 2}").status, 200);
        assert_eq!(answered(&server, "m"), Some(2));
        site.promote("m", 2);
        synced(&server, "m");
        assert_eq!(server.admin().send(&request("DELETE", "/models/m/pin", &[], b"")).status, 200);
        assert_eq!(answered(&server, "m"), Some(2));
    }
    unharmed(clients);
    assert!(median(&times) < Duration::from_millis(100), "{times:?}");
    let requests = site.bucket.take_requests();
    assert!(!requests.iter().any(|request| request.target.contains("model.onnx")), "{requests:?}");
}

/// How many versions of a model are in memory.
fn loaded(server: &Server, model: &str) -> usize {
    let models = server.models();
    let found = models.as_array().unwrap().iter().find(|entry| entry["name"] == model).cloned();
    let versions = found.unwrap_or_default()["versions"].clone();
    versions.as_array().unwrap().iter().filter(|version| version["digest"].is_string()).count()
}

#[test]
fn r17_a_promotion_that_flaps_swaps_no_more_often_than_allowed_and_the_newest_wins() {
    const LAST: u64 = 9;
    let site = Site::serving(&["m"]);
    (2..=LAST).for_each(|version| site.version("m", version));
    let toml = "registry.poll_interval_ms = 50\nregistry.min_swap_interval_ms = 1000\n";
    let server = site.with_config(toml).start();
    let clients = load(&server, "m");
    let swaps = || server.metric("sidegate_model_swaps_total{model=\"m\"}");
    let flap = |versions: &mut dyn Iterator<Item = u64>| {
        let (start, before) = (Instant::now(), swaps());
        for version in versions {
            site.promote("m", version);
            for _ in 0..4 {
                std::thread::sleep(Duration::from_millis(50));
                assert!(loaded(&server, "m") <= 3, "two, and one that is loaded");
            }
        }
        (swaps() - before, start.elapsed().as_secs_f64())
    };
    let (count, seconds) = flap(&mut (2..=LAST));
    assert!(count <= seconds + 1.0, "{count} swaps in {seconds} s");
    server.wait_served("m", LAST, SOON);
    // Between two that are in memory. Back is at once, forward again is not.
    site.promote("m", LAST - 1);
    server.wait_served("m", LAST - 1, SOON);
    site.promote("m", LAST);
    server.wait_served("m", LAST, SOON);
    let (count, seconds) = flap(&mut (0..16).map(|round| LAST - 1 + round % 2));
    assert!(count <= 2.0 * (seconds + 1.0), "{count} swaps in {seconds} s");
    server.wait_served("m", LAST, SOON);
    unharmed(clients);
    assert!(loaded(&server, "m") <= 2);
}

#[test]
fn r17_what_is_no_swap_does_not_wait_for_the_interval() {
    let site = Site::serving(&["m"]);
    (2..=4).for_each(|version| site.version("m", version));
    let toml = "registry.poll_interval_ms = 50\nregistry.min_swap_interval_ms = 3600000\n";
    let server = site.with_config(toml).start();
    let stages = [(1, "Archived"), (2, "Production"), (3, "Staging"), (4, "None")];
    site.repository.index("m", &stages, &[("next", 4)]);
    for (reference, version) in [("m@next", "4"), ("m@staging", "3")] {
        wait(reference, SOON, || {
            let answer = server.data().post(&format!("/predict?model={reference}"), "[[1,2,3,4]]");
            (answer.status == 200 && answer.json()["model_version"] == version).then_some(())
        });
    }
    assert_eq!(answered(&server, "m"), Some(1), "the start was a swap too");
    // An operator of this sidecar does not wait either.
    assert_eq!(server.admin().post("/models/m/pin", "{\"version\": 2}").status, 200);
    assert_eq!(answered(&server, "m"), Some(2));
}

#[test]
fn r17_who_waits_for_the_interval_leaves_the_bucket_alone() {
    let site = Site::serving(&["m"]);
    let toml = "registry.poll_interval_ms = 600000\nregistry.min_swap_interval_ms = 4000\n";
    let server = site.with_config(toml).start();
    site.publish("m", 2);
    site.bucket.take_requests();
    sync(&server, "/models/m/sync");
    // As soon as it is over, not with the next look.
    server.wait_served("m", 2, SOON);
    let requests = site.bucket.take_requests();
    // Two looks of a hint, a list and model.json, and the files of the version.
    assert!(requests.len() <= 12, "{requests:?}");
}

#[test]
fn r19_a_redirect_to_another_host_is_not_followed() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = elsewhere.local_addr().unwrap();
    let visitors = Arc::new(AtomicUsize::new(0));
    let count = visitors.clone();
    std::thread::spawn(move || {
        elsewhere.incoming().for_each(|_| _ = count.fetch_add(1, Ordering::SeqCst));
    });
    let site = Site::serving(&["m"]);
    let server = site.setup().start();
    site.bucket.set_fault(Fault::Redirect(format!("http://{address}/models/team/a/m/model.json")));
    wait("the refusal", SOON, || (registry_errors(&server, "refused") >= 3.0).then_some(()));
    assert!(answered(&server, "m") == Some(1) && is_ready(&server));
    assert_eq!(visitors.load(Ordering::SeqCst), 0);
    // The listener does count.
    drop(TcpStream::connect(address).unwrap());
    wait("a visitor", SOON, || (visitors.load(Ordering::SeqCst) == 1).then_some(()));
}

/// Names and keys that no path may be made of.
const HOSTILE: [&str; 10] =
    ["..", "", ".", ".hidden", "%2e%2e", "a b", "-x", "ünï", "x\u{202e}y", "../../../../etc"];

/// A bucket whose lists are hostile. It holds `m/1/model.onnx`, and notes what it is asked for.
fn hostile_bucket() -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let notes = asked.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let notes = notes.clone();
            std::thread::spawn(move || converse(stream, &notes));
        }
    });
    (address, asked)
}

fn converse(mut stream: TcpStream, notes: &Mutex<Vec<String>>) {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while stream.read(&mut byte).is_ok_and(|read| read == 1) {
        head.push(byte[0]);
        if !head.ends_with(b"\r\n\r\n") {
            continue;
        }
        let text = String::from_utf8(std::mem::take(&mut head)).unwrap();
        let mut words = text.split(' ');
        let (method, target) = (words.next().unwrap(), words.next().unwrap());
        notes.lock().unwrap().push(target.to_owned());
        let (status, body) = answer(target);
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-length: {length}\r\netag: \"1\"\r\nlast-modified: Mon, 23 Nov 2026 00:00:00 GMT\r\n\r\n"
        );
        let body = if method == "HEAD" { Vec::new() } else { body };
        if stream.write_all(&[head.into_bytes(), body].concat()).is_err() {
            return;
        }
    }
}

fn answer(target: &str) -> (&'static str, Vec<u8>) {
    let each = |format: &dyn Fn(&str) -> String| HOSTILE.iter().map(|name| format(name)).collect::<String>();
    let list = |inner: String| {
        let page = format!("<ListBucketResult><IsTruncated>false</IsTruncated>{inner}</ListBucketResult>");
        ("200 OK", page.into_bytes())
    };
    let key = |key: &str| format!("<Contents><Key>team/a/{key}</Key><Size>1</Size></Contents>");
    match target {
        _ if target.contains("delimiter=") => {
            let prefix =
                |name: &str| format!("<CommonPrefixes><Prefix>team/a/{name}/</Prefix></CommonPrefixes>");
            list(each(&prefix) + &prefix("m"))
        }
        _ if target.contains("list-type=2") => {
            let inside = each(&|name| key(&format!("m/{name}/model.onnx")));
            let deeper = each(&|name| key(&format!("m/1/{name}/model.onnx")) + &key(&format!("m/3/{name}")));
            list(inside + &deeper + &key("m/1/model.onnx") + &key("m//model.onnx") + &key("m/07/model.onnx"))
        }
        _ if target.contains("team/a/m/1/model.onnx") => ("200 OK", constant(1.0)),
        _ => ("404 Not Found", b"<Error><Code>NoSuchKey</Code></Error>".to_vec()),
    }
}

#[test]
fn r20_hostile_keys_become_neither_models_nor_paths() {
    let (address, asked) = hostile_bucket();
    let site = Site::new();
    let server = site.setup().variable("AWS_ENDPOINT_URL", &format!("http://{address}")).start();
    assert_eq!(answered(&server, "m"), Some(1));
    let names: Vec<Value> = server.models().as_array().unwrap().iter().map(|m| m["name"].clone()).collect();
    assert_eq!(names, ["m"]);
    assert_eq!(server.models()[0]["versions"].as_array().unwrap().len(), 1);
    for target in asked.lock().unwrap().iter() {
        let path = target.split('?').next().unwrap();
        let known = ["/models/", "/models", "/models/team/a/_index.json", "/models/team/a/m/model.json"];
        let known = known.contains(&path);
        assert!(known || path.starts_with("/models/team/a/m/1/"), "{target}");
        assert!(!path.contains("..") && !path[1..].contains("//"), "{target}");
    }
    assert_plain_cache(&site, &["m"]);
    // Everything that a server ever writes there.
    let site = Site::serving(&["m", "z"]);
    let server = site.setup().start();
    site.publish("m", 2);
    server.wait_served("m", 2, SOON);
    assert_eq!(server.admin().post("/models/m/pin", "{\"version\": 1}").status, 200);
    for name in HOSTILE {
        let name: String = name.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let answer = server.admin().post(&format!("/models/{name}/pin"), "{\"version\": 1}");
        assert!([400, 404].contains(&answer.status), "{name}: {}", answer.status);
    }
    assert_plain_cache(&site, &["m", "z"]);
}

/// The cache holds digests in fixed folders, and names of models.
#[track_caller]
fn assert_plain_cache(site: &Site, models: &[&str]) {
    let mut kinds = BTreeSet::new();
    for file in site.cached_files() {
        let (kind, name) = file.split_once('/').unwrap();
        kinds.insert(kind.to_owned());
        let hex = name.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        match kind {
            "blobs" => assert!(hex && name.len() == 64, "{file}"),
            "indexes" | "served" | "former" | "pins" => assert!(models.contains(&name), "{file}"),
            other => panic!("{other}: {file}"),
        }
    }
    assert!(kinds.contains("blobs") && kinds.contains("served"), "{kinds:?}");
}
