//! scikit-learn's parameters, with its defaults.

use toml::Value;

use crate::learner::builtin::FitError;
use crate::learner::builtin::params::{Known, Params};
use crate::table::{Part, Rows, Task};

#[rustfmt::skip]
const KNOWN: &[Known] = &[
    ("n_estimators", &[]),
    ("criterion", &[]),
    ("max_depth", &[]),
    ("min_samples_split", &[]),
    ("min_samples_leaf", &[]),
    ("max_features", &[]),
    ("max_samples", &[]),
    ("min_impurity_decrease", &[]),
    ("bootstrap", &[]),
];

/// Checked parameters.
pub(super) struct Settings {
    pub(super) trees: u32,
    pub(super) depth: u32,
    pub(super) least_to_split: u64,
    pub(super) least_in_leaf: u64,
    /// Features that each split looks at.
    pub(super) features: usize,
    /// Rows that are drawn for each tree; none: all are taken, once.
    pub(super) drawn: Option<usize>,
    pub(super) least_decrease: f64,
}

impl Settings {
    pub(super) fn read(table: &toml::Table, task: Task, rows: &dyn Rows) -> Result<Self, FitError> {
        let params = Params::new("random_forest", table, KNOWN)?;
        let (width, count) = (rows.columns().len(), rows.count(Part::Train));
        let regression = task == Task::Regression;
        if let Some(column) = rows.columns().iter().find(|column| column.monotone != 0) {
            let what = format!(
                "`random_forest` cannot keep `{}` monotone; drop the constraint or take `builtin`",
                column.name
            );
            return Err(FitError::Parameters(what));
        }
        let criterion = if regression { "squared_error" } else { "gini" };
        if let Some(other) = params.word("criterion")?.filter(|given| *given != criterion) {
            return Err(
                params.wrong("criterion", format!("is `{other}`; for this task there is `{criterion}`"))
            );
        }
        let bootstrap = params.truth("bootstrap", true)?;
        if !bootstrap && params.value("max_samples").is_some() {
            return Err(params.wrong("max_samples", "needs `bootstrap = true`"));
        }
        let drawn = share(&params, "max_samples", count, 1)?.unwrap_or(count as u64);
        Ok(Self {
            trees: params.count("n_estimators", 100, (1, 100_000))?,
            // Serving bounds the height of trees.
            depth: params.count("max_depth", 4000, (1, 4000))?,
            least_to_split: share(&params, "min_samples_split", count, 2)?.unwrap_or(2),
            least_in_leaf: share(&params, "min_samples_leaf", count, 1)?.unwrap_or(1),
            features: features(&params, width, regression)?,
            drawn: bootstrap.then_some(drawn as usize),
            least_decrease: params.number("min_impurity_decrease", 0.0, (0.0, f64::INFINITY))?,
        })
    }
}

/// A number of rows, or a share of all, rounded up as there.
fn share(params: &Params<'_>, name: &str, all: usize, least: u32) -> Result<Option<u64>, FitError> {
    Ok(match params.value(name) {
        None => None,
        Some(Value::Integer(_)) => Some(params.count(name, least, (least, u32::MAX))?.into()),
        Some(_) => {
            let share = params.number(name, 1.0, (f64::MIN_POSITIVE, 1.0))?;
            Some(((share * all as f64).ceil() as u64).max(least.into()))
        }
    })
}

/// Features per split: a number, a share, `sqrt` or `log2`.
fn features(params: &Params<'_>, width: usize, regression: bool) -> Result<usize, FitError> {
    let root = (width as f64).sqrt();
    let features = match params.value("max_features") {
        None if regression => width as f64,
        None => root,
        Some(Value::String(word)) if word == "sqrt" => root,
        Some(Value::String(word)) if word == "log2" => (width as f64).log2(),
        Some(Value::Integer(_)) => params.count("max_features", 1, (1, width.max(1) as u32))?.into(),
        Some(Value::Float(_)) => params.number("max_features", 1.0, (f64::MIN_POSITIVE, 1.0))? * width as f64,
        Some(_) => {
            return Err(params.wrong("max_features", "may be a number, a share, \"sqrt\" or \"log2\""));
        }
    };
    Ok((features as usize).max(1))
}
