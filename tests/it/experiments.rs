//! Experiments: who gets which version, always the same one, and what happens to them while everything changes.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use super::harness::{Server, Setup, run, wait};
use super::onnx::{constant, other_signature};
use super::repository::{Extras, Repository};

const SOON: Duration = Duration::from_secs(10);
const INFER: &str = "/v2/models/m/infer";

/// Half of the users of `m` get each of two versions.
const HALVES: &str = "[experiments.halves]\nmodel = \"m\"\nunit = \"header:x-user\"\ndefault = \"control\"\n\
    variants = { control = \"production\", candidate = \"2\" }\n";

/// A managed model `m` with so many versions, the first of them in production.
fn managed(setup: &Setup, versions: u64) -> Repository {
    let repository = setup.repository();
    for version in 1..=versions {
        repository.version("m", version, &constant(version as f32), &Extras::default());
    }
    let stage = |version| if version == 1 { "Production" } else { "None" };
    let listed: Vec<(u64, &str)> = (1..=versions).map(|version| (version, stage(version))).collect();
    repository.index("m", &listed, &[]);
    repository
}

/// The server, once every variant has a version of its own.
fn complete(setup: Setup) -> Server {
    let server = setup.start();
    wait_variants(&server, |variant| variant["version"].is_string());
    server
}

#[track_caller]
fn wait_variants(server: &Server, fits: impl Fn(&Value) -> bool) {
    wait("the variants", SOON, || {
        let experiments = server.admin().get("/experiments").ok();
        let variants = experiments[0]["variants"].as_array()?;
        variants.iter().all(&fits).then_some(())
    });
}

fn inputs() -> Value {
    json!([{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}])
}

/// The variant and the version of an answer, which is that version's.
#[track_caller]
fn answered(server: &Server, headers: &[(&str, &str)], parameters: Value) -> (Option<String>, u64) {
    let body = json!({"parameters": parameters, "inputs": inputs()});
    let answer = server.data().post_with(INFER, headers, body.to_string()).ok();
    let version: u64 = answer["model_version"].as_str().unwrap().parse().unwrap();
    assert_eq!(answer["outputs"][0]["data"], json!([version as f64]), "{answer}");
    (answer["parameters"]["variant"].as_str().map(str::to_owned), version)
}

#[track_caller]
fn user(server: &Server, user: &str) -> (Option<String>, u64) {
    answered(server, &[("x-user", user)], json!({}))
}

fn users(server: &Server, count: u32) -> BTreeMap<u32, (Option<String>, u64)> {
    (0..count).map(|n| (n, user(server, &format!("user-{n}")))).collect()
}

fn assignments(server: &Server, variant: &str, reason: &str) -> f64 {
    let labels = format!("{{experiment=\"halves\",reason=\"{reason}\",variant=\"{variant}\"}}");
    server.metric(&format!("sidegate_experiment_assignments_total{labels}"))
}

/// Takes over another configuration.
#[track_caller]
fn reload(server: &Server, config: &str) {
    let count = || server.admin().get("/status").ok()["config"]["reloads"].as_u64().unwrap();
    let before = count();
    fs::write(server.path("sidegate.toml"), format!("registry.poll_interval_ms = 50\n{config}")).unwrap();
    server.signal("HUP");
    wait("the reload", SOON, || (count() > before).then_some(()));
}

fn halves() -> Server {
    let setup = Setup::new().only_config(&format!("registry.poll_interval_ms = 50\n{HALVES}"));
    managed(&setup, 2);
    complete(setup)
}

#[test]
fn users_keep_their_version_over_restarts_and_replicas() {
    let server = halves();
    let first = users(&server, 300);
    for (variant, version) in first.values() {
        let expected = if *version == 1 { "control" } else { "candidate" };
        assert_eq!(variant.as_deref(), Some(expected));
    }
    // Five standard deviations are 43.
    let candidates = first.values().filter(|(_, version)| *version == 2).count();
    assert!((107..194).contains(&candidates), "{candidates}");
    assert_eq!(users(&server, 300), first, "the second time");
    let sum = |variant| assignments(&server, variant, "enrolled");
    assert_eq!(
        (sum("candidate"), sum("control")),
        (2.0 * candidates as f64, 600.0 - 2.0 * candidates as f64)
    );
    let series = "model_predictions_total{model=\"m\",outcome=\"ok\",variant=\"candidate\",version=\"2\"}";
    assert_eq!(server.metric(series), 2.0 * candidates as f64);
    assert_eq!(users(&halves(), 300), first, "a replica");
    drop(server);
    assert_eq!(users(&halves(), 300), first, "after a restart");
}

