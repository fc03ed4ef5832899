//! More than two classes: each against the rest, their mean, and whether the likeliest is as likely as it is said to be.

use super::Plot;
use super::axis::digits;
use super::chart::Chart;
use super::classes::{SIZE, Steps, named, reliability, thinned, unit};
use crate::evaluate::markup::clip;
use crate::evaluate::predictions::{Predictions, largest};

/// Colours that can be told apart, and so classes that have a line of their own.
const COLOURS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];
/// Room for their names, and letters that fit.
const ROOM: f64 = 230.0;
const LETTERS: usize = 14;
/// Places at which curves are averaged.
const GRID: usize = 200;

/// Points of a curve, as x grows.
type Points = Vec<[f64; 2]>;

/// What is drawn of the classes.
struct Kind {
    curve: fn(&Steps) -> Points,
    worth: fn(&Steps) -> Option<f64>,
    /// What a curve says at a place.
    at: fn(&[[f64; 2]], f64) -> f64,
}

const ROC: Kind = Kind { curve: Steps::roc, worth: Steps::auc, at: between };
const PRECISION_RECALL: Kind =
    Kind { curve: Steps::precision_recall, worth: Steps::average_precision, at: next };

/// The curves of all classes that came, and not always.
struct Curves {
    /// Of the most frequent ones: the class, its points, and what the curve is worth.
    shown: Vec<(usize, Points, Option<f64>)>,
    mean: Points,
    worth: Option<f64>,
    /// How often the classes come, on average.
    rate: f64,
}

impl Curves {
    fn of(predictions: &Predictions, kind: &Kind) -> Self {
        let weights = predictions.weights();
        let width = predictions.width();
        let mut mass = vec![0.0; width];
        for (truth, weight) in predictions.truth().iter().zip(&weights) {
            mass[*truth as usize] += weight;
        }
        let mut frequent: Vec<usize> = (0..width).collect();
        frequent.sort_by(|a, b| mass[*b].total_cmp(&mass[*a]));
        let mut curves = Self { shown: Vec::new(), mean: Vec::new(), worth: None, rate: 0.0 };
        let (mut sums, mut worth, mut rates, mut count) = (vec![0.0; GRID + 1], 0.0, 0.0, 0.0);
        for class in frequent {
            let rows = predictions.scores().chunks_exact(width).zip(predictions.truth()).zip(&weights);
            let steps =
                Steps::of(rows.map(|((row, truth), weight)| (row[class], *truth as usize == class, *weight)));
            if !steps.has_both() {
                continue;
            }
            let points = (kind.curve)(&steps);
            for (at, sum) in sums.iter_mut().enumerate() {
                *sum += (kind.at)(&points, at as f64 / GRID as f64);
            }
            let value = (kind.worth)(&steps);
            worth += value.unwrap_or_default();
            rates += steps.rate();
            count += 1.0;
            if curves.shown.len() < COLOURS.len() {
                curves.shown.push((class, thinned(points), value));
            }
        }
        if count > 0.0 {
            let place = |(at, sum): (usize, f64)| [at as f64 / GRID as f64, sum / count];
            curves.mean = sums.into_iter().enumerate().map(place).collect();
            curves.worth = Some(worth / count);
            curves.rate = rates / count;
        }
        curves
    }

    /// Draws them, and names them beside.
    fn draw(&self, chart: &mut Chart, labels: &[String], worth: &str) {
        for ((class, points, value), colour) in self.shown.iter().zip(COLOURS) {
            chart.line(&format!("line {colour}"), points);
            let name = labels.get(*class).map_or_else(|| class.to_string(), |label| clip(label, LETTERS));
            chart.key(colour, &named(&name, worth, *value));
        }
        chart.line("rule mean", &self.mean);
        chart.key("rule mean", &named("macro average", worth, self.worth));
    }

    /// Whose lines these are.
    fn title(&self, what: &str, classes: usize) -> String {
        match self.shown.len() {
            shown if shown == COLOURS.len() && classes > shown => {
                format!("{what}: the {shown} most frequent of {classes} classes, each against the rest")
            }
            _ => format!("{what}: each class against the rest"),
        }
    }
}

/// What lies on the line between the points beside a place, the upper end where it rises there.
fn between(points: &[[f64; 2]], x: f64) -> f64 {
    let after = points.partition_point(|point| point[0] <= x);
    let left = after.checked_sub(1).and_then(|at| points.get(at)).or(points.first());
    match (left, points.get(after)) {
        (Some(left), Some(right)) if right[0] > left[0] => {
            left[1] + (right[1] - left[1]) * (x - left[0]) / (right[0] - left[0])
        }
        (Some(point), _) => point[1],
        _ => 0.0,
    }
}

/// What the first point says that comes so far: between two points there is no threshold.
fn next(points: &[[f64; 2]], x: f64) -> f64 {
    let at = points.partition_point(|point| point[0] < x - 1e-12);
    points.get(at).or(points.last()).map_or(0.0, |point| point[1])
}

/// True positives by false positives of each class, over all thresholds.
pub(super) fn roc(predictions: &Predictions, labels: &[String]) -> Plot {
    let curves = Curves::of(predictions, &ROC);
    let mut chart = Chart::new((unit(), "false positive rate"), (unit(), "true positive rate"), SIZE);
    chart.beside(ROOM);
    curves.draw(&mut chart, labels, "area");
    chart.line("rule", &[[0.0, 0.0], [1.0, 1.0]]);
    chart.key("rule", "by chance");
    chart.finish("roc", &curves.title("ROC", predictions.width()))
}

