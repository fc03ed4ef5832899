//! Texts as values, with the index of the first that is none.

use datafusion::arrow::array::{
    BooleanArray, Float64Array, Int64Array, StringArray, TimestampMillisecondArray,
};

use super::Cells;
use crate::data::kind::Kind;
use crate::data::range::{DateUnit, parse_instant};

pub(super) fn texts(
    texts: &StringArray,
    kind: Kind,
    nulls: &[String],
    unit: Option<DateUnit>,
) -> Result<Cells, usize> {
    let present = || {
        texts
            .iter()
            .map(|text| text.filter(|text| !text.is_empty() && !nulls.iter().any(|null| null == text)))
    };
    // Spaces around numbers are an accident; in texts they may mean something.
    let trimmed = || present().map(|text| text.map(str::trim).filter(|text| !text.is_empty()));
    Ok(match kind {
        Kind::Text => Cells::Texts(present().collect::<StringArray>()),
        Kind::Boolean => Cells::Booleans(all(trimmed(), boolean)?.into_iter().collect::<BooleanArray>()),
        Kind::Integer => Cells::Integers(all(trimmed(), integer)?.into_iter().collect::<Int64Array>()),
        Kind::Number => {
            let numbers = all(trimmed(), |text| text.parse::<f64>().ok())?;
            Cells::Numbers(numbers.into_iter().map(|n| n.filter(|n| !n.is_nan())).collect::<Float64Array>())
        }
        Kind::Time => {
            let parse = |text: &str| match unit {
                Some(unit) => instant(text.parse().ok()?, unit),
                None => parse_instant(text),
            };
            Cells::Times(all(trimmed(), parse)?.into_iter().collect::<TimestampMillisecondArray>())
        }
    })
}

fn all<'a, T>(
    texts: impl Iterator<Item = Option<&'a str>>,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Vec<Option<T>>, usize> {
    let value = |(at, text): (usize, Option<&str>)| text.map(|text| parse(text).ok_or(at)).transpose();
    texts.enumerate().map(value).collect()
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" => Some(true),
        "0" => Some(false),
        text if text.eq_ignore_ascii_case("true") => Some(true),
        text if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// pandas writes whole numbers as `3.0` once one of them is missing.
fn integer(text: &str) -> Option<i64> {
    let whole = text.split_once('.').filter(|(_, rest)| rest.bytes().all(|digit| digit == b'0'));
    whole.map_or(text, |(whole, _)| whole).parse().ok()
}

/// Milliseconds of a number of units.
#[expect(clippy::cast_possible_truncation, reason = "what lies beyond i64 is no date")]
pub(super) fn instant(number: f64, unit: DateUnit) -> Option<i64> {
    number.is_finite().then(|| (number / unit.per_millisecond()).floor() as i64)
}
