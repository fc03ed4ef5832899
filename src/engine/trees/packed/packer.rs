//! Trees written down in the forms of [`crate::native::simd`].

use std::collections::HashMap;

use super::Packed;
use super::categories::Member;
use super::ranks::Ranks;
use crate::engine::trees::forest::{Forest, Link};
use crate::engine::trees::real::Real;
use crate::native::simd::{Block, Fork, LEAF, NEVER, Pair, Right};

/// Leaves of a tree in a [`Pair`], ways out of a [`Block`].
pub(super) const PAIR_LEAVES: u32 = 32;
pub(super) const BLOCK_EXITS: usize = 16;

pub(super) struct Packer<'f, T: Real> {
    forest: &'f Forest<T>,
    ranks: Ranks<T::Key>,
    /// Leaves below each node.
    pub(super) counts: Vec<u32>,
    /// Per column, its number among those that are read as categories.
    slots: Vec<u32>,
    /// Blocks by the node they begin with: several parents may lead to one.
    places: HashMap<u32, u32>,
    most_blocks: usize,
}

/// What a node asks.
#[derive(Clone, Copy)]
enum Test {
    /// Byte column and rank.
    Above(u8, u8),
    /// Number of the category, and where the set begins.
    Member(u32, u32),
}

/// Part of a tree as numbered nodes and numbered ways out.
struct Part {
    nodes: Vec<Test>,
    /// Per way out, from left to right, the nodes that have it on their left, and where it leads.
    exits: Vec<(u64, u32)>,
}

/// A split's question, and where it leads.
struct Split {
    test: Test,
    left: u32,
    right: u32,
}

impl<'f, T: Real> Packer<'f, T> {
    pub(super) fn new(
        forest: &'f Forest<T>,
        ranks: Ranks<T::Key>,
        slots: Vec<u32>,
        most_blocks: usize,
    ) -> Self {
        Self { forest, ranks, counts: leaf_counts(forest), slots, places: HashMap::new(), most_blocks }
    }

    fn split_at(&self, place: u32) -> Option<Split> {
        match self.forest.links[place as usize] {
            Link::Split { column, threshold, left, right } => {
                let (column, rank) = self.ranks.find(column, threshold);
                Some(Split { test: Test::Above(column, rank), left, right })
            }
            Link::Member { column, set, left, right } => {
                Some(Split { test: Test::Member(self.slots[column as usize], set), left, right })
            }
            Link::Leaf(_) => None,
        }
    }

    /// The part below `root` with at most `most` ways out, the largest subtrees taken in first.
    fn part(&self, root: u32, most: usize) -> Part {
        let mut part = Part { nodes: Vec::new(), exits: vec![(0, root)] };
        while part.exits.len() < most {
            let weights = part.exits.iter().map(|(_, place)| self.counts[*place as usize]).enumerate();
            let largest = weights.max_by_key(|(at, weight)| (*weight, usize::MAX - at));
            let Some((at, _)) = largest else { break };
            let (left_of, place) = part.exits[at];
            let Some(Split { test, left, right }) = self.split_at(place) else { break };
            part.exits[at] = (left_of | 1 << part.nodes.len(), left);
            part.exits.insert(at + 1, (left_of, right));
            part.nodes.push(test);
        }
        part
    }

    pub(super) fn value(&self, place: u32) -> T {
        match self.forest.links[place as usize] {
            Link::Leaf(value) => value,
            _ => T::default(),
        }
    }

    /// One or two trees, or their upper parts; `leaf` says what to store for a way out.
    pub(super) fn pair<L: Copy + Default>(
        &self,
        roots: &[u32],
        mut leaf: impl FnMut(u32, &mut L),
    ) -> (Pair<L>, Vec<Member>) {
        let mut members = Vec::new();
        let mut pair = Pair {
            columns: [0; 64],
            bounds: [NEVER; 64],
            left: [[0; 32]; 2],
            leaves: [[L::default(); 32]; 2],
        };
        for (tree, root) in roots.iter().enumerate() {
            let part = self.part(*root, PAIR_LEAVES as usize);
            for (node, test) in part.nodes.iter().enumerate() {
                let node = tree * 32 + node;
                match *test {
                    Test::Above(column, rank) => (pair.columns[node], pair.bounds[node]) = (column, rank),
                    Test::Member(slot, set) => {
                        members.push(Member { slot, set, node: Right { nodes: 1 << node, last: 0 } });
                    }
                }
            }
            for (exit, (left, place)) in part.exits.iter().enumerate() {
                pair.left[tree][exit] = *left as u32;
                leaf(*place, &mut pair.leaves[tree][exit]);
            }
        }
        (pair, members)
    }

    /// Whether each way out of the upper part has at most two leaves.
    pub(super) fn forks(&self, root: u32) -> bool {
        let exits = self.part(root, PAIR_LEAVES as usize).exits;
        exits.iter().all(|(_, place)| self.counts[*place as usize] <= 2)
    }

