//! What `sidegate registry …` and a sidecar say to somebody who has read the pages and nothing else.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::harness::{Setup, command, constant_request, constant_version, run, wait};
use super::onnx::other_signature;
use super::registry_cli::{Desk, SOON, ended, files, with, words};

#[test]
fn a_reference_is_understood_wherever_a_path_names_a_model() {
    let server = Setup::new().start_unready();
    files(&server.path(""), 1..=3);
    let does = |line: &str| with(&server, &words(line), 0);
    does("registry register m 1.onnx --stage Production");
    does("registry register m 2.onnx --stage Staging --alias challenger");
    server.wait_served("m", 1, SOON);
    server.wait_state("m", 2, "serving");
    for (name, version) in
        [("m", 1), ("m@staging", 2), ("m%40Staging", 2), ("m@challenger", 2), ("m@2", 2), ("m@production", 1)]
    {
        let answer = server.data().send(&constant_request(&format!("/v2/models/{name}/infer")));
        assert_eq!(constant_version(&answer), version, "{name}");
        let get = |rest: &str| server.data().get(&format!("/v2/models/{name}{rest}")).ok();
        assert_eq!(get("")["name"], "m", "{name}");
        assert_eq!(get("/config")["name"], "m", "{name}");
        assert_eq!(get("/ready"), json!({"name": "m", "ready": true}), "{name}");
        let stats = get("/stats")["model_stats"].clone();
        let versions: Vec<_> = stats.as_array().unwrap().iter().map(|one| &one["version"]).collect();
        let all = [&json!("1"), &json!("2")];
        let one = [&json!(version.to_string())];
        assert_eq!(versions, if name == "m" { &all[..] } else { &one[..] }, "{name}");
    }
    for (path, status, part) in [
        ("m@2/versions/1", 400, "twice"),
        ("m@staging/versions/2", 400, "twice"),
        ("m@nobody", 404, "nobody"),
        ("m@9", 404, "9"),
        ("m@", 404, "model name"),
        ("@2", 404, "model name"),
        ("nothing@2", 404, "nothing"),
        ("m%4", 404, "not valid text"),
    ] {
        for rest in ["", "/ready", "/config", "/stats"] {
            let text = server.data().get(&format!("/v2/models/{path}{rest}")).error(status);
            assert!(text.contains(part) || rest == "/ready", "{path}{rest}: {text}");
        }
        let infer = server.data().send(&constant_request(&format!("/v2/models/{path}/infer")));
        let text = infer.error(status);
        assert!(text.contains(part), "{path}/infer: {text}");
    }
}

#[test]
fn signing_works_from_nothing_as_the_page_says() {
    let setup = Setup::new().config("registry.require_signature = true\nregistry.public_keys_dir = \"keys\"");
    files(&setup.path(""), 1..=1);
    let does = |line: &str| ended(&run(&setup.path(""), &words(line)), 0);
    does("registry sign --generate-key release.pem");
    fs::create_dir(setup.path("keys")).unwrap();
    fs::copy(setup.path("release.pem.pub"), setup.path("keys/release.pub")).unwrap();
    does("registry register m 1.onnx --key release.pem");
    let said = does("registry promote m 1 --stage Production --key release.pem");
    assert!(!said.contains("note"), "{said}");
    assert_eq!(does("registry verify --keys keys"), "nothing is wrong\n");
    setup.start().wait_served("m", 1, SOON);
}

#[test]
fn what_is_not_signed_is_told_with_the_command_that_signs_it() {
    let desk = Desk::with(1);
    desk.done("registry sign --generate-key release.pem");
    fs::create_dir(desk.path("keys")).unwrap();
    fs::copy(desk.path("release.pem.pub"), desk.path("keys/release.pub")).unwrap();
    desk.done("registry register m 2.onnx");
    let said = desk.done("registry promote m 2 --stage Production --key release.pem");
    assert!(said.contains("its promotion is signed, and its content is not"), "{said}");
    assert!(said.contains("`sidegate registry sign m 2 --key FILE` signs it"), "{said}");
    desk.done("registry sign m 2 --key release.pem");
    desk.done("registry sign m 1 --key release.pem");
    let again = desk.done("registry sign m 2 --key release.pem");
    assert!(
        again.contains("version 2 of m is signed by key ") && again.contains(" already; nothing was changed"),
        "{again}"
    );
    for number in [1, 2] {
        desk.done(&format!("registry promote m {number} --stage Production --key release.pem"));
    }
    let said = desk.done("registry rollback m");
    assert!(said.contains("note: its promotion is not signed"), "{said}");
    let said = desk.ends("registry verify --keys keys", 1);
    assert!(said.contains("its promotion to Production is not signed, only an older one is"), "{said}");
    for (reference, expected) in [
        ("m@1", "unsigned  its promotion to Production; only an older one is signed"),
        ("m", "unsigned  version 1: its promotion to Production; only an older one is signed"),
    ] {
        let said = desk.done(&format!("registry show {reference}"));
        assert!(said.contains(expected), "{said}");
    }
    assert_eq!(desk.json("registry show m@1")["stale_promotion"], true);
    assert!(desk.done("registry sign m 1 --key release.pem").contains(": its promotion\n"));
    assert_eq!(desk.done("registry verify --keys keys"), "nothing is wrong\n");
    assert!(!desk.done("registry show m@1").contains("unsigned"));
}

