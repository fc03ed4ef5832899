//! One experiment on several replicas that come and go, decided once for all.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::harness::{Server, Setup, command, example, run, shipped, wait};
use super::onnx::{fails_on_rows, regression};
use super::repository::{Extras, Repository};

const SOON: Duration = Duration::from_secs(20);

/// The shipped model of delays against the mean, which is what one does without a model.
fn config(more: &str) -> String {
    format!(
        "registry.poll_interval_ms = 50\nexperiments.receipt_key_file = \"receipt.key\"\n\
         experiments.publish_interval_ms = 200\n[experiments.trees]\nmodel = \"flight-delay\"\nunit = \"header:x-user\"\n\
         default = \"mean\"\nvariants = {{ mean = \"production\", trees = \"2\" }}\nmin_runtime_ms = 0\nplanned_units = 1000\n\
         mode = \"auto\"\n{more}"
    )
}

/// A registry with both versions, and who looks at it.
struct Fleet {
    shared: tempfile::TempDir,
    config: String,
}

impl Fleet {
    fn new(config: String, candidate: &[u8]) -> Self {
        let shared = tempfile::tempdir().unwrap();
        let repository = Repository::new(shared.path());
        repository.version("flight-delay", 1, &regression("input", 8, "variable", 7.0), &Extras::default());
        repository.version("flight-delay", 2, candidate, &Extras::default());
        repository.index("flight-delay", &[(1, "Production"), (2, "Staging")], &[]);
        fs::write(shared.path().join("sidegate.toml"), &config).unwrap();
        Self { shared, config }
    }

    fn replica(&self) -> Server {
        let setup = Setup::new().only_config(&self.config).registry(self.shared.path().to_str().unwrap());
        fs::write(setup.path("receipt.key"), "a-key-that-every-replica-has\n").unwrap();
        let server = setup.start();
        wait("both variants", SOON, || {
            let experiments = server.admin().get("/experiments").ok();
            let variants = experiments[0]["variants"].as_array()?;
            variants.iter().all(|variant| variant["version"].is_string()).then_some(())
        });
        server
    }

    /// One look of the monitor.
    fn look_at(&self) -> Value {
        serde_json::from_str(self.does(&["monitor", "--once", "--json"]).trim()).unwrap()
    }

    /// One look, at which nothing was wrong.
    fn look(&self) -> Value {
        let view = self.look_at();
        assert!(view["error"].is_null(), "{view} {:?}", self.objects());
        view
    }

