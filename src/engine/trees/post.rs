//! Post transforms: from sums to scores, as ONNX Runtime computes them, in float32.

use crate::model::LoadError;
use crate::onnx::Node;

/// What happens to the sums of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum PostTransform {
    #[default]
    None,
    Logistic,
    Softmax,
    SoftmaxZero,
    Probit,
}

impl PostTransform {
    /// Reads the attribute `post_transform`.
    pub(super) fn of(node: &Node) -> Result<Self, LoadError> {
        Ok(match node.string("post_transform")? {
            None | Some(b"NONE") => Self::None,
            Some(b"LOGISTIC") => Self::Logistic,
            Some(b"SOFTMAX") => Self::Softmax,
            Some(b"SOFTMAX_ZERO") => Self::SoftmaxZero,
            Some(b"PROBIT") => Self::Probit,
            Some(other) => {
                let other = String::from_utf8_lossy(other);
                return Err(super::builder::unsupported(node, &format!("post_transform `{other}`")));
            }
        })
    }

    /// Transforms the scores of one row with two scores or more.
    pub(super) fn apply(self, scores: &mut [f32]) {
        match self {
            Self::None => {}
            Self::Logistic => scores.iter_mut().for_each(|score| *score = logistic(*score)),
            Self::Softmax => softmax(scores),
            Self::SoftmaxZero => softmax_zero(scores),
            Self::Probit => scores.iter_mut().for_each(|score| *score = probit(*score)),
        }
    }
}

pub(super) fn logistic(value: f32) -> f32 {
    let v = 1.0 / (1.0 + (-value.abs()).exp());
    if value < 0.0 { 1.0 - v } else { v }
}

pub(super) fn softmax(scores: &mut [f32]) {
    // Shifted by the largest, so that no exponential overflows.
    let most = scores.iter().copied().fold(-f32::MAX, f32::max);
    let mut sum = 0.0;
    for score in scores.iter_mut() {
        *score = (*score - most).exp();
        sum += *score;
    }
    scores.iter_mut().for_each(|score| *score /= sum);
}

/// Softmax that leaves out zeros, which stand for "no score".
fn softmax_zero(scores: &mut [f32]) {
    let most = scores.iter().copied().fold(-f32::MAX, f32::max);
    let mut sum = 0.0;
    for score in scores.iter_mut() {
        if score.abs() > 1e-7 {
            *score = (*score - most).exp();
            sum += *score;
        } else {
            *score *= (-most).exp();
        }
    }
    scores.iter_mut().for_each(|score| *score /= sum);
}

/// The inverse of the normal distribution, by the approximation that ONNX Runtime uses.
#[expect(clippy::approx_constant, reason = "its constants, to give its results")]
pub(super) fn probit(value: f32) -> f32 {
    let x = 2.0 * value - 1.0;
    let sign = if x < 0.0 { -1.0 } else { 1.0 };
    let log = ((1.0 - x) * (1.0 + x)).ln();
    let v = 2.0 / (3.141_59 * 0.147) + 0.5 * log;
    let v2 = 1.0 / 0.147 * log;
    1.414_213_6 * sign * (-v + (v * v - v2).sqrt()).sqrt()
}
