//! What a worker tells of one answered request that takes part in an experiment, or whose predictions wait for actuals.

use std::sync::Arc;

use crate::experiment::sums::Outputs;
use crate::experiment::{Predicted, Track};
use crate::model::Labels;
use crate::tensor::{Data, Tensor};

/// Rows of one request whose predictions are kept for their actuals.
pub(super) const MAX_ROWS: usize = 256;

/// One request. It fits a line of the cache, since thousands of them wait.
#[derive(Clone, Debug)]
pub struct Record {
    /// The experiment and what its variants meant; none of a request that takes part in none.
    pub track: Option<Arc<Track>>,
    /// The number of the version that predicted; 0 where it is another server's.
    pub version: u32,
    /// The hash that stands for the unit.
    pub unit: u64,
    /// The hash of its id.
    pub id: u64,
    /// When it had been read, in milliseconds since 1970.
    pub at: u64,
    /// How long it took.
    pub seconds: f32,
    /// What was predicted.
    pub predictions: Predictions,
    /// The slot that chose the variant.
    pub slot: u32,
    /// The variant.
    pub variant: u8,
    /// Whether the variant failed it.
    pub failed: bool,
}

/// What was predicted for the rows of a request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Predictions(Rows);

#[derive(Clone, Debug, Default, PartialEq)]
enum Rows {
    #[default]
    None,
    One(Predicted),
    Many(Box<Many>),
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Many {
    /// Up to [`MAX_ROWS`].
    rows: Vec<Predicted>,
    /// The rows beyond these, together.
    beyond: Option<Outputs>,
}

// === impl Predictions ===

impl Predictions {
    /// Reads them from the output that the model predicts with: one number a row is a number or a label, two are the
    /// probabilities of 0 and 1, more are the scores of classes, of which the largest counts. A text is the class of that
    /// name.
    pub fn of(output: &Tensor, labels: &Labels) -> Self {
        let rows = output.rows();
        let width = output.data.len().checked_div(rows).unwrap_or(0);
        let number = |row: usize, column: usize| match &output.data {
            Data::Bytes(texts) => named(texts.get(row * width + column), labels),
            data => data.number(row * width + column).unwrap_or(f64::NAN),
        };
        let row = |row: usize| match width {
            1 => Predicted::Value(number(row, 0)),
            2 if output.data.datatype().is_float() => Predicted::Probability(number(row, 1)),
            _ => Predicted::Value(largest(width, |column| number(row, column), labels)),
        };
        (0..if width == 0 { 0 } else { rows }).map(row).collect()
    }

    /// Row by row, as far as they are kept.
    pub fn rows(&self) -> &[Predicted] {
        match &self.0 {
            Rows::None => &[],
            Rows::One(row) => std::slice::from_ref(row),
            Rows::Many(many) => &many.rows,
        }
    }

    /// What all rows look like together. Whoever counts works it out, not who answers.
    pub fn outputs(&self) -> Outputs {
        let mut outputs = Outputs::default();
        self.rows().iter().for_each(|row| outputs.push(row.number()));
        if let Rows::Many(many) = &self.0
            && let Some(beyond) = &many.beyond
        {
            outputs.append(beyond);
        }
        outputs
    }
}

impl FromIterator<Predicted> for Predictions {
    fn from_iter<T: IntoIterator<Item = Predicted>>(rows: T) -> Self {
        let mut rows = rows.into_iter();
        let (Some(first), second) = (rows.next(), rows.next()) else { return Self::default() };
        let Some(second) = second else { return Self(Rows::One(first)) };
        let mut many = Many { rows: vec![first, second], beyond: None };
        for row in rows {
            if many.rows.len() < MAX_ROWS {
                many.rows.push(row);
            } else {
                many.beyond.get_or_insert_default().push(row.number());
            }
        }
        Self(Rows::Many(Box::new(many)))
    }
}

/// The number of the class that a text names.
#[cold]
fn named(text: Option<&[u8]>, labels: &Labels) -> f64 {
    text.and_then(|text| labels.place(text)).map_or(f64::NAN, |place| labels.number(place))
}

/// The number of the class with the largest of some scores.
fn largest(width: usize, score: impl Fn(usize) -> f64, labels: &Labels) -> f64 {
    let best = (0..width).max_by(|a, b| score(*a).total_cmp(&score(*b))).unwrap_or(0);
    if score(best).is_nan() { f64::NAN } else { labels.number(best) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Signature, TensorSpec};
    use crate::tensor::Datatype;

    fn classes(labels: Option<&[&str]>) -> Labels {
        let labels = labels.map(|labels| labels.iter().map(|label| (*label).to_owned()).collect());
        let output = TensorSpec { name: "p".into(), datatype: Datatype::Fp32, shape: vec![-1], labels };
        Labels::of(&Signature { inputs: Vec::new(), outputs: vec![output] }, 0)
    }

    fn of(shape: &[usize], data: Data, labels: Option<&[&str]>) -> Vec<Predicted> {
        Predictions::of(&Tensor::new(shape, data), &classes(labels)).rows().to_vec()
    }

    #[test]
    fn rows_are_numbers_probabilities_or_labels() {
        use Predicted::{Probability, Value};
        assert_eq!(of(&[2], Data::Fp32(vec![1.5, 2.0]), None), [Value(1.5), Value(2.0)]);
        assert_eq!(of(&[2, 1], Data::Int64(vec![3, 4]), None), [Value(3.0), Value(4.0)]);
        assert_eq!(of(&[1, 2], Data::Fp64(vec![0.25, 0.75]), None), [Probability(0.75)]);
        assert_eq!(of(&[1, 3], Data::Fp64(vec![0.2, 0.7, 0.1]), None), [Value(1.0)]);
        assert_eq!(of(&[1, 3], Data::Fp64(vec![0.2, 0.7, 0.1]), Some(&["10", "20", "30"])), [Value(20.0)]);
        assert_eq!(of(&[0, 3], Data::Fp64(vec![]), None), []);
        let texts = || Data::Bytes(["b", "a", "c"].iter().collect());
        let found = format!("{:?}", of(&[3], texts(), Some(&["a", "b"])));
        assert_eq!(found, "[Value(1.0), Value(0.0), Value(NaN)]");
        assert_eq!(of(&[3], texts(), Some(&["c", "b", "a"]))[2], Value(0.0));
    }

    #[test]
    fn rows_beyond_those_that_are_kept_are_counted_too() {
        let values: Vec<f64> =
            (0..300).map(|row| if row == 299 { f64::NAN } else { f64::from(row / 2) }).collect();
        let mut all = Outputs::default();
        values.iter().for_each(|value| all.push(*value));
        let found = Predictions::of(&Tensor::new(&[300], Data::Fp64(values)), &classes(None));
        assert_eq!((found.rows().len(), found.outputs()), (MAX_ROWS, all));
    }
}
