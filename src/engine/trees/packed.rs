//! Trees in the forms of [`crate::native::simd`]: byte columns, and nodes that are compared many at a time.

mod categories;
mod packer;
mod ranks;

use self::categories::Categories;
use self::packer::{BLOCK_EXITS, PAIR_LEAVES, Packer};
use self::ranks::Ranks;
use super::forest::{Column, Forest, Reading};
use super::layout::{GROUP, Run};
use super::real::Real;
use crate::native::simd::{Also, Avx512, Block, Bytes, Fork, Nothing, Pair, Right, Thresholds};

/// Reducing a column costs about as much as so many steps of an ordinary walk.
const COLUMN_STEPS: u64 = 3;
/// Blocks may take so many times the places of the nodes they hold; trees that share nodes, or are nothing but
/// a path, would take more.
const MAX_WASTE: usize = 6;

/// So many trees are taken even if they hardly have nodes.
const MANY_TREES: usize = 4096;

/// A forest in these forms.
#[derive(Debug)]
pub(super) struct Packed<T: Real> {
    pub(super) simd: Avx512,
    pub(super) thresholds: Vec<Thresholds<T::Key>>,
    pub(super) pairs: Vec<Pair<T>>,
    pub(super) forks: Vec<Fork<T>>,
    pub(super) blocks: Vec<Block>,
    pub(super) leaves: Vec<T>,
    /// The upper parts of trees that are split into blocks.
    pub(super) tops: Vec<Pair<u32>>,
    /// Columns that are read as categories; the row's categories are in this order.
    pub(super) slots: Vec<Column>,
    /// What categories say about the parts above; without any, nobody looks.
    of_pairs: Categories,
    of_forks: Categories,
    of_tops: Categories,
    of_blocks: Categories,
}

