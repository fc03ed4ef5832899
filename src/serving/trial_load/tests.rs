//! How endings of a child are read, with shells in its place; the real one is tried in `tests/it/hostile.rs`.

use std::process::Command;

use super::*;
use crate::model::Reason;

fn load(model: &[u8], timeout_ms: u64) -> ChildLoad<'_> {
    ChildLoad {
        model,
        format: Format::Onnx,
        golden: None,
        choice: EngineChoice::Auto,
        workers: 1,
        warmup_rows: 1,
        checks: ModelChecks::default(),
        prediction: 0,
        prediction_range: None,
        timeout: Duration::from_millis(timeout_ms),
        memory_bytes: 1 << 20,
    }
}

fn shell(script: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]);
    command
}

/// What comes of a child that does this once it has the model.
fn after_ready(script: &str) -> Result<(), NotLoaded> {
    load(b"model", 20_000).run_as(shell(&format!("echo '\"ready\"'; {script}")), &mut || true)
}

#[track_caller]
fn refused(result: Result<(), NotLoaded>, code: Reason, word: &str) {
    match result {
        Err(NotLoaded::Refused(error)) if error.code == code => {
            assert!(error.detail.contains(word), "`{word}` is not in: {error}");
        }
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn unavailable(result: Result<(), NotLoaded>, word: &str) {
    match result {
        Err(NotLoaded::Unavailable(why)) => assert!(why.contains(word), "`{word}` is not in: {why}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_answer_is_taken_as_it_is() {
    let loaded = after_ready(r#"cat >/dev/null; echo '{"loaded":{"engine":"trees","peak_bytes":7}}'"#);
    assert_eq!(loaded, Ok(()));
    let no =
        after_ready(r#"echo '{"refused":{"code":"unknown_operator","detail":"no `X`"}}'; kill -SEGV $$"#);
    refused(no, Reason::UnknownOperator, "no `X`");
    unavailable(after_ready(r#"echo '{"unavailable":"no thread"}'"#), "no thread");
}

#[test]
fn the_end_of_a_child_at_work_is_the_model_s_doing() {
    refused(after_ready("kill -SEGV $$"), Reason::Crashed, "SIGSEGV");
    refused(after_ready("kill -ABRT $$"), Reason::Crashed, "SIGABRT");
    refused(after_ready("exit 3"), Reason::Crashed, "3");
    refused(after_ready("kill -XCPU $$"), Reason::Timeout, "20000 ms");
    refused(after_ready("kill -KILL $$"), Reason::Memory, "1048576 bytes");
    let message = "memory allocation of 8589934592 bytes failed";
    refused(after_ready(&format!("echo '{message}' >&2; kill -ABRT $$")), Reason::Memory, "1048576");
    unavailable(after_ready("kill -TERM $$"), "from outside");
}

#[test]
fn a_child_that_never_had_the_model_says_nothing_of_it() {
    let early = |script: &str| load(b"model", 20_000).run_as(shell(script), &mut || true);
    unavailable(early("exit 0"), "not ready");
    unavailable(early("echo running 0 tests"), "not ready");
    unavailable(early("kill -SEGV $$"), "not ready");
    // But that the memory was not even there for its bytes.
    refused(early("kill -KILL $$"), Reason::Memory, "1048576 bytes");
    unavailable(load(b"", 50).run_as(shell("exec sleep 60"), &mut || true), "not ready within");
    let missing = load(b"", 1000).run_as(Command::new("/nonexistent/sidegate"), &mut || true);
    unavailable(missing, "No such file");
}

#[test]
fn a_child_that_does_not_end_is_ended() {
    // What it is sent does not fit into a pipe, and it reads none of it.
    let large = vec![0; 4 << 20];
    let hangs = || shell("echo '\"ready\"'; exec sleep 60");
    refused(load(&large, 200).run_as(hangs(), &mut || true), Reason::Timeout, "registry.trial_timeout_ms");
    let mut looks = 0;
    let stopped = load(&large, 60_000).run_as(hangs(), &mut || {
        looks += 1;
        looks < 5
    });
    assert_eq!(stopped, Err(NotLoaded::Stopped));
}

#[test]
fn what_a_child_started_ends_with_it() {
    let start = std::time::Instant::now();
    // The one that stays behind holds the output open.
    refused(after_ready("sleep 60 & exit 3"), Reason::Crashed, "3");
    let hangs = shell("echo '\"ready\"'; sleep 60");
    refused(load(b"", 50).run_as(hangs, &mut || true), Reason::Timeout, "registry.trial_timeout_ms");
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
}

#[test]
fn a_child_that_waits_for_the_processor_gets_longer_by_the_clock() {
    let late =
        shell("echo '\"ready\"'; sleep 1; echo '{\"loaded\":{\"engine\":\"trees\",\"peak_bytes\":7}}'");
    assert_eq!(load(b"", 500).run_as(late, &mut || true), Ok(()));
}

#[test]
fn where_trials_are_on_a_large_file_does_not_go_without() {
    const MIB: u64 = 1 << 20;
    let check = |wanted, worthwhile| without_room(wanted, worthwhile, 100 * MIB, Some(200 * MIB));
    let error = check(TrialLoad::On, true).unwrap_err();
    let (needed, left) = ((448 * MIB).to_string(), (200 * MIB).to_string());
    assert!(error.detail.contains(&needed) && error.detail.contains(&left), "{error}");
    assert!(error.code == Reason::Memory && error.detail.contains("memory.budget_bytes"), "{error}");
    for (wanted, worthwhile) in [(TrialLoad::On, false), (TrialLoad::Auto, true)] {
        assert_eq!(check(wanted, worthwhile), Ok(()), "{wanted:?}");
    }
}

#[test]
fn a_talkative_child_is_bounded() {
    let talks = "head -c 3000000 /dev/zero | tr '\\0' x; head -c 3000000 /dev/zero >&2; \
                 echo; echo '{\"refused\":{\"code\":\"parse\",\"detail\":\"\"}}'; kill -SEGV $$";
    // The answer is beyond what is kept of its output.
    refused(after_ready(talks), Reason::Crashed, "SIGSEGV");
}

#[test]
fn what_the_child_is_told_arrives() {
    let load = ChildLoad {
        golden: Some(b"{}"),
        choice: EngineChoice::Tract,
        checks: ModelChecks::from_iter([crate::config::ModelCheck::Range, crate::config::ModelCheck::Shape]),
        prediction: 2,
        prediction_range: Some(PredictionRange { min: 0.0, max: f64::INFINITY }),
        ..load(b"bytes", 1500)
    };
    let mut sent = Vec::new();
    message::Header::new(&load).send(&load, &mut sent).unwrap();
    let mut rest = sent.as_slice();
    let header = message::Header::receive(&mut rest).unwrap();
    assert_eq!(header.receive_bytes(&mut rest).unwrap(), (Some(b"{}".to_vec()), b"bytes".to_vec()));
    assert_eq!((header.format(), header.choice()), (Some(Format::Onnx), Some(EngineChoice::Tract)));
    assert_eq!((header.checks(), header.range()), (load.checks, load.prediction_range));
    assert_eq!((header.parent, header.timeout_ms, header.prediction), (std::process::id(), 1500, 2));
    for end in 0..sent.len() {
        let mut rest = &sent[..end];
        let header = message::Header::receive(&mut rest);
        assert!(header.and_then(|header| header.receive_bytes(&mut rest)).is_err(), "{end} bytes");
    }
}

#[test]
fn memory_follows_the_file_and_the_room() {
    const MIB: u64 = 1 << 20;
    assert_eq!(memory_for(0, None), Some(192 * MIB));
    assert_eq!(memory_for(100 * MIB, None), Some(992 * MIB));
    assert_eq!(memory_for(MIB, Some(100 * MIB)), Some(100 * MIB));
    assert_eq!(memory_for(MIB, Some(51 * MIB)), None);
    assert_eq!(memory_for(u64::MAX, None), Some(u64::MAX));
}

#[test]
fn our_own_engine_needs_no_trial_unless_another_is_its_witness() {
    let read = |name: &str| {
        let path = format!("{}/models/{name}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read(path).unwrap()
    };
    let model = |name: &str| Model::parse(Format::Onnx, read(&format!("{name}/1/model.onnx"))).unwrap();
    let golden = |name: &str| read(&format!("{name}/1/golden.json"));
    // Trees: tract is not asked about them. A dense net: it is.
    let (trees, dense) = (model("breast-cancer"), model("digits"));
    assert!(!is_worthwhile(&trees, EngineChoice::Auto, Some(&golden("breast-cancer"))));
    assert!(!is_worthwhile(&dense, EngineChoice::Auto, Some(&golden("digits"))));
    assert_eq!(is_worthwhile(&dense, EngineChoice::Auto, None), cfg!(feature = "tract"));
    let empty = br#"{"format":1,"cases":[]}"#;
    assert_eq!(is_worthwhile(&dense, EngineChoice::Auto, Some(empty)), cfg!(feature = "tract"));
    for (choice, expected) in
        [(EngineChoice::Trees, false), (EngineChoice::Ort, true), (EngineChoice::Tract, true)]
    {
        assert_eq!(is_worthwhile(&trees, choice, None), expected, "{choice:?}");
    }
    let booster = format!("{}/tests/fixtures/boosters", env!("CARGO_MANIFEST_DIR"));
    let booster = std::fs::read_dir(booster).unwrap().map(|entry| entry.unwrap().path());
    let booster = booster.into_iter().find(|path| path.extension().is_some_and(|e| e == "ubj")).unwrap();
    let booster = Model::parse(Format::XgboostUbj, std::fs::read(booster).unwrap()).unwrap();
    assert!(!is_worthwhile(&booster, EngineChoice::Auto, None));
}
