//! Whoever can write to a registry and has no key: what they bring never serves, and what served goes on.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::super::harness::{Server, Setup, run, wait};
use super::{SOON, ended, files, words};

/// A registry of two signed versions of `m`, the second in Production; 3 is signed and was never promoted, 4 has no
/// signature. And the cache of the sidecars that serve it one after another.
struct Site(TempDir);

impl Site {
    fn new() -> Self {
        let site = Self(tempfile::tempdir().unwrap());
        files(site.0.path(), 1..=4);
        fs::create_dir(site.path("keys")).unwrap();
        for key in ["release.pem", "other.pem"] {
            site.does(&format!("registry sign --generate-key {key}"));
        }
        fs::copy(site.path("release.pem.pub"), site.path("keys/release.pub")).unwrap();
        for number in 1..=2 {
            site.does(&format!("registry register m {number}.onnx --golden {number}.json --key release.pem"));
            site.does(&format!("registry promote m {number} --stage Production --key release.pem"));
        }
        site.does("registry register m 3.onnx --golden 3.json --key release.pem");
        site.does("registry register m 4.onnx --golden 4.json");
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    #[track_caller]
    fn does(&self, line: &str) {
        ended(&run(self.0.path(), &words(line)), 0);
    }

    /// A sidecar that asks for signatures.
    fn setup(&self) -> Setup {
        let toml = format!(
            "registry.require_signature = true\nregistry.public_keys_dir = \"{}\"\nregistry.poll_interval_ms = 50\n",
            self.path("keys").display()
        );
        let setup = Setup::new().registry(self.path("models").to_str().unwrap()).only_config(&toml);
        setup.variable("XDG_CACHE_HOME", self.path("cache").to_str().unwrap())
    }
}

fn index(folder: &Path) -> Value {
    serde_json::from_slice(&fs::read(folder.join("m/model.json")).unwrap()).unwrap()
}

/// Writes a `model.json` as somebody without a key does: the next generation, and whatever else.
fn forge(folder: &Path, generation: &mut u64, mut index: Value, change: impl FnOnce(&mut Value)) {
    change(&mut index);
    *generation += 1;
    index["generation"] = json!(*generation);
    let path = folder.join("m/model.json");
    fs::write(path.with_extension("new"), index.to_string()).unwrap();
    fs::rename(path.with_extension("new"), path).unwrap();
}

fn production(index: &mut Value, version: u64) {
    for entry in index["versions"].as_array_mut().unwrap() {
        entry["stage"] = json!(if entry["version"] == version { "Production" } else { "Archived" });
    }
}

#[track_caller]
fn refused(server: &Server, version: u64) {
    let shown = || server.version("m", version);
    wait("the version being refused", SOON, || (shown()["reason"]["code"] == "bad_signature").then_some(()));
    assert_eq!(shown()["state"], "failed", "{}", shown());
    server.wait_served("m", 2, SOON);
}

#[test]
fn a_writer_without_a_key_brings_nothing_to_serve() {
    let site = Site::new();
    let folder = site.path("models");
    let server = site.setup().start();
    server.wait_served("m", 2, SOON);
    let good = index(&folder);
    let mut generation = good["generation"].as_u64().unwrap();
    // Never promoted; and without a signature.
    for version in [3, 4] {
        forge(&folder, &mut generation, good.clone(), |index| production(index, version));
        refused(&server, version);
        // A rollout excuses nobody, whether it is in force or not.
        for to in [999, 1, 2] {
            forge(&folder, &mut generation, good.clone(), |index| {
                production(index, version);
                index["rollout"] = json!({"version": to, "from": version, "start": "2026-11-27T00:00:00Z", "seconds": 9_000_000});
            });
            refused(&server, version);
        }
    }
    // No stage at all, so that the highest version would answer.
    forge(&folder, &mut generation, good.clone(), |index| production(index, 0));
    server.wait_served("m", 2, SOON);
    // An alias reaches what is signed, and nothing else.
    forge(&folder, &mut generation, good.clone(), |index| index["aliases"] = json!({"champion": 4}));
    refused(&server, 4);
    forge(&folder, &mut generation, good, |_| ());
    server.wait_served("m", 2, SOON);
}

#[test]
fn an_older_promotion_is_not_replayed_before_or_after_a_restart() {
    let site = Site::new();
    let folder = site.path("models");
    site.does("registry promote m 1 --stage Production --key release.pem");
    let old = index(&folder);
    site.does("registry promote m 2 --stage Production --key release.pem");
    let mut generation = index(&folder)["generation"].as_u64().unwrap();
    let server = site.setup().start();
    server.wait_served("m", 2, SOON);
    forge(&folder, &mut generation, old, |_| ());
    refused(&server, 1);
    drop(server);
    let server = site.setup().start_unready();
    let shown = || server.version("m", 1);
    wait("the version being refused", SOON, || (shown()["reason"]["code"] == "bad_signature").then_some(()));
    assert_eq!(shown()["state"], "failed", "{}", shown());
}

#[test]
fn keys_count_from_when_they_are_in_the_folder_until_they_are_not() {
    let site = Site::new();
    site.does("registry sign m 4 --key other.pem");
    site.does("registry promote m 4 --stage Production --key other.pem");
    let server = site.setup().start_unready();
    wait("the version being refused", SOON, || {
        (server.version("m", 4)["reason"]["code"] == "bad_signature").then_some(())
    });
    fs::copy(site.path("other.pem.pub"), site.path("keys/other.pub")).unwrap();
    server.wait_served("m", 4, SOON);
    // What serves goes on, with an alarm; what is loaded anew does not.
    fs::remove_file(site.path("keys/other.pub")).unwrap();
    wait("the alarm", SOON, || (server.version("m", 4)["reason"]["code"] == "bad_signature").then_some(()));
    server.wait_served("m", 4, SOON);
    site.does("registry promote m 2 --stage Production --key release.pem");
    server.wait_served("m", 2, SOON);
    site.does("registry promote m 4 --stage Production --key other.pem");
    // It is still in memory, as what served before; it is not gone back to.
    wait("its refusal", SOON, || (server.version("m", 4)["stage"] == "Production").then_some(()));
    assert_eq!(server.version("m", 4)["reason"]["code"], "bad_signature");
    server.wait_served("m", 2, SOON);
}
