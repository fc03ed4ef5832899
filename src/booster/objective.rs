//! Objectives: what happens to the sum of the trees, and what XGBoost's starting score means.

use super::unsupported;
use crate::model::{LoadError, shorten};

/// From the scores of a row to what the library's `predict` returns.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transform {
    /// The scores themselves.
    Identity,
    /// `1 / (1 + exp(-slope · x))`
    Logistic {
        /// 1 but for LightGBM's parameter `sigmoid`.
        slope: f64,
    },
    /// `exp(x)`
    Exp,
    /// `ln(1 + exp(x))`
    Softplus,
    /// `sign(x) · x²`, for a target that was trained as its root.
    SignedSquare,
    /// 1 above zero, else 0.
    Hinge,
    /// One probability per score.
    Softmax,
    /// The number of the largest score.
    ArgMax,
    /// The scores in ascending order: quantiles that do not cross.
    Sorted,
}

/// What XGBoost's `base_score` is, seen from the sum of the trees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    Identity,
    Logit,
    Log,
}

const LOGISTIC: Transform = Transform::Logistic { slope: 1.0 };

#[rustfmt::skip]
const XGBOOST: &[(&str, Transform, Link)] = &[
    ("binary:hinge", Transform::Hinge, Link::Identity),
    ("binary:logistic", LOGISTIC, Link::Logit),
    ("binary:logitraw", Transform::Identity, Link::Identity),
    ("count:poisson", Transform::Exp, Link::Log),
    ("multi:softmax", Transform::ArgMax, Link::Identity),
    ("multi:softprob", Transform::Softmax, Link::Identity),
    ("rank:map", Transform::Identity, Link::Identity),
    ("rank:ndcg", Transform::Identity, Link::Identity),
    ("rank:pairwise", Transform::Identity, Link::Identity),
    ("reg:absoluteerror", Transform::Identity, Link::Identity),
    ("reg:expectileerror", Transform::Identity, Link::Identity),
    ("reg:gamma", Transform::Exp, Link::Log),
    ("reg:linear", Transform::Identity, Link::Identity),
    ("reg:logistic", LOGISTIC, Link::Logit),
    ("reg:pseudohubererror", Transform::Identity, Link::Identity),
    ("reg:quantileerror", Transform::Identity, Link::Identity),
    ("reg:squarederror", Transform::Identity, Link::Identity),
    ("reg:squaredlogerror", Transform::Identity, Link::Identity),
    ("reg:tweedie", Transform::Exp, Link::Log),
    ("survival:aft", Transform::Exp, Link::Log),
    ("survival:cox", Transform::Exp, Link::Log),
];

/// XGBoost bounds probabilities so before it takes their logit.
const LEAST_PROBABILITY: f32 = 1e-6;

impl Transform {
    /// Answers per row for so many scores.
    pub const fn outputs(self, targets: usize) -> usize {
        match self {
            Self::ArgMax => 1,
            _ => targets,
        }
    }

    /// The transform of an objective of XGBoost and the meaning of its starting score, as the library had them that
    /// wrote the file: its version is major and minor.
    pub(super) fn xgboost(name: &str, version: (i64, i64)) -> Result<(Self, Link), LoadError> {
        match name {
            // It was a probability here too.
            "binary:logitraw" if version < (1, 4) => return Ok((Self::Identity, Link::Logit)),
            "reg:quantileerror" if version >= (3, 4) => return Ok((Self::Sorted, Link::Identity)),
            _ => {}
        }
        let known = XGBOOST.iter().find(|(known, ..)| *known == name);
        known.map(|(_, transform, link)| (*transform, *link)).ok_or_else(|| unknown(name))
    }

    /// The transform of LightGBM's `objective=` line: a name, then parameters. Without the line, or with `custom`,
    /// the library returns plain scores.
    pub(super) fn lightgbm(line: Option<&str>) -> Result<Self, LoadError> {
        let mut words = line.unwrap_or("custom").split_ascii_whitespace();
        let name = words.next().unwrap_or_default();
        let parameters: Vec<&str> = words.collect();
        let root = if parameters.contains(&"sqrt") { Self::SignedSquare } else { Self::Identity };
        let slope = || match parameters.iter().find_map(|word| word.strip_prefix("sigmoid:")) {
            None => Ok(Self::Logistic { slope: 1.0 }),
            Some(text) => match text.parse() {
                Ok(slope) if slope > 0.0 => Ok(Self::Logistic { slope }),
                _ => Err(super::broken(format!("objective `{name}`: sigmoid is `{}`", shorten(text)))),
            },
        };
        Ok(match name {
            "regression" | "regression_l1" | "fair" | "quantile" | "mape" => root,
            "huber" | "lambdarank" | "rank_xendcg" | "custom" => Self::Identity,
            "poisson" | "gamma" | "tweedie" => Self::Exp,
            "binary" | "multiclassova" => slope()?,
            "multiclass" => Self::Softmax,
            "cross_entropy" => LOGISTIC,
            "cross_entropy_lambda" => Self::Softplus,
            other => return Err(unknown(other)),
        })
    }
}

fn unknown(name: &str) -> LoadError {
    unsupported(format!(
        "objective `{}` is not known; a custom one is served when the model is saved without it, as plain scores",
        shorten(name)
    ))
}

impl Link {
    /// The score that the trees start from, computed as XGBoost does it.
    pub(super) fn margin(self, base: f32) -> f32 {
        match self {
            Self::Identity => base,
            Self::Logit => {
                let base = base.clamp(LEAST_PROBABILITY, 1.0 - LEAST_PROBABILITY);
                -(1.0 / base - 1.0).ln()
            }
            Self::Log => base.ln(),
        }
    }
}
