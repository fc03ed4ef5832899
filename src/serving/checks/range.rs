//! Predictions lie within a range, ends included.

use std::time::Instant;

use super::{Finding, Terms, answer, chunks, width};
use crate::serving::admission::Trial;
use crate::tensor::Datatype;

pub(super) fn run(trial: &mut Trial<'_>, terms: &Terms<'_>) -> Vec<Finding> {
    let started = Instant::now();
    match terms.range {
        None => vec![Finding::skipped("range", "no range is given: --range MIN..MAX")],
        Some(_) => vec![Finding::new("range", within(trial, terms), started)],
    }
}

fn within(trial: &mut Trial<'_>, terms: &Terms<'_>) -> Result<String, String> {
    let Some(range) = terms.range else { return Ok(String::new()) };
    let Some(spec) = trial.signature.outputs.get(terms.prediction) else {
        return Err("there is no output".to_owned());
    };
    if spec.datatype == Datatype::Bytes {
        return Err(format!(
            "output `{}` is BYTES, of which no range can be; choose another output (--prediction, or `prediction` in \
             manifest.json)",
            spec.name
        ));
    }
    let name = spec.name.clone();
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    let (mut outside, mut first) = (0_usize, None);
    for (start, inputs) in chunks(terms.rows) {
        let outputs = answer(trial.attempt(&inputs)).map_err(|why| format!("{}: {why}", terms.source))?;
        let Some(output) = outputs.get(terms.prediction) else {
            return Err(format!("output `{name}` did not come back"));
        };
        let values = (0..output.data.len()).filter_map(|index| Some((index, output.data.number(index)?)));
        for (index, value) in values {
            (low, high) = (low.min(value), high.max(value));
            if !range.contains(value) {
                outside += 1;
                first.get_or_insert_with(|| {
                    let width = width(output).max(1);
                    let column =
                        if width > 1 { format!(", column {}", index % width) } else { String::new() };
                    format!("row {}{column}: {value}", start + index / width)
                });
            }
        }
    }
    match first {
        Some(first) => Err(format!(
            "output `{name}`, {first}, wanted {range}; {outside} values of {} lie outside, from {low} to {high}",
            terms.source
        )),
        None => Ok(format!("{}: output `{name}` from {low} to {high}, within {range}", terms.source)),
    }
}
