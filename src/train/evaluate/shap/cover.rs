//! How many rows come through each node.

use sidegate::booster::{Booster, Forest};

use crate::walk::Walk;

/// Rows, or their weights, by node.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cover(pub(super) Vec<f64>);

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
            trees.leaf(tree.root, row, |at| counts[at] += mass);
        }
    }
}
