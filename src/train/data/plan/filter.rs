//! `date_range` as conditions on the stored column: of its own type, so that row groups can be skipped by their
//! statistics.

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::logical_expr::{Expr, cast, lit, when};
use datafusion::prelude::ident;
use datafusion::scalar::ScalarValue;

use crate::data::config::DataConfig;
use crate::data::error::DataError;
use crate::data::kind::Kind;
use crate::data::range::{DateUnit, Instants};

const DAY: i64 = 86_400_000;

/// Conditions for `start` (included) and `end` (excluded).
pub(crate) fn within(
    config: &DataConfig,
    stored: &DataType,
    range: Instants,
) -> Result<Vec<Expr>, DataError> {
    let column = || instant(config, stored);
    let mut conditions = Vec::new();
    if let Some(start) = range.start {
        conditions.push(column().gt_eq(lit(literal(config, stored, start)?)));
    }
    if let Some(end) = range.end {
        conditions.push(column().lt(lit(literal(config, stored, end)?)));
    }
    Ok(conditions)
}

/// The date of a row, comparable with [`literal`].
pub(crate) fn instant(config: &DataConfig, stored: &DataType) -> Expr {
    let column = ident(config.date_column.as_deref().unwrap_or_default());
    if Kind::of(stored) != Some(Kind::Text) {
        return column;
    }
    let nulls = config.csv.nulls.iter().map(String::as_str).chain([""]).map(lit).collect();
    let text = ScalarValue::Utf8(None);
    let value =
        when(column.clone().in_list(nulls, false), lit(text)).otherwise(column.clone()).unwrap_or(column);
    match config.date_unit {
        Some(_) => cast(value, DataType::Float64),
        None => cast(value, DataType::Timestamp(TimeUnit::Millisecond, Some("+00:00".into()))),
    }
}

/// An instant as the column has it. What lies between two values of a coarse type counts as the later one, which is
/// right for both ends.
fn literal(config: &DataConfig, stored: &DataType, instant: i64) -> Result<ScalarValue, DataError> {
    let up = |unit: i64| instant.div_euclid(unit) + i64::from(instant.rem_euclid(unit) != 0);
    let kind = Kind::of(stored);
    Ok(match (stored, config.date_unit) {
        (DataType::Timestamp(unit, zone), _) => {
            let zone = zone.clone();
            match unit {
                TimeUnit::Second => ScalarValue::TimestampSecond(Some(up(1000)), zone),
                TimeUnit::Millisecond => ScalarValue::TimestampMillisecond(Some(instant), zone),
                TimeUnit::Microsecond => {
                    ScalarValue::TimestampMicrosecond(Some(instant.saturating_mul(1000)), zone)
                }
                TimeUnit::Nanosecond => {
                    ScalarValue::TimestampNanosecond(Some(instant.saturating_mul(1_000_000)), zone)
                }
            }
        }
        (DataType::Date32, _) => ScalarValue::Date32(Some(i32::try_from(up(DAY)).unwrap_or(i32::MAX))),
        (DataType::Date64, _) => ScalarValue::Date64(Some(instant)),
        (_, Some(unit)) if kind == Some(Kind::Integer) => ScalarValue::Int64(Some(match unit {
            DateUnit::Seconds => up(1000),
            DateUnit::Milliseconds => instant,
            DateUnit::Microseconds => instant.saturating_mul(1000),
        })),
        (_, Some(unit)) if matches!(kind, Some(Kind::Number | Kind::Text)) => {
            ScalarValue::Float64(Some(instant as f64 * unit.per_millisecond()))
        }
        (_, None) if kind == Some(Kind::Text) => {
            ScalarValue::TimestampMillisecond(Some(instant), Some("+00:00".into()))
        }
        _ => {
            return Err(DataError::Config(format!(
                "data.date_column: `{}` is {stored}; data.date_unit says what such numbers count",
                config.date_column.as_deref().unwrap_or_default()
            )));
        }
    })
}