impl<T: Real> Packed<T> {
    /// `None` where these forms would not pay, or do not exist.
    pub(super) fn new(forest: &Forest<T>, simd: Avx512) -> Option<(Self, Vec<Run>)> {
        let ranks = Ranks::of(forest);
        let thresholds = ranks.thresholds(&forest.columns)?;
        let steps: u64 = forest.roots.iter().map(|root| u64::from(forest.heights[*root as usize])).sum();
        // A tree takes a place of its own here, however few nodes it has and with whomever it shares them.
        let pays = steps > COLUMN_STEPS * thresholds.len() as u64;
        if !pays || forest.roots.len() > forest.links.len() / 3 + MANY_TREES {
            return None;
        }
        let mut out = Self {
            simd,
            thresholds,
            pairs: Vec::new(),
            forks: Vec::new(),
            blocks: Vec::new(),
            leaves: Vec::new(),
            tops: Vec::new(),
            slots: Vec::new(),
            of_pairs: Categories::default(),
            of_forks: Categories::default(),
            of_tops: Categories::default(),
            of_blocks: Categories::default(),
        };
        let mut runs: Vec<Run> = Vec::new();
        let mut slots = vec![0; forest.columns.len()];
        for (slot, column) in slots.iter_mut().zip(&forest.columns) {
            if matches!(column.reading, Reading::Category(_)) {
                *slot = out.slots.len() as u32;
                out.slots.push(*column);
            }
        }
        let most_blocks = forest.links.len() * MAX_WASTE / BLOCK_EXITS + 64;
        let mut packer = Packer::new(forest, ranks, slots, most_blocks);
        for roots in forest.roots.chunks(GROUP) {
            let of = |value: &Vec<u32>| roots.iter().map(|root| value[*root as usize]).max().unwrap_or(0);
            if of(&packer.counts) <= PAIR_LEAVES {
                for roots in roots.chunks(2) {
                    runs.push(Run::Pairs { first: out.pairs.len(), trees: roots.len() });
                    let (pair, members) = packer.pair(roots, |place, leaf| *leaf = packer.value(place));
                    out.pairs.push(pair);
                    out.of_pairs.push(members, &forest.sets)?;
                }
            } else if roots.iter().all(|root| packer.forks(*root)) {
                for roots in roots.chunks(2) {
                    runs.push(Run::Forks { first: out.forks.len(), trees: roots.len() });
                    let (fork, members) = packer.fork(roots);
                    out.forks.push(fork);
                    out.of_forks.push(members, &forest.sets)?;
                }
            } else {
                runs.push(Run::Split { first: out.tops.len(), trees: roots.len() });
                for roots in roots.chunks(2) {
                    let (top, members) = packer.split(roots, &mut out)?;
                    out.tops.push(top);
                    out.of_tops.push(members, &forest.sets)?;
                }
            }
        }
        Some((out, runs))
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.thresholds)
            + size_of_val(&*self.pairs)
            + size_of_val(&*self.forks)
            + size_of_val(&*self.blocks)
            + size_of_val(&*self.leaves)
            + size_of_val(&*self.tops)
            + self.of_pairs.bytes()
            + self.of_forks.bytes()
            + self.of_tops.bytes()
            + self.of_blocks.bytes()
    }

    /// Calls `leaf` with the leaf of each tree of a run, in order; `categories` are the row's.
    #[inline]
    pub(super) fn walk(&self, run: &Run, bytes: &Bytes, categories: &[u32], leaf: impl FnMut(T)) {
        // Twice, so that trees without categories have nothing of them in their loops.
        if self.slots.is_empty() {
            self.walk_with(run, bytes, |_, _| Nothing, leaf);
        } else {
            let of_row = |parts, first| OfRow { parts, first, blocks: &self.of_blocks, categories };
            self.walk_with(run, bytes, of_row, leaf);
        }
    }

    #[inline]
    fn walk_with<'p, A: Also>(
        &'p self,
        run: &Run,
        bytes: &Bytes,
        also: impl Fn(&'p Categories, usize) -> A,
        mut leaf: impl FnMut(T),
    ) {
        let (simd, columns) = (self.simd, self.thresholds.len());
        match *run {
            Run::Pairs { trees, first } => {
                // An odd tree stands in the last pair, with a filler.
                let (pairs, odd) = self.pairs[first..first + trees.div_ceil(2)].split_at(trees / 2);
                let (of_pairs, of_odd) =
                    (also(&self.of_pairs, first), also(&self.of_pairs, first + trees / 2));
                simd.pairs(pairs, bytes, columns, &of_pairs, |leaves| leaves.into_iter().for_each(&mut leaf));
                simd.pairs(odd, bytes, columns, &of_odd, |[one, _]| leaf(one));
            }
            Run::Forks { trees, first } => {
                let (forks, odd) = self.forks[first..first + trees.div_ceil(2)].split_at(trees / 2);
                let (of_forks, of_odd) =
                    (also(&self.of_forks, first), also(&self.of_forks, first + trees / 2));
                simd.forks(forks, bytes, columns, &of_forks, |leaves| leaves.into_iter().for_each(&mut leaf));
                simd.forks(odd, bytes, columns, &of_odd, |[one, _]| leaf(one));
            }
            Run::Split { trees, first } => {
                let tops = &self.tops[first..first + trees.div_ceil(2)];
                let forest = (tops, &*self.blocks, &*self.leaves);
                simd.split(forest, trees, bytes, columns, &also(&self.of_tops, first), leaf);
            }
            Run::Full { .. } | Run::Linked { .. } | Run::Mixed { .. } => {}
        }
    }
}

/// The nodes that a row's categories send right, for parts from number `first` on.
struct OfRow<'p> {
    parts: &'p Categories,
    first: usize,
    blocks: &'p Categories,
    categories: &'p [u32],
}

impl Also for OfRow<'_> {
    #[inline]
    fn pair(&self, number: usize) -> Right {
        self.parts.right(self.first + number, self.categories)
    }

    #[inline]
    fn block(&self, number: usize) -> u16 {
        self.blocks.right(number, self.categories).nodes as u16
    }
}
