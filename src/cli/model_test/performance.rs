//! How good the model is: predictions against a target.

use std::time::Instant;

use crate::model::Signature;
use crate::score::{Classes, Compute, METRICS, Metric, Numbers, Task, Threshold};
use crate::serving::checks::Finding;
use crate::tensor::{Data, Tensor};

/// What a model said to all rows, output by output in signature order.
pub(super) struct Predictions<'a> {
    pub(super) signature: &'a Signature,
    /// Index of the output with the predictions.
    pub(super) prediction: usize,
    /// Class labels of the manifest.
    pub(super) labels: &'a [String],
    /// For each run over some of the rows, its outputs.
    pub(super) runs: Vec<Vec<Tensor>>,
}

/// The values of all metrics that there are.
pub(super) struct Scores {
    /// What the task is, and why.
    pub(super) task: String,
    /// By metric; why not, where one cannot be computed.
    pub(super) values: Vec<(&'static Metric, Result<f64, String>)>,
}

// === impl Predictions ===

impl Predictions<'_> {
    /// Every metric of the task.
    ///
    /// # Errors
    /// When the outputs or the target do not fit the task.
    pub(super) fn score(&self, target: &[&str], task: Option<Task>) -> Result<Scores, String> {
        let (task, why) = match task {
            Some(task) => (task, "--task says so".to_owned()),
            None => self.guess(target),
        };
        let outcome = match task {
            Task::Regression => {
                let numbers = self.numbers(target)?;
                by_metric(|compute| match compute {
                    Compute::Regression(of) => Some(Ok(of(&numbers))),
                    _ => None,
                })
            }
            Task::Classification => {
                let classes = self.classes(target)?;
                by_metric(|compute| match compute {
                    Compute::Classification(of) => Some(of(&classes)),
                    _ => None,
                })
            }
        };
        Ok(Scores { task: format!("{}: {why}", task.name()), values: outcome })
    }

    /// What outputs and target look like.
    fn guess(&self, target: &[&str]) -> (Task, String) {
        let outputs = &self.signature.outputs;
        if let Some(label) = outputs.iter().find(|spec| !spec.datatype.is_float()) {
            return (Task::Classification, format!("output `{}` is {}", label.name, label.datatype));
        }
        if !self.labels.is_empty() || outputs.iter().any(|spec| spec.labels.is_some()) {
            return (Task::Classification, "the model names its classes".to_owned());
        }
        if target.iter().any(|text| text.parse::<f64>().is_err()) {
            return (Task::Classification, "the target has texts".to_owned());
        }
        let (values, width) = self.floats(self.scores());
        let probable = values.iter().all(|v| (0.0..=1.0).contains(v));
        if width > 1 || (probable && target.iter().all(|text| matches!(text.parse(), Ok(0.0 | 1.0)))) {
            return (Task::Classification, "the output looks like probabilities of classes".to_owned());
        }
        (Task::Regression, "the output is a number".to_owned())
    }

    /// The output with numbers or probabilities: the predictions if they are floats, else the first that is.
    fn scores(&self) -> Option<usize> {
        let is_float =
            |index: &usize| self.signature.outputs.get(*index).is_some_and(|s| s.datatype.is_float());
        std::iter::once(self.prediction).chain(0..self.signature.outputs.len()).find(is_float)
    }

    /// All elements of an output, and how many a row has.
    fn floats(&self, output: Option<usize>) -> (Vec<f64>, usize) {
        let Some(output) = output else { return (Vec::new(), 0) };
        let parts = self.runs.iter().filter_map(|outputs| outputs.get(output));
        let width = |part: &Tensor| part.data.len().checked_div(part.rows()).unwrap_or(0);
        let widest = parts.clone().map(width).max().unwrap_or(0);
        let numbers = |part: &Tensor| -> Vec<f64> {
            (0..part.data.len()).filter_map(|index| part.data.number(index)).collect()
        };
        (parts.flat_map(numbers).collect(), widest)
    }

    fn numbers(&self, target: &[&str]) -> Result<Numbers, String> {
        let truth = target.iter().enumerate().map(|(row, text)| {
            let number = text.parse().ok().filter(|n: &f64| n.is_finite());
            number.ok_or_else(|| format!("the target of row {row} is `{text}`, which is no number"))
        });
        let truth: Vec<f64> = truth.collect::<Result<_, _>>()?;
        // Counts may be integers.
        let numeric =
            self.scores().or((self.prediction < self.signature.outputs.len()).then_some(self.prediction));
        let (predicted, _) = self.floats(numeric);
        if predicted.len() != truth.len() {
            return Err(format!(
                "{} predictions for {} rows: a number per row is needed",
                predicted.len(),
                truth.len()
            ));
        }
        Ok(Numbers { truth, predicted })
    }

