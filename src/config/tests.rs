//! What the layers make of each other. Rules of single files are tested beside them.

use std::fs;
use std::path::Path;

use super::*;

mod problems;
mod table;

/// Layers as texts; the file gets the name `c.toml` in the messages.
#[derive(Default)]
struct Layers<'a> {
    file: &'a str,
    env: &'a [(&'a str, &'a str)],
    flags: &'a [(&'a str, &'a str)],
    machine: Machine,
}

const QUOTA: Machine = Machine { cpu_quota: Some(1.5), memory_limit: Some(64 << 20), host: String::new() };
const NO_LIMITS: Machine = Machine { cpu_quota: None, memory_limit: None, host: String::new() };

fn sources(layers: &Layers<'_>, dir: &Path) -> Sources {
    let pairs = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    let file = dir.join("c.toml");
    fs::write(&file, layers.file).unwrap();
    let machine = layers.machine.clone();
    Sources { flags: pairs(layers.flags), env: pairs(layers.env), file: Some(file), machine }
}

fn load_layers(layers: &Layers<'_>) -> Result<Config, String> {
    let dir = tempfile::tempdir().unwrap();
    load(&sources(layers, dir.path())).map_err(|problems| {
        let text = problems.to_string().replace(&format!("{}/", dir.path().display()), "");
        text.lines().skip(1).map(str::trim).collect::<Vec<_>>().join("\n")
    })
}

fn load_file(file: &str) -> Result<Config, String> {
    load_layers(&Layers { file, ..Layers::default() })
}

/// Every layer has exactly these problems.
#[track_caller]
fn refused(layers: Layers<'_>, problems: &[&str]) {
    let got = load_layers(&layers).expect_err("accepted");
    assert_eq!(got.lines().collect::<Vec<_>>(), problems);
}

fn name(text: &str) -> ModelName {
    text.parse().unwrap()
}

#[test]
fn the_published_defaults() {
    let config = load_file("").unwrap();
    assert_eq!(config, Config::defaults(&NO_LIMITS));
    assert_eq!(config.registry.url, RegistryUrl::File("models".into()));
    assert_eq!(
        (config.registry.models, config.registry.required, config.registry.max_models),
        (None, vec![], 32)
    );
    assert_eq!(config.registry.poll_interval, Duration::from_secs(1));
    assert_eq!((config.registry.keep_previous, config.registry.slow_load), (1, false));
    assert_eq!((config.registry.endpoint, config.registry.region), (None, None));
    assert_eq!((config.registry.path_style, config.registry.cache_max_bytes), (PathStyle::Auto, 2 << 30));
    assert_eq!((config.registry.require_signature, config.registry.public_keys_dir), (false, None));
    assert_eq!((config.registry.single_writer, config.registry.trial_load), (false, TrialLoad::Auto));
    assert_eq!(config.registry.trial_timeout, Duration::from_secs(60));
    assert_eq!(config.http.listen.to_string(), "127.0.0.1:8000");
    assert_eq!((config.http.uds, config.http.workers, config.http.max_connections), (None, 1, 1024));
    assert_eq!((config.http.busy_poll, config.http.queue_wait), (Duration::ZERO, Duration::from_millis(100)));
    assert_eq!(config.http.request_timeout, Duration::from_secs(10));
    assert_eq!((config.http.repository_control, config.http.reject_non_finite), (false, false));
    let limits = Limits { body_bytes: 8 << 20, inflight_bytes: 256 << 20, max_rows: 10_000 };
    assert_eq!(config.limits, limits);
    assert_eq!(config.admin.listen.to_string(), "127.0.0.1:8002");
    assert_eq!((config.admin.token_file, config.auth.token_file, config.ops.listen), (None, None, None));
    assert_eq!((config.engine.default, config.engine.onnxruntime), (EngineChoice::Auto, None));
    assert_eq!((config.memory.budget_bytes, config.metrics.max_series), (None, 5000));
    let shutdown = Shutdown { drain_delay: Duration::ZERO, timeout: Duration::from_secs(20) };
    assert_eq!(config.shutdown, shutdown);
    assert_eq!(config.log, Log { format: LogFormat::Text, level: LogLevel::Info });
}

