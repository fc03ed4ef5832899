use super::*;

const LABELS: VersionLabels<'_> =
    VersionLabels { model: "m", version: "1", stage: "Production", engine: "trees", digest: "sha256:0" };

fn text(metrics: &Metrics) -> String {
    String::from_utf8(metrics.render()).unwrap()
}

#[test]
fn a_version_has_all_its_series_until_it_is_forgotten() {
    let metrics = Metrics::new().unwrap();
    let version = metrics.version(&LABELS, 5000);
    version.outcomes.count(Outcome::Shed);
    let rendered = text(&metrics);
    assert!(
        rendered.contains(r#"model_predictions_total{model="m",outcome="ok",variant="",version="1"} 0"#),
        "{rendered}"
    );
    assert!(
        rendered.contains(r#"model_predictions_total{model="m",outcome="shed",variant="",version="1"} 1"#)
    );
    metrics.restage(&LABELS, "Archived");
    assert!(text(&metrics).contains(r#"stage="Archived""#));
    metrics.forget_version(&VersionLabels { stage: "Archived", ..LABELS });
    assert!(!text(&metrics).contains(r#"version="1""#));
}

#[test]
fn a_variant_has_series_of_its_own_until_it_is_none() {
    let metrics = Metrics::new().unwrap();
    metrics.version(&LABELS, 5000);
    metrics.variant("m", "1", "candidate", 5000).count(Outcome::Ok);
    let series = r#"model_predictions_total{model="m",outcome="ok",variant="candidate",version="1"} 1"#;
    assert!(text(&metrics).contains(series), "{}", text(&metrics));
    metrics.forget_variant("m", "1", "candidate");
    let rendered = text(&metrics);
    assert!(!rendered.contains("candidate") && rendered.contains(r#"variant="",version="1""#), "{rendered}");
    // No room for more than the version.
    metrics.variant("m", "1", "candidate", 12).count(Outcome::Ok);
    assert!(text(&metrics).contains(r#"variant="__other__""#));
    let reasons = || ["enrolled", "no_unit"].into_iter();
    metrics.assignments("e", "", reasons()).count(1);
    let series = r#"sidegate_experiment_assignments_total{experiment="e",reason="no_unit",variant=""} 1"#;
    assert!(text(&metrics).contains(series), "{}", text(&metrics));
    metrics.forget_assignments("e", "", reasons());
    assert!(!text(&metrics).contains(r#"experiment="e""#));
}

#[test]
fn replaced_content_leaves_one_info_series_and_goes_on_counting() {
    let metrics = Metrics::new().unwrap();
    // Room for one version.
    metrics.version(&LABELS, 12).rows.inc_by(3);
    metrics.forget_content(&LABELS);
    metrics.version(&VersionLabels { digest: "sha256:1", ..LABELS }, 12).rows.inc_by(4);
    let rendered = text(&metrics);
    assert!(rendered.contains(r#"sidegate_prediction_rows_total{model="m",version="1"} 7"#), "{rendered}");
    assert!(rendered.contains("sha256:1") && !rendered.contains("sha256:0"), "{rendered}");
    assert!(rendered.contains("sidegate_dropped_labels_total 0"), "{rendered}");
}

#[test]
fn beyond_the_cap_versions_share_one_label() {
    let metrics = Metrics::new().unwrap();
    metrics.version(&LABELS, 5).rows.inc_by(3);
    let rendered = text(&metrics);
    assert!(rendered.contains(r#"sidegate_prediction_rows_total{model="__other__",version="__other__"} 3"#));
    assert!(rendered.contains("sidegate_dropped_labels_total 1"));
}

#[test]
fn models_beyond_half_of_the_cap_and_those_nobody_announced_share_one_label() {
    let metrics = Metrics::new().unwrap();
    let cap = 4 * MODEL_SERIES;
    for model in ["a", "a", "b", "c", "d"] {
        metrics.announce_model(model, cap);
    }
    for model in ["a", "b", "c", "d", "nobody"] {
        metrics.count_load(model, Some(crate::model::Reason::Parse));
        metrics.count_swap(model);
    }
    // There is room for versions still.
    metrics.version(&VersionLabels { model: "d", ..LABELS }, cap).rows.inc_by(3);
    let rendered = text(&metrics);
    for expected in [
        r#"sidegate_model_loads_total{model="b",result="error"} 1"#,
        r#"sidegate_model_loads_total{model="__other__",result="error"} 3"#,
        r#"sidegate_model_load_failures_total{model="__other__",reason="parse"} 3"#,
        r#"sidegate_model_swaps_total{model="__other__"} 3"#,
        r#"sidegate_prediction_rows_total{model="d",version="1"} 3"#,
        "sidegate_dropped_labels_total 2",
    ] {
        assert!(rendered.contains(expected), "{expected}: {rendered}");
    }
    assert!(!rendered.contains(r#"model="c""#) && !rendered.contains("nobody"), "{rendered}");
}

#[test]
fn outcomes_are_in_the_order_of_their_numbers() {
    for (position, (outcome, _)) in OUTCOMES.into_iter().enumerate() {
        assert_eq!(outcome as usize, position);
    }
}

#[test]
fn alerts_beyond_a_hundred_share_a_series_that_goes_with_the_last() {
    let metrics = Metrics::new().unwrap();
    let shared = r#"sidegate_drift_alert{feature="__other__",kind="missing",model="m",version="1"} 1"#;
    (0..102).for_each(|n| metrics.drift_alert("m", "1", &format!("f{n}"), "missing", true));
    assert!(text(&metrics).contains(shared));
    metrics.drift_alert("m", "1", "f100", "missing", false);
    metrics.drift_alert("m", "1", "f3", "missing", false);
    assert!(text(&metrics).contains(shared));
    metrics.drift_alert("m", "1", "f101", "missing", false);
    assert!(!text(&metrics).contains(shared));
    metrics.forget_drift("m", "1");
    assert!(!text(&metrics).contains(r#"version="1""#));
}

#[test]
fn a_feature_has_its_score_and_p_value_while_it_is_told_of() {
    let metrics = Metrics::new().unwrap();
    let score = |feature, statistic, p_value| Score { feature, statistic, p_value };
    metrics.drift_scores("m", "1", &[score("a", 0.5, Some(0.01)), score("b", 0.25, Some(0.2))]);
    metrics.drift_scores("m", "1", &[score("b", 0.5, Some(0.02))]);
    let known = text(&metrics);
    for series in ["data_drift_score{LABELS} 0.5", "sidegate_drift_p_value{LABELS} 0.02"] {
        let series = series.replace("LABELS", r#"feature="b",model="m",version="1""#);
        assert!(known.contains(&series), "{series}: {known}");
    }
    assert!(!known.contains(r#"feature="a""#), "{known}");
    metrics.drift_scores("m", "1", &[score("b", 0.5, None)]);
    assert!(!text(&metrics).contains("sidegate_drift_p_value{"));
    metrics.drift_scores("m", "1", &[score("b", 0.5, Some(0.02))]);
    metrics.forget_drift("m", "1");
    assert!(!text(&metrics).contains(r#"version="1""#));
}

#[test]
fn the_lag_grows_while_nothing_is_taken() {
    let lag = |metrics: &Metrics| {
        let text = text(metrics);
        let line = text.lines().find(|line| line.starts_with("sidegate_monitor_lag_seconds ")).unwrap();
        line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    let metrics = Metrics::new().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(60));
    let before = lag(&metrics);
    assert!(before >= 0.06, "{before}");
    metrics.monitor_drained();
    let after = lag(&metrics);
    assert!((0.0..before).contains(&after), "{after}");
}

#[test]
fn a_model_that_is_gone_leaves_no_series_and_makes_room() {
    let metrics = Metrics::new().unwrap();
    // Room for one model and one version of it.
    let cap = 2 * MODEL_SERIES;
    for round in 0..3 {
        let model = format!("m{round}");
        let labels = VersionLabels { model: &model, ..LABELS };
        metrics.announce_model(&model, cap);
        metrics.version(&labels, cap);
        metrics.count_load(&model, Some(crate::model::Reason::Parse));
        metrics.count_swap(&model);
        assert!(text(&metrics).contains(&format!("model=\"{model}\"")), "{}", text(&metrics));
        metrics.forget_version(&labels);
        metrics.forget_model(&model);
        assert!(!text(&metrics).contains(&model), "{}", text(&metrics));
    }
    assert!(text(&metrics).contains("sidegate_dropped_labels_total 0"), "{}", text(&metrics));
    metrics.forget_model("nobody");
}
