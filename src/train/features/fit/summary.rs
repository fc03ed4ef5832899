//! What is collected of one raw column.

use std::collections::HashMap;

use sidegate::stats::Moments;

use super::sketch::Sketch;
use crate::features::error::{Error, data};
use crate::features::raw::{RawColumn, Whole};
use crate::features::recipe::Keys;

/// More different values of one column than this are no categories, and would need much memory.
const MAX_DISTINCT: usize = 1 << 20;

/// What will be asked of a column, so that the rest is not collected.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wanted {
    pub(super) moments: bool,
    pub(super) quantiles: bool,
    pub(super) categories: bool,
}

/// A summary that grows row by row. Infinite values count as missing: no mean or bound could be made of them.
#[derive(Clone, Debug)]
pub(super) struct Summary {
    wanted: Wanted,
    pub(super) missing: u64,
    pub(super) moments: Moments,
    pub(super) least: f32,
    pub(super) most: f32,
    sketch: Sketch,
    counts: Counts,
}

/// How often each value came.
#[derive(Clone, Debug)]
enum Counts {
    Texts(HashMap<Box<[u8]>, u64>),
    Integers(HashMap<i64, u64>),
    /// By bits; zero has one sign.
    Numbers(HashMap<u32, u64>),
}

impl Summary {
    pub(super) fn new(column: &RawColumn, wanted: Wanted) -> Self {
        let counts = match column {
            RawColumn::Texts(_) => Counts::Texts(HashMap::new()),
            RawColumn::Numbers(_) => Counts::Numbers(HashMap::new()),
            RawColumn::Integers(_) | RawColumn::Times(_) => Counts::Integers(HashMap::new()),
        };
        Self {
            wanted,
            missing: 0,
            moments: Moments::default(),
            least: f32::INFINITY,
            most: f32::NEG_INFINITY,
            sketch: Sketch::default(),
            counts,
        }
    }

    pub(super) fn push(&mut self, name: &str, column: &RawColumn) -> Result<(), Error> {
        match column {
            RawColumn::Numbers(values) => values.iter().for_each(|value| self.number(*value)),
            RawColumn::Integers(whole) | RawColumn::Times(whole) => self.whole(whole),
            RawColumn::Texts(texts) => {
                for text in texts.iter() {
                    self.text(name, text)?;
                }
            }
        }
        let distinct = match &self.counts {
            Counts::Texts(counts) => counts.len(),
            Counts::Integers(counts) => counts.len(),
            Counts::Numbers(counts) => counts.len(),
        };
        if distinct > MAX_DISTINCT {
            return Err(data!(
                "column `{name}` has more than {MAX_DISTINCT} different values, too many for categories; leave it out by a feature of type \"drop\""
            ));
        }
        Ok(())
    }

    fn number(&mut self, value: f32) {
        if !value.is_finite() {
            self.missing += 1;
            return;
        }
        self.measure(value);
        if let (Counts::Numbers(counts), true) = (&mut self.counts, self.wanted.categories) {
            *counts.entry((value + 0.0).to_bits()).or_default() += 1;
        }
    }

    fn whole(&mut self, whole: &Whole) {
        for value in whole.iter() {
            let Some(value) = value else {
                self.missing += 1;
                continue;
            };
            self.measure(value as f32);
            if let (Counts::Integers(counts), true) = (&mut self.counts, self.wanted.categories) {
                *counts.entry(value).or_default() += 1;
            }
        }
    }

    fn text(&mut self, name: &str, text: &[u8]) -> Result<(), Error> {
        if text.is_empty() {
            self.missing += 1;
            return Ok(());
        }
        let Counts::Texts(counts) = &mut self.counts else { return Ok(()) };
        if !self.wanted.categories {
            return Ok(());
        }
        if let Some(count) = counts.get_mut(text) {
            *count += 1;
            return Ok(());
        }
        if std::str::from_utf8(text).is_err() {
            return Err(data!("column `{name}` holds a text that is not UTF-8"));
        }
        counts.insert(text.into(), 1);
        Ok(())
    }

    fn measure(&mut self, value: f32) {
        if self.wanted.moments {
            self.moments.push(value.into());
            self.least = self.least.min(value);
            self.most = self.most.max(value);
        }
        if self.wanted.quantiles {
            self.sketch.push(value);
        }
    }

    pub(super) fn quantiles(&self, shares: &[f64]) -> Option<Vec<f32>> {
        self.sketch.quantiles(shares)
    }

    /// The most frequent values, ascending; of equally frequent ones the lesser.
    pub(super) fn keys(&self, most: usize) -> Keys {
        fn frequent<K: Ord + Clone>(counts: impl Iterator<Item = (K, u64)>, most: usize) -> Vec<K> {
            let mut all: Vec<(K, u64)> = counts.collect();
            all.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
            let mut keys: Vec<K> = all.into_iter().take(most).map(|(key, _)| key).collect();
            keys.sort_unstable();
            keys
        }
        match &self.counts {
            Counts::Texts(counts) => {
                let texts = frequent(counts.iter().map(|(key, count)| (key, *count)), most);
                Keys::Texts(
                    texts.into_iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect(),
                )
            }
            Counts::Integers(counts) => {
                Keys::Integers(frequent(counts.iter().map(|(key, count)| (*key, *count)), most))
            }
            Counts::Numbers(counts) => {
                let ordered = counts.iter().map(|(bits, count)| (Ordered(f32::from_bits(*bits)), *count));
                Keys::Numbers(frequent(ordered, most).into_iter().map(|Ordered(value)| value).collect())
            }
        }
    }
}

/// A finite number with an order.
#[derive(Clone, Copy, PartialEq)]
struct Ordered(f32);

impl Eq for Ordered {}

impl PartialOrd for Ordered {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ordered {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}
