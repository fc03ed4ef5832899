//! Outcomes as they are posted: one, a list, or lines (NDJSON).

use serde::Deserialize;
use serde_json::Value;

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One JSON value: an outcome or a list of them.
    Json,
    /// One JSON value a line.
    Lines,
}

/// Most items of one body.
const MAX_ITEMS: usize = 100_000;

/// One outcome. By `id` or `receipt` it is the actual of a prediction, by `unit` what a unit did.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Item {
    /// The id of a request that this process answered.
    pub(super) id: Option<String>,
    /// The receipt of an answer of any process.
    pub(super) receipt: Option<String>,
    /// What was true: of one row, or a list of all rows.
    pub(super) actual: Option<Actual>,
    /// Which row, where a request had several.
    pub(super) row: Option<usize>,
    /// The model that predicted; where it is given, another one's prediction is not meant.
    pub(super) model: Option<String>,
    /// The unit, as requests name it.
    pub(super) unit: Option<String>,
    /// The name of what it did.
    pub(super) metric: Option<String>,
    /// How much of that.
    pub(super) value: Option<f64>,
    /// When, as RFC 3339; without it, now.
    pub(super) t: Option<String>,
}

/// An actual.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Actual {
    Number(f64),
    Flag(bool),
    Rows(Vec<Option<f64>>),
}

/// Items, each as far as it can be read.
///
/// # Errors
/// A text where the body as a whole is none.
pub(super) fn items(body: &[u8], form: Form) -> Result<Vec<Result<Item, String>>, String> {
    let item = |value: Value| serde_json::from_value::<Item>(value).map_err(|error| error.to_string());
    let items: Vec<_> = match form {
        Form::Lines => {
            let lines =
                body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
            lines
                .take(MAX_ITEMS + 1)
                .map(|line| serde_json::from_slice(line).map_err(|error| error.to_string()))
                .collect()
        }
        Form::Json => {
            let value: Value = serde_json::from_slice(body).map_err(|error| {
                format!("the body is no JSON: {error}; lines of JSON need content-type: application/x-ndjson")
            })?;
            match value {
                Value::Array(values) => values.into_iter().take(MAX_ITEMS + 1).map(item).collect(),
                value @ Value::Object(_) => vec![item(value)],
                _ => return Err("the body is neither an outcome nor a list of them".into()),
            }
        }
    };
    if items.len() > MAX_ITEMS {
        return Err(format!("more than {MAX_ITEMS} outcomes in one body; send them in parts"));
    }
    Ok(items)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_a_list_and_lines_are_read_item_by_item() {
        let count = |body: &str, form| {
            items(body.as_bytes(), form).map(|items| items.iter().filter(|item| item.is_ok()).count())
        };
        assert_eq!(count(r#"{"id":"a","actual":1}"#, Form::Json), Ok(1));
        assert_eq!(
            count(r#"[{"id":"a","actual":true},{"id":"b","actual":[1,null]},{"x":1}]"#, Form::Json),
            Ok(2)
        );
        assert_eq!(
            count("{\"unit\":\"u\",\"metric\":\"m\",\"value\":2}\n\n{\"id\":\n{}\n", Form::Lines),
            Ok(2)
        );
        for bad in ["", "1", "{\"id\":\"a\"}\n{\"id\":\"b\"}"] {
            assert!(items(bad.as_bytes(), Form::Json).is_err(), "{bad}");
        }
    }
}
