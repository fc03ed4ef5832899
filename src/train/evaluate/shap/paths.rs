//! The way to each leaf, with one entry per feature.

use std::ops::Range;

use super::cover::Cover;
use crate::walk::{Step, Walk};

/// All ways to leaves, in flat lists.
pub(super) struct Paths {
    /// The mean score of each target.
    pub(super) base: Vec<f64>,
    targets: usize,
    leaves: Vec<Leaf>,
    entries: Vec<Entry>,
    /// Splits on the way and the side to take.
    tests: Vec<(u32, bool)>,
    /// By number of features on a way and of those in a coalition: the share of orders in which just these come first.
    weights: Vec<Vec<f64>>,
}

struct Leaf {
    value: f64,
    target: u32,
    entries: Range<u32>,
}

/// A feature on the way to a leaf.
struct Entry {
    feature: u32,
    /// The share of rows that goes on where the feature is not known.
    share: f64,
    tests: Range<u32>,
}

/// A feature on the way while the way is walked.
#[derive(Clone)]
struct Seen {
    feature: usize,
    share: f64,
    tests: Vec<(u32, bool)>,
}

impl Paths {
    pub(super) fn of<W: Walk>(
        trees: &W,
        cover: &Cover,
        targets: usize,
        divisor: f64,
    ) -> Result<Self, String> {
        if cover.0.len() != trees.nodes() {
            return Err("the cover is of another booster".to_owned());
        }
        let mut paths = Self {
            base: vec![0.0; targets],
            targets,
            leaves: Vec::new(),
            entries: Vec::new(),
            tests: Vec::new(),
            weights: Vec::new(),
        };
        for tree in trees.trees() {
            let mut todo = vec![(tree.root as usize, Vec::<Seen>::new(), 1.0)];
            while let Some((at, way, reached)) = todo.pop() {
                match trees.node(at) {
                    Step::Leaf(value) => paths.leaf(value / divisor, tree.target, &way, reached),
                    Step::Split { feature, yes, no } => {
                        let mass = |node: usize| cover.0.get(node).copied().unwrap_or(0.0);
                        let both = mass(yes) + mass(no);
                        for (node, side) in [(no, false), (yes, true)] {
                            // Where no row ever came, either side is as good.
                            let share = if both > 0.0 { mass(node) / both } else { 0.5 };
                            let mut way = way.clone();
                            match way.iter_mut().find(|seen| seen.feature == feature) {
                                Some(seen) => {
                                    seen.share *= share;
                                    seen.tests.push((at as u32, side));
                                }
                                None => way.push(Seen { feature, share, tests: vec![(at as u32, side)] }),
                            }
                            todo.push((node, way, reached * share));
                        }
                    }
                }
            }
        }
        let longest = paths.leaves.iter().map(|leaf| leaf.entries.len()).max().unwrap_or(0);
        paths.weights = (0..=longest).map(weights).collect();
        Ok(paths)
    }

    fn leaf(&mut self, value: f64, target: u32, way: &[Seen], reached: f64) {
        if let Some(base) = self.base.get_mut(target as usize) {
            *base += value * reached;
        }
        let first = self.entries.len() as u32;
        for seen in way {
            let from = self.tests.len() as u32;
            self.tests.extend(&seen.tests);
            let tests = from..self.tests.len() as u32;
            self.entries.push(Entry { feature: seen.feature as u32, share: seen.share, tests });
        }
        self.leaves.push(Leaf { value, target, entries: first..self.entries.len() as u32 });
    }

    /// Adds a row's Shapley values: `targets` times as many as it has features.
    pub(super) fn explain<W: Walk>(&self, trees: &W, row: &[f32], passed: &mut Vec<bool>, out: &mut [f64]) {
        passed.clear();
        passed.extend((0..trees.nodes()).map(|at| trees.passes(at, row)));
        let width = out.len() / self.targets;
        // Those of a way whose tests the row passes, and the polynomial that they make.
        let (mut open, mut product, mut rest) = (Vec::new(), Vec::new(), Vec::new());
        for leaf in &self.leaves {
            let entries = &self.entries[leaf.entries.start as usize..leaf.entries.end as usize];
            let Some(weights) = self.weights.get(entries.len()).filter(|_| !entries.is_empty()) else {
                continue;
            };
            open.clear();
            product.clear();
            product.push(1.0);
            let mut closed = leaf.value;
            for (at, entry) in entries.iter().enumerate() {
                let tests = &self.tests[entry.tests.start as usize..entry.tests.end as usize];
                if tests.iter().all(|(node, side)| passed[*node as usize] == *side) {
                    open.push(at);
                    times(&mut product, entry.share);
                } else {
                    closed *= entry.share;
                }
            }
            // Whatever is known of the others: a closed feature without a share sends no row here.
            if closed == 0.0 {
                continue;
            }
            let out = &mut out[leaf.target as usize * width..];
            let against = closed * dot(&product, weights);
            let mut next = open.iter().peekable();
            for (at, entry) in entries.iter().enumerate() {
                let value = &mut out[entry.feature as usize];
                if next.next_if(|open| **open == at).is_some() {
                    over(&product, entry.share, &mut rest);
                    *value += (1.0 - entry.share) * closed * dot(&rest, weights);
                } else {
                    *value -= against;
                }
            }
        }
    }
}

/// Multiplies a polynomial in y, from the constant on, by (share + y).
fn times(product: &mut Vec<f64>, share: f64) {
    product.push(0.0);
    for power in (0..product.len()).rev() {
        let below = if power > 0 { product[power - 1] } else { 0.0 };
        product[power] = product[power] * share + below;
    }
}

/// Divides by (share + y), from the highest power on: errors shrink with each step, since a share is at most 1.
fn over(product: &[f64], share: f64, rest: &mut Vec<f64>) {
    rest.clear();
    rest.resize(product.len() - 1, 0.0);
    let mut above = 0.0;
    for power in (0..rest.len()).rev() {
        above = product[power + 1] - share * above;
        rest[power] = above;
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// `k! (n-1-k)! / n!` for k features of n that come before another one.
fn weights(n: usize) -> Vec<f64> {
    let mut weight = 1.0 / n.max(1) as f64;
    let each = |k: usize| {
        let now = weight;
        weight *= (k + 1) as f64 / (n as f64 - 1.0 - k as f64).max(1.0);
        now
    };
    (0..n).map(each).collect()
}
