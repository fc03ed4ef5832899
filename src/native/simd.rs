//! Trees compared many nodes at a time, where the processor has AVX-512 with byte permutations.
//!
//! A row is first reduced to bytes: a column's byte is the number of its thresholds that lie below the value,
//! so `x > threshold` becomes `byte > rank`, exactly ([`Thresholds`]). The bytes of a row fit into registers.
//! One permutation then fetches what up to 64 nodes look at, one comparison gives a bit per node, set where
//! the row goes right, and the leaf follows from the bits without walking: leaves are numbered from left to
//! right, and a leaf is out of the question if any node that has it on its left goes right; the first that is
//! left is the row's leaf (Lucchese et al., *QuickScorer*, SIGIR 2015, which meets the nodes one by one).
//!
//! The forms below are plain data. [`Avx512`] proves that the instructions are there; without it nobody calls.

#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
pub use avx512::{Avx512, Key};

/// The most byte columns of a row: what two permutations of two registers reach.
pub const MAX_BYTE_COLUMNS: usize = 256;
/// The most thresholds of a byte column.
pub const MAX_THRESHOLDS: usize = 255;
/// A bound that no byte is above: for nodes that are not there.
pub const NEVER: u8 = 255;
/// So many pairs of trees that are split into parts are under way at once: a step waits for the one before.
pub const SPLIT_PAIRS: usize = 4;
/// Marks an exit of a [`Block`] as a leaf.
pub const LEAF: u32 = 1 << 31;

/// The byte columns of one row.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct Bytes(pub [u8; MAX_BYTE_COLUMNS]);

/// The thresholds of one byte column in ascending order, filled up with the largest key.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub struct Thresholds<K> {
    /// Every sixteenth of `keys`, so that a look-up compares twice.
    pub last: [K; 16],
    /// The thresholds.
    pub keys: [K; 256],
    /// The feature that is looked up.
    pub feature: u32,
    /// The key of a missing value.
    pub missing: K,
}

/// Nodes of a pair of trees that go right for reasons that bytes do not tell.
#[derive(Clone, Copy, Debug, Default)]
pub struct Right {
    /// Of the upper parts: 32 a tree.
    pub nodes: u64,
    /// Of the splits at the ways out of a [`Fork`].
    pub last: u64,
}

/// Tells which nodes go right besides those whose bytes say so.
pub trait Also {
    /// Of the pair, or the upper parts, of that number.
    fn pair(&self, number: usize) -> Right;
    /// Of the block of that number.
    fn block(&self, number: usize) -> u16;
}

/// None do.
#[derive(Clone, Copy, Debug)]
pub struct Nothing;

impl Also for Nothing {
    #[inline]
    fn pair(&self, _number: usize) -> Right {
        Right::default()
    }

    #[inline]
    fn block(&self, _number: usize) -> u16 {
        0
    }
}

/// Two trees of at most 32 leaves; or the upper parts of two trees, whose leaves say where to go on: to a
/// [`Block`], or to a leaf with [`LEAF`].
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub struct Pair<L> {
    /// Per node the byte column, 32 nodes a tree in any order.
    pub columns: [u8; 64],
    /// Per node: a row goes right if its byte is above.
    pub bounds: [u8; 64],
    /// Per leaf the nodes that have it on their left, 32 leaves a tree from left to right.
    pub left: [[u32; 32]; 2],
    /// The leaves.
    pub leaves: [[L; 32]; 2],
}

/// Two trees of at most 64 leaves: upper parts like those of a [`Pair`], with one more split, or a leaf, at
/// each way out.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub struct Fork<L> {
    /// Per node the byte column, 32 nodes a tree in any order.
    pub columns: [u8; 64],
    /// Per node: a row goes right if its byte is above.
    pub bounds: [u8; 64],
    /// Byte columns of the splits at the ways out.
    pub last_columns: [u8; 64],
    /// Their bounds.
    pub last_bounds: [u8; 64],
    /// Per way out the nodes that have it on their left, 32 a tree from left to right.
    pub left: [[u32; 32]; 2],
    /// The leaves, two a way out.
    pub leaves: [[L; 64]; 2],
}

/// A lower part of a tree, with at most 16 ways out; as large as two cache lines, the first of which decides.
#[derive(Clone, Debug)]
#[repr(C, align(128))]
pub struct Block {
    /// Per node the byte column.
    pub columns: [u8; 16],
    /// Per node: a row goes right if its byte is above.
    pub bounds: [u8; 16],
    /// Per way out the nodes that have it on their left, from left to right.
    pub left: [u16; 16],
    /// Where they lead: another block, or a leaf with [`LEAF`].
    pub exits: [u32; 16],
}

/// Where there are no such instructions: the proof cannot be had, so that nothing here is ever called.
#[cfg(not(target_arch = "x86_64"))]
mod absent;
#[cfg(not(target_arch = "x86_64"))]
pub use absent::{Avx512, Key};
