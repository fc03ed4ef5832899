//! New versions under a running server: served soon, without one failed request, and never when broken.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::client::Target;
use super::harness::{Server, Setup, constant_request, constant_version, wait};
use super::load::{Load, Manner, constant_judge};
use super::onnx::{
    complex_numbers, constant, external_data, fails_at, other_signature, slow, unknown_operator,
};
use super::repository::{Extras, Repository, golden};

/// The promise is 3 s; a busy machine gets twice that.
const SOON: Duration = Duration::from_secs(6);

fn answer_of(server: &Server, path: &str) -> Option<u64> {
    let answer = server.data().send(&constant_request(&format!("/v2/models/{path}/infer")));
    (answer.status == 200).then(|| constant_version(&answer))
}

fn failures(server: &Server, model: &str, code: &str) -> f64 {
    server.metric(&format!("sidegate_model_load_failures_total{{model=\"{model}\",reason=\"{code}\"}}"))
}

/// A managed model `m` whose version 1 is in production.
fn managed(setup: &Setup) -> Repository {
    let repository = setup.repository();
    repository.version("m", 1, &constant(1.0), &Extras::default());
    repository.index("m", &[(1, "Production")], &[]);
    repository
}

#[test]
fn a_new_version_is_served_within_seconds_in_both_layouts() {
    // With the intervals that users have.
    let setup = Setup::new().only_config("");
    let repository = managed(&setup);
    repository.bare("bare", 1, &constant(1.0));
    let server = setup.start();
    assert_eq!((answer_of(&server, "m"), answer_of(&server, "bare")), (Some(1), Some(1)));
    repository.bare("bare", 2, &constant(2.0));
    server.wait_served("bare", 2, SOON);
    repository.version("m", 2, &constant(2.0), &Extras { golden: Some(golden(2.0)), ..Extras::default() });
    repository.index("m", &[(1, "Archived"), (2, "Production")], &[]);
    server.wait_served("m", 2, SOON);
    // A new model, too.
    repository.bare("later", 3, &constant(3.0));
    server.wait_served("later", 3, SOON);
    assert_eq!(server.metric("sidegate_model_swaps_total{model=\"m\"}"), 2.0);
    assert_eq!(server.version("m", 1)["state"], "standby", "kept for rollback");
}

#[test]
fn swaps_under_load_fail_nobody() {
    const LAST: u64 = 11;
    let setup = Setup::new().args(&["--uds", "data.sock", "--workers", "2"]);
    let repository = managed(&setup);
    for version in 2..=LAST {
        let golden = (version % 2 == 0).then(|| golden(version as f32));
        repository.version("m", version, &constant(version as f32), &Extras { golden, ..Extras::default() });
    }
    let server = setup.start();
    let request = constant_request("/v2/models/m/infer");
    let tcp = Load::start(
        &server.data(),
        &request,
        &[Manner::KeepAlive, Manner::KeepAlive, Manner::OneEach],
        constant_judge,
    );
    let unix = Target::Unix(server.path("data.sock"));
    let unix = Load::start(&unix, &request, &[Manner::KeepAlive, Manner::OneEach], constant_judge);
    for version in 2..=LAST {
        tcp.flow(20);
        unix.flow(20);
        repository.index("m", &[(version - 1, "Archived"), (version, "Production")], &[]);
        wait("the swap", SOON * 2, || (server.version("m", version)["state"] == "serving").then_some(()));
    }
    tcp.flow(20);
    unix.flow(20);
    for (name, load) in [("TCP", tcp), ("Unix", unix)] {
        let tally = load.stop();
        assert_eq!(tally.failures, [""; 0], "over {name}, of {}", tally.answered);
        assert!(
            tally.versions.contains(&1) && tally.versions.contains(&LAST),
            "{name}: {:?}",
            tally.versions
        );
    }
    assert_eq!(server.metric("sidegate_model_swaps_total{model=\"m\"}"), LAST as f64);
    assert!(!server.log().contains("panicked"));
}

