//! Which way a metric is better, by its name.

use crate::score::{Better, METRICS};

/// Words of names of which less is better, besides those of the metrics that this program computes.
const LOWER: &[&str] = &[
    "bias",
    "bce",
    "brier",
    "crossentropy",
    "deviance",
    "drift",
    "ece",
    "err",
    "error",
    "fnr",
    "fpr",
    "hinge",
    "latency",
    "logloss",
    "loss",
    "mape",
    "medae",
    "msle",
    "nll",
    "perplexity",
    "pinball",
    "rmsle",
    "rmspe",
    "smape",
    "wape",
];
/// Words of names of which more is better, likewise.
const HIGHER: &[&str] = &[
    "acc",
    "aucpr",
    "auprc",
    "auroc",
    "gini",
    "hit",
    "iou",
    "jaccard",
    "kappa",
    "ks",
    "lift",
    "map",
    "mcc",
    "mrr",
    "ndcg",
    "prauc",
    "r2score",
    "rocauc",
    "sensitivity",
    "specificity",
    "throughput",
    "tnr",
    "tpr",
    "variance",
];

/// Which way the metric of this name is better; `None` for a name that says nothing, or both.
pub(super) fn of(name: &str) -> Option<Better> {
    let name = name.to_lowercase();
    let words: Vec<&str> =
        name.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    // `val_log_loss` holds `log_loss`; a word alone and two words joined are looked up.
    let joined = words.windows(2).map(|pair| pair.concat());
    let found: Vec<Better> =
        words.iter().map(|word| (*word).to_owned()).chain(joined).filter_map(word).collect();
    let (first, rest) = found.split_first()?;
    rest.iter().all(|other| other == first).then_some(*first)
}

fn word(word: String) -> Option<Better> {
    let computed = METRICS.iter().find(|metric| metric.name.replace('_', "") == word);
    let listed = |list: &[&str]| list.contains(&word.as_str());
    match computed {
        Some(metric) => Some(metric.better),
        None if listed(LOWER) => Some(Better::Lower),
        None if listed(HIGHER) => Some(Better::Higher),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_which_way_is_better() {
        for lower in
            ["rmse", "val_rmse", "log_loss", "test-logloss", "MAE", "latency_p99_us", "p95 latency", "error"]
        {
            assert_eq!(of(lower), Some(Better::Lower), "{lower}");
        }
        for higher in ["auc", "roc_auc", "val_f1_macro", "r2", "Accuracy", "precision@10"] {
            assert_eq!(of(higher), Some(Better::Higher), "{higher}");
        }
        for unknown in ["", "business_value", "n_rows", "accuracy_loss"] {
            assert_eq!(of(unknown), None, "{unknown}");
        }
    }
}
