//! The past in blocks, short ones of what came last and ever longer ones of what came before.

use std::collections::VecDeque;

use super::scores::SCORES;

/// Lengths of blocks, each twice the one before.
const LEVELS: usize = 8;
/// Blocks of each length that are kept, of the longest fewer.
const KEPT: [usize; LEVELS] = [4, 4, 4, 4, 4, 4, 4, 2];

/// Rows that came one after another, by feature and by group of cells.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) rows: u32,
    /// Values by feature.
    pub(super) values: Vec<f32>,
    /// Sums of their scores, score by score.
    pub(super) sums: [Vec<f32>; SCORES],
    /// Values by group of all features.
    pub(super) groups: Vec<u16>,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Ladder {
    levels: [VecDeque<Block>; LEVELS],
    free: Vec<Block>,
    features: usize,
    groups: usize,
}

// === impl Block ===

impl Block {
    fn new(features: usize, groups: usize) -> Self {
        Self {
            rows: 0,
            values: vec![0.0; features],
            sums: std::array::from_fn(|_| vec![0.0; features]),
            groups: vec![0; groups],
        }
    }

    fn merge(&mut self, other: &Self) {
        self.rows += other.rows;
        add(&mut self.values, &other.values);
        self.sums.iter_mut().zip(&other.sums).for_each(|(sums, more)| add(sums, more));
        self.groups
            .iter_mut()
            .zip(&other.groups)
            .for_each(|(count, more)| *count = count.saturating_add(*more));
    }
}

fn add(known: &mut [f32], more: &[f32]) {
    known.iter_mut().zip(more).for_each(|(known, more)| *known += more);
}

// === impl Ladder ===

impl Ladder {
    pub(super) fn new(features: usize, groups: usize) -> Self {
        Self { levels: std::array::from_fn(|_| VecDeque::new()), free: Vec::new(), features, groups }
    }

    /// A block to fill, whatever is in it: in the end one that is not needed any more.
    pub(super) fn blank(&mut self) -> Block {
        self.free.pop().unwrap_or_else(|| Block::new(self.features, self.groups))
    }

    /// Takes the latest block.
    pub(super) fn push(&mut self, block: Block) {
        let mut latest = Some(block);
        for (level, kept) in self.levels.iter_mut().zip(KEPT) {
            let Some(block) = latest.take() else { return };
            level.push_front(block);
            if level.len() > kept
                && let (Some(oldest), Some(next)) = (level.pop_back(), level.pop_back())
            {
                let mut both = oldest;
                both.merge(&next);
                self.free.push(next);
                latest = Some(both);
            }
        }
        self.free.extend(latest);
    }

    /// Blocks, the latest first.
    pub(super) fn latest_first(&self) -> impl Iterator<Item = &Block> {
        self.levels.iter().flatten()
    }

    /// Bytes that it takes when it is full.
    pub(super) fn bytes(&self) -> usize {
        let block = (1 + SCORES) * self.features * size_of::<f32>() + self.groups * size_of::<u16>();
        // And one to fill, and one that was merged.
        (KEPT.iter().sum::<usize>() + 2) * (block + size_of::<Block>())
    }
}
