//! What is said, or refused, where somebody may not expect what comes of a change.

use super::*;
use crate::model::{Signature, TensorSpec};
use crate::tensor::Datatype;

fn registered(bench: &Bench, registration: &Registration, key: Option<&SigningKey>) -> Registered {
    register(&bench.writer, &bench.model, registration, key, &mut |_, _, _| ()).unwrap().value
}

/// A model with one input of so many columns.
fn with_columns(bench: &Bench, columns: i64) -> Registration {
    let spec =
        TensorSpec { name: "x".into(), datatype: Datatype::Fp32, shape: vec![-1, columns], labels: None };
    let signature = Signature { inputs: vec![spec.clone()], outputs: vec![spec] };
    let file = bench.file("m.onnx", format!("{columns} {}", bench.clock.random()).as_bytes());
    Registration { signature: Some(signature), ..Registration::new(file) }
}

#[test]
fn while_no_version_has_a_stage_a_registration_says_that_it_serves() {
    let bench = Bench::new();
    let plain = || Registration::new(bench.file("m.onnx", b"m"));
    let serves = |number: u64| {
        format!("no version of churn has a stage, so the highest serves: version {number} does from now on")
    };
    assert!(registered(&bench, &plain(), None).notes.contains(&serves(1)));
    assert!(registered(&bench, &plain(), None).notes.contains(&serves(2)));
    let note = "no version of `churn` is in Production now, so the plain name means none: promote one";
    assert_eq!(bench.promote(v(2), Stage::Staging).value.notes, [note]);
    assert_eq!(bench.promote(v(1), Stage::Staging).value.notes, [""; 0], "it meant none before");
    assert!(!registered(&bench, &plain(), None).notes.contains(&serves(3)), "one has a stage");
    bench.promote(v(1), Stage::Production);
    assert_eq!(bench.promote(v(1), Stage::Archived).value.notes, [note]);
}

#[test]
fn a_promotion_with_a_key_tells_that_the_content_is_not_signed() {
    let bench = Bench::new();
    let (one, key) = (bench.version(), SigningKey::generate());
    for stage in [Stage::Staging, Stage::Production] {
        let promotion = Promotion::new(one, stage);
        let promoted = promote(&bench.writer, &bench.model, &promotion, Some(&key)).unwrap().value;
        let notes = promoted.notes.join("\n");
        assert!(notes.contains("its promotion is signed, and its content is not"), "{stage:?}: {notes}");
        assert!(notes.contains("`sidegate registry sign churn 1 --key FILE`"), "{notes}");
    }
    sign(&bench.writer, &bench.model, one, &key).unwrap();
    bench.promote(one, Stage::Archived);
    let promotion = Promotion::new(one, Stage::Production);
    let promoted = promote(&bench.writer, &bench.model, &promotion, Some(&key)).unwrap().value;
    assert_eq!(promoted.notes, [""; 0]);
}

#[test]
fn an_older_signed_promotion_does_not_stand_for_the_one_by_which_a_version_serves() {
    let bench = Bench::new();
    let key = SigningKey::generate();
    let keys: Keys = [key.public()].into_iter().collect();
    let signed =
        || Registration { stage: Stage::Production, ..Registration::new(bench.file("m.onnx", b"m")) };
    for _ in 0..2 {
        registered(&bench, &signed(), Some(&key));
    }
    let stale = |version| bench.index().has_stale_promotion(v(version));
    let found = || super::keeping::findings(&bench, Some(&keys));
    assert_eq!((found(), stale(2)), (vec![], false));
    rollback(&bench.writer, &bench.model, None, "errors", None).unwrap();
    assert!(stale(1));
    assert!(found()[0].starts_with("Error 1 its promotion to Production is not signed, only an older"));
    let added = sign(&bench.writer, &bench.model, v(1), &key).unwrap();
    assert_eq!((added.value.len(), found(), stale(1)), (1, vec![], false));
    assert_eq!(sign(&bench.writer, &bench.model, v(1), &key).unwrap().mutation, None);
    // What comes to the front because a higher one leaves was promoted before that one.
    release(&bench.writer, &bench.model, None).unwrap();
    let beside = Promotion { archive_existing: false, ..Promotion::new(v(2), Stage::Production) };
    promote(&bench.writer, &bench.model, &beside, Some(&key)).unwrap();
    assert!(!stale(1) && !stale(2), "1 is behind 2, and nobody asks");
    bench.promote(v(2), Stage::Archived);
    assert!(stale(1));
    raise_epoch(&bench.writer, &bench.model, "restored", Some(&key)).unwrap();
    assert!(!stale(1));
}

