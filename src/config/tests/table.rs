//! What the table generates is true.

use std::collections::BTreeSet;

use super::*;

/// A file that sets every key to something else than its default.
const OTHER: &str = r#"
default_model = "b.c"
[registry]
url = "other"
endpoint = "http://minio:9000"
region = "eu-central-1"
path_style = "on"
poll_interval_ms = 51
models = ["a", "b.c"]
required = ["a"]
max_models = 2
min_swap_interval_ms = 1
keep_previous = 2
slow_load = "on"
cache_dir = "c"
cache_max_bytes = 2_000_000
single_writer = true
require_signature = true
public_keys_dir = "k"
trial_load = "off"
trial_timeout_ms = 100
pod = "p"
[http]
listen = "127.0.0.2:1"
uds = "a\"b\\c"
workers = 3
busy_poll_us = 1
request_timeout_ms = 1
max_connections = 1
queue_wait_ms = 1
repository_control = true
reject_non_finite = true
[limits]
body_bytes = 2048
inflight_bytes = 16_777_216
max_rows = 1
[admin]
listen = "127.0.0.2:2"
token_file = "t"
[ops]
listen = "127.0.0.2:3"
[auth]
token_file = "u"
[engine]
default = "ort"
onnxruntime = "o.so"
[memory]
budget_bytes = 1
[shutdown]
drain_delay_ms = 1
timeout_ms = 1
[metrics]
max_series = 100
[log]
format = "json"
level = "trace"
[monitor]
max_bytes = 70000
drift = false
performance = true
learn_rows = 300
window_rows = 128
window_seconds = 60
same_hour = true
max_rows_per_s = 7
false_alarms_per_30_days = 3
publish_interval_ms = 4000
webhook_url = "http://h/e"
webhook_token_file = "w"

[prediction_log]
url = "log"
models = ["a"]
sample = "5%"
redact = ["name", "b.c:age"]
format = "ndjson"
max_bytes = 2_000_000
segment_bytes = 70000
segment_ms = 100

[experiments]
receipt_key_file = "receipt.key"
receipt_max_age_ms = 2000
only_replica = true
publish_interval_ms = 3000

[models."b.c"]
engine = "trees"
default = true
allow_breaking = true
max_rows = 2
warmup_rows = 2
checks = ["shape", "range"]
prediction_range = "-1.5..2"
[experiments."b.c"]
enabled = false
model = "b.c"
unit = "cookie:uid"
salt = "s"
hash = "growthbook"
coverage = "12.5%"
variants = { z = "production", "a.b" = 7 }
fallback = "z"
fallback_after_ms = 7
slots = { z = "0..1 2..3", "a.b" = "5..6" }
weights = {}
default = "z"
segment = ["header:x-country in DE, AT"]
rules = ["testers: cookie:t exists -> a.b"]
metric = "accuracy"
guardrails = ["errors within 10%"]
horizon_ms = 1000
default_label = "0"
planned_units = 300
confidence = "90%"
min_runtime_ms = 5
canary = []
mode = "auto"
shadow = { s = "2" }
shadow_share = "5%"
shadow_margin = "0.5"
"#;

#[test]
fn the_committed_file_is_what_the_table_generates() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(DEFAULT_FILE);
    let fresh = template();
    if fs::read_to_string(&path).ok().as_deref() != Some(&fresh) {
        fs::write(&path, fresh).unwrap();
        panic!("{DEFAULT_FILE} was not what src/config/keys.rs generates; it is written anew, commit it");
    }
}

#[test]
fn the_committed_file_loads_to_the_defaults_also_when_uncommented() {
    let defaults = Config::defaults(&NO_LIMITS);
    assert_eq!(load_file(&template()).unwrap(), defaults);
    let uncommented: String = template()
        .lines()
        .map(|line| {
            line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line).to_owned() + "\n"
        })
        .collect();
    assert!(uncommented.contains("\nbusy_poll_us = 0\n"));
    // An experiment needs what has no default.
    let (uncommented, experiment) = uncommented.split_once("\n[experiments.NAME]\n").unwrap();
    let problems = load_file(&format!("[experiments.NAME]\n{experiment}")).unwrap_err();
    assert_eq!(problems.lines().filter(|line| line.contains("is missing")).count(), 3, "{problems}");
    assert_eq!(problems.lines().count(), 3, "{problems}");
    let mut config = load_file(uncommented).unwrap();
    assert_eq!(config.models.remove("NAME"), Some(config.unnamed.clone()));
    assert_eq!(config, defaults);
}

