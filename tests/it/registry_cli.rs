//! `sidegate registry …` and `sidegate pin`: the real binary on a folder, with and without a sidecar that follows it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::harness::{Server, Setup, command, run, wait};
use super::onnx::{constant, other_signature, unknown_operator};
use super::repository::golden;

/// Looks come every 50 ms here; a busy machine gets much more.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// A folder to work in; the registry is `models` there, as by default.
pub(crate) struct Desk(TempDir);

/// Standard output, if it ended with this code.
#[track_caller]
pub(crate) fn ended(output: &Output, code: i32) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}{err}");
    assert!(!err.contains("panicked"), "{err}");
    out + &err
}

/// Model files and examples: `1.onnx` answers 1, and `1.json` says so.
pub(crate) fn files(dir: &Path, numbers: std::ops::RangeInclusive<u8>) {
    for number in numbers {
        fs::write(dir.join(format!("{number}.onnx")), constant(number.into())).unwrap();
        fs::write(dir.join(format!("{number}.json")), golden(number.into()).to_string()).unwrap();
    }
}

pub(crate) fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

// === impl Desk ===

impl Desk {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("models")).unwrap();
        files(dir.path(), 1..=4);
        Self(dir)
    }

    /// As [`Desk::new`], with versions of `m`, the last of them in Production.
    pub(crate) fn with(versions: u8) -> Self {
        let desk = Self::new();
        for number in 1..=versions {
            desk.done(&format!("registry register m {number}.onnx --golden {number}.json"));
            desk.done(&format!("registry promote m {number} --stage Production"));
        }
        desk
    }

    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    #[track_caller]
    pub(crate) fn ends(&self, line: &str, code: i32) -> String {
        ended(&run(self.0.path(), &words(line)), code)
    }

    #[track_caller]
    pub(crate) fn done(&self, line: &str) -> String {
        self.ends(line, 0)
    }

    #[track_caller]
    pub(crate) fn json(&self, line: &str) -> Value {
        let output = run(self.0.path(), &[words(line), vec!["--json"]].concat());
        ended(&output, 0);
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

/// A command in the folder of a server, which is asked at its admin port where that matters.
#[track_caller]
pub(crate) fn with(server: &Server, args: &[&str], code: i32) -> String {
    let admin = format!("admin.listen = \"{}\"\n", server.admin);
    fs::create_dir_all(server.path("config")).unwrap();
    fs::write(server.path("config/sidegate.toml"), admin).unwrap();
    ended(&run(&server.path(""), args), code)
}

#[test]
fn a_version_is_registered_promoted_served_and_rolled_back() {
    let server = Setup::new().start_unready();
    files(&server.path(""), 1..=3);
    let does = |line: &str| with(&server, &words(line), 0);
    let said = does("registry register m 1.onnx --golden 1.json --by ci@build");
    assert!(said.contains("version 1 of m (sha256:") && !said.contains("golden"), "{said}");
    let next = said.lines().find_map(|line| line.strip_prefix("next: sidegate ")).unwrap();
    assert_eq!(next, "registry promote m 1 --stage Production");
    does(next);
    server.wait_served("m", 1, SOON);
    let said = does("registry register m 2.onnx");
    assert!(said.contains("no golden examples") && said.contains("--golden golden.json"), "{said}");
    let why = ["--why", "auc 0.81, was 0.79", "--evidence", "run:118"];
    with(&server, &[&words("registry promote m 2 --stage production")[..], &why].concat(), 0);
    server.wait_served("m", 2, SOON);
    // Back, and held there.
    let said = with(&server, &["registry", "rollback", "m", "--why", "refunds doubled"], 0);
    assert!(said.contains("version 1 of m is in Production") && said.contains("held"), "{said}");
    server.wait_served("m", 1, SOON);
    let before = fs::read_to_string(server.path("models/m/model.json")).unwrap();
    let said = with(&server, &words("registry promote m 2 --stage Production"), 1);
    for part in ["held at version 1 by ", "refunds doubled", "sidegate registry hold m --release"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(
        fs::read_to_string(server.path("models/m/model.json")).unwrap(),
        before,
        "nothing was changed"
    );
    let at = does("registry log m --at 2026-01-01");
    assert!(at.contains("no version of m was in Production"), "{at}");
    let at: Value =
        serde_json::from_str(&with(&server, &["registry", "log", "m", "--at", "0s ago", "--json"], 0))
            .unwrap();
    let known = ["model", "version", "verb", "why", "evidence"].map(|name| at[name].clone());
    assert_eq!(
        known,
        [json!("m"), json!(1), json!("rollback"), json!("refunds doubled"), Value::Null],
        "{at}"
    );
    does("registry hold m --release");
    with(&server, &[&words("registry promote m 2 --stage Production")[..], &why].concat(), 0);
    server.wait_served("m", 2, SOON);
    let at = with(&server, &["registry", "log", "m", "--at", "0s ago"], 0);
    for part in
        ["version 2 of m was in Production, since 20", "by promote of ", "auc 0.81, was 0.79", "run:118"]
    {
        assert!(at.contains(part), "{part}: {at}");
    }
}

#[test]
fn what_is_there_is_listed_and_shown() {
    let desk = Desk::with(2);
    desk.done(
        "registry register m 3.onnx --stage staging --alias challenger --metric auc=0.5 --tag team=growth",
    );
    desk.done("registry promote m 2 --alias champion");
    fs::create_dir_all(desk.path("models/bare/4")).unwrap();
    fs::copy(desk.path("4.onnx"), desk.path("models/bare/4/model.onnx")).unwrap();
    fs::create_dir_all(desk.path("models/broken")).unwrap();
    fs::write(desk.path("models/broken/model.json"), "{").unwrap();
    let list = desk.done("registry ls");
    let line = |text: &str, start: &str| {
        let line =
            text.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{start}: {text}"));
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line(&list, "MODEL"), "MODEL SERVES PRODUCTION STAGING ALIASES VERSIONS GENERATION HOLD");
    assert_eq!(line(&list, "m "), "m 2 2 3 champion=2, challenger=3 3 10 -");
    assert_eq!(line(&list, "bare "), "bare 4 - - - 1 - -");
    assert!(line(&list, "note: broken: ").contains("model.json"), "{list}");
    let list = desk.json("registry ls");
    assert_eq!(
        (&list[0]["managed"], &list[1]["default"], list[2]["problem"].is_string()),
        (&json!(false), &json!("2"), true)
    );
    let versions = desk.done("registry ls m");
    assert!(line(&versions, "3 ").starts_with("3 Staging challenger ready 20"), "{versions}");
    assert!(line(&versions, "3 ").ends_with(" B auc=0.5"), "{versions}");
    let staging = desk.json("registry ls --stage staging");
    assert_eq!(
        (staging.as_array().unwrap().len(), &staging[0]["model"], &staging[0]["version"]),
        (1, &json!("m"), &json!("3"))
    );
    for (reference, version) in [("m@1", "1"), ("m@production", "2"), ("m@challenger", "3")] {
        assert_eq!(desk.json(&format!("registry show {reference}"))["version"], version, "{reference}");
    }
    let shown = desk.json("registry show m@3");
    let names = ["stage", "state", "metrics", "tags", "signatures"].map(|name| shown[name].clone());
    assert_eq!(
        names,
        [json!("Staging"), json!("ready"), json!({"auc": 0.5}), json!({"team": "growth"}), json!([])]
    );
    assert_eq!(shown["signature"]["inputs"][0], json!({"name": "x", "datatype": "FP32", "shape": [-1, 4]}));
    let page = desk.done("registry show m@3");
    for part in ["m/3\n", "inputs    x: FP32 [-1,4]\n", "tags      team=growth\n", "model.onnx, "] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let page = desk.done("registry show m");
    assert!(
        page.contains("m: generation 10, epoch 1\n") && page.contains("champion=2, challenger=3"),
        "{page}"
    );
    assert!(desk.ends("registry show m@9", 1).contains("its versions are 1, 2, 3"));
    assert!(desk.ends("registry show nobody", 1).contains("sidegate registry ls"));
    desk.done("registry show bare@4");
}

#[test]
fn versions_are_compared_and_traced() {
    let desk = Desk::new();
    fs::write(desk.path("metrics.json"), r#"{"auc": 0.8, "zero": 0, "only_first": 1}"#).unwrap();
    desk.done("registry register m 1.onnx --metrics-file metrics.json --param depth=6 --param kind=gbdt --run r1 --data-source sha256:aa");
    desk.done("registry register m 2.onnx --metric auc=0.82 --metric zero=0.1 --param depth=8 --param kind=gbdt --parent 1 \
               --code git:4f2c --data-source a.csv --data-source b.csv --tag team=growth");
    let comparison = desk.json("registry compare m 1 2");
    let side = |version: &str| {
        let mut side = comparison[version].clone();
        assert!(side["created"].take().as_str().unwrap().starts_with("20"));
        side
    };
    assert_eq!(
        side("version1"),
        json!({"version": "1", "stage": "None", "created": null, "metrics": {"auc": 0.8, "zero": 0, "only_first": 1},
               "params": {"depth": 6, "kind": "gbdt"}})
    );
    assert_eq!(side("version2")["params"], json!({"depth": 8, "kind": "gbdt"}));
    let metrics = &comparison["metric_comparison"];
    let names: Vec<&String> = metrics.as_object().unwrap().keys().collect();
    assert_eq!(names, ["auc", "only_first", "zero"]);
    assert_eq!(metrics["only_first"]["version2"], Value::Null);
    assert_eq!((&metrics["auc"]["version1"], &metrics["auc"]["version2"]), (&json!(0.8), &json!(0.82)));
    assert!((metrics["auc"]["improvement"].as_f64().unwrap() - 2.5).abs() < 1e-9, "{metrics}");
    assert_eq!(metrics["zero"]["improvement"], Value::Null);
    let table = desk.done("registry compare m 1 2");
    assert!(table.contains("+2.50 %  2\n") && table.contains("depth      6          8\n"), "{table}");
    let lineage = desk.json("registry lineage m");
    let mut second = lineage["versions"][1].clone();
    second["created"].take();
    assert_eq!(
        (&lineage["model_name"], second),
        (
            &json!("m"),
            json!({"version": "2", "stage": "None", "created": null, "run_id": null,
            "data_sources": ["a.csv", "b.csv"], "training_params": {"depth": 8, "kind": "gbdt"},
            "performance_metrics": {"auc": 0.82, "zero": 0.1}, "tags": {"team": "growth"}, "parent": "1", "code": "git:4f2c", "gate": {}})
        )
    );
    let first = &lineage["versions"][0];
    assert_eq!((&first["run_id"], &first["data_sources"]), (&json!("r1"), &json!(["sha256:aa"])));
    let table = desk.done("registry lineage m");
    assert!(table.contains("git:4f2c") && table.contains("a.csv, b.csv"), "{table}");
}

#[test]
fn what_cannot_be_done_is_refused_with_its_exit_code() {
    let desk = Desk::with(2);
    fs::write(desk.path("page.onnx"), "<html>").unwrap();
    fs::write(desk.path("odd.onnx"), unknown_operator()).unwrap();
    fs::write(desk.path("metrics.json"), r#"{"auc": "high"}"#).unwrap();
    let before = desk.json("registry show m")["generation"].clone();
    for (line, code, part) in [
        ("registry register m page.onnx", 1, "nothing was changed (--no-check"),
        ("registry register m gone.onnx", 1, "nothing was changed"),
        ("registry register m 1.json", 1, "nothing was changed"),
        ("registry register m models/m", 1, "name one of them"),
        ("registry register m 1.onnx --golden gone.json", 1, "nothing was changed"),
        ("registry register m 1.onnx --prediction z", 1, "no output `z`; it has y"),
        ("registry register m 1.onnx --columns a,b", 1, "2 names for the 4 columns"),
        ("registry register m 1.onnx --metrics-file metrics.json", 2, "`auc` is no number"),
        ("registry register m 1.onnx --metrics-file gone.json", 2, "gone.json"),
        ("registry register m 1.onnx --key 1.onnx", 2, "key 1.onnx"),
        ("registry register m 1.onnx --registry x.onnx", 2, "one model file"),
        ("registry register m 1.onnx --metric auc=high", 2, "auc=0.81"),
        ("registry promote m 9 --stage Production", 1, "no version 9; it has 1, 2"),
        ("registry promote m 2 --stage Staging --rollout 10m", 1, "rollout is to Production"),
        ("registry promote m 2 --stage Live", 2, "None, Staging, Production or Archived"),
        ("registry promote m 2", 2, "--stage <STAGE>|--alias <ALIAS>|--remove-alias <ALIAS>"),
        ("registry promote m --stage Production", 2, "VERSION"),
        ("registry promote m 2 --remove-alias old", 2, "cannot be used with"),
        ("registry promote m --alias a --remove-alias old", 2, "cannot be used with"),
        ("registry promote m 2 --alias a --override-hold", 2, "--stage"),
        ("registry hold m 2 --release", 2, "cannot be used with"),
        ("registry promote nobody 1 --stage Production", 1, "no model.json of `nobody`"),
        ("registry rollback m --to 7", 1, "no version 7"),
        ("registry hold m --release", 1, "not held"),
        ("registry compare m 1 7", 1, "no version 7"),
        ("registry lineage nobody", 1, "nobody"),
        ("registry log m --at noon", 2, "2026-11-23T02:00:00Z"),
        ("registry gc --grace 7", 2, "7d"),
        ("registry verify nobody", 1, "nobody"),
        ("registry verify --keys gone", 2, "gone"),
        ("registry sign m 1 --key gone", 2, "gone"),
        ("registry ls --registry gone", 1, "registry"),
        ("registry ls --config gone.toml", 2, "gone.toml"),
        ("registry frobnicate", 2, "frobnicate"),
        ("registry", 2, "Usage"),
        ("pin m", 2, "VERSION"),
        ("pin m 1 --admin 127.0.0.1:1", 1, "is sidegate running?"),
        ("registry sync --admin 127.0.0.1:1", 1, "is sidegate running?"),
    ] {
        let said = desk.ends(line, code);
        assert!(said.contains(part), "{line}: {said}");
    }
    assert_eq!(desk.json("registry show m")["generation"], before);
    // What this sidegate cannot serve another one may.
    let said = desk.done("registry register m page.onnx --no-check");
    assert!(said.contains("note: this sidegate cannot serve it: parse: "), "{said}");
    assert_eq!(desk.json("registry show m@3")["signature"], Value::Null);
    desk.done("registry register m odd.onnx --no-check");
    // Twice the same is no failure, and changes nothing.
    let again = desk.json("registry promote m 2 --stage Production");
    assert_eq!((&again["mutation"], &again["stage"]), (&Value::Null, &json!("Production")));
    assert!(desk.done("registry promote m 2 --stage Production").contains("already; nothing was changed"));
}

#[test]
fn who_did_it_is_in_the_audit() {
    let desk = Desk::new();
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim().to_owned();
    let register = |user: Option<&str>, args: &[&str]| {
        let mut command = command(desk.0.path(), None);
        for name in ["USER", "LOGNAME"] {
            command.env_remove(name);
        }
        command.envs(user.map(|user| ("USER", user)));
        ended(&command.args([&words("registry register m 1.onnx")[..], args].concat()).output().unwrap(), 0);
        desk.json("registry log m -n 1")["entries"][0]["by"].as_str().unwrap().to_owned()
    };
    assert_eq!(register(Some("ann"), &[]), format!("ann@{host}"));
    let number = register(None, &[]);
    assert!(number.starts_with("uid") && number.ends_with(&format!("@{host}")), "{number}");
    assert_eq!(register(Some("ann"), &["--by", "ci run 118"]), "ci run 118");
    // A change that is asked about can be found.
    let log = desk.json("registry log m");
    let mutation = log["entries"][0]["mutation"].as_str().unwrap();
    assert!(desk.done("registry log m").contains(mutation));
}

#[test]
fn what_a_registration_rests_on_is_in_the_audit() {
    let desk = Desk::with(1);
    desk.done("registry register m 2.onnx --stage Production --why better --evidence run:118");
    let log = desk.json("registry log m");
    let entries = log["entries"].as_array().unwrap().iter().filter(|entry| entry["evidence"] == "run:118");
    let mut verbs: Vec<&str> = entries.map(|entry| entry["verb"].as_str().unwrap()).collect();
    verbs.sort_unstable();
    assert_eq!(verbs, ["archive", "promote", "register"], "{log}");
    let output = run(desk.0.path(), &["registry", "log", "m", "--at", "0s ago"]);
    assert!(ended(&output, 0).contains("run:118"));
}

#[test]
fn the_folder_of_a_version_is_registered_with_what_it_says() {
    let desk = Desk::with(1);
    desk.done(
        "registry register m 2.onnx --golden 2.json --columns a,b,c,d --prediction y --metric auc=0.8 --tag team=growth --breaking",
    );
    // What no flag says, and what this program does not know.
    let path = desk.path("models/m/2/manifest.json");
    let mut manifest: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    manifest["gate"] = json!({"rule": "auc >= champion", "champion": 0.79});
    manifest["later"] = json!([1, {"a": null}]);
    manifest["stage"] = json!("what model.json says");
    fs::write(&path, manifest.to_string()).unwrap();
    let said = desk.done("registry register other models/m/2 --metric auc=0.9 --registry elsewhere");
    assert!(
        said.contains("next: sidegate registry promote other 1 --stage Production --registry elsewhere\n"),
        "{said}"
    );
    assert!(!said.contains("golden"), "{said}");
    let shown = desk.json("registry show other@1 --registry elsewhere");
    assert_eq!(
        [&shown["columns"], &shown["prediction"], &shown["metrics"], &shown["tags"], &shown["breaking"]],
        [
            &json!(["a", "b", "c", "d"]),
            &json!("y"),
            &json!({"auc": 0.9}),
            &json!({"team": "growth"}),
            &json!(true)
        ]
    );
    assert!(shown["files"]["golden.json"].is_object(), "{shown}");
    assert_eq!((&shown["gate"], &shown["later"]), (&manifest["gate"], &manifest["later"]));
    assert_eq!((&shown["stage"], shown.get("format")), (&json!("None"), None));
    let page = desk.done("registry show other@1 --registry elsewhere");
    assert!(page.contains("gate        champion=0.79 rule=auc >= champion\n"), "{page}");
    let lineage = desk.json("registry lineage other --registry elsewhere");
    assert_eq!(lineage["versions"][0]["gate"], manifest["gate"]);
    let written = fs::read(desk.path("elsewhere/other/1/manifest.json")).unwrap();
    let written: Value = serde_json::from_slice(&written).unwrap();
    let fields = ["format", "stage", "later", "gate"].map(|name| &written[name]);
    let expected = [&json!(1), &manifest["stage"], &manifest["later"], &manifest["gate"]];
    assert_eq!(fields, expected);
}

#[test]
fn a_hold_names_a_version_and_a_person_overrides_it() {
    let desk = Desk::with(2);
    let said = desk.ends("registry hold m 1 --why fair", 1);
    assert!(said.contains("not version 1"), "{said}");
    desk.done("registry promote m 1 --stage Production --keep-existing");
    assert_eq!(desk.done("registry hold m 1 --why fair"), "m is held at version 1\n");
    assert_eq!(desk.json("registry show m")["hold"]["version"], 1);
    let said = desk.done("registry promote m 2 --stage Production --override-hold --why sure");
    assert!(
        said.contains("note: the hold on version 1 by ") && said.contains("(fair) was released"),
        "{said}"
    );
    assert_eq!(desk.json("registry show m")["hold"], Value::Null);
    let log = desk.json("registry log m -n 2");
    let said = log["entries"].as_array().unwrap().iter().map(|entry| (&entry["verb"], &entry["why"]));
    assert!(said.clone().any(|said| said == (&json!("release"), &json!("overridden"))), "{log}");
}

#[test]
fn an_alias_is_taken_away_and_means_nothing_any_more() {
    let desk = Desk::with(2);
    desk.done("registry promote m 1 --alias old");
    let output =
        run(desk.0.path(), &["registry", "promote", "m", "--remove-alias", "old", "--why", "unused"]);
    assert_eq!(ended(&output, 0), "m@old means nothing any more; it meant version 1\n");
    assert!(desk.ends("registry show m@old", 1).contains("no alias `old`"));
    assert!(desk.ends("registry promote m --remove-alias old", 1).contains("no alias `old`; it has none"));
    let log = desk.json("registry log m -n 1");
    let entry = ["verb", "alias", "from", "why"].map(|name| &log["entries"][0][name]);
    assert_eq!(entry, [&json!("alias"), &json!("old"), &json!("1"), &json!("unused")]);
    desk.done("registry promote m 1 --alias old");
    let taken = desk.json("registry promote m --remove-alias old");
    let told = ["model", "alias", "version", "before"].map(|name| &taken[name]);
    assert_eq!(told, [&json!("m"), &json!("old"), &Value::Null, &json!(1)]);
}

#[test]
fn damage_is_found() {
    let desk = Desk::with(2);
    assert_eq!(desk.done("registry verify"), "nothing is wrong\n");
    let path = desk.path("models/m/1/model.onnx");
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, bytes).unwrap();
    let said = desk.ends("registry verify", 1);
    assert!(said.contains("error     m      1        model.onnx has other content"), "{said}");
    let output = run(desk.0.path(), &["registry", "verify", "m", "--json"]);
    ended(&output, 1);
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&found["ok"], &found["findings"][0]["severity"]), (&json!(false), &json!("error")));
    // Raising the epoch is a change of its own.
    let said = desk.ends("registry verify m --raise-epoch --why restored", 1);
    assert!(said.contains("the epoch of m is 2 now"), "{said}");
    let log = desk.json("registry log m -n 1");
    assert_eq!(
        (&log["entries"][0]["verb"], &log["entries"][0]["why"]),
        (&json!("epoch"), &json!("restored"))
    );
}

#[test]
fn old_versions_go_when_their_grace_is_over() {
    let desk = Desk::with(4);
    let before = fs::read_to_string(desk.path("models/m/model.json")).unwrap();
    let said = desk.done("registry gc --keep 1 --grace 0s --dry-run");
    assert!(
        said.contains("m      1, 2    -        -        1, 2\n") && said.contains("nothing was changed"),
        "{said}"
    );
    assert_eq!(fs::read_to_string(desk.path("models/m/model.json")).unwrap(), before);
    assert!(desk.path("models/m/1/model.onnx").exists());
    assert!(
        desk.done("registry gc m --keep 1").contains("m      1, 2    -        -        -\n"),
        "the grace is a week"
    );
    assert!(desk.path("models/m/1/model.onnx").exists());
    let swept = desk.json("registry gc m --keep 1 --grace 0s");
    assert_eq!((&swept[0]["model"], &swept[0]["purged"]), (&json!("m"), &json!([1, 2])));
    assert!(!desk.path("models/m/1").join("model.onnx").exists());
    // 3 is the newest beside what serves, and what a rollback goes to.
    assert_eq!(desk.json("registry show m")["versions"].as_array().unwrap().len(), 2);
    assert!(desk.ends("registry gc nobody", 1).contains("nobody"));
}

#[test]
fn where_signatures_are_required_only_what_is_signed_serves() {
    let setup = Setup::new().config("registry.require_signature = true\nregistry.public_keys_dir = \"keys\"");
    files(&setup.path(""), 1..=2);
    fs::create_dir(setup.path("keys")).unwrap();
    let does = |line: &str| ended(&run(&setup.path(""), &words(line)), 0);
    does("registry sign --generate-key release.pem");
    let mode = fs::metadata(setup.path("release.pem")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "only its owner reads it");
    let private = fs::read(setup.path("release.pem")).unwrap();
    ended(&run(&setup.path(""), &words("registry sign --generate-key release.pem")), 1);
    assert_eq!(fs::read(setup.path("release.pem")).unwrap(), private, "a key is not overwritten");
    fs::copy(setup.path("release.pem.pub"), setup.path("keys/release.pub")).unwrap();
    does("registry register m 1.onnx --golden 1.json --stage Production");
    let server = setup.start_unready();
    wait("the version being refused", SOON, || (server.version("m", 1)["state"] == "failed").then_some(()));
    assert_eq!(server.version("m", 1)["reason"]["code"], "bad_signature");
    let does = |line: &str, code| with(&server, &words(line), code);
    assert!(does("registry verify m --keys keys", 1).contains("signature is missing"), "who asks is told");
    let said = does("registry sign m 1 --key release.pem", 0);
    assert!(said.contains(": its content and its promotion"), "{said}");
    server.wait_served("m", 1, SOON);
    assert!(does("registry sign m 1 --key release.pem", 0).contains(" already; nothing was changed"));
    // Signed as it is registered and promoted.
    does("registry register m 2.onnx --golden 2.json --key release.pem", 0);
    let said = does("registry promote m 2 --stage Production", 0);
    assert!(said.contains("note: its promotion is not signed"), "{said}");
    assert_eq!(server.models()[0]["versions"][0]["state"], "serving");
    does("registry promote m 1 --stage Production --key release.pem", 0);
    does("registry promote m 2 --stage Production --key release.pem", 0);
    server.wait_served("m", 2, SOON);
    does("registry verify m --keys keys", 0);
    let shown = does("registry show m@2", 0);
    assert!(shown.contains("its promotion to Production, by key "), "{shown}");
}

#[test]
fn what_cannot_be_meant_is_told() {
    let desk = Desk::new();
    assert!(desk.ends("registry verify", 1).contains("nothing was checked"));
    fs::write(desk.path("odd.json"), br#"{"format": 1, "cases": [{"inputs": []}]}"#).unwrap();
    let said = desk.ends("registry register m 1.onnx --golden odd.json", 1);
    assert!(said.contains("odd.json") && said.contains("nothing was changed"), "{said}");
    assert!(!desk.path("models/m").exists());
    desk.done("registry register m 1.onnx --golden 1.json --stage Production");
    let output = run(desk.path("").as_path(), &["registry", "hold", "m", "--why", "\u{1b}]0;owned\u{7}"]);
    ended(&output, 0);
    let said = desk.ends("registry promote m 1 --stage Archived", 1);
    assert!(said.contains("owned") && !said.contains(['\u{1b}', '\u{7}']), "{said:?}");
}

#[test]
fn one_sidecar_is_pinned_rolled_back_and_synced() {
    let setup = Setup::new().only_config("registry.poll_interval_ms = 3600000\n");
    files(&setup.path(""), 1..=3);
    let does = |line: &str| ended(&run(&setup.path(""), &words(line)), 0);
    does("registry register m 1.onnx --stage Production");
    let server = setup.start();
    let does = |line: &str, code| with(&server, &words(line), code);
    let said = does("registry rollback m --local", 1);
    assert!(said.contains("no version of `m` that served before"), "{said}");
    does("registry register m 2.onnx --stage Production", 0);
    assert_eq!(does("registry sync m", 0), "m is as the registry says\n");
    server.wait_served("m", 2, SOON);
    let said = does("registry rollback m --local", 0);
    assert!(said.contains("serves version 1 of m") && said.contains("sidegate pin m --release"), "{said}");
    server.wait_served("m", 1, SOON);
    assert_eq!(does("pin m --show", 0), "m is pinned to version 1\n");
    assert!(does("registry sync m", 0).contains("m is pinned to version 1, whatever the registry says"));
    assert_eq!(does("pin m 2", 0), "m is pinned to version 2\n");
    server.wait_served("m", 2, SOON);
    let shown: Value = serde_json::from_str(&does("pin m --show --json", 0)).unwrap();
    assert_eq!(shown, json!({"model": "m", "pin": "2"}));
    assert!(does("pin m 9", 1).contains("lists no version 9"));
    assert_eq!(does("pin m --show", 0), "m is pinned to version 2\n", "what is refused changes nothing");
    assert_eq!(does("pin m --release", 0), "m follows the registry\n");
    does("pin nobody --show", 1);
    // A pin on what cannot be loaded says that it holds.
    fs::write(server.path("odd.onnx"), other_signature(3.0)).unwrap();
    does("registry register m odd.onnx", 0);
    does("registry sync", 0);
    let said = does("pin m 3", 1);
    assert!(said.contains("signature_changed") && said.contains("the pin holds"), "{said}");
    server.wait_served("m", 2, SOON);
    does("pin m --release", 0);
    assert!(does("registry sync nobody", 1).contains("nobody"));
}

/// The commands of a help text: two spaces, the command, and perhaps what it does behind some more.
fn examples(help: &str) -> Vec<String> {
    let lines = help.lines().filter_map(|line| line.strip_prefix("  sidegate "));
    // `jq` may not be there.
    let commands = lines.map(|line| line.split("  ").next().unwrap().split(" | ").next().unwrap());
    commands.map(|command| format!("sidegate {command}")).collect()
}

#[test]
fn every_example_runs_as_typed() {
    let server = Setup::new().start_unready();
    let does = |line: &str| with(&server, &words(line), 0);
    let binary = Path::new(env!("CARGO_BIN_EXE_sidegate")).parent().unwrap();
    files(&server.path(""), 1..=8);
    fs::create_dir(server.path("keys")).unwrap();
    fs::copy(server.path("8.onnx"), server.path("model.onnx")).unwrap();
    fs::copy(server.path("8.json"), server.path("golden.json")).unwrap();
    does("registry sign --generate-key own.pem");
    fs::copy(server.path("own.pem.pub"), server.path("keys/own.pub")).unwrap();
    for number in 1..=7 {
        does(&format!(
            "registry register churn {number}.onnx --metric auc=0.{number} --stage Production --key own.pem"
        ));
    }
    does("registry promote churn 7 --alias champion");
    server.wait_served("churn", 7, SOON);
    // In an order in which each finds what it needs: a hold is over before anything is rolled back, and so on.
    let verbs = "ls show register sign promote hold compare lineage log sync rollback verify gc";
    let helps = words(verbs).into_iter().map(|verb| vec!["registry", verb]).chain([vec!["pin"]]);
    let mut count = 0;
    for help in helps {
        if help.ends_with(&["verify"]) {
            // What a rollback without a key leaves behind.
            does("registry sign churn 5 --key own.pem");
        }
        let text = does(&[help.join(" "), "--help".into()].join(" "));
        let examples = examples(&text);
        assert!(examples.len() >= 2, "{text}");
        for example in examples {
            // The default port may be somebody else's.
            let line = example.replace("127.0.0.1:8002", &server.admin.to_string());
            let shell = format!("PATH={}:$PATH; set -e; {line}", binary.display());
            let said = ended(&command(&server.path(""), Some(&shell)).arg("--version").output().unwrap(), 0);
            assert!(said.len() > 20, "{line}: {said}");
            let sync = || run(&server.path(""), &["registry", "sync"]).status.success().then_some(());
            wait(&format!("what came of {line}"), SOON, sync);
            count += 1;
        }
    }
    assert!(count > 35, "{count} examples");
}
