//! Data sets, filled as rows come.

use crate::learner::FitError;
use crate::learner::rows::check;
use crate::table::{Column, Part, Rows, Task};
use sidegate::native::lightgbm::{Dataset, Filling, Library, Sample};

/// The training data: first a sample to find bins by, then all rows.
pub(super) fn train(
    library: Library,
    rows: &dyn Rows,
    task: Task,
    count: usize,
    settings: &str,
) -> Result<Dataset, FitError> {
    let width = rows.columns().len();
    let chosen = Dataset::sample(library, count, settings).map_err(FitError::Parameters)?;
    let mut chosen = chosen.into_iter().filter_map(|row| usize::try_from(row).ok()).peekable();
    let (mut sample, mut seen) = (Sample::new(width), 0);
    let scanned = rows.scan(Part::Train, &mut |batch| {
        for row in batch.values.chunks_exact(width) {
            if chosen.next_if_eq(&seen).is_some() {
                sample.push(row);
            }
            seen += 1;
        }
        Ok(())
    });
    scanned.map_err(FitError::Data)?;
    let filling = Dataset::from_sample(library, sample, count, settings).map_err(FitError::Parameters)?;
    let mut dataset = fill(filling, rows, Part::Train, task)?;
    if let Some(names) = names(rows.columns()) {
        dataset.name(names.iter().map(String::as_str)).map_err(FitError::Library)?;
    }
    Ok(dataset)
}

/// The validation data, in the bins of the training data.
pub(super) fn validation(
    train: &Dataset,
    rows: &dyn Rows,
    task: Task,
    count: usize,
) -> Result<Dataset, FitError> {
    fill(train.alike(count).map_err(FitError::Library)?, rows, Part::Validation, task)
}

fn fill(mut filling: Filling, rows: &dyn Rows, part: Part, task: Task) -> Result<Dataset, FitError> {
    let (mut target, mut weight) = (Vec::new(), None::<Vec<f32>>);
    let scanned = rows.scan(part, &mut |batch| {
        check(task, target.len(), &batch)?;
        if !target.is_empty() && weight.is_some() != batch.weight.is_some() {
            return Err("some rows have weights and others have none".to_owned());
        }
        target.extend_from_slice(batch.target);
        if let Some(weights) = batch.weight {
            weight.get_or_insert_default().extend_from_slice(weights);
        }
        filling.push(batch.values)
    });
    scanned.map_err(FitError::Data)?;
    filling.finish(&target, weight.as_deref()).map_err(FitError::Data)
}

/// The columns' names, in the letters that the library takes; none when they would then be the same.
fn names(columns: &[Column]) -> Option<Vec<String>> {
    let taken = |c: char| !(c.is_whitespace() || c.is_control() || ",[]{}\":".contains(c));
    let name = |column: &Column| column.name.chars().map(|c| if taken(c) { c } else { '_' }).collect();
    let names: Vec<String> = columns.iter().map(name).collect();
    let mut sorted: Vec<&String> = names.iter().collect();
    sorted.sort();
    sorted.dedup();
    (sorted.len() == names.len() && names.iter().all(|name| !name.is_empty())).then_some(names)
}
