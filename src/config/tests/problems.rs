//! What is refused, in which words, and where it is said to be.

use super::*;

#[test]
fn all_problems_are_reported_at_once_where_they_were_written() {
    let file = "defaultmodel = \"x\"\nhttp = 5\n\n[regisrty]\nurl = \"x\"\n[limits]\nbody_bytes = \"8 MiB\"\n\
        max_rows = 0\nmax_row = 1\n[registry]\nurl = \"gs://bucket\"\nmodels = [\"a\", 5]\nrequired = [\"_\"]\n\
        [log]\nlevel = \"loud\"\n[models.x.y]\nengine = \"ort\"\n[models.\"-\"]\n[ops]\nlisten = 8003\n";
    let env = [("SIDEGATE_HTTP_LISTEN", "x"), ("SIDEGATE_ADMIN__LISTEN", "8002"), ("SIDEGATE_NONSENSE", "")];
    let flags = [("engine.default", "gpu"), ("http.workers", "-1")];
    refused(
        Layers { file, env: &env, flags: &flags, ..Layers::default() },
        &[
            "c.toml:1: defaultmodel: unknown key; did you mean `default_model`?",
            "c.toml:2: http: expected a table, [http]",
            "c.toml:4: [regisrty]: unknown section; did you mean `registry`?",
            "c.toml:7: limits.body_bytes: expected a whole number from 1024 to 1073741824, got `8 MiB`",
            "c.toml:8: limits.max_rows: expected a whole number from 1 to 100000000, got 0",
            "c.toml:9: limits.max_row: unknown key; did you mean `limits.max_rows`?",
            "c.toml:11: registry.url: `gs:` is not supported by this version; name a folder, as a path or a file: URL, a bucket, s3://bucket/prefix, or an MLflow server, mlflow+http://host:5000",
            "c.toml:12: registry.models: expected a string, got 5",
            "c.toml:13: registry.required: `_` is not a model name: a letter or digit, then at most 63 of letters, digits, `.`, `_`, `-`",
            "c.toml:15: log.level: expected one of: off error warn info debug trace, got `loud`",
            "c.toml:16: models.x.y: unknown key; a name with dots is quoted: [models.\"x.y\"]",
            "c.toml:18: models.-: `-` is not a model name: a letter or digit, then at most 63 of letters, digits, `.`, `_`, `-`",
            "c.toml:20: ops.listen: expected ADDRESS:PORT such as 127.0.0.1:8000 (port 0 takes a free one), got 8003",
            "SIDEGATE_ADMIN__LISTEN: admin.listen: expected ADDRESS:PORT such as 127.0.0.1:8000 (port 0 takes a free one), got `8002`",
            "SIDEGATE_HTTP_LISTEN: no key has this variable; did you mean `SIDEGATE_HTTP__LISTEN`?",
            "SIDEGATE_NONSENSE: no key has this variable",
            "--engine: engine.default: expected one of: auto trees ort tract, got `gpu`",
            "--workers: http.workers: expected a whole number from 1 to 64, got `-1`; \"auto\" asks the machine",
        ],
    );
}

#[test]
fn broken_toml_is_reported_by_line_and_not_twice() {
    let got = load_file("[http]\nlisten = \n[log]\nlevel = \"info\nformat = 3\n").unwrap_err();
    let lines: Vec<&str> = got.lines().collect();
    assert!(
        lines.iter().any(|l| l.starts_with("c.toml:2: "))
            && lines.iter().any(|l| l.starts_with("c.toml:4: ")),
        "{got}"
    );
    assert_eq!(lines.iter().filter(|l| l.starts_with("c.toml:2: ")).count(), 1, "{got}");
}

