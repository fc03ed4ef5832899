//! Stored objects as nobody wrote them: readers refuse or read, and what is read is written again with all it had.

use proptest::prelude::*;
use serde_json::{Map, json};

use super::*;

/// JSON of a few levels, with names that mean something somewhere. Its fractions are short: serde_json reads long ones
/// to within their last digit.
fn anything() -> impl Strategy<Value = Value> {
    let text = prop_oneof!["Production|Staging|ready|sha256:00|7|m|later|2026-11-23T02:00:11Z", "\\PC{0,8}"];
    let number = prop_oneof![
        any::<u64>().prop_map(|n| json!(n)),
        (-3_i64..70).prop_map(|n| json!(n)),
        any::<i16>().prop_map(|n| json!(f64::from(n) / 4.0))
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(|b| json!(b)),
        number,
        text.prop_map(|text| json!(text))
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        let name = "later|version|by|bytes|models|generation|[a-z]{1,3}";
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|list| json!(list)),
            prop::collection::btree_map(name, inner, 0..4).prop_map(|map| json!(map)),
        ]
    })
}

/// What is done to a document: at its `place`-th value another one, none, or one more field.
#[derive(Clone, Debug)]
enum Change {
    Put(Value),
    Remove,
    Add(Value),
}

fn change() -> impl Strategy<Value = (usize, Change)> {
    let change =
        prop_oneof![anything().prop_map(Change::Put), Just(Change::Remove), anything().prop_map(Change::Add)];
    (0..400_usize, change)
}

/// Carries a change out where `place` has come down to 0.
fn apply(value: &mut Value, place: &mut usize, change: &Change) {
    let is_here = *place == 0;
    *place = place.wrapping_sub(1);
    match (is_here, change, &mut *value) {
        (true, Change::Put(other), _) => *value = other.clone(),
        (true, Change::Add(other), Value::Object(fields)) => {
            drop(fields.insert("unheard".into(), other.clone()))
        }
        (true, Change::Remove, _) => *value = Value::Null,
        (true, ..) => {}
        (false, _, Value::Object(fields)) => {
            let removed = matches!(change, Change::Remove);
            fields.retain(|_, field| {
                let gone = removed && *place == 0;
                apply(field, place, change);
                !gone
            });
        }
        (false, _, Value::Array(items)) => items.iter_mut().for_each(|item| apply(item, place, change)),
        _ => {}
    }
}

fn changed(original: &[u8], changes: &[(usize, Change)]) -> Value {
    let mut value: Value = serde_json::from_slice(original).unwrap();
    changes.iter().for_each(|(place, change)| apply(&mut value, &mut place.clone(), change));
    value
}

/// The first thing of `before` that `after` lacks; what says nothing may be left out.
fn lost(before: &Value, after: &Value, path: &str) -> Option<String> {
    let empty = |value: &Value| value.is_null() || *value == json!([]) || *value == json!({});
    match (before, after) {
        (Value::Object(old), Value::Object(new)) => old.iter().find_map(|(name, old)| {
            let path = format!("{path}/{name}");
            match new.get(name) {
                // Digests and tensors are made anew for every version.
                _ if ["/files", "/signature"].contains(&&*path) => None,
                Some(new) => lost(old, new, &path),
                None => (!empty(old)).then_some(path),
            }
        }),
        (Value::Array(old), Value::Array(new)) if old.len() == new.len() => old
            .iter()
            .zip(new)
            .enumerate()
            .find_map(|(at, (old, new))| lost(old, new, &format!("{path}/{at}"))),
        (Value::String(old), Value::String(new)) if old.eq_ignore_ascii_case(new) => None,
        _ => (before != after && !empty(before)).then(|| path.to_owned()),
    }
}

/// What is read is written with all it had, and read again it is the same.
fn survives(before: &Value, read: impl Fn(&[u8]) -> Option<Vec<u8>>) {
    let Some(written) = read(before.to_string().as_bytes()) else { return };
    let after: Value = serde_json::from_slice(&written).unwrap();
    assert_eq!(lost(before, &after, ""), None, "{before}\n{after}");
    assert_eq!(read(&written).as_ref(), Some(&written));
}

fn index(bytes: &[u8]) -> Option<Vec<u8>> {
    let index = Index::parse(bytes).ok()?;
    drop(index.catalog());
    let _ = (index.default_version(), index.signatures.iter().filter_map(|entry| entry.known()).count());
    Some(index.to_bytes())
}

fn manifest(bytes: &[u8]) -> Option<Vec<u8>> {
    drop(Manifest::parse(bytes, &churn(), seven()));
    let manifest = Manifest::parse_any(bytes).ok()?;
    let _ = manifest.files.values().map(crate::registry::manifest::ManifestFile::digest).count();
    Some(manifest.to_bytes())
}

fn hint(bytes: &[u8]) -> Option<Vec<u8>> {
    Hint::parse(bytes).ok().map(|hint| hint.to_bytes())
}

proptest! {
    #[test]
    fn changed_documents_are_refused_or_kept_whole(changes in prop::collection::vec(change(), 1..4)) {
        survives(&changed(MODEL, &changes), index);
        survives(&changed(MANIFEST, &changes), manifest);
        survives(&changed(HINT, &changes), hint);
    }

    #[test]
    fn whatever_json_is_refused_or_kept_whole(value in anything(), fields in any::<bool>()) {
        let mut value = value;
        if let (Value::Object(object), true) = (&mut value, fields) {
            let known: Map<String, Value> = serde_json::from_str(r#"{"format": 1, "model": "m", "versions": []}"#).unwrap();
            object.extend(known);
        }
        survives(&value, index);
        survives(&value, manifest);
        survives(&value, hint);
    }

    #[test]
    fn damaged_bytes_do_not_panic(at in 0..2000_usize, byte in any::<u8>(), end in 0..2000_usize) {
        for original in [MODEL, MANIFEST, HINT] {
            let mut bytes = original[..original.len().min(end)].to_vec();
            if let Some(old) = bytes.get_mut(at) {
                *old = byte;
            }
            let _ = (index(&bytes), manifest(&bytes), hint(&bytes));
        }
    }

    #[test]
    fn keys_are_read_as_they_are_written(
        name in "[A-Za-z0-9][A-Za-z0-9._-]{0,20}", number in 1..u64::MAX, file in "[a-z.]{1,9}", other in "\\PC{0,30}",
    ) {
        let (model, version) = (name.parse::<ModelName>().unwrap(), Version::new(number).unwrap());
        prop_assert_eq!(layout::version_of(&model, &layout::file(&model, version, &file)), Some(version));
        prop_assert_eq!(layout::version_of(&model, &layout::index(&model)), None);
        prop_assert_eq!(layout::segment_range(&layout::segment(&model, number, u64::MAX)), Some((number, u64::MAX)));
        // Keys of others.
        let _ = (layout::version_of(&model, &other), layout::version_of(&model, &format!("{name}/{other}/{other}")));
        let _ = (layout::segment_range(&other), layout::segment_range(&format!("{other}-{other}.json")));
    }
}
