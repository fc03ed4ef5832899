//! How features were distributed when all was well.

use serde::{Deserialize, Serialize};

use super::feature::{Kind, Layout};
use crate::stats::Edges;

/// Bins of a number, each with the same share of the reference.
const BINS: usize = 32;
/// Categories with a cell of their own.
const MAX_CATEGORIES: usize = 256;

/// How every feature of a version was distributed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reference {
    /// Rows that it was made from.
    pub rows: u64,
    /// Feature by feature, the prediction last.
    pub features: Vec<Profile>,
}

/// How one feature was distributed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// Its name.
    pub name: String,
    /// Rows without a value.
    pub missing: u64,
    /// The others.
    pub shape: Shape,
    /// How many rows are worth one that comes independently of those before it.
    #[serde(default = "independent")]
    pub inflation: f64,
}

const fn independent() -> f64 {
    1.0
}

/// The distribution of values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// Of numbers.
    Number {
        /// Where cells begin: below the first, between two, at or above the last.
        edges: Vec<f64>,
        /// Values by cell, one more than edges.
        counts: Vec<u64>,
        /// The mean of finite values.
        mean: f64,
        /// Their standard deviation.
        deviation: f64,
        /// The smallest.
        low: f64,
        /// The largest.
        high: f64,
        /// The mean of the logarithms (base 10) of the sizes of those that are not 0; none where all are.
        magnitude: Option<f64>,
    },
    /// Of categories.
    Category {
        /// Hashes, in order.
        known: Vec<u32>,
        /// Values by category, in the same order; the last is of those without a cell of their own.
        counts: Vec<u64>,
    },
}

/// Collects rows until they are enough for a reference.
#[derive(Debug)]
pub struct Learner {
    /// Feature by feature, the words that came.
    columns: Vec<Vec<u32>>,
    rows: usize,
}

// === impl Learner ===

impl Learner {
    /// Of a version whose rows have this many words, until there are `rows` of them.
    pub fn new(layout: &Layout, rows: usize) -> Self {
        Self { columns: vec![Vec::new(); layout.words()], rows }
    }

    /// Takes a row; true when there are enough.
    pub fn push(&mut self, row: &[u32]) -> bool {
        self.columns.iter_mut().zip(row).for_each(|(column, word)| column.push(*word));
        self.seen() >= self.rows
    }

    /// Rows so far.
    pub fn seen(&self) -> usize {
        self.columns.first().map_or(0, Vec::len)
    }

    /// Rows that are needed.
    pub const fn needed(&self) -> usize {
        self.rows
    }

    /// The reference of what came.
    pub fn finish(&self, layout: &Layout) -> Reference {
        let features = layout.features.iter().zip(&self.columns).map(|(feature, words)| {
            let (missing, shape) = match feature.kind {
                Kind::Number => numbers(words),
                Kind::Category => categories(words),
            };
            let mut profile =
                Profile { name: feature.name.clone(), missing, shape, inflation: independent() };
            profile.inflation = super::detector::inflation(&profile, words);
            profile
        });
        Reference { rows: self.seen() as u64, features: features.collect() }
    }
}

fn numbers(words: &[u32]) -> (u64, Shape) {
    let values: Vec<f64> = words.iter().map(|word| f64::from(f32::from_bits(*word))).collect();
    let finite: crate::stats::Moments = values.iter().copied().filter(|value| value.is_finite()).collect();
    let bounds = values.iter().filter(|value| value.is_finite());
    let low = bounds.clone().copied().fold(f64::INFINITY, f64::min);
    let high = bounds.copied().fold(f64::NEG_INFINITY, f64::max);
    let mut edges =
        Edges::quantiles(&values, BINS).map_or_else(|_| Vec::new(), |edges| edges.as_slice().to_vec());
    if let [constant] = edges[..] {
        // Below, at and above it, or what is larger would be in its cell.
        edges.push(above(constant));
    }
    let known = Edges::new(edges.clone());
    let counted = known.count(&values);
    let (missing, counts) = (counted[0], counted[1..].to_vec());
    let none = |value: f64| if value.is_finite() { value } else { 0.0 };
    let shape = Shape::Number {
        edges,
        counts,
        mean: none(finite.mean),
        deviation: finite.variance().map_or(0.0, f64::sqrt),
        low: none(low),
        high: none(high),
        magnitude: magnitude(&values),
    };
    (missing, shape)
}

fn magnitude(values: &[f64]) -> Option<f64> {
    let sizes =
        values.iter().filter(|value| value.is_finite() && **value != 0.0).map(|value| value.abs().log10());
    let found: crate::stats::Moments = sizes.collect();
    (found.n > 0).then_some(found.mean)
}

/// The next number that an `f32` can be.
fn above(value: f64) -> f64 {
    f64::from((value as f32).next_up())
}

fn categories(words: &[u32]) -> (u64, Shape) {
    let mut sorted = words.to_vec();
    sorted.sort_unstable();
    let missing = sorted.partition_point(|word| *word == 0);
    let mut found: Vec<(u32, u64)> =
        sorted[missing..].chunk_by(|a, b| a == b).map(|same| (same[0], same.len() as u64)).collect();
    // The most frequent have cells, equal ones by their hash.
    found.sort_by_key(|(word, count)| (std::cmp::Reverse(*count), *word));
    let rest = found.iter().skip(MAX_CATEGORIES).map(|(_, count)| count).sum();
    found.truncate(MAX_CATEGORIES);
    found.sort_unstable();
    let (known, mut counts): (Vec<u32>, Vec<u64>) = found.into_iter().unzip();
    counts.push(rest);
    (missing as u64, Shape::Category { known, counts })
}

// === impl Profile ===

impl Profile {
    /// Cells of a window: what is missing, then those of the shape; for categories also those that are not known.
    pub const fn cells(&self) -> usize {
        match &self.shape {
            Shape::Number { counts, .. } => 1 + counts.len(),
            Shape::Category { counts, .. } => 1 + counts.len(),
        }
    }

    /// The cell of a word.
    #[inline]
    pub fn cell(&self, word: u32) -> usize {
        match &self.shape {
            Shape::Number { edges, .. } => {
                let value = f64::from(f32::from_bits(word));
                if value.is_nan() { 0 } else { 1 + edges.partition_point(|edge| *edge <= value) }
            }
            Shape::Category { .. } if word == 0 => 0,
            Shape::Category { known, .. } => 1 + known.binary_search(&word).unwrap_or(known.len()),
        }
    }

    /// The reference by cell, as a window has them.
    pub fn counts(&self) -> Vec<u64> {
        let (Shape::Number { counts, .. } | Shape::Category { counts, .. }) = &self.shape;
        std::iter::once(self.missing).chain(counts.iter().copied()).collect()
    }
}

// === impl Reference ===

impl Reference {
    /// Whether it is of these features, in this order.
    pub fn fits(&self, layout: &Layout) -> bool {
        let same = |(profile, feature): (&Profile, &super::Feature)| {
            profile.name == feature.name
                && match (&profile.shape, feature.kind) {
                    (Shape::Number { edges, counts, .. }, Kind::Number) => counts.len() == edges.len() + 1,
                    (Shape::Category { known, counts }, Kind::Category) => counts.len() == known.len() + 1,
                    _ => false,
                }
        };
        self.features.len() == layout.features.len() && self.features.iter().zip(&layout.features).all(same)
    }

    /// Cells of all features.
    pub fn cells(&self) -> usize {
        self.features.iter().map(Profile::cells).sum()
    }
}
