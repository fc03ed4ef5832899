//! Sums as bytes: little-endian numbers, what comes only once first, arm by arm, then panes, then pairs of a shadow with
//! what answered. A series is the number of its buckets with something in them, then each with its sums.

use super::{BUCKETS, Cell, Histogram, Series, Sums};
use crate::experiment::cohort::Layout;
use crate::experiment::pairwise::{Key, Pairs};

/// Most panes: those of a horizon, and of clocks that differ.
const MAX_PANES: u64 = 64;
/// Most classes of times.
const MAX_CLASSES: u64 = 4096;
/// Most pairs of a shadow with what answered.
const MAX_PAIRS: u64 = 128;
/// Most bytes of a shadow's name.
const MAX_NAME: u64 = 64;

/// Why bytes are no sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Not what was written.
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
    /// Of another layout.
    #[error("it does not fit the experiment's definition")]
    Other,
}

impl Sums {
    /// The sums as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut to = Vec::new();
        let word = |to: &mut Vec<u8>, word: u64| to.extend_from_slice(&word.to_le_bytes());
        word(&mut to, self.arms.len() as u64);
        word(&mut to, self.arms.first().map_or(0, |arm| arm.series.len()) as u64);
        word(&mut to, self.horizon_millis);
        word(&mut to, self.moved);
        for arm in &self.arms {
            push_series(&mut to, &arm.units);
            word(&mut to, arm.requests);
            push_histogram(&mut to, &arm.latency);
            word(&mut to, arm.outputs.rows);
            word(&mut to, arm.outputs.non_finite);
            to.extend_from_slice(&arm.outputs.low.to_le_bytes());
            to.extend_from_slice(&arm.outputs.high.to_le_bytes());
            word(&mut to, arm.outputs.changes);
            for series in [&arm.broken, &arm.changed, &arm.seconds] {
                push_series(&mut to, series);
            }
            arm.series.iter().for_each(|series| push_series(&mut to, series));
        }
        word(&mut to, self.panes.len() as u64);
        for (pane, arms) in &self.panes {
            word(&mut to, *pane);
            arms.iter().flatten().for_each(|series| push_series(&mut to, series));
        }
        word(&mut to, self.pairs.iter().len() as u64);
        for (key, pair) in self.pairs.iter() {
            word(&mut to, key.shadow.len() as u64);
            to.extend_from_slice(key.shadow.as_bytes());
            for number in [key.version, key.against, pair.at, pair.requests, pair.failed] {
                word(&mut to, number);
            }
            push_series(&mut to, &pair.disagreements);
            push_series(&mut to, &pair.differences);
            word(&mut to, pair.spread.iter().len() as u64);
            for (class, count) in pair.spread.iter() {
                to.extend_from_slice(&class.to_le_bytes());
                word(&mut to, count);
            }
            push_histogram(&mut to, &pair.times);
        }
        to
    }

    /// Reads sums of a layout.
    ///
    /// # Errors
    /// [`Unreadable`]
    pub fn from_bytes(bytes: &[u8], layout: &Layout) -> Result<Self, Unreadable> {
        let mut source = Source(bytes);
        let mut sums = Self::new(layout);
        let shape = [sums.arms.len() as u64, layout.series.len() as u64, sums.horizon_millis];
        if [source.word()?, source.word()?, source.word()?] != shape {
            return Err(Unreadable::Other);
        }
        sums.moved = source.word()?;
        for arm in &mut sums.arms {
            source.series(&mut arm.units)?;
            arm.requests = source.word()?;
            source.histogram(&mut arm.latency)?;
            arm.outputs.rows = source.word()?;
            arm.outputs.non_finite = source.word()?;
            arm.outputs.low = source.number()?;
            arm.outputs.high = source.number()?;
            arm.outputs.changes = source.word()?;
            for series in [&mut arm.broken, &mut arm.changed, &mut arm.seconds] {
                source.series(series)?;
            }
            for series in &mut arm.series {
                source.series(series)?;
            }
        }
        for _ in 0..source.count(MAX_PANES)? {
            let pane = source.word()?;
            let mut arms = vec![vec![Series::default(); layout.series.len()]; sums.arms.len()];
            for series in arms.iter_mut().flatten() {
                source.series(series)?;
            }
            sums.panes.insert(pane, arms);
        }
        source.pairs(&mut sums.pairs)?;
        Ok(sums)
    }
}

