//! The gateway and the commands on a real object store (`tests/support/seaweed.rs`).

#[path = "../support/seaweed.rs"]
pub(super) mod store;

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::client::Target;
use super::harness::{Setup, command, constant_request, constant_version, example, shipped, wait};
use super::onnx::constant;
use super::protocol::same;
use super::repository::golden;
use super::survival::padded;
use store::{ACCESS_KEY, SECRET_KEY, Seaweed, seaweed};

pub(super) const SOON: Duration = Duration::from_secs(20);

/// A model of this repository, `model.json` last.
fn publish(seaweed: &Seaweed, model: &str) {
    for file in ["1/model.onnx", "1/golden.json", "1/manifest.json", "model.json"] {
        seaweed.put(&format!("team/{model}/{file}"), fs::read(shipped(model).join(file)).unwrap());
    }
}

/// Variables for a process that uses it, and nothing else that this machine may know of AWS.
pub(super) fn environment(seaweed: &Seaweed) -> Vec<(&'static str, String)> {
    vec![
        ("AWS_ENDPOINT_URL", seaweed.endpoint()),
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY.into()),
        ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.into()),
        ("AWS_CONFIG_FILE", "/dev/null".into()),
        ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null".into()),
    ]
}

pub(super) fn on(seaweed: &Seaweed) -> Setup {
    let setup = Setup::new().registry("s3://models/team").config("registry.min_swap_interval_ms = 0");
    environment(seaweed).iter().fold(setup, |setup, (name, value)| setup.variable(name, value))
}

#[test]
fn seaweed_is_served_and_followed_and_its_refusal_is_told() {
    let Some(seaweed) = seaweed() else { return };
    publish(&seaweed, "breast-cancer");
    seaweed.put("team/m/1/model.onnx", constant(1.0));
    let server = on(&seaweed).start();
    let (body, expected) = example("breast-cancer");
    let answer = server.data().post("/v2/models/breast-cancer/infer", body.to_string()).ok();
    same(&answer["outputs"], &expected);
    server.wait_served("m", 1, SOON);
    seaweed.put("team/m/2/model.onnx", constant(2.0));
    server.wait_served("m", 2, SOON);
    assert_eq!(served(&server.data()), 2);

    let server = on(&seaweed).variable("AWS_SECRET_ACCESS_KEY", "wrong").start_unready();
    wait("the reason", SOON, || {
        let answer = server.admin().get("/readyz");
        (answer.status == 503 && answer.text().contains("access was denied")).then_some(())
    });
    assert_eq!(server.admin().get("/livez").status, 200);
    assert!(!server.log().contains(SECRET_KEY));
}

/// The version that answers, whose answer is its number.
fn served(data: &Target) -> u64 {
    constant_version(&data.send(&constant_request("/v2/models/m/infer")))
}

/// What a command says that ends well.
#[track_caller]
fn done(seaweed: &Seaweed, dir: &Path, line: &[&str]) -> String {
    let mut command = command(dir, None);
    command.envs(environment(seaweed)).args(line).args(["--registry", "s3://models/team"]);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !errors.contains(SECRET_KEY), "{line:?}: {said}{errors}");
    said
}

#[test]
fn a_model_lives_on_seaweed_by_commands_alone_from_its_first_version_to_its_garbage() {
    let Some(seaweed) = seaweed() else { return };
    let desk = tempfile::tempdir().unwrap();
    for number in 1..=4_u8 {
        // Above 8 MiB: sent in one write, read by parts, and digested on both ways.
        let bytes = padded(constant(number.into()), 9_000_000);
        fs::write(desk.path().join(format!("{number}.onnx")), bytes).unwrap();
        fs::write(desk.path().join(format!("{number}.json")), golden(number.into()).to_string()).unwrap();
    }
    let does = |line: &str| done(&seaweed, desk.path(), &line.split_whitespace().collect::<Vec<_>>());
    // It begins with the probe: a store that kept to no conditions would be refused.
    does("registry register m 1.onnx --golden 1.json --by ci@build");
    does("registry promote m 1 --stage Production");
    let server = on(&seaweed).start();
    let follows = |version: u64| {
        server.wait_served("m", version, SOON);
        assert_eq!(served(&server.data()), version);
    };
    follows(1);
    does("registry register m 2.onnx --golden 2.json");
    does("registry promote m 2 --stage Production --evidence run:118");
    follows(2);
    let then =
        time::OffsetDateTime::now_utc().format(&time::format_description::well_known::Rfc3339).unwrap();
    // The trail counts in whole seconds.
    std::thread::sleep(Duration::from_millis(1100));
    does("registry rollback m --why refunds");
    follows(1);
    let at = |moment: &str| -> Value {
        let said = done(&seaweed, desk.path(), &["registry", "log", "m", "--json", "--at", moment]);
        serde_json::from_str(&said).unwrap()
    };
    let known = |at: Value| (at["version"].as_u64(), at["verb"].as_str().map(str::to_owned));
    assert_eq!(known(at("2026-01-01")), (None, None));
    assert_eq!(known(at(&then)), (Some(2), Some("promote".into())));
    assert_eq!(known(at("0s ago")), (Some(1), Some("rollback".into())));
    assert_eq!(does("registry verify"), "nothing is wrong\n");
    does("registry hold m --release");
    for number in 3..=4 {
        does(&format!("registry register m {number}.onnx --golden {number}.json --stage Production"));
    }
    follows(4);
    let swept: Value = serde_json::from_str(&does("registry gc m --keep 1 --grace 0s --json")).unwrap();
    assert_eq!(swept[0]["purged"], serde_json::json!([1, 2]), "{swept}");
    for (version, there) in [(1, false), (2, false), (3, true), (4, true)] {
        assert_eq!(!seaweed.keys(&format!("team/m/{version}")).is_empty(), there, "{version}");
    }
    assert_eq!(seaweed.keys("team/_probe"), [""; 0]);
    assert_eq!(does("registry verify"), "nothing is wrong\n");
    follows(4);
    // What one start fetched by parts is in the cache by its digest; another one has to fetch it.
    drop(server);
    let server = on(&seaweed).start();
    assert_eq!(served(&server.data()), 4);
}
