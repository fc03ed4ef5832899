//! Predicted numbers against what came.

use super::Plot;
use super::axis::Axis;
use super::chart::Chart;
use crate::evaluate::bootstrap::quantile;
use crate::evaluate::predictions::Predictions;

const SIZE: [f64; 2] = [460.0, 420.0];
/// More rows than this are counted in cells.
const DOTS: usize = 600;
/// Cells across and down.
const CELLS: usize = 44;
/// Parts of the predictions that the middle and the band are told of.
const PARTS: usize = 24;
/// What lies further out would leave the rest no room; it stands on the edge.
const SHOWN: f64 = 0.998;

/// From what was predicted to what came, and where both are the same.
pub(super) fn predicted_vs_actual(predictions: &Predictions) -> Plot {
    let points = pairs(predictions, |truth, _| truth);
    let both = shown(&points, 0).into_iter().chain(shown(&points, 1));
    let axis = Axis::of(both, 6);
    let (low, high) = (axis.low, axis.high);
    let mut chart = Chart::new((axis.clone(), "predicted"), (axis.clone(), "actual"), SIZE);
    cloud(&mut chart, &axis, &axis, &points);
    chart.line("rule", &[[low, low], [high, high]]);
    chart.key("rule", "equal");
    chart.finish("predicted-vs-actual", "Predicted and actual")
}

/// What came minus what was predicted, by what was predicted.
pub(super) fn residuals(predictions: &Predictions) -> Plot {
    let points = pairs(predictions, |truth, score| truth - score);
    let x = Axis::of(shown(&points, 0), 6);
    let y = Axis::of(shown(&points, 1).into_iter().chain([0.0]), 6);
    let (low, high) = (x.low, x.high);
    let mut chart = Chart::new((x.clone(), "predicted"), (y.clone(), "actual − predicted"), SIZE);
    cloud(&mut chart, &x, &y, &points);
    chart.line("rule", &[[low, 0.0], [high, 0.0]]);
    chart.key("rule", "no error");
    chart.finish("residuals", "Residuals")
}

/// Prediction and something else of each row, from the lowest prediction on.
fn pairs(predictions: &Predictions, of: impl Fn(f64, f64) -> f64) -> Vec<[f64; 2]> {
    let rows = predictions.truth().iter().zip(predictions.scores());
    let mut points: Vec<[f64; 2]> = rows.map(|(truth, score)| [*score, of(*truth, *score)]).collect();
    points.sort_by(|a, b| a[0].total_cmp(&b[0]));
    points
}

/// The ends of what is shown of a coordinate.
fn shown(points: &[[f64; 2]], coordinate: usize) -> Vec<f64> {
    let mut values: Vec<f64> = points.iter().map(|point| point[coordinate]).collect();
    values.sort_by(f64::total_cmp);
    [1.0 - SHOWN, SHOWN].into_iter().filter_map(|share| quantile(&values, share)).collect()
}

/// Rows as dots, or counted in cells where they are many; the median and the middle 80 % over equal parts of the rows.
fn cloud(chart: &mut Chart, x: &Axis, y: &Axis, points: &[[f64; 2]]) {
    if points.len() <= DOTS {
        points.iter().for_each(|point| chart.dot("c band", *point, 3.0, ""));
        chart.key("c", "a row");
    } else {
        let cell = |share: f64| ((share * CELLS as f64) as usize).min(CELLS - 1);
        let mut counts = vec![0_u32; CELLS * CELLS];
        for point in points {
            counts[cell(y.place(point[1])) * CELLS + cell(x.place(point[0]))] += 1;
        }
        let most = counts.iter().copied().max().unwrap_or(1).max(1);
        let edge = |axis: &Axis, at: usize| axis.low + at as f64 / CELLS as f64 * (axis.high - axis.low);
        for (at, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            let (row, column) = (at / CELLS, at % CELLS);
            // By the logarithm, so that a single row is still seen.
            let opacity = 0.12 + 0.78 * f64::from(*count).ln_1p() / f64::from(most).ln_1p();
            chart.cell(
                "c",
                [edge(x, column), edge(y, row)],
                [edge(x, column + 1), edge(y, row + 1)],
                opacity,
            );
        }
        chart.key("c", "rows");
    }
    let [mut low, mut middle, mut high] = [const { Vec::new() }; 3];
    for part in points.chunks(points.len().div_ceil(PARTS).max(10)) {
        let mut values: Vec<f64> = part.iter().map(|point| point[1]).collect();
        values.sort_by(f64::total_cmp);
        let Some(centre) = part.get(part.len() / 2).map(|point| point[0]) else { continue };
        let places = [(&mut low, 0.1), (&mut middle, 0.5), (&mut high, 0.9)];
        places.into_iter().for_each(|(line, share)| {
            line.extend(quantile(&values, share).map(|value| [centre, value]));
        });
    }
    chart.band("b", &low, &high);
    chart.line("line b", &middle);
    chart.key("b", "median, middle 80 %");
}