#[test]
fn every_protocol_says_which_variant_answered_and_only_the_plain_name_is_routed() {
    let server = halves();
    let first = users(&server, 20);
    let (name, _) = first.iter().find(|(_, (_, version))| *version == 2).unwrap();
    let headers = [("X-User", &*format!("user-{name}"))];
    let post = |path: &str, body: &str| server.data().post_with(path, &headers, body).ok();
    let predicted = post("/predict", "[[1, 2, 3, 4]]");
    assert_eq!((&predicted["variant"], &predicted["model_version"]), (&json!("candidate"), &json!("2")));
    let invoked = post("/invocations", r#"{"instances": [[1, 2, 3, 4]]}"#);
    assert_eq!(invoked["variant"], "candidate");
    let named = post("/predict?model=m@1", "[[1, 2, 3, 4]]");
    assert_eq!((&named["variant"], &named["model_version"]), (&Value::Null, &json!("1")));
    let body = json!({"inputs": inputs()}).to_string();
    let named = post("/v2/models/m/versions/1/infer", &body);
    assert_eq!((&named["parameters"], &named["model_version"]), (&Value::Null, &json!("1")));
    // Binary outputs behind the JSON part.
    let body = json!({"inputs": inputs(), "parameters": {"binary_data_output": true}}).to_string();
    let answer = server.data().post_with(INFER, &headers, body);
    let (head, binary) = answer.parts();
    assert_eq!(head["parameters"]["variant"], "candidate");
    assert_eq!(binary, 2_f32.to_le_bytes());
}

#[test]
fn ramps_move_nobody_who_is_enrolled() {
    // Whoever is not enrolled has no variant.
    let ramp = |coverage: u32, control: u32, candidate: u32| {
        let plain = HALVES.replace("default = \"control\"\n", "");
        format!(
            "{plain}coverage = \"{coverage}%\"\n\
             slots = {{ control = \"0..{control}\", candidate = \"500000..{candidate}\" }}\n"
        )
    };
    let setup =
        Setup::new().only_config(&format!("registry.poll_interval_ms = 50\n{}", ramp(30, 200_000, 700_000)));
    managed(&setup, 2);
    let server = complete(setup);
    let mut before = users(&server, 300);
    for (coverage, control, candidate) in
        [(60, 200_000, 700_000), (60, 400_000, 700_000), (90, 500_000, 1_000_000)]
    {
        reload(&server, &ramp(coverage, control, candidate));
        let count =
            |users: &BTreeMap<_, (Option<String>, u64)>| users.values().filter(|(v, _)| v.is_some()).count();
        let ramped = || Some(users(&server, 300)).filter(|after| count(after) > count(&before));
        let after = wait("the ramp", SOON, ramped);
        for (user, was) in before.iter().filter(|(_, (variant, _))| variant.is_some()) {
            assert_eq!(&after[user], was, "user-{user} at {coverage} %");
        }
        before = after;
    }
    assert!(!server.log().contains("go from one variant to another"), "{}", server.log());
    // Slots that change hands are said.
    let swapped =
        ramp(90, 500_000, 1_000_000).replace("control =", "other =").replace("candidate =", "control =");
    reload(&server, &swapped.replace("other =", "candidate ="));
    server.wait_log("go from one variant to another");
}

#[test]
fn rules_segments_and_units_decide_in_this_order() {
    let config = format!(
        "registry.poll_interval_ms = 50\n{HALVES}segment = [\"json:/parameters/age >= 18\"]\n\
         rules = [\"testers: header:x-tester = yes -> candidate\", \"staff: cookie:staff exists -> hold-out\"]\n"
    );
    let setup = Setup::new().only_config(&config);
    managed(&setup, 2);
    let server = complete(setup);
    let adult = json!({"age": 42});
    let ask = |headers: &[(&str, &str)], parameters: &Value| {
        answered(&server, headers, parameters.clone()).0.unwrap()
    };
    let all: Vec<String> = (0..40).map(|n| format!("user-{n}")).collect();
    let candidate = all.iter().find(|user| ask(&[("x-user", user)], &adult) == "candidate").unwrap().as_str();
    let control = all.iter().find(|user| ask(&[("x-user", user)], &adult) == "control").unwrap().as_str();
    for (headers, parameters, variant, reason) in [
        (&[("x-user", candidate)][..], &adult, "candidate", "enrolled"),
        (&[("x-user", candidate)], &json!({"age": 17}), "control", "segment"),
        (&[("x-user", candidate)], &json!({}), "control", "segment"),
        (&[("x-user", candidate), ("cookie", "a=b; staff=1")], &adult, "control", "hold_out"),
        (&[("x-user", control), ("x-tester", "yes")], &json!({}), "candidate", "rule"),
        (&[("x-tester", "yes"), ("cookie", "staff=1")], &adult, "candidate", "rule"),
        (&[], &adult, "control", "no_unit"),
        (&[("x-user", "")], &adult, "control", "no_unit"),
    ] {
        let before = assignments(&server, variant, reason);
        assert_eq!(ask(headers, parameters), variant, "{headers:?} {parameters}");
        assert_eq!(assignments(&server, variant, reason), before + 1.0, "{headers:?} {parameters}: {reason}");
    }
}

#[test]
fn a_unit_in_the_body_is_found_whatever_stands_around_it() {
    let config = HALVES.replace("header:x-user", "json:/parameters/user");
    let setup = Setup::new().only_config(&format!("registry.poll_interval_ms = 50\n{config}"));
    managed(&setup, 2);
    let server = complete(setup);
    let of = |parameters: Value| answered(&server, &[], parameters);
    let found: Vec<_> = (0..30).map(|user| of(json!({"user": user}))).collect();
    assert!(found.iter().any(|(_, version)| *version == 1) && found.iter().any(|(_, version)| *version == 2));
    for (user, expected) in found.iter().enumerate() {
        assert_eq!(&of(json!({"user": user.to_string()})), expected, "a number and its digits are one unit");
        let body = json!({"inputs": inputs(), "parameters": {"a": [1, {"user": 0}], "user": user}});
        let chunked = server.data().post(INFER, body.to_string()).ok();
        assert_eq!(chunked["model_version"], expected.1.to_string(), "behind the inputs");
    }
    let before = assignments(&server, "control", "no_unit");
    assert_eq!(of(json!({"user": [1]})).0.as_deref(), Some("control"));
    server.data().post(INFER, "no JSON").error(400);
    assert_eq!(assignments(&server, "control", "no_unit"), before + 2.0);
}

#[test]
fn what_explain_says_is_what_happens() {
    let server = halves();
    let dir = server.path("");
    for n in 0..20 {
        let name = format!("user {n}&é");
        let (variant, version) = user(&server, &name);
        let live =
            run(&dir, &["explain", "m", "--unit", &name, "--admin", &server.admin.to_string(), "--json"]);
        let live: Value = serde_json::from_slice(&live.stdout).unwrap();
        assert_eq!(live["answer"]["version"], version.to_string(), "{live}");
        assert_eq!(live["variant"].as_str(), variant.as_deref());
        let header = format!("X-User={name}");
        let offline =
            run(&dir, &["explain", "halves", "--header", &header, "--config", "sidegate.toml", "--json"]);
        let offline: Value = serde_json::from_slice(&offline.stdout).unwrap();
        let mut same = live.clone();
        drop(same.as_object_mut().unwrap().remove("answer"));
        assert_eq!(offline, same);
    }
    let text = run(&dir, &["explain", "m", "--config", "sidegate.toml"]);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("none in header:x-user") && text.contains("not enrolled (no_unit)"), "{text}");
    let unknown = run(&dir, &["explain", "other", "--config", "sidegate.toml"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("there is halves"));
    server.admin().get("/experiments/none/explain").error(404);
    server.admin().get("/experiments/halves/explain?header=x").error(400);
    server.admin().post("/experiments", "").error(405);
    let status = run(&dir, &["status", "--admin", &server.admin.to_string()]);
    let status = String::from_utf8(status.stdout).unwrap();
    assert!(status.contains("halves") && status.contains("500000..1000000"), "{status}");
}

#[test]
fn a_bad_experiment_changes_nothing_and_everything_wrong_is_said() {
    let server = halves();
    let before = users(&server, 40);
    let bad = "registry.poll_interval_ms = 50\n[experiments.halves]\nmodel = \"m\"\nunit = \"client_address\"\n\
        variants = { control = \"1\", candidate = \"2\" }\nslots = { control = \"0..600000\", candidate = \"500000..1000001\" }\n\
        rules = [\"r: header:a exists -> third\"]\n[experiments.other]\nmodel = \"m\"\nunit = \"header:u\"\n";
    fs::write(server.path("sidegate.toml"), bad).unwrap();
    let check = run(&server.path(""), &["check", "--config", "sidegate.toml"]);
    assert_eq!(check.status.code(), Some(2));
    let check = String::from_utf8(check.stderr).unwrap();
    server.signal("HUP");
    let status = || server.admin().get("/status").ok()["config"]["last_error"].as_str().map(str::to_owned);
    let reload = wait("the complaint", SOON, status);
    for problem in [
        "sidegate.toml:4: experiments.halves.unit: `client_address` is the address of the client",
        "sidegate.toml:6: experiments.halves.slots: 500000..1000001 of `candidate` ends beyond",
        "sidegate.toml:6: experiments.halves.slots: 500000..600000 belongs to `control` and to `candidate`",
        "sidegate.toml:7: experiments.halves.rules: `r` chooses `third`",
        "sidegate.toml:8: experiments.other.variants: is missing",
    ] {
        assert!(check.contains(problem) && reload.contains(problem), "{problem}\n{check}\n{reload}");
    }
    // What the registry does not have.
    let unknown = HALVES.replace("candidate = \"2\"", "candidate = \"7\"");
    let other = "[experiments.other]\nmodel = \"n\"\nunit = \"header:u\"\nvariants = { a = \"1\" }\n";
    fs::write(server.path("sidegate.toml"), format!("registry.poll_interval_ms = 50\n{unknown}{other}"))
        .unwrap();
    server.signal("HUP");
    let refused = wait("the refusal", SOON, || status().filter(|error| error.contains("version 7")));
    assert!(refused.contains("experiments.other.model: the registry has no model `n`"), "{refused}");
    let check = run(&server.path(""), &["check", "--config", "sidegate.toml", "--registry", "models"]);
    let said = String::from_utf8(check.stderr).unwrap();
    assert!(
        check.status.code() == Some(2)
            && said.contains("`candidate` serves 7")
            && said.contains("no model `n`"),
        "{said}"
    );
    assert_eq!(users(&server, 40), before, "the running experiment goes on");
    // Without it, all are answered by what the plain name means, and its series are gone.
    self::reload(&server, "");
    wait("the end", SOON, || (user(&server, "user-0").0.is_none()).then_some(()));
    assert!(users(&server, 20).values().all(|answer| *answer == (None, 1)));
    assert!(!server.metrics().contains("halves"), "{}", server.metrics());
    wait("version 2 to be let go", SOON, || server.version("m", 2)["engine"].is_null().then_some(()));
}

#[test]
fn a_variant_without_a_version_is_reported_and_answered_by_the_default_one() {
    let config = HALVES.replace("candidate = \"2\"", "candidate = \"2\", third = \"9\"");
    let setup = Setup::new().only_config(&format!(
        "registry.poll_interval_ms = 50\n{config}[experiments.lost]\nmodel = \"no-such\"\nunit = \"header:u\"\n\
         variants = {{ a = \"1\" }}\n"
    ));
    let repository = managed(&setup, 1);
    // Another signature, which an operator has allowed.
    repository.version("m", 2, &other_signature(2.0), &Extras { breaking: true, ..Extras::default() });
    repository.index("m", &[(1, "Production"), (2, "None")], &[]);
    let server = setup.start();
    wait_variants(&server, |variant| variant["name"] == "control" || variant["problem"].is_string());
    wait("version 2", SOON, || server.version("m", 2)["engine"].is_string().then_some(()));
    let problem = |experiment: usize, variant: usize| {
        let experiments = server.admin().get("/experiments").ok();
        experiments[experiment]["variants"][variant]["problem"].as_str().unwrap_or_default().to_owned()
    };
    wait("the other signature", SOON, || problem(0, 1).contains("another signature").then_some(()));
    assert_eq!(problem(0, 2), "no version is loaded for version `9` of model `m`");
    assert_eq!(problem(1, 0), "model `no-such` is not served");
    server.wait_log("no version is loaded for version `9`");
    server.wait_log("another signature");
    let answers = users(&server, 100);
    assert!(answers.values().all(|answer| *answer == (Some("control".into()), 1)), "{answers:?}");
    let fallback = assignments(&server, "control", "fallback");
    assert!((45.0..90.0).contains(&fallback), "{fallback}");
    let enrolled = assignments(&server, "control", "enrolled");
    assert_eq!(enrolled + fallback, 100.0);
    // It comes, and its users get it.
    repository.version("m", 9, &constant(9.0), &Extras::default());
    repository.index("m", &[(1, "Production"), (2, "None"), (9, "None")], &[]);
    wait("version 9", SOON, || {
        users(&server, 100).values().any(|answer| *answer == (Some("third".into()), 9)).then_some(())
    });
    server.wait_log("the variant answers");
}

#[test]
fn stages_and_aliases_may_move_under_an_experiment() {
    let config = HALVES.replace("candidate = \"2\"", "candidate = \"challenger\"");
    let setup = Setup::new().only_config(&format!("registry.poll_interval_ms = 50\n{config}"));
    let repository = managed(&setup, 4);
    let stages = |production: u64| -> Vec<(u64, &'static str)> {
        (1..=4).map(|version| (version, if version == production { "Production" } else { "None" })).collect()
    };
    repository.index("m", &stages(1), &[("challenger", 2)]);
    let server = complete(setup);
    let before = users(&server, 60);
    let variants = |users: &BTreeMap<u32, (Option<String>, u64)>| -> Vec<Option<String>> {
        users.values().map(|(variant, _)| variant.clone()).collect()
    };
    for (production, challenger) in [(3, 2), (3, 4), (4, 1)] {
        repository.index("m", &stages(production), &[("challenger", challenger)]);
        // Every answer on the way is one of a version that its variant has meant.
        wait("the swap", SOON, || {
            let now = users(&server, 60);
            assert_eq!(variants(&now), variants(&before), "users changed their variant");
            let expected = |variant: &Option<String>| {
                if variant.as_deref() == Some("candidate") { challenger } else { production }
            };
            now.values().all(|(variant, version)| *version == expected(variant)).then_some(())
        });
    }
    let metrics = server.metrics();
    let stale = "variant=\"candidate\",version=\"2\"";
    wait("the series of version 2 to go", SOON, || (!server.metrics().contains(stale)).then_some(()));
    assert!(metrics.contains("variant=\"candidate\",version=\"1\""), "{metrics}");
}

#[test]
fn a_bare_repository_has_experiments_too() {
    let setup = Setup::new().only_config(&format!("registry.poll_interval_ms = 50\n{HALVES}"));
    let repository = setup.repository();
    (1..=3).for_each(|version| repository.bare("m", version, &constant(version as f32)));
    let server = complete(setup);
    let versions: Vec<u64> = users(&server, 40).values().map(|(_, version)| *version).collect();
    assert!(versions.contains(&3) && versions.contains(&2) && !versions.contains(&1), "{versions:?}");
}
