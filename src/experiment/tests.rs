//! What an experiment decides, and what is no experiment.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn definition() -> Definition {
    Definition {
        enabled: true,
        model: Some("churn".parse().unwrap()),
        unit: Some("header:x-user".parse().unwrap()),
        salt: "s".into(),
        variants: variants(&[("control", "1"), ("candidate", "2")]),
        default: "control".into(),
        planned_units: 5000,
        confidence: "95%".parse().unwrap(),
        ..Definition::default()
    }
}

fn variants(pairs: &[(&str, &str)]) -> Vec<(String, Serve)> {
    pairs.iter().map(|(name, serve)| ((*name).into(), serve.parse().unwrap())).collect()
}

fn slots(pairs: &[(&str, &str)]) -> Vec<(String, Slots)> {
    pairs.iter().map(|(name, slots)| ((*name).into(), slots.parse().unwrap())).collect()
}

fn build(definition: &Definition) -> Experiment {
    definition.check(&"e".parse().unwrap()).unwrap()
}

fn problems(definition: &Definition) -> Vec<String> {
    let problems = definition.check(&"e".parse().unwrap()).unwrap_err();
    problems.into_iter().map(|problem| format!("{}: {}", problem.keys[0], problem.text)).collect()
}

fn user(unit: &str) -> Given {
    Given { headers: vec![("x-user".into(), unit.into())], ..Given::default() }
}

fn decided(experiment: &Experiment, request: &Given) -> (Option<&'static str>, Reason) {
    let decision = experiment.decide(request);
    let name = |variant: usize| match experiment.variants[variant].name.as_str() {
        "control" => "control",
        "candidate" => "candidate",
        other => panic!("{other}"),
    };
    (decision.variant.map(name), decision.reason)
}

#[test]
fn decisions_are_those_of_the_reference() {
    let all: Value = serde_json::from_str(include_str!("../../tests/fixtures/stats/stats.json")).unwrap();
    let cases: Vec<&Value> =
        all["cases"].as_array().unwrap().iter().filter(|case| case["fn"] == "assign").collect();
    assert!(cases.len() > 100);
    for case in cases {
        let (args, expect) = (&case["args"], &case["expect"]);
        let unit = args["key"].as_str().unwrap();
        let ranges = args["ranges_ppm"].as_array().unwrap();
        let names: Vec<String> = (0..ranges.len()).map(|n| format!("v{n}")).collect();
        let range = |range: &Value| format!("{}..{}", range[0], range[1]);
        let coverage = args["coverage_ppm"].as_u64().unwrap() as f64 / 1e4;
        let experiment = build(&Definition {
            salt: args["salt"].as_str().unwrap().into(),
            coverage: format!("{coverage}%").parse().unwrap(),
            variants: names.iter().map(|name| (name.clone(), "1".parse().unwrap())).collect(),
            slots: names.iter().zip(ranges).map(|(n, r)| (n.clone(), range(r).parse().unwrap())).collect(),
            default: String::new(),
            ..definition()
        });
        assert_eq!(experiment.slot(unit), expect["slot"], "{case}");
        assert_eq!(experiment.enrol_slot(unit), expect["enrol_slot"], "{case}");
        let variant = experiment.variant_of(experiment.slot(unit));
        assert_eq!(variant.map_or(Value::Null, Value::from), expect["variant"], "{case}");
        // Two things a server does not hash: no unit, and white space around one.
        if unit.is_empty() || unit.trim() != unit {
            continue;
        }
        let enrolled = expect["enrolled"] == true;
        let decision = experiment.decide(&user(unit));
        assert_eq!(decision.reason == Reason::Enrolled, enrolled, "{case}");
        assert_eq!(decision.variant, variant.filter(|_| enrolled), "{case}");
    }
}

#[test]
fn growthbook_and_sidegate_put_a_user_into_the_same_bucket() {
    let experiment = build(&Definition {
        hash: Hash::GrowthBook,
        salt: "exp-a".into(),
        slots: slots(&[("control", "0..400000"), ("candidate", "400000..1000000")]),
        ..definition()
    });
    // Buckets 0.4131 and 0.1201 of the vectors.
    assert_eq!(decided(&experiment, &user("user-1")), (Some("candidate"), Reason::Enrolled));
    assert_eq!(decided(&experiment, &user("user-2")), (Some("control"), Reason::Enrolled));
    assert_eq!((experiment.slot("user-1"), experiment.slot("user-2")), (413_100, 120_100));
}

