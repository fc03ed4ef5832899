//! Features that live in the model's own graph, and the writer of that model.
//!
//! [`Spec`] is what is configured, [`Fitter`] learns from the rows of training what it needs to know, [`Recipe`] is what
//! came of it (it can be stored), [`Features`] makes the matrix that learners see, [`export()`] writes the served model.

mod error;
pub(crate) mod export;
pub(crate) mod fit;
mod graph;
mod matrix;
pub(crate) mod raw;
pub(crate) mod recipe;
#[cfg(test)]
mod sample;
pub(crate) mod spec;

pub(crate) use error::Error;
pub(crate) use export::{Answer, Classes, ExportConfig, export};
pub(crate) use fit::Fitter;
pub(crate) use matrix::Features;
pub(crate) use raw::{Field, Kind, RawBatch, RawColumn};
pub(crate) use recipe::Recipe;
pub(crate) use spec::Spec;
