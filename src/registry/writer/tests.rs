use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};

use super::*;
use crate::registry::hint::Hint;
use crate::registry::index::IndexVersion;
use crate::registry::signature::SignatureEntry;
use crate::registry::store::{Folder, Stat};

/// What becomes of a write of `model.json`.
enum Fate {
    /// It does not happen, and there is no answer.
    Lost,
    /// It happens, and there is no answer; then this.
    Unanswered(Box<dyn FnOnce() + Send>),
    /// The store says no.
    Denied,
}

/// A folder across a network.
struct Remote {
    folder: Folder,
    fates: Arc<Mutex<VecDeque<Fate>>>,
    honours: bool,
    answers: bool,
}

impl Remote {
    fn fault<T>(&self, key: &str) -> Result<T, StoreError> {
        Err(StoreError::new(key, Fault::Unreachable("test".into())))
    }
}

impl Store for Remote {
    fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.folder.list(prefix)
    }

    fn keys(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.folder.keys(prefix)
    }

    fn stat(&self, key: &str) -> Result<Option<Stat>, StoreError> {
        self.folder.stat(key)
    }

    fn read(&self, key: &str, max: u64, known: Option<&str>) -> Result<Read, StoreError> {
        if self.answers { self.folder.read(key, max, known) } else { self.fault(key) }
    }

    fn download(&self, key: &str, max: u64, sink: &mut dyn io::Write) -> Result<Option<Stat>, StoreError> {
        self.folder.download(key, max, sink)
    }

    fn write(&self, key: &str, body: Body<'_>, condition: Condition<'_>) -> Result<String, StoreError> {
        let condition = if self.honours { condition } else { Condition::None };
        let fate = if key.ends_with("/model.json") { self.fates.lock().unwrap().pop_front() } else { None };
        match fate {
            None => self.folder.write(key, body, condition),
            Some(Fate::Lost) => self.fault(key),
            Some(Fate::Unanswered(then)) => {
                self.folder.write(key, body, condition)?;
                then();
                self.fault(key)
            }
            Some(Fate::Denied) => Err(StoreError::new(key, Fault::Denied("test".into()))),
        }
    }

    fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.folder.delete(key)
    }

    fn is_remote(&self) -> bool {
        true
    }
}

/// A clock that waits for nobody.
struct Hasty;

impl Clock for Hasty {
    fn now(&self) -> time::OffsetDateTime {
        time::OffsetDateTime::now_utc()
    }

    fn sleep(&self, _: Duration) {}

    fn random(&self) -> u64 {
        rand::random()
    }
}

struct Bench {
    root: tempfile::TempDir,
    fates: Arc<Mutex<VecDeque<Fate>>>,
}

impl Bench {
    fn new(fates: impl IntoIterator<Item = Fate>) -> Self {
        let fates = Arc::new(Mutex::new(fates.into_iter().collect()));
        Self { root: tempfile::tempdir().unwrap(), fates }
    }

    fn store(&self) -> Remote {
        let folder = Folder::new(self.root.path());
        Remote { folder, fates: self.fates.clone(), honours: true, answers: true }
    }

    fn writer(&self) -> Writer {
        Writer::with_clock(Box::new(self.store()), "ann@host", Box::new(Hasty))
    }

    fn index(&self) -> Index {
        self.writer().read(&churn()).unwrap()
    }
}

fn churn() -> ModelName {
    "churn".parse().unwrap()
}

/// A change that can be told from others.
fn change(writer: &Writer, verb: &str) -> Result<Done<u64>, ChangeError> {
    writer.mutate(&churn(), |draft| {
        draft.note(AuditEntry { verb: verb.into(), ..AuditEntry::default() });
        Ok(draft.generation())
    })
}

fn verbs(index: &Index) -> Vec<&str> {
    index.audit.iter().map(|entry| entry.verb.as_str()).collect()
}

#[test]
fn a_change_is_one_generation_and_says_who_made_it() {
    let bench = Bench::new([]);
    let done = change(&bench.writer(), "one").unwrap();
    assert_eq!((done.value, done.generation), (1, 1));
    let index = bench.index();
    assert_eq!((index.generation, &index.mutation), (1, &done.mutation));
    let entry = &index.audit[0];
    assert_eq!((entry.seq, &*entry.by, &entry.mutation), (1, "ann@host", &done.mutation));
    let nothing = bench.writer().mutate(&churn(), |_| Ok(())).unwrap();
    assert_eq!((nothing.generation, nothing.mutation), (1, None));
    assert_eq!(bench.index().generation, 1);
}

