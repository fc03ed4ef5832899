//! Loading and validation of data: DataFusion reads, one row is never held longer than its batch.
//!
//! [`Data::open`] brings rows within reach, [`Data::validate`] passes over them once and says what they are and what is
//! wrong with them, [`Data::scan`] hands them out as often as asked, in the same order each time.

mod cells;
pub(crate) mod config;
mod digest;
pub(crate) mod error;
pub(crate) mod kind;
mod plan;
pub(crate) mod range;
pub(crate) mod rows;
pub(crate) mod schema;
mod source;
pub(crate) mod split;

pub(crate) mod validate;

#[cfg(test)]
mod tests;

pub(crate) use error::DataError;
pub(crate) use plan::Field as Column;
pub(crate) use rows::{Data, Scanned};
pub(crate) use source::prediction_log::KEY as LOG_KEY;
pub(crate) use source::{Access, Wanted};