#[test]
fn swaps_give_memory_back() {
    let server = Setup::new();
    let repository = server.repository();
    // 4 MiB of weights: some fifteen of them would be seen.
    let bytes = slow(1024, 1);
    repository.bare("m", 1, &bytes);
    let server = server.start();
    let swap = |version| {
        repository.bare("m", version, &bytes);
        wait("the swap", Duration::from_secs(60), || {
            (server.version("m", version)["state"] == "serving").then_some(())
        });
    };
    (2..5).for_each(swap);
    let before = server.resident();
    (5..20).for_each(swap);
    wait("what was retired to be freed", Duration::from_secs(10), || {
        (server.resident() < before + (24 << 10)).then_some(())
    });
}

/// Something that must not be served, and the code that says why.
struct Broken {
    name: &'static str,
    code: &'static str,
    publish: fn(&Repository, u64),
}

fn bare(repository: &Repository, version: u64, bytes: &[u8]) {
    repository.bare("bare", version, bytes);
}

/// Publishes a version of the managed model and puts it into production.
fn promote(repository: &Repository, version: u64, bytes: &[u8], extras: &Extras) {
    repository.version("m", version, bytes, extras);
    repository.index("m", &[(1, "Archived"), (version, "Production")], &[]);
}

/// A version that answers its example and does not take so many rows.
fn refuses_rows(repository: &Repository, version: u64, rows: usize) {
    let mut golden = golden(9.0);
    for (tensor, width) in [("inputs", 4), ("outputs", 1)] {
        let tensor = &mut golden["cases"][0][tensor][0];
        tensor["shape"][0] = json!(1);
        tensor["data"].as_array_mut().unwrap().truncate(width);
    }
    promote(repository, version, &fails_at(rows, 9.0), &Extras { golden: Some(golden), ..Extras::default() });
}

const BARE: &[Broken] = &[
    Broken { name: "nothing", code: "parse", publish: |r, v| bare(r, v, b"") },
    Broken { name: "a page", code: "parse", publish: |r, v| bare(r, v, b"<html>not found</html>") },
    Broken { name: "half a model", code: "parse", publish: |r, v| bare(r, v, &constant(9.0)[..60]) },
    Broken { name: "a file of its own", code: "external_data", publish: |r, v| bare(r, v, &external_data()) },
    Broken {
        name: "an unknown operator",
        code: "unknown_operator",
        publish: |r, v| bare(r, v, &unknown_operator()),
    },
    Broken { name: "complex numbers", code: "unsupported", publish: |r, v| bare(r, v, &complex_numbers()) },
    Broken {
        name: "other inputs",
        code: "signature_changed",
        publish: |r, v| bare(r, v, &other_signature(9.0)),
    },
    Broken {
        name: "3 GiB",
        code: "too_large",
        publish: |r, v| {
            r.bare("bare", v, b"");
            r.stretch("bare", v, 3 << 30);
        },
    },
];

const MANAGED: &[Broken] = &[
    Broken {
        name: "bytes that are not the manifest's",
        code: "bad_digest",
        publish: |r, v| promote(r, v, &constant(9.0), &Extras { wrong_digest: true, ..Extras::default() }),
    },
    Broken {
        name: "no model file",
        code: "missing_file",
        publish: |r, v| promote(r, v, &constant(9.0), &Extras { no_model_file: true, ..Extras::default() }),
    },
    Broken {
        name: "wrong answers",
        code: "golden_mismatch",
        publish: |r, v| {
            promote(r, v, &constant(9.0), &Extras { golden: Some(golden(8.0)), ..Extras::default() })
        },
    },
    // The example has one row, and a warm-up 1, 2 and `warmup_rows`.
    Broken { name: "no two rows", code: "warmup_failed", publish: |r, v| refuses_rows(r, v, 2) },
    Broken { name: "no sixteen rows", code: "warmup_failed", publish: |r, v| refuses_rows(r, v, 16) },
    Broken {
        name: "examples that are none",
        code: "parse",
        publish: |r, v| {
            promote(r, v, &constant(9.0), &Extras { golden: Some(json!({"format": 2})), ..Extras::default() })
        },
    },
    Broken {
        name: "other inputs",
        code: "signature_changed",
        publish: |r, v| promote(r, v, &other_signature(9.0), &Extras::default()),
    },
    Broken {
        name: "a manifest that model.json does not name",
        code: "bad_digest",
        publish: |r, v| {
            r.version("m", v, &constant(9.0), &Extras::default());
            r.index("m", &[(1, "Production"), (v, "None")], &[]);
            r.replace(&format!("m/{v}/manifest.json"), b"{\"format\":1}");
            r.rewrite("m/model.json", |text| text.replace("None", "Production"));
        },
    },
];