#[test]
fn defaults_derive_from_the_limits_of_the_machine() {
    let config = Config::defaults(&QUOTA);
    assert_eq!((config.http.workers, config.registry.slow_load), (2, true));
    assert_eq!((config.limits.body_bytes, config.limits.inflight_bytes), (8 << 20, 8 << 20));
    assert_eq!(config.memory.budget_bytes, Some((64 << 20) / 5 * 4));
    let tiny = Config::defaults(&Machine { memory_limit: Some(16 << 20), ..NO_LIMITS });
    assert_eq!((tiny.limits.body_bytes, tiny.limits.inflight_bytes), (2 << 20, 2 << 20));
}

#[test]
#[cfg(feature = "s3")]
fn intervals_follow_from_where_models_come_from() {
    let file = "[registry]\nurl = \"s3://bucket\"\n";
    let faster = "[registry]\nurl = \"s3://bucket\"\npoll_interval_ms = 50\nmin_swap_interval_ms = 0\n";
    let auto = [
        ("SIDEGATE_REGISTRY__POLL_INTERVAL_MS", "auto"),
        ("SIDEGATE_REGISTRY__MIN_SWAP_INTERVAL_MS", "auto"),
    ];
    let folder = &[("registry.url", "models")][..];
    for (file, env, flags, poll, swap) in [
        ("", &[][..], &[][..], 1000, 0),
        (file, &[], &[], 15_000, 5000),
        (file, &[], folder, 1000, 0),
        (faster, &[], &[], 50, 0),
        (faster, &auto, &[], 15_000, 5000),
    ] {
        let registry = load_layers(&Layers { file, env, flags, ..Layers::default() }).unwrap().registry;
        let expected = (Duration::from_millis(poll), Duration::from_millis(swap));
        assert_eq!(
            (registry.poll_interval, registry.min_swap_interval),
            expected,
            "{file} {env:?} {flags:?}"
        );
    }
    let problem = "c.toml:2: registry.poll_interval_ms: expected a whole number from 50 to 3600000, got `often`; \
                   \"auto\" follows registry.url";
    refused(Layers { file: "[registry]\npoll_interval_ms = \"often\"", ..Layers::default() }, &[problem]);
}

#[test]
fn copies_are_kept_where_the_platform_keeps_them() {
    let (xdg, home) = (("XDG_CACHE_HOME", "/cache"), ("HOME", "/home/x"));
    let own = ("SIDEGATE_REGISTRY__CACHE_DIR", "own");
    for (env, expected) in [
        (&[][..], None),
        (&[home], Some("/home/x/.cache/sidegate/registry")),
        (&[home, xdg], Some("/cache/sidegate/registry")),
        (&[home, ("XDG_CACHE_HOME", "relative")], Some("/home/x/.cache/sidegate/registry")),
        (&[("HOME", "")], None),
        (&[home, xdg, own], Some("own")),
    ] {
        let registry = load_layers(&Layers { env, ..Layers::default() }).unwrap().registry;
        assert_eq!(registry.cache_dir.as_deref(), expected.map(Path::new), "{env:?}");
    }
}

#[test]
fn a_pod_is_called_as_its_host_unless_told_otherwise() {
    let machine = Machine { host: "churn-7f9c".into(), ..NO_LIMITS };
    for (file, pod) in [("", "churn-7f9c"), ("[registry]\npod = \"p\"", "p")] {
        let layers = Layers { file, machine: machine.clone(), ..Layers::default() };
        assert_eq!(load_layers(&layers).unwrap().registry.pod, pod);
    }
}

