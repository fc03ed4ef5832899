//! Thresholds in order: what a row's numbers are reduced to.

use crate::engine::trees::forest::{Column, Forest, Link};
use crate::engine::trees::real::{Key, Real};
use crate::native::simd::{MAX_BYTE_COLUMNS, MAX_THRESHOLDS, Thresholds};

/// Where a threshold of a column went: byte column and rank.
pub(super) struct Ranks<K> {
    /// Per column its thresholds in order, and the first of its byte columns.
    columns: Vec<(Vec<K>, usize)>,
}

impl<K: Key> Ranks<K> {
    pub(super) fn of<T: Real<Key = K>>(forest: &Forest<T>) -> Self {
        let mut columns = vec![Vec::new(); forest.columns.len()];
        for link in &forest.links {
            if let Link::Split { column, threshold, .. } = link {
                columns[*column as usize].push(*threshold);
            }
        }
        let mut first = 0;
        let columns = columns.into_iter().map(|mut thresholds: Vec<K>| {
            thresholds.sort_unstable();
            thresholds.dedup();
            let begin = first;
            first += thresholds.len().div_ceil(MAX_THRESHOLDS);
            (thresholds, begin)
        });
        Self { columns: columns.collect() }
    }

    /// `None` when there are more than a row's bytes can be.
    pub(super) fn thresholds(&self, columns: &[Column]) -> Option<Vec<Thresholds<K>>> {
        let chunks = |(column, (thresholds, _)): (&Column, &(Vec<K>, usize))| {
            let of = |chunk: &[K]| filled(chunk, column);
            thresholds.chunks(MAX_THRESHOLDS).map(of).collect::<Vec<_>>()
        };
        let all = self.columns.iter().map(|(thresholds, _)| thresholds.len().div_ceil(MAX_THRESHOLDS));
        let fits = all.sum::<usize>() <= MAX_BYTE_COLUMNS;
        fits.then(|| columns.iter().zip(&self.columns).flat_map(chunks).collect())
    }

    pub(super) fn find(&self, column: u32, threshold: K) -> (u8, u8) {
        let (thresholds, first) = &self.columns[column as usize];
        let rank = thresholds.partition_point(|other| *other < threshold);
        ((first + rank / MAX_THRESHOLDS) as u8, (rank % MAX_THRESHOLDS) as u8)
    }
}

fn filled<K: Key>(keys: &[K], column: &Column) -> Thresholds<K> {
    let mut out = Thresholds {
        last: [K::MOST; 16],
        keys: [K::MOST; 256],
        feature: column.feature,
        missing: column.reading.missing(),
    };
    out.keys[..keys.len()].copy_from_slice(keys);
    out.last = std::array::from_fn(|part| out.keys[part * 16 + 15]);
    out
}
