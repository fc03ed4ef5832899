//! LightGBM's parameters, with its defaults.

use super::loss::Loss;
use crate::learner::builtin::FitError;
use crate::learner::builtin::bins::MAX_BINS;
use crate::learner::builtin::matrix::Binning;
use crate::learner::builtin::params::{Known, Params};
use crate::table::{Part, Rows, Task};

#[rustfmt::skip]
const KNOWN: &[Known] = &[
    ("num_iterations", &["n_estimators", "num_boost_round", "num_rounds", "num_trees"]),
    ("learning_rate", &["eta", "shrinkage_rate"]),
    ("num_leaves", &["max_leaves"]),
    ("max_depth", &[]),
    ("min_data_in_leaf", &["min_child_samples"]),
    ("min_sum_hessian_in_leaf", &["min_child_weight"]),
    ("lambda_l1", &["reg_alpha"]),
    ("lambda_l2", &["reg_lambda", "lambda"]),
    ("min_gain_to_split", &["min_split_gain"]),
    ("feature_fraction", &["colsample_bytree"]),
    ("bagging_fraction", &["subsample"]),
    ("bagging_freq", &["subsample_freq"]),
    ("max_bin", &[]),
    ("min_data_in_bin", &[]),
    ("early_stopping_round", &["early_stopping_rounds", "n_iter_no_change"]),
    ("objective", &[]),
    ("alpha", &[]),
    ("scale_pos_weight", &[]),
    ("cat_smooth", &[]),
    ("cat_l2", &[]),
    ("max_cat_threshold", &[]),
    ("max_cat_to_onehot", &[]),
    ("min_data_per_group", &[]),
];

/// Checked parameters.
pub(super) struct Settings {
    pub(super) loss: Loss,
    pub(super) rounds: u32,
    pub(super) learning_rate: f64,
    pub(super) bagging_fraction: f64,
    pub(super) bagging_freq: u32,
    pub(super) feature_fraction: f64,
    /// 0: never.
    pub(super) patience: u32,
    pub(super) binning: Binning,
    pub(super) tree: TreeSettings,
}

/// What a single tree is bound by.
pub(super) struct TreeSettings {
    pub(super) leaves: u32,
    pub(super) depth: u32,
    pub(super) least_count: u64,
    pub(super) least_hessian: f64,
    pub(super) l1: f64,
    pub(super) l2: f64,
    pub(super) least_gain: f64,
    pub(super) category: CategorySettings,
}

/// How categories are split.
pub(super) struct CategorySettings {
    pub(super) smooth: f64,
    pub(super) l2: f64,
    pub(super) most: u32,
    pub(super) one_by_one: u32,
    pub(super) least_group: u64,
}