#[test]
fn written_values_win_over_the_machine() {
    let file = "[http]\nworkers = 3\n[registry]\nslow_load = \"off\"\n[memory]\nbudget_bytes = 0\n";
    let config = load_layers(&Layers { file, machine: QUOTA, ..Layers::default() }).unwrap();
    assert_eq!(
        (config.http.workers, config.registry.slow_load, config.memory.budget_bytes),
        (3, false, None)
    );
    let env = [("SIDEGATE_HTTP__WORKERS", "auto")];
    let config = load_layers(&Layers { file, env: &env, machine: QUOTA, ..Layers::default() }).unwrap();
    assert_eq!(config.http.workers, 2, "auto takes a written value back");
}

#[test]
fn a_flag_wins_over_the_environment_over_the_file_over_the_default() {
    let file = "[http]\nlisten = \"127.0.0.1:1\"\n";
    let env: &[_] = &[("SIDEGATE_HTTP__LISTEN", "127.0.0.1:2")];
    let flags: &[_] = &[("http.listen", "localhost:3")];
    for (file, env, flags, port) in [
        ("", &[][..], &[][..], 8000),
        (file, &[], &[], 1),
        (file, env, &[], 2),
        (file, env, flags, 3),
        (file, &[], flags, 3),
        ("", env, &[], 2),
    ] {
        let config = load_layers(&Layers { file, env, flags, ..Layers::default() }).unwrap();
        assert_eq!(config.http.listen.port(), port);
    }
}

#[test]
fn every_layer_has_every_type() {
    let file = "default_model = \"churn\"\n[registry]\nmodels = [\"churn\", \"a.b\"]\n[limits]\nbody_bytes = 1_048_576\n\
        [http]\nuds = \"/run/s.sock\"\nreject_non_finite = true\n[models.\"a.b\"]\nengine = \"tract\"\n";
    let experiment =
        "[experiments.e-1]\nmodel = \"churn\"\nunit = \"header:u\"\nvariants = { a = 1, b = \"staging\" }\n";
    let ramped = "weights = { a = 9, b = 1 }\ncoverage = \"5%\"\nsegment = [\"cookie:c exists\", \"cookie:d missing\"]\n";
    let env = [
        ("SIDEGATE_DEFAULT_MODEL", "churn"),
        ("sidegate_registry__models", "churn, a.b"),
        ("SIDEGATE_LIMITS__BODY-BYTES", "1_048_576"),
        ("SIDEGATE_HTTP__UDS", "/run/s.sock"),
        ("SIDEGATE_HTTP__REJECT_NON_FINITE", "TRUE"),
        ("SIDEGATE_MODELS__A_B__ENGINE", "tract"),
    ];
    let from_file = load_file(file).unwrap();
    assert_eq!(load_layers(&Layers { env: &env, ..Layers::default() }).unwrap(), from_file);
    assert_eq!(from_file.registry.required, [name("churn"), name("a.b")], "those named in registry.models");
    assert_eq!(
        (from_file.model("a.b").engine, from_file.model("churn").engine),
        (EngineChoice::Tract, EngineChoice::Auto)
    );
    let env = [
        ("SIDEGATE_EXPERIMENTS__E_1__WEIGHTS", "a=9, b = 1"),
        ("SIDEGATE_EXPERIMENTS__E_1__COVERAGE", "5%"),
        ("SIDEGATE_EXPERIMENTS__E_1__SEGMENT", "cookie:c exists, cookie:d missing"),
    ];
    let from_env = load_layers(&Layers { file: experiment, env: &env, ..Layers::default() }).unwrap();
    assert_eq!(from_env, load_file(&format!("{experiment}{ramped}")).unwrap());
    assert_eq!(from_env.experiment("churn").unwrap().variants[1].slots.to_string(), "900000..1000000");
    let env = [("SIDEGATE_HTTP__UDS", ""), ("SIDEGATE_DEFAULT_MODEL", "")];
    let config = load_layers(&Layers { file, env: &env, ..Layers::default() }).unwrap();
    assert_eq!((config.http.uds, config.default_model), (None, None), "empty takes a written value back");
}

