//! Two classes: how well probabilities part them, and whether they are right.

use super::Plot;
use super::axis::{Axis, digits};
use super::chart::Chart;
use crate::evaluate::gate::short;
use crate::evaluate::measure::GROUPS;
use crate::evaluate::predictions::Predictions;

pub(super) const SIZE: [f64; 2] = [460.0, 420.0];
/// More points of a curve than this are not seen.
const POINTS: usize = 400;

/// Masses of the others and of a class from its highest probability down, a step per probability.
pub(super) struct Steps(Vec<[f64; 2]>);

impl Steps {
    /// Of rows: the probability of the class, whether it came, and what the row counts.
    pub(super) fn of(rows: impl Iterator<Item = (f64, bool, f64)>) -> Self {
        let mut rows: Vec<(f64, bool, f64)> = rows.collect();
        rows.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut above = [0.0; 2];
        let mut steps = vec![above];
        for tied in rows.chunk_by(|a, b| a.0 == b.0) {
            tied.iter().for_each(|row| above[usize::from(row.1)] += row.2);
            steps.push(above);
        }
        Self(steps)
    }

    /// Of the second of two classes.
    fn of_two(predictions: &Predictions) -> Self {
        let rows = predictions.scores().iter().zip(predictions.truth()).zip(predictions.weights());
        Self::of(rows.map(|((score, truth), weight)| (*score, *truth > 0.0, weight)))
    }

    fn whole(&self) -> [f64; 2] {
        self.0.last().copied().unwrap_or([0.0; 2])
    }

    /// Whether there is anything to tell apart.
    pub(super) fn has_both(&self) -> bool {
        self.whole().iter().all(|mass| *mass > 0.0)
    }

    /// How often the class comes.
    pub(super) fn rate(&self) -> f64 {
        let [others, own] = self.whole();
        share(own, others + own)
    }

    /// True positives by false positives, over all thresholds.
    pub(super) fn roc(&self) -> Vec<[f64; 2]> {
        let [others, own] = self.whole();
        self.0.iter().map(|step| [share(step[0], others), share(step[1], own)]).collect()
    }

    /// Precision by recall, over all thresholds.
    pub(super) fn precision_recall(&self) -> Vec<[f64; 2]> {
        let own = self.whole()[1];
        let point = |step: &[f64; 2]| [share(step[1], own), share(step[1], step[0] + step[1])];
        let mut points: Vec<[f64; 2]> = self.0.iter().skip(1).map(point).collect();
        // Before anything is taken precision is that of what is taken first.
        points.splice(0..0, points.first().map(|first| [0.0, first[1]]));
        points
    }

    /// The area under the ROC curve; none where only one of the two came.
    pub(super) fn auc(&self) -> Option<f64> {
        let trapezoid = |[a, b]: &[[f64; 2]; 2]| (b[0] - a[0]) * f64::midpoint(a[1], b[1]);
        self.has_both().then(|| self.roc().array_windows().map(trapezoid).sum())
    }

    /// The mean of precision over recall, none where the class never came.
    pub(super) fn average_precision(&self) -> Option<f64> {
        let step = |[a, b]: &[[f64; 2]; 2]| (b[0] - a[0]) * b[1];
        (self.whole()[1] > 0.0).then(|| self.precision_recall().array_windows().map(step).sum())
    }
}

fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

/// As many points as are seen, the ends among them: one for each step of either coordinate's size.
pub(super) fn thinned(points: Vec<[f64; 2]>) -> Vec<[f64; 2]> {
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

pub(super) fn unit() -> Axis {
    Axis::fixed(0.0, 1.0, 5)
}

/// A name in a legend, with a number where there is one.
pub(super) fn named(name: &str, what: &str, value: Option<f64>) -> String {
    value.map_or_else(|| name.to_owned(), |value| format!("{name}, {what} {}", digits(value)))
}

/// True positives by false positives, over all thresholds.
pub(super) fn roc(predictions: &Predictions) -> Plot {
    let steps = Steps::of_two(predictions);
    let points = thinned(steps.roc());
    let mut chart = Chart::new((unit(), "false positive rate"), (unit(), "true positive rate"), SIZE);
    chart.band("a", &points.iter().map(|point| [point[0], 0.0]).collect::<Vec<_>>(), &points);
    chart.line("line a", &points);
    chart.line("rule", &[[0.0, 0.0], [1.0, 1.0]]);
    chart.key("a", &named("model", "area", steps.auc()));
    chart.key("rule", "by chance");
    chart.finish("roc", "ROC curve")
}

/// Precision by recall, over all thresholds.
pub(super) fn precision_recall(predictions: &Predictions) -> Plot {
    let steps = Steps::of_two(predictions);
    let rate = steps.rate();
    let mut chart = Chart::new((unit(), "recall"), (unit(), "precision"), SIZE);
    chart.line("line a", &thinned(steps.precision_recall()));
    chart.line("rule", &[[0.0, rate], [1.0, rate]]);
    chart.key("a", &named("model", "average", steps.average_precision()));
    chart.key("rule", &format!("by chance, {}", digits(rate)));
    chart.finish("precision-recall", "Precision and recall")
}

/// How often the second class came by the probability it was given; below, how many rows that is.
pub(super) fn calibration(predictions: &Predictions) -> Plot {
    let rows = predictions.scores().iter().zip(predictions.truth()).zip(predictions.weights());
    let rows = rows.map(|((score, truth), weight)| (*score, *truth, weight));
    reliability(rows, ["predicted probability", "share that came"], "came", "Calibration")
}

/// What came of rows by the probability that was said of each: that, what came as 0 or 1, and what the row counts.
pub(super) fn reliability(
    rows: impl Iterator<Item = (f64, f64, f64)>,
    [x, y]: [&str; 2],
    verb: &str,
    title: &str,
) -> Plot {
    let mut groups = [[0.0; 3]; GROUPS];
    for (score, truth, weight) in rows {
        let group = ((score.max(0.0) * GROUPS as f64) as usize).min(GROUPS - 1);
        let [mass, predicted, seen] = &mut groups[group];
        *mass += weight;
        *predicted += weight * score;
        *seen += weight * truth;
    }
    let most = groups.iter().map(|group| group[0]).fold(f64::MIN_POSITIVE, f64::max);
    let mut chart = Chart::new((unit(), x), (unit(), y), SIZE);
    for (at, [mass, ..]) in groups.iter().enumerate() {
        let edge = |at: usize| at as f64 / GROUPS as f64;
        chart.cell("c", [edge(at) + 0.004, 0.0], [edge(at + 1) - 0.004, 0.25 * mass / most], 0.35);
    }
    chart.line("rule", &[[0.0, 0.0], [1.0, 1.0]]);
    let point = |[mass, predicted, seen]: &[f64; 3]| [predicted / mass, seen / mass];
    let come = groups.iter().filter(|group| group[0] > 0.0);
    let points: Vec<[f64; 2]> = come.clone().map(point).collect();
    chart.line("line a", &points);
    for (group, point) in come.clone().zip(points) {
        let title =
            format!("{} rows: {} predicted, {} {verb}", short(group[0]), short(point[0]), short(point[1]));
        chart.dot("a", point, 4.0, &title);
    }
    // As `ece` of the metrics has it.
    let off: f64 = come.clone().map(|[_, predicted, seen]| (predicted - seen).abs()).sum();
    let mass: f64 = come.map(|group| group[0]).sum();
    chart.key("a", &named("model", "error", (mass > 0.0).then(|| off / mass)));
    chart.key("rule", "perfect");
    chart.key("c", &format!("≤ {} rows", short(most)));
    chart.finish("calibration", title)
}
