//! Names and values as MLflow takes them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::table::Round;

/// Bytes of a name.
const NAME: usize = 250;
/// Bytes of a parameter.
pub(super) const PARAM: usize = 6000;
/// Bytes of a tag.
pub(super) const TAG: usize = 5000;

/// A name with nothing in it that MLflow refuses.
pub(super) fn name(text: &str) -> String {
    let allowed = |c: char| c.is_alphanumeric() || "_-. /:".contains(c);
    let name: String = text.chars().map(|c| if allowed(c) { c } else { '_' }).collect();
    cut(&name, NAME)
}

/// At most so many bytes.
pub(super) fn cut(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    let end = (0..=bytes - '…'.len_utf8()).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    format!("{}…", text.get(..end).unwrap_or_default())
}

/// Parameters, tables as names with dots.
pub(super) fn params(value: &Value) -> BTreeMap<String, String> {
    let mut params = BTreeMap::new();
    flatten("", value, &mut params);
    params
}

fn flatten(path: &str, value: &Value, into: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(table) => {
            for (key, value) in table {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                flatten(&path, value, into);
            }
        }
        _ if path.is_empty() => {}
        Value::String(text) => drop(into.insert(name(path), cut(text, PARAM))),
        other => drop(into.insert(name(path), cut(&other.to_string(), PARAM))),
    }
}

/// Metrics of every round, then those of the end; JSON has no number for what is none.
pub(super) fn metrics(rounds: &[Round], end: &BTreeMap<String, f64>, now: i64) -> Vec<Value> {
    let metric = |key: &str, value: f64, step: u32| {
        value.is_finite().then(|| json!({ "key": name(key), "value": value, "timestamp": now, "step": step }))
    };
    let of_round = |round: &Round| {
        let train = metric(&format!("train_{}", round.metric), round.train, round.round);
        let validation = round
            .validation
            .and_then(|value| metric(&format!("validation_{}", round.metric), value, round.round));
        [train, validation]
    };
    let last = rounds.last().map_or(0, |round| round.round);
    let end = end.iter().map(|(key, value)| metric(key, *value, last));
    rounds.iter().flat_map(of_round).chain(end).flatten().collect()
}

/// Pairs of a name and a text as MLflow lists them.
pub(super) fn pairs<K: AsRef<str>>(pairs: &BTreeMap<K, String>, most: usize) -> Vec<Value> {
    let pair = |(key, value): (&K, &String)| json!({ "key": name(key.as_ref()), "value": cut(value, most) });
    pairs.iter().map(pair).collect()
}
