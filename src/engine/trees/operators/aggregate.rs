//! From a row to the score of every target.

use super::ensemble::{Ensemble, Leaves};
use crate::engine::RunError;
use crate::engine::trees::builder::unsupported;
use crate::engine::trees::element::with_numbers;
use crate::engine::trees::plan::matrix;
use crate::engine::trees::real::{Key, Number, Real};
use crate::engine::trees::walk::Row;
use crate::engine::trees::work::{Walks, Work};
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
        let (prepared, scores, scored) = T::walk(work).split();
        for number in 0..rows {
            with_numbers!(input, values => {
                let features = &values[number * columns..][..columns];
                self.layout.prepare(prepared, |feature| features[feature].real());
                Ok(())
            })?;
            scores.clear();
            scores.resize(targets, T::default());
            scored.clear();
            scored.resize(targets, false);
            self.add_leaves(prepared, aggregate, scores, scored);
            if aggregate == Aggregate::Average {
                let trees = T::of_i64(self.layout.trees as i64);
                scores.iter_mut().for_each(|score| *score = *score / trees);
            }
            row(Scores { scores, scored })?;
        }
        Ok(())
    }

    fn add_leaves(&self, row: &Row<T::Key>, aggregate: Aggregate, scores: &mut [T], scored: &mut [bool]) {
        match &self.leaves {
            Leaves::Single(target) if matches!(aggregate, Aggregate::Sum | Aggregate::Average) => {
                let mut sum = T::default();
                self.layout.walk_row(row, |_, weight| sum = sum + weight);
                scores[*target] = sum;
                scored[*target] = true;
            }
            Leaves::Single(target) => {
                let (score, scored) = (&mut scores[*target], &mut scored[*target]);
                self.layout.walk_row(row, |_, weight| aggregate.add(score, scored, weight));
            }
            Leaves::Many { ends, weights } => self.layout.walk_row(row, |_, leaf| {
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
