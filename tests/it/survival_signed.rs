//! Signatures are required, and somebody without a key can write to the bucket: what they bring never serves, by stage,
//! alias, rollout, pin or replay, and what serves goes on. Keys come and go while sidecars run.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::super::bucket::{Fault, Rule};
use super::super::harness::{Server, Setup, run, wait};
use super::super::onnx::constant;
use super::super::repository::golden;
use super::verbs::{pin, rollback, share, unpin};
use super::{SOON, Site, answered, load, refusals, synced, unharmed};

/// Versions 1 and 2 are signed, 2 is in Production; 3 is signed and was never promoted; 4 has no signature; 5 was signed
/// and promoted with a key that sidecars do not know.
struct Signed {
    site: Site,
    desk: TempDir,
}

impl Signed {
    fn new() -> Self {
        let signed = Self { site: Site::new(), desk: tempfile::tempdir().unwrap() };
        fs::create_dir(signed.path("keys")).unwrap();
        for key in ["release.pem", "other.pem"] {
            signed.does(&format!("sign --generate-key {key}"));
        }
        signed.trust("release");
        let keys = [Some("release"), Some("release"), Some("release"), None, Some("other")];
        for (version, key) in (1..).zip(keys) {
            signed.register(version, key);
        }
        for (version, key) in [(1, "release"), (5, "other"), (2, "release")] {
            signed.promote(version, key);
        }
        signed
    }

    fn path(&self, name: &str) -> PathBuf {
        self.desk.path().join(name)
    }

