//! Exact Shapley values of boosted trees (TreeSHAP, path-dependent: Lundberg, Erion and Lee 2018).
//!
//! What a feature is worth where it is not known is what the rows that came through a node did: [`Cover`] counts them.
//! A leaf's paths are brought to one entry per feature; the sum over coalitions is then a polynomial whose degree is
//! the number of features that lead a row to the leaf, so that rows pay only for those.

mod cover;
mod paths;

pub(crate) use cover::Cover;

use sidegate::booster::{Booster, Forest};

use self::paths::Paths;
use crate::walk::Walk;

/// Shapley values of some rows, in the scores before the booster's transform.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Shap {
    /// Features.
    pub width: usize,
    /// What each target's score is on average.
    pub base: Vec<f64>,
    /// Row after row, target after target, a value per feature. With the base they add up to the score.
    pub values: Vec<f64>,
}

/// Explains rows: `rows` holds `width` values each.
///
/// # Errors
/// For rows or a cover that do not fit the booster.
pub(crate) fn shap(booster: &Booster, cover: &Cover, rows: &[f32], threads: usize) -> Result<Shap, String> {
    match &booster.forest {
        Forest::Single(trees) => explain(trees, booster, cover, rows, threads),
        Forest::Double(trees) => explain(trees, booster, cover, rows, threads),
    }
}

fn explain<W: Walk + Sync>(
    trees: &W,
    booster: &Booster,
    cover: &Cover,
    rows: &[f32],
    threads: usize,
) -> Result<Shap, String> {
    let (width, targets) = (width(booster)?, booster.targets.max(1));
    if !rows.len().is_multiple_of(width) {
        return Err(format!("{} values are no rows of {width} features", rows.len()));
    }
    let divisor = booster.divisor.map_or(1.0, f64::from);
    let paths = Paths::of(trees, cover, targets, divisor)?;
    let count = rows.len() / width;
    let mut values = vec![0.0; count * targets * width];
    let share = count.div_ceil(threads.clamp(1, 64)).max(1);
    std::thread::scope(|scope| {
        let parts = rows.chunks(share * width).zip(values.chunks_mut(share * targets * width));
        for (rows, values) in parts {
            let paths = &paths;
            scope.spawn(move || {
                let mut passed = Vec::new();
                let each = rows.chunks_exact(width).zip(values.chunks_exact_mut(targets * width));
                each.for_each(|(row, values)| paths.explain(trees, row, &mut passed, values));
            });
        }
    });
    Ok(Shap { width, base: paths.base, values })
}

/// The number of features of a booster's only input.
fn width(booster: &Booster) -> Result<usize, String> {
    let shape = booster.signature.inputs.first().and_then(|input| input.shape.get(1));
    shape
        .and_then(|width| usize::try_from(*width).ok())
        .filter(|width| *width > 0)
        .ok_or_else(|| "the booster does not say how many features it has".to_owned())
}

impl Shap {
    /// How much each feature moves a score on average, whichever way; summed over targets.
    pub(crate) fn mean_absolute(&self) -> Vec<f64> {
        let mut sums = vec![0.0; self.width];
        for row in self.values.chunks_exact(self.width.max(1)) {
            sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += value.abs());
        }
        let rows = (self.values.len() / (self.width * self.base.len()).max(1)).max(1);
        sums.iter_mut().for_each(|sum| *sum /= rows as f64);
        sums
    }
}
