//! Everything that judges a trained model and shows it: metrics with intervals and by slice, a paired comparison with the
//! champion, the gate, importance, plots, the report and the card.
//!
//! What is computed is in serialisable structs ([`Evaluation`], [`Comparison`], [`Decision`], [`Card`]); nothing here
//! reads or writes files, and what was drawn by chance is the same for a seed.

mod bootstrap;
pub(crate) mod card;
mod evaluation;
mod gate;
mod importance;
mod markup;
mod measure;
mod metric;
mod paired;
pub(crate) mod plot;
mod predictions;
mod random;
pub(crate) mod report;
mod shap;
mod slices;

pub(crate) use bootstrap::Bootstrap;
pub(crate) use card::Card;
pub(crate) use evaluation::{Evaluation, Settings};
pub(crate) use gate::{Champion, Decision, Gate, Rule, short};
pub(crate) use importance::{Sample, chosen, permutation};
pub(crate) use metric::{Metric, metrics, named as named_metric, unknown as unknown_metric};
pub(crate) use paired::Comparison;
pub(crate) use predictions::{Predictions, class_of};
pub(crate) use random::Random;
pub(crate) use shap::{Cover, shap};
pub(crate) use slices::Grouping;

#[cfg(test)]
mod tests;
