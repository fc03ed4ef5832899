//! Trees as they are grown, on bins; and the same trees for serving, on values.

use sidegate::booster::{Booster, Forest, Node, Test, Transform, Tree, Trees};
use sidegate::model::{Signature, TensorSpec};
use sidegate::tensor::Datatype;

use crate::learner::builtin::Importance;
use crate::learner::builtin::bins::{Bins, Kind};
use crate::table::Column;

/// The bins that go one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Side([u64; 4]);

/// A node on bins; the root is the first, and children come behind their parent.
#[derive(Clone, Debug)]
pub(crate) enum Grown {
    Split {
        feature: u32,
        left: Side,
        gain: f64,
        children: [u32; 2],
    },
    /// By target of trees that have several.
    Leaf(Vec<f32>),
}

/// Gathers trees for serving.
pub(crate) struct Gather<'a> {
    columns: &'a [Bins],
    trees: Trees<f32>,
    pub(crate) importance: Vec<Importance>,
}

// === impl Side ===

impl Side {
    pub(crate) fn insert(&mut self, bin: usize) {
        self.0[bin >> 6 & 3] |= 1 << (bin & 63);
    }

    #[inline]
    pub(crate) fn has(&self, bin: u8) -> bool {
        self.0[usize::from(bin >> 6)] >> (bin & 63) & 1 == 1
    }

    /// The bins up to this one.
    pub(crate) fn up_to(last: usize) -> Self {
        let mut side = Self::default();
        (0..=last).for_each(|bin| side.insert(bin));
        side
    }
}

/// The leaf in which a row of bins ends.
pub(crate) fn leaf<'t>(tree: &'t [Grown], row: &[u8]) -> &'t [f32] {
    let mut at = 0;
    loop {
        match &tree[at] {
            Grown::Leaf(values) => return values,
            Grown::Split { feature, left, children, .. } => {
                at = children[usize::from(!left.has(row[*feature as usize]))] as usize;
            }
        }
    }
}

// === impl Gather ===

impl<'a> Gather<'a> {
    pub(crate) fn new(columns: &'a [Bins]) -> Self {
        Self { columns, trees: Trees::default(), importance: vec![Importance::default(); columns.len()] }
    }

    /// Adds a tree, once for each target that its leaves speak of, the first of which is `target`.
    pub(crate) fn push(&mut self, tree: &[Grown], target: u32) {
        let targets = tree.iter().find_map(|node| match node {
            Grown::Leaf(values) => Some(values.len()),
            Grown::Split { .. } => None,
        });
        for node in tree {
            if let Grown::Split { feature, gain, .. } = node {
                let importance = &mut self.importance[*feature as usize];
                importance.gain += gain;
                importance.splits += 1;
            }
        }
        for at in 0..targets.unwrap_or(0) {
            let root = self.trees.nodes.len() as u32;
            self.trees.trees.push(Tree { root, target: target + at as u32 });
            for node in tree {
                let node = self.node(node, root, at);
                self.trees.nodes.push(node);
            }
        }
    }

    fn node(&mut self, node: &Grown, root: u32, target: usize) -> Node<f32> {
        let (feature, left, children) = match node {
            Grown::Leaf(values) => return Node::Leaf(values[target]),
            Grown::Split { feature, left, children, .. } => (*feature, left, children),
        };
        let bins = &self.columns[feature as usize];
        let test = match &bins.kind {
            // Where only missing values go the other way, every number passes.
            Kind::Numbers(ends) => {
                let last = (0..bins.values()).rev().find(|bin| left.has(*bin as u8)).unwrap_or(0);
                Test::AtMost(ends.get(last).copied().unwrap_or(f32::INFINITY))
            }
            Kind::Categories { members, .. } => {
                let mut set: Vec<u32> = (0u8..)
                    .zip(members)
                    .filter(|(bin, _)| left.has(*bin))
                    .map(|(_, member)| *member)
                    .collect();
                set.sort_unstable();
                self.trees.sets.push(set);
                Test::OneOf(self.trees.sets.len() as u32 - 1)
            }
        };
        let missing = left.has(bins.missing() as u8);
        Node::Split { feature, test, missing, yes: root + children[0], no: root + children[1] }
    }

    /// The model.
    pub(crate) fn finish(
        self,
        columns: &[Column],
        targets: usize,
        divisor: Option<u32>,
        transform: Transform,
    ) -> Booster {
        let spec = |name: &str, shape| TensorSpec {
            name: name.into(),
            datatype: Datatype::Fp32,
            shape,
            labels: None,
        };
        let output = if targets == 1 { vec![-1] } else { vec![-1, targets as i64] };
        Booster {
            signature: Signature {
                inputs: vec![spec("input", vec![-1, columns.len() as i64])],
                outputs: vec![spec("predict", output)],
            },
            columns: columns.iter().map(|column| column.name.clone()).collect(),
            forest: Forest::Single(self.trees),
            targets,
            divisor,
            transform,
        }
    }
}