#[test]
fn every_key_reaches_a_field_of_its_own() {
    let (old, new) = (Config::defaults(&NO_LIMITS), load_file(OTHER).unwrap());
    // `slots` and `weights` exclude each other, as do `coverage` and `canary`. Not every build writes Parquet.
    let excluded = ["experiments.NAME.weights", "experiments.NAME.canary", "prediction_log.format"];
    let all = KEYS.iter().filter(|key| !excluded.contains(&key.path));
    let expected: Vec<String> = all.map(|key| key.path.replace("NAME", "b.c")).collect();
    let changed = changes(&old, &new);
    let weighted = OTHER.replace("weights = {}", "weights = { z = 3 }").replace("slots = {", "#");
    assert!(changes(&new, &load_file(&weighted).unwrap()).iter().any(|c| c.key.ends_with(".weights")));
    assert_eq!(changed.iter().map(|change| change.key.clone()).collect::<Vec<_>>(), expected);
    let stepped =
        OTHER.replace("canary = []", "canary = [\"1% for 1h\", \"5%\"]").replace("coverage = ", "#");
    assert!(changes(&new, &load_file(&stepped).unwrap()).iter().any(|c| c.key.ends_with(".canary")));
    if cfg!(feature = "parquet") {
        let parquet = load_file(&OTHER.replace("format = \"ndjson\"", "format = \"parquet\"")).unwrap();
        let format = Change { key: "prediction_log.format".into(), restart: false };
        assert_eq!(changes(&new, &parquet), [format]);
    }
    assert_eq!(changes(&new, &new), []);
    // One key at a time changes just that key: no two share a field.
    // Some cannot be set alone: they name models or need another key.
    let alone = |key: &Key| {
        let not_alone = ["registry.models", "registry.require_signature", "prediction_log.format"];
        key.family().is_none() && !not_alone.contains(&key.path)
    };
    for key in KEYS.iter().filter(|key| alone(key)) {
        let line = OTHER.lines().find(|line| line.starts_with(&format!("{} = ", key.name())));
        let value = values(&Loaded { config: new.clone(), origins: BTreeMap::new(), file: None });
        let value = &value.iter().find(|shown| shown.key == key.path).unwrap().value;
        assert!(line.is_some(), "{}", key.path);
        let file = match key.section() {
            "" => format!("{} = {value}\n", key.name()),
            section => format!("[{section}]\n{} = {value}\n", key.name()),
        };
        let changed = changes(&old, &load_file(&file).unwrap());
        let restart = key.restart;
        assert_eq!(changed, [Change { key: key.path.into(), restart }], "{file}");
    }
}

#[test]
fn the_dump_loads_to_the_same() {
    for config in [Config::defaults(&QUOTA), Config::defaults(&NO_LIMITS), load_file(OTHER).unwrap()] {
        assert_eq!(load_file(&to_toml(&config)).unwrap(), config);
    }
}

#[test]
fn values_come_with_their_origin_and_are_json() {
    let dir = tempfile::tempdir().unwrap();
    let layers = Layers {
        file: OTHER,
        env: &[("SIDEGATE_LOG__LEVEL", "warn")],
        flags: &[("http.workers", "1"), (MODEL_FILE, "/gone.onnx")],
        ..Layers::default()
    };
    let (loaded, problems) = load_leniently(&sources(&layers, dir.path()));
    assert_eq!(problems.len(), 1, "the file that is gone");
    let shown = values(&loaded);
    let origin = |key: &str| shown.iter().find(|shown| shown.key == key).unwrap().origin.to_string();
    assert_eq!(
        (origin("log.level"), origin("http.workers")),
        ("SIDEGATE_LOG__LEVEL".into(), "--workers".into())
    );
    assert!(origin("registry.url").ends_with("c.toml:4"), "the layer below holds");
    // Tables are TOML only.
    for Shown { key, value, .. } in shown.iter().filter(|shown| !shown.value.starts_with('{')) {
        assert!(serde_json::from_str::<serde_json::Value>(value).is_ok(), "{key} = {value}");
    }
    let text = annotated(&loaded);
    assert!(text.contains("level = \"warn\"                           # SIDEGATE_LOG__LEVEL\n"), "{text}");
    assert_eq!(load_file(&text).unwrap(), loaded.config);
}

#[test]
fn documentation_is_whole() {
    let mut seen = BTreeSet::new();
    for key in KEYS {
        assert!(seen.insert(key.path), "{} twice", key.path);
        assert!(key.doc.trim().ends_with('.') && key.doc.trim().len() > 30, "{}", key.path);
        for (unit, word) in
            [("_ms", "illiseconds"), ("_us", "icroseconds"), ("_bytes", "Bytes"), ("_rows", "Rows")]
        {
            assert!(!key.name().ends_with(unit) || key.doc.contains(word), "{}: {unit}", key.path);
        }
    }
    assert!(template().lines().all(|line| line.chars().count() <= 120));
}

#[test]
fn anything_is_answered_with_problems() {
    let mut runner = proptest::test_runner::TestRunner::default();
    let texts = "(\\[|\\]|=|\"|\\.|,|\n|#| |[a-z_]{1,8}|http|models|registry|url|listen|workers|[0-9]{1,20}|\\PC){0,40}";
    let check = |text: String| {
        let _ = load_file(&text);
        let env = [("SIDEGATE_MODELS__A__ENGINE", text.as_str()), (text.as_str(), "x")];
        let _ = load_layers(&Layers { env: &env, flags: &[("registry.url", &text)], ..Layers::default() });
        Ok(())
    };
    runner.run(&texts, check).unwrap();
}