#[test]
fn a_broken_version_leaves_the_old_one_serving_and_says_why() {
    let setup = Setup::new();
    let repository = managed(&setup);
    repository.bare("bare", 1, &constant(1.0));
    let server = setup.start();
    for (model, rows) in [("bare", BARE), ("m", MANAGED)] {
        for (number, Broken { name, code, publish }) in rows.iter().enumerate() {
            let version = number as u64 + 2;
            let before = failures(&server, model, code);
            publish(&repository, version);
            let shown = server.wait_state(model, version, "failed");
            assert_eq!(shown["reason"]["code"], *code, "{model}, {name}: {shown}");
            assert!(shown["reason"]["detail"].as_str().is_some_and(|text| !text.is_empty()), "{shown}");
            wait("the metric", SOON, || (failures(&server, model, code) > before).then_some(()));
            assert_eq!(answer_of(&server, model), Some(1), "{model}, {name}");
            let direct = server
                .data()
                .send(&constant_request(&format!("/v2/models/{model}/versions/{version}/infer")));
            direct.error(404);
            assert_eq!(server.admin().get("/readyz").status, 200, "{model}, {name}");
        }
        assert_eq!(server.metric(&format!("sidegate_model_swaps_total{{model=\"{model}\"}}")), 1.0);
    }
    ["signature_changed", "golden_mismatch", "version is refused"]
        .iter()
        .for_each(|text| server.wait_log(text));
    // A good one after all of them is taken at once.
    repository.bare("bare", 99, &constant(99.0));
    server.wait_served("bare", 99, SOON);
}

#[test]
fn a_version_that_fails_the_checks_of_its_model_is_refused() {
    let checks = r#"models.m.checks = ["interface", "shape", "range", "determinism", "edge_cases"]"#;
    let setup = Setup::new().config(&format!("{checks}\nmodels.m.prediction_range = \"0..5\""));
    let repository = managed(&setup);
    repository.bare("free", 1, &constant(1.0));
    let server = setup.start();
    let before = failures(&server, "m", "golden_mismatch");
    promote(&repository, 2, &constant(9.0), &Extras::default());
    repository.bare("free", 2, &constant(9.0));
    let shown = server.wait_state("m", 2, "failed");
    assert_eq!(shown["reason"]["code"], "golden_mismatch", "{shown}");
    let detail = shown["reason"]["detail"].as_str().unwrap();
    assert!(detail.starts_with("check range: output `y`, row 0: 9, wanted 0..5"), "{detail}");
    assert!(failures(&server, "m", "golden_mismatch") > before);
    assert_eq!(answer_of(&server, "m"), Some(1), "what served keeps serving");
    server.wait_served("free", 2, SOON);
    promote(&repository, 3, &constant(3.0), &Extras::default());
    server.wait_served("m", 3, SOON);
    // With examples, rows are mixed from them.
    promote(&repository, 4, &constant(6.0), &Extras { golden: Some(golden(6.0)), ..Extras::default() });
    let shown = server.wait_state("m", 4, "failed");
    let detail = shown["reason"]["detail"].as_str().unwrap();
    assert!(detail.contains("64 values of 64 rows mixed from the examples lie outside"), "{detail}");
}

