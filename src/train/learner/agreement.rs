//! Whether a library that trained a model and the gateway that will serve it answer the same: a file that is read wrong
//! would be proven against itself.

use sidegate::booster::{Booster, Forest};
use sidegate::engine::{self, Engine, LoadOptions, Scratch};
use sidegate::format;
use sidegate::tensor::{Data, Tensor};

use super::FitError;
use crate::table::{Part, Rows};
use crate::tolerance::{TOLERANCE, apart, is_rounding};

/// Rows that both are asked.
const ROWS: usize = 4096;

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
    let said = if ours.len() == theirs.len() {
        let count = (ours.len() * width).checked_div(values.len()).unwrap_or(1).max(1);
        let differ = |((row, ours), theirs): ((&[f32], &[f64]), &[f64])| {
            let pair = ours.iter().zip(theirs).find(|(ours, theirs)| apart(**ours, **theirs) > TOLERANCE)?;
            (!is_rounding(booster, row, [ours, theirs])).then_some((*pair.0, *pair.1))
        };
        let rows = values.chunks_exact(width).zip(ours.chunks_exact(count)).zip(theirs.chunks_exact(count));
        match rows.into_iter().find_map(differ) {
            Some((ours, theirs)) => format!("{theirs} to a row, and its file says {ours} here"),
            None => return Ok(()),
        }
    } else {
        format!("{} numbers, and its file says {} here", theirs.len(), ours.len())
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
    let session =
        engine::trees::Trees.load(&model, &LoadOptions { workers: 1 }).map_err(|error| error.to_string())?;
    let mut outputs = Vec::new();
    session
        .run(&[Tensor::new(&[rows, width], input)], &mut Scratch::new(0), &mut outputs)
        .map_err(|error| error.to_string())?;
    let Some(output) = outputs.first() else { return Err("it answers nothing".to_owned()) };
    Ok((0..output.data.len()).filter_map(|at| output.data.number(at)).collect())
}

#[cfg(test)]
mod tests {
    use sidegate::booster::{Node, Transform, Tree, Trees};

    use super::*;
    use crate::learner::tests::real::{Made, WIDTH};
    use crate::learner::{Model, builtin};
    use crate::table::Task;

    #[test]
    fn leaves_that_cancel_are_no_fault_of_the_library() {
        let made = Made::new(Task::Regression, false);
        let mut trees = Trees::<f32>::default();
        let leaves = [7e5, 0.3, -4e5, 0.1, -3e5];
        for leaf in leaves {
            trees.trees.push(Tree { root: trees.nodes.len() as u32, target: 0 });
            trees.nodes.push(Node::Leaf(leaf));
        }
        let booster =
            Booster::new(Forest::Single(trees), WIDTH, Vec::new(), 1, None, Transform::Identity).unwrap();
        let ask = |answer: f64| check("Other", &made, &booster, |_, _| Ok(vec![answer; ROWS]));
        // In float64, and in float32 from the last one on.
        let [exact, turned] =
            [leaves.iter().map(|leaf| f64::from(*leaf)).sum(), f64::from(leaves.iter().rev().sum::<f32>())];
        let own = answers(&booster, &[0.0; WIDTH], WIDTH).unwrap()[0];
        assert!((exact - own).abs() > 1e-3 && (turned - own).abs() > 1e-3, "{exact} {turned} {own}");
        assert_eq!([ask(exact), ask(turned)], [Ok(()), Ok(())]);
        assert!(ask(exact + 30.0).unwrap_err().to_string().contains("is not read right"));
    }

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
