//! Values as they were stored: nothing is rounded before digest, validation and split have seen it.

mod parse;

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, StringArray, TimestampMillisecondArray,
};
use datafusion::arrow::compute::{self, CastOptions};
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit, TimestampMillisecondType};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::util::display::array_value_to_string;

use crate::data::error::DataError;
use crate::data::kind::Kind;
use crate::data::plan::Field;
use crate::data::range::{DateUnit, format_instant};
use crate::features::RawColumn;

/// A column of some rows. No number is NaN and no text is empty: such are missing.
#[derive(Clone, Debug)]
pub(crate) enum Cells {
    Booleans(BooleanArray),
    Integers(Int64Array),
    Numbers(Float64Array),
    Texts(StringArray),
    Times(TimestampMillisecondArray),
}

/// How columns are read.
pub(crate) struct Reading {
    /// Texts that stand for no value; only in CSV.
    pub(crate) nulls: Vec<String>,
    /// The date column, and what it counts when it holds numbers.
    pub(crate) date: Option<(String, DateUnit)>,
}

impl Reading {
    fn unit(&self, field: &Field) -> Option<DateUnit> {
        self.date.as_ref().filter(|(name, _)| *name == field.name).map(|(_, unit)| *unit)
    }
}

const SHOWN: usize = 40;

impl Cells {
    /// A column of rows, the first of which is row `first` of the data.
    pub(crate) fn read(
        field: &Field,
        array: &ArrayRef,
        first: u64,
        how: &Reading,
    ) -> Result<Self, DataError> {
        let malformed = |at: usize| DataError::Malformed {
            column: field.name.clone(),
            row: first + at as u64 + 1,
            value: array_value_to_string(array, at).unwrap_or_default().chars().take(SHOWN).collect(),
            wanted: field.kind.name(),
        };
        let failed = |error: ArrowError| DataError::unreadable(&format!("column `{}`", field.name), error);
        let stored = Kind::of(array.data_type());
        if stored == Some(Kind::Text) {
            let texts = compute::cast(array, &DataType::Utf8).map_err(failed)?;
            return parse::texts(texts.as_string(), field.kind, &how.nulls, how.unit(field))
                .map_err(malformed);
        }
        let target = match field.kind {
            Kind::Boolean => DataType::Boolean,
            Kind::Integer => DataType::Int64,
            Kind::Number => DataType::Float64,
            Kind::Text => DataType::Utf8,
            Kind::Time => match (stored, how.unit(field)) {
                (Some(Kind::Integer | Kind::Number), Some(unit)) => {
                    let numbers = cast(array, &DataType::Float64).map_err(failed)?;
                    return Ok(Self::times(numbers.as_primitive(), unit));
                }
                _ => DataType::Timestamp(TimeUnit::Millisecond, Some("+00:00".into())),
            },
        };
        let cells = cast(array, &target).map_err(failed)?;
        // What does not fit comes back as missing.
        if let Some(at) = lost(array, &cells) {
            return Err(malformed(at));
        }
        if field.kind == Kind::Integer
            && stored == Some(Kind::Number)
            && let Some(at) = fraction(array).map_err(failed)?
        {
            return Err(malformed(at));
        }
        Ok(match field.kind {
            Kind::Boolean => Self::Booleans(cells.as_boolean().clone()),
            Kind::Integer => Self::Integers(cells.as_primitive().clone()),
            Kind::Number => Self::Numbers(numbers(cells.as_primitive())),
            Kind::Text => Self::Texts(cells.as_string().clone()),
            Kind::Time => Self::Times(cells.as_primitive().clone()),
        })
    }

    fn times(numbers: &Float64Array, unit: DateUnit) -> Self {
        let instants = numbers.iter().map(|number| parse::instant(number?, unit));
        Self::Times(instants.collect::<TimestampMillisecondArray>())
    }

    /// Those of the rows that are kept.
    pub(crate) fn filter(&self, keep: &BooleanArray) -> Result<Self, ArrowError> {
        let kept = compute::filter(self.array().as_ref(), keep)?;
        Ok(match self {
            Self::Booleans(_) => Self::Booleans(kept.as_boolean().clone()),
            Self::Integers(_) => Self::Integers(kept.as_primitive::<Int64Type>().clone()),
            Self::Numbers(_) => Self::Numbers(kept.as_primitive::<Float64Type>().clone()),
            Self::Texts(_) => Self::Texts(kept.as_string().clone()),
            Self::Times(_) => Self::Times(kept.as_primitive::<TimestampMillisecondType>().clone()),
        })
    }

    pub(crate) fn array(&self) -> ArrayRef {
        match self {
            Self::Booleans(cells) => Arc::new(cells.clone()),
            Self::Integers(cells) => Arc::new(cells.clone()),
            Self::Numbers(cells) => Arc::new(cells.clone()),
            Self::Texts(cells) => Arc::new(cells.clone()),
            Self::Times(cells) => Arc::new(cells.clone()),
        }
    }

