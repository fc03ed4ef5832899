//! Ranges of dates and the instants they are made of.

use datafusion::arrow::array::timezone::Tz;
use datafusion::arrow::compute::kernels::cast_utils::string_to_datetime;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::data::error::DataError;

/// What the numbers of a date column count, from 1970 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) enum DateUnit {
    /// Seconds.
    #[serde(rename = "s")]
    Seconds,
    /// Milliseconds.
    #[serde(rename = "ms")]
    Milliseconds,
    /// Microseconds.
    #[serde(rename = "us")]
    Microseconds,
}

impl DateUnit {
    pub(crate) fn per_millisecond(self) -> f64 {
        match self {
            Self::Seconds => 0.001,
            Self::Milliseconds => 1.0,
            Self::Microseconds => 1000.0,
        }
    }
}

/// From an instant to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DateRange {
    /// The first instant that is in: `2024-01-01` (midnight, UTC) or `2024-01-01T06:30:00+02:00`.
    pub start: Option<String>,
    /// The first instant that is not.
    pub end: Option<String>,
}

/// A range in milliseconds from 1970 on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Instants {
    pub(crate) start: Option<i64>,
    pub(crate) end: Option<i64>,
}

impl Instants {
    /// Whether an instant is in it.
    pub(crate) fn has(&self, at: i64) -> bool {
        self.start.is_none_or(|start| at >= start) && self.end.is_none_or(|end| at < end)
    }
}

impl DateRange {
    pub(crate) fn instants(&self) -> Result<Instants, DataError> {
        let parse = |key: &str, text: &Option<String>| match text {
            None => Ok(None),
            Some(text) => parse_instant(text).map(Some).ok_or_else(|| {
                DataError::Config(format!("data.date_range.{key}: `{text}` is no date such as 2024-01-31"))
            }),
        };
        let instants = Instants { start: parse("start", &self.start)?, end: parse("end", &self.end)? };
        match instants {
            Instants { start: Some(start), end: Some(end) } if start >= end => {
                Err(DataError::Config(format!(
                    "data.date_range is empty: `start` ({}) is included, `end` ({}) is not",
                    format_instant(start),
                    format_instant(end)
                )))
            }
            instants => Ok(instants),
        }
    }
}

/// Milliseconds of a text; without a zone it is UTC.
pub(crate) fn parse_instant(text: &str) -> Option<i64> {
    let zone: Tz = "+00:00".parse().ok()?;
    Some(string_to_datetime(&zone, text).ok()?.timestamp_millis())
}

/// As RFC 3339, in UTC.
pub(crate) fn format_instant(milliseconds: i64) -> String {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(milliseconds) * 1_000_000)
        .ok()
        .and_then(|instant| instant.format(&Rfc3339).ok())
        .unwrap_or_else(|| format!("{milliseconds} ms"))
}
