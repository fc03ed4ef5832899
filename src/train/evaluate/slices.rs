//! The model on parts of the rows, and where it is worse than elsewhere beyond chance.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use sidegate::stats::welch::welch;
use sidegate::stats::{Moments, multiplicity};

use super::measure::prepare;
use super::metric::{metrics, natural_loss};
use super::predictions::Predictions;

/// More values of a column than this are brought together as `others`.
const MOST_VALUES: usize = 12;
/// Parts of a number's range, with as many rows each.
const BINS: usize = 5;
/// Fewer rows than this are shown, but never flagged.
const LEAST_ROWS: usize = 30;
/// The chance that any slice of a report is flagged where none is worse.
const ALPHA: f64 = 0.05;

/// Which part each row belongs to.
#[derive(Clone, Debug)]
pub(crate) struct Grouping {
    column: String,
    labels: Vec<String>,
    of: Vec<u32>,
}

/// A part of the rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Slice {
    /// The column that it is a part by.
    pub column: String,
    /// The value, or values, that its rows have there.
    pub value: String,
    /// Rows.
    pub rows: usize,
    /// Metrics of these rows.
    pub metrics: BTreeMap<String, f64>,
    /// Mean loss: the squared error of numbers, the log loss of classes.
    pub loss: f64,
    /// Mean loss of all other rows.
    pub elsewhere: Option<f64>,
    /// The chance of a loss so much above that of the others if there were no difference (Welch's test, one-sided,
    /// adjusted for the number of slices by Holm).
    pub p: Option<f64>,
    /// Whether the model is worse here beyond chance.
    pub worse: bool,
}

impl Grouping {
    /// By the values of a column, the most frequent first.
    pub(crate) fn of_values<T: AsRef<str>>(column: &str, values: &[T]) -> Self {
        let mut counts: HashMap<&str, usize> = HashMap::new();
        values.iter().for_each(|value| *counts.entry(value.as_ref()).or_default() += 1);
        let mut ranked: Vec<(&str, usize)> = counts.into_iter().collect();
        ranked.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        let kept = if ranked.len() > MOST_VALUES { MOST_VALUES - 1 } else { ranked.len() };
        let places: HashMap<&str, u32> = ranked.iter().take(kept).map(|row| row.0).zip(0..).collect();
        let mut labels: Vec<String> =
            ranked.iter().take(kept).map(|(value, _)| (*value).to_owned()).collect();
        if kept < ranked.len() {
            labels.push(format!("{} others", ranked.len() - kept));
        }
        let of =
            values.iter().map(|value| places.get(value.as_ref()).copied().unwrap_or(kept as u32)).collect();
        Self { column: column.to_owned(), labels, of }
    }

    /// By parts of a number's range with about as many rows each; what is missing is a part of its own.
    pub(crate) fn of_numbers(column: &str, values: &[f32]) -> Self {
        let mut sorted: Vec<f32> = values.iter().copied().filter(|value| !value.is_nan()).collect();
        sorted.sort_by(f32::total_cmp);
        let mut ends: Vec<f32> =
            (1..BINS).filter_map(|bin| sorted.get(bin * sorted.len() / BINS)).copied().collect();
        ends.dedup();
        // What lies below the first end would be nothing.
        ends.retain(|end| sorted.first() != Some(end));
        let bin = |value: &f32| {
            if value.is_nan() {
                ends.len() as u32 + 1
            } else {
                ends.partition_point(|end| end <= value) as u32
            }
        };
        let of = values.iter().map(bin).collect();
        let mut labels: Vec<String> = match (ends.first(), ends.last()) {
            (Some(first), Some(last)) => {
                let between = ends.windows(2).map(|pair| format!("{} to {}", pair[0], pair[1]));
                let inner: Vec<String> = between.collect();
                [vec![format!("below {first}")], inner, vec![format!("from {last}")]].concat()
            }
            _ => vec!["any".to_owned()],
        };
        labels.push("missing".to_owned());
        Self { column: column.to_owned(), labels, of }
    }
}

/// Every part that has rows, in the order of the groupings.
pub(super) fn slices(
    predictions: &Predictions,
    groupings: &[Grouping],
    threshold: f64,
) -> Result<Vec<Slice>, String> {
    let losses = predictions.losses(natural_loss(predictions.task()));
    let (measure, weights) = (prepare(predictions, threshold), predictions.weights());
    let mut found = Vec::new();
    for Grouping { column, labels, of } in groupings {
        if of.len() != losses.len() {
            return Err(format!("slices by `{column}` are of {} rows, not of {}", of.len(), losses.len()));
        }
        let mut parts = vec![Moments::default(); labels.len()];
        of.iter().zip(&losses).for_each(|(part, loss)| parts[*part as usize].push(*loss));
        for (part, (label, moments)) in labels.iter().zip(&parts).enumerate().filter(|(_, part)| part.1.n > 0)
        {
            let mut rest = Moments::default();
            parts
                .iter()
                .enumerate()
                .filter(|(other, _)| *other != part)
                .for_each(|(_, other)| rest.merge(other));
            let masked = of.iter().zip(&weights).map(|(of, w)| if *of as usize == part { *w } else { 0.0 });
            let mut values = Vec::new();
            measure.values(&masked.collect::<Vec<_>>(), &mut values);
            let named = metrics(predictions.task()).iter().zip(values).filter(|(_, value)| value.is_finite());
            let test = welch(&rest, moments).ok().filter(|_| moments.n as usize >= LEAST_ROWS);
            found.push(Slice {
                column: column.clone(),
                value: label.clone(),
                rows: moments.n as usize,
                metrics: named.map(|(metric, value)| (metric.name.to_owned(), value)).collect(),
                loss: moments.mean,
                elsewhere: (rest.n > 0).then_some(rest.mean),
                p: test.map(|test| if test.difference > 0.0 { test.p / 2.0 } else { 1.0 - test.p / 2.0 }),
                worse: false,
            });
        }
    }
    let tested: Vec<f64> = found.iter().filter_map(|slice| slice.p).collect();
    let mut adjusted = multiplicity::holm(&tested).into_iter();
    for slice in found.iter_mut().filter(|slice| slice.p.is_some()) {
        slice.p = adjusted.next();
        slice.worse = slice.p.is_some_and(|p| p < ALPHA);
    }
    Ok(found)
}