    #[track_caller]
    fn does(&self, line: &str) {
        let mut words: Vec<&str> = std::iter::once("registry").chain(line.split_whitespace()).collect();
        let folder = self.site.bucket.folder();
        if words[1] != "sign" {
            words.extend(["--registry", folder.to_str().unwrap()]);
        }
        let output = run(self.desk.path(), &words);
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Registers `version`, which has to be the next free number.
    #[track_caller]
    fn register(&self, version: u64, key: Option<&str>) {
        let (file, examples) = (format!("{version}.onnx"), format!("{version}.json"));
        fs::write(self.path(&file), constant(version as f32)).unwrap();
        fs::write(self.path(&examples), golden(version as f32).to_string()).unwrap();
        let key = key.map(|key| format!(" --key {key}.pem")).unwrap_or_default();
        self.does(&format!("register m {file} --golden {examples}{key}"));
    }

    #[track_caller]
    fn promote(&self, version: u64, key: &str) {
        self.does(&format!("promote m {version} --stage Production --key {key}.pem"));
    }

    fn trust(&self, key: &str) {
        fs::copy(self.path(&format!("{key}.pem.pub")), self.path(&format!("keys/{key}.pub"))).unwrap();
    }

    fn distrust(&self, key: &str) {
        fs::remove_file(self.path(&format!("keys/{key}.pub"))).unwrap();
    }

    /// A sidecar that asks for signatures.
    fn setup(&self) -> Setup {
        self.with_config("")
    }

    fn with_config(&self, toml: &str) -> Setup {
        self.site.with_config(&format!(
            "registry.poll_interval_ms = 50\nregistry.min_swap_interval_ms = 0\nregistry.require_signature = true\n\
             registry.public_keys_dir = \"{}\"\n{toml}",
            self.path("keys").display()
        ))
    }

    fn index(&self) -> Value {
        let bytes = fs::read(self.site.bucket.folder().join("m/model.json")).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    /// Writes a `model.json` as somebody without a key does: made of `index`, newer than what is there.
    fn forge(&self, mut index: Value, change: impl FnOnce(&mut Value)) {
        let generation = self.index()["generation"].as_u64().unwrap();
        change(&mut index);
        index["generation"] = json!(generation + 1);
        self.site.repository.replace("m/model.json", index.to_string().as_bytes());
        // It would say that nothing has changed.
        let _ = fs::remove_file(self.site.bucket.folder().join("_index.json"));
    }
}

fn production(index: &mut Value, version: u64) {
    for entry in index["versions"].as_array_mut().unwrap() {
        entry["stage"] = json!(if entry["version"] == version { "Production" } else { "Archived" });
    }
}

/// A rollout to a version that this sidecar is to follow so long after now.
fn rollout(pod: &str, to: u64, from: u64, after: Duration) -> Value {
    let seconds = 1 + (after.as_secs_f64() / share(pod, to)) as u64;
    let start = OffsetDateTime::now_utc() + after - Duration::from_secs_f64(share(pod, to) * seconds as f64);
    json!({"version": to, "from": from, "start": start.format(&Rfc3339).unwrap(), "seconds": seconds})
}

#[track_caller]
fn alarm(server: &Server, version: u64) {
    wait("the alarm", SOON, || {
        (server.version("m", version)["reason"]["code"] == "bad_signature").then_some(())
    });
}

#[track_caller]
fn refused(server: &Server, version: u64) {
    alarm(server, version);
    assert_eq!(server.version("m", version)["state"], "failed");
    server.wait_served("m", 2, SOON);
}

/// The version that a stage or an alias means.
fn asked(server: &Server, reference: &str) -> Option<u64> {
    let answer = server.data().post(&format!("/predict?model={reference}"), "[[1,2,3,4]]");
    (answer.status == 200).then(|| answer.json()["model_version"].as_str().unwrap().parse().unwrap())
}

/// Some looks later the same version still answers.
#[track_caller]
fn stays(server: &Server, path: &str, version: Option<u64>) {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(1) {
        assert_eq!(answered(server, path), version, "{path}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn what_has_no_signature_of_a_known_key_or_was_never_promoted_does_not_serve() {
    let signed = Signed::new();
    let server = signed.setup().start();
    server.wait_served("m", 2, SOON);
    let clients = load(&server, "m");
    let good = signed.index();
    for version in [3, 4, 5] {
        let before = refusals(&server, "m", "bad_signature");
        signed.forge(good.clone(), |index| production(index, version));
        refused(&server, version);
        assert!(refusals(&server, "m", "bad_signature") > before);
        signed.forge(good.clone(), |_| ());
    }
    unharmed(clients);
}

#[test]
fn neither_a_rollout_nor_the_lack_of_a_stage_is_a_way_around() {
    let signed = Signed::new();
    let server = signed.setup().start();
    server.wait_served("m", 2, SOON);
    let good = signed.index();
    // In force or not, to what there is or is not.
    for (version, to) in [(3, 999), (3, 1), (3, 2), (4, 999)] {
        signed.forge(good.clone(), |index| {
            production(index, version);
            index["rollout"] =
                json!({"version": to, "from": version, "start": "2026-11-27T00:00:00Z", "seconds": 9_000_000});
        });
        refused(&server, version);
    }
    // With no stage at all the highest version would answer.
    signed.forge(good.clone(), |index| {
        index["versions"].as_array_mut().unwrap().iter_mut().for_each(|entry| entry["stage"] = json!("None"));
    });
    stays(&server, "m", Some(2));
    signed.forge(good, |index| index["aliases"] = json!({"champion": 4}));
    refused(&server, 4);
}

#[test]
fn an_older_promotion_is_not_replayed_to_who_has_seen_a_newer_one() {
    let signed = Signed::new();
    signed.promote(1, "release");
    let old = signed.index();
    signed.promote(2, "release");
    let server = signed.setup().start();
    server.wait_served("m", 2, SOON);
    signed.forge(old, |_| ());
    refused(&server, 1);
    drop(server);
    let server = signed.setup().start();
    refused(&server, 1);
    drop(server);
    // What the cache has of the forged model.json counts no more than the bucket's.
    signed.site.bucket.set_fault(Fault::Down);
    let server = signed.setup().start();
    stays(&server, "m", Some(2));
    drop(server);
    signed.site.bucket.heal();
    // The limit that SECURITY.md states: who has no cache has seen nothing.
    let cache = tempfile::tempdir().unwrap();
    let server = signed.setup().variable("XDG_CACHE_HOME", cache.path().to_str().unwrap()).start();
    server.wait_served("m", 1, SOON);
}

#[test]
fn what_an_alias_brought_into_memory_takes_no_stage_without_a_promotion() {
    let signed = Signed::new();
    let server = signed.setup().start();
    server.wait_served("m", 2, SOON);
    let good = signed.index();
    let clients = load(&server, "m");
    assert_eq!(pin(&server, 2).status, 200);
    // The limit that SECURITY.md states: an alias may mean any signed version.
    signed.forge(good.clone(), |index| index["aliases"] = json!({"champion": 3}));
    wait("the alias", SOON, || (asked(&server, "m@champion") == Some(3)).then_some(()));
    signed.forge(good, |index| {
        index["aliases"] = json!({"champion": 3});
        production(index, 3);
    });
    alarm(&server, 3);
    assert_ne!(asked(&server, "m@production"), Some(3));
    // It waits for the pin to end.
    assert_eq!(unpin(&server).status, 200);
    stays(&server, "m", Some(2));
    assert_ne!(asked(&server, "m@production"), Some(3));
    unharmed(clients);
}

#[test]
fn a_pin_needs_the_signature_of_the_content() {
    let signed = Signed::new();
    let server = signed.setup().start();
    server.wait_served("m", 2, SOON);
    let refusal = pin(&server, 4);
    assert!(refusal.text().contains("bad_signature"), "{}", refusal.text());
    refusal.error(409);
    stays(&server, "m", Some(2));
    // An operator may serve what nobody promoted.
    assert_eq!(pin(&server, 3).status, 200);
    stays(&server, "m", Some(3));
    assert_eq!(unpin(&server).status, 200);
    server.wait_served("m", 2, SOON);
    drop(server);
    // As somebody writes it who can write to the cache.
    let text = json!({"format": 1, "version": 4, "at": "2026-11-27T00:00:00Z"}).to_string();
    fs::create_dir_all(signed.site.cached().join("pins")).unwrap();
    fs::write(signed.site.cached().join("pins/m"), text).unwrap();
    for fault in [None, Some(Fault::Down)] {
        fault.into_iter().for_each(|fault| signed.site.bucket.set_fault(fault));
        let server = signed.setup().start();
        stays(&server, "m", Some(2));
    }
}

#[test]
fn what_stands_in_is_signed() {
    let signed = Signed::new();
    drop(signed.setup().start());
    signed.register(6, Some("release"));
    signed.promote(6, "release");
    signed.site.bucket.set_rules(vec![Rule::new(Fault::Answer(404, "NoSuchKey")).key("/m/6/model.onnx")]);
    let server = signed.setup().start();
    stays(&server, "m", Some(2));
    drop(server);
    signed.forge(signed.index(), |index| {
        index["signatures"].as_array_mut().unwrap().retain(|entry| entry["version"] != 2);
    });
    let server = signed.setup().start_unready();
    stays(&server, "m", None);
}

#[test]
fn a_rollout_holds_to_what_serves_and_brings_nothing() {
    let signed = Signed::new();
    signed.promote(1, "release");
    let toml = "registry.pod = \"a\"\n";
    let server = signed.with_config(toml).start();
    server.wait_served("m", 1, SOON);
    let clients = load(&server, "m");
    signed.does("promote m 2 --stage Production --rollout 24h --key release.pem");
    synced(&server, "m");
    stays(&server, "m", Some(1));
    let good = signed.index();
    // From what was never promoted; and to it, at a moment to come.
    for (to, from, after) in [(2, 3, 3600), (3, 1, 1)] {
        signed.forge(good.clone(), |index| {
            production(index, to);
            index["rollout"] = rollout("a", to, from, Duration::from_secs(after));
        });
        std::thread::sleep(Duration::from_secs(2));
        let now = answered(&server, "m");
        assert!(now == Some(1) || now == Some(2), "{now:?}");
    }
    signed.forge(good, |index| index["rollout"] = Value::Null);
    server.wait_served("m", 2, SOON);
    unharmed(clients);
}

#[test]
fn a_rollout_whose_moment_comes_in_the_middle_of_a_look_brings_nothing() {
    let signed = Signed::new();
    signed.register(6, Some("release"));
    let server = signed.with_config("registry.pod = \"a\"\n").start();
    server.wait_served("m", 2, SOON);
    let good = signed.index();
    signed.forge(good.clone(), |index| index["aliases"] = json!({"b": 3}));
    wait("the alias", SOON, || (asked(&server, "m@b") == Some(3)).then_some(()));
    // A load that takes a second holds up the look, and no longer than after which it would ask again.
    let slow = Fault::Delay(Duration::from_millis(1200));
    signed.site.bucket.set_rules(vec![Rule::new(slow).method("GET").key("/m/6/model.onnx")]);
    signed.forge(good, |index| {
        index["aliases"] = json!({"a": 6, "b": 3});
        production(index, 3);
        index["rollout"] = rollout("a", 3, 2, Duration::from_millis(700));
    });
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(3) {
        assert_eq!(answered(&server, "m"), Some(2), "after {:?}", start.elapsed());
    }
    alarm(&server, 3);
}

#[test]
fn a_key_counts_from_when_it_is_in_the_folder_until_it_is_not() {
    let signed = Signed::new();
    let server = signed.setup().start();
    server.wait_served("m", 2, SOON);
    signed.promote(5, "other");
    refused(&server, 5);
    signed.trust("other");
    server.wait_served("m", 5, SOON);
    let clients = load(&server, "m");
    // What serves goes on, with an alarm.
    let before = refusals(&server, "m", "bad_signature");
    signed.distrust("other");
    alarm(&server, 5);
    assert!(refusals(&server, "m", "bad_signature") > before);
    assert!(server.log().contains("must not serve"));
    stays(&server, "m", Some(5));
    // Nothing new is made of it: no alias,
    let index = signed.index();
    signed.forge(index.clone(), |index| index["aliases"] = json!({"champion": 5, "old": 1}));
    wait("the other alias", SOON, || (asked(&server, "m@old") == Some(1)).then_some(()));
    assert_eq!(asked(&server, "m@champion"), None);
    signed.forge(index, |_| ());
    // and no way back by stage, pin or rollback, though it is still in memory.
    signed.promote(2, "release");
    server.wait_served("m", 2, SOON);
    assert_eq!(asked(&server, "m@production"), Some(2));
    for refusal in [pin(&server, 5), rollback(&server)] {
        assert!(refusal.text().contains("signature"), "{}", refusal.text());
        refusal.error(409);
        stays(&server, "m", Some(2));
    }
    assert_eq!(unpin(&server).status, 200);
    signed.promote(5, "other");
    alarm(&server, 5);
    stays(&server, "m", Some(2));
    unharmed(clients);
}

#[test]
fn what_served_with_a_key_that_was_taken_away_does_not_come_back_after_a_restart() {
    let signed = Signed::new();
    signed.trust("other");
    signed.promote(5, "other");
    let server = signed.setup().start();
    server.wait_served("m", 5, SOON);
    signed.distrust("other");
    alarm(&server, 5);
    drop(server);
    for fault in [Some(Fault::Down), None] {
        signed.site.bucket.heal();
        fault.into_iter().for_each(|fault| signed.site.bucket.set_fault(fault));
        let server = signed.setup().start_unready();
        stays(&server, "m", None);
    }
    let server = signed.setup().start_unready();
    signed.promote(2, "release");
    server.wait_served("m", 2, SOON);
}
