//! Promote, roll back, hold, alias.

use super::*;

#[test]
fn one_version_is_in_production_unless_asked_otherwise() {
    let bench = Bench::new();
    let (one, two, three) = (bench.version(), bench.version(), bench.version());
    bench.promote(one, Stage::Production);
    let promoted = bench.promote(two, Stage::Production).value;
    assert_eq!((promoted.archived, promoted.default), (vec![1], Some(2)));
    assert_eq!(bench.stages(), "1 Archived, 2 Production, 3 None");
    let promotion = Promotion { archive_existing: false, ..Promotion::new(one, Stage::Production) };
    let promoted = promote(&bench.writer, &bench.model, &promotion, None).unwrap().value;
    assert_eq!(bench.stages(), "1 Production, 2 Production, 3 None");
    assert!(promoted.notes[0].contains("version 2 is in Production too"), "{:?}", promoted.notes);
    let promotion = Promotion { alias: Some("champion".into()), ..Promotion::new(three, Stage::Staging) };
    promote(&bench.writer, &bench.model, &promotion, None).unwrap();
    assert_eq!(bench.index().aliases["champion"], 3);
    assert_eq!(bench.stages(), "1 Production, 2 Production, 3 Staging");
}

#[test]
fn promoting_to_where_it_is_changes_nothing() {
    let bench = Bench::new();
    let one = bench.version();
    bench.promote(one, Stage::Production);
    let before = bench.index().generation;
    let done = bench.promote(one, Stage::Production);
    assert_eq!((done.generation, done.mutation), (before, None));
    assert_eq!(bench.index().generation, before);
}

#[test]
fn what_is_not_there_is_not_promoted() {
    let bench = Bench::new();
    let promotion = Promotion::new(v(9), Stage::Production);
    let text = refusal(promote(&bench.writer, &bench.model, &promotion, None));
    assert!(text.contains("no model.json of `churn`"), "{text}");
    assert!(!bench.path("churn/model.json").exists());
    bench.version();
    let text = refusal(promote(&bench.writer, &bench.model, &promotion, None));
    assert_eq!(text, "`churn` has no version 9; it has 1");
    let promotion =
        Promotion { rollout: Some(Duration::from_secs(60)), ..Promotion::new(v(1), Stage::Staging) };
    assert!(refusal(promote(&bench.writer, &bench.model, &promotion, None)).contains("to Production"));
}

#[test]
fn a_hold_keeps_production_and_names_itself() {
    let bench = Bench::new();
    let (one, two) = (bench.version(), bench.version());
    assert!(refusal(hold(&bench.writer, &bench.model, None, "fair")).contains("promote it first"));
    bench.promote(one, Stage::Production);
    hold(&bench.writer, &bench.model, None, "fair until Monday").unwrap();
    let to_production = Promotion::new(two, Stage::Production);
    let text = refusal(promote(&bench.writer, &bench.model, &to_production, None));
    assert!(text.contains("held at version 1 by ann@host") && text.contains("fair until Monday"), "{text}");
    let away = Promotion::new(one, Stage::Archived);
    assert!(refusal(promote(&bench.writer, &bench.model, &away, None)).contains("held"));
    bench.promote(two, Stage::Staging);
    // A registration that wants Production hears it before anything is written.
    let registration =
        Registration { stage: Stage::Production, ..Registration::new(bench.file("m.onnx", b"m")) };
    let before = bench.index().generation;
    let text = refusal(register(&bench.writer, &bench.model, &registration, None, &mut |_, _, _| ()));
    assert!(text.contains("held") && bench.index().generation == before, "{text}");
    let over = Promotion { override_hold: true, ..to_production.clone() };
    let promoted = promote(&bench.writer, &bench.model, &over, None).unwrap().value;
    assert!(promoted.notes[0].contains("was released"), "{:?}", promoted.notes);
    assert_eq!((bench.stages(), bench.index().hold), ("1 Archived, 2 Production".into(), None));
    hold(&bench.writer, &bench.model, Some(two), "again").unwrap();
    release(&bench.writer, &bench.model, None).unwrap();
    assert_eq!(refusal(release(&bench.writer, &bench.model, None)), "`churn` is not held");
    bench.promote(one, Stage::Production);
}