#[test]
fn rules_come_first_and_then_segment_unit_coverage_and_slot() {
    let rules = [
        "testers: header:x-tester exists -> candidate",
        "staff: cookie:staff = 1 -> hold-out",
        "global: share:global < 10% -> hold-out",
    ];
    let experiment = build(&Definition {
        coverage: "50%".parse().unwrap(),
        slots: slots(&[("control", "0..400000"), ("candidate", "500000..900000")]),
        segment: vec!["header:x-country in DE, AT".parse().unwrap()],
        rules: rules.iter().map(|rule| rule.parse().unwrap()).collect(),
        ..definition()
    });
    let with = |unit: &str, fields: &[(&str, &str)]| {
        let mut given = user(unit);
        given.headers.extend(fields.iter().map(|(name, value)| ((*name).into(), (*value).into())));
        given
    };
    let german = [("x-country", "DE")];
    // Users by what their three hashes say.
    let find = |wanted: &dyn Fn(u32, u32, u32) -> bool| {
        let units = (0..).map(|n: u32| n.to_string());
        let global = |unit: &str| assign::slot(assign::Salt::new("global").hash(unit));
        let fits = |unit: &String| wanted(global(unit), experiment.enrol_slot(unit), experiment.slot(unit));
        units.take(10_000).find(fits).unwrap()
    };
    let free = |global: u32| global >= 100_000;
    let enrolled = |enrol: u32| enrol < 500_000;
    let control = find(&|g, e, s| free(g) && enrolled(e) && s < 400_000);
    let candidate = find(&|g, e, s| free(g) && enrolled(e) && (500_000..900_000).contains(&s));
    let unassigned = find(&|g, e, s| free(g) && enrolled(e) && (400_000..500_000).contains(&s));
    let uncovered = find(&|g, e, s| free(g) && !enrolled(e) && s > 500_000);
    let held = find(&|g, e, s| !free(g) && enrolled(e) && s > 500_000);
    let default = Some("control");
    for (given, expected) in [
        (with(&control, &german), (Some("control"), Reason::Enrolled)),
        (with(&candidate, &german), (Some("candidate"), Reason::Enrolled)),
        (with(&candidate, &[("x-country", "FR")]), (default, Reason::Segment)),
        (with(&candidate, &[]), (default, Reason::Segment)),
        (with(&unassigned, &german), (default, Reason::Unassigned)),
        (with(&uncovered, &german), (default, Reason::Coverage)),
        (with(&held, &german), (default, Reason::HoldOut)),
        (with(&candidate, &[("x-country", "DE"), ("cookie", "a=2; staff=1")]), (default, Reason::HoldOut)),
        (with("", &german), (default, Reason::NoUnit)),
        // Forced whoever they are, also without a unit, outside the segment and before the rules below.
        (with(&control, &[("x-tester", "1"), ("cookie", "staff=1")]), (Some("candidate"), Reason::Rule)),
        (with("", &[("x-tester", "1")]), (Some("candidate"), Reason::Rule)),
    ] {
        assert_eq!(decided(&experiment, &given), expected, "{given:?}");
        let explained = experiment.explain(&given);
        assert_eq!((explained.variant.as_deref(), explained.reason), (expected.0, expected.1.name()));
    }
    let plain = build(&Definition { default: String::new(), ..definition() });
    assert_eq!(decided(&plain, &Given::default()), (None, Reason::NoUnit));
}

#[test]
fn the_unit_comes_from_where_the_definition_says() {
    let of = |unit: &str| build(&Definition { unit: Some(unit.parse().unwrap()), ..definition() });
    let given = Given {
        headers: vec![("cookie".into(), "uid=u1".into())],
        body: r#"{"parameters": {"user": 7}}"#.into(),
        ..Given::default()
    };
    for (unit, expected) in
        [("cookie:uid", Some("u1")), ("json:/parameters/user", Some("7")), ("header:a", None)]
    {
        assert_eq!(of(unit).explain(&given).unit.as_deref(), expected, "{unit}");
    }
    let experiment = of("json:/user");
    let named = Given { unit: Some((experiment.unit.clone(), "u9".into())), ..given };
    assert_eq!(experiment.explain(&named).unit.as_deref(), Some("u9"));
}