#[test]
fn a_change_whose_answer_was_lost_is_made_once() {
    let bench = Bench::new([Fate::Lost, Fate::Lost]);
    assert_eq!(change(&bench.writer(), "one").unwrap().generation, 1);
    bench.fates.lock().unwrap().push_back(Fate::Unanswered(Box::new(|| ())));
    let done = change(&bench.writer(), "two").unwrap();
    assert_eq!((done.generation, &bench.index().mutation), (2, &done.mutation));
    assert_eq!(verbs(&bench.index()), ["one", "two"]);
}

#[test]
fn a_change_is_recognised_behind_those_of_others() {
    for others in [1, 60, 180] {
        let bench = Bench::new([]);
        change(&bench.writer(), "first").unwrap();
        let root = bench.root.path().to_owned();
        let then = move || {
            let other = Writer::new(Box::new(Folder::new(root)), "bob@host");
            for _ in 0..others {
                change(&other, "other").unwrap();
            }
        };
        bench.fates.lock().unwrap().push_back(Fate::Unanswered(Box::new(then)));
        let done = change(&bench.writer(), "mine").unwrap();
        assert_eq!((done.value, done.generation), (2, 2));
        assert_eq!(bench.index().generation, 2 + others, "it is not made again");
    }
}

#[test]
fn an_error_says_what_is_known() {
    let check = |bench: &Bench, store: Remote, outcome: Outcome, expected: &str| {
        let writer = Writer::with_clock(Box::new(store), "ann@host", Box::new(Hasty)).single_writer(true);
        let error = change(&writer, "one").unwrap_err();
        assert_eq!(error.outcome, outcome, "{error}");
        assert!(error.to_string().contains(expected), "{error}");
        assert!(error.mutation.is_some());
        assert!(bench.fates.lock().unwrap().is_empty());
    };
    let bench = Bench::new((0..8).map(|_| Fate::Lost));
    check(&bench, bench.store(), Outcome::Unknown, "whether the change was made is not known");
    let bench = Bench::new([Fate::Denied]);
    check(&bench, bench.store(), Outcome::Unchanged, "access was denied: test; nothing was changed");
    let bench = Bench::new([Fate::Lost, Fate::Denied]);
    check(&bench, bench.store(), Outcome::Unknown, "not known");
    let bench = Bench::new([]);
    let silent = Remote { answers: false, ..bench.store() };
    check(&bench, silent, Outcome::Unchanged, "no answer: test; nothing was changed");
    // Somebody else's change ends the doubt: what was sent was for the state before.
    let bench = Bench::new([]);
    change(&bench.writer(), "first").unwrap();
    bench.fates.lock().unwrap().push_back(Fate::Lost);
    let (mut tries, root) = (0, bench.root.path().to_owned());
    let refused = bench.writer().mutate(&churn(), |draft| {
        tries += 1;
        if tries == 2 {
            return Err(ChangeError::refused("no more"));
        }
        draft.note(AuditEntry { verb: "mine".into(), ..AuditEntry::default() });
        change(&Writer::new(Box::new(Folder::new(&root)), "bob@host"), "other").map(drop)
    });
    let error = refused.unwrap_err();
    assert_eq!((error.outcome, error.to_string()), (Outcome::Unchanged, "no more".into()));
    assert_eq!(verbs(&bench.index()), ["first", "other"]);
}

#[test]
fn a_store_that_ignores_conditions_is_refused_unless_there_is_one_writer() {
    let bench = Bench::new([]);
    let careless = || Box::new(Remote { honours: false, ..bench.store() });
    let error = change(&Writer::new(careless(), "ann@host"), "one").unwrap_err().to_string();
    assert!(error.contains("registry.single_writer = true"), "{error}");
    assert!(bench.store().keys("").unwrap().is_empty(), "the probe is cleaned up");
    let writer = Writer::new(careless(), "ann@host").single_writer(true);
    change(&writer, "one").unwrap();
    assert_eq!(change(&writer, "two").unwrap().generation, 2);
    change(&bench.writer(), "three").unwrap();
    assert_eq!(bench.store().keys("_probe").unwrap(), Vec::<String>::new());
}

