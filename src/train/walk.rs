//! How a row walks trees, in numbers that hold those of every library.

use sidegate::booster::{Node, Test, Tree, Trees};

/// Trees of either kind of number, as a row walks them.
pub(crate) trait Walk {
    /// The trees.
    fn trees(&self) -> &[Tree];
    /// How many nodes they have.
    fn nodes(&self) -> usize;
    /// The value of a leaf, or a split: its feature and where rows go.
    fn node(&self, at: usize) -> Step;
    /// Whether the row passes the split that stands here.
    fn passes(&self, at: usize, row: &[f32]) -> bool;

    /// The value of the leaf that a row reaches from a root; `come` hears of every node on the way, the leaf among them.
    fn leaf(&self, root: u32, row: &[f32], mut come: impl FnMut(usize)) -> f64 {
        let mut at = root as usize;
        loop {
            come(at);
            at = match self.node(at) {
                Step::Leaf(value) => return value,
                Step::Split { yes, .. } if self.passes(at, row) => yes,
                Step::Split { no, .. } => no,
            };
        }
    }
}

/// A node without its test.
pub(crate) enum Step {
    Leaf(f64),
    Split { feature: usize, yes: usize, no: usize },
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
