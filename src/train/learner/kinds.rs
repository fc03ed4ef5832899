//! Kinds of models under their names in configurations, and what trains each.

use std::path::PathBuf;

use sidegate::suggest::meant;

use super::library::{self, Library};
use super::rehearsal::Rehearsal;
use super::{FitError, Fitted, builtin, lightgbm, xgboost};
use crate::table::{Round, Rows, Task};

/// What is trained, by whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Boosted trees of our own.
    Builtin,
    /// XGBoost itself.
    Xgboost,
    /// LightGBM itself.
    Lightgbm,
    /// Averaged trees.
    RandomForest,
    /// Least squares with an L2 penalty.
    Linear,
    /// Logistic regression with an L2 penalty.
    Logistic,
}

/// Names of kinds; `sklearn` is the founding name of a random forest.
const KINDS: &[(&str, Kind)] = &[
    ("builtin", Kind::Builtin),
    ("xgboost", Kind::Xgboost),
    ("lightgbm", Kind::Lightgbm),
    ("random_forest", Kind::RandomForest),
    ("sklearn", Kind::RandomForest),
    ("linear", Kind::Linear),
    ("logistic", Kind::Logistic),
];

/// A learner with everything that decides what it learns, but for the rows.
#[derive(Clone, Debug)]
pub(crate) struct Learner {
    /// What is trained.
    pub(crate) kind: Kind,
    /// Its parameters, by its library's names.
    pub(crate) params: toml::Table,
    /// Where its library is, if it was told.
    pub(crate) library: Option<PathBuf>,
    /// Another one is another model.
    pub(crate) seed: u64,
    /// How many threads work on it.
    pub(crate) threads: usize,
}

// === impl Kind ===

impl Kind {
    /// The kind of that name.
    ///
    /// # Errors
    /// With the names that there are.
    pub(crate) fn named(name: &str) -> Result<Self, String> {
        let found = KINDS.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind);
        found.ok_or_else(|| {
            let names: Vec<&str> = KINDS.iter().map(|(name, _)| *name).collect();
            let hint = meant(name, names.iter().copied());
            format!("model.type `{name}` is unknown{hint} (known: {})", names.join(", "))
        })
    }

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        KINDS.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }

    /// Whether it is for classes, or for numbers, alone; none: for both.
    pub(crate) const fn only_classes(self) -> Option<bool> {
        match self {
            Self::Linear => Some(false),
            Self::Logistic => Some(true),
            _ => None,
        }
    }
}

// === impl Learner ===

impl Learner {
    /// Learns from rows; `progress` hears of every round.
    ///
    /// # Errors
    /// See [`FitError`].
    pub(crate) fn fit(
        &self,
        rows: &dyn Rows,
        task: Task,
        progress: &mut dyn FnMut(&Round),
    ) -> Result<Fitted, FitError> {
        let Self { params, seed, threads, .. } = self;
        let (seed, threads) = (*seed, *threads);
        match self.kind {
            Kind::Builtin => builtin::gbdt(rows, task, params, seed, threads, progress),
            Kind::RandomForest => builtin::random_forest(rows, task, params, seed, threads, progress),
            Kind::Linear => builtin::linear(rows, task, params, seed, threads, progress),
            Kind::Logistic => builtin::logistic(rows, task, params, seed, threads, progress),
            Kind::Xgboost => {
                let library = sidegate::native::xgboost::Library::open(&self.find(Library::Xgboost)?)
                    .map_err(FitError::Library)?;
                xgboost::fit(library, rows, task, params, seed, threads, progress)
            }
            Kind::Lightgbm => {
                let library = sidegate::native::lightgbm::Library::open(&self.find(Library::Lightgbm)?)
                    .map_err(FitError::Library)?;
                lightgbm::fit(library, rows, task, params, seed, threads, progress)
            }
        }
    }

    /// Whether the learner takes these columns and parameters, as far as it can tell without learning.
    ///
    /// # Errors
    /// [`FitError::Parameters`], naming the parameter or the column.
    pub(crate) fn check(&self, rows: &dyn Rows, task: Task) -> Result<(), FitError> {
        let Self { params, .. } = self;
        match self.kind {
            Kind::Builtin => builtin::check_gbdt(rows, task, params),
            Kind::RandomForest => builtin::check_random_forest(rows, task, params),
            Kind::Linear => builtin::check_linear(rows, task, params),
            Kind::Logistic => builtin::check_logistic(rows, task, params),
            Kind::Xgboost => xgboost::check(rows, task, params),
            Kind::Lightgbm => lightgbm::check(rows, task, params),
        }
    }

    /// Whether the library takes the values of these parameters too, where one trains: it learns a round of rows that are made
    /// up, of columns like these.
    ///
    /// # Errors
    /// [`FitError::Parameters`], with what the library says; [`FitError::Library`] where it cannot be loaded.
    pub(crate) fn rehearse(&self, rows: &dyn Rows, task: Task) -> Result<(), FitError> {
        let params = match self.kind {
            Kind::Xgboost => xgboost::NAMES.with(&self.params, "n_estimators", 1),
            Kind::Lightgbm => lightgbm::NAMES.with(&self.params, "num_iterations", 1),
            Kind::Builtin | Kind::RandomForest | Kind::Linear | Kind::Logistic => return Ok(()),
        };
        let rehearsal = Rehearsal::of(rows, task);
        Self { params, ..self.clone() }.fit(&rehearsal, task, &mut |_| ()).map(drop).map_err(|error| {
            match error {
                // Nothing is wrong with the rows.
                FitError::Data(text) | FitError::Values(text) => FitError::Parameters(text),
                other => other,
            }
        })
    }

    /// Whether the library is there, where one trains.
    ///
    /// # Errors
    /// [`FitError::Library`], with the ways out.
    pub(crate) fn is_at_hand(&self) -> Result<(), FitError> {
        match self.kind {
            Kind::Xgboost => self.find(Library::Xgboost).map(drop),
            Kind::Lightgbm => self.find(Library::Lightgbm).map(drop),
            Kind::Builtin | Kind::RandomForest | Kind::Linear | Kind::Logistic => Ok(()),
        }
    }

    fn find(&self, library: Library) -> Result<PathBuf, FitError> {
        let variable = |name: &str| crate::environment::variable_os(name);
        library::find(library, self.library.as_deref(), variable).map_err(FitError::Library)
    }
}
