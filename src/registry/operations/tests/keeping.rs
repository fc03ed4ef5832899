//! Register, gc, verify, sign.

use super::*;

#[test]
fn a_registered_version_is_what_readers_verify() {
    let bench = Bench::new();
    let golden = bench.file("golden.json", br#"{"format":1,"cases":[]}"#);
    let registration = Registration {
        golden: Some(golden),
        run_id: Some("r1".into()),
        metrics: json!({"auc": 0.8}).as_object().cloned().unwrap(),
        columns: vec!["age".into()],
        labels: vec!["no".into(), "yes".into()],
        prediction: Some("p".into()),
        stage: Stage::Staging,
        ..Registration::new(bench.file("m.ubj", b"trees"))
    };
    let mut steps = Vec::new();
    let done = register(&bench.writer, &bench.model, &registration, None, &mut |file, done, all| {
        steps.push(format!("{file} {done}/{all}"));
    });
    let done = done.unwrap();
    assert_eq!((done.value.version, done.generation), (1, 2));
    assert_eq!(steps, ["model.ubj 0/5", "model.ubj 5/5", "golden.json 0/23", "golden.json 23/23"]);
    assert_eq!((bench.readable(), bench.stages()), (vec![1], "1 Staging".into()));
    let manifest = read(&bench.path("churn/1/manifest.json"));
    assert_eq!(manifest["lineage"], json!({"run": "r1"}));
    assert_eq!((&manifest["format"], &manifest["metrics"]["auc"]), (&json!(1), &json!(0.8)));
    assert_eq!(manifest["files"]["model.ubj"]["bytes"], 5);
    let same = register(&bench.writer, &bench.model, &registration, None, &mut |_, _, _| ()).unwrap().value;
    assert_eq!((same.version, same.same_as), (2, Some(1)));
    let text = refusal(register(
        &bench.writer,
        &bench.model,
        &Registration::new("model.pkl"),
        None,
        &mut |_, _, _| (),
    ));
    assert_eq!(text, "`model.pkl` is no model file: its name ends with none of .onnx, .ubj, .json, .txt");
}

#[test]
fn a_folder_without_model_json_keeps_serving_what_it_serves() {
    let bench = Bench::new();
    for version in [2, 10] {
        let key = format!("churn/{version}/model.onnx");
        std::fs::create_dir_all(bench.path(&key).parent().unwrap()).unwrap();
        std::fs::write(bench.path(&key), b"bare").unwrap();
    }
    std::fs::create_dir_all(bench.path("churn/12")).unwrap();
    let registration = Registration::new(bench.file("m.onnx", b"new"));
    let done = register(&bench.writer, &bench.model, &registration, None, &mut |_, _, _| ()).unwrap().value;
    assert_eq!((done.version, done.adopted), (13, vec![2, 10]));
    assert_eq!(bench.stages(), "2 None, 10 Production, 13 None");
    assert_eq!((bench.readable(), bench.index().default_version()), (vec![2, 10, 13], Some(10)));
}

#[test]
fn an_upload_that_runs_out_is_ended_and_cannot_end_itself() {
    let bench = Bench::new();
    bench.version();
    let stuck = bench.writer.mutate(&bench.model, |draft| {
        draft.index.reserved += 1;
        let version = draft.index.reserved;
        let deadline = Some(clock::text(draft.now() + Duration::from_secs(3600)));
        draft.index.versions.push(IndexVersion {
            version,
            stage: Stage::None,
            manifest: None,
            created: None,
            state: State::Uploading { owner: "bob".into(), deadline, rest: Default::default() },
            rest: Default::default(),
        });
        draft.note(entry("reserve"));
        Ok(version)
    });
    let stuck = v(stuck.unwrap().value);
    let promotion = Promotion::new(stuck, Stage::Production);
    assert!(refusal(promote(&bench.writer, &bench.model, &promotion, None)).contains("uploaded by bob"));
    assert_eq!(bench.version(), v(3));
    assert!(matches!(bench.index().version(stuck).unwrap().state, State::Uploading { .. }));
    bench.wait(3601);
    assert_eq!(bench.version(), v(4));
    assert!(matches!(bench.index().version(stuck).unwrap().state, State::Deleted { .. }));
    assert_eq!(bench.readable(), [1, 3, 4]);
}

fn sweep(bench: &Bench, keep: usize, grace: u64) -> Swept {
    let rules = Gc { keep, grace: Duration::from_secs(grace), dry_run: true };
    let before = bench.index().generation;
    let said = gc(&bench.writer, &bench.model, &rules).unwrap().value;
    assert_eq!(bench.index().generation, before, "a dry run does nothing");
    let done = gc(&bench.writer, &bench.model, &Gc { dry_run: false, ..rules }).unwrap().value;
    assert_eq!(said, done, "and says what the other does");
    done
}

#[test]
fn gc_leaves_what_anything_points_at() {
    let bench = Bench::new();
    for _ in 0..9 {
        bench.version();
    }
    for production in [1, 2, 3] {
        bench.promote(v(production), Stage::Production);
    }
    bench.promote(v(4), Stage::Staging);
    set_alias(&bench.writer, &bench.model, "champion", v(5), None).unwrap();
    // 3 serves, 2 is what a rollback would take, 4 is tried, 5 has a name, 9 and 8 are the newest.
    let swept = sweep(&bench, 2, 60);
    assert_eq!((swept.marked, swept.purged), (vec![1, 6, 7], vec![]));
    assert_eq!(bench.readable(), [2, 3, 4, 5, 8, 9]);
    assert!(bench.path("churn/1/model.onnx").exists(), "readers may be at it");
    bench.wait(59);
    assert_eq!(sweep(&bench, 2, 60), Swept::default());
    bench.wait(1);
    assert_eq!(sweep(&bench, 2, 60).purged, [1, 6, 7]);
    assert!(!bench.path("churn/1").exists() && bench.index().version(v(1)).is_none());
    assert_eq!(bench.version(), v(10), "a number is not used again");
}

#[test]
fn gc_does_not_change_what_the_plain_name_means() {
    let bench = Bench::new();
    let (one, two) = (bench.version(), bench.version());
    bench.version();
    assert_eq!(sweep(&bench, 0, 60).marked, [1, 2], "the highest answers where none has a stage");
    let bench = Bench::new();
    for _ in 0..3 {
        bench.version();
    }
    bench.promote(two, Stage::Archived);
    bench.promote(one, Stage::Archived);
    assert_eq!(bench.index().default_version(), None);
    sweep(&bench, 0, 60);
    assert_eq!(bench.index().default_version(), None, "{}", bench.stages());
}

#[test]
fn gc_takes_folders_that_nothing_lists_and_leaves_what_is_somebodys() {
    let bench = Bench::new();
    for _ in 0..3 {
        bench.version();
    }
    bench
        .writer
        .mutate(&bench.model, |draft| {
            draft.index.versions.retain(|entry| entry.version != 2);
            draft.note(entry("lost"));
            Ok(())
        })
        .unwrap();
    std::fs::create_dir_all(bench.path("churn/77")).unwrap();
    std::fs::write(bench.path("churn/77/notes.txt"), b"mine").unwrap();
    // Numbers go on above it, which does not make it ours.
    bench.version();
    assert_eq!(sweep(&bench, 9, 60).orphans, [2]);
    bench.wait(60);
    assert_eq!(sweep(&bench, 9, 60).purged, [2]);
    assert!(!bench.path("churn/2").exists() && bench.path("churn/77/notes.txt").exists());
}

pub(super) fn findings(bench: &Bench, keys: Option<&Keys>) -> Vec<String> {
    let (_, found) = verify_all(bench.writer.store(), keys, bench.clock.now()).unwrap();
    let text = |f: Finding| {
        let version = f.version.map_or("-".into(), |version| version.to_string());
        format!("{:?} {version} {}", f.severity, f.text)
    };
    found.into_iter().map(text).collect()
}

#[test]
fn a_lost_model_json_is_told_and_not_made_up() {
    let bench = Bench::new();
    let one = bench.version();
    bench.version();
    bench.promote(one, Stage::Production);
    std::fs::remove_file(bench.path("churn/model.json")).unwrap();
    assert!(findings(&bench, None)[0].starts_with("Error - `churn` had a model.json"));
    let registration = Registration::new(bench.file("m.ubj", b"trees"));
    let again = || register(&bench.writer, &bench.model, &registration, None, &mut |_, _, _| ());
    let text = refusal(again());
    assert!(text.contains("had a model.json and has none"), "{text}");
    // Where the hint is gone too, the audit tells.
    std::fs::remove_file(bench.path("_index.json")).unwrap();
    std::fs::create_dir_all(bench.path("churn/audit")).unwrap();
    std::fs::write(bench.path("churn/audit/0000000001-0000000050.json"), b"{}").unwrap();
    assert!(refusal(again()).contains("had a model.json and has none"));
    // A folder that nobody managed is taken over.
    std::fs::remove_dir_all(bench.path("churn/audit")).unwrap();
    again().unwrap();
}

#[test]
fn verify_finds_what_is_damaged() {
    let check = |damage: &dyn Fn(&Bench), expected: &str| {
        let bench = Bench::new();
        let one = bench.version();
        bench.version();
        bench.promote(one, Stage::Production);
        assert_eq!(findings(&bench, None), Vec::<String>::new());
        damage(&bench);
        let found = findings(&bench, None);
        assert!(found.iter().any(|text| text.starts_with(expected)), "{expected}: {found:?}");
    };
    let write = |bench: &Bench, key: &str, text: &str| std::fs::write(bench.path(key), text).unwrap();
    check(&|b| write(b, "churn/1/model.onnx", "x"), "Error 1 model.onnx has 1 bytes");
    check(
        &|b| {
            let bytes = std::fs::read(b.path("churn/1/model.onnx")).unwrap().len();
            write(b, "churn/1/model.onnx", &"x".repeat(bytes));
        },
        "Error 1 model.onnx has other content",
    );
    check(
        &|b| std::fs::remove_file(b.path("churn/2/model.onnx")).unwrap(),
        "Error 2 model.onnx is not there",
    );
    check(&|b| write(b, "churn/2/manifest.json", "{}"), "Error 2 manifest.json of version 2 is not the one");
    check(
        &|b| std::fs::remove_file(b.path("churn/2/manifest.json")).unwrap(),
        "Error 2 manifest.json is not",
    );
    check(&|b| write(b, "churn/2/x.txt", ""), "Info 2 x.txt is there and not listed");
    check(&|b| write(b, "churn/model.json", "{"), "Error - churn/model.json is not JSON");
    check(&|b| write(b, "_index.json", r#"{"format":1,"models":{}}"#), "Info - _index.json is behind");
    check(
        &|b| write(b, "_index.json", r#"{"format":1,"models":{"churn":{"generation":99,"epoch":1}}}"#),
        "Error - _index.json knows epoch 1 and generation 99",
    );
    check(
        &|b| {
            std::fs::create_dir_all(b.path("churn/9")).unwrap();
            write(b, "churn/9/model.onnx", "m");
        },
        "Warning 9 its folder is there, its number was never given away",
    );
    check(
        &|b| {
            let text = std::fs::read_to_string(b.path("churn/model.json")).unwrap();
            write(
                b,
                "churn/model.json",
                &text.replacen("\"seq\":1,", "\"seq\":0,", 1).replace("\"seq\":3,", "\"seq\":9,"),
            );
        },
        "Warning - the audit lacks entries",
    );
}

#[test]
fn signing_makes_what_readers_ask_for() {
    let bench = Bench::new();
    let key = SigningKey::generate();
    let keys: Keys = [key.public()].into_iter().collect();
    let one = bench.version();
    bench.promote(one, Stage::Production);
    assert!(findings(&bench, Some(&keys))[0].contains("its signature is missing"));
    assert_eq!(sign(&bench.writer, &bench.model, one, &key).unwrap().value.len(), 2);
    assert_eq!(findings(&bench, Some(&keys)), Vec::<String>::new());
    assert_eq!(sign(&bench.writer, &bench.model, one, &key).unwrap().mutation, None);
    // Registered and promoted with a key, nothing has to be signed afterwards.
    let registration =
        Registration { stage: Stage::Production, ..Registration::new(bench.file("m.onnx", b"2")) };
    let done = register(&bench.writer, &bench.model, &registration, Some(&key), &mut |_, _, _| ()).unwrap();
    assert_eq!(findings(&bench, Some(&keys)), Vec::<String>::new());
    let digest = done.value.manifest.parse().unwrap();
    let check = |seen| keys.check(&bench.index(), &bench.model, v(2), &digest, Some(Stage::Production), seen);
    assert_eq!(check(None).unwrap().promotion_generation, Some((1, done.generation)));
    let back = rollback(&bench.writer, &bench.model, None, "errors", Some(&key)).unwrap();
    assert_eq!(findings(&bench, Some(&keys)), Vec::<String>::new());
    assert!(check(Some((1, back.generation))).is_err(), "the older promotion is no longer good");
    // What comes to the front because others leave is as good as promoted.
    release(&bench.writer, &bench.model, None).unwrap();
    let two = Promotion { archive_existing: false, ..Promotion::new(v(2), Stage::Production) };
    promote(&bench.writer, &bench.model, &two, Some(&key)).unwrap();
    let away = Promotion::new(v(2), Stage::Archived);
    let done = promote(&bench.writer, &bench.model, &away, Some(&key)).unwrap();
    let digest = bench.index().version(one).unwrap().manifest.clone().unwrap().parse().unwrap();
    let seen = Some((1, done.generation));
    keys.check(&bench.index(), &bench.model, one, &digest, Some(Stage::Production), seen).unwrap();
    // Without a key it is said.
    let promoted = bench.promote(bench.version(), Stage::Production).value;
    assert!(promoted.notes[0].contains("not signed"), "{:?}", promoted.notes);
    let raised = raise_epoch(&bench.writer, &bench.model, "restored", Some(&key)).unwrap();
    assert_eq!((raised.value, raised.epoch, bench.index().epoch), (2, 2, 2));
}