#[test]
fn a_lost_model_json_has_one_way_out_wherever_it_shows() {
    let bench = Bench::new();
    let one = bench.version();
    bench.promote(one, Stage::Production);
    std::fs::remove_file(bench.path("churn/model.json")).unwrap();
    let store = bench.writer.store();
    let (writer, model) = (&bench.writer, &bench.model);
    let detail = |error: LoadError| error.detail;
    let key = SigningKey::generate();
    let dry = Gc { keep: 1, grace: Duration::ZERO, dry_run: true };
    let said = [
        refusal(promote(writer, model, &Promotion::new(one, Stage::Staging), None)),
        refusal(rollback(writer, model, None, "x", None)),
        refusal(hold(writer, model, None, "x")),
        refusal(release(writer, model, None)),
        refusal(set_alias(writer, model, "a", one, None)),
        refusal(sign(writer, model, one, &key)),
        refusal(raise_epoch(writer, model, "x", None)),
        refusal(gc(writer, model, &dry)),
        refusal(register(
            writer,
            model,
            &Registration::new(bench.file("n.onnx", b"n")),
            None,
            &mut |_, _, _| (),
        )),
        detail(log(store, model, None).unwrap_err()),
        detail(show(store, model).unwrap_err()),
        detail(compare(store, model, one, one).unwrap_err()),
        verify(store, model, None, bench.clock.now()).unwrap().remove(0).text,
        super::keeping::findings(&bench, None).remove(0).replacen("Error - ", "", 1),
    ];
    let way_out = "`churn` had a model.json and has none: put it back from a backup, then `sidegate registry verify churn \
                   --raise-epoch`; or move the folder `churn` away to begin anew";
    for (at, said) in said.iter().enumerate() {
        assert_eq!(said, way_out, "{at}");
    }
    // One that nobody ever managed is not lost.
    std::fs::create_dir_all(bench.path("bare/1")).unwrap();
    std::fs::write(bench.path("bare/1/model.onnx"), b"m").unwrap();
    let found = verify(store, &"bare".parse().unwrap(), None, bench.clock.now()).unwrap();
    assert_eq!((found.len(), found[0].severity), (1, Severity::Info), "{}", found[0].text);
    let text = detail(verify(store, &"nobody".parse().unwrap(), None, bench.clock.now()).unwrap_err());
    assert!(text.contains("no model.json of `nobody`"), "{text}");
}

#[test]
fn a_version_whose_files_are_gone_is_not_put_where_it_answers() {
    for file in ["manifest.json", "model.onnx"] {
        let bench = Bench::new();
        let (one, two) = (bench.version(), bench.version());
        bench.promote(one, Stage::Production);
        bench.promote(two, Stage::Production);
        std::fs::remove_file(bench.path(&format!("churn/1/{file}"))).unwrap();
        let before = bench.index().generation;
        let text = refusal(rollback(&bench.writer, &bench.model, None, "errors", None));
        assert!(text.contains(&format!("{file} is gone")) && text.contains("--no-check"), "{text}");
        for stage in [Stage::Production, Stage::Staging] {
            let text = refusal(promote(&bench.writer, &bench.model, &Promotion::new(one, stage), None));
            assert!(text.contains(&format!("{file} is gone")), "{text}");
        }
        assert_eq!(bench.index().generation, before);
        bench.promote(one, Stage::None);
        let unchecked = Promotion { check: false, ..Promotion::new(one, Stage::Staging) };
        promote(&bench.writer, &bench.model, &unchecked, None).unwrap();
        let back = Rollback { to: Some(one), why: "sure".into(), check: false };
        super::super::rollback(&bench.writer, &bench.model, &back, None).unwrap();
        assert_eq!(bench.stages(), "1 Production, 2 Archived", "{file}");
    }
}

#[test]
fn changed_inputs_and_a_first_time_in_production_are_told() {
    let bench = Bench::new();
    let narrow = Registration { stage: Stage::Production, ..with_columns(&bench, 4) };
    assert_eq!(registered(&bench, &narrow, None).notes, [""; 0]);
    registered(&bench, &with_columns(&bench, 5), None);
    let told = "signature_changed, unless it is registered with --breaking or models.churn.allow_breaking";
    let promoted = bench.promote(v(2), Stage::Staging).value;
    assert!(promoted.notes[0].contains("`x` had shape [-1, 4] and has [-1, 5]"), "{:?}", promoted.notes);
    assert!(promoted.notes[0].contains(told), "{:?}", promoted.notes);
    let back = rollback(&bench.writer, &bench.model, Some(v(2)), "try", None).unwrap().value;
    assert!(back.notes[0].contains(told), "{:?}", back.notes);
    assert_eq!(back.notes[1], "version 2 of `churn` never was in Production before");
    let back = rollback(&bench.writer, &bench.model, Some(v(1)), "again", None).unwrap().value;
    assert!(back.notes.iter().all(|note| !note.contains("never")), "{:?}", back.notes);
    release(&bench.writer, &bench.model, None).unwrap();
    let wide = Registration { stage: Stage::Staging, ..with_columns(&bench, 6) };
    assert!(registered(&bench, &wide, None).notes[0].contains(told));
    let meant = Registration { breaking: true, ..wide };
    assert!(!registered(&bench, &meant, None).notes.iter().any(|note| note.contains(told)));
}

#[test]
fn a_parent_is_a_version_of_the_model() {
    let bench = Bench::new();
    let child = |parent| Registration {
        parent: Some(v(parent)),
        ..Registration::new(bench.file("m.onnx", format!("{parent}").as_bytes()))
    };
    let attempt = |parent| register(&bench.writer, &bench.model, &child(parent), None, &mut |_, _, _| ());
    assert!(refusal(attempt(1)).contains("no version 1 that could be its parent"));
    assert!(!bench.path("churn").exists());
    bench.version();
    attempt(1).unwrap();
    assert_eq!(read(&bench.path("churn/2/manifest.json"))["lineage"]["parent"], 1);
    assert!(refusal(attempt(9)).contains("no version 9"));
}
