//! One version's predictions held against what came.

use serde_json::{Map, Value, json};

use super::panes::{Pane, Times};
use crate::experiment::Predicted;
use crate::model::{Labels, ModelName, Version};
use crate::registry::digest::Digest;
use crate::score::{Estimate, Pair, Task};
use crate::serving::ServedVersion;

/// Classes that are told apart; the rest are one.
const CLASSES: usize = 62;
/// The rest as what came, and as what was predicted where that is another one of them.
const OTHER: u8 = 62;
const ANOTHER: u8 = 63;

/// What is known of a version.
pub(super) struct Followed {
    pub(super) model: ModelName,
    pub(super) version: Version,
    /// Of its model file.
    pub(super) digest: Digest,
    /// Whether it is loaded.
    pub(super) loaded: bool,
    /// When something of it came last.
    pub(super) touched: u64,
    task: Task,
    /// What it calls its classes.
    pub(super) names: Labels,
    /// Classes so far; their places are their numbers in sums.
    classes: Vec<f64>,
    times: Times,
}

// === impl Followed ===

impl Followed {
    pub(super) fn new(version: &ServedVersion) -> Self {
        let output = version.signature.outputs.get(version.prediction);
        let width = output.and_then(|output| output.shape.get(1)).copied().unwrap_or(1);
        let number = output.is_some_and(|output| output.datatype.is_float()) && width.abs() == 1;
        Self {
            model: version.model.clone(),
            version: version.version,
            digest: version.digest,
            loaded: true,
            touched: 0,
            task: if number && version.labels.is_empty() { Task::Regression } else { Task::Classification },
            names: version.labels.clone(),
            classes: Vec::new(),
            times: Times::new(),
        }
    }

    /// Counts rows that were predicted.
    pub(super) fn predicted(&mut self, at: u64, rows: u64) {
        self.touched = self.touched.max(at);
        self.times.at(at, at, |pane| pane.predictions += rows);
    }

    /// Counts an actual in place of the one that was counted `before`.
    pub(super) fn revise(&mut self, row: Row, before: Option<f64>, actual: f64, now: u64) -> Revised {
        let old = before.and_then(|before| self.pair(row.predicted, before));
        let new = self.pair(row.predicted, actual);
        self.touched = self.touched.max(now);
        let kept = self.times.at(row.at, now, |pane| {
            if old.is_none() && new.is_some() {
                pane.delays.push(now.saturating_sub(row.at));
                pane.labelled += u64::from(row.own);
            }
            old.into_iter().for_each(|old| pane.sums.take_back(old));
            new.into_iter().for_each(|new| pane.sums.add(new));
        });
        match (kept, new) {
            (_, None) => Revised::No,
            (false, Some(_)) => Revised::Late,
            (true, Some(_)) => Revised::Counted,
        }
    }

    /// None where the two cannot be held against each other.
    fn pair(&mut self, predicted: Predicted, actual: f64) -> Option<Pair> {
        Some(match predicted {
            Predicted::Probability(_) if actual != 0.0 && actual != 1.0 => return None,
            Predicted::Probability(probability) => Pair::Scored { truth: actual == 1.0, probability },
            Predicted::Value(predicted) if self.task == Task::Regression => {
                Pair::Numbers { truth: actual, predicted }
            }
            Predicted::Value(predicted) => {
                let truth = self.class(actual);
                let class = self.class(predicted);
                let another = truth == OTHER && class == OTHER && actual != predicted;
                Pair::Classes { truth, predicted: if another { ANOTHER } else { class } }
            }
        })
    }

    fn class(&mut self, number: f64) -> u8 {
        let same = |class: &f64| *class == number || (class.is_nan() && number.is_nan());
        let known = self.classes.iter().position(same);
        match known {
            Some(place) => place as u8,
            None if self.classes.len() < CLASSES => {
                self.classes.push(number);
                (self.classes.len() - 1) as u8
            }
            None => OTHER,
        }
    }

    /// A class as people know it.
    fn name(&self, class: u8) -> String {
        let Some(number) = self.classes.get(usize::from(class)) else { return "other".into() };
        self.names.name(*number).map_or_else(|| number.to_string(), ToOwned::to_owned)
    }