impl Settings {
    pub(super) fn read(table: &toml::Table, task: Task, rows: &dyn Rows) -> Result<Self, FitError> {
        const ANY: (f64, f64) = (0.0, f64::INFINITY);
        const SHARE: (f64, f64) = (f64::MIN_POSITIVE, 1.0);
        const MANY: (u32, u32) = (0, 1 << 30);
        let params = Params::new("builtin", table, KNOWN)?;
        let (loss, columns) = (loss(&params, task)?, rows.columns());
        let patience = params.count("early_stopping_round", 0, MANY)?;
        if patience > 0 && rows.count(Part::Validation) == 0 {
            let what = "needs validation rows; give the split a share for them (split.validation)";
            return Err(params.wrong("early_stopping_round", what));
        }
        if loss.quantile().is_some()
            && let Some(column) = columns.iter().find(|column| column.monotone != 0)
        {
            let what = format!(
                "cannot keep `{}` monotone: leaves are medians or quantiles; drop the constraint",
                column.name
            );
            return Err(params.wrong("objective", what));
        }
        if let Some(column) =
            columns.iter().find(|column| column.monotone != 0 && column.categories.is_some())
        {
            return Err(FitError::Parameters(format!(
                "`{}` is a category and cannot be monotone",
                column.name
            )));
        }
        let depth = match params.value("max_depth") {
            Some(toml::Value::Integer(..=0)) => u32::MAX,
            _ => params.count("max_depth", u32::MAX, (1, u32::MAX))?,
        };
        Ok(Self {
            rounds: params.count("num_iterations", 100, (1, 1_000_000))?,
            learning_rate: params.number("learning_rate", 0.1, (f64::MIN_POSITIVE, f64::INFINITY))?,
            bagging_fraction: params.number("bagging_fraction", 1.0, SHARE)?,
            bagging_freq: params.count("bagging_freq", 0, MANY)?,
            feature_fraction: params.number("feature_fraction", 1.0, SHARE)?,
            patience,
            binning: Binning {
                most: params.count("max_bin", MAX_BINS, (2, MAX_BINS))?,
                least_count: params.count("min_data_in_bin", 3, (1, 1 << 30))?,
            },
            tree: TreeSettings {
                leaves: params.count("num_leaves", 31, (2, 131_072))?,
                // Serving bounds the height of trees.
                depth: depth.min(4000),
                least_count: params.count("min_data_in_leaf", 20, MANY)?.max(1).into(),
                least_hessian: params.number("min_sum_hessian_in_leaf", 1e-3, ANY)?,
                l1: params.number("lambda_l1", 0.0, ANY)?,
                l2: params.number("lambda_l2", 0.0, ANY)?,
                least_gain: params.number("min_gain_to_split", 0.0, ANY)?,
                category: CategorySettings {
                    smooth: params.number("cat_smooth", 10.0, ANY)?,
                    l2: params.number("cat_l2", 10.0, ANY)?,
                    most: params.count("max_cat_threshold", 32, (1, 1 << 30))?,
                    one_by_one: params.count("max_cat_to_onehot", 4, (1, 1 << 30))?,
                    least_group: params.count("min_data_per_group", 100, (1, 1 << 30))?.into(),
                },
            },
            loss,
        })
    }
}

/// The loss of the objective, which must suit the task.
fn loss(params: &Params<'_>, task: Task) -> Result<Loss, FitError> {
    let positive = params.number("scale_pos_weight", 1.0, (f64::MIN_POSITIVE, f64::INFINITY))?;
    let alpha = params.number("alpha", 0.9, (f64::MIN_POSITIVE, 1.0 - f64::EPSILON))?;
    let suits = match (task, params.word("objective")?) {
        (Task::Regression, None | Some("regression" | "regression_l2" | "l2" | "mse" | "rmse")) => {
            Some(Loss::Squares)
        }
        (Task::Regression, Some("regression_l1" | "l1" | "mae")) => Some(Loss::Absolute),
        (Task::Regression, Some("quantile")) => Some(Loss::Quantile(alpha)),
        (Task::Binary, None | Some("binary")) => Some(Loss::Logistic { positive }),
        (Task::Multiclass { classes }, None | Some("multiclass" | "softmax")) => {
            Some(Loss::Softmax { classes: classes as usize })
        }
        _ => None,
    };
    let loss = suits.ok_or_else(|| {
        let fit = match task {
            Task::Regression => "`regression`, `l1` or `quantile`",
            Task::Binary => "`binary`",
            Task::Multiclass { .. } => "`multiclass`",
        };
        params.wrong("objective", format!("does not suit the task, which takes {fit}"))
    })?;
    if params.value("scale_pos_weight").is_some() && !matches!(loss, Loss::Logistic { .. }) {
        return Err(params.wrong("scale_pos_weight", "is for two classes only; give rows weights instead"));
    }
    if params.value("alpha").is_some() && !matches!(loss, Loss::Quantile(_)) {
        return Err(params.wrong("alpha", "is for the objective `quantile` only"));
    }
    Ok(loss)
}
