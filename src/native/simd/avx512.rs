//! The kernels. `unsafe` here is of two kinds: loads from arrays of known length, and calls of functions
//! that need instructions which an [`Avx512`] proves to be there.
#![expect(unsafe_code, reason = "loads of whole registers, and calls that need certain instructions")]

use std::arch::x86_64::{
    __m128i, __m256i, __m512i, _mm_cmpgt_epu8_mask, _mm_loadu_si128, _mm256_loadu_si256, _mm256_set1_epi16,
    _mm256_testn_epi16_mask, _mm512_castsi512_si128, _mm512_cmpgt_epi32_mask, _mm512_cmpgt_epi64_mask,
    _mm512_cmpgt_epu8_mask, _mm512_loadu_si512, _mm512_mask_blend_epi8, _mm512_movepi8_mask,
    _mm512_permutex2var_epi8, _mm512_permutexvar_epi8, _mm512_set1_epi32, _mm512_set1_epi64,
    _mm512_testn_epi32_mask, _mm512_zextsi128_si512,
};

use super::{Also, Block, Bytes, Fork, LEAF, Pair, SPLIT_PAIRS, Thresholds};

/// The proof that this processor has the instructions used here.
#[derive(Clone, Copy, Debug)]
pub struct Avx512(());

impl Avx512 {
    /// Asks the processor.
    pub fn detect() -> Option<Self> {
        let has = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vbmi")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("popcnt");
        has.then_some(Self(()))
    }

    /// Reduces a row to bytes; `key` reads a feature, given what a missing value becomes.
    #[inline]
    pub fn reduce<K: Key>(
        self,
        thresholds: &[Thresholds<K>],
        key: impl Fn(usize, K) -> K,
        bytes: &mut Bytes,
    ) {
        // SAFETY: `self` proves the instructions.
        unsafe { reduce(thresholds, key, bytes) }
    }

    /// Calls `leaf` with the leaves of each pair, in order; the second tree of the last one may be a filler.
    /// `columns` says how many of the bytes are used, `also` which nodes of a pair go right besides those whose
    /// bytes say so.
    #[inline]
    pub fn pairs<L: Copy>(
        self,
        pairs: &[Pair<L>],
        bytes: &Bytes,
        columns: usize,
        also: &impl Also,
        leaf: impl FnMut([L; 2]),
    ) {
        // SAFETY: `self` proves the instructions.
        unsafe {
            match columns {
                ..=64 => walk_pairs::<L, 1>(pairs, bytes, also, leaf),
                65..=128 => walk_pairs::<L, 2>(pairs, bytes, also, leaf),
                _ => walk_pairs::<L, 4>(pairs, bytes, also, leaf),
            }
        }
    }

    /// As [`Avx512::pairs`].
    #[inline]
    pub fn forks<L: Copy>(
        self,
        forks: &[Fork<L>],
        bytes: &Bytes,
        columns: usize,
        also: &impl Also,
        leaf: impl FnMut([L; 2]),
    ) {
        // SAFETY: `self` proves the instructions.
        unsafe {
            match columns {
                ..=64 => walk_forks::<L, 1>(forks, bytes, also, leaf),
                65..=128 => walk_forks::<L, 2>(forks, bytes, also, leaf),
                _ => walk_forks::<L, 4>(forks, bytes, also, leaf),
            }
        }
    }

    /// Calls `leaf` with the leaf of each of the first `trees` of at most [`SPLIT_PAIRS`] pairs, in order, which are
    /// split into parts; the nodes of tops and blocks that go right besides come from `also`.
    #[inline]
    pub fn split<L: Copy>(
        self,
        (tops, blocks, leaves): (&[Pair<u32>], &[Block], &[L]),
        trees: usize,
        bytes: &Bytes,
        columns: usize,
        also: &impl Also,
        leaf: impl FnMut(L),
    ) {
        // SAFETY: `self` proves the instructions.
        unsafe {
            match columns {
                ..=64 => walk_split::<L, 1>((tops, blocks, leaves), trees, bytes, also, leaf),
                65..=128 => walk_split::<L, 2>((tops, blocks, leaves), trees, bytes, also, leaf),
                _ => walk_split::<L, 4>((tops, blocks, leaves), trees, bytes, also, leaf),
            }
        }
    }
}

