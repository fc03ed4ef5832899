//! The one form of all trees, and what must be true of them.

use super::{broken, too_large};
use crate::model::LoadError;

/// Trees; what a node compares and a leaf adds is of type `T`.
#[derive(Clone, Debug)]
pub struct Trees<T> {
    /// Nodes of all trees, each tree's together.
    pub nodes: Vec<Node<T>>,
    /// In the order in which their leaves are added.
    pub trees: Vec<Tree>,
    /// Sets of categories, which [`Test::OneOf`] numbers.
    pub sets: Vec<Vec<u32>>,
    /// Categories in all sets.
    members: usize,
}

/// One tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tree {
    /// Place of its first node, which is its root.
    pub root: u32,
    /// The score it adds to.
    pub target: u32,
}

/// A node; children are places among all nodes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Node<T> {
    /// Asks one feature.
    Split {
        /// Number of the feature.
        feature: u32,
        /// What is asked.
        test: Test<T>,
        /// Whether a missing value goes to `yes`.
        missing: bool,
        /// Where a row goes that passes.
        yes: u32,
        /// Where another goes.
        no: u32,
    },
    /// What the tree adds.
    Leaf(T),
}

/// What a node asks of a feature.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Test<T> {
    /// Less than this?
    Below(T),
    /// Less than this, or equal?
    AtMost(T),
    /// A category of this set?
    OneOf(u32),
}

/// Categories are below this number: float32 counts no further.
const MAX_CATEGORY: i64 = 1 << 24;
/// Categories in all sets of a file: 64 MiB of them.
const MAX_MEMBERS: usize = 1 << 24;
/// Nodes of all trees; far above any real model, and far below where places end.
const MAX_NODES: usize = 1 << 28;

impl<T> Default for Trees<T> {
    fn default() -> Self {
        Self { nodes: Vec::new(), trees: Vec::new(), sets: Vec::new(), members: 0 }
    }
}

impl<T: Copy> Trees<T> {
    /// Starts a tree; its nodes come next.
    pub(super) fn begin(&mut self, target: u32) -> Result<u32, LoadError> {
        if self.nodes.len() > MAX_NODES {
            return Err(too_large(&format!("more than {MAX_NODES} nodes")));
        }
        let root = self.nodes.len() as u32;
        self.trees.push(Tree { root, target });
        Ok(root)
    }

    /// Keeps a set of categories and gives its number.
    pub(super) fn set(&mut self, members: impl Iterator<Item = i64>) -> Result<u32, LoadError> {
        let mut set = Vec::new();
        for category in members {
            if !(0..MAX_CATEGORY).contains(&category) {
                return Err(broken(format!("category {category} is not in 0..{MAX_CATEGORY}")));
            }
            self.members += 1;
            if self.members > MAX_MEMBERS {
                return Err(too_large(&format!("more than {MAX_MEMBERS} categories in all splits")));
            }
            set.push(category as u32);
        }
        self.sets.push(set);
        Ok(self.sets.len() as u32 - 1)
    }

    /// Checks that a tree of these children is one: all there, none with two parents, none above its root. `extra`
    /// nodes may stand behind those of the file.
    pub(super) fn check_children(
        nodes: usize,
        pairs: impl Iterator<Item = (usize, [i64; 2])>,
    ) -> Result<(), LoadError> {
        let mut seen = vec![false; nodes];
        for (node, children) in pairs {
            for child in children {
                let slot = usize::try_from(child).ok().and_then(|child| seen.get_mut(child));
                match slot {
                    None => {
                        return Err(broken(format!("node {node} leads to node {child}, which is not there")));
                    }
                    Some(_) if child == 0 => {
                        return Err(broken(format!("node {node} leads back to the root")));
                    }
                    Some(true) => {
                        return Err(broken(format!(
                            "node {node} is not the only one that leads to node {child}"
                        )));
                    }
                    Some(seen) => *seen = true,
                }
            }
        }
        Ok(())
    }

    /// The nodes of the tree with this number.
    pub fn of(&self, tree: usize) -> &[Node<T>] {
        &self.nodes[self.range(tree)]
    }

    /// The leaves of the tree with this number.
    pub(super) fn leaves_mut(&mut self, tree: usize) -> impl Iterator<Item = &mut T> {
        let range = self.range(tree);
        self.nodes[range].iter_mut().filter_map(|node| match node {
            Node::Leaf(value) => Some(value),
            Node::Split { .. } => None,
        })
    }

    fn range(&self, tree: usize) -> std::ops::Range<usize> {
        let end = self.trees.get(tree + 1).map_or(self.nodes.len(), |next| next.root as usize);
        self.trees[tree].root as usize..end
    }

    /// Checks that no split asks a feature beyond `features`.
    pub(super) fn check_features(&self, features: usize) -> Result<(), LoadError> {
        for tree in 0..self.trees.len() {
            for (node, found) in self.of(tree).iter().enumerate() {
                if let Node::Split { feature, .. } = found
                    && *feature as usize >= features
                {
                    return Err(broken(format!(
                        "tree {tree}, node {node}: there is no feature {feature}, the model has {features}"
                    )));
                }
            }
        }
        Ok(())
    }
}
