//! What a split of LightGBM asks: thresholds, zeros, missing values and categories.

use crate::booster::broken;
use crate::booster::trees::{Node, Test};
use crate::model::LoadError;

/// What is nearer to zero than this is zero to LightGBM, as a value and as a missing one.
const ZERO: f64 = 1e-35_f32 as f64;
/// The bits of `decision_type`, above which stands the kind of missing value.
const CATEGORICAL: u8 = 1;
const DEFAULT_LEFT: u8 = 2;

/// A split as the file has it.
pub(super) struct Split {
    pub(super) feature: u32,
    pub(super) threshold: f64,
    pub(super) decision: u8,
    pub(super) left: u32,
    pub(super) right: u32,
}

/// Nodes that one split of the file needs beside its own.
pub(super) struct Extra {
    at: u32,
    pub(super) nodes: Vec<Node<f64>>,
}

impl Extra {
    /// None so far; they will stand from this place on.
    pub(super) const fn behind(at: u32) -> Self {
        Self { at, nodes: Vec::new() }
    }
}

impl Split {
    /// The node that asks the same.
    pub(super) fn node(&self, sets: &[u32], extra: &mut Extra) -> Result<Node<f64>, LoadError> {
        let Self { feature, threshold, decision, left: yes, right: no } = *self;
        if decision & CATEGORICAL != 0 {
            // The threshold is the number of a set. A missing value is in none.
            let set = if threshold >= 0.0 { sets.get(threshold as usize) } else { None };
            let set = *set.ok_or_else(|| broken(format!("there is no set {threshold} of categories")))?;
            return Ok(Node::Split { feature, test: Test::OneOf(set), missing: false, yes, no });
        }
        let at_most =
            |threshold, missing| Node::Split { feature, test: Test::AtMost(threshold), missing, yes, no };
        // All that counts as zero is on one side of a threshold.
        let threshold = match threshold {
            t if (0.0..=ZERO).contains(&t) => ZERO,
            t if (-ZERO..0.0).contains(&t) => (-ZERO).next_down(),
            t => t,
        };
        let (default_left, zero_left) = (decision & DEFAULT_LEFT != 0, threshold >= ZERO);
        match decision >> 2 & 3 {
            // A missing value is zero.
            0 => Ok(at_most(threshold, zero_left)),
            // Zero is a missing value, and a missing value zero.
            1 if default_left == zero_left => Ok(at_most(threshold, default_left)),
            1 => Ok(self.around_zero(threshold, zero_left, extra)),
            2 => Ok(at_most(threshold, default_left)),
            _ => Err(broken(format!("`decision_type` is {decision}"))),
        }
    }

    /// Where zero goes to the other side than the threshold says: below it, around it and above it are three cases.
    fn around_zero(&self, threshold: f64, zero_left: bool, extra: &mut Extra) -> Node<f64> {
        let first = extra.at + extra.nodes.len() as u32;
        let at_most = |threshold, missing, yes, no| Node::Split {
            feature: self.feature,
            test: Test::AtMost(threshold),
            missing,
            yes,
            no,
        };
        let below_zero = (-ZERO).next_down();
        let (left, right) = (self.left, self.right);
        if zero_left {
            // Up to the threshold left, but around zero, and where a value is missing, right.
            extra.nodes.push(at_most(below_zero, false, left, first + 1));
            extra.nodes.push(at_most(ZERO, true, right, left));
            at_most(threshold, true, first, right)
        } else {
            extra.nodes.push(at_most(below_zero, false, first + 1, left));
            extra.nodes.push(at_most(threshold, false, left, right));
            at_most(ZERO, true, first, right)
        }
    }
}