#[test]
fn a_lost_model_json_is_told_by_what_lists_and_by_a_sidecar() {
    let server = Setup::new().start_unready();
    files(&server.path(""), 1..=1);
    let does = |line: &str, code| with(&server, &words(line), code);
    does("registry register m 1.onnx --stage Production", 0);
    server.wait_served("m", 1, SOON);
    let kept = fs::read(server.path("models/m/model.json")).unwrap();
    fs::remove_file(server.path("models/m/model.json")).unwrap();
    let way_out = "`m` had a model.json and has none: put it back from a backup, then `sidegate registry verify m \
                   --raise-epoch`; or move the folder `m` away to begin anew";
    server.wait_log(way_out);
    for line in ["registry ls", "registry ls m", "registry show m"] {
        assert!(does(line, 0).contains(way_out), "{line}");
    }
    for line in ["registry log m", "registry verify m", "registry promote m 1 --stage Staging"] {
        assert!(does(line, 1).contains(way_out), "{line}");
    }
    let shown: Value = serde_json::from_str(&does("registry show m --json", 0)).unwrap();
    assert_eq!(shown["lost"], true);
    // One that is broken has the same way out.
    fs::write(server.path("models/m/model.json"), "{").unwrap();
    let said = does("registry log m", 1);
    for part in ["m/model.json is not JSON", "from a backup", "verify m --raise-epoch"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    // And that is the way out.
    fs::write(server.path("models/m/model.json"), kept).unwrap();
    does("registry verify m --raise-epoch", 0);
    does("registry promote m 1 --stage Archived", 0);
    server.wait_log("no version answers the plain name any more");
}

#[test]
fn what_a_sidecar_would_refuse_is_told_where_it_is_promoted() {
    let desk = Desk::with(2);
    fs::write(desk.path("odd.onnx"), other_signature(3.0)).unwrap();
    desk.done("registry register m odd.onnx");
    for line in ["registry promote m 3 --stage Staging", "registry rollback m --to 3"] {
        let said = desk.done(line);
        assert!(said.contains("signature_changed, unless it is registered with --breaking"), "{said}");
    }
    let said = desk.done("registry rollback m --to 1");
    assert!(!said.contains("never was in Production"), "{said}");
    fs::remove_file(desk.path("models/m/2/model.onnx")).unwrap();
    let said = desk.ends("registry rollback m --to 2", 1);
    assert!(said.contains("version 2 of `m` cannot serve: model.onnx is gone from the registry"), "{said}");
    desk.done("registry rollback m --to 2 --no-check");
    assert!(desk.ends("registry register m 4.onnx --parent 9", 1).contains("no version 9"));
}

#[test]
fn a_place_that_cannot_be_used_is_named_with_the_keys_that_say_so() {
    let desk = Desk::new();
    let gone = desk.path("gone").display().to_string();
    for line in ["registry ls --registry gone", "registry log m --registry gone"] {
        let said = desk.ends(line, 1);
        assert!(said.contains(&format!("the registry {gone} (registry.url) is not there")), "{said}");
    }
    if cfg!(not(feature = "s3")) {
        return;
    }
    let place = "the registry s3://models/prod at http://127.0.0.1:1 (registry.url, registry.endpoint)";
    let bucket = |line: &str| {
        let mut command = command(&desk.path(""), None);
        command.env("SIDEGATE_REGISTRY__ENDPOINT", "http://127.0.0.1:1").args(words(line));
        command.env("AWS_ACCESS_KEY_ID", "k").env("AWS_SECRET_ACCESS_KEY", "s");
        command.args(["--registry", "s3://models/prod"]);
        command
    };
    let said = ended(&bucket("registry ls").output().unwrap(), 1);
    assert!(said.starts_with(&format!("sidegate: {place}: no answer: ")), "{said}");
    // Who changes something waits, and says so.
    let start = Instant::now();
    let mut child = bucket("registry promote m 1 --stage Production").stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
    let after = start.elapsed();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(line.starts_with(&format!("{place} does not answer (no answer: ")), "{line}");
    assert!(line.ends_with("; trying again for up to 30 s\n"), "{line}");
    assert!(after < Duration::from_secs(15), "{after:?}");
}

#[test]
fn small_words_are_right() {
    let desk = Desk::with(4);
    let said = desk.ends("registry gc nobody", 1);
    assert_eq!(said.matches("nobody").count(), 1, "{said}");
    let said = desk.done("registry log m -n 2");
    assert!(said.contains("earlier entries are not shown; -n "), "{said}");
    assert!(!desk.done("registry log m").contains("earlier"));
    desk.done("registry gc m --keep 1");
    for reference in ["m", "m@1"] {
        let said = desk.done(&format!("registry show {reference}"));
        assert!(said.contains("deleted on 20") && !said.contains('{'), "{said}");
    }
    let said = desk.done("registry register m 1.onnx --stage Production");
    assert!(said.contains("it is in Production\narchived: 4\n"), "{said}");
    let said = desk.done("registry register new 1.onnx");
    assert!(said.contains("note: no version of new has a stage, so the highest serves: version 1"), "{said}");
    let said = desk.done("registry promote new 1 --stage Staging");
    assert!(
        said.contains("note: no version of `new` is in Production now, so the plain name means none"),
        "{said}"
    );
}

#[test]
fn a_folder_of_keys_that_is_not_there_is_told_once() {
    let keys = "registry.require_signature = true\nregistry.public_keys_dir = \"gone\"";
    let server = Setup::new().config(keys).start_unready();
    files(&server.path(""), 1..=2);
    let told = || server.log().matches("the keys cannot be read").count();
    for number in 1..=2 {
        with(&server, &words(&format!("registry register m {number}.onnx --stage Production")), 0);
        wait("the version being refused", SOON, || {
            (server.version("m", number)["state"] == "failed").then_some(())
        });
    }
    assert_eq!(told(), 1);
    let mut check = command(&server.path(""), None);
    check.env("SIDEGATE_REGISTRY__PUBLIC_KEYS_DIR", "gone").arg("check");
    let said = ended(&check.output().unwrap(), 2);
    assert!(said.contains("registry.public_keys_dir: key gone"), "{said}");
}
