//! The parameters of XGBoost: its documentation's page "XGBoost Parameters" for 3.2, with the names of its
//! scikit-learn interface beside them.

use crate::learner::parameters::Names;

/// What may be set.
pub(in crate::learner) const NAMES: Names = Names { learner: "XGBoost", known: KNOWN, refused: REFUSED };

#[rustfmt::skip]
const KNOWN: &[(&str, &[&str])] = &[
    ("aft_loss_distribution", &[]),
    ("aft_loss_distribution_scale", &[]),
    ("alpha", &["reg_alpha"]),
    ("base_score", &[]),
    ("booster", &[]),
    ("colsample_bylevel", &[]),
    ("colsample_bynode", &[]),
    ("colsample_bytree", &[]),
    ("disable_default_eval_metric", &[]),
    ("early_stopping_rounds", &["early_stopping_round"]),
    ("eta", &["learning_rate"]),
    ("eval_metric", &[]),
    ("expectile_alpha", &[]),
    ("gamma", &["min_split_loss"]),
    ("grow_policy", &[]),
    ("huber_slope", &[]),
    ("interaction_constraints", &[]),
    ("lambda", &["reg_lambda"]),
    ("max_bin", &[]),
    ("max_cached_hist_node", &[]),
    ("max_cat_threshold", &[]),
    ("max_cat_to_onehot", &[]),
    ("max_delta_step", &[]),
    ("max_depth", &[]),
    ("max_leaves", &[]),
    ("min_child_weight", &[]),
    ("monotone_constraints", &[]),
    ("n_estimators", &["num_boost_round", "num_round", "num_rounds", "nrounds"]),
    ("normalize_type", &[]),
    ("nthread", &["n_jobs"]),
    ("num_parallel_tree", &[]),
    ("objective", &[]),
    ("one_drop", &[]),
    ("quantile_alpha", &[]),
    ("rate_drop", &[]),
    ("sample_type", &[]),
    ("sampling_method", &[]),
    ("scale_pos_weight", &[]),
    ("seed", &["random_state"]),
    ("seed_per_iteration", &[]),
    ("skip_drop", &[]),
    ("subsample", &[]),
    ("tree_method", &[]),
    ("tweedie_variance_power", &[]),
    ("validate_parameters", &[]),
    ("verbosity", &[]),
];

const COLUMNS: &str = "which columns hold categories, and what is missing, is known from the data";
const DEVICE: &str = "training is on the processor alone";
const LINEAR: &str = "it is of linear models; those are trained with kind = \"linear\" or \"logistic\"";
const RANKS: &str = "it is of ranking, which is no task here";
const TREES: &str = "trees are grown by the histogram method alone, with one score per leaf";

#[rustfmt::skip]
const REFUSED: &[(&str, &[&str], &str)] = &[
    ("device", &["gpu_id"], DEVICE),
    ("enable_categorical", &["feature_types"], COLUMNS),
    ("feature_selector", &["top_k"], LINEAR),
    ("lambdarank_pair_method", &["lambdarank_num_pair_per_sample", "lambdarank_normalization", "lambdarank_score_normalization", "lambdarank_unbiased", "lambdarank_bias_norm", "ndcg_exp_gain"], RANKS),
    ("missing", &[], COLUMNS),
    ("multi_strategy", &["predictor"], TREES),
    ("num_class", &[], "the task says it"),
    ("process_type", &["refresh_leaf", "updater"], TREES),
    ("use_rmm", &["use_cuda_async_pool"], DEVICE),
];
