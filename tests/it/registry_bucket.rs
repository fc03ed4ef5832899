//! `sidegate registry …` on a bucket: what is sent so that no publisher overwrites another.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::bucket::{Bucket, Fault, Request, Rule};
use super::harness::command;
use super::onnx::constant;
use super::repository::golden;

/// A bucket, and a folder with model files and examples to work in.
struct Desk {
    bucket: Bucket,
    dir: TempDir,
}

// === impl Desk ===

impl Desk {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("1.onnx"), constant(1.0)).unwrap();
        std::fs::write(dir.path().join("1.json"), golden(1.0).to_string()).unwrap();
        Self { bucket: Bucket::start(), dir }
    }

    /// With version 1 of `m`.
    fn with_version() -> Self {
        let desk = Self::new();
        desk.done("registry register m 1.onnx --golden 1.json");
        desk.bucket.take_requests();
        desk
    }

    /// What a command says, if it ends with this code.
    #[track_caller]
    fn ends(&self, line: &str, code: i32) -> String {
        let mut command = command(self.dir.path(), None);
        command.envs(self.bucket.environment()).args(line.split_whitespace());
        let output = command.args(["--registry", &self.bucket.url()]).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert_eq!(output.status.code(), Some(code), "{line}: {said}");
        assert!(!said.contains("panicked"), "{said}");
        said
    }

    #[track_caller]
    fn done(&self, line: &str) -> String {
        self.ends(line, 0)
    }

    fn index(&self) -> Value {
        read(&self.bucket.folder().join("m/model.json"))
    }

    /// Keys of what is in the bucket, outside versions.
    fn top(&self) -> Vec<String> {
        // Without any object there is no folder.
        let entries = std::fs::read_dir(self.bucket.folder()).into_iter().flatten();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().to_str().unwrap().to_owned()).collect();
        names.sort();
        names
    }

    /// The writes of one object since this was last asked.
    fn writes(&self, key: &str) -> Vec<Request> {
        let requests = self.bucket.take_requests().into_iter();
        requests.filter(|request| request.method == "PUT" && request.target.contains(key)).collect()
    }
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The conditions of writes: `*` for "not there yet", else the token that is to be replaced.
fn conditions(writes: &[Request]) -> Vec<String> {
    let condition = |write: &Request| match (write.header("if-none-match"), write.header("if-match")) {
        (Some(absent), None) => absent.to_owned(),
        (None, Some(token)) => token.to_owned(),
        other => panic!("{}: {other:?}", write.target),
    };
    writes.iter().map(condition).collect()
}

#[test]
fn everything_that_is_written_to_a_bucket_is_written_on_a_condition() {
    let desk = Desk::new();
    let said = desk.done("registry register m 1.onnx --golden 1.json");
    assert!(said.contains(&format!("--stage Production --registry {}", desk.bucket.url())), "{said}");
    let registered: Vec<_> =
        desk.bucket.take_requests().into_iter().filter(|request| request.method == "PUT").collect();
    // Reserved, then listed; the files between them.
    let of = |part: &str| {
        conditions(&registered.iter().filter(|w| w.target.contains(part)).cloned().collect::<Vec<_>>())
    };
    let index = of("/m/model.json");
    assert!(index.len() == 2 && index[0] == "*" && index[1].len() > 8, "{index:?}");
    assert_eq!(of("/m/1/"), ["*"; 3], "model, examples and manifest are written once");
    assert_eq!(of("/_index.json")[0], "*");
    // The probe of a store that is not known yet.
    let probe = of("/_probe");
    assert_eq!(probe[..2], ["*", "*"]);
    assert!(probe.len() == 4 && probe[2] == probe[3] && probe[2] != "*", "{probe:?}");
    assert!(conditions(&registered).iter().all(|condition| !condition.is_empty()));
    assert_eq!(desk.top(), ["_index.json", "m"], "the probe is gone");

    desk.done("registry promote m 1 --stage Production");
    let promoted = conditions(&desk.writes("/m/model.json"));
    assert!(promoted.len() == 1 && promoted[0] != index[1] && promoted[0] != "*", "{promoted:?}");
    assert!(desk.done("registry ls").contains("m      1       1"), "{}", desk.done("registry ls"));
    assert_eq!(desk.done("registry verify"), "nothing is wrong\n");
    desk.bucket.set_fault(Fault::Answer(403, "AccessDenied"));
    let said = desk.ends("registry promote m 1 --stage Archived", 1);
    for words in ["access was denied", "do the credentials allow s3:", "nothing was changed"] {
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[test]
fn of_four_publishers_at_once_every_one_gets_his_change_and_no_one_loses_it() {
    let desk = Desk::with_version();
    let before = desk.index()["generation"].as_u64().unwrap();
    // All of them have read before the first one writes.
    let late = Rule::new(Fault::Delay(Duration::from_secs(2))).method("PUT").key("/m/model.json").times(4);
    desk.bucket.set_rules(vec![late]);
    std::thread::scope(|scope| {
        for who in ["a", "b", "c", "d"] {
            let desk = &desk;
            scope.spawn(move || desk.done(&format!("registry promote m 1 --alias {who}")));
        }
    });
    let index = desk.index();
    assert_eq!(index["aliases"], json!({"a": 1, "b": 1, "c": 1, "d": 1}));
    assert_eq!(index["generation"], before + 4);
    let writes = conditions(&desk.writes("/m/model.json"));
    let stale = writes.iter().filter(|condition| **condition == writes[0]).count();
    assert!(writes.len() > 4 && stale > 1, "stale writes were sent, and lost: {writes:?}");
    let audit = index["audit"].as_array().unwrap();
    let ids: std::collections::BTreeSet<_> = audit.iter().map(|entry| entry["mutation"].as_str()).collect();
    assert_eq!(ids.len() as u64, before + 4, "every change once: {audit:?}");
}

#[test]
fn a_bucket_that_ignores_conditions_is_written_only_where_there_is_one_writer() {
    let desk = Desk::new();
    desk.bucket.set_fault(Fault::IgnoreConditions);
    let said = desk.ends("registry register m 1.onnx --golden 1.json", 1);
    for words in ["does not keep to the conditions", "registry.single_writer = true"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert_eq!(desk.top(), [""; 0], "nothing was written, and the probe is gone");
    std::fs::create_dir(desk.dir.path().join("config")).unwrap();
    std::fs::write(desk.dir.path().join("config/sidegate.toml"), "registry.single_writer = true\n").unwrap();
    desk.done("registry register m 1.onnx --golden 1.json --stage Production");
    assert_eq!(desk.done("registry verify"), "nothing is wrong\n");
}

#[test]
fn a_change_whose_answer_was_lost_is_found_and_not_made_again() {
    let desk = Desk::with_version();
    let before = desk.index()["generation"].as_u64().unwrap();
    let lost = Rule::new(Fault::LostReply).method("PUT").key("/m/model.json").times(1);
    desk.bucket.set_rules(vec![lost]);
    desk.done("registry promote m 1 --stage Production --why once");
    let index = desk.index();
    assert_eq!(index["generation"], before + 1);
    let audit = index["audit"].as_array().unwrap();
    assert_eq!(audit.iter().filter(|entry| entry["why"] == "once").count(), 1, "{audit:?}");
    // As often as it takes to see that it was made, and always for the state before.
    let writes = conditions(&desk.writes("/m/model.json"));
    assert!(writes.iter().all(|condition| *condition == writes[0]), "{writes:?}");
    assert_eq!(desk.done("registry verify"), "nothing is wrong\n");
}