    fn classes(&self, target: &[&str]) -> Result<Classes, String> {
        let outputs = &self.signature.outputs;
        let scores = self.scores();
        let (mut probabilities, mut width) = self.floats(scores);
        if width == 1 {
            probabilities = probabilities.iter().flat_map(|p| [1.0 - p, *p]).collect();
            width = 2;
        }
        let label = outputs.iter().position(|spec| !spec.datatype.is_float());
        let own = scores.and_then(|index| outputs[index].labels.clone());
        let mut names = Names::new(own.as_deref().unwrap_or(self.labels), width);
        let truth: Vec<usize> = target.iter().map(|text| names.index(text)).collect();
        let predicted: Vec<usize> = match label {
            Some(label) => {
                let parts = self.runs.iter().filter_map(|outputs| outputs.get(label));
                parts.flat_map(|part| texts(&part.data)).map(|text| names.index(&text)).collect()
            }
            None => probabilities.chunks_exact(width.max(1)).map(highest).collect(),
        };
        if predicted.len() != truth.len() {
            return Err(format!(
                "{} predictions for {} rows: a class per row is needed",
                predicted.len(),
                truth.len()
            ));
        }
        Ok(Classes { truth, predicted, probabilities, width })
    }
}

fn by_metric(
    value: impl Fn(&Compute) -> Option<Result<f64, String>>,
) -> Vec<(&'static Metric, Result<f64, String>)> {
    METRICS.iter().filter_map(|metric| Some((metric, value(&metric.compute)?))).collect()
}

/// The first of the highest.
fn highest(row: &[f64]) -> usize {
    (1..row.len()).fold(0, |best, index| if row[index] > row[best] { index } else { best })
}

fn texts(data: &Data) -> Vec<String> {
    match data {
        Data::Bytes(strings) => {
            strings.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect()
        }
        data => (0..data.len()).filter_map(|index| data.number(index)).map(|n| n.to_string()).collect(),
    }
}

/// Classes by the names that data and model give them: the text itself, or its number.
struct Names(Vec<String>);

impl Names {
    /// The classes with a probability; without names they are numbers.
    fn new(labels: &[String], width: usize) -> Self {
        let named = labels.len() == width || (width == 0 && !labels.is_empty());
        Self(if named { labels.to_vec() } else { (0..width).map(|class| class.to_string()).collect() })
    }

    /// The class that a text means; one that the model does not know comes after the others.
    fn index(&mut self, text: &str) -> usize {
        // `1.0` of a CSV is the class 1, and 1 may stand for the second of some names.
        let number = text.parse().ok().filter(|n: &f64| n.fract() == 0.0 && n.abs() < 1e15);
        let whole = number.map(|n| (n as i64).to_string());
        let exact = |text: &str| self.0.iter().position(|name| name == text);
        let by_number = || {
            let numeric = self.0.iter().any(|name| name.parse::<f64>().is_ok());
            number.filter(|n| !numeric && *n >= 0.0).map(|n| n as usize).filter(|n| *n < self.0.len())
        };
        let found = exact(text).or_else(|| exact(whole.as_deref()?)).or_else(by_number);
        found.unwrap_or_else(|| {
            self.0.push(whole.unwrap_or_else(|| text.to_owned()));
            self.0.len() - 1
        })
    }
}

/// A finding per threshold.
pub(super) fn judge(thresholds: &[Threshold], scores: &Scores, started: Instant) -> Vec<Finding> {
    let judge_one = |threshold: &Threshold| {
        let name = threshold.metric.name;
        let value = scores.values.iter().find(|(metric, _)| metric.name == name);
        let result = match value {
            Some((_, Ok(value))) if threshold.allows(*value) => Ok(format!("{}, {threshold}", shown(*value))),
            Some((_, Ok(value))) => Err(format!("{}, wanted {threshold}", shown(*value))),
            Some((_, Err(why))) => Err(why.clone()),
            None => Err(format!("no metric of this task ({}); --task says otherwise", scores.task)),
        };
        Finding::new(format!("performance.{name}"), result, started)
    };
    thresholds.iter().map(judge_one).collect()
}

