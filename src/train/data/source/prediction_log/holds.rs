//! What the values of an input are, over all lines.

use std::fmt;

use datafusion::arrow::datatypes::DataType;
use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, SeqAccess, Visitor};

use crate::data::kind::Kind;

/// What values are. As a value it is read from JSON without keeping any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    /// Every value is missing.
    Nothing,
    /// Values of a kind.
    One(Kind),
    /// Several values for each row.
    Lists,
}

impl Holds {
    /// What a column of a file holds.
    pub(super) fn of(stored: &DataType) -> Self {
        match stored {
            DataType::Null => Self::Nothing,
            other => Kind::of(other).map_or(Self::Lists, Self::One),
        }
    }

    /// What holds the values of both.
    pub(super) fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Nothing, other) | (other, Self::Nothing) => other,
            (Self::Lists, _) | (_, Self::Lists) => Self::Lists,
            (Self::One(a), Self::One(b)) => Self::One(a.or(b)),
        }
    }
}

/// How values of a kind are kept.
pub(super) const fn stored(kind: Kind) -> DataType {
    match kind {
        Kind::Boolean => DataType::Boolean,
        Kind::Integer => DataType::Int64,
        Kind::Number => DataType::Float64,
        // There are no times in the log but its own.
        Kind::Text | Kind::Time => DataType::Utf8,
    }
}

impl<'de> Deserialize<'de> for Holds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Value)
    }
}

struct Value;

impl<'de> Visitor<'de> for Value {
    type Value = Holds;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of the prediction log")
    }

    fn visit_unit<E: Error>(self) -> Result<Holds, E> {
        Ok(Holds::Nothing)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Holds, E> {
        Ok(Holds::One(Kind::Boolean))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Holds, E> {
        Ok(Holds::One(Kind::Integer))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Holds, E> {
        Ok(Holds::One(if i64::try_from(number).is_ok() { Kind::Integer } else { Kind::Number }))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Holds, E> {
        Ok(Holds::One(Kind::Number))
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Holds, E> {
        Ok(Holds::One(Kind::Text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Holds, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Holds::Lists)
    }
}
