mod arbitrary;

use serde_json::Value;

use super::Raw;
use crate::model::{ModelName, Stage, Version};
use crate::registry::audit::Segment;
use crate::registry::hint::Hint;
use crate::registry::index::{Index, State};
use crate::registry::layout;
use crate::registry::manifest::Manifest;
use crate::registry::operations::set_alias;
use crate::registry::store::{Body, Condition, Folder, Store as _};
use crate::registry::writer::Writer;

const FIRST: &[u8] = include_bytes!("../../../tests/fixtures/formats/model.first.json");
const MODEL: &[u8] = include_bytes!("../../../tests/fixtures/formats/model.json");
const MANIFEST: &[u8] = include_bytes!("../../../tests/fixtures/formats/manifest.json");
const AUDIT: &[u8] = include_bytes!("../../../tests/fixtures/formats/audit.json");
const HINT: &[u8] = include_bytes!("../../../tests/fixtures/formats/index.json");

fn churn() -> ModelName {
    "churn".parse().unwrap()
}

fn seven() -> Version {
    Version::new(7).unwrap()
}

#[test]
fn every_model_json_is_read() {
    let index = Index::parse_of(&churn(), FIRST).unwrap();
    assert_eq!((index.generation, index.default_version(), index.ready().len()), (12, Some(7), 2));
    assert!(matches!(&index.versions[2].state, State::Uploading { owner, .. } if owner == "ci@host"));
    assert_eq!((index.audit[1].seq, index.audit[1].why.as_deref()), (0, Some("auc 0.81 over 0.80")));
    let index = Index::parse_of(&churn(), MODEL).unwrap();
    assert_eq!((index.epoch, index.reserved, index.ready().len()), (2, 10, 2));
    assert_eq!(index.hold.as_ref().map(|hold| &*hold.by), Some("ann@host"));
    assert_eq!(index.rollout.as_ref().map(|rollout| (rollout.from, rollout.seconds)), Some((6, 1800)));
    let known: Vec<bool> = index.signatures.iter().map(|entry| entry.known().is_some()).collect();
    assert_eq!(known, [true, true, false]);
    assert_eq!(index.catalog().unwrap().aliases["champion"], seven());
}

/// The changes that `after` has against `before`, as paths.
fn changes(path: &str, before: &Value, after: &Value, found: &mut Vec<String>) {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            for name in before.keys().chain(after.keys().filter(|name| !before.contains_key(*name))) {
                let (before, after) = (before.get(name), after.get(name));
                let null = &Value::Null;
                changes(&format!("{path}/{name}"), before.unwrap_or(null), after.unwrap_or(null), found);
            }
        }
        (Value::Array(before), Value::Array(after)) if before.len() <= after.len() => {
            let more = (before.len()..after.len()).map(|position| format!("{path}/{position}"));
            found.extend(more);
            for (position, (before, after)) in before.iter().zip(after).enumerate() {
                changes(&format!("{path}/{position}"), before, after, found);
            }
        }
        _ if before == after => {}
        _ => found.push(path.to_owned()),
    }
}

#[test]
fn a_change_keeps_what_this_program_does_not_know() {
    let check = |stored: &[u8], expected: &[&str]| {
        let root = tempfile::tempdir().unwrap();
        let store = Folder::new(root.path());
        store.write(&layout::index(&churn()), Body::Bytes(stored), Condition::Absent).unwrap();
        let writer = Writer::new(Box::new(store), "ann@host");
        set_alias(&writer, &churn(), "challenger", Version::new(6).unwrap(), None).unwrap();
        let after = std::fs::read(root.path().join("churn/model.json")).unwrap();
        let value = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
        let mut found = Vec::new();
        changes("", &value(stored), &value(&after), &mut found);
        assert_eq!(found, expected);
    };
    check(MODEL, &["/aliases/challenger", "/audit/2", "/generation", "/mutation"]);
    // What older programs left out is filled in: numbers of entries, and the highest number given away.
    check(
        FIRST,
        &[
            "/aliases/challenger",
            "/audit/2",
            "/audit/0/seq",
            "/audit/1/seq",
            "/generation",
            "/mutation",
            "/versions/2/stage",
            "/reserved",
        ],
    );
}

#[test]
fn a_newer_format_is_neither_read_nor_written() {
    let root = tempfile::tempdir().unwrap();
    let store = Folder::new(root.path());
    let newer = String::from_utf8(MODEL.to_vec()).unwrap().replacen("\"format\": 1", "\"format\": 2", 1);
    store.write(&layout::index(&churn()), Body::Bytes(newer.as_bytes()), Condition::Absent).unwrap();
    let writer = Writer::new(Box::new(store), "ann@host");
    let error = set_alias(&writer, &churn(), "challenger", seven(), None).unwrap_err().to_string();
    assert!(error.contains("update sidegate; nothing was changed"), "{error}");
    assert_eq!(std::fs::read_to_string(root.path().join("churn/model.json")).unwrap(), newer);
}