/// A value with as many digits as say something.
pub(super) fn shown(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-3..1e6).contains(&size) { format!("{value:.3e}") } else { format!("{value:.4}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::TensorSpec;
    use crate::tensor::Datatype;

    fn spec(name: &str, datatype: Datatype, labels: &[&str]) -> TensorSpec {
        let labels = labels.iter().map(ToString::to_string).collect::<Vec<_>>();
        TensorSpec {
            name: name.into(),
            datatype,
            shape: vec![-1],
            labels: Some(labels).filter(|l| !l.is_empty()),
        }
    }

    fn score(
        outputs: Vec<(TensorSpec, Tensor)>,
        labels: &[&str],
        target: &[&str],
        task: Option<Task>,
    ) -> Result<Scores, String> {
        let (specs, tensors) = outputs.into_iter().unzip();
        let signature = Signature { inputs: Vec::new(), outputs: specs };
        let labels: Vec<String> = labels.iter().map(ToString::to_string).collect();
        let predictions =
            Predictions { signature: &signature, prediction: 0, labels: &labels, runs: vec![tensors] };
        predictions.score(target, task)
    }

    fn value(scores: &Scores, name: &str) -> f64 {
        let found = scores.values.iter().find(|(metric, _)| metric.name == name);
        *found.unwrap().1.as_ref().unwrap()
    }

    fn labels(values: &[i64]) -> (TensorSpec, Tensor) {
        (spec("label", Datatype::Int64, &[]), Tensor::new(&[values.len()], Data::Int64(values.to_vec())))
    }

    fn floats(rows: usize, values: &[f32]) -> (TensorSpec, Tensor) {
        let tensor = Tensor::new(&[rows, values.len() / rows], Data::Fp32(values.to_vec()));
        (spec("score", Datatype::Fp32, &[]), tensor)
    }

    #[test]
    fn the_task_is_what_outputs_and_target_look_like() {
        let task = |outputs, labels: &[&str], target: &[&str]| {
            let scores = score(outputs, labels, target, None).unwrap();
            scores.task.split(':').next().unwrap().to_owned()
        };
        let classification = "classification";
        assert_eq!(task(vec![floats(2, &[1.5, -2.0])], &[], &["1", "0"]), "regression");
        assert_eq!(task(vec![floats(2, &[0.5, 0.1])], &[], &["1.5", "0"]), "regression");
        assert_eq!(task(vec![floats(2, &[0.5, 0.1])], &[], &["1", "0"]), classification);
        assert_eq!(task(vec![floats(2, &[0.5, 0.5, 0.1, 0.9])], &[], &["1", "0"]), classification);
        assert_eq!(task(vec![floats(2, &[0.5, 0.1])], &["n", "y"], &["n", "y"]), classification);
        assert_eq!(task(vec![labels(&[3, 4]), floats(2, &[0.5, 0.1])], &[], &["3", "4"]), classification);
    }

    #[test]
    fn classes_go_by_name_or_number() {
        let probabilities = [0.9, 0.1, 0.2, 0.8, 0.6, 0.4];
        let outputs = || vec![labels(&[0, 1, 0]), floats(3, &probabilities)];
        for (names, target) in [
            (&["bad", "good"][..], ["bad", "good", "good"]),
            (&["bad", "good"], ["0", "1", "1.0"]),
            (&[], ["0", "1", "1"]),
        ] {
            let scores = score(outputs(), names, &target, None).unwrap();
            assert!((value(&scores, "accuracy") - 2.0 / 3.0).abs() < 1e-12, "{names:?} {target:?}");
            assert_eq!(value(&scores, "auc"), 1.0);
        }
        // Labels of a map need not start at 0, and stand in another order than that of the rows.
        let (mut named, tensor) = floats(2, &[0.9, 0.1, 0.2, 0.8]);
        named.labels = Some(vec!["7".into(), "9".into()]);
        let scores = score(vec![labels(&[7, 9]), (named, tensor)], &[], &["7", "9"], None).unwrap();
        assert_eq!((value(&scores, "accuracy"), value(&scores, "auc")), (1.0, 1.0));
        // A class that the model does not know is a miss, and has no probability.
        let scores = score(outputs(), &["bad", "good"], &["bad", "good", "odd"], None).unwrap();
        assert!((value(&scores, "accuracy") - 2.0 / 3.0).abs() < 1e-12);
        assert!(scores.values.iter().any(|(metric, value)| metric.name == "log_loss" && value.is_err()));
    }

    #[test]
    fn a_single_probability_is_that_of_the_second_class() {
        let scores = score(vec![floats(4, &[0.1, 0.4, 0.6, 0.9])], &[], &["0", "0", "1", "1"], None).unwrap();
        assert_eq!((value(&scores, "accuracy"), value(&scores, "auc")), (1.0, 1.0));
    }

    #[test]
    fn thresholds_are_judged_one_by_one() {
        let scores = score(vec![floats(3, &[1.0, 2.0, 4.0])], &[], &["1", "2", "3"], None).unwrap();
        let thresholds: Vec<Threshold> =
            ["r2=0.4", "mae=0.1", "f1=0.5"].iter().map(|text| text.parse().unwrap()).collect();
        let findings = judge(&thresholds, &scores, Instant::now());
        let shown: Vec<String> =
            findings.iter().map(|f| format!("{} {}: {}", f.name, f.status.name(), f.detail)).collect();
        let expected = [
            "performance.r2 passed: 0.5000, at least 0.4",
            "performance.mae failed: 0.3333, wanted at most 0.1",
            "performance.f1 failed: no metric of this task (regression: the output is a number); --task says otherwise",
        ];
        assert_eq!(shown, expected);
        assert!(score(vec![floats(1, &[1.0])], &[], &["x"], Some(Task::Regression)).is_err());
        assert!(score(vec![floats(2, &[1.0, 1.0])], &[], &["1"], Some(Task::Regression)).is_err());
    }
}
