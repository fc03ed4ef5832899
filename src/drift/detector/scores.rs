//! What a value in a cell is worth as evidence: scores of mean 0 and variance 1 in the reference, whatever its law.

use super::super::reference::{Profile, Shape};
use crate::stats::tails;

/// Location, scale, and two more, which with those tell shapes apart.
pub(super) const SCORES: usize = 4;
/// Most groups of cells of a category, and one for what is left out.
const MAX_GROUPS: usize = 32;
/// A feature with fewer cells has no shape, only shares.
const MIN_SHAPE: usize = 16;

/// The cells of one feature, as groups with scores.
#[derive(Debug)]
pub(super) struct Scores {
    /// Values of the reference, missing ones left out.
    pub(super) total: f64,
    /// Those of each group.
    pub(super) counts: Vec<f32>,
    /// The group of every cell behind that of missing values; none where each is its own.
    pub(super) groups: Option<Vec<u8>>,
    /// What a value of each group is worth.
    pub(super) worth: Vec<[f32; SCORES]>,
    /// The skewness of the first two scores.
    pub(super) skew: [f32; 2],
    /// How many scores tell of its shape, where they do.
    pub(super) shape: usize,
}

// === impl Scores ===

impl Scores {
    pub(super) fn new(profile: &Profile) -> Self {
        match &profile.shape {
            Shape::Number { counts, .. } => Self::ordered(counts),
            Shape::Category { counts, .. } => Self::unordered(counts),
        }
    }

    fn ordered(counts: &[u64]) -> Self {
        let total = counts.iter().sum::<u64>() as f64;
        let shares: Vec<f64> = counts.iter().map(|count| *count as f64 / total.max(1.0)).collect();
        let basis = orthonormal(&ranks(&shares, total), &shares);
        let skew = |score: usize| {
            basis.iter().zip(&shares).map(|(worth, share)| share * worth[score].powi(3)).sum::<f64>() as f32
        };
        let least = 0.3 / counts.len().max(1) as f64;
        let regular = counts.len() >= MIN_SHAPE && shares.iter().all(|share| *share >= least);
        Self {
            total,
            counts: counts.iter().map(|count| *count as f32).collect(),
            groups: None,
            skew: [skew(0), skew(1)],
            shape: if regular { SCORES } else { 0 },
            worth: basis.iter().map(|worth| worth.map(|score| score as f32)).collect(),
        }
    }

    fn unordered(counts: &[u64]) -> Self {
        // What has no cell of its own, or was not seen, is left out: it is by chance what it is, as the least frequent
        // are. What was not seen is a matter of quality.
        let known = counts.len().saturating_sub(1);
        let own = known.min(MAX_GROUPS);
        let mut groups = vec![own as u8; counts.len()];
        let mut grouped = vec![0.0; own + 1];
        // In the order of their hashes, as the most frequent are so by chance too.
        for (at, count) in counts.iter().take(known).enumerate() {
            groups[at] = (at * own / known) as u8;
            grouped[usize::from(groups[at])] += *count as f32;
        }
        Self {
            total: counts.iter().take(known).sum::<u64>() as f64,
            worth: vec![[0.0; SCORES]; grouped.len()],
            counts: grouped,
            groups: Some(groups),
            skew: [0.0; 2],
            shape: 0,
        }
    }
}

/// The normal score of every cell, at the middle of its ranks.
fn ranks(shares: &[f64], total: f64) -> Vec<f64> {
    let end = 0.5 / (total + 1.0);
    let mut below = 0.0;
    let middles = shares.iter().map(|share| {
        let middle: f64 = below + share / 2.0;
        below += share;
        middle.clamp(end, 1.0 - end)
    });
    middles.map(tails::norm_ppf).collect()
}

/// Polynomials of `x` that are orthonormal under `shares` and to a constant; 0 beyond as many as there are cells for.
fn orthonormal(x: &[f64], shares: &[f64]) -> Vec<[f64; SCORES]> {
    let inner = |a: &[f64], b: &[f64]| a.iter().zip(b).zip(shares).map(|((a, b), p)| a * b * p).sum::<f64>();
    let mut known: Vec<Vec<f64>> = vec![vec![1.0; x.len()]];
    for degree in 1..=SCORES {
        // From the polynomial before rather than from powers, which are nearly alike.
        let mut next: Vec<f64> = x.iter().zip(&known[degree - 1]).map(|(x, before)| x * before).collect();
        let size = inner(&next, &next);
        for _ in 0..2 {
            for other in &known {
                let part = inner(&next, other);
                next.iter_mut().zip(other).for_each(|(next, other)| *next -= part * other);
            }
        }
        let left = inner(&next, &next);
        let scale = if left > 1e-9 * size { 1.0 / left.sqrt() } else { 0.0 };
        next.iter_mut().for_each(|next| *next *= scale);
        known.push(next);
    }
    (0..x.len()).map(|cell| std::array::from_fn(|score| known[score + 1][cell])).collect()
}