#[test]
fn a_rollout_names_where_it_comes_from_and_ends_with_it() {
    let bench = Bench::new();
    let (one, two, three) = (bench.version(), bench.version(), bench.version());
    let staged = |version| Promotion {
        rollout: Some(Duration::from_secs(600)),
        ..Promotion::new(version, Stage::Production)
    };
    let first = promote(&bench.writer, &bench.model, &staged(one), None).unwrap().value;
    assert!(first.notes[0].contains("no rollout") && bench.index().rollout.is_none(), "{:?}", first.notes);
    promote(&bench.writer, &bench.model, &staged(two), None).unwrap();
    let rollout = bench.index().rollout.unwrap();
    assert_eq!((rollout.version, rollout.from, rollout.seconds), (2, 1, 600));
    rollback(&bench.writer, &bench.model, None, "errors", None).unwrap();
    let index = bench.index();
    assert_eq!((&index.rollout, index.default_version()), (&None, Some(1)));
    release(&bench.writer, &bench.model, None).unwrap();
    promote(&bench.writer, &bench.model, &staged(two), None).unwrap();
    bench.promote(three, Stage::Production);
    assert_eq!(bench.index().rollout, None);
    // Where the plain name goes on meaning a higher version, there is nothing to follow.
    let beside = Promotion { archive_existing: false, ..staged(two) };
    promote(&bench.writer, &bench.model, &beside, None).unwrap();
    assert_eq!(bench.index().rollout, None);
    let back = rollback(&bench.writer, &bench.model, Some(two), "errors", None).unwrap();
    assert_eq!((bench.stages(), back.value.from), ("1 Archived, 2 Production, 3 Archived".into(), Some(3)));
    let last = bench.index().audit.into_iter().rfind(|entry| entry.verb == "rollback").unwrap();
    assert_eq!((last.version, last.from.as_deref()), (Some(2), Some("Production")));
}

#[test]
fn rolling_back_goes_to_what_was_before_and_holds_it() {
    let bench = Bench::new();
    let versions: Vec<Version> = (0..4).map(|_| bench.version()).collect();
    assert!(refusal(rollback(&bench.writer, &bench.model, None, "x", None)).contains("name one"));
    for version in [2, 0, 3] {
        bench.promote(versions[version], Stage::Production);
    }
    let back = rollback(&bench.writer, &bench.model, None, "errors", None).unwrap().value;
    assert_eq!((back.from, back.to), (Some(4), 1));
    assert_eq!(bench.stages(), "1 Production, 2 None, 3 Archived, 4 Archived");
    assert_eq!(bench.index().hold.map(|hold| (hold.version, hold.why)), Some((1, "errors".into())));
    // Once more goes further back, although there is a hold, and not to the version that failed.
    assert_eq!(rollback(&bench.writer, &bench.model, None, "errors", None).unwrap().value.to, 3);
    let again = rollback(&bench.writer, &bench.model, Some(v(3)), "errors", None).unwrap();
    assert_eq!(again.mutation, None, "it is there and held for the same reason");
    assert_eq!(rollback(&bench.writer, &bench.model, Some(v(2)), "try", None).unwrap().value.from, Some(3));
    assert_eq!(bench.index().hold.unwrap().version, 2);
}

#[test]
fn rolling_back_finds_what_only_a_segment_knows() {
    let bench = Bench::new();
    let (one, two, three) = (bench.version(), bench.version(), bench.version());
    bench.promote(one, Stage::Production);
    bench.promote(two, Stage::Production);
    bench.promote(three, Stage::Archived);
    for turn in 0..140 {
        let target = if turn % 2 == 0 { one } else { two };
        set_alias(&bench.writer, &bench.model, "champion", target, None).unwrap();
    }
    let index = bench.index();
    assert!(index.audit.len() <= 100 && index.audit[0].seq > 50, "{} entries are kept", index.audit.len());
    assert_eq!(rollback(&bench.writer, &bench.model, None, "errors", None).unwrap().value.to, 1);
}

#[test]
fn aliases_are_moved_and_taken_away() {
    let bench = Bench::new();
    let (one, two) = (bench.version(), bench.version());
    let set = |alias: &str, version| set_alias(&bench.writer, &bench.model, alias, version, None);
    assert_eq!(set("champion", one).unwrap().value, None);
    assert_eq!(set("champion", two).unwrap().value, Some(1));
    assert_eq!(set("champion", two).unwrap().mutation, None);
    for bad in ["7", "staging", "_x", ""] {
        assert!(refusal(set(bad, one)).contains("is no alias"), "{bad}");
    }
    assert!(refusal(set("champion", v(9))).contains("no version 9"));
    assert_eq!(remove_alias(&bench.writer, &bench.model, "champion", None).unwrap().value, 2);
    let text = refusal(remove_alias(&bench.writer, &bench.model, "champion", None));
    assert_eq!(text, "`churn` has no alias `champion`; it has none");
}
