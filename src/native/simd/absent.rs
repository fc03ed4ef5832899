//! The interface of `avx512.rs` on other processors.
#![expect(missing_docs, reason = "as there")]

use super::{Also, Block, Bytes, Fork, Pair, Thresholds};

#[derive(Clone, Copy, Debug)]
pub enum Avx512 {}

pub trait Key: Copy {}

impl Key for i32 {}
impl Key for i64 {}

impl Avx512 {
    pub fn detect() -> Option<Self> {
        None
    }

    pub fn reduce<K: Key>(
        self,
        _thresholds: &[Thresholds<K>],
        _key: impl Fn(usize, K) -> K,
        _bytes: &mut Bytes,
    ) {
        match self {}
    }

    pub fn pairs<L>(
        self,
        _pairs: &[Pair<L>],
        _bytes: &Bytes,
        _columns: usize,
        _also: &impl Also,
        _leaf: impl FnMut([L; 2]),
    ) {
        match self {}
    }

    pub fn forks<L>(
        self,
        _forks: &[Fork<L>],
        _bytes: &Bytes,
        _columns: usize,
        _also: &impl Also,
        _leaf: impl FnMut([L; 2]),
    ) {
        match self {}
    }

    pub fn split<L>(
        self,
        _forest: (&[Pair<u32>], &[Block], &[L]),
        _trees: usize,
        _bytes: &Bytes,
        _columns: usize,
        _also: &impl Also,
        _leaf: impl FnMut(L),
    ) {
        match self {}
    }
}
