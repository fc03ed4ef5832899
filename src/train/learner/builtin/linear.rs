//! Weighted sums of features: least squares, and logistic regression, both with an L2 penalty on standardised features.

mod logistic;
mod passes;
mod solve;

pub(crate) use self::logistic::{check as check_logistic, fit as logistic};
use self::passes::Standard;
use self::solve::Matrix;
use crate::learner::builtin::params::{Known, Params};
use crate::learner::builtin::{FitError, Fitted, Importance, Linear, Model};
use crate::table::{Part, Round, Rows, Task};

const KNOWN: &[Known] = &[("alpha", &[])];
/// Numbers in the matrix of the normal equations: 128 MiB.
const MAX_WEIGHTS: usize = 4096;

/// Learns a ridge regression: `alpha` is scikit-learn's, on features of standard deviation 1.
///
/// # Errors
/// A parameter that is not known or cannot be; missing values and categories, which a sum cannot take.
pub(crate) fn ridge(
    rows: &dyn Rows,
    task: Task,
    params: &toml::Table,
    _seed: u64,
    threads: usize,
    progress: &mut dyn FnMut(&Round),
) -> Result<Fitted, FitError> {
    let (params, alpha) = read(rows, task, params)?;
    let width = rows.columns().len();
    let standard = Standard::read(rows, task)?;
    // The upper half of X'X, and X'y as its last column.
    let mut lines: Vec<Vec<f64>> = (0..width).map(|line| vec![0.0; width + 1 - line]).collect();
    standard.each(rows, Part::Train, |batch| {
        let heavy = batch.rows() * width * width / 2 > 1 << 18;
        let mut numbered: Vec<_> = lines.iter_mut().enumerate().collect();
        crate::learner::builtin::threads::each(
            if heavy { threads } else { 1 },
            &mut numbered,
            |(at, line)| {
                for (values, target, weight) in batch.each() {
                    let value = values[*at] * weight;
                    line.iter_mut().zip(&values[*at..]).for_each(|(sum, other)| *sum += value * other);
                    if let Some(last) = line.last_mut() {
                        *last += value * (target - standard.target);
                    }
                }
            },
        );
    })?;
    let mut matrix = Matrix::new(width);
    for (at, line) in lines.iter().enumerate() {
        (at..width).for_each(|other| matrix.set(other, at, line[other - at]));
        // Features that do not vary get no weight.
        matrix.add(at, if standard.varies(at) { alpha } else { 1.0 });
    }
    let right: Vec<f64> = lines.iter().map(|line| line.last().copied().unwrap_or(0.0)).collect();
    let weights = matrix.solve(&right).ok_or_else(|| {
        params
            .wrong("alpha", "is too small: some features are sums of others; raise it or drop such features")
    })?;
    let model = standard.model(std::slice::from_ref(&weights), &[standard.target]);
    tell(rows, &standard, &model, progress)?;
    Ok(Fitted { model: Model::Linear(model), importance: importance(&[weights]), rounds: 1, file: None })
}

/// Whether [`ridge`] takes these columns and parameters.
///
/// # Errors
/// A column of which no sum is made, a parameter that is not known or cannot be.
pub(crate) fn check(rows: &dyn Rows, task: Task, params: &toml::Table) -> Result<(), FitError> {
    read(rows, task, params).map(drop)
}

fn read<'a>(rows: &dyn Rows, task: Task, params: &'a toml::Table) -> Result<(Params<'a>, f64), FitError> {
    let params = Params::new("linear", params, KNOWN)?;
    if task != Task::Regression {
        return Err(FitError::Parameters(
            "`linear` predicts numbers; for classes there is `logistic`".into(),
        ));
    }
    passes::check(rows.columns())?;
    let width = rows.columns().len();
    if width > MAX_WEIGHTS {
        return Err(FitError::Parameters(format!(
            "{width} features; `linear` takes {MAX_WEIGHTS}, `builtin` takes more"
        )));
    }
    let alpha = params.number("alpha", 1.0, (0.0, f64::INFINITY))?;
    Ok((params, alpha))
}

/// Tells how good the model is.
fn tell(
    rows: &dyn Rows,
    standard: &Standard,
    model: &Linear,
    progress: &mut dyn FnMut(&Round),
) -> Result<(), FitError> {
    let rmse = |part| -> Result<f64, FitError> {
        let (mut squares, mut total) = (0.0, 0.0);
        let (weights, intercept) = (&model.weights[0], model.intercepts[0]);
        standard.raw(rows, part, |values, target, weight| {
            let sum: f64 = values.iter().zip(weights).map(|(value, weight)| f64::from(*value) * weight).sum();
            squares += weight * (sum + intercept - target).powi(2);
            total += weight;
        })?;
        Ok((squares / total).sqrt())
    };
    let validation = (rows.count(Part::Validation) > 0).then(|| rmse(Part::Validation)).transpose()?;
    progress(&Round { round: 1, of: 1, metric: "rmse", train: rmse(Part::Train)?, validation });
    Ok(())
}

/// The size of each feature's weights, which stand on features of standard deviation 1.
fn importance(weights: &[Vec<f64>]) -> Vec<Importance> {
    let width = weights.first().map_or(0, Vec::len);
    let size =
        |at: usize| weights.iter().map(|weights| weights[at].abs()).sum::<f64>() / weights.len() as f64;
    (0..width).map(|at| Importance { gain: size(at), splits: 0 }).collect()
}
