//! As many predictions as rows.

use std::time::Instant;

use super::{Finding, Terms, answer, batched, rows_of};
use crate::model::TensorSpec;
use crate::serving::admission::Trial;
use crate::serving::probe::tile;
use crate::tensor::Tensor;

/// Numbers of rows: one, few, a number that no vector width divides, and many.
const SIZES: [usize; 4] = [1, 2, 7, 64];

pub(super) fn run(trial: &mut Trial<'_>, terms: &Terms<'_>) -> Vec<Finding> {
    if !batched(trial.signature) {
        return vec![Finding::skipped("shape", "an input has no free first dimension, so rows cannot vary")];
    }
    let started = Instant::now();
    vec![Finding::new("shape", count(trial, terms), started)]
}

fn count(trial: &mut Trial<'_>, terms: &Terms<'_>) -> Result<String, String> {
    let mut fixed: Vec<&str> = Vec::new();
    for rows in SIZES {
        let Some(inputs) = tile(terms.sample, rows) else {
            return Err("there are no rows to try".to_owned());
        };
        let outputs = answer(trial.attempt(&inputs)).map_err(|why| format!("{}: {why}", rows_of(rows)))?;
        if outputs.len() <= terms.prediction {
            return Err(format!("{}: only {} outputs came back", rows_of(rows), outputs.len()));
        }
        for (index, (spec, output)) in trial.signature.outputs.iter().zip(&outputs).enumerate() {
            if output.shape.first() == Some(&rows) {
                continue;
            }
            if index != terms.prediction && is_fixed(spec, output) {
                if !fixed.contains(&&*spec.name) {
                    fixed.push(&spec.name);
                }
                continue;
            }
            return Err(format!(
                "output `{}` has shape {:?} for {}, expected {rows} as its first extent",
                spec.name,
                output.shape,
                rows_of(rows)
            ));
        }
    }
    let beside: Vec<String> = fixed.iter().map(|name| format!("; `{name}` has no batch dimension")).collect();
    Ok(format!("as many predictions as rows for 1, 2, 7 and 64 rows{}", beside.concat()))
}

/// Whether an output is one value for all rows, as it is declared to be. Declared shapes are hints: LightGBM's
/// exporter says `int64[1]` of labels that come one per row.
fn is_fixed(spec: &TensorSpec, output: &Tensor) -> bool {
    match (output.shape.first(), spec.shape.first()) {
        (None, _) => true,
        (Some(&got), Some(&declared)) => usize::try_from(declared) == Ok(got),
        (Some(_), None) => false,
    }
}
