//! Outcomes as they are posted: one, a list, or lines (NDJSON).

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::record::MAX_ROWS;
use crate::experiment::Predicted;
use crate::model::Labels;

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One JSON value: an outcome or a list of them.
    Json,
    /// One JSON value a line.
    Lines,
}

/// Most items of one body.
const MAX_ITEMS: usize = 20_000;

/// One outcome. By `id` or `receipt` it is the actual of a prediction, by `unit` what a unit did.
#[derive(Debug, Default, serde::Deserialize)]
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
#[derive(Debug)]
pub(super) enum Actual {
    One(One),
    /// Row by row, [`MAX_ROWS`] at most.
    Rows(Vec<Option<One>>),
}

/// One row's actual.
#[derive(Debug)]
pub(super) enum One {
    /// A number; true and false are 1 and 0.
    Number(f64),
    /// A class, as the model calls it.
    Class(String),
}

impl One {
    /// The number that the prediction of a row is held against: of a probability the place of the class, 0 or 1, else the
    /// class's number. None of a text that is neither a class nor a number.
    pub(super) fn truth(&self, predicted: Predicted, names: Option<&Labels>) -> Option<f64> {
        let number = match self {
            Self::Number(number) => *number,
            Self::Class(text) => {
                match names.and_then(|names| Some(names.number(names.place(text.as_bytes())?))) {
                    Some(number) => number,
                    None => text.trim().parse().ok().filter(|number: &f64| number.is_finite())?,
                }
            }
        };
        match predicted {
            Predicted::Value(_) => Some(number),
            Predicted::Probability(_) => {
                Some(names.and_then(|names| names.place_of(number)).map_or(number, |place| place as f64))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Actual {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ActualVisitor)
    }
}

/// Reads an actual without taking more memory than its rows do.
struct ActualVisitor;

impl<'de> Visitor<'de> for ActualVisitor {
    type Value = Actual;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a number, true or false, a class, or a list of them for up to {MAX_ROWS} rows")
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<Actual, E> {
        Ok(Actual::One(One::Number(f64::from(flag))))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Actual, E> {
        Ok(Actual::One(One::Number(number)))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Actual, E> {
        Ok(Actual::One(One::Number(number as f64)))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Actual, E> {
        Ok(Actual::One(One::Number(number as f64)))
    }

    fn visit_str<E: Error>(self, class: &str) -> Result<Actual, E> {
        Ok(Actual::One(One::Class(class.into())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Actual, A::Error> {
        let mut rows = Vec::new();
        while let Some(row) = list.next_element::<Option<One>>()? {
            if rows.len() == MAX_ROWS {
                return Err(A::Error::invalid_length(MAX_ROWS + 1, &self));
            }
            rows.push(row);
        }
        Ok(Actual::Rows(rows))
    }
}

impl<'de> Deserialize<'de> for One {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Actual::deserialize(deserializer)? {
            Actual::One(one) => Ok(one),
            Actual::Rows(_) => Err(D::Error::custom("a row has one actual")),
        }
    }
}

/// Items, each as far as it can be read.
///
/// # Errors
/// A text where the body as a whole is none.
pub(super) fn items(body: &[u8], form: Form) -> Result<Vec<Result<Item, String>>, String> {
    let item = |text: &[u8]| serde_json::from_slice::<Item>(text).map_err(|error| error.to_string());
    let items: Vec<_> = match form {
        Form::Lines => {
            let lines =
                body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
            lines.take(MAX_ITEMS + 1).map(item).collect()
        }
        Form::Json => {
            let none = |error: serde_json::Error| {
                format!("the body is no JSON: {error}; lines of JSON need content-type: application/x-ndjson")
            };
            match body.trim_ascii_start().first() {
                Some(b'[') => {
                    let Texts(texts) = serde_json::from_slice(body).map_err(none)?;
                    texts.into_iter().map(|text| item(text.get().as_bytes())).collect()
                }
                Some(b'{') => {
                    let whole: &RawValue = serde_json::from_slice(body).map_err(none)?;
                    vec![item(whole.get().as_bytes())]
                }
                _ => return Err("the body is neither an outcome nor a list of them".into()),
            }
        }
    };
    if items.len() > MAX_ITEMS {
        return Err(format!("more than {MAX_ITEMS} outcomes in one body; send them in parts"));
    }
    Ok(items)
}

/// The texts of a list's items, of which one too many is enough.
struct Texts<'a>(Vec<&'a RawValue>);

impl<'de> Deserialize<'de> for Texts<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;

        impl<'de> Visitor<'de> for List {
            type Value = Vec<&'de RawValue>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of outcomes")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut texts = Vec::new();
                while texts.len() <= MAX_ITEMS
                    && let Some(text) = list.next_element()?
                {
                    texts.push(text);
                }
                // The rest is read over.
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(texts)
            }
        }

        deserializer.deserialize_seq(List).map(Texts)
    }
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
        let many = |item: &str, count: usize| format!("[{}]", vec![item; count].join(","));
        assert_eq!(count(&many("0", 30), Form::Json), Ok(0));
        assert!(items(many("0", 4_000_000).as_bytes(), Form::Json).is_err());
        let rows = |count| format!(r#"{{"id":"a","actual":{}}}"#, many("1", count));
        assert_eq!((count(&rows(256), Form::Json), count(&rows(257), Form::Json)), (Ok(1), Ok(0)));
        for bad in ["", "1", "{\"id\":\"a\"}\n{\"id\":\"b\"}"] {
            assert!(items(bad.as_bytes(), Form::Json).is_err(), "{bad}");
        }
    }
}
