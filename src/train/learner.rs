//! Learners: XGBoost and LightGBM themselves over their C APIs, and those of our own that need no library.

mod agreement;
pub(crate) mod builtin;
mod kinds;
pub(crate) mod library;
mod lightgbm;
mod parameters;
mod rehearsal;
mod rows;
mod stopping;
mod xgboost;

#[cfg(test)]
mod tests;

use sidegate::booster::{self, Booster, Source};

use crate::table::{Column, Part, Rows};

pub(crate) use kinds::{Kind, Learner};

/// Rounds when a configuration does not say.
const ROUNDS: u32 = 100;

/// What a learner learned.
#[derive(Clone, Debug)]
pub(crate) struct Fitted {
    /// The model.
    pub(crate) model: Model,
    /// How much each feature matters to the model itself; none where the learner does not say.
    pub(crate) importance: Vec<Importance>,
    /// Rounds that the model has; fewer than asked for where it stopped early.
    pub(crate) rounds: u32,
    /// The file as the library saves it, where one trained.
    pub(crate) file: Option<(Source, Vec<u8>)>,
}

/// The two forms of models.
#[derive(Clone, Debug)]
pub(crate) enum Model {
    /// Trees.
    Booster(Booster),
    /// Weighted sums.
    Linear(Linear),
}

/// A score per class, or one: the weighted sum of the features. Two classes have one score, of the second.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Linear {
    /// By score, then by feature.
    pub(crate) weights: Vec<Vec<f64>>,
    /// By score.
    pub(crate) intercepts: Vec<f64>,
}

/// How much a feature matters to a model.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Importance {
    /// By how much its splits reduced the loss; of linear models the weight per standard deviation.
    pub(crate) gain: f64,
    /// How often it is asked.
    pub(crate) splits: u64,
}

/// Why nothing was trained.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FitError {
    /// A mistake in the configuration.
    #[error("{0}")]
    Parameters(String),
    /// The rows cannot be trained on, or did not come.
    #[error("{0}")]
    Data(String),
    /// The rows came, and this learner makes nothing of a value in them.
    #[error("{0}")]
    Values(String),
    /// What the library says, or that it is not there.
    #[error("{0}")]
    Library(String),
}

/// Rows to train on and to stop by, counted.
struct Counts {
    train: usize,
    validation: usize,
}

impl Counts {
    fn of(rows: &dyn Rows, patience: Option<u32>) -> Result<Self, FitError> {
        let (train, validation) = (rows.count(Part::Train), rows.count(Part::Validation));
        if train == 0 || rows.columns().is_empty() {
            return Err(FitError::Data("there are no rows to train on, or no columns".to_owned()));
        }
        if patience.is_some() && validation == 0 {
            let detail =
                "early stopping needs validation rows; give it a part of them, or no `early_stopping_rounds`";
            return Err(FitError::Parameters(detail.to_owned()));
        }
        Ok(Self { train, validation })
    }
}

/// The numbers of monotone columns, if there are any.
fn monotone(columns: &[Column]) -> Option<String> {
    let any = columns.iter().any(|column| column.monotone != 0);
    let numbers: Vec<String> = columns.iter().map(|column| column.monotone.signum().to_string()).collect();
    any.then(|| numbers.join(","))
}

/// Reads what a library saved. The columns keep the names that they have here: libraries change them.
fn parse(source: Source, bytes: &[u8], columns: &[Column]) -> Result<Booster, FitError> {
    let mut booster = booster::parse(source, bytes)
        .map_err(|error| FitError::Parameters(format!("such a model cannot be served: {}", error.detail)))?;
    booster.columns = columns.iter().map(|column| column.name.clone()).collect();
    Ok(booster)
}