    pub(crate) fn is_missing(&self, row: usize) -> bool {
        match self {
            Self::Booleans(cells) => cells.is_null(row),
            Self::Integers(cells) => cells.is_null(row),
            Self::Numbers(cells) => cells.is_null(row),
            Self::Texts(cells) => cells.is_null(row),
            Self::Times(cells) => cells.is_null(row),
        }
    }

    /// A number, or a time's milliseconds, for ranges and statistics.
    pub(crate) fn number(&self, row: usize) -> Option<f64> {
        if self.is_missing(row) {
            return None;
        }
        match self {
            Self::Booleans(cells) => Some(f64::from(u8::from(cells.value(row)))),
            Self::Integers(cells) => Some(cells.value(row) as f64),
            Self::Numbers(cells) => Some(cells.value(row)),
            Self::Texts(_) => None,
            Self::Times(cells) => Some(cells.value(row) as f64),
        }
    }

    /// The bytes of a value, the same for equal ones; none when missing.
    pub(crate) fn bytes(&self, row: usize, with: &mut dyn FnMut(&[u8])) {
        if self.is_missing(row) {
            return;
        }
        match self {
            Self::Booleans(cells) => with(&[u8::from(cells.value(row))]),
            Self::Integers(cells) => with(&cells.value(row).to_le_bytes()),
            Self::Numbers(cells) => with(&cells.value(row).to_le_bytes()),
            Self::Texts(cells) => with(cells.value(row).as_bytes()),
            Self::Times(cells) => with(&cells.value(row).to_le_bytes()),
        }
    }

    /// For people, and as the name of a class.
    pub(crate) fn shown(&self, row: usize) -> String {
        if self.is_missing(row) {
            return String::new();
        }
        match self {
            Self::Booleans(cells) => cells.value(row).to_string(),
            Self::Integers(cells) => cells.value(row).to_string(),
            Self::Numbers(cells) => cells.value(row).to_string(),
            Self::Texts(cells) => cells.value(row).to_owned(),
            Self::Times(cells) => format_instant(cells.value(row)),
        }
    }

    /// As features take it.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "features are f32; the report counts what is rounded"
    )]
    pub(crate) fn raw(&self) -> RawColumn {
        match self {
            Self::Booleans(cells) => RawColumn::Numbers(
                cells.iter().map(|cell| cell.map_or(f32::NAN, |cell| f32::from(u8::from(cell)))).collect(),
            ),
            Self::Integers(cells) => RawColumn::Integers(cells.iter().collect()),
            Self::Numbers(cells) => RawColumn::Numbers(
                cells.iter().map(|cell| cell.map_or(f32::NAN, |cell| cell as f32)).collect(),
            ),
            Self::Texts(cells) => RawColumn::Texts(cells.iter().map(Option::unwrap_or_default).collect()),
            Self::Times(cells) => RawColumn::Times(
                cells.iter().map(|cell| cell.map(|millis| millis.div_euclid(1000))).collect(),
            ),
        }
    }

    /// As learners are to predict it: the number of its class, or a number; NaN is missing.
    #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "targets are f32")]
    pub(crate) fn target(&self, row: usize, classes: Option<&[String]>) -> f32 {
        match classes {
            None => self.number(row).map_or(f32::NAN, |number| number as f32),
            Some(classes) => {
                let shown = self.shown(row);
                classes.iter().position(|class| *class == shown).map_or(f32::NAN, |class| class as f32)
            }
        }
    }
}

fn cast(array: &ArrayRef, target: &DataType) -> Result<ArrayRef, ArrowError> {
    compute::cast_with_options(array, target, &CastOptions { safe: true, ..CastOptions::default() })
}

/// The first value that became missing.
fn lost(before: &ArrayRef, after: &ArrayRef) -> Option<usize> {
    if before.logical_null_count() == after.null_count() {
        return None;
    }
    let nulls = before.logical_nulls();
    let was_null = |at| nulls.as_ref().is_some_and(|nulls| nulls.is_null(at));
    (0..after.len()).find(|at| after.is_null(*at) && !was_null(*at))
}

/// The first number with a fraction.
fn fraction(array: &ArrayRef) -> Result<Option<usize>, ArrowError> {
    let numbers = cast(array, &DataType::Float64)?;
    Ok(numbers.as_primitive::<Float64Type>().iter().position(|n| n.is_some_and(|n| n.fract() != 0.0)))
}

fn numbers(cells: &Float64Array) -> Float64Array {
    if cells.values().iter().any(|number| number.is_nan()) {
        cells.iter().map(|number| number.filter(|number| !number.is_nan())).collect()
    } else {
        cells.clone()
    }
}