/// Keys that can be compared sixteen at a time.
pub trait Key: Copy {
    /// How many of `keys` are below `key`.
    ///
    /// # Safety
    /// Only where an [`Avx512`] was had.
    unsafe fn above(key: Self, keys: &[Self; 16]) -> u32;
}

impl Key for i32 {
    #[inline]
    #[target_feature(enable = "avx512f,popcnt")]
    unsafe fn above(key: Self, keys: &[Self; 16]) -> u32 {
        // SAFETY: sixteen keys are one register.
        let keys = unsafe { _mm512_loadu_si512(keys.as_ptr().cast()) };
        u32::from(_mm512_cmpgt_epi32_mask(_mm512_set1_epi32(key), keys)).count_ones()
    }
}

impl Key for i64 {
    #[inline]
    #[target_feature(enable = "avx512f,popcnt")]
    unsafe fn above(key: Self, keys: &[Self; 16]) -> u32 {
        let key = _mm512_set1_epi64(key);
        // SAFETY: sixteen keys are two registers.
        let (low, high) = unsafe {
            (_mm512_loadu_si512(keys.as_ptr().cast()), _mm512_loadu_si512(keys.as_ptr().add(8).cast()))
        };
        let low = _mm512_cmpgt_epi64_mask(key, low);
        let high = _mm512_cmpgt_epi64_mask(key, high);
        (u32::from(high) << 8 | u32::from(low)).count_ones()
    }
}

#[target_feature(enable = "avx512f,popcnt")]
fn reduce<K: Key>(thresholds: &[Thresholds<K>], key: impl Fn(usize, K) -> K, bytes: &mut Bytes) {
    for (byte, column) in bytes.0.iter_mut().zip(thresholds) {
        let key = key(column.feature as usize, column.missing);
        // SAFETY: this function's instructions are those that are needed.
        let part = unsafe { K::above(key, &column.last) }.min(15);
        let keys = &column.keys.as_chunks::<16>().0[part as usize];
        // SAFETY: as above.
        let within = unsafe { K::above(key, keys) };
        *byte = (part * 16 + within).min(255) as u8;
    }
}