#[test]
fn weights_become_slots_of_the_whole() {
    let slots = |weights: &[(&str, u64)]| {
        let weights = weights.iter().map(|(name, weight)| ((*name).into(), *weight)).collect();
        let names = variants(&[("a", "1"), ("b", "2"), ("c", "3")]);
        let built = build(&Definition { variants: names, weights, default: String::new(), ..definition() });
        built.variants.iter().map(|variant| variant.slots.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(slots(&[]), ["0..333333", "333333..666666", "666666..1000000"]);
    assert_eq!(slots(&[("b", 1), ("a", 3)]), ["0..750000", "750000..1000000", ""]);
    assert_eq!(slots(&[("a", u64::MAX), ("c", u64::MAX)]), ["0..500000", "", "500000..1000000"]);
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let wrong = Definition {
        model: None,
        unit: None,
        salt: "a\u{1f}".into(),
        variants: variants(&[("a", "1"), ("b b", "2"), ("hold-out", "3")]),
        slots: slots(&[("a", "0..10 5..20 7..7"), ("b b", "15..1000001"), ("z", "0..1")]),
        weights: vec![("y".into(), 1)],
        default: "x".into(),
        rules: ["r: header:a exists -> w", "r: header:b exists -> a"]
            .map(|rule| rule.parse().unwrap())
            .into(),
        ..definition()
    };
    assert_eq!(
        problems(&wrong),
        [
            "model: is missing: the name of the model whose requests it routes",
            "unit: is missing: what is assigned to a variant, as header:NAME, cookie:NAME or json:/POINTER",
            "variants: `b b` is no name of a variant: a letter or digit, then at most 63 of letters, digits, `.`, `_`, `-`",
            "variants: `hold-out` is what rules call no variant at all",
            "salt: holds a control character, with which salts and units could be mixed up",
            "rules: `r` is there twice",
            "slots: `z` is not among the variants",
            "weights: `y` is not among the variants",
            "weights: are shorthand for slots, and slots are written too; keep one of them",
            "slots: 7..7 of `a` is empty; a range is START..END, the end not included",
            "slots: 15..1000001 of `b b` ends beyond 1000000, the number of slots",
            "slots: 5..10 belongs to `a` and to `a`",
            "slots: 15..20 belongs to `a` and to `b b`",
            "default: `x` is not among the variants",
            "rules: `r` chooses `w`, which is not among the variants",
        ]
    );
    let none = Definition { variants: Vec::new(), default: String::new(), ..definition() };
    assert_eq!(
        problems(&none),
        ["variants: is missing: names with the version, stage or alias that each serves"]
    );
    let twice = Definition { variants: variants(&[("control", "1"), ("control", "2")]), ..definition() };
    assert_eq!(problems(&twice), ["variants: `control` is there twice"]);
    let nobody = Definition { weights: vec![("control".into(), 0)], ..definition() };
    assert_eq!(problems(&nobody), ["weights: are all 0, so that no variant would get a unit"]);
    let many = (0..17).map(|n| (format!("v{n}"), "1".parse().unwrap())).collect();
    assert_eq!(problems(&Definition { variants: many, default: String::new(), ..definition() }).len(), 1);
}

#[test]
fn one_model_has_one_experiment() {
    let of = |name: &str, model: &str| {
        let definition = Definition { model: Some(model.parse().unwrap()), ..definition() };
        definition.check(&name.parse().unwrap()).unwrap()
    };
    let found = conflicts(&[of("a", "m"), of("b", "n"), of("c", "m")]);
    assert_eq!(found.len(), 1);
    assert!(found[0].0 == 2 && found[0].1.contains("experiment `a`"), "{found:?}");
}

#[test]
fn slots_that_change_hands_are_counted() {
    let of = |salt: &str, control: &str, candidate: &str| {
        build(&Definition {
            salt: salt.into(),
            slots: slots(&[("control", control), ("candidate", candidate)]),
            ..definition()
        })
    };
    let before = of("s", "0..100000", "500000..600000");
    for (after, moved) in [
        (of("s", "0..200000", "500000..900000"), 0),
        (of("s", "0..100000", ""), 0),
        (of("s", "0..50000", "50000..100000 500000..600000"), 50_000),
        (of("s", "500000..600000", "0..100000"), 200_000),
        (of("t", "500000..600000", "0..100000"), 0),
    ] {
        assert_eq!(after.moved_slots(&before), moved, "{:?}", after.variants);
    }
}

#[test]
fn the_split_is_as_wide_as_the_slots_and_independent_of_enrolment() {
    let experiment = build(&Definition { coverage: "50%".parse().unwrap(), ..definition() });
    for shape in ["{}", "user-{}@example.com", "00000000-0000-7000-8000-{:012}"] {
        let mut counts = [[0_u32; 2]; 2];
        for unit in 0..40_000 {
            let unit = shape.replace("{:012}", &format!("{unit:012}")).replace("{}", &unit.to_string());
            let enrolled = experiment.enrol_slot(&unit) < 500_000;
            let variant = experiment.variant_of(experiment.slot(&unit)).unwrap();
            counts[usize::from(enrolled)][variant] += 1;
        }
        // Four cells of 10,000: five standard deviations are 433.
        assert!(counts.iter().flatten().all(|count| (9567..10_433).contains(count)), "{shape}: {counts:?}");
    }
}

proptest! {
    #[test]
    fn ramps_move_nobody_who_is_enrolled(
        unit in "\\PC{1,40}",
        ends in prop::array::uniform4(1_u32..=499_999),
        coverage in (0_u32..=1_000_000, 0_u32..=1_000_000),
    ) {
        let [a, b, c, d] = ends;
        let of = |coverage: u32, control: u32, candidate: u32| build(&Definition {
            unit: Some("json:/u".parse().unwrap()),
            coverage: format!("{}%", f64::from(coverage) / 1e4).parse().unwrap(),
            slots: slots(&[
                ("control", &format!("0..{control}")),
                ("candidate", &format!("500000..{}", 500_000 + candidate)),
            ]),
            ..definition()
        });
        let before = of(coverage.0.min(coverage.1), a.min(b), c.min(d));
        let after = of(coverage.0.max(coverage.1), a.max(b), c.max(d));
        let given = Given { unit: Some((before.unit.clone(), unit)), ..Given::default() };
        let was = before.decide(&given);
        if was.reason == Reason::Enrolled {
            prop_assert_eq!(was, after.decide(&given));
        }
        prop_assert_eq!(after.moved_slots(&before), 0);
        // A replica, or the same process after a restart, is another value made from the same definition.
        prop_assert_eq!(before.clone().decide(&given), was);
    }
}
