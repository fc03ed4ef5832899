//! Every metric of a trained model, one table by task.
//!
//! Names and directions that `score::METRICS` has too are its own, but for `precision`, `recall` and `f1` of two
//! classes: here they are those of the second class, as in scikit-learn, and those of the gateway, means over classes
//! by how often they come, are `precision_weighted` and so on.

use std::collections::BTreeSet;

use sidegate::score::Better::{self, Higher, Lower};
use sidegate::suggest::nearest;

use crate::table::Task;

/// A metric's name and which way it is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Metric {
    /// Its name in thresholds, reports and cards.
    pub name: &'static str,
    /// Which way it is better.
    pub better: Better,
    /// How two models are compared by it.
    pub test: Test,
}

/// What tells a difference of two models from chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Test {
    /// Student's t of the difference of losses row by row (Diebold and Mariano 1995, one step ahead).
    Loss(Loss),
    /// McNemar's exact test of the rows that only one of the two got right.
    Right,
    /// The share of resamples on either side of no difference.
    Resamples,
}

/// What a row costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// The squared error.
    Squared,
    /// The absolute error.
    Absolute,
    /// The absolute error by the absolute truth; none, which is NaN, where the truth is 0.
    Relative,
    /// The absolute error by the mean of the absolute truth and prediction.
    Symmetric,
    /// The pinball loss at the quantile that is asked for.
    Pinball,
    /// The negative logarithm of the probability of what came.
    Log,
    /// The squared distance of the probability from what came.
    Brier,
}

const fn metric(name: &'static str, better: Better, test: Test) -> Metric {
    Metric { name, better, test }
}

/// Of numbers.
pub(super) const REGRESSION: [Metric; 9] = [
    metric("rmse", Lower, Test::Loss(Loss::Squared)),
    metric("mae", Lower, Test::Loss(Loss::Absolute)),
    metric("mse", Lower, Test::Loss(Loss::Squared)),
    metric("r2", Higher, Test::Resamples),
    metric("mape", Lower, Test::Loss(Loss::Relative)),
    metric("smape", Lower, Test::Loss(Loss::Symmetric)),
    metric("median_ae", Lower, Test::Resamples),
    metric("explained_variance", Higher, Test::Resamples),
    metric("pinball_loss", Lower, Test::Loss(Loss::Pinball)),
];

/// Of two classes.
pub(super) const BINARY: [Metric; 14] = [
    metric("accuracy", Higher, Test::Right),
    metric("balanced_accuracy", Higher, Test::Resamples),
    metric("precision", Higher, Test::Resamples),
    metric("recall", Higher, Test::Resamples),
    metric("f1", Higher, Test::Resamples),
    metric("precision_weighted", Higher, Test::Resamples),
    metric("recall_weighted", Higher, Test::Resamples),
    metric("f1_weighted", Higher, Test::Resamples),
    metric("matthews", Higher, Test::Resamples),
    metric("auc", Higher, Test::Resamples),
    metric("average_precision", Higher, Test::Resamples),
    metric("log_loss", Lower, Test::Loss(Loss::Log)),
    metric("brier", Lower, Test::Loss(Loss::Brier)),
    metric("ece", Lower, Test::Resamples),
];

/// Of more classes.
pub(super) const MULTICLASS: [Metric; 11] = [
    metric("accuracy", Higher, Test::Right),
    metric("balanced_accuracy", Higher, Test::Resamples),
    metric("precision_macro", Higher, Test::Resamples),
    metric("recall_macro", Higher, Test::Resamples),
    metric("f1_macro", Higher, Test::Resamples),
    metric("precision_weighted", Higher, Test::Resamples),
    metric("recall_weighted", Higher, Test::Resamples),
    metric("f1_weighted", Higher, Test::Resamples),
    metric("matthews", Higher, Test::Resamples),
    metric("auc_ovr", Higher, Test::Resamples),
    metric("log_loss", Lower, Test::Loss(Loss::Log)),
];

/// The metrics of a task, in the order of reports.
pub(crate) const fn metrics(task: Task) -> &'static [Metric] {
    match task {
        Task::Regression => &REGRESSION,
        Task::Binary => &BINARY,
        Task::Multiclass { .. } => &MULTICLASS,
    }
}

/// The metric of this name, whatever its task; `test_rmse` is `rmse`, and `mcc` another name of `matthews`.
pub(crate) fn named(name: &str) -> Option<&'static Metric> {
    let name = match name.strip_prefix("test_").unwrap_or(name) {
        "mcc" => "matthews",
        name => name,
    };
    REGRESSION.iter().chain(&BINARY).chain(&MULTICLASS).find(|metric| metric.name == name)
}

/// That there is no such metric, and which may have been meant: one of these, or of the others that are possible there.
pub(crate) fn unknown(name: &str, others: impl Iterator<Item = &'static str>) -> String {
    let all = REGRESSION.iter().chain(&BINARY).chain(&MULTICLASS).map(|metric| metric.name);
    let names: BTreeSet<&str> = all.chain(others).collect();
    let hint = nearest(name, names.iter().copied()).map_or_else(
        || format!("known are {}", names.iter().copied().collect::<Vec<_>>().join(", ")),
        |near| format!("did you mean `{near}`?"),
    );
    format!("there is no metric `{name}`; {hint}")
}

/// The loss by which slices are judged and importance is told.
pub(super) const fn natural_loss(task: Task) -> Loss {
    match task {
        Task::Regression => Loss::Squared,
        Task::Binary | Task::Multiclass { .. } => Loss::Log,
    }
}
