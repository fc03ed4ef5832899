//! Show, compare, lineage, log.

use super::*;

fn described(bench: &Bench, metrics: Value, params: Value, more: Value) -> Version {
    let map = |value: Value| value.as_object().cloned().unwrap_or_default();
    let registration = Registration {
        metrics: map(metrics),
        params: map(params),
        tags: map(more["tags"].clone()),
        lineage: map(more["lineage"].clone()),
        ..Registration::new(bench.file("m.onnx", more.to_string().as_bytes()))
    };
    bench.wait(1);
    let done = register(&bench.writer, &bench.model, &registration, None, &mut |_, _, _| ()).unwrap();
    v(done.value.version)
}

#[test]
fn versions_are_compared_by_metric_parameter_and_size() {
    let bench = Bench::new();
    let one = described(
        &bench,
        json!({"auc": 0.8, "rmse": 2.0, "zero": 0, "only1": 1, "text": "x"}),
        json!({"depth": 3, "eta": 0.1}),
        json!({}),
    );
    let two = described(
        &bench,
        json!({"auc": 0.84, "rmse": 0, "zero": 5, "only2": 1, "text": "y"}),
        json!({"depth": 4, "eta": 0.1, "rounds": 9}),
        json!({"tags": {"a": 1}}),
    );
    let found = compare(bench.writer.store(), &bench.model, one, two).unwrap();
    let value = serde_json::to_value(&found).unwrap();
    let names: Vec<&String> = value["version1"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["created", "metrics", "params", "stage", "version"]);
    assert_eq!((&value["version2"]["version"], &value["version2"]["stage"]), (&json!("2"), &json!("None")));
    let metrics = value["metric_comparison"].as_object().unwrap();
    assert_eq!(metrics.keys().collect::<Vec<_>>(), ["auc", "only1", "only2", "rmse", "zero"]);
    let missing = |one: Value, two: Value| json!({"version1": one, "version2": two, "improvement": null, "better": null});
    assert_eq!(metrics["only1"], missing(json!(1.0), Value::Null));
    assert_eq!(metrics["only2"], missing(Value::Null, json!(1.0)));
    assert!((found.metric_comparison["auc"].improvement.unwrap() - 5.0).abs() < 1e-9);
    assert_eq!(metrics["auc"]["better"], "version2");
    assert_eq!(
        metrics["rmse"],
        json!({"version1": 2.0, "version2": 0.0, "improvement": -100.0, "better": "version2"})
    );
    assert_eq!(metrics["zero"]["improvement"], Value::Null);
    assert_eq!(metrics["zero"]["better"], Value::Null);
    assert_eq!(
        value["params_diff"],
        json!({"depth": {"version1": 3, "version2": 4}, "rounds": {"version1": null, "version2": 9}})
    );
    assert_eq!(value["size"]["difference"], found.size.version2.unwrap() as i64 - 2);
    assert!(
        compare(bench.writer.store(), &bench.model, one, v(9)).unwrap_err().detail.contains("no version 9")
    );
}

#[test]
fn lineage_is_in_the_order_of_numbers() {
    let bench = Bench::new();
    for number in 1..=10 {
        let lineage = json!({"data": "sha256:1", "code": "git:2", "parent": number - 1, "run": "r"});
        let tags = json!({"data_source": "s3://raw", "number": number});
        described(&bench, json!({"auc": 0.5}), json!({"p": 1}), json!({"tags": tags, "lineage": lineage}));
    }
    let value = serde_json::to_value(lineage(bench.writer.store(), &bench.model).unwrap()).unwrap();
    let versions = value["versions"].as_array().unwrap();
    let numbers: Vec<&str> = versions.iter().map(|v| v["version"].as_str().unwrap()).collect();
    assert_eq!(numbers, ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10"]);
    assert_eq!(versions[9]["data_sources"], json!(["s3://raw", "sha256:1"]));
    assert_eq!((&versions[9]["run_id"], &versions[9]["parent"]), (&json!("r"), &json!("9")));
    assert_eq!((&versions[9]["training_params"], &versions[9]["code"]), (&json!({"p": 1}), &json!("git:2")));
    assert_eq!(
        (&value["model_name"], &versions[0]["performance_metrics"]["auc"]),
        (&json!("churn"), &json!(0.5))
    );
}

#[test]
fn the_log_tells_what_was_in_production_when_and_why() {
    let bench = Bench::new();
    let (one, two) = (bench.version(), bench.version());
    let start = bench.clock.now();
    let at = |seconds: u64| {
        let time = start + Duration::from_secs(seconds);
        production_at(bench.writer.store(), &bench.model, time).unwrap()
    };
    bench.wait(10);
    let why = |text: &str| (Some(text.to_owned()), Some("run:7".to_owned()));
    for (version, (why, evidence)) in [(one, why("first")), (two, why("better"))] {
        let promotion = Promotion { why, evidence, ..Promotion::new(version, Stage::Production) };
        promote(&bench.writer, &bench.model, &promotion, None).unwrap();
        bench.wait(10);
    }
    rollback(&bench.writer, &bench.model, None, "errors", None).unwrap();
    assert_eq!(at(9), None);
    let tenure = at(15).unwrap();
    assert_eq!((tenure.version, &*tenure.by, tenure.why.as_deref()), (1, "ann@host", Some("first")));
    let tenure = at(20).unwrap();
    assert_eq!(
        (tenure.version, tenure.why.as_deref(), tenure.evidence.as_deref()),
        (2, Some("better"), Some("run:7"))
    );
    assert_eq!(tenure.since, clock::text(start + Duration::from_secs(20)));
    let tenure = at(99).unwrap();
    assert_eq!((tenure.version, &*tenure.verb, tenure.why.as_deref()), (1, "rollback", Some("errors")));
    let trail = log(bench.writer.store(), &bench.model, None).unwrap();
    let verbs: Vec<&str> = trail.entries.iter().map(|entry| entry.verb.as_str()).collect();
    let expected = ["reserve", "register", "reserve", "register", "promote", "archive", "promote", "archive"];
    assert_eq!(verbs, [&expected[..], &["rollback", "hold"]].concat());
}

#[test]
fn a_model_shows_what_it_has() {
    let bench = Bench::new();
    assert!(show(bench.writer.store(), &bench.model).unwrap_err().detail.contains("no model.json"));
    let one = bench.version();
    bench.version();
    bench.promote(one, Stage::Production);
    set_alias(&bench.writer, &bench.model, "champion", one, None).unwrap();
    let summary = show(bench.writer.store(), &bench.model).unwrap();
    assert_eq!((summary.default.as_deref(), summary.versions.len()), (Some("1"), 2));
    assert_eq!(summary.versions[0].aliases, ["champion"]);
    let staged = get_models_by_stage(bench.writer.store(), &bench.model, Stage::None).unwrap();
    assert_eq!(staged.iter().map(|version| &*version.version).collect::<Vec<_>>(), ["2"]);
}
