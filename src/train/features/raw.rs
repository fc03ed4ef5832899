//! Rows as they come from the data: columns of four kinds.
//!
//! How a value that is missing looks, here and to whoever asks the served model:
//!
//! | kind | here | input of the model | missing there |
//! |---|---|---|---|
//! | number | `f32` | FP32 | NaN (`null` in JSON) |
//! | integer, none missing | `i64` | INT64 | cannot be |
//! | integer, some missing | `i64` and what is missing | FP64 | NaN (`null` in JSON) |
//! | text | bytes, UTF-8 | BYTES | the empty text |
//! | time, none missing | `i64`, seconds since 1970-01-01 UTC | INT64, the same | cannot be |
//! | time, some missing | the same and what is missing | FP64, the same | NaN (`null` in JSON) |
//!
//! No integer of ours stands for "missing": no protocol has one, a client would have to know it, and a forgotten one
//! would be a number like any other. FP64 holds every integer up to 2^53 and every second exactly. Whether integers
//! may be missing is decided when the recipe is fitted: one was missing then, or `impute` names the column.

use serde::{Deserialize, Serialize};
use sidegate::tensor::{Datatype, Strings};

use crate::features::error::{Error, data};

/// What a raw column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// Numbers.
    Number,
    /// Whole numbers.
    Integer,
    /// Texts.
    Text,
    /// Seconds since 1970-01-01 UTC.
    Time,
}

/// A raw column: its name and what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    /// The name in the data, which is the name of the model's input.
    pub name: String,
    /// What it holds.
    pub kind: Kind,
    /// Whether values are known to be missing, in whatever part of the data.
    pub nullable: bool,
}

/// Some thousand rows, columns in the order of the fields they were announced with.
#[derive(Clone, Debug, Default)]
pub(crate) struct RawBatch {
    /// All as long as each other.
    pub columns: Vec<RawColumn>,
}

/// One column of some rows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum RawColumn {
    /// NaN is missing.
    Numbers(Vec<f32>),
    /// Whole numbers.
    Integers(Whole),
    /// The empty text is missing.
    Texts(Strings),
    /// Seconds since 1970-01-01 UTC.
    Times(Whole),
}

/// Whole numbers, of which some may be missing.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Whole {
    /// Anything where missing.
    pub values: Vec<i64>,
    /// Row by row whether the value is missing; none is without it.
    pub missing: Option<Vec<bool>>,
}

// === impl Kind ===

impl Kind {
    /// The datatype of the model's input.
    pub(crate) const fn datatype(self, nullable: bool) -> Datatype {
        match self {
            Self::Number => Datatype::Fp32,
            Self::Text => Datatype::Bytes,
            Self::Integer | Self::Time if nullable => Datatype::Fp64,
            Self::Integer | Self::Time => Datatype::Int64,
        }
    }

    /// The word in messages.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Number => "a number",
            Self::Integer => "an integer",
            Self::Text => "text",
            Self::Time => "a time",
        }
    }
}

// === impl RawBatch ===

impl RawBatch {
    /// How many rows there are; all columns must be those announced, and equally long.
    ///
    /// # Errors
    /// [`Error::Data`], naming the column.
    pub(crate) fn check(&self, fields: &[Field]) -> Result<usize, Error> {
        if self.columns.len() != fields.len() {
            return Err(data!("a batch has {} columns, not {}", self.columns.len(), fields.len()));
        }
        let rows = self.columns.first().map_or(0, RawColumn::len);
        for (column, Field { name, kind, .. }) in self.columns.iter().zip(fields) {
            if column.kind() != *kind {
                return Err(data!("column `{name}` holds {}, not {}", column.kind().name(), kind.name()));
            }
            if column.len() != rows || !column.is_sound() {
                return Err(data!("column `{name}` has {} rows where others have {rows}", column.len()));
            }
        }
        Ok(rows)
    }
}

impl RawBatch {
    /// These rows of it, in this order.
    pub(crate) fn of_rows(&self, rows: &[usize]) -> Self {
        Self { columns: self.columns.iter().map(|column| column.of_rows(rows)).collect() }
    }

    /// How many rows there are.
    pub(crate) fn rows(&self) -> usize {
        self.columns.first().map_or(0, RawColumn::len)
    }
}

// === impl RawColumn ===

impl RawColumn {
    /// What it holds.
    pub(crate) const fn kind(&self) -> Kind {
        match self {
            Self::Numbers(_) => Kind::Number,
            Self::Integers(_) => Kind::Integer,
            Self::Texts(_) => Kind::Text,
            Self::Times(_) => Kind::Time,
        }
    }

    /// How many rows.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Numbers(values) => values.len(),
            Self::Integers(whole) | Self::Times(whole) => whole.values.len(),
            Self::Texts(texts) => texts.len(),
        }
    }

    fn of_rows(&self, rows: &[usize]) -> Self {
        let whole = |whole: &Whole| -> Whole {
            let missing =
                |row: &usize| whole.missing.as_ref().is_some_and(|missing| missing.get(*row) == Some(&true));
            rows.iter().map(|row| whole.values.get(*row).copied().filter(|_| !missing(row))).collect()
        };
        match self {
            Self::Numbers(values) => {
                Self::Numbers(rows.iter().filter_map(|row| values.get(*row).copied()).collect())
            }
            Self::Texts(texts) => Self::Texts(rows.iter().filter_map(|row| texts.get(*row)).collect()),
            Self::Integers(values) => Self::Integers(whole(values)),
            Self::Times(values) => Self::Times(whole(values)),
        }
    }

    /// A value for people; the empty text is missing.
    pub(crate) fn shown(&self, row: usize) -> String {
        match self {
            Self::Numbers(values) => {
                values.get(row).filter(|value| !value.is_nan()).map(f32::to_string).unwrap_or_default()
            }
            Self::Texts(texts) => String::from_utf8_lossy(texts.get(row).unwrap_or_default()).into_owned(),
            Self::Integers(whole) | Self::Times(whole) => {
                whole.iter().nth(row).flatten().map(|value| value.to_string()).unwrap_or_default()
            }
        }
    }

    fn is_sound(&self) -> bool {
        match self {
            Self::Integers(Whole { values, missing }) | Self::Times(Whole { values, missing }) => {
                missing.as_ref().is_none_or(|missing| missing.len() == values.len())
            }
            _ => true,
        }
    }
}

// === impl Whole ===

impl Whole {
    /// The values in order; `None` where missing.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Option<i64>> {
        let missing = self.missing.as_deref().unwrap_or_default().iter().copied();
        let missing = missing.chain(std::iter::repeat(false));
        self.values.iter().zip(missing).map(|(value, missing)| (!missing).then_some(*value))
    }
}

impl FromIterator<Option<i64>> for Whole {
    fn from_iter<T: IntoIterator<Item = Option<i64>>>(values: T) -> Self {
        let (values, missing): (Vec<i64>, Vec<bool>) =
            values.into_iter().map(|value| (value.unwrap_or_default(), value.is_none())).unzip();
        let missing = missing.contains(&true).then_some(missing);
        Self { values, missing }
    }
}

impl From<Vec<i64>> for Whole {
    fn from(values: Vec<i64>) -> Self {
        Self { values, missing: None }
    }
}