#[test]
fn a_broken_model_json_changes_nothing() {
    let setup = Setup::new();
    let repository = managed(&setup);
    let server = setup.start();
    for (name, text) in [
        ("half a document", r#"{"format":1,"#),
        ("a later format", r#"{"format":2,"model":"m","versions":[]}"#),
        ("another model's", r#"{"format":1,"model":"x","versions":[]}"#),
        ("an alias of nothing", r#"{"format":1,"model":"m","versions":[],"aliases":{"a":7}}"#),
    ] {
        repository.replace("m/model.json", text.as_bytes());
        let problem = wait(name, SOON, || {
            let problem = server.models()[0]["problem"].clone();
            problem.is_object().then_some(problem)
        });
        assert_eq!(problem["code"], "parse", "{name}");
        assert_eq!(answer_of(&server, "m"), Some(1), "{name}");
        repository.index("m", &[(1, "Production")], &[]);
        wait("the problem to go", SOON, || server.models()[0]["problem"].is_null().then_some(()));
    }
}

#[test]
fn memory_beyond_the_budget_is_refused() {
    let setup = Setup::new();
    let repository = setup.repository();
    repository.bare("m", 1, &constant(1.0));
    let server = setup.start();
    fs::write(
        server.path("sidegate.toml"),
        "registry.poll_interval_ms = 50\nmemory.budget_bytes = 1000000\n",
    )
    .unwrap();
    server.signal("HUP");
    server.wait_log("configuration reloaded");
    repository.bare("m", 2, &constant(2.0));
    let shown = server.wait_state("m", 2, "failed");
    assert_eq!(shown["reason"]["code"], "memory", "{shown}");
    assert_eq!(answer_of(&server, "m"), Some(1));
}

#[test]
fn a_model_beyond_the_budget_is_refused_before_it_is_read() {
    const BUDGET: u64 = 400_000_000;
    let setup = Setup::new().config(&format!("memory.budget_bytes = {BUDGET}"));
    let repository = managed(&setup);
    repository.bare("bare", 1, &constant(1.0));
    repository.bare("bare", 2, b"");
    repository.stretch("bare", 2, 1 << 30);
    // What is kept for rollback is not given up for what fits in no case.
    repository.version("m", 2, &constant(2.0), &Extras::default());
    let server = setup.start();
    repository.index("m", &[(1, "Archived"), (2, "Production")], &[]);
    server.wait_served("m", 2, SOON);
    repository.version("m", 3, b"", &Extras::default());
    repository.stretch("m", 3, 1 << 30);
    repository.rewrite("m/3/manifest.json", |text| text.replace("\"bytes\":0", "\"bytes\":1073741824"));
    repository.index("m", &[(1, "Archived"), (2, "Archived"), (3, "Production")], &[]);
    for (model, version) in [("bare", 2), ("m", 3)] {
        let shown = server.wait_state(model, version, "failed");
        assert_eq!(shown["reason"]["code"], "memory", "{shown}");
        let estimate = (3_u64 << 30).to_string();
        assert!(shown["reason"]["detail"].as_str().is_some_and(|text| text.contains(&estimate)), "{shown}");
    }
    assert!(server.peak() < BUDGET >> 10, "{} KiB were in use", server.peak());
    assert_eq!(
        ["m", "m/versions/1", "bare"].map(|path| answer_of(&server, path)),
        [Some(2), Some(1), Some(1)]
    );
}

#[test]
fn breaking_changes_need_a_word_from_somebody() {
    let setup = Setup::new();
    let repository = managed(&setup);
    repository.bare("bare", 1, &constant(1.0));
    let server = setup.start();
    // The publisher's word.
    promote(&repository, 2, &other_signature(2.0), &Extras { breaking: true, ..Extras::default() });
    server.wait_state("m", 2, "serving");
    assert_eq!(server.data().get("/v2/models/m").ok()["inputs"][0]["name"], "z");
    // The operator's word, given after the refusal.
    repository.bare("bare", 2, &other_signature(2.0));
    let shown = server.wait_state("bare", 2, "failed");
    assert!(
        shown["reason"]["detail"].as_str().is_some_and(|text| text.contains("allow_breaking")),
        "{shown}"
    );
    let config = "models.bare.allow_breaking = true\nregistry.poll_interval_ms = 50\n";
    fs::write(server.path("sidegate.toml"), config).unwrap();
    server.wait_state("bare", 2, "serving");
    assert_eq!(server.data().get("/v2/models/bare").ok()["inputs"][0]["name"], "z");
}

#[test]
fn rollback_is_at_once_and_the_former_version_stays_addressable() {
    let setup = Setup::new();
    let repository = managed(&setup);
    for version in 2..=3 {
        repository.version("m", version, &constant(version as f32), &Extras::default());
    }
    let server = setup.start();
    let all = |one: &str, two: &str, three: &str| {
        repository.index("m", &[(1, one), (2, two), (3, three)], &[]);
    };
    all("Archived", "Production", "None");
    server.wait_served("m", 2, SOON);
    assert_eq!((answer_of(&server, "m/versions/1"), answer_of(&server, "m/versions/2")), (Some(1), Some(2)));
    let loads = || server.metric("sidegate_model_loads_total{model=\"m\",result=\"ok\"}");
    let before = loads();
    all("Production", "Archived", "None");
    server.wait_served("m", 1, SOON);
    assert_eq!(answer_of(&server, "m/versions/2"), Some(2));
    assert_eq!(loads(), before, "a rollback loads nothing");
    // One former version is kept, not two.
    all("Archived", "Production", "None");
    server.wait_served("m", 2, SOON);
    all("Archived", "Archived", "Production");
    server.wait_served("m", 3, SOON);
    assert_eq!(answer_of(&server, "m/versions/2"), Some(2));
    wait("the oldest to go", SOON, || answer_of(&server, "m/versions/1").is_none().then_some(()));
    assert_eq!(server.version("m", 1)["state"], "standby");
    // Nothing in production: the plain name answers nobody.
    all("Archived", "Archived", "Archived");
    wait("nothing in production", SOON, || answer_of(&server, "m").is_none().then_some(()));
    server.data().send(&constant_request("/v2/models/m/infer")).error(404);
}

#[test]
fn stages_and_aliases_move_without_a_load() {
    let setup = Setup::new();
    let repository = managed(&setup);
    repository.version("m", 2, &constant(2.0), &Extras::default());
    repository.index("m", &[(1, "Production"), (2, "Staging")], &[("champion", 1), ("challenger", 2)]);
    let server = setup.start();
    let ask = |reference: &str| {
        let answer = server.data().post(&format!("/predict?model={reference}"), "[[1,2,3,4]]");
        (answer.status == 200).then(|| answer.json()["model_version"].as_str().unwrap().to_owned())
    };
    let version = |number: &str| Some(number.to_owned());
    assert_eq!((ask("m"), ask("m@staging"), ask("m@2")), (version("1"), version("2"), version("2")));
    assert_eq!((ask("m@champion"), ask("m@challenger"), ask("m@nobody")), (version("1"), version("2"), None));
    repository.index("m", &[(1, "Staging"), (2, "Production")], &[("champion", 2)]);
    server.wait_served("m", 2, SOON);
    assert_eq!(
        (ask("m@staging"), ask("m@champion"), ask("m@challenger")),
        (version("1"), version("2"), None)
    );
    // What people read is stored a moment after what requests read.
    let said = || (server.version("m", 2)["aliases"] == json!(["champion"])).then_some(());
    wait("the alias in /models", SOON, said);
    assert_eq!(server.version("m", 1)["stage"], "Staging");
    assert_eq!(server.metric("sidegate_model_loads_total{model=\"m\",result=\"ok\"}"), 2.0);
}

#[test]
fn what_disappears_keeps_serving() {
    let setup = Setup::new();
    let repository = managed(&setup);
    repository.bare("bare", 1, &constant(1.0));
    let server = setup.start();
    repository.bare("bare", 2, &constant(2.0));
    server.wait_served("bare", 2, SOON);
    let looks = |count: u32| std::thread::sleep(Duration::from_millis(80) * count);
    for path in ["models/bare/2", "models/bare", "models/m/1", "models/m", "models"] {
        fs::remove_dir_all(server.path(path)).unwrap();
        looks(5);
        assert_eq!(
            (answer_of(&server, "m"), answer_of(&server, "bare")),
            (Some(1), Some(2)),
            "without {path}"
        );
        assert_eq!(server.admin().get("/readyz").status, 200, "without {path}");
        assert_eq!(server.version("bare", 2)["state"], "serving", "without {path}");
    }
    wait("the registry to be missed", SOON, || (server.metric("sidegate_registry_up") == 0.0).then_some(()));
    // It comes back with more.
    repository.bare("bare", 3, &constant(3.0));
    server.wait_served("bare", 3, SOON);
    assert_eq!(server.metric("sidegate_registry_up"), 1.0);
}

#[test]
fn an_unload_ends_serving_whatever_the_registry_says() {
    let setup = Setup::new().config("http.repository_control = true");
    let repository = managed(&setup);
    ["deleted", "kept", "offline"].iter().for_each(|model| repository.bare(model, 1, &constant(1.0)));
    let server = setup.start();
    let gone = |model: &str| {
        let answer = server.data().post(&format!("/v2/repository/models/{model}/unload"), "");
        assert_eq!(answer.status, 200, "{model}: {}", answer.text());
        assert_eq!(answer_of(&server, model), None, "{model}");
        let info = "sidegate_model_info{";
        let series = server.metrics();
        let left = series.lines().find(|l| l.starts_with(info) && l.contains(&format!("\"{model}\"")));
        assert_eq!(left, None, "{model}");
    };
    repository.remove("deleted");
    wait("the report", SOON, || server.models()[0]["problem"].is_object().then_some(()));
    assert_eq!(answer_of(&server, "deleted"), Some(1));
    gone("deleted");
    repository.replace("m/model.json", b"{");
    wait("the problem", SOON, || server.models()[2]["problem"].is_object().then_some(()));
    gone("m");
    fs::rename(server.path("models"), server.path("elsewhere")).unwrap();
    wait("the registry to be missed", SOON, || (server.metric("sidegate_registry_up") == 0.0).then_some(()));
    gone("offline");
    assert_eq!(answer_of(&server, "kept"), Some(1));
    fs::rename(server.path("elsewhere"), server.path("models")).unwrap();
    wait("the registry to be back", SOON, || (server.metric("sidegate_registry_up") == 1.0).then_some(()));
    // Unloaded until it is synced again.
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(answer_of(&server, "offline"), None);
    assert_eq!(server.data().post("/v2/repository/models/offline/load", "").status, 200);
    assert_eq!(answer_of(&server, "offline"), Some(1));
    server.data().post("/v2/repository/models/deleted/load", "").error(400);
}

#[test]
fn what_is_taken_out_of_the_configuration_stops_serving() {
    let setup = Setup::new().config("registry.models = [\"a\", \"b\", \"c\"]");
    let repository = setup.repository();
    ["a", "b", "c"].iter().for_each(|model| repository.bare(model, 1, &constant(1.0)));
    let server = setup.start();
    let choose = |models: &str| {
        let config = format!("registry.models = {models}\nregistry.poll_interval_ms = 50\n");
        fs::write(server.path("sidegate.toml"), config).unwrap();
        server.signal("HUP");
    };
    choose("[\"a\", \"b\"]");
    wait("one that is listed to end", SOON, || answer_of(&server, "c").is_none().then_some(()));
    repository.remove("b");
    wait("the report", SOON, || server.models()[1]["problem"].is_object().then_some(()));
    assert_eq!(answer_of(&server, "b"), Some(1));
    choose("[\"a\"]");
    wait("one that is gone to end", SOON, || answer_of(&server, "b").is_none().then_some(()));
    wait("them to be forgotten", SOON, || (server.models().as_array().unwrap().len() == 1).then_some(()));
    assert_eq!((answer_of(&server, "a"), server.admin().get("/readyz").status), (Some(1), 200));
    choose("[\"a\", \"c\"]");
    server.wait_served("c", 1, SOON);
}

#[test]
fn files_replaced_in_place_are_a_swap_and_leave_nothing_behind() {
    let setup = Setup::new();
    let repository = setup.repository();
    repository.bare("m", 1, &constant(1.0));
    let server = setup.start();
    assert_eq!(answer_of(&server, "m"), Some(1));
    for round in 2..5 {
        let before = server.version("m", 1)["digest"].clone();
        // Another file with the same answer.
        repository.bare("m", 1, &[constant(1.0), vec![0xfa, 0x3f, 1, round]].concat());
        wait("the new digest", SOON, || (server.version("m", 1)["digest"] != before).then_some(()));
        assert_eq!(answer_of(&server, "m"), Some(1));
        let now = server.version("m", 1)["digest"].as_str().unwrap().to_owned();
        let metrics = server.metrics();
        let infos: Vec<_> = metrics.lines().filter(|l| l.starts_with("sidegate_model_info{")).collect();
        assert!(infos.len() == 1 && infos[0].contains(&now), "{infos:?}");
        assert_eq!(server.metric("sidegate_model_swaps_total{model=\"m\"}"), f64::from(round));
        let rows = server.metric("sidegate_prediction_rows_total{model=\"m\",version=\"1\"}");
        assert_eq!(rows, f64::from(round), "the counts go on");
    }
}

#[test]
fn examples_that_come_late_or_are_put_right_are_looked_at() {
    let setup = Setup::new();
    let repository = setup.repository();
    repository.bare("m", 1, &constant(1.0));
    let server = setup.start();
    let publish = |answer| repository.replace("m/1/golden.json", golden(answer).to_string().as_bytes());
    publish(7.0);
    let reason = |code: &str| {
        wait(code, SOON, || (server.version("m", 1)["reason"]["code"] == code).then_some(()));
    };
    reason("golden_mismatch");
    assert_eq!(answer_of(&server, "m"), Some(1), "what served keeps serving");
    publish(1.0);
    wait("the correction", SOON, || server.version("m", 1)["reason"].is_null().then_some(()));
    // A manifest that comes last is held against the files.
    repository.version("m", 1, &constant(1.0), &Extras { wrong_digest: true, ..Extras::default() });
    reason("bad_digest");
}

#[test]
fn a_file_is_not_touched_before_it_is_complete() {
    let setup = Setup::new();
    let repository = setup.repository();
    repository.bare("bare", 1, &constant(1.0));
    let server = setup.start();
    let bytes = constant(2.0);
    let mut written = Vec::new();
    // Slower than a look, faster than the time after which a file counts as complete.
    for piece in bytes.chunks(bytes.len() / 12 + 1) {
        written.extend_from_slice(piece);
        repository.bare("bare", 2, &written);
        std::thread::sleep(Duration::from_millis(60));
    }
    server.wait_served("bare", 2, SOON);
    assert_eq!(failures(&server, "bare", "parse"), 0.0, "{}", server.log());
}

#[test]
fn a_repaired_version_is_served() {
    let setup = Setup::new();
    let repository = managed(&setup);
    repository.bare("bare", 1, &constant(1.0));
    let server = setup.start();
    repository.bare("bare", 2, b"oops");
    promote(&repository, 2, &constant(2.0), &Extras { no_model_file: true, ..Extras::default() });
    server.wait_state("bare", 2, "failed");
    server.wait_state("m", 2, "failed");
    repository.bare("bare", 2, &constant(2.0));
    repository.bare("m", 2, &constant(2.0));
    server.wait_served("bare", 2, SOON);
    // What was missing is tried again after a pause.
    server.wait_served("m", 2, SOON * 2);
    // The status for people is stored after the version serves.
    wait("no reason", SOON, || server.version("m", 2)["reason"].is_null().then_some(()));
}

#[test]
fn a_registry_that_comes_late_is_no_reason_to_end() {
    let setup = Setup::new().registry("later");
    let server = setup.start_unready();
    let reason =
        |path: &str| server.admin().get(path).json()["reason"].as_str().unwrap_or_default().to_owned();
    wait("the first look", SOON, || reason("/readyz").contains("registry cannot be read").then_some(()));
    assert_eq!(server.admin().get("/livez").status, 200);
    assert_eq!((server.admin().get("/readyz").status, server.admin().get("/startupz").status), (503, 503));
    server.data().get("/v2/health/ready").error(503);
    assert_eq!(server.data().get("/v2/health/live").status, 200);
    server.data().post("/predict", "[[1,2,3,4]]").error(503);
    let repository = Repository::new(&server.path("later"));
    repository.bare("m", 1, b"broken");
    wait("the broken one", SOON, || reason("/readyz").contains("parse").then_some(()));
    repository.bare("m", 2, &constant(2.0));
    server.wait_served("m", 2, SOON);
    wait("readiness", SOON, || (server.admin().get("/readyz").status == 200).then_some(()));
}

#[test]
fn a_sync_does_not_wait_for_the_next_look() {
    let setup = Setup::new().only_config("registry.poll_interval_ms = 600000");
    let repository = managed(&setup);
    let server = setup.start();
    let sync = |path: &str| server.admin().post(path, "");
    promote(&repository, 2, &constant(2.0), &Extras::default());
    let start = Instant::now();
    assert_eq!(sync("/models/m/sync").status, 200);
    assert_eq!(answer_of(&server, "m"), Some(2));
    assert!(start.elapsed() < Duration::from_secs(20));
    promote(&repository, 3, &other_signature(3.0), &Extras::default());
    let answer = sync("/sync");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let text = sync("/models/m/sync").error(409);
    assert!(text.contains("signature_changed"), "{text}");
    assert_eq!(answer_of(&server, "m"), Some(2));
    sync("/models/nobody/sync").error(404);
    sync("/models/..%2f/sync").error(400);
    let names: Vec<Value> = server.models().as_array().unwrap().iter().map(|m| m["name"].clone()).collect();
    assert_eq!(names, ["m"], "a request made a model");
}

#[test]
fn a_sync_right_after_a_copy_waits_for_the_files_to_settle() {
    let setup = Setup::new().only_config("registry.poll_interval_ms = 600000");
    let repository = setup.repository();
    repository.bare("m", 1, &constant(1.0));
    let server = setup.start();
    for (version, path) in [(2, "/models/m/sync"), (3, "/sync")] {
        repository.bare("m", version, &constant(version as f32));
        assert_eq!(server.admin().post(path, "").status, 200, "{path}");
        assert_eq!(answer_of(&server, "m"), Some(version), "{path}");
    }
    repository.bare("m", 4, b"broken");
    let text = server.admin().post("/models/m/sync", "").error(409);
    assert!(text.contains("parse"), "{text}");
    // What goes on being written is not waited for without end, and not called a success.
    let written = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for length in 1.. {
                repository.bare("m", 5, &vec![0; length]);
                if written.load(Ordering::Relaxed) {
                    return;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        wait("the writer", SOON, || server.path("models/m/5/model.onnx").exists().then_some(()));
        let answer = server.admin().post("/models/m/sync", "");
        written.store(true, Ordering::Relaxed);
        let text = answer.error(409);
        assert!(text.contains("not loaded yet"), "{text}");
    });
    assert_eq!(answer_of(&server, "m"), Some(3));
}

#[test]
fn models_beyond_the_cap_are_reported_and_not_served() {
    let setup = Setup::new().config("registry.max_models = 2");
    let repository = setup.repository();
    ["a", "b", "c"].iter().for_each(|name| repository.bare(name, 1, &constant(1.0)));
    let server = setup.start();
    assert_eq!(["a", "b", "c"].map(|name| answer_of(&server, name)), [Some(1), Some(1), None]);
    let problem = server.models()[2]["problem"].clone();
    assert!(problem["detail"].as_str().is_some_and(|text| text.contains("max_models")), "{problem}");
}