/// What nodes look at: the byte of each column number, from `TABLES` registers of 64 bytes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
fn look_up<const TABLES: usize>(columns: __m512i, tables: &[__m512i; 4]) -> __m512i {
    match TABLES {
        1 => _mm512_permutexvar_epi8(columns, tables[0]),
        2 => _mm512_permutex2var_epi8(tables[0], columns, tables[1]),
        _ => _mm512_mask_blend_epi8(
            _mm512_movepi8_mask(columns),
            _mm512_permutex2var_epi8(tables[0], columns, tables[1]),
            _mm512_permutex2var_epi8(tables[2], columns, tables[3]),
        ),
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn tables(bytes: &Bytes) -> [__m512i; 4] {
    let at = |table: usize| {
        let table = &bytes.0.as_chunks::<64>().0[table];
        // SAFETY: 64 bytes are one register.
        unsafe { _mm512_loadu_si512(table.as_ptr().cast()) }
    };
    [at(0), at(1), at(2), at(3)]
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load64(values: &[u8; 64]) -> __m512i {
    // SAFETY: 64 bytes are one register.
    unsafe { _mm512_loadu_si512(values.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi,bmi1,bmi2,popcnt")]
fn walk_pairs<L: Copy, const TABLES: usize>(
    pairs: &[Pair<L>],
    bytes: &Bytes,
    also: &impl Also,
    mut leaf: impl FnMut([L; 2]),
) {
    let tables = tables(bytes);
    for (number, pair) in pairs.iter().enumerate() {
        let found = look_up::<TABLES>(load64(&pair.columns), &tables);
        let right = _mm512_cmpgt_epu8_mask(found, load64(&pair.bounds)) | also.pair(number).nodes;
        let first = first_left(right as u32, &pair.left[0]);
        let second = first_left((right >> 32) as u32, &pair.left[1]);
        leaf([pair.leaves[0][first], pair.leaves[1][second]]);
    }
}

/// The first of 32 leaves that none of the nodes in `right` has on its left.
#[inline]
#[target_feature(enable = "avx512f,bmi1")]
fn first_left(right: u32, left: &[u32; 32]) -> usize {
    let right = _mm512_set1_epi32(right.cast_signed());
    // SAFETY: 32 masks are two registers.
    let (low, high) = unsafe {
        (_mm512_loadu_si512(left.as_ptr().cast()), _mm512_loadu_si512(left.as_ptr().add(16).cast()))
    };
    let low = _mm512_testn_epi32_mask(right, low);
    let high = _mm512_testn_epi32_mask(right, high);
    ((u32::from(high) << 16 | u32::from(low)).trailing_zeros() & 31) as usize
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi,bmi1,bmi2,popcnt")]
fn walk_forks<L: Copy, const TABLES: usize>(
    forks: &[Fork<L>],
    bytes: &Bytes,
    also: &impl Also,
    mut leaf: impl FnMut([L; 2]),
) {
    let tables = tables(bytes);
    for (number, fork) in forks.iter().enumerate() {
        let also = also.pair(number);
        let found = look_up::<TABLES>(load64(&fork.columns), &tables);
        let right = _mm512_cmpgt_epu8_mask(found, load64(&fork.bounds)) | also.nodes;
        let found = look_up::<TABLES>(load64(&fork.last_columns), &tables);
        let last = _mm512_cmpgt_epu8_mask(found, load64(&fork.last_bounds)) | also.last;
        let first = first_left(right as u32, &fork.left[0]);
        let second = first_left((right >> 32) as u32, &fork.left[1]);
        let first = 2 * first + (last >> first & 1) as usize;
        let second = 2 * second + (last >> (second + 32) & 1) as usize;
        leaf([fork.leaves[0][first & 63], fork.leaves[1][second & 63]]);
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi,bmi1,bmi2,popcnt")]
fn walk_split<L: Copy, const TABLES: usize>(
    (tops, blocks, leaves): (&[Pair<u32>], &[Block], &[L]),
    trees: usize,
    bytes: &Bytes,
    also: &impl Also,
    mut leaf: impl FnMut(L),
) {
    let tables = tables(bytes);
    let mut at = [LEAF; 2 * SPLIT_PAIRS];
    let mut pairs = at.as_chunks_mut::<2>().0.iter_mut();
    walk_pairs::<u32, TABLES>(&tops[..tops.len().min(SPLIT_PAIRS)], bytes, also, |pair| {
        if let Some(at) = pairs.next() {
            *at = pair;
        }
    });
    while at.iter().fold(LEAF, |all, at| all & at) == 0 {
        for at in &mut at {
            // Who has arrived looks at any block, and stays.
            let arrived = *at & LEAF != 0;
            let number = if arrived { 0 } else { *at as usize };
            let block = &blocks[number];
            let found = look_up::<TABLES>(_mm512_zextsi128_si512(load16(&block.columns)), &tables);
            let right = _mm_cmpgt_epu8_mask(_mm512_castsi512_si128(found), load16(&block.bounds));
            let right = right | also.block(number);
            let left = _mm256_testn_epi16_mask(_mm256_set1_epi16(right.cast_signed()), load32(&block.left));
            let next = block.exits[u32::from(left).trailing_zeros() as usize & 15];
            *at = if arrived { *at } else { next };
        }
    }
    for at in at.iter().take(trees) {
        leaf(leaves[(at & !LEAF) as usize]);
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load16(values: &[u8; 16]) -> __m128i {
    // SAFETY: sixteen bytes are one register.
    unsafe { _mm_loadu_si128(values.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load32(values: &[u16; 16]) -> __m256i {
    // SAFETY: sixteen masks are one register.
    unsafe { _mm256_loadu_si256(values.as_ptr().cast()) }
}
