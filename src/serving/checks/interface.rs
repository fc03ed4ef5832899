//! The model answers, and its outputs are those it declares.

use std::time::Instant;

use super::{Finding, Terms, answer};
use crate::serving::admission::Trial;

pub(super) fn run(trial: &mut Trial<'_>, terms: &Terms<'_>) -> Vec<Finding> {
    let started = Instant::now();
    vec![Finding::new("interface", predict(trial, terms), started)]
}

fn predict(trial: &mut Trial<'_>, terms: &Terms<'_>) -> Result<String, String> {
    let outputs = answer(trial.attempt(terms.sample)).map_err(|why| {
        format!("{}: {why}; examples (golden.json, --data) say what makes sense", terms.sampled())
    })?;
    let declared = &trial.signature.outputs;
    if outputs.len() != declared.len() {
        return Err(format!("{} outputs came back, {} are declared", outputs.len(), declared.len()));
    }
    let wrong = declared.iter().zip(&outputs).find(|(spec, output)| output.datatype() != spec.datatype);
    if let Some((spec, output)) = wrong {
        return Err(format!(
            "output `{}` is {}, declared as {}",
            spec.name,
            output.datatype(),
            spec.datatype
        ));
    }
    let inputs = trial.signature.inputs.len();
    let plural = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    Ok(format!(
        "{}, {}; {} answered",
        plural(inputs, "input"),
        plural(declared.len(), "output"),
        terms.sampled()
    ))
}