#[test]
fn what_readers_would_refuse_is_not_written() {
    let bench = Bench::new([]);
    let error = bench.writer().mutate(&churn(), |draft| {
        draft.index.aliases.insert("champion".into(), 9);
        draft.note(AuditEntry { verb: "alias".into(), ..AuditEntry::default() });
        Ok(())
    });
    assert!(error.unwrap_err().to_string().contains("names version 9"));
    assert!(bench.store().keys("").unwrap().is_empty());
}

#[test]
fn a_model_json_is_written_as_long_as_it_can_be_read_and_a_thousand_signed_versions_are_far_from_that() {
    let bench = Bench::new([]);
    let hex = |digits: usize| "a".repeat(digits);
    let version = |number: u64| -> IndexVersion {
        serde_json::from_value(serde_json::json!({"version": number, "stage": "Archived", "state": "ready",
            "manifest": format!("sha256:{}", hex(64)), "created": "2026-11-23T00:00:00.000Z"}))
        .unwrap()
    };
    let signature = |number: u64, kind: &str| -> SignatureEntry {
        serde_json::from_value(serde_json::json!({"kind": kind, "version": number, "stage": "Production",
            "digest": format!("sha256:{}", hex(64)), "generation": number, "epoch": 1, "key": hex(16), "sig": hex(128)}))
        .unwrap()
    };
    let grow = |to: u64| {
        bench.writer().mutate(&churn(), |draft| {
            let index = &mut draft.index;
            for number in index.versions.len() as u64 + 1..=to {
                index.versions.push(version(number));
                index.signatures.extend(["version", "promotion"].map(|kind| signature(number, kind)));
            }
            for _ in 0..90 {
                draft.note(AuditEntry {
                    verb: "promote".into(),
                    why: Some(hex(200)),
                    ..AuditEntry::default()
                });
            }
            Ok(())
        })
    };
    grow(1000).unwrap();
    let path = bench.root.path().join("churn/model.json");
    let bytes = std::fs::metadata(&path).unwrap().len();
    assert!(bytes < MAX_INDEX_BYTES / 4, "{bytes} bytes");
    let error = grow(10_000).unwrap_err();
    assert_eq!(error.outcome, Outcome::Unchanged);
    let text = error.to_string();
    assert!(text.contains("at most 4194304") && text.contains("registry gc churn"), "{text}");
    assert_eq!(std::fs::metadata(&path).unwrap().len(), bytes);
    assert_eq!(bench.index().versions.len(), 1000);
}

#[test]
fn older_entries_go_to_segments_that_nobody_changes() {
    let bench = Bench::new([]);
    for _ in 0..160 {
        change(&bench.writer(), "one").unwrap();
    }
    let index = bench.index();
    assert_eq!((index.audit[0].seq, index.audit.len()), (101, 60));
    let trail = audit::trail(&bench.store(), &churn(), &index).unwrap();
    assert_eq!((trail.entries.len(), trail.gaps), (160, vec![]));
    // One that is there already has the same entries, or something is wrong.
    let key = layout::segment(&churn(), 101, 150);
    bench
        .store()
        .write(&key, Body::Bytes(br#"{"format":1,"model":"churn","entries":[]}"#), Condition::None)
        .unwrap();
    while bench.index().audit.len() < 100 {
        change(&bench.writer(), "one").unwrap();
    }
    let error = change(&bench.writer(), "one").unwrap_err().to_string();
    assert!(error.contains("holds other changes") && error.contains("nothing was changed"), "{error}");
    bench.store().delete(&key).unwrap();
    change(&bench.writer(), "one").unwrap();
}

#[test]
fn the_hint_follows_and_stops_nothing() {
    let bench = Bench::new([]);
    let hint = || Hint::parse(&std::fs::read(bench.root.path().join("_index.json")).unwrap()).unwrap();
    change(&bench.writer(), "one").unwrap();
    change(&bench.writer(), "two").unwrap();
    assert_eq!((hint().models["churn"].generation, hint().models["churn"].epoch), (2, 1));
    let newer = br#"{"format":2,"shards":[]}"#;
    bench.store().write(layout::HINT, Body::Bytes(newer), Condition::None).unwrap();
    change(&bench.writer(), "three").unwrap();
    assert_eq!(std::fs::read(bench.root.path().join("_index.json")).unwrap(), newer);
}
