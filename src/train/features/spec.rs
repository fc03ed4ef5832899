//! What features are wanted, as it is configured: a table of named tables, each with a `type`.
//!
//! ```toml
//! [features.speed]
//! type = "interaction"
//! columns = ["distance", "dep_delay"]
//! ```

mod kinds;
#[cfg(test)]
mod tests;

pub(crate) use kinds::{
    Bins, Columns, Impute, Interaction, Log1p, OneHot, Ordinal, Polynomial, Strategy, TimeBased, TimePart,
    Unknown, UnknownWord,
};

use serde::de::DeserializeOwned;

use crate::features::error::Error;
use sidegate::suggest::meant;

/// Everything that is configured of features.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Spec {
    /// In the order of their names.
    pub members: Vec<(String, Member)>,
}

/// One member of the family.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Member {
    Polynomial(Polynomial),
    Interaction(Interaction),
    TimeBased(TimeBased),
    Ordinal(Ordinal),
    OneHot(OneHot),
    Impute(Impute),
    Standardize(Columns),
    Minmax(Columns),
    Log1p(Log1p),
    Bins(Bins),
    Drop(Columns),
}

type Read = fn(toml::Value) -> Result<Member, String>;

/// Types, what reads them, and their keys beside `type`.
#[rustfmt::skip]
const TYPES: &[(&str, Read, &[&str])] = &[
    ("bins", |v| of(v, Member::Bins), &["columns", "edges", "quantiles", "categorical", "drop"]),
    ("drop", |v| of(v, Member::Drop), &["columns"]),
    ("impute", |v| of(v, Member::Impute), &["columns", "strategy", "value", "indicator"]),
    ("interaction", |v| of(v, Member::Interaction), &["columns", "drop"]),
    ("log1p", |v| of(v, Member::Log1p), &["columns", "drop"]),
    ("minmax", |v| of(v, Member::Minmax), &["columns"]),
    ("one_hot", |v| of(v, Member::OneHot), &["columns", "categories", "max_categories", "drop"]),
    ("ordinal", |v| of(v, Member::Ordinal), &["columns", "order", "max_categories", "unknown", "categorical"]),
    ("polynomial", |v| of(v, Member::Polynomial), &["columns", "degree", "drop"]),
    ("standardize", |v| of(v, Member::Standardize), &["columns"]),
    ("time_based", |v| of(v, Member::TimeBased), &["date_column", "columns", "parts"]),
];

fn of<T: DeserializeOwned>(value: toml::Value, member: fn(T) -> Member) -> Result<Member, String> {
    value.try_into().map(member).map_err(|error: toml::de::Error| error.message().to_owned())
}

impl Spec {
    /// Reads the table of features.
    ///
    /// # Errors
    /// [`Error::Config`] with every problem: unknown types and keys (naming the nearest), values of the wrong type.
    pub(crate) fn parse(table: &toml::Table) -> Result<Self, Error> {
        let (mut members, mut problems) = (Vec::new(), Vec::new());
        for (name, value) in table {
            match member(value) {
                Ok(member) => members.push((name.clone(), member)),
                Err(found) => {
                    problems.extend(found.into_iter().map(|text| format!("features.{name}: {text}")))
                }
            }
        }
        // The order must not depend on how the table is kept.
        members.sort_by(|(a, _), (b, _)| a.cmp(b));
        if problems.is_empty() { Ok(Self { members }) } else { Err(Error::Config(problems.join("\n"))) }
    }
}

fn member(value: &toml::Value) -> Result<Member, Vec<String>> {
    let one = |text: String| vec![text];
    let table = value.as_table().ok_or_else(|| one("must be a table with a `type`".to_owned()))?;
    let names = || TYPES.iter().map(|(name, ..)| *name);
    let name = table.get("type").and_then(toml::Value::as_str);
    let name = name.ok_or_else(|| {
        one(format!("`type` is missing; one of {}", names().collect::<Vec<_>>().join(", ")))
    })?;
    let known = TYPES.iter().find(|(known, ..)| *known == name);
    let (_, read, keys) = known.ok_or_else(|| {
        let near = meant(name, names());
        one(format!("type `{name}` is unknown{near} (known: {})", names().collect::<Vec<_>>().join(", ")))
    })?;
    let unknown = table.keys().filter(|key| *key != "type" && !keys.contains(&key.as_str()));
    let problems: Vec<String> = unknown
        .map(|key| {
            let near = meant(key, keys.iter().copied());
            format!("`{key}` is not a key of {name}{near} (known: {})", keys.join(", "))
        })
        .collect();
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut rest = table.clone();
    rest.remove("type");
    let member = read(toml::Value::Table(rest)).map_err(one)?;
    member.check().map_err(one)?;
    Ok(member)
}
