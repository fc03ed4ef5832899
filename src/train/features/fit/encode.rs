//! Categories: which there are, and what is made of them.

use super::summary::Summary;
use crate::features::error::{Error, data};
use crate::features::raw::{Field, Kind};
use crate::features::recipe::{Block, Feature, Keys, Make};
use crate::features::spec::{OneHot, Ordinal, Unknown, UnknownWord};

/// What a missing value is filled with.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Fill {
    Number(f32),
    Text(String),
}

/// How texts are numbered that nothing is said of.
pub(super) fn by_default() -> Ordinal {
    Ordinal {
        columns: Vec::new(),
        order: None,
        max_categories: 65_536,
        unknown: Unknown::Missing,
        categorical: None,
    }
}

pub(super) fn ordinal(
    spec: &Ordinal,
    field: &Field,
    summary: &Summary,
    fill: Option<&Fill>,
) -> Result<Block, Error> {
    let (keys, missing) = keys(field, summary, spec.order.as_deref(), spec.max_categories, fill)?;
    let count = keys.len() as u32;
    let other = match spec.unknown {
        Unknown::Missing | Unknown::Word(UnknownWord::Missing) => None,
        Unknown::Word(UnknownWord::Other) => Some(count as f32),
        Unknown::Number(number) => Some(number),
    };
    let categorical = spec.categorical.unwrap_or(spec.order.is_none());
    if let (true, Some(other)) = (categorical, other)
        && !(other.fract() == 0.0 && (0.0..=count as f32).contains(&other))
    {
        return Err(Error::Config(format!(
            "column `{}`: unknown categories become {other}, which is none of 0 to {count}; give another number, or `categorical = false`",
            field.name
        )));
    }
    let categories = categorical.then(|| count + u32::from(other == Some(count as f32)));
    let features = vec![Feature { name: field.name.clone(), categories, scale: None }];
    Ok(Block { features, make: Make::Code { of: field.name.clone(), keys, other, missing } })
}

pub(super) fn one_hot(
    spec: &OneHot,
    field: &Field,
    summary: &Summary,
    fill: Option<&Fill>,
) -> Result<Block, Error> {
    let (keys, missing) = keys(field, summary, spec.categories.as_deref(), spec.max_categories, fill)?;
    let named =
        |value: String| Feature { name: format!("{}_{value}", field.name), categories: None, scale: None };
    let features = keys.names().into_iter().map(named).collect();
    Ok(Block { features, make: Make::OneHot { of: field.name.clone(), keys, missing } })
}

/// The categories of a column, and which one a missing value is.
fn keys(
    field: &Field,
    summary: &Summary,
    listed: Option<&[toml::Value]>,
    most: usize,
    fill: Option<&Fill>,
) -> Result<(Keys, Option<usize>), Error> {
    let mut keys = match listed {
        Some(values) => read(field, values)?,
        None => summary.keys(most),
    };
    let missing = fill.map(|fill| place(field, &mut keys, fill)).transpose()?;
    if keys.is_empty() {
        return Err(data!("column `{}` has no values to make categories of", field.name));
    }
    Ok((keys, missing))
}

/// The place of what is filled in, which is put behind the others if it is none of them.
fn place(field: &Field, keys: &mut Keys, fill: &Fill) -> Result<usize, Error> {
    fn of<K: PartialEq>(keys: &mut Vec<K>, key: K) -> usize {
        keys.iter().position(|known| *known == key).unwrap_or_else(|| {
            keys.push(key);
            keys.len() - 1
        })
    }
    match (keys, fill) {
        (Keys::Texts(keys), Fill::Text(text)) => Ok(of(keys, text.clone())),
        (Keys::Numbers(keys), Fill::Number(number)) => Ok(of(keys, *number)),
        (Keys::Integers(keys), Fill::Number(number)) if number.fract() == 0.0 => Ok(of(keys, *number as i64)),
        (_, fill) => Err(Error::Config(format!(
            "column `{}`: {fill:?} is no category; impute it by most_frequent or constant",
            field.name
        ))),
    }
}

/// The categories as they are configured.
fn read(field: &Field, values: &[toml::Value]) -> Result<Keys, Error> {
    let wrong = |value: &toml::Value| {
        Error::Config(format!(
            "column `{}` holds {}, and {} is none",
            field.name,
            field.kind.name(),
            shown(value)
        ))
    };
    let all = |values: &[toml::Value]| match field.kind {
        Kind::Text => {
            let text = |v: &toml::Value| v.as_str().map(str::to_owned).ok_or_else(|| wrong(v));
            values.iter().map(text).collect::<Result<_, _>>().map(Keys::Texts)
        }
        Kind::Integer | Kind::Time => {
            let integer = |v: &toml::Value| v.as_integer().ok_or_else(|| wrong(v));
            values.iter().map(integer).collect::<Result<_, _>>().map(Keys::Integers)
        }
        Kind::Number => {
            let number = |v: &toml::Value| number(v).ok_or_else(|| wrong(v));
            values.iter().map(number).collect::<Result<_, _>>().map(Keys::Numbers)
        }
    };
    let repeated =
        values.iter().enumerate().find(|(at, value)| values.iter().take(*at).any(|other| other == *value));
    match repeated {
        Some((_, value)) => {
            Err(Error::Config(format!("column `{}`: category {} is listed twice", field.name, shown(value))))
        }
        None => all(values),
    }
}

/// A value as it was written, about.
fn shown(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => format!("\"{text}\""),
        toml::Value::Integer(integer) => integer.to_string(),
        toml::Value::Float(number) => number.to_string(),
        other => format!("a {}", other.type_str()),
    }
}

/// A finite number, written with or without a point.
pub(super) fn number(value: &toml::Value) -> Option<f32> {
    let number = value.as_float().or_else(|| value.as_integer().map(|integer| integer as f64))? as f32;
    number.is_finite().then_some(number)
}