#[test]
fn the_search_for_onnxruntime_follows_the_environment() {
    let env = [("ORT_DYLIB_PATH", "/lib/o.so"), ("VIRTUAL_ENV", "/venv")];
    let search = load_layers(&Layers { env: &env, ..Layers::default() }).unwrap().engine.search;
    let expected = Search { ort_dylib_path: Some("/lib/o.so".into()), virtual_env: Some("/venv".into()) };
    assert_eq!(search, expected);
}

#[test]
fn sagemaker_says_the_port_unless_the_address_is_said() {
    let listen = |file: &str, env: &[(&str, &str)]| {
        load_layers(&Layers { file, env, ..Layers::default() }).map(|config| config.http.listen.to_string())
    };
    let sagemaker = ("SAGEMAKER_BIND_TO_PORT", "9001");
    assert_eq!(listen("http.listen = \"127.0.0.1:1\"", &[sagemaker]).unwrap(), "0.0.0.0:9001");
    let own = ("SIDEGATE_HTTP__LISTEN", "127.0.0.1:2");
    assert_eq!(listen("", &[own, sagemaker]).unwrap(), "127.0.0.1:2");
    assert_eq!(listen("", &[("SAGEMAKER_BIND_TO_PORT", "")]).unwrap(), "127.0.0.1:8000");
    let refused = listen("", &[("SAGEMAKER_BIND_TO_PORT", "x")]).unwrap_err();
    assert!(refused.starts_with("SAGEMAKER_BIND_TO_PORT: http.listen: "), "{refused}");
}

#[test]
fn sagemaker_says_that_models_come_by_request_unless_the_registry_is_said() {
    let registry = |file: &str, env: &[(&str, &str)]| {
        load_layers(&Layers { file, env, ..Layers::default() }).map(|config| config.registry)
    };
    let by_request = RegistryUrl::SageMaker("/opt/ml/models".into());
    let sagemaker = |value| ("SAGEMAKER_MULTI_MODEL", value);
    for on in ["true", "True"] {
        assert_eq!(registry("registry.url = \"x\"", &[sagemaker(on)]).unwrap().url, by_request);
    }
    for off in ["false", ""] {
        assert_eq!(registry("", &[sagemaker(off)]).unwrap().url, RegistryUrl::File("models".into()));
    }
    let own = ("SIDEGATE_REGISTRY__URL", "x");
    assert_eq!(registry("", &[sagemaker("true"), own]).unwrap().url, RegistryUrl::File("x".into()));
    let unclear = registry("", &[sagemaker("yes")]).unwrap_err();
    assert_eq!(unclear, "SAGEMAKER_MULTI_MODEL: expected true or false, got `yes`");
    let registry = registry("", &[sagemaker("true")]).unwrap();
    let intervals = (registry.poll_interval, registry.min_swap_interval);
    assert_eq!(intervals, (Duration::from_secs(15), Duration::ZERO));
}

#[test]
fn what_sagemaker_lays_there_is_only_read() {
    let file = "[registry]\nurl = \"sagemaker:///m\"\nmodels = [\"a\"]\nrequired = [\"a\"]\nrequire_signature = true\n\
        public_keys_dir = \"k\"\n[monitor]\npublish_interval_ms = 1\n[prediction_log]\nurl = \"sagemaker:///l\"\n";
    refused(
        Layers { file, ..Layers::default() },
        &[
            "c.toml:3: registry.models: SageMaker asks for the models that are to be served; leave it out",
            "c.toml:4: registry.required: SageMaker asks for the models that are to be served; leave it out",
            "c.toml:5: registry.require_signature: what SageMaker lays there is only read, and knows no signatures",
            "c.toml:8: monitor.publish_interval_ms: what SageMaker lays there is only read, so nothing can be published \
             there; keep it at 0",
            "c.toml:10: prediction_log.url: what SageMaker lays there is only read; name a folder or a bucket",
        ],
    );
}
