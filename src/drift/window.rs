//! What came, counted into the cells of a reference, pane by pane.

use std::collections::VecDeque;

use super::reference::{Reference, Shape};

/// Rows of a pane that is closed because its time is over, where rows count.
const MIN_PANE: u64 = 64;

/// Rows by cell, feature by feature. Counts of the same reference add up, in any order, to the same.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counts {
    /// Rows.
    pub rows: u64,
    /// Cells of all features, one after another.
    cells: Vec<u32>,
    /// Feature by feature.
    tallies: Vec<Tally>,
}

/// What cells do not tell of a feature.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tally {
    /// Finite numbers.
    pub finite: u64,
    /// Infinite ones.
    pub infinite: u64,
    /// The sum of finite numbers, less the reference's mean each.
    pub sum: f64,
    /// The sum of the logarithms (base 10) of the sizes of finite numbers that are not 0, and how many they are.
    pub magnitude: (f64, u64),
    /// The smallest finite number.
    pub low: f64,
    /// The largest.
    pub high: f64,
    /// Finite numbers beyond what the reference has seen, by more than a tenth of its range.
    pub beyond: u64,
    /// The first word, and whether another one came.
    word: Option<u32>,
    varies: bool,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            finite: 0,
            infinite: 0,
            sum: 0.0,
            magnitude: (0.0, 0),
            low: f64::INFINITY,
            high: f64::NEG_INFINITY,
            beyond: 0,
            word: None,
            varies: false,
        }
    }
}

/// The latest rows: an open pane, and closed ones.
#[derive(Debug)]
pub struct Window {
    open: Counts,
    closed: VecDeque<Counts>,
    /// Rows after which a pane is closed.
    pane_rows: u64,
    /// Rows without which none is.
    least: u64,
    panes: usize,
}

// === impl Counts ===

impl Counts {
    /// None yet.
    pub fn new(reference: &Reference) -> Self {
        Self {
            rows: 0,
            cells: vec![0; reference.cells()],
            tallies: vec![Tally::default(); reference.features.len()],
        }
    }

    /// What was counted elsewhere, of which only cells are known: those of all features, one after another.
    pub fn of_cells(reference: &Reference, rows: u64, cells: Vec<u32>) -> Option<Self> {
        let tallies = vec![Tally::default(); reference.features.len()];
        (cells.len() == reference.cells()).then_some(Self { rows, cells, tallies })
    }

    /// Counts a row, word by word.
    pub fn push(&mut self, reference: &Reference, row: &[u32]) {
        self.push_also(reference, row, |_| ());
    }

    /// Counts a row, and tells cell by cell where, of the cells of all features.
    #[inline]
    pub fn push_also(&mut self, reference: &Reference, row: &[u32], mut also: impl FnMut(usize)) {
        self.rows += 1;
        let mut first = 0;
        for ((profile, word), tally) in reference.features.iter().zip(row).zip(&mut self.tallies) {
            let cell = first + profile.cell(*word);
            // A window by time may hold more than there are numbers for.
            self.cells[cell] = self.cells[cell].saturating_add(1);
            also(cell);
            first += profile.cells();
            match tally.word {
                None => tally.word = Some(*word),
                Some(known) => tally.varies |= known != *word,
            }
            if let Shape::Number { mean, low, high, .. } = &profile.shape {
                tally.push(f64::from(f32::from_bits(*word)), *mean, [*low, *high]);
            }
        }
    }

    /// Cells of all features, one after another.
    pub fn cells(&self) -> &[u32] {
        &self.cells
    }

    /// Cells of every feature, with its tally, in the order of the reference.
    pub fn features<'a>(&'a self, reference: &'a Reference) -> impl Iterator<Item = (&'a [u32], &'a Tally)> {
        let mut rest = self.cells.as_slice();
        reference.features.iter().zip(&self.tallies).map(move |(profile, tally)| {
            let (own, others) = rest.split_at(profile.cells().min(rest.len()));
            rest = others;
            (own, tally)
        })
    }

    /// Adds what another has counted with the same reference.
    pub fn merge(&mut self, other: &Self) {
        self.rows += other.rows;
        self.cells
            .iter_mut()
            .zip(&other.cells)
            .for_each(|(known, more)| *known = known.saturating_add(*more));
        self.tallies.iter_mut().zip(&other.tallies).for_each(|(known, more)| known.merge(more));
    }

    /// Bytes that it takes.
    pub const fn bytes(&self) -> usize {
        size_of::<Self>() + self.cells.len() * size_of::<u32>() + self.tallies.len() * size_of::<Tally>()
    }
}

