//! Whether the latest rows come from somewhere else than the reference, looked at after every 16 of them, over many lengths.
//!
//! Values are counted into the reference's cells, pane by pane, and panes become blocks that are the longer the older
//! they are. At the end of a pane the latest 32, 48, 64 … rows are each held against the reference: by normal scores of
//! ranks (location), their squares (scale), four orthogonal polynomials of them (shape), and χ² of cells. Of ranks and
//! shares all laws are alike under the null, so one threshold fits all.

mod inflation;
mod ladder;
mod look;
mod scores;
mod thresholds;

use ladder::Ladder;
use scores::{SCORES, Scores};

use super::reference::Reference;
pub(super) use inflation::inflation;
pub use thresholds::Thresholds;

/// Rows of a pane.
pub const PANE: u32 = 16;
/// Panes after which everything was looked at.
const ROUND: u32 = 32;

/// What the features of a version have come to.
#[derive(Debug)]
pub struct Detector {
    features: Vec<Feature>,
    /// Values of the reference by group of all features.
    counts: Vec<f32>,
    /// What a value is worth, by group of all features.
    worth: Vec<[f32; SCORES]>,
    constants: Constants,
    /// The pane that is open, by cell of the reference.
    open: Vec<u16>,
    rows: u32,
    ladder: Ladder,
    /// While looking back.
    values: Vec<f32>,
    sums: [Vec<f32>; SCORES],
    levels: Vec<f32>,
    found: Vec<f32>,
    /// Feature by feature, the strongest of this round of looks and of the one before.
    strongest: Vec<Strongest>,
    before: Vec<Strongest>,
    panes: u32,
}

/// Where a feature's cells and groups are.
#[derive(Debug)]
struct Feature {
    cell: usize,
    cells: usize,
    group: usize,
    count: usize,
    groups: Option<Vec<u8>>,
    total: f32,
}

/// By feature.
#[derive(Debug, Default)]
struct Constants {
    /// One by values of the reference.
    per_value: Vec<f32>,
    /// A third of the skewness of the first two scores.
    skew: [Vec<f32>; 2],
    /// One by how many rows are worth one that comes independently.
    weight: Vec<f32>,
    /// 1 where a shape is told.
    shape: Vec<f32>,
}

/// The strongest evidence of a feature, as a multiple of its threshold.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Strongest {
    /// Of χ².
    pub level: f32,
    /// Over so many rows.
    pub rows: u32,
    /// By which test.
    pub test: Test,
}

/// What was tested.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Test {
    /// Whether values are larger or smaller.
    #[default]
    Location,
    /// Whether they spread wider or less.
    Scale,
    /// Whether their distribution has another shape.
    Shape,
    /// Whether cells have other shares.
    Cells,
}

// === impl Detector ===

impl Detector {
    /// Of features that were so distributed.
    pub fn new(reference: &Reference) -> Self {
        let (mut cell, mut group) = (0, 0);
        let mut detector = Self {
            features: Vec::new(),
            counts: Vec::new(),
            worth: Vec::new(),
            constants: Constants::default(),
            open: vec![0; reference.cells()],
            rows: 0,
            ladder: Ladder::new(0, 0),
            values: vec![0.0; reference.features.len()],
            sums: std::array::from_fn(|_| vec![0.0; reference.features.len()]),
            levels: vec![0.0; reference.features.len()],
            found: vec![0.0; reference.features.len()],
            strongest: vec![Strongest::default(); reference.features.len()],
            before: vec![Strongest::default(); reference.features.len()],
            panes: 0,
        };
        for profile in &reference.features {
            let scores = Scores::new(profile);
            detector.constants.push(&scores, profile.inflation);
            let count = scores.counts.len();
            let total = scores.total as f32;
            detector.features.push(Feature {
                cell,
                cells: profile.cells(),
                group,
                count,
                groups: scores.groups,
                total,
            });
            detector.counts.extend(scores.counts);
            detector.worth.extend(scores.worth);
            cell += profile.cells();
            group += count;
        }
        detector.ladder = Ladder::new(reference.features.len(), group);
        detector
    }

    /// Where values are counted, by cell of the reference, until there are [`PANE`] rows.
    pub fn open(&mut self) -> &mut [u16] {
        &mut self.open
    }

    /// A row was counted; whether the pane is full.
    pub fn row(&mut self) -> bool {
        self.rows += 1;
        self.rows >= PANE
    }

    /// Closes the pane and looks back.
    pub fn close(&mut self, thresholds: &Thresholds) {
        let mut block = self.ladder.blank();
        block.rows = std::mem::take(&mut self.rows);
        block.groups.fill(0);
        for (at, feature) in self.features.iter().enumerate() {
            let cells = &mut self.open[feature.cell + 1..feature.cell + feature.cells];
            let own = feature.group..feature.group + feature.count;
            let groups = &mut block.groups[own.clone()];
            match &feature.groups {
                None => groups.copy_from_slice(cells),
                Some(map) => {
                    cells.iter().zip(map).for_each(|(count, group)| groups[usize::from(*group)] += count);
                }
            }
            cells.fill(0);
            if feature.groups.is_some()
                && let Some(left_out) = groups.last_mut()
            {
                *left_out = 0;
            }
            let (mut values, mut sums) = (0.0, [0.0; SCORES]);
            for (count, worth) in groups.iter().zip(&self.worth[own]) {
                let count = f32::from(*count);
                values += count;
                sums.iter_mut().zip(worth).for_each(|(sum, worth)| *sum += count * worth);
            }
            block.values[at] = values;
            block.sums.iter_mut().zip(sums).for_each(|(all, sum)| all[at] = sum);
        }
        self.ladder.push(block);
        if self.panes.is_multiple_of(ROUND) {
            std::mem::swap(&mut self.strongest, &mut self.before);
            self.strongest.fill(Strongest::default());
        }
        self.panes = self.panes.wrapping_add(1);
        self.look_at_scores(thresholds);
        self.look_at_cells(thresholds);
    }

    /// The strongest evidence of a feature of late.
    pub fn strongest(&self, feature: usize) -> Strongest {
        let (now, before) = (self.strongest[feature], self.before[feature]);
        if now.level >= before.level { now } else { before }
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        let groups = self.counts.len() * (size_of::<f32>() + size_of::<[f32; SCORES]>());
        let feature = size_of::<Feature>() + size_of::<Strongest>() + (6 + SCORES) * size_of::<f32>();
        let maps: usize =
            self.features.iter().filter_map(|feature| feature.groups.as_ref().map(Vec::len)).sum();
        size_of::<Self>()
            + groups
            + self.features.len() * feature
            + self.open.len() * 2
            + maps
            + self.ladder.bytes()
    }
}

// === impl Constants ===

impl Constants {
    fn push(&mut self, scores: &Scores, inflation: f64) {
        self.per_value.push(if scores.total > 0.0 { (1.0 / scores.total) as f32 } else { f32::INFINITY });
        self.skew.iter_mut().zip(scores.skew).for_each(|(all, skew)| all.push(skew / 3.0));
        self.weight.push((1.0 / inflation.max(1.0)) as f32);
        self.shape.push(if scores.shape > 0 { 1.0 } else { 0.0 });
    }
}

#[cfg(test)]
mod tests;