/// Precision by recall of each class, over all thresholds.
pub(super) fn precision_recall(predictions: &Predictions, labels: &[String]) -> Plot {
    let curves = Curves::of(predictions, &PRECISION_RECALL);
    let mut chart = Chart::new((unit(), "recall"), (unit(), "precision"), SIZE);
    chart.beside(ROOM);
    curves.draw(&mut chart, labels, "average");
    chart.line("rule", &[[0.0, curves.rate], [1.0, curves.rate]]);
    chart.key("rule", &format!("by chance, {} on average", digits(curves.rate)));
    chart.finish("precision-recall", &curves.title("Precision and recall", predictions.width()))
}

/// How often the likeliest class came by the probability it was given; below, how many rows that is.
pub(super) fn calibration(predictions: &Predictions) -> Plot {
    let rows = predictions.scores().chunks_exact(predictions.width()).zip(predictions.truth());
    let rows = rows.zip(predictions.weights()).map(|((row, truth), weight)| {
        let top = largest(row);
        (row.get(top).copied().unwrap_or_default(), f64::from(u8::from(*truth as usize == top)), weight)
    });
    let axes = ["probability of the likeliest class", "share that was right"];
    reliability(rows, axes, "right", "Calibration of the likeliest class")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::{Evaluation, Random, Settings};
    use crate::table::Task;

    fn predictions(rows: usize, classes: usize) -> Predictions {
        let mut random = Random::new(3, 1);
        let (mut truth, mut scores) = (Vec::new(), Vec::new());
        for _ in 0..rows {
            let own = random.below(classes * classes).isqrt();
            // With ties, as of trees.
            let raw: Vec<f64> = (0..classes)
                .map(|class| 1.0 + random.below(5) as f64 + if class == own { 2.0 } else { 0.0 })
                .collect();
            let sum: f64 = raw.iter().sum();
            truth.push(own as f64);
            scores.extend(raw.iter().map(|score| score / sum));
        }
        Predictions::new(Task::Multiclass { classes: classes as u32 }, truth, scores, None).unwrap()
    }

    fn area(points: &[[f64; 2]]) -> f64 {
        points.array_windows().map(|[a, b]: &[[f64; 2]; 2]| (b[0] - a[0]) * f64::midpoint(a[1], b[1])).sum()
    }

    #[test]
    fn the_macro_average_is_the_metric_s_and_the_area_under_the_line_that_is_drawn() {
        let predictions = predictions(3000, 4);
        let evaluation = Evaluation::of(&predictions, &[], &Settings::default()).unwrap();
        let curves = Curves::of(&predictions, &ROC);
        let auc = evaluation.value("auc_ovr").unwrap();
        assert!((curves.worth.unwrap() - auc).abs() < 1e-12, "{:?} and not {auc}", curves.worth);
        assert!((area(&curves.mean) - auc).abs() < 1e-3, "{} and not {auc}", area(&curves.mean));
        // The more frequent come first.
        assert_eq!(curves.shown.iter().map(|shown| shown.0).collect::<Vec<_>>(), [3, 2, 1, 0]);
        for (_, points, value) in &curves.shown {
            assert!((area(points) - value.unwrap()).abs() < 0.01, "{} and not {value:?}", area(points));
        }
        let curves = Curves::of(&predictions, &PRECISION_RECALL);
        let drawn = curves.mean.iter().skip(1).map(|point| point[1]).sum::<f64>() / GRID as f64;
        assert!((drawn - curves.worth.unwrap()).abs() < 0.01, "{drawn} and not {:?}", curves.worth);
        assert!((curves.rate - 0.25).abs() < 1e-12, "the rates of all classes are one together");
    }

    #[test]
    fn a_class_that_never_comes_has_no_line_and_many_classes_are_not_all_drawn() {
        let truth = vec![0.0, 1.0, 0.0, 1.0];
        let scores = vec![0.6, 0.3, 0.1, 0.3, 0.6, 0.1, 0.5, 0.4, 0.1, 0.2, 0.7, 0.1];
        let three = Predictions::new(Task::Multiclass { classes: 3 }, truth, scores, None).unwrap();
        let curves = Curves::of(&three, &ROC);
        assert_eq!((curves.shown.len(), curves.worth), (2, Some(1.0)));
        let many = predictions(400, 20);
        let plot = roc(&many, &[]);
        assert!(plot.title.contains("the 8 most frequent of 20 classes"), "{}", plot.title);
        assert_eq!(plot.file().matches("class=\"line ").count(), 8);
    }

    #[test]
    fn confidence_is_that_of_the_likeliest_class() {
        // Of four rows that are sure to 0.7 three are right.
        let scores = [0.7, 0.2, 0.1].repeat(4);
        let truth = vec![0.0, 0.0, 0.0, 1.0];
        let four = Predictions::new(Task::Multiclass { classes: 3 }, truth, scores, None).unwrap();
        let file = calibration(&four).file();
        assert!(
            file.contains("4 rows: 0.7 predicted, 0.75 right") && file.contains("model, error 0.05"),
            "{file}"
        );
    }
}