    /// One of two classes as people know it, by its place.
    fn side(&self, place: u8) -> String {
        let number = self.names.number(place.into());
        self.names.name(number).map_or_else(|| place.to_string(), ToOwned::to_owned)
    }

    /// The sum of a window.
    pub(super) fn window(&self, window: u64, now: u64) -> Pane {
        self.times.window(window, now)
    }

    /// What is known of a window up to now.
    pub(super) fn report(&self, window: u64, now: u64) -> Value {
        let sum = self.window(window, now);
        let mut told = summary(&sum, &sum.sums.estimates());
        told.insert("window_seconds".into(), (window / 1000).into());
        told.insert(
            "label_delay_seconds".into(),
            json!({"p50": sum.delays.quantile(0.5), "p95": sum.delays.quantile(0.95)}),
        );
        if sum.sums.undefined > 0 {
            told.insert("not_finite".into(), sum.sums.undefined.into());
        }
        let mut cells: Vec<(u8, u8, u64)> = sum.sums.confusion.cells().collect();
        if !cells.is_empty() {
            let binary = sum.sums.curve.calibration();
            let number = |class: u8| self.classes.get(usize::from(class)).copied().unwrap_or(f64::INFINITY);
            if binary.is_empty() {
                // Numbers of classes are those of their coming.
                let order = |a: u8, b: u8| number(a).total_cmp(&number(b));
                cells.sort_by(|a, b| order(a.0, b.0).then_with(|| order(a.1, b.1)));
            }
            let name = |class: u8| if binary.is_empty() { self.name(class) } else { self.side(class) };
            let cells = cells.iter().map(|(truth, predicted, rows)| {
                json!({"truth": name(*truth), "predicted": name(*predicted), "rows": rows})
            });
            told.insert("confusion".into(), cells.collect());
            if !binary.is_empty() {
                let groups = binary.iter().map(|group| {
                    json!({"from": group.from, "to": group.to, "rows": group.rows, "predicted": group.predicted,
                        "observed": group.observed})
                });
                told.insert("calibration".into(), groups.collect());
            }
        }
        let panes = self.times.panes(window, now).map(|(start, pane)| {
            let mut told = summary(pane, &pane.sums.values());
            told.insert("from".into(), super::time(start).into());
            told.remove("intervals");
            Value::from(told)
        });
        told.insert("over_time".into(), panes.collect());
        told.into()
    }

    pub(super) fn task(&self) -> &'static str {
        self.task.name()
    }
}

/// Metrics by name, with their intervals; those that nothing is known of are not there.
fn summary(pane: &Pane, estimates: &[Estimate]) -> Map<String, Value> {
    let mut told = Map::new();
    let status = if pane.sums.rows == 0 { "insufficient_data" } else { "ok" };
    told.insert("status".into(), status.into());
    told.insert("predictions".into(), pane.predictions.into());
    told.insert("sample_size".into(), pane.sums.rows.into());
    let coverage = (pane.predictions > 0).then(|| pane.labelled as f64 / pane.predictions as f64);
    told.insert("label_coverage".into(), coverage.into());
    let mut intervals = Map::new();
    for estimate in estimates {
        told.insert(estimate.name.into(), estimate.value.into());
        if let Some(ends) = estimate.interval {
            intervals.insert(estimate.name.into(), ends.to_vec().into());
        }
    }
    told.insert("intervals".into(), intervals.into());
    told
}

/// A row of a prediction.
#[derive(Clone, Copy, Debug)]
pub(in crate::monitor) struct Row {
    pub(in crate::monitor) at: u64,
    pub(in crate::monitor) predicted: Predicted,
    /// Whether it is among the predictions that were counted.
    pub(in crate::monitor) own: bool,
}

/// What became of an actual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::monitor) enum Revised {
    /// It counts.
    Counted,
    /// No window reaches back to its prediction.
    Late,
    /// Nobody counts it: performance is off, the version is not known, or it says nothing of the prediction.
    No,
}
