//! What a model answers, taken for what the target is: numbers, or probabilities of classes.

use sidegate::booster::Transform;
use sidegate::format::Model as File;
use sidegate::model::TensorSpec;
use sidegate::tensor::Tensor;

use crate::config::TaskName;
use crate::data::kind::Kind;
use crate::rows::in_order;
use crate::table::Task;

/// All answers to some rows, side by side.
#[derive(Default)]
pub(super) struct Answers {
    values: Vec<f64>,
    width: Option<usize>,
}

/// What the answers are held against.
pub(super) struct Meant {
    pub(super) task: Task,
    /// Names of the classes in the order of the probabilities.
    pub(super) classes: Option<Vec<String>>,
}

/// What is known of the target.
pub(super) struct Target<'a> {
    pub(super) name: &'a str,
    pub(super) kind: Kind,
    /// Its values, where there are not too many.
    pub(super) values: Option<Vec<String>>,
    /// What it was said to be.
    pub(super) task: Option<TaskName>,
    /// Names that were given for the classes.
    pub(super) labels: &'a [String],
}

// === impl Answers ===

impl Answers {
    /// Takes the answers to some rows.
    ///
    /// # Errors
    /// When they are no numbers, or of another form than those before.
    pub(super) fn push(&mut self, output: &Tensor, spec: &TensorSpec) -> Result<(), String> {
        if !output.datatype().is_float() {
            return Err(format!(
                "output `{}` is {}: classes without their probabilities, which no metric takes; --prediction names \
                 another output, or leave --target out",
                spec.name,
                output.datatype()
            ));
        }
        let width = output.data.len().checked_div(output.rows()).unwrap_or(0);
        if *self.width.get_or_insert(width) != width || width == 0 {
            return Err(format!("output `{}` has {width} numbers a row", spec.name));
        }
        self.values.extend((0..output.data.len()).map(|at| output.data.number(at).unwrap_or(f64::NAN)));
        Ok(())
    }

    /// As [`Predictions`](crate::evaluate::Predictions) takes them.
    pub(super) fn scores(self, task: Task) -> Vec<f64> {
        match (task, self.width) {
            (Task::Binary, Some(2)) => {
                self.values.chunks_exact(2).filter_map(|pair| pair.last().copied()).collect()
            }
            _ => self.values,
        }
    }

    /// What they are held against.
    ///
    /// # Errors
    /// When they and the target do not go together.
    pub(super) fn meant(
        &self,
        target: &Target<'_>,
        spec: &TensorSpec,
        model: &File,
    ) -> Result<Meant, String> {
        let width = self.width.ok_or("there are no rows to ask the model")?;
        let own = spec.labels.clone().unwrap_or_default();
        let labels = if target.labels.is_empty() { own } else { target.labels.to_vec() };
        let logistic = matches!(model, File::Booster(booster) if matches!(booster.transform, Transform::Logistic { .. }));
        let classifies = target
            .task
            .map_or(width > 1 || !labels.is_empty() || logistic || target.kind.is_class(), |task| {
                task == TaskName::Classification
            });
        if !classifies {
            return match width {
                _ if target.kind.is_text() => {
                    Err(format!("`{}` holds texts, and the model answers numbers", target.name))
                }
                1 => Ok(Meant { task: Task::Regression, classes: None }),
                _ => Err(format!("the model answers {width} numbers a row; one is predicted")),
            };
        }
        let count = width.max(2);
        let classes = if labels.is_empty() { target.classes(count)? } else { labels };
        if classes.len() != count {
            return Err(format!("{} labels for {count} classes", classes.len()));
        }
        let task = match u32::try_from(count) {
            Ok(2) | Err(_) => Task::Binary,
            Ok(classes) => Task::Multiclass { classes },
        };
        Ok(Meant { task, classes: Some(classes) })
    }
}

// === impl Target ===

impl Target<'_> {
    /// So many classes by the target's own values: as they are ordered, or their numbers.
    fn classes(&self, count: usize) -> Result<Vec<String>, String> {
        let values = self.values.clone().unwrap_or_default();
        let is_number = |value: &String| value.parse::<usize>().is_ok_and(|number| number < count);
        if !values.is_empty() && values.iter().all(is_number) {
            return Ok((0..count).map(|class| class.to_string()).collect());
        }
        if values.len() == count {
            return Ok(in_order(values));
        }
        Err(format!(
            "`{}` has {} values, and the model tells {count} classes apart; --labels names them in the model's order",
            self.name,
            if values.is_empty() { "too many".to_owned() } else { values.len().to_string() }
        ))
    }
}