fn push_histogram(to: &mut Vec<u8>, times: &Histogram) {
    to.extend_from_slice(&(times.filled().count() as u64).to_le_bytes());
    for (class, count) in times.filled() {
        to.extend_from_slice(&(class as u64).to_le_bytes());
        to.extend_from_slice(&count.to_le_bytes());
    }
}

fn push_series(to: &mut Vec<u8>, series: &Series) {
    to.extend_from_slice(&(series.filled().count() as u16).to_le_bytes());
    for (bucket, cell) in series.filled() {
        to.extend_from_slice(&(bucket as u16).to_le_bytes());
        to.extend_from_slice(&cell.weight.to_le_bytes());
        to.extend_from_slice(&cell.sum.to_le_bytes());
    }
}

struct Source<'a>(&'a [u8]);

impl Source<'_> {
    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Unreadable> {
        let (first, rest) = self.0.split_first_chunk().ok_or(Unreadable::Damaged("it ends too soon"))?;
        self.0 = rest;
        Ok(*first)
    }

    fn word(&mut self) -> Result<u64, Unreadable> {
        self.bytes().map(u64::from_le_bytes)
    }

    fn count(&mut self, most: u64) -> Result<u64, Unreadable> {
        self.word().and_then(|count| {
            if count <= most { Ok(count) } else { Err(Unreadable::Damaged("a number is out of range")) }
        })
    }

    fn histogram(&mut self, times: &mut Histogram) -> Result<(), Unreadable> {
        for _ in 0..self.count(MAX_CLASSES)? {
            let class = self.count(MAX_CLASSES)?;
            times.add(class as usize, self.word()?);
        }
        Ok(())
    }

    fn pairs(&mut self, pairs: &mut Pairs) -> Result<(), Unreadable> {
        for _ in 0..self.count(MAX_PAIRS)? {
            let length = self.count(MAX_NAME)? as usize;
            let (name, rest) =
                self.0.split_at_checked(length).ok_or(Unreadable::Damaged("it ends too soon"))?;
            self.0 = rest;
            let shadow =
                str::from_utf8(name).map_err(|_| Unreadable::Damaged("a name is no text"))?.to_owned();
            let pair = pairs.entry(Key { shadow, version: self.word()?, against: self.word()? });
            (pair.at, pair.requests, pair.failed) = (self.word()?, self.word()?, self.word()?);
            self.series(&mut pair.disagreements)?;
            self.series(&mut pair.differences)?;
            for _ in 0..self.count(MAX_CLASSES)? {
                let class = i32::from_le_bytes(self.bytes()?);
                if class.unsigned_abs() as u64 > MAX_CLASSES {
                    return Err(Unreadable::Damaged("a class is out of range"));
                }
                pair.spread.add(class, self.word()?);
            }
            self.histogram(&mut pair.times)?;
        }
        Ok(())
    }

    fn number(&mut self) -> Result<f64, Unreadable> {
        self.bytes().map(f64::from_le_bytes)
    }

    fn series(&mut self, series: &mut Series) -> Result<(), Unreadable> {
        for _ in 0..u16::from_le_bytes(self.bytes()?) {
            let bucket = usize::from(u16::from_le_bytes(self.bytes()?));
            let cell = Cell { weight: self.number()?, sum: self.number()? };
            if bucket >= BUCKETS || !cell.weight.is_finite() || !cell.sum.is_finite() {
                return Err(Unreadable::Damaged("a sum is out of range"));
            }
            series.add(bucket, cell);
        }
        Ok(())
    }
}