#[test]
fn contradictions_are_problems() {
    let check = |file: &str, machine: Machine, problems: &[&str]| {
        refused(Layers { file, machine, ..Layers::default() }, problems);
    };
    for (file, problem) in [
        (
            "[http]\nbusy_poll_us = 50",
            "c.toml:2: http.busy_poll_us: spinning would use up the CPU quota of 1.50; leave it 0 under a quota",
        ),
        (
            "[limits]\nbody_bytes = 16_777_216",
            "c.toml:2: limits.body_bytes: a body of 16777216 bytes never fits into limits.inflight_bytes, 8388608",
        ),
    ] {
        assert_eq!(load_file(file).map(drop), Ok(()), "{file}: without limits");
        check(file, QUOTA, &[problem]);
    }
    for (file, problem) in [
        (
            "[admin]\nlisten = \"0.0.0.0:8002\"",
            "c.toml:2: admin.listen: 0.0.0.0:8002 can be reached from other machines, which needs admin.token_file",
        ),
        (
            "[http]\nlisten = \"0.0.0.0:8002\"",
            "c.toml:2: http.listen: admin.listen 127.0.0.1:8002 and http.listen 0.0.0.0:8002 cannot share a port",
        ),
        (
            "[ops]\nlisten = \"127.0.0.1:8000\"",
            "c.toml:2: ops.listen: ops.listen 127.0.0.1:8000 and http.listen 127.0.0.1:8000 cannot share a port",
        ),
        (
            "default_model = \"a\"\n[models.b]\ndefault = true",
            "c.toml:3: models.b.default: `a` is the default model already; keep one of them",
        ),
        (
            "default_model = \"a\"\n[models.a]\ndefault = false",
            "c.toml:3: models.a.default: false, but default_model is `a`",
        ),
        (
            "[models.a]\ndefault = true\n[models.b]\ndefault = true",
            "c.toml:4: models.b.default: `a` is the default model already; keep one of them",
        ),
        (
            "default_model = \"b\"\n[registry]\nmodels = [\"a\"]",
            "c.toml:1: default_model: `b` is not among the models to be served",
        ),
        (
            "[registry]\nmodels = [\"a\"]\nrequired = [\"b\"]",
            "c.toml:3: registry.required: `b` is not among the models to be served, so readiness would never come",
        ),
        (
            "[registry]\nmodels = [\"a\", \"b\"]\nmax_models = 1",
            "c.toml:2: registry.models: names 2 models, registry.max_models allows 1",
        ),
        (
            "[registry]\nrequire_signature = true",
            "c.toml:2: registry.require_signature: needs registry.public_keys_dir, the keys whose signatures count",
        ),
        (
            "[registry]\nmodels = [\"a\"]\nurl = \"b.onnx\"",
            "c.toml:2: registry.models: does not name `b`, the only model of file:b.onnx",
        ),
    ] {
        check(file, NO_LIMITS, &[problem]);
    }
    let uds = format!("[http]\nuds = \"/{}\"", "x".repeat(107));
    check(&uds, NO_LIMITS, &["c.toml:2: http.uds: a socket's path has at most 107 bytes, got 108"]);
    assert_eq!(load_file("[admin]\nlisten = \"0.0.0.0:8002\"\ntoken_file = \"t\"").map(drop), Ok(()));
    assert_eq!(
        load_file("[http]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"").map(drop),
        Ok(())
    );
    // The token file was meant to be there: one problem, not two.
    check(
        "[admin]\nlisten = \"0.0.0.0:8002\"\ntoken_file = 1",
        NO_LIMITS,
        &["c.toml:3: admin.token_file: expected a path, got 1"],
    );
}

#[test]
fn variables_of_models_name_exactly_one() {
    let file = "[registry]\nmodels = [\"a-b\", \"a.b\", \"c__d\", \"e\"]\n[models.f]\n";
    for (variable, problem) in [
        ("SIDEGATE_MODELS__E__ENGINE", None),
        ("SIDEGATE_MODELS__F__ENGINE", None),
        ("SIDEGATE_MODELS__C__D__ENGINE", None),
        ("sidegate_models__e__engine", None),
        ("SIDEGATE_MODELS__A_B__ENGINE", Some("ambiguous, it stands for `a-b` and `a.b`; use the file")),
        (
            "SIDEGATE_MODELS__G__ENGINE",
            Some(
                "the configuration names no such model; add it to registry.models or give it a table [models.NAME]",
            ),
        ),
        (
            "SIDEGATE_MODELS__E__COLOR",
            Some(
                "expected SIDEGATE_MODELS__NAME__KEY with one of the keys engine, default, allow_breaking, max_rows, warmup_rows, checks, prediction_range",
            ),
        ),
    ] {
        let env = [(variable, "ort")];
        let layers = Layers { file, env: &env, ..Layers::default() };
        match problem {
            Some(problem) => refused(layers, &[&format!("{variable}: {problem}")]),
            None => assert!(
                load_layers(&layers).unwrap().models.values().any(|m| m.engine == Some(EngineChoice::Ort))
            ),
        }
    }
    let env = [("SIDEGATE_LOG__LEVEL", "warn"), ("sidegate_log__level", "warn")];
    let problem = "sidegate_log__level: ambiguous, because SIDEGATE_LOG__LEVEL is set too; unset one of them";
    refused(Layers { env: &env, ..Layers::default() }, &[problem]);
}

#[test]
fn parquet_is_refused_by_a_build_that_does_not_write_it() {
    let file = "[prediction_log]\nformat = \"parquet\"";
    if cfg!(feature = "parquet") {
        assert_eq!(load_file(file).unwrap().prediction_log.format, SegmentFormat::Parquet);
    } else {
        let problem = "c.toml:2: prediction_log.format: this build writes no Parquet; use one made with `--features parquet`, or \"ndjson\"";
        refused(Layers { file, ..Layers::default() }, &[problem]);
    }
}

#[test]
fn one_file_is_served_without_set_up() {
    let dir = tempfile::tempdir().unwrap();
    let model = dir.path().join("my model.onnx");
    fs::write(&model, b"x").unwrap();
    let flags = [(MODEL_FILE, model.to_str().unwrap())];
    let env = [("SIDEGATE_MODELS__MY_MODEL__MAX_ROWS", "5")];
    let config = load_layers(&Layers { flags: &flags, env: &env, ..Layers::default() }).unwrap();
    assert_eq!(config.registry.url, RegistryUrl::SingleFile(model));
    assert_eq!((config.model("my-model").max_rows, config.model("my-model").warmup_rows), (5, 5));
    let flags = [(MODEL_FILE, "gone.pkl")];
    let problem = "MODEL_FILE: registry.url: `gone.pkl` is no model file: .onnx, .ubj and .json of XGBoost and .txt of LightGBM are served";
    refused(Layers { flags: &flags, ..Layers::default() }, &[problem]);
}

#[test]
fn a_named_file_must_exist() {
    let env = [("sidegate_config".to_owned(), "/nowhere/c.toml".to_owned())];
    let mut sources = Sources { env: env.to_vec(), ..Sources::default() };
    let problems = load(&sources).unwrap_err().to_string();
    assert!(problems.contains("\n  /nowhere/c.toml: cannot be read: No such file"), "{problems}");
    sources.file = Some(DEFAULT_FILE.replace("sidegate", "gone").into());
    assert!(load(&sources).is_err());
    sources.file = Some("/elsewhere/c.toml".into());
    assert_eq!(sources.config_file(), Path::new("/elsewhere/c.toml"), "the flag wins");
    assert_eq!(Sources::default().config_file(), Path::new(DEFAULT_FILE));
}

#[test]
fn what_a_model_demands_is_checked() {
    let file = "[models.a]\nchecks = [\"shape\", \"speed\"]\n[models.b]\nchecks = [\"range\"]\n[models.c]\n\
        prediction_range = \"1..0\"\n[models.d]\nchecks = [\"range\"]\nprediction_range = \"0..1\"\n";
    refused(
        Layers { file, ..Layers::default() },
        &[
            "c.toml:2: models.a.checks: expected one of: interface shape range determinism edge_cases, got `speed`",
            "c.toml:4: models.b.checks: `range` needs models.b.prediction_range, \"MIN..MAX\"",
            "c.toml:6: models.c.prediction_range: expected MIN..MAX such as 0..1, MIN no larger than MAX; either may be left out, got `1..0`",
        ],
    );
    let env = [
        ("SIDEGATE_REGISTRY__MODELS", "a"),
        ("SIDEGATE_MODELS__A__CHECKS", "shape, edge_cases"),
        ("SIDEGATE_MODELS__A__PREDICTION_RANGE", "..5"),
    ];
    let settings = load_layers(&Layers { env: &env, ..Layers::default() }).unwrap().model("a");
    assert_eq!(settings.checks, [ModelCheck::Shape, ModelCheck::EdgeCases].into_iter().collect());
    assert!(settings.prediction_range.unwrap().contains(-1e9));
}

#[test]
fn everything_that_is_wrong_with_experiments_is_reported_at_once() {
    let file = "[experiments.one]\nmodel = \"m\"\nunit = \"client_address\"\nvariants = { a = \"1\", b = \"x y\" }\n\
        [experiments.two]\nmodel = \"m\"\nunit = \"header:u\"\ncoverage = 5\n\
        [experiments.two.variants]\na = 1\nb = \"champion\"\n\
        [experiments.two.slots]\na = \"0..600000\"\nb = \"500000..1000001\"\n\
        [experiments.three]\nrules = [\"r: cookie:t exists -> c\", \"s\"]\nsplit = 1\n\
        [experiments.\"-\"]\n[experiments.four]\nhash = \"md5\"\nweights = { a = -1 }\n\
        [experiments.five]\nenabled = true\nmodel = \"m\"\nunit = \"header:u\"\nvariants = { a = 1 }\n\
        [experiments.six]\nmodel = \"m\"\nunit = \"header:u\"\nvariants = { a = 1 }\n";
    let env = [("SIDEGATE_EXPERIMENTS__SEVEN__COVERAGE", "5%"), ("SIDEGATE_EXPERIMENTS__SIX__DEFAULT", "b")];
    let got = load_layers(&Layers { file, env: &env, ..Layers::default() }).unwrap_err();
    let expected = [
        "c.toml:3: experiments.one.unit: `client_address` is the address of the client, which behind a sidecar is always \
         the app's own, so that all users would be one unit; have the app send who the user is, such as header:x-user-id",
        "c.toml:4: experiments.one.variants: `b`: expected a version, a stage, an alias or remote:URL, got `x y`",
        "c.toml:8: experiments.two.coverage: expected a percentage as a text, such as \"12.5%\", got 5",
        "c.toml:12: experiments.two.slots: 500000..1000001 of `b` ends beyond 1000000, the number of slots",
        "c.toml:12: experiments.two.slots: 500000..600000 belongs to `a` and to `b`",
        "c.toml:16: experiments.three.rules: expected NAME: CONDITION and CONDITION -> VARIANT (or hold-out), got `s`",
        "c.toml:17: experiments.three.split: unknown key; did you mean `experiments.NAME.salt`?",
        "c.toml:18: experiments.-: `-` is not the name of an experiment: a letter or digit, then at most 63 of letters, \
         digits, `.`, `_`, `-`",
        "c.toml:19: experiments.four.model: is missing: the name of the model whose requests it routes",
        "c.toml:20: experiments.four.hash: expected one of: xxh3 growthbook, got `md5`",
        "c.toml:21: experiments.four.weights: `a`: expected a whole number from 0, got `-1`",
        "SIDEGATE_EXPERIMENTS__SEVEN__COVERAGE: the configuration names no such experiment; give it a table \
         [experiments.NAME]",
        "SIDEGATE_EXPERIMENTS__SIX__DEFAULT: experiments.six.default: `b` is not among the variants",
    ];
    for problem in expected {
        assert!(got.lines().any(|line| line == problem), "{problem}\n\n{got}");
    }
    let file = "[experiments.one]\nmodel = \"m\"\nguardrails = [\"disagreement within 5%\"]\n\
        shadow = { \"?\" = 2, far = \"remote:http://h/v2/models/m\" }\n\
        [experiments.two]\nmodel = \"n\"\nunit = \"header:u\"\nvariants = { a = 1, b = 2 }\n\
        guardrails = [\"disagreement\"]\nmetric = \"disagreement\"\n\
        [experiments.three]\nmodel = \"o\"\nunit = \"header:u\"\nvariants = { a = 1 }\nshadow = { a = \"2\" }\n";
    let problems = [
        "c.toml:3: experiments.one.guardrails: watch disagreement, which needs as a shadow what the control serves, written the same way, so that it predicts what the other variants answer",
        "c.toml:4: experiments.one.shadow: `?` is no name of a shadow: a letter or digit, then at most 63 of letters, \
         digits, `.`, `_`, `-`",
        "c.toml:4: experiments.one.shadow: `far` is remote; a shadow is a version, a stage or an alias, and what answers \
         may be remote",
        "c.toml:9: experiments.two.guardrails: watch disagreement, which needs as a shadow what the control serves, written the same way, so that it predicts what the other variants answer",
        "c.toml:10: experiments.two.metric: is disagreement, which can be too large and not become better; name it \
         among guardrails",
        "c.toml:15: experiments.three.shadow: `a` is the name of a variant too",
    ];
    refused(Layers { file, ..Layers::default() }, &problems);
    let file = "[experiments.one]\nmodel = \"m\"\nshadow = { next = \"staging\" }\n";
    let alone = &load_file(file).unwrap().experiments[0];
    assert_eq!((alone.unit.to_string(), alone.variants.len()), ("header:x-request-id".into(), 0));
    // Two that are right but for each other.
    let file = "[experiments.a]\nmodel = \"m\"\nunit = \"header:u\"\nvariants = { a = 1 }\n\
        [experiments.b]\nmodel = \"m\"\nunit = \"header:u\"\nvariants = { a = 1 }\nenabled = true";
    let problem = "c.toml:6: experiments.b.model: `m` has the experiment `a` already, and a unit can be enrolled in one of \
                   them only; set enabled = false for one";
    refused(Layers { file, ..Layers::default() }, &[problem]);
    let config = load_file(&file.replace("enabled = true", "enabled = false")).unwrap();
    assert_eq!(config.experiments.iter().map(|e| e.name.as_str()).collect::<Vec<_>>(), ["a"]);
}

#[test]
fn where_nothing_can_be_written_nothing_is_published() {
    for (file, part) in [
        (
            "[monitor]\npublish_interval_ms = 1000",
            "monitor.publish_interval_ms: the registry of an MLflow server",
        ),
        (
            "[experiments]\npublish_interval_ms = 1000",
            "experiments.publish_interval_ms: the registry of an MLflow",
        ),
        (
            "[prediction_log]\nurl = \"mlflow+http://host\"",
            "prediction_log.url: the registry of an MLflow server",
        ),
        ("[registry]\nrequire_signature = true\npublic_keys_dir = \"/keys\"", "and knows no signatures"),
    ] {
        let env = [("SIDEGATE_REGISTRY__URL", "mlflow+http://host:5000")];
        let problems = load_layers(&Layers { file, env: &env, ..Layers::default() }).expect_err(file);
        assert!(problems.contains(part), "{file}: {problems}");
    }
}
