//! Boosted trees as XGBoost and LightGBM save them, brought to one form.
//!
//! [`parse`] never panics and never allocates by a claimed size. What it returns is sound: children and features are
//! there, every node has one parent. Trees hold all that the libraries do to a row: weights of dart and the
//! starting score are part of the leaves, in float32 and in the order in which XGBoost itself adds them.

mod json;
mod lightgbm;
mod objective;
mod trees;
mod ubj;
mod xgboost;

#[cfg(test)]
mod tests;

pub use objective::Transform;
pub use trees::{Node, Test, Tree, Trees};

use crate::model::{LoadError, Reason, Signature, TensorSpec};
use crate::tensor::Datatype;

/// The only input.
const INPUT: &str = "input";
/// The only output, as MLServer's runtimes for both libraries call it.
const OUTPUT: &str = "predict";
/// More features than any request brings; bounds what is made up for a warm-up.
const MAX_FEATURES: usize = 1 << 20;
/// More classes or targets than any model has; bounds the scores of a row.
const MAX_TARGETS: usize = 1 << 16;

/// A file that holds boosted trees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// XGBoost's `save_model("….ubj")`.
    XgboostUbj,
    /// XGBoost's `save_model("….json")`.
    XgboostJson,
    /// LightGBM's `save_model("….txt")`.
    LightgbmText,
}

/// A model of boosted trees that passed the checks of [`parse`].
#[derive(Clone, Debug)]
pub struct Booster {
    /// One matrix in, one list or matrix out.
    pub signature: Signature,
    /// The features' names; empty when the file has none of its own.
    pub columns: Vec<String>,
    /// The trees.
    pub forest: Forest,
    /// Scores per row before [`Booster::transform`].
    pub targets: usize,
    /// Averages: the sum of the trees is divided by this.
    pub divisor: Option<u32>,
    /// From scores to what is answered.
    pub transform: Transform,
}

/// The trees, in the numbers that the library compares and adds in.
#[derive(Clone, Debug)]
pub enum Forest {
    /// XGBoost's.
    Single(Trees<f32>),
    /// LightGBM's.
    Double(Trees<f64>),
}

/// Reads and checks a file of boosted trees.
///
/// # Errors
/// `parse` for what is not such a file or contradicts itself, naming the tree and node; `unsupported` for what is
/// no tree (gblinear, linear trees), trees with several values per leaf and objectives that are not known;
/// `too_large` beyond a cap.
pub fn parse(source: Source, bytes: &[u8]) -> Result<Booster, LoadError> {
    match source {
        Source::XgboostUbj => xgboost::read(&mut ubj::Reader::new(bytes)),
        Source::XgboostJson => xgboost::read(&mut json::Reader::new(bytes)),
        Source::LightgbmText => lightgbm::read(bytes),
    }
}

impl Booster {
    /// Of trees whose splits ask `features` features.
    ///
    /// # Errors
    /// `too_large` for more features than are served, or none.
    pub fn new(
        forest: Forest,
        features: usize,
        columns: Vec<String>,
        targets: usize,
        divisor: Option<u32>,
        transform: Transform,
    ) -> Result<Self, LoadError> {
        if !(1..=MAX_FEATURES).contains(&features) {
            return Err(too_large(&format!("{features} features; 1 to {MAX_FEATURES} are served")));
        }
        let datatype = match forest {
            Forest::Single(_) => Datatype::Fp32,
            Forest::Double(_) => Datatype::Fp64,
        };
        let spec = |name: &str, shape| TensorSpec { name: name.into(), datatype, shape, labels: None };
        let answers = transform.outputs(targets);
        let output = if answers == 1 { vec![-1] } else { vec![-1, answers as i64] };
        let signature = Signature {
            inputs: vec![spec(INPUT, vec![-1, features as i64])],
            outputs: vec![spec(OUTPUT, output)],
        };
        Ok(Self { signature, columns, forest, targets, divisor, transform })
    }
}

/// Before anything is made for each of them.
fn check_targets(targets: usize) -> Result<(), LoadError> {
    if (1..=MAX_TARGETS).contains(&targets) {
        return Ok(());
    }
    Err(too_large(&format!("{targets} outputs per row; 1 to {MAX_TARGETS} are served")))
}

fn broken(detail: impl Into<String>) -> LoadError {
    LoadError::new(Reason::Parse, detail)
}

fn unsupported(detail: impl Into<String>) -> LoadError {
    LoadError::new(Reason::Unsupported, detail)
}

fn too_large(detail: &str) -> LoadError {
    LoadError::new(Reason::TooLarge, detail)
}

/// Puts the place in front of what is wrong there.
fn at(place: impl std::fmt::Display, error: LoadError) -> LoadError {
    LoadError::new(error.code, format!("{place}: {}", error.detail))
}