#[test]
fn every_other_object_is_read_and_can_be_written() {
    let manifest = Manifest::parse(MANIFEST, &churn(), seven()).unwrap();
    assert_eq!((manifest.files["model.onnx"].bytes, &*manifest.labels[1]), (3, "yes"));
    assert!(manifest.files.values().all(|file| file.digest().is_some()));
    let again = Manifest::parse(&manifest.to_bytes(), &churn(), seven()).unwrap();
    assert_eq!((again.lineage, again.columns), (manifest.lineage, manifest.columns));
    let segment = Segment::parse(AUDIT).unwrap();
    assert_eq!((segment.range(), segment.entries[1].alias.as_deref()), ((1, 2), Some("champion")));
    assert_eq!(Segment::parse(&segment.to_bytes()).unwrap(), segment);
    let mut hint = Hint::parse(HINT).unwrap();
    assert_eq!((hint.models["fraud"].generation, hint.models["fraud"].epoch), (3, 0));
    assert!(hint.raise(&churn(), 1, 13));
    let text = String::from_utf8(hint.to_bytes()).unwrap();
    assert!(text.contains(r#""later":"m""#) && text.contains(r#""later":1"#), "{text}");
    assert_eq!(Index::parse(MODEL).unwrap().in_stage(Stage::Production), [7]);
}

/// Run by the next test, in a process of its own.
#[test]
#[expect(clippy::disallowed_methods, reason = "what is asked of the tests is no configuration")]
fn a_process_that_reads_long_lists() {
    if std::env::var_os("SIDEGATE_TEST_LONG_LISTS").is_none() {
        return;
    }
    let list = format!("[0{}]", ",0".repeat(8 << 20));
    let check = |read: &dyn Fn(&[u8]) -> bool, text: String| {
        let before = crate::process::peak_bytes().unwrap();
        assert!(read(text.as_bytes()));
        let more = crate::process::peak_bytes().unwrap() - before;
        assert!(more < 100 << 20, "{more} bytes for {}: {}", text.len(), &text[..90]);
    };
    let index = |versions: &str, more: &str| {
        format!(r#"{{"format":1,"model":"churn","versions":[{versions}]{more}}}"#)
    };
    let reads = |bytes: &[u8]| Index::parse(bytes).is_ok();
    check(&reads, index("", &format!(r#","later":{list}"#)));
    check(&reads, index("", &format!(r#","signatures":[{list}]"#)));
    check(&reads, index(&format!(r#"{{"version":1,"later":{list}}}"#), ""));
    check(&reads, index(&format!(r#"{{"version":1,"state":{list}}}"#), ""));
    check(&reads, index(&format!(r#"{{"version":1,"state":{{"deleted":{{"at":"","later":{list}}}}}}}"#), ""));
    let refuses = |bytes: &[u8]| Index::parse(bytes).is_err();
    check(&refuses, list.clone());
    check(&refuses, format!(r#"{{"format":{list}}}"#));
    let reads = |bytes: &[u8]| Manifest::parse(bytes, &churn(), seven()).is_ok();
    let manifest =
        |name: &str| format!(r#"{{"format":1,"model":"churn","version":7,"files":{{}},"{name}":{list}}}"#);
    check(&reads, manifest("later"));
    check(&reads, manifest("metrics"));
    check(&|bytes: &[u8]| Hint::parse(bytes).is_ok(), format!(r#"{{"format":1,"later":{list}}}"#));
}

#[test]
#[cfg(target_os = "linux")]
fn what_is_not_known_costs_what_it_is_long() {
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "registry::format::tests::a_process_that_reads_long_lists"])
        .env("SIDEGATE_TEST_LONG_LISTS", "1")
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && output.contains("1 passed"), "{output}");
}

#[test]
fn what_is_not_known_is_kept_as_it_is() {
    let check = |text: &str| {
        let spaced = text.replace(',', " ,\n").replace(':', " : ");
        let raw: Raw = serde_json::from_str(&spaced).unwrap();
        assert_eq!(raw.as_str(), text);
        assert_eq!(serde_json::to_value(&raw).unwrap(), serde_json::from_str::<Value>(text).unwrap());
    };
    for text in ["null", "true", "0", "-1", "18446744073709551615", "0.25", "[]", "{}", "[[],{}]"] {
        check(text);
    }
    check(r#"{"b":[1,-2,0.5,"\"\\\n",null,{"a":{}}],"a":""}"#);
    assert_eq!(serde_json::from_str::<Raw>("[1,").unwrap_err().classify(), serde_json::error::Category::Eof);
}
