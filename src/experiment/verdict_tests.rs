//! What follows from evidence, step by step.

use super::verdict::{Evidence, Stage, Standing, Standpoint, Verb};
use super::*;

fn experiment(edit: impl FnOnce(&mut Definition)) -> Experiment {
    let mut definition = Definition {
        model: Some("m".parse().unwrap()),
        unit: Some("header:u".parse().unwrap()),
        variants: [("a", "1"), ("b", "2"), ("c", "3")]
            .map(|(name, serve)| (name.into(), serve.parse().unwrap()))
            .into(),
        metric: Some("accuracy".parse().unwrap()),
        planned_units: 1000,
        confidence: "95%".parse().unwrap(),
        min_runtime: std::time::Duration::from_secs(10),
        ..Definition::default()
    };
    edit(&mut definition);
    definition.check(&"e".parse().unwrap()).unwrap()
}

fn evidence(at: u64, variants: &[(&str, u64, f64, &str)]) -> Evidence {
    let standpoint = |(name, units, p, harm): &(&str, u64, f64, &str)| Standpoint {
        variant: (*name).into(),
        units: [*units; 2],
        p: Some(*p),
        better: true,
        shows: "it does".into(),
        harm: Some((*harm).to_owned()).filter(|harm| !harm.is_empty()).into_iter().collect(),
    };
    Evidence {
        at,
        variants: variants.iter().map(standpoint).collect(),
        invalid: Vec::new(),
        unsettled: Vec::new(),
    }
}

/// Takes evidence after evidence; the verbs that follow.
fn verbs(experiment: &Experiment, standing: &mut Standing, all: &[Evidence]) -> Vec<String> {
    if standing.since == 0 {
        (standing.since, standing.step.1) = (1, 1);
    }
    let mut verbs = Vec::new();
    for evidence in all {
        while let Some(entry) = standing.next(experiment, evidence) {
            verbs.push(entry.verb.to_string());
            standing.apply(entry);
        }
    }
    verbs
}

#[test]
fn the_best_variant_is_promoted_after_the_least_time() {
    let experiment = experiment(|_| ());
    let mut standing = Standing::default();
    let all = [
        evidence(2, &[("b", 50, 0.001, ""), ("c", 50, 0.001, "")]),
        evidence(5000, &[("b", 200, 0.04, ""), ("c", 200, 0.001, "")]),
        evidence(20_000, &[("b", 400, 0.04, ""), ("c", 400, 0.001, "")]),
        evidence(30_000, &[("b", 900, 0.0001, "slow"), ("c", 900, 0.0001, "slow")]),
    ];
    assert_eq!(verbs(&experiment, &mut standing, &all), ["begin", "promote `c`"]);
    assert_eq!((standing.stage, standing.ruling(&experiment).settled), (Stage::Promoted, Some(2)));
}

#[test]
fn harm_takes_a_variant_out_at_once_and_the_last_one_ends_it() {
    let experiment = experiment(|_| ());
    let mut standing = Standing::default();
    let all = [
        evidence(2, &[("b", 20, 1.0, "it fails"), ("c", 20, 1.0, "")]),
        evidence(9, &[("b", 20, 1.0, "it fails"), ("c", 90, 1.0, "it is slow")]),
    ];
    assert_eq!(verbs(&experiment, &mut standing, &all), ["roll back `b`", "roll back `c`"]);
    assert_eq!((standing.stage, standing.ruling(&experiment).out), (Stage::RolledBack, vec![1, 2]));
    assert_eq!(standing.log[1].why, "it is slow");
}

#[test]
fn what_is_invalid_is_never_promoted_and_what_shows_nothing_ends() {
    let experiment = experiment(|_| ());
    let mut invalid = evidence(20_000, &[("b", 900, 1e-9, ""), ("c", 900, 1.0, "")]);
    invalid.invalid.push("sample_ratio: …".into());
    let mut standing = Standing::default();
    assert_eq!(verbs(&experiment, &mut standing, &[invalid]), ["invalidate"]);
    let nothing = evidence(20_000, &[("b", 900, 0.5, ""), ("c", 900, 0.2, "")]);
    let mut standing = Standing::default();
    assert_eq!(verbs(&experiment, &mut standing, &[nothing]), ["begin", "conclude"]);
}

#[test]
fn a_canary_goes_on_by_units_and_time() {
    let experiment = experiment(|definition| {
        definition.variants.pop();
        definition.metric = None;
        definition.min_runtime = std::time::Duration::ZERO;
        definition.canary =
            ["2% for 200 units and 5s", "20% for 300 units", "100%"].map(|step| step.parse().unwrap()).into();
    });
    let mut standing = Standing::default();
    let coverage = |standing: &Standing| standing.ruling(&experiment).coverage.unwrap().to_string();
    assert_eq!(coverage(&standing), "2%");
    assert_eq!(verbs(&experiment, &mut standing, &[evidence(4000, &[("b", 250, 1.0, "")])]), ["begin"]);
    assert_eq!(verbs(&experiment, &mut standing, &[evidence(6000, &[("b", 250, 1.0, "")])]), ["step 2"]);
    assert_eq!(
        verbs(&experiment, &mut standing, &[evidence(6001, &[("b", 549, 1.0, "")])]),
        Vec::<String>::new()
    );
    assert_eq!(
        verbs(&experiment, &mut standing, &[evidence(6002, &[("b", 550, 1.0, "")])]),
        ["step 3", "promote `b`"]
    );
    assert_eq!(coverage(&standing), "100%");
}

#[test]
fn a_log_is_replayed_and_a_changed_one_is_found() {
    let experiment = experiment(|_| ());
    let mut standing = Standing::default();
    let all = [evidence(20_000, &[("b", 900, 1e-9, ""), ("c", 900, 1.0, "it fails")])];
    verbs(&experiment, &mut standing, &all);
    assert_eq!(standing.log.len(), 3);
    let text = serde_json::to_string(&standing.log).unwrap();
    let log: Vec<verdict::Entry> = serde_json::from_str(&text).unwrap();
    assert_eq!(
        Standing::replay(&experiment, 1, &log).unwrap(),
        Standing { least_p: Vec::new(), ..standing.clone() }
    );
    let edits: [fn(&mut Vec<verdict::Entry>); 4] = [
        |log| log[2].verb = Verb::Rollback("b".into()),
        |log| log[1].evidence.variants[0].units = [1, 1],
        |log| log[0].why = "it was slow".into(),
        |log| drop(log.remove(1)),
    ];
    for edit in edits {
        let mut log = log.clone();
        edit(&mut log);
        assert!(Standing::replay(&experiment, 1, &log).is_err());
    }
}