// === impl Tally ===

impl Tally {
    fn push(&mut self, value: f64, mean: f64, [low, high]: [f64; 2]) {
        if value.is_finite() {
            self.finite += 1;
            self.sum += value - mean;
            if value != 0.0 {
                self.magnitude.0 += value.abs().log10();
                self.magnitude.1 += 1;
            }
            self.low = self.low.min(value);
            self.high = self.high.max(value);
            let slack = (high - low) / 10.0;
            self.beyond += u64::from(value < low - slack || value > high + slack);
        } else if value.is_infinite() {
            self.infinite += 1;
        }
    }

    fn merge(&mut self, other: &Self) {
        self.finite += other.finite;
        self.infinite += other.infinite;
        self.sum += other.sum;
        self.magnitude.0 += other.magnitude.0;
        self.magnitude.1 += other.magnitude.1;
        self.low = self.low.min(other.low);
        self.high = self.high.max(other.high);
        self.beyond += other.beyond;
        self.varies |=
            other.varies || (self.word.is_some() && other.word.is_some() && self.word != other.word);
        self.word = self.word.or(other.word);
    }

    /// The mean of finite numbers, where there are any; `reference` is the reference's.
    pub fn mean(&self, reference: f64) -> Option<f64> {
        (self.finite > 0).then(|| reference + self.sum / self.finite as f64)
    }

    /// Whether every row had the same word.
    pub const fn is_constant(&self) -> bool {
        self.word.is_some() && !self.varies
    }
}

// === impl Window ===

impl Window {
    /// Of up to `panes` panes of `pane_rows` rows.
    pub fn new(reference: &Reference, pane_rows: u64, panes: usize) -> Self {
        let least = MIN_PANE.min(pane_rows);
        Self { open: Counts::new(reference), closed: VecDeque::new(), pane_rows, least, panes }
    }

    /// Of up to `panes` panes that are closed when their time is over, whatever they hold.
    pub fn timed(reference: &Reference, panes: usize) -> Self {
        Self { open: Counts::new(reference), closed: VecDeque::new(), pane_rows: u64::MAX, least: 0, panes }
    }

    /// How many panes it has at most, without the open one.
    pub const fn panes(&self) -> usize {
        self.panes
    }

    /// Counts a row; true when that closed a pane.
    pub fn push(&mut self, reference: &Reference, row: &[u32]) -> bool {
        self.push_also(reference, row, |_| ())
    }

    /// The same, telling where as [`Counts::push_also`] does.
    pub fn push_also(&mut self, reference: &Reference, row: &[u32], also: impl FnMut(usize)) -> bool {
        self.open.push_also(reference, row, also);
        let full = self.open.rows >= self.pane_rows;
        if full {
            self.close(reference);
        }
        full
    }

    /// Closes the open pane, as when its time is over. Where rows count, one with few stays open, so that a window has
    /// enough of them. Whether it did.
    pub fn close(&mut self, reference: &Reference) -> bool {
        if self.open.rows < self.least {
            return false;
        }
        if self.closed.len() == self.panes {
            self.closed.pop_front();
        }
        self.closed.push_back(std::mem::replace(&mut self.open, Counts::new(reference)));
        true
    }

    /// All of its rows.
    pub fn total(&self, reference: &Reference) -> Counts {
        self.last(reference, self.panes + 1)
    }

    /// The rows of the last panes, the open one among them.
    pub fn last(&self, reference: &Reference, panes: usize) -> Counts {
        let mut total = Counts::new(reference);
        let skipped = (self.closed.len() + 1).saturating_sub(panes);
        self.closed.iter().skip(skipped).chain([&self.open]).for_each(|pane| total.merge(pane));
        total
    }

    /// Bytes that it takes, all panes full.
    pub fn bytes(&self) -> usize {
        self.open.bytes() * (self.panes + 1)
    }
}
