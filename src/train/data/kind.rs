//! What a column holds, whatever it was stored as.

use datafusion::arrow::datatypes::DataType;
use serde::{Deserialize, Serialize};

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// Whole numbers of up to 64 bits.
    Integer,
    /// Numbers.
    Number,
    /// True or false.
    Boolean,
    /// Texts.
    Text,
    /// Instants, to the millisecond.
    Time,
}

impl Kind {
    /// What a stored type holds; `None` for what no model takes (lists, structures, bytes, durations).
    pub(crate) fn of(stored: &DataType) -> Option<Self> {
        Some(match stored {
            DataType::Boolean => Self::Boolean,
            // A whole number beyond i64 is rare enough to be rounded.
            DataType::UInt64 => Self::Number,
            stored if stored.is_integer() => Self::Integer,
            stored if stored.is_numeric() => Self::Number,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => Self::Text,
            DataType::Date32 | DataType::Date64 | DataType::Timestamp(..) => Self::Time,
            DataType::Dictionary(_, values) => Self::of(values)?,
            _ => return None,
        })
    }

    /// Whether values are names rather than amounts.
    pub(crate) const fn is_class(self) -> bool {
        matches!(self, Self::Text | Self::Boolean)
    }

    /// Whether values are texts.
    pub(crate) const fn is_text(self) -> bool {
        matches!(self, Self::Text)
    }

    /// With its article, for errors.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Integer => "an integer",
            Self::Number => "a number",
            Self::Boolean => "true or false",
            Self::Text => "a text",
            Self::Time => "a time",
        }
    }

    /// What holds the values of both.
    pub(crate) fn or(self, other: Self) -> Self {
        match (self, other) {
            (a, b) if a == b => a,
            (Self::Integer, Self::Number) | (Self::Number, Self::Integer) => Self::Number,
            _ => Self::Text,
        }
    }
}
