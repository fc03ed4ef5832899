//! How much worse a model becomes when one column says nothing: the column is shuffled (Breiman 2001).

use serde::{Deserialize, Serialize};

use super::metric::natural_loss;
use super::predictions::Predictions;
use super::random::Random;
use crate::table::Task;

/// Rows of features with what came of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample<'a> {
    /// Row after row, `width` values each.
    pub(crate) values: &'a [f32],
    /// Columns.
    pub(crate) width: usize,
    /// What came.
    pub(crate) truth: &'a [f64],
    /// What is predicted.
    pub(crate) task: Task,
}

/// A model: it answers a matrix with as many scores as [`Predictions`] takes, or says why it cannot.
pub(crate) type Predict<'a> = dyn FnMut(&[f32]) -> Result<Vec<f64>, String> + 'a;

/// A column's importance by shuffling.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Shuffled {
    /// How much the mean loss grows: the squared error of numbers, the log loss of classes.
    pub(crate) loss: f64,
    /// The standard deviation over repeats.
    pub(crate) deviation: f64,
}

/// Places of rows to ask about, ascending: so many of all, or all where there are no more.
pub(crate) fn chosen(rows: usize, count: usize, seed: u64) -> Vec<usize> {
    Random::new(seed, u64::MAX).sample(rows, count)
}

/// Shuffles each column some times. The loss of repeats is told by its mean and deviation.
///
/// # Errors
/// What the model says, or that it answers something else than asked.
pub(crate) fn permutation(
    sample: Sample<'_>,
    repeats: u32,
    seed: u64,
    predict: &mut Predict<'_>,
) -> Result<Vec<Shuffled>, String> {
    let Sample { values, width, truth, task } = sample;
    if width == 0 || values.len() != width * truth.len() {
        return Err(format!("{} values for {} rows of {width} columns", values.len(), truth.len()));
    }
    let mut loss = |values: &[f32]| -> Result<f64, String> {
        let losses =
            Predictions::new(task, truth.to_vec(), predict(values)?, None)?.losses(natural_loss(task));
        Ok(losses.iter().sum::<f64>() / losses.len() as f64)
    };
    let plain = loss(values)?;
    let mut changed = values.to_vec();
    let mut found = Vec::with_capacity(width);
    for column in 0..width {
        let mut own: Vec<f32> = values.iter().skip(column).step_by(width).copied().collect();
        let mut growths = Vec::new();
        for repeat in 0..repeats.max(1) {
            // Every column is shuffled alike, so that equal columns are equally important.
            Random::new(seed, u64::from(repeat)).shuffle(&mut own);
            changed
                .iter_mut()
                .skip(column)
                .step_by(width)
                .zip(&own)
                .for_each(|(place, value)| *place = *value);
            growths.push(loss(&changed)? - plain);
        }
        let places = changed.iter_mut().skip(column).step_by(width);
        places.zip(values.iter().skip(column).step_by(width)).for_each(|(place, value)| *place = *value);
        let mean = growths.iter().sum::<f64>() / growths.len() as f64;
        let square = growths.iter().map(|growth| (growth - mean).powi(2)).sum::<f64>() / growths.len() as f64;
        found.push(Shuffled { loss: mean, deviation: square.sqrt() });
    }
    Ok(found)
}
