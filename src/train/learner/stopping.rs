//! When more rounds do no good any more.

/// Every metric of both libraries whose larger values are better.
const LARGER_IS_BETTER: &[&str] =
    &["auc", "auc_mu", "aucpr", "average_precision", "map", "ndcg", "pre", "r2"];

/// Every other one.
#[rustfmt::skip]
const SMALLER_IS_BETTER: &[&str] = &[
    "aft-nloglik", "binary_error", "binary_logloss", "cox-nloglik", "cross_entropy", "cross_entropy_lambda", "error",
    "expectile", "fair", "gamma", "gamma-deviance", "gamma-nloglik", "gamma_deviance", "huber",
    "interval-regression-accuracy", "kullback_leibler", "l1", "l2", "logloss", "mae", "mape", "merror", "mlogloss",
    "mphe", "multi_error", "multi_logloss", "poisson", "poisson-nloglik", "quantile", "rmse", "rmsle", "tweedie",
    "tweedie-nloglik",
];

/// The name of a metric without its parameter, and whether larger values are better.
pub(super) fn metric(name: &str) -> (&'static str, bool) {
    let base = name.split_once('@').map_or(name, |(base, _)| base);
    let among = |names: &[&'static str]| names.iter().find(|known| **known == base).copied();
    match among(LARGER_IS_BETTER) {
        Some(name) => (name, true),
        None => (among(SMALLER_IS_BETTER).unwrap_or("metric"), false),
    }
}

/// Watches the metrics of the validation data.
pub(super) struct Stopping {
    patience: u32,
    least: f64,
    best: Vec<Best>,
}

/// The best value of a metric so far.
struct Best {
    larger_is_better: bool,
    value: f64,
    round: u32,
}

impl Stopping {
    /// After `patience` rounds without a gain of more than `least` in one of the metrics it is enough.
    pub(super) fn new<'a>(metrics: impl Iterator<Item = &'a str>, patience: u32, least: f64) -> Self {
        let best = |name| {
            let larger_is_better = metric(name).1;
            let value = if larger_is_better { f64::NEG_INFINITY } else { f64::INFINITY };
            Best { larger_is_better, value, round: 0 }
        };
        Self { patience, least, best: metrics.map(best).collect() }
    }

    /// Looks at the values after a round, from 0. When it is enough: how many rounds are worth keeping.
    pub(super) fn look(&mut self, round: u32, values: impl Iterator<Item = f64>) -> Option<u32> {
        let mut enough = None;
        for (best, value) in self.best.iter_mut().zip(values) {
            let gain = if best.larger_is_better { value - best.value } else { best.value - value };
            if gain > self.least {
                (best.value, best.round) = (value, round);
            } else if round - best.round >= self.patience {
                enough = enough.or(Some(best.round + 1));
            }
        }
        enough
    }

    /// How many rounds are worth keeping when all were trained.
    pub(super) fn kept(&self) -> Option<u32> {
        self.best.first().map(|best| best.round + 1)
    }
}
