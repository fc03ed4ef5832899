//! Whether a library that trained a model and the gateway that will serve it answer the same: a file that is read wrong
//! would be proven against itself.

use sidegate::booster::{Booster, Forest};
use sidegate::engine::{Engine, LoadOptions, Scratch, trees::Trees};
use sidegate::format;
use sidegate::tensor::{Data, Tensor};

use super::FitError;
use crate::table::{Part, Rows};

/// Rows that both are asked.
const ROWS: usize = 4096;
/// By which single-precision sums in another order may differ, as a part of what is above 1.
const TOLERANCE: f64 = 1e-5;

/// Holds the answers of a `library` to the first rows of the training against those of what was read of its file.
///
/// # Errors
/// When they differ, or one does not answer.
pub(super) fn check(
    name: &str,
    rows: &dyn Rows,
    booster: &Booster,
    library: impl FnOnce(&[f32], usize) -> Result<Vec<f64>, String>,
) -> Result<(), FitError> {
    let width = rows.columns().len();
    let mut values: Vec<f32> = Vec::new();
    let read = rows.scan(Part::Train, &mut |batch| {
        let room = (ROWS * width).saturating_sub(values.len());
        values.extend(batch.values.iter().take(room));
        // Whoever has enough says so by an error.
        if values.len() < ROWS * width { Ok(()) } else { Err(String::new()) }
    });
    if values.len() < ROWS * width {
        read.map_err(FitError::Data)?;
    }
    let theirs = library(&values, width).map_err(FitError::Library)?;
    let ours = answers(booster, &values, width).map_err(FitError::Library)?;
    let differ = |(a, b): &(&f64, &f64)| {
        let same = a == b || (a.is_nan() && b.is_nan());
        !same && (*a - *b).abs() > TOLERANCE * b.abs().max(1.0)
    };
    let said = match ours.iter().zip(&theirs).find(differ) {
        _ if ours.len() != theirs.len() => {
            format!("{} numbers, and its file says {} here", theirs.len(), ours.len())
        }
        Some((ours, theirs)) => format!("{theirs} to a row, and its file says {ours} here"),
        None => return Ok(()),
    };
    Err(FitError::Library(format!(
        "{name} answers {said}: what this version of it saves is not read right; learners.sh, of scripts/ or the tarball, \
         fetches one that is"
    )))
}

/// What the gateway's engine answers, row after row.
pub(super) fn answers(booster: &Booster, values: &[f32], width: usize) -> Result<Vec<f64>, String> {
    let rows = values.len().checked_div(width).unwrap_or(0);
    let input = match booster.forest {
        Forest::Single(_) => Data::Fp32(values.to_vec()),
        Forest::Double(_) => Data::Fp64(values.iter().map(|value| f64::from(*value)).collect()),
    };
    let model = format::Model::Booster(Box::new(booster.clone()));
    let session = Trees.load(&model, &LoadOptions { workers: 1 }).map_err(|error| error.to_string())?;
    let mut outputs = Vec::new();
    session
        .run(&[Tensor::new(&[rows, width], input)], &mut Scratch::new(0), &mut outputs)
        .map_err(|error| error.to_string())?;
    let Some(output) = outputs.first() else { return Err("it answers nothing".to_owned()) };
    Ok((0..output.data.len()).filter_map(|at| output.data.number(at)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learner::tests::real::{Made, WIDTH};
    use crate::learner::{Model, builtin};
    use crate::table::Task;

    #[test]
    fn a_library_that_answers_otherwise_is_told() {
        let made = Made::new(Task::Regression, false);
        let params = "num_iterations = 5".parse().unwrap();
        let fitted = builtin::gbdt(&made, Task::Regression, &params, 7, 1, &mut |_| ()).unwrap();
        let Model::Booster(booster) = fitted.model else { panic!("no trees") };
        let ask = |shift: f64, count: usize| {
            check("Other", &made, &booster, |values, width| {
                assert_eq!((width, values.len()), (WIDTH, ROWS * WIDTH));
                let mut answers = answers(&booster, values, width)?;
                answers.truncate(count);
                answers[7] += shift;
                Ok(answers)
            })
        };
        assert_eq!(ask(1e-6, ROWS), Ok(()));
        let error = ask(1e-3, ROWS).unwrap_err().to_string();
        assert!(error.starts_with("Other answers ") && error.contains("is not read right"), "{error}");
        assert!(ask(0.0, 99).unwrap_err().to_string().contains("99 numbers, and its file says 4096 here"));
    }
}
