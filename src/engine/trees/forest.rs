//! Trees as any file describes them, checked and brought to one form: "left if x ≤ t, else right".
//!
//! Files know six comparisons and say per node where a missing value (NaN) goes. All of it becomes a single
//! kind of node, because the columns that a node looks at are prepared per row: numbers become integers of
//! the same order, and NaN becomes one below or above all numbers, whichever goes where the file says.

mod sets;

use std::collections::HashMap;

pub(super) use self::sets::{CATEGORY_OFFSET, MAX_CATEGORY, Sets};
use super::real::{Key, Real};

/// How a node compares its feature with its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Leq,
    Lt,
    Gte,
    Gt,
    Eq,
    Neq,
}

/// A node as a file describes it; places are indices into one list for the whole forest.
#[derive(Clone, Copy, Debug)]
pub(super) enum Raw<T> {
    Branch {
        feature: u32,
        mode: Mode,
        value: T,
        /// Whether NaN takes the true branch, whatever the comparison says.
        missing: bool,
        yes: u32,
        no: u32,
    },
    /// Whether the feature's category is in a set; places and `missing` as for a branch.
    Member { feature: u32, rounding: Rounding, set: u32, missing: bool, yes: u32, no: u32 },
    /// What is stored at the leaf; its meaning is the caller's.
    Leaf(T),
}

/// How a number becomes the number of a category; what is negative then is in no set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Rounding {
    /// Towards zero, as LightGBM does: -0.5 is category 0.
    Truncate,
    /// Down, which does as XGBoost does: -0.5 is no category.
    Floor,
    /// Not at all: what is no whole number is no category.
    Exact,
}

/// What a node compares: a feature, with NaN replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Column {
    pub(super) feature: u32,
    pub(super) reading: Reading,
}

/// What a feature's number becomes in a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Reading {
    /// Itself; NaN is below every number, so that it goes left.
    MissingLeft,
    /// Itself; NaN is above every number, so that it goes right.
    MissingRight,
    /// The place of its bit in a [`Sets`] entry.
    Category(Rounding),
}

impl Reading {
    /// The key of NaN; that of a category is the number of its bit.
    pub(super) fn missing<K: Key>(self) -> K {
        match self {
            Self::MissingLeft => K::LEAST,
            Self::MissingRight => K::MOST,
            Self::Category(_) => K::of_index(0),
        }
    }
}

/// A node in the one form.
#[derive(Clone, Copy, Debug)]
pub(super) enum Link<T: Real> {
    Leaf(T),
    Split {
        column: u32,
        threshold: T::Key,
        left: u32,
        right: u32,
    },
    /// Left if the set at this word has the column's bit.
    Member {
        column: u32,
        set: u32,
        left: u32,
        right: u32,
    },
}

/// A checked forest.
#[derive(Debug)]
pub(super) struct Forest<T: Real> {
    pub(super) links: Vec<Link<T>>,
    pub(super) roots: Vec<u32>,
    /// Splits on the longest path from each node.
    pub(super) heights: Vec<u32>,
    /// By the number that [`Link::Split`] holds. Column 0 is not a feature: it is below every number.
    pub(super) columns: Vec<Column>,
    pub(super) sets: Sets,
}

/// What is wrong with a forest, and which node shows it.
#[derive(Debug)]
pub(super) struct Flaw {
    pub(super) place: Option<u32>,
    pub(super) what: String,
}

/// More levels than any trainer makes; a walk costs time per level.
const MAX_HEIGHT: u32 = 4096;
/// The most splits on the way of one row through all trees: some 20 ms, far above any real model.
const MAX_STEPS: u64 = 1 << 24;
/// Columns are numbered in 16 bits in compact nodes, one of which marks categories where there are any.
pub(super) const MAX_COLUMNS: usize = 1 << 16;

impl<T: Real> Forest<T> {
    /// Checks and normalises. `sets` are the categories that [`Raw::Member`] numbers.
    pub(super) fn new(raw: &[Raw<T>], roots: Vec<u32>, sets: &[Vec<u32>]) -> Result<Self, Flaw> {
        let mut forest = Self {
            links: vec![Link::Leaf(T::default()); raw.len()],
            roots,
            heights: Vec::new(),
            columns: vec![Column { feature: 0, reading: Reading::MissingLeft }],
            sets: Sets::default(),
        };
        let mut known = Known::default();
        for (place, node) in raw.iter().enumerate() {
            forest.links[place] = match *node {
                Raw::Leaf(value) => Link::Leaf(value),
                Raw::Branch { yes, no, .. } | Raw::Member { yes, no, .. }
                    if yes as usize >= raw.len() || no as usize >= raw.len() =>
                {
                    return Err(Flaw::at(place, "leads to a node that is not there"));
                }
                Raw::Member { feature, rounding, set, missing, yes, no } => {
                    let members = sets.get(set as usize);
                    let members = members.ok_or_else(|| Flaw::at(place, format!("has no set {set}")))?;
                    let set = forest.sets.add(members, missing).map_err(|what| Flaw::at(place, what))?;
                    let column = forest.column(feature, Reading::Category(rounding), &mut known);
                    Link::Member { column, set, left: yes, right: no }
                }
                Raw::Branch { feature, mode, value, missing, yes, no } => {
                    forest.branch(feature, mode, value, missing, (yes, no), &mut known)
                }
            };
        }
        let most = if forest.sets.words.is_empty() { MAX_COLUMNS } else { MAX_COLUMNS / 2 };
        if forest.columns.len() > most {
            return Err(Flaw { place: None, what: format!("more than {most} features") });
        }
        forest.measure()?;
        Ok(forest)
    }

