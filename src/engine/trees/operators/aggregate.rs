//! From a row to the score of every target.

use super::ensemble::{Ensemble, Leaves};
use crate::engine::RunError;
use crate::engine::trees::builder::unsupported;
use crate::engine::trees::element::with_numbers;
use crate::engine::trees::layout::Run;
use crate::engine::trees::plan::matrix;
use crate::engine::trees::real::{Key, Number, Real};
use crate::engine::trees::work::{Prepared, Walk, Walks, Work};
use crate::model::LoadError;
use crate::onnx::Node;
use crate::tensor::Tensor;

/// How the leaves of several trees become one score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aggregate {
    Sum,
    Average,
    Min,
    Max,
}

/// The scores of one row, before base values.
pub(super) struct Scores<'a, T> {
    pub(super) scores: &'a mut [T],
    /// Whether any leaf spoke of that target.
    pub(super) scored: &'a mut [bool],
}

impl Aggregate {
    /// Reads the attribute `aggregate_function`.
    pub(super) fn of(node: &Node) -> Result<Self, LoadError> {
        Ok(match node.string("aggregate_function")? {
            None | Some(b"SUM") => Self::Sum,
            Some(b"AVERAGE") => Self::Average,
            Some(b"MIN") => Self::Min,
            Some(b"MAX") => Self::Max,
            Some(other) => {
                return Err(unsupported(
                    node,
                    &format!("aggregate_function `{}`", String::from_utf8_lossy(other)),
                ));
            }
        })
    }

    #[inline]
    fn add<T: Real>(self, score: &mut T, scored: &mut bool, weight: T) {
        let replaces = match self {
            Self::Sum | Self::Average => {
                *score = *score + weight;
                false
            }
            Self::Min => !*scored || weight < *score,
            Self::Max => !*scored || weight > *score,
        };
        if replaces {
            *score = weight;
        }
        *scored = true;
    }
}

impl<T: Walks> Ensemble<T> {
    /// Calls `row` with the scores of each row of a matrix.
    pub(super) fn each_row(
        &self,
        input: &Tensor,
        (aggregate, targets): (Aggregate, usize),
        work: &mut Work,
        mut row: impl FnMut(Scores<'_, T>) -> Result<(), RunError>,
    ) -> Result<(), RunError> {
        let (rows, columns) = matrix(&input.shape)?;
        let width = self.layout.width.max(1);
        if columns < width {
            return Err(RunError::Input(format!("rows have {columns} columns, but the trees read {width}")));
        }
        let work = T::walk(work);
        let room = work.reserve(&self.layout, targets, rows);
        let mut first = 0;
        while first < rows {
            let count = room.min(rows - first);
            with_numbers!(input, values => {
                for (number, features) in values[first * columns..].chunks(columns).take(count).enumerate() {
                    work.prepare(&self.layout, number, |feature| features[feature].real());
                }
                Ok(())
            })?;
            self.add_up(work, aggregate, targets, count);
            if aggregate == Aggregate::Average {
                let trees = T::of_i64(self.layout.trees as i64);
                work.scores.iter_mut().for_each(|score| *score = *score / trees);
            }
            for (scores, scored) in work.scores.chunks_mut(targets).zip(work.scored.chunks_mut(targets)) {
                row(Scores { scores, scored })?;
            }
            first += count;
        }
        Ok(())
    }

    /// Fills in the scores of `count` prepared rows: run by run, so that its trees stay in the cache.
    fn add_up(&self, work: &mut Walk<T>, aggregate: Aggregate, targets: usize, count: usize) {
        let (rows, scores, scored) = work.split();
        scores.clear();
        scores.resize(targets * count, T::default());
        scored.clear();
        scored.resize(targets * count, false);
        let mut tree = 0;
        for run in &self.layout.runs {
            for (number, (scores, scored)) in
                scores.chunks_mut(targets).zip(scored.chunks_mut(targets)).enumerate()
            {
                self.add_run((run, tree), rows.row(&self.layout, number), aggregate, scores, scored);
            }
            tree += run.trees();
        }
    }

    #[inline]
    fn add_run(
        &self,
        (run, first): (&Run, usize),
        row: Prepared<'_, T>,
        aggregate: Aggregate,
        scores: &mut [T],
        scored: &mut [bool],
    ) {
        let layout = &self.layout;
        match &self.leaves {
            Leaves::Single(target) if matches!(aggregate, Aggregate::Sum | Aggregate::Average) => {
                let mut sum = scores[*target];
                layout.walk(run, row, |weight| sum = sum + weight);
                scores[*target] = sum;
                scored[*target] = true;
            }
            Leaves::Single(target) => {
                let (score, scored) = (&mut scores[*target], &mut scored[*target]);
                layout.walk(run, row, |weight| aggregate.add(score, scored, weight));
            }
            Leaves::PerTree(targets) => {
                let mut targets = targets[first..].iter();
                layout.walk(run, row, |weight| {
                    let target = targets.next().map_or(0, |target| *target as usize);
                    aggregate.add(&mut scores[target], &mut scored[target], weight);
                });
            }
            Leaves::Dense { targets, weights } => {
                let (scores, scored) = (&mut scores[..*targets], &mut scored[..*targets]);
                let weights = |leaf: T| &weights[leaf.bits().index() * targets..][..*targets];
                if matches!(aggregate, Aggregate::Sum | Aggregate::Average) {
                    layout.walk(run, row, |leaf| {
                        scores.iter_mut().zip(weights(leaf)).for_each(|(score, w)| *score = *score + *w);
                    });
                    scored.fill(true);
                    return;
                }
                layout.walk(run, row, |leaf| {
                    for ((score, scored), weight) in scores.iter_mut().zip(&mut *scored).zip(weights(leaf)) {
                        aggregate.add(score, scored, *weight);
                    }
                });
            }
            Leaves::Many { ends, weights } => layout.walk(run, row, |leaf| {
                let number = leaf.bits().index();
                let start = number.checked_sub(1).map_or(0, |before| ends[before]);
                for (target, weight) in &weights[start as usize..ends[number] as usize] {
                    let target = *target as usize;
                    aggregate.add(&mut scores[target], &mut scored[target], *weight);
                }
            }),
        }
    }
}
