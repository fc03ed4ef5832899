//! How many rows come through each node.

use sidegate::booster::{Booster, Forest, Node, Test, Tree, Trees};

/// Rows, or their weights, by node.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cover(pub(super) Vec<f64>);

/// Trees of either kind of number, as a row walks them.
pub(super) trait Walk {
    fn trees(&self) -> &[Tree];
    fn nodes(&self) -> usize;
    /// The value of a leaf, or a split: its feature and where rows go.
    fn node(&self, at: usize) -> Step;
    /// Whether the row passes the split that stands here.
    fn passes(&self, at: usize, row: &[f32]) -> bool;
}

/// A node without its test.
pub(super) enum Step {
    Leaf(f64),
    Split { feature: usize, yes: usize, no: usize },
}

impl Cover {
    /// Of no rows yet.
    pub(crate) fn new(booster: &Booster) -> Self {
        let nodes = match &booster.forest {
            Forest::Single(trees) => trees.nodes.len(),
            Forest::Double(trees) => trees.nodes.len(),
        };
        Self(vec![0.0; nodes])
    }

    /// As a library has counted them, in the order of the forest's nodes.
    ///
    /// # Errors
    /// For another number of nodes, and for what is no count.
    #[cfg(test)]
    pub(crate) fn given(booster: &Booster, counts: Vec<f64>) -> Result<Self, String> {
        let nodes = Self::new(booster).0.len();
        let sound = counts.len() == nodes && counts.iter().all(|count| count.is_finite() && *count >= 0.0);
        if sound {
            Ok(Self(counts))
        } else {
            Err(format!("{} counts for {nodes} nodes, or bad ones", counts.len()))
        }
    }

    /// Lets rows walk through all trees, shared among `threads`; `weight` is what each counts.
    ///
    /// # Errors
    /// For values that are no rows of the booster, and weights of other rows.
    pub(crate) fn add(
        &mut self,
        booster: &Booster,
        rows: &[f32],
        weight: Option<&[f32]>,
        threads: usize,
    ) -> Result<(), String> {
        let width = super::width(booster)?;
        if !rows.len().is_multiple_of(width) || weight.is_some_and(|w| w.len() != rows.len() / width) {
            return Err(format!(
                "{} values are no rows of {width} features, or have other weights",
                rows.len()
            ));
        }
        if self.0.len() != Self::new(booster).0.len() {
            return Err("the cover is of another booster".to_owned());
        }
        let share = (rows.len() / width).div_ceil(threads.clamp(1, 64)).max(1);
        let nodes = self.0.len();
        let counted = std::thread::scope(|scope| {
            let parts: Vec<_> = rows
                .chunks(share * width)
                .enumerate()
                .map(|(part, rows)| {
                    let weight = weight.map(|weight| &weight[part * share..]);
                    scope.spawn(move || {
                        let mut counts = vec![0.0; nodes];
                        match &booster.forest {
                            Forest::Single(trees) => walk(trees, rows, width, weight, &mut counts),
                            Forest::Double(trees) => walk(trees, rows, width, weight, &mut counts),
                        }
                        counts
                    })
                })
                .collect();
            parts.into_iter().map(|part| part.join().unwrap_or_default()).collect::<Vec<_>>()
        });
        counted.iter().for_each(|counts| self.0.iter_mut().zip(counts).for_each(|(all, own)| *all += own));
        Ok(())
    }
}

/// Counts rows at every node that they come through.
fn walk<W: Walk>(trees: &W, rows: &[f32], width: usize, weight: Option<&[f32]>, counts: &mut [f64]) {
    for (place, row) in rows.chunks_exact(width).enumerate() {
        let mass = weight.map_or(1.0, |weight| f64::from(weight[place]));
        for tree in trees.trees() {
            let mut at = tree.root as usize;
            loop {
                counts[at] += mass;
                at = match trees.node(at) {
                    Step::Leaf(_) => break,
                    Step::Split { yes, .. } if trees.passes(at, row) => yes,
                    Step::Split { no, .. } => no,
                };
            }
        }
    }
}

/// How a test is asked in a kind of number.
trait Number: Copy {
    fn wide(self) -> f64;
    /// The number of a category, as the library reads it off a value.
    fn category(value: f32) -> f32;
}

impl Number for f32 {
    fn wide(self) -> f64 {
        f64::from(self)
    }

    /// XGBoost: -0.5 is no category.
    fn category(value: f32) -> f32 {
        value.floor()
    }
}

impl Number for f64 {
    fn wide(self) -> f64 {
        self
    }

    /// LightGBM: -0.5 is category 0.
    fn category(value: f32) -> f32 {
        value.trunc()
    }
}

impl<T: Number> Walk for Trees<T> {
    fn trees(&self) -> &[Tree] {
        &self.trees
    }

    fn nodes(&self) -> usize {
        self.nodes.len()
    }

    fn node(&self, at: usize) -> Step {
        match self.nodes.get(at) {
            Some(Node::Split { feature, yes, no, .. }) => {
                Step::Split { feature: *feature as usize, yes: *yes as usize, no: *no as usize }
            }
            Some(Node::Leaf(value)) => Step::Leaf(value.wide()),
            None => Step::Leaf(0.0),
        }
    }

    fn passes(&self, at: usize, row: &[f32]) -> bool {
        let Some(Node::Split { feature, test, missing, .. }) = self.nodes.get(at) else { return false };
        let value = row.get(*feature as usize).copied().unwrap_or(f32::NAN);
        if value.is_nan() {
            return *missing;
        }
        match test {
            // Both kinds of number hold a float32 exactly.
            Test::Below(threshold) => f64::from(value) < threshold.wide(),
            Test::AtMost(threshold) => f64::from(value) <= threshold.wide(),
            Test::OneOf(set) => {
                let category = T::category(value);
                let set = self.sets.get(*set as usize);
                category >= 0.0 && set.is_some_and(|set| set.contains(&(category as u32)))
            }
        }
    }
}