    pub(super) fn fork(&self, roots: &[u32]) -> (Fork<T>, Vec<Member>) {
        let (pair, mut members) = self.pair(roots, |place, exit| *exit = Some(place));
        let Pair { columns, bounds, left, leaves: exits } = pair;
        let mut fork = Fork {
            columns,
            bounds,
            last_columns: [0; 64],
            last_bounds: [NEVER; 64],
            left,
            leaves: [[T::default(); 64]; 2],
        };
        for (tree, exits) in exits.iter().enumerate() {
            for (exit, place) in exits.iter().enumerate() {
                let Some(place) = *place else { continue };
                let leaves = &mut fork.leaves[tree][2 * exit..];
                let node = tree * 32 + exit;
                let Some(Split { test, left, right }) = self.split_at(place) else {
                    leaves[0] = self.value(place);
                    continue;
                };
                (leaves[0], leaves[1]) = (self.value(left), self.value(right));
                match test {
                    Test::Above(column, rank) => {
                        (fork.last_columns[node], fork.last_bounds[node]) = (column, rank);
                    }
                    Test::Member(slot, set) => {
                        members.push(Member { slot, set, node: Right { nodes: 0, last: 1 << node } });
                    }
                }
            }
        }
        (fork, members)
    }

    /// Lays out the blocks of one or two trees; gives their upper parts.
    pub(super) fn split(&mut self, roots: &[u32], out: &mut Packed<T>) -> Option<(Pair<u32>, Vec<Member>)> {
        let (pair, members) = self.pair(roots, |place, exit| *exit = Some(place));
        let Pair { columns, bounds, left, leaves: exits } = pair;
        let mut todo = Vec::new();
        let mut leaves = [[LEAF; 32]; 2];
        for (leaf, exit) in leaves.as_flattened_mut().iter_mut().zip(exits.as_flattened()) {
            if let Some(place) = *exit {
                *leaf = self.lead(place, out, &mut todo)?;
            }
        }
        while let Some((at, exit, place)) = todo.pop() {
            out.blocks[at as usize].exits[exit] = self.lead(place, out, &mut todo)?;
        }
        Some((Pair { columns, bounds, left, leaves }, members))
    }

    /// What leads to a node: its leaf, or a block.
    fn lead(&mut self, place: u32, out: &mut Packed<T>, todo: &mut Vec<(u32, usize, u32)>) -> Option<u32> {
        match self.forest.links[place as usize] {
            Link::Leaf(value) => {
                out.leaves.push(value);
                Some((out.leaves.len() - 1) as u32 | LEAF)
            }
            _ => self.block(place, out, todo),
        }
    }

    /// The block that begins at a split; what its ways out lead to is left to do. `None` when there are too many.
    fn block(&mut self, root: u32, out: &mut Packed<T>, todo: &mut Vec<(u32, usize, u32)>) -> Option<u32> {
        if let Some(at) = self.places.get(&root) {
            return Some(*at);
        }
        if out.blocks.len() == self.most_blocks {
            return None;
        }
        let at = out.blocks.len() as u32;
        self.places.insert(root, at);
        let part = self.part(root, ways_out(self.counts[root as usize]));
        let mut members = Vec::new();
        let mut block = Block { columns: [0; 16], bounds: [NEVER; 16], left: [0; 16], exits: [LEAF; 16] };
        for (node, test) in part.nodes.iter().enumerate() {
            match *test {
                Test::Above(column, rank) => (block.columns[node], block.bounds[node]) = (column, rank),
                Test::Member(slot, set) => {
                    members.push(Member { slot, set, node: Right { nodes: 1 << node, last: 0 } });
                }
            }
        }
        for (exit, (left, place)) in part.exits.iter().enumerate() {
            block.left[exit] = *left as u16;
            todo.push((at, exit, *place));
        }
        out.blocks.push(block);
        out.of_blocks.push(members, &self.forest.sets)?;
        Some(at)
    }
}

/// Into how many parts a tree of so many leaves is best split: as few blocks one after the other as can be,
/// of about the same size.
fn ways_out(leaves: u32) -> usize {
    let leaves = f64::from(leaves);
    let levels = leaves.log(BLOCK_EXITS as f64).ceil().max(1.0);
    (leaves.powf(1.0 / levels).ceil() as usize).clamp(2, BLOCK_EXITS)
}

/// Leaves below each node; a node that several lead to counts each time.
fn leaf_counts<T: Real>(forest: &Forest<T>) -> Vec<u32> {
    let mut counts = vec![0_u32; forest.links.len()];
    let mut todo = Vec::new();
    for root in &forest.roots {
        todo.push(*root);
        while let Some(&place) = todo.last() {
            let children = forest.links[place as usize].children();
            let unknown = children.into_iter().flatten().find(|child| counts[*child as usize] == 0);
            if let Some(child) = unknown {
                todo.push(child);
                continue;
            }
            let below = children.into_iter().flatten().map(|child| counts[child as usize]);
            counts[place as usize] = below.fold(0, u32::saturating_add).max(1);
            todo.pop();
        }
    }
    counts
}
