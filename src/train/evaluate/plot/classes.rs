//! Two classes: how well probabilities part them, and whether they are right.

use super::Plot;
use super::axis::{Axis, digits};
use super::chart::Chart;
use crate::evaluate::gate::short;
use crate::evaluate::measure::GROUPS;
use crate::evaluate::predictions::Predictions;

const SIZE: [f64; 2] = [460.0, 420.0];
/// More points of a curve than this are not seen.
const POINTS: usize = 400;

/// Masses of the first and second class from the highest probability down, a step per probability.
fn steps(predictions: &Predictions) -> Vec<[f64; 2]> {
    let weights = predictions.weights();
    let rows = predictions.scores().iter().zip(predictions.truth()).zip(&weights);
    let mut rows: Vec<(f64, bool, f64)> =
        rows.map(|((score, truth), w)| (*score, *truth > 0.0, *w)).collect();
    rows.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut above = [0.0; 2];
    let mut steps = vec![above];
    for tied in rows.chunk_by(|a, b| a.0 == b.0) {
        tied.iter().for_each(|row| above[usize::from(row.1)] += row.2);
        steps.push(above);
    }
    steps
}

/// As many points as are seen, the ends among them: one for each step of either coordinate's size.
fn thinned(points: Vec<[f64; 2]>) -> Vec<[f64; 2]> {
    let step = 2.0 / POINTS as f64;
    let Some(end) = points.last().copied() else { return points };
    let mut kept: Vec<[f64; 2]> = Vec::new();
    for point in points {
        let far = |last: &[f64; 2]| (point[0] - last[0]).abs() + (point[1] - last[1]).abs() >= step;
        if kept.last().is_none_or(far) {
            kept.push(point);
        }
    }
    kept.push(end);
    kept
}

fn unit() -> Axis {
    Axis::fixed(0.0, 1.0, 5)
}

/// True positives by false positives, over all thresholds.
pub(crate) fn roc(predictions: &Predictions, auc: Option<f64>) -> Plot {
    let steps = steps(predictions);
    let [first, second] = steps.last().copied().unwrap_or([1.0; 2]);
    let share = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
    let points = thinned(steps.iter().map(|step| [share(step[0], first), share(step[1], second)]).collect());
    let mut chart = Chart::new((unit(), "false positive rate"), (unit(), "true positive rate"), SIZE);
    chart.band("a", &points.iter().map(|point| [point[0], 0.0]).collect::<Vec<_>>(), &points);
    chart.line("line a", &points);
    chart.line("rule", &[[0.0, 0.0], [1.0, 1.0]]);
    chart.key("a", &auc.map_or_else(|| "model".to_owned(), |auc| format!("model, area {}", digits(auc))));
    chart.key("rule", "by chance");
    chart.finish("roc", "ROC curve")
}

/// Precision by recall, over all thresholds.
pub(crate) fn precision_recall(predictions: &Predictions, average_precision: Option<f64>) -> Plot {
    let steps = steps(predictions);
    let [first, second] = steps.last().copied().unwrap_or([1.0; 2]);
    let share = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
    let point = |step: &[f64; 2]| [share(step[1], second), share(step[1], step[0] + step[1])];
    let mut points: Vec<[f64; 2]> = steps.iter().skip(1).map(point).collect();
    // Before anything is taken precision is that of what is taken first.
    points.splice(0..0, points.first().map(|first| [0.0, first[1]]));
    let points = thinned(points);
    let rate = share(second, first + second);
    let mut chart = Chart::new((unit(), "recall"), (unit(), "precision"), SIZE);
    chart.line("line a", &points);
    chart.line("rule", &[[0.0, rate], [1.0, rate]]);
    let name =
        average_precision.map_or_else(|| "model".to_owned(), |ap| format!("model, average {}", digits(ap)));
    chart.key("a", &name);
    chart.key("rule", &format!("by chance, {}", digits(rate)));
    chart.finish("precision-recall", "Precision and recall")
}

/// How often the second class came by the probability it was given; below, how many rows that is.
pub(crate) fn calibration(predictions: &Predictions, ece: Option<f64>) -> Plot {
    let mut groups = [[0.0; 3]; GROUPS];
    let rows = predictions.scores().iter().zip(predictions.truth()).zip(predictions.weights());
    for ((score, truth), weight) in rows {
        let group = ((score.max(0.0) * GROUPS as f64) as usize).min(GROUPS - 1);
        let [mass, predicted, seen] = &mut groups[group];
        *mass += weight;
        *predicted += weight * score;
        *seen += weight * truth;
    }
    let most = groups.iter().map(|group| group[0]).fold(f64::MIN_POSITIVE, f64::max);
    let mut chart = Chart::new((unit(), "predicted probability"), (unit(), "share that came"), SIZE);
    for (at, [mass, ..]) in groups.iter().enumerate() {
        let edge = |at: usize| at as f64 / GROUPS as f64;
        chart.cell("c", [edge(at) + 0.004, 0.0], [edge(at + 1) - 0.004, 0.25 * mass / most], 0.35);
    }
    chart.line("rule", &[[0.0, 0.0], [1.0, 1.0]]);
    let point = |[mass, predicted, seen]: &[f64; 3]| [predicted / mass, seen / mass];
    let come = groups.iter().filter(|group| group[0] > 0.0);
    let points: Vec<[f64; 2]> = come.clone().map(point).collect();
    chart.line("line a", &points);
    for (group, point) in come.zip(points) {
        let title =
            format!("{} rows: {} predicted, {} came", short(group[0]), short(point[0]), short(point[1]));
        chart.dot("a", point, 4.0, &title);
    }
    chart.key("a", &ece.map_or_else(|| "model".to_owned(), |ece| format!("model, error {}", digits(ece))));
    chart.key("rule", "perfect");
    chart.key("c", &format!("≤ {} rows", short(most)));
    chart.finish("calibration", "Calibration")
}
