//! Where nodes stand that files name by tree and number.

use std::collections::HashMap;

use crate::engine::trees::builder::{unsupported, wrong};
use crate::model::LoadError;
use crate::onnx::Node;

/// Tree and node number to place in the list of all nodes.
pub(super) struct Places {
    trees: HashMap<i64, Tree>,
    /// The first node of each tree.
    pub(super) roots: Vec<u32>,
}

struct Tree {
    first: u32,
    count: u32,
    /// Numbers to places, unless they simply count from 0, as converters write them.
    numbers: Option<HashMap<i64, u32>>,
}

impl Places {
    /// From the lists of a node; a tree's nodes must stand together.
    pub(super) fn new(node: &Node, trees: &[i64], numbers: &[i64]) -> Result<Self, LoadError> {
        let mut out = Self { trees: HashMap::new(), roots: Vec::new() };
        let mut first = 0;
        for run in trees.chunk_by(|a, b| a == b) {
            let (tree, own) = (run[0], &numbers[first..first + run.len()]);
            let in_order = own.iter().zip(0..).all(|(number, place)| *number == place);
            let mut places = None;
            if !in_order {
                let all: HashMap<i64, u32> = own.iter().copied().zip(first as u32..).collect();
                if all.len() < own.len() {
                    // The last of the two is the one that was kept.
                    let twice = own.iter().zip(first as u32..).find(|(number, place)| all[number] != *place);
                    let number = twice.map_or(0, |(number, _)| *number);
                    return Err(wrong(node, &format!("node {number} of tree {tree} is there twice")));
                }
                places = Some(all);
            }
            let found = Tree { first: first as u32, count: run.len() as u32, numbers: places };
            if out.trees.insert(tree, found).is_some() {
                return Err(unsupported(node, &format!("nodes of tree {tree} among those of other trees")));
            }
            out.roots.push(first as u32);
            first += run.len();
        }
        if out.roots.is_empty() { Err(wrong(node, "there are no trees")) } else { Ok(out) }
    }

    /// A way to look up places that is fast for nodes of one tree after the other.
    pub(super) fn finder(&self) -> impl FnMut(i64, i64) -> Option<u32> {
        let mut last = None;
        move |tree, number| {
            let found = match last {
                Some((same, found)) if same == tree => found,
                _ => self.trees.get(&tree)?,
            };
            last = Some((tree, found));
            match &found.numbers {
                Some(places) => places.get(&number).copied(),
                None => u32::try_from(number).ok().filter(|n| *n < found.count).map(|n| found.first + n),
            }
        }
    }
}