    /// The number of a column, which is new when it is first asked for.
    fn column(&mut self, feature: u32, reading: Reading, known: &mut Known) -> u32 {
        let column = Column { feature, reading };
        *known.columns.entry(column).or_insert_with(|| {
            self.columns.push(column);
            (self.columns.len() - 1) as u32
        })
    }

    fn branch(
        &mut self,
        feature: u32,
        mode: Mode,
        value: T,
        missing: bool,
        (yes, no): (u32, u32),
        known: &mut Known,
    ) -> Link<T> {
        // To be a certain small whole number is to be in a set, which is one node where comparisons take two.
        if let (Mode::Eq | Mode::Neq, Some(category)) = (mode, small_whole_number(value)) {
            let missing = missing && mode == Mode::Eq;
            let set = known.equals.entry((category, missing));
            let set = *set.or_insert_with(|| self.sets.add(&[category], missing).unwrap_or_default());
            let column = self.column(feature, Reading::Category(Rounding::Exact), known);
            let (left, right) = if mode == Mode::Eq { (yes, no) } else { (no, yes) };
            return Link::Member { column, set, left, right };
        }
        let behind = self.links.len() as u32;
        let mut leq = |threshold, missing, left, right| {
            let reading = if missing { Reading::MissingLeft } else { Reading::MissingRight };
            Link::Split { column: self.column(feature, reading, known), threshold, left, right }
        };
        // Nothing compares with NaN: it is as if all numbers were above, or below.
        let (all, none) = (T::of_f32(f32::INFINITY).key(), T::of_f32(f32::NEG_INFINITY).key().before());
        let key = value.key();
        let (value, gte, gt) = if value.is_nan() { (none, all, all) } else { (key, key.before(), key) };
        match mode {
            Mode::Leq => leq(value, missing, yes, no),
            // x < t is x ≤ the number before t.
            Mode::Lt => leq(value.before(), missing, yes, no),
            // The negated comparison with the branches swapped; NaN passes no comparison.
            Mode::Gte => leq(gte, !missing, no, yes),
            Mode::Gt => leq(gt, !missing, no, yes),
            // x = t is x ≤ t and not x < t.
            Mode::Eq => {
                let below = leq(value.before(), false, no, yes);
                let upper = leq(value, missing, behind, no);
                self.links.push(below);
                upper
            }
            Mode::Neq => {
                let below = leq(value.before(), false, yes, no);
                let upper = leq(value, false, behind, yes);
                self.links.push(below);
                upper
            }
        }
    }

    /// Heights of all nodes that can be reached, which only exist when no path leads back to where it was.
    fn measure(&mut self) -> Result<(), Flaw> {
        const UNKNOWN: u32 = u32::MAX;
        const OPEN: u32 = u32::MAX - 1;
        self.heights = vec![UNKNOWN; self.links.len()];
        let mut stack = Vec::new();
        for &root in &self.roots {
            if root as usize >= self.links.len() {
                return Err(Flaw { place: None, what: format!("root {root} is not there") });
            }
            stack.push(root);
            while let Some(&place) = stack.last() {
                let children = self.links[place as usize].children();
                let height = self.heights[place as usize];
                if height == UNKNOWN {
                    self.heights[place as usize] = OPEN;
                    for child in children.into_iter().flatten() {
                        match self.heights[child as usize] {
                            UNKNOWN => stack.push(child),
                            OPEN => return Err(Flaw::at(child as usize, "is reached from itself")),
                            _ => {}
                        }
                    }
                    continue;
                }
                stack.pop();
                // A node can be on the stack twice: two parents met it before it was opened.
                if height == OPEN {
                    let below =
                        children.into_iter().flatten().map(|child| self.heights[child as usize]).max();
                    let splits =
                        matches!(self.links[place as usize], Link::Split { .. } | Link::Member { .. });
                    let height = below.unwrap_or(0) + u32::from(splits);
                    if height > MAX_HEIGHT {
                        return Err(Flaw::at(
                            place as usize,
                            format!("has more than {MAX_HEIGHT} levels below it"),
                        ));
                    }
                    self.heights[place as usize] = height;
                }
            }
        }
        let steps: u64 = self.roots.iter().map(|root| u64::from(self.heights[*root as usize]) + 1).sum();
        if steps > MAX_STEPS {
            let what = format!("a row takes {steps} steps, more than {MAX_STEPS}");
            return Err(Flaw { place: None, what });
        }
        Ok(())
    }

    /// How wide a row must be.
    pub(super) fn width(&self) -> usize {
        self.columns[1..].iter().map(|column| column.feature as usize + 1).max().unwrap_or(0)
    }
}

impl Flaw {
    fn at(place: usize, what: impl Into<String>) -> Self {
        Self { place: Some(place as u32), what: what.into() }
    }
}

impl std::fmt::Display for Flaw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(place) = self.place {
            write!(f, "node {place} ")?;
        }
        f.write_str(&self.what)
    }
}

/// What was met before while a forest is read.
#[derive(Default)]
struct Known {
    columns: HashMap<Column, u32>,
    /// Sets of one category, by whether NaN is in them too.
    equals: HashMap<(u32, bool), u32>,
}

/// A number that is worth a set of its own.
fn small_whole_number<T: Real>(value: T) -> Option<u32> {
    let value = value.f64();
    ((0.0..4096.0).contains(&value) && value.fract() == 0.0).then_some(value as u32)
}

impl<T: Real> Link<T> {
    /// What it leads to.
    pub(super) fn children(&self) -> [Option<u32>; 2] {
        match *self {
            Self::Leaf(_) => [None, None],
            Self::Split { left, right, .. } | Self::Member { left, right, .. } => [Some(left), Some(right)],
        }
    }
}
