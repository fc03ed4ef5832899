//! What others make of scores: a model that answers probabilities alone is compared with services that answer labels,
//! or a probability for each class.

use crate::cli::peer::reply::{Output, Values};

/// Rows may add up to one within so much.
const ROUNDING: f64 = 1e-3;

/// Appends labels, and both probabilities of two classes, where a model answers probabilities and no labels.
pub(super) fn extend(outputs: &mut Vec<Output>, rows: usize) {
    if rows == 0 || outputs.iter().any(|output| output.label) {
        return;
    }
    let made: Vec<Output> = outputs.iter().flat_map(|output| of(output, rows)).collect();
    outputs.extend(made);
}

fn of(output: &Output, rows: usize) -> Vec<Output> {
    let Values::Numbers(values) = &output.values else { return Vec::new() };
    let made = |name: String, values: Vec<f64>| Output {
        name,
        values: Values::Numbers(values),
        single: output.single,
        label: false,
        derived: true,
    };
    let width = values.len() / rows;
    let name = &output.name;
    if width * rows != values.len() || !values.iter().all(|value| (0.0..=1.0).contains(value)) {
        return Vec::new();
    }
    if width == 1 {
        let labels = values.iter().map(|p| f64::from(*p > 0.5)).collect();
        let both = values.iter().flat_map(|p| [1.0 - p, *p]).collect();
        return vec![made(format!("{name} > 0.5"), labels), made(format!("1 - {name}, {name}"), both)];
    }
    let ones = values.chunks(width).all(|row| (row.iter().sum::<f64>() - 1.0).abs() <= ROUNDING);
    let best = |row: &[f64]| {
        let places = row.iter().enumerate().rev();
        places.max_by(|(_, a), (_, b)| a.total_cmp(b)).map_or(0.0, |(place, _)| place as f64)
    };
    if ones {
        vec![made(format!("argmax {name}"), values.chunks(width).map(best).collect())]
    } else {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(width: usize, values: &[f64], expected: &[(&str, &[f64])]) {
        let output = |name: &str, values: &[f64], derived| Output {
            name: name.to_owned(),
            values: Values::Numbers(values.to_vec()),
            single: true,
            label: false,
            derived,
        };
        let mut outputs = vec![output("p", values, false)];
        extend(&mut outputs, values.len() / width);
        let expected: Vec<_> = expected.iter().map(|(name, values)| output(name, values, true)).collect();
        assert_eq!(outputs[1..], expected);
    }

    #[test]
    fn probabilities_are_shown_as_others_show_them() {
        let (labels, both) = ([0.0, 1.0], [0.75, 0.25, 0.375, 0.625]);
        check(1, &[0.25, 0.625], &[("p > 0.5", labels.as_slice()), ("1 - p, p", both.as_slice())]);
        check(2, &[0.75, 0.25, 0.5, 0.5], &[("argmax p", &[0.0, 0.0])]);
        // Numbers that are no probabilities, rows that do not add up.
        check(1, &[0.5, 1.5], &[]);
        check(2, &[0.75, 0.75], &[]);
    }
}