    fn does(&self, args: &[&str]) -> String {
        let folder = self.shared.path();
        fs::write(folder.join("receipt.key"), "a-key-that-every-replica-has\n").unwrap();
        let place = ["--registry", ".", "--config", "sidegate.toml"];
        let output = run(folder, &[args, &place].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn index(&self) -> Value {
        serde_json::from_slice(&fs::read(self.shared.path().join("flight-delay/model.json")).unwrap())
            .unwrap()
    }

    fn objects(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        let mut folders = vec![self.shared.path().join("_experiments")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().map(Result::unwrap) {
                if entry.path().is_dir() {
                    folders.push(entry.path());
                } else {
                    names.insert(Path::new(&entry.file_name()).display().to_string());
                }
            }
        }
        names
    }
}

/// Asks for the delay of a flight; the variant and the receipt.
fn ask(server: &Server, user: &str, body: &Value) -> (u16, String, String) {
    let headers = [("x-user", user), ("x-sidegate-receipt", "1")];
    let answer = server.data().post_with("/v2/models/flight-delay/infer", &headers, body.to_string());
    let receipt = answer.header("x-sidegate-receipt").unwrap_or_default().to_owned();
    let variant = answer.json()["parameters"]["variant"].as_str().unwrap_or_default().to_owned();
    (answer.status, variant, receipt)
}

#[test]
fn a_monitor_ends_when_it_is_told_to() {
    let fleet = Fleet::new(config("metric = \"squared_error\"\n"), &regression("input", 8, "variable", 9.0));
    let args = ["monitor", "--interval", "1h", "--registry", ".", "--config", "sidegate.toml"];
    fs::write(fleet.shared.path().join("receipt.key"), "a-key-that-every-replica-has\n").unwrap();
    let mut monitor =
        command(fleet.shared.path(), None).args(args).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(monitor.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("no sidecar has published anything"), "{line}");
    let pid = monitor.id().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let ended = wait("the end", SOON, || monitor.try_wait().unwrap());
    assert_eq!(ended.code(), Some(0), "as the first process of a container it would not hear it at all");
}

#[test]
fn replicas_that_come_and_go_are_decided_on_once_and_follow() {
    let trees = fs::read(shipped("flight-delay").join("1/model.onnx")).unwrap();
    // Its "day" is four seconds long.
    let fleet = Fleet::new(config("metric = \"squared_error\"\nhorizon_ms = 4000\n"), &trees);
    let (body, expected) = example("flight-delay");
    let truth = expected[0]["data"][0].as_f64().unwrap();
    let mut replicas: Vec<Server> = (0..3).map(|_| fleet.replica()).collect();
    let mut receipts = Vec::new();
    let mut send = |replicas: &[Server], users: std::ops::Range<u32>| {
        for n in users {
            let (status, variant, receipt) =
                ask(&replicas[n as usize % replicas.len()], &format!("user-{n}"), &body);
            assert_eq!((status, variant.is_empty(), receipt.is_empty()), (200, false, false));
            receipts.push((n, receipt));
        }
    };
    send(&replicas, 0..300);
    // One is told to end, one is killed after its interval: nothing that was published is lost.
    std::thread::sleep(Duration::from_millis(700));
    replicas[0].signal("TERM");
    let mut ended = replicas.remove(0);
    ended.wait_end(SOON);
    replicas[0].signal("KILL");
    drop(replicas.remove(0));
    replicas.extend((0..2).map(|_| fleet.replica()));
    send(&replicas, 300..600);
    // Delays come in later, at whichever replica: near what the trees say.
    for (part, replica) in receipts.chunks(200).zip(&replicas) {
        let delay = |n: u32| truth + f64::from(n % 9) - 4.0;
        let items: Value =
            part.iter().map(|(n, receipt)| json!({"receipt": receipt, "actual": delay(*n)})).collect();
        let answer = replica.data().post("/outcomes", items.to_string()).ok();
        assert_eq!(answer["counts"], json!({"ok": 200}), "{answer}");
    }
    std::thread::sleep(Duration::from_millis(500));
    let early = fleet.look();
    assert_eq!((&early["promoted"], &early["fleet"]["immature"]), (&Value::Null, &json!(true)), "{early}");
    let view = wait("the promotion", SOON, || {
        // Nothing may be published yet.
        let view = fleet.look_at();
        (view["stage"] == "promoted").then_some(view)
    });
    let sums = |view: &Value, field: &str| {
        let variants = view["report"]["variants"].as_array().unwrap();
        variants.iter().map(|variant| variant[field].as_u64().unwrap()).sum::<u64>()
    };
    assert_eq!((sums(&view, "units"), sums(&view, "requests")), (600, 600), "{view}");
    // It did not wait for all; in the end each outcome has counted once.
    wait("the last outcome", SOON, || (sums(&fleet.look(), "sample_size") == 600).then_some(()));
    assert_eq!(
        (&view["promoted"], &view["fleet"]["replicas"], &view["fleet"]["ended"]),
        (&json!("trees"), &json!(5), &json!(1))
    );
    // It is done once, told why, and followed.
    let index = fleet.index();
    assert_eq!(
        (&index["versions"][1]["stage"], &index["experiment"]["promoted"]),
        (&json!("Production"), &json!("trees"))
    );
    let entry = index["audit"].as_array().unwrap().iter().find(|entry| entry["verb"] == "promote").unwrap();
    assert!(entry["evidence"].as_str().unwrap().starts_with("experiment:trees/"), "{entry}");
    let generation = index["generation"].clone();
    for server in &replicas {
        let promoted = || (server.version("flight-delay", 2)["stage"] == "Production").then_some(());
        wait("the promotion to be followed", SOON, promoted);
        // Both variants mean the version that won now, and the experiment has ended.
        let ended =
            "sidegate_experiment_assignments_total{experiment=\"trees\",reason=\"ended\",variant=\"\"}";
        wait("its routing", SOON, || {
            let versions = (0..20).map(|n| ask(server, &format!("user-{n}"), &body).1);
            (versions.filter(String::is_empty).count() == 20 && server.metric(ended) >= 20.0).then_some(())
        });
    }
    fleet.look();
    assert_eq!(fleet.index()["generation"], generation, "decided twice");
    assert_eq!(fleet.objects().iter().filter(|name| *name == "standing.json").count(), 1);
}

#[test]
fn a_harmful_canary_is_rolled_back_on_every_replica_and_a_hold_is_respected() {
    // The canary fails every request of two rows.
    let fails = fails_on_rows("input", 8, "variable", 2, 7.0);
    let fleet =
        Fleet::new(config("guardrails = [\"errors\"]\ncanary = [\"60% for 1h\", \"100%\"]\n"), &fails);
    let replicas: Vec<Server> = (0..2).map(|_| fleet.replica()).collect();
    let (mut body, _) = example("flight-delay");
    let data = body["inputs"][0]["data"].as_array().unwrap().clone();
    body["inputs"][0]["data"] = json!([data.clone(), data].concat());
    body["inputs"][0]["shape"] = json!([2, 8]);
    let asked = |server: &Server, count: u32| {
        (0..count).filter(|n| ask(server, &format!("user-{n}"), &body).0 != 200).count()
    };
    assert!(replicas.iter().map(|server| asked(server, 200)).sum::<usize>() > 20);
    let view = wait("the rollback", SOON, || {
        // Nothing may be published yet.
        let view = fleet.look_at();
        (view["stage"] == "rolled_back").then_some(view)
    });
    assert_eq!(view["rolled_back"], json!(["trees"]));
    let index = fleet.index();
    assert_eq!(
        (&index["experiment"]["rolled_back"], &index["versions"][0]["stage"]),
        (&json!(["trees"]), &json!("Production"))
    );
    for server in &replicas {
        wait("its routing", SOON, || (asked(server, 50) == 0).then_some(()));
    }
    let text = fleet.does(&["experiment", "report", "trees", "--fleet", "--html", "page.html"]);
    assert!(text.contains("rolled_back") && text.contains("HARM"), "{text}");
    assert!(fs::read_to_string(fleet.shared.path().join("page.html")).unwrap().contains("rolled_back"));
}

#[test]
fn a_hold_keeps_what_won_from_being_promoted_until_it_ends() {
    let trees = fs::read(shipped("flight-delay").join("1/model.onnx")).unwrap();
    let fleet = Fleet::new(config("metric = \"squared_error\"\n"), &trees);
    let (body, expected) = example("flight-delay");
    let truth = expected[0]["data"][0].as_f64().unwrap();
    let place = ["--registry", ".", "--config", "sidegate.toml"];
    let registry = |args: &[&str]| run(fleet.shared.path(), &[&["registry"], args, &place].concat());
    assert!(registry(&["hold", "flight-delay", "--why", "audit"]).status.success());
    let server = fleet.replica();
    let receipts: Vec<String> = (0..400).map(|n| ask(&server, &format!("user-{n}"), &body).2).collect();
    let delay = |n: usize| truth + (n % 9) as f64 - 4.0;
    // The rest of the job learns them in a batch.
    let lines = receipts.iter().enumerate().map(|(n, receipt)| format!("{receipt},{}\n", delay(n)));
    let file = server.path("labels.csv");
    fs::write(&file, std::iter::once("receipt,actual\n".to_owned()).chain(lines).collect::<String>())
        .unwrap();
    let (http, file) = (server.http.to_string(), file.display().to_string());
    let posted = run(fleet.shared.path(), &["outcomes", &file, "--http", &http]);
    assert_eq!(String::from_utf8_lossy(&posted.stdout), "400 outcomes: 400 ok\n", "{posted:?}");
    let again = run(fleet.shared.path(), &["outcomes", &file, "--http", &http, "--json"]);
    assert!(String::from_utf8_lossy(&again.stdout).contains("\"duplicate\": 400"), "{again:?}");
    fs::write(server.path("bad.csv"), "receipt,actual\nforged,1\n").unwrap();
    let bad = run(
        fleet.shared.path(),
        &["outcomes", &server.path("bad.csv").display().to_string(), "--http", &http],
    );
    assert_eq!(bad.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&bad.stderr).contains("line 2: forged"), "{bad:?}");
    // What it says has to be published first.
    std::thread::sleep(Duration::from_millis(700));
    let held = fleet.look_at();
    assert!(held["error"].as_str().is_some_and(|error| error.contains("is held at version 1")), "{held}");
    assert_eq!(fleet.index()["versions"][0]["stage"], "Production");
    assert!(registry(&["hold", "flight-delay", "--release"]).status.success());
    assert_eq!(fleet.look()["promoted"], "trees");
    assert_eq!(fleet.index()["versions"][1]["stage"], "Production");
}

#[test]
fn what_the_only_replica_rolled_back_stays_so_after_a_restart() {
    let fails = fails_on_rows("input", 8, "variable", 2, 7.0);
    let only = format!("experiments.only_replica = true\n{}", config("guardrails = [\"errors\"]\n"));
    let fleet = Fleet::new(only, &fails);
    let (mut body, _) = example("flight-delay");
    let data = body["inputs"][0]["data"].as_array().unwrap().clone();
    body["inputs"][0]["data"] = json!([data.clone(), data].concat());
    body["inputs"][0]["shape"] = json!([2, 8]);
    let asked = |server: &Server, count: u32| {
        (0..count).filter(|n| ask(server, &format!("user-{n}"), &body).0 != 200).count()
    };
    let mut first = fleet.replica();
    assert!(asked(&first, 200) > 20);
    wait("its routing", SOON, || (asked(&first, 50) == 0).then_some(()));
    first.signal("TERM");
    first.wait_end(SOON);
    let second = fleet.replica();
    wait("what was decided", SOON, || {
        let report = second.admin().get("/experiments/trees").ok();
        (report["stage"] == "rolled_back").then_some(())
    });
    wait("its routing", SOON, || (asked(&second, 50) == 0).then_some(()));
    // The units of before are still known.
    let report = second.admin().get("/experiments/trees").ok();
    let control = &report["report"]["variants"][0];
    assert!(control["requests"].as_u64().unwrap() >= 80, "{report}");
}
