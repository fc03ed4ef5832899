//! What a trained model answers to features, before any of it is exported: the learner's own word.

use sidegate::booster::{Forest, Transform};
use sidegate::engine::{Engine, LoadOptions, Scratch, Session, trees::Trees};
use sidegate::format;
use sidegate::tensor::{Data, Datatype, Tensor};

use crate::learner::{Linear, Model};
use crate::table::Task;

/// Answers as [`Predictions`](crate::evaluate::Predictions) takes them: numbers, probabilities of the second of two
/// classes, or those of all classes.
pub(crate) struct Predictor {
    task: Task,
    form: Form,
}

enum Form {
    Trees(Box<Running>),
    Linear(Linear),
}

/// Trees with the buffers of their runs.
struct Running {
    session: Box<dyn Session>,
    scratch: Scratch,
    input: Tensor,
    outputs: Vec<Tensor>,
}

// === impl Predictor ===

impl Predictor {
    /// Of a model for a task.
    ///
    /// # Errors
    /// When it does not answer what the task asks for.
    pub(crate) fn new(model: &Model, task: Task) -> Result<Self, String> {
        let form = match model {
            Model::Linear(linear) => Form::Linear(linear.clone()),
            Model::Booster(booster) => {
                let fits = match task {
                    Task::Regression => booster.transform.outputs(booster.targets) == 1,
                    Task::Binary => {
                        let probable = matches!(booster.transform, Transform::Logistic { .. });
                        // A forest's leaves are probabilities themselves.
                        booster.targets == 1 && (probable || booster.divisor.is_some())
                    }
                    Task::Multiclass { classes } => {
                        booster.transform.outputs(booster.targets) == classes as usize
                    }
                };
                if !fits {
                    return Err(format!(
                        "the objective answers {} numbers a row by {:?}: not what {task:?} asks for; leave `objective` out",
                        booster.transform.outputs(booster.targets),
                        booster.transform
                    ));
                }
                let datatype = match booster.forest {
                    Forest::Single(_) => Datatype::Fp32,
                    Forest::Double(_) => Datatype::Fp64,
                };
                let session = Trees
                    .load(&format::Model::Booster(Box::new(booster.clone())), &LoadOptions { workers: 1 });
                Form::Trees(Box::new(Running {
                    session: session.map_err(|error| error.to_string())?,
                    scratch: Scratch::new(0),
                    input: Tensor::empty(datatype),
                    outputs: Vec::new(),
                }))
            }
        };
        Ok(Self { task, form })
    }

    /// Answers to rows of `width` features each.
    ///
    /// # Errors
    /// When the model cannot.
    pub(crate) fn scores(&mut self, values: &[f32], width: usize) -> Result<Vec<f64>, String> {
        match &mut self.form {
            Form::Linear(linear) => Ok(linear_scores(linear, values, width, self.task)),
            Form::Trees(running) => {
                let Running { session, scratch, input, outputs } = &mut **running;
                input.shape.clear();
                input.shape.extend_from_slice(&[values.len() / width.max(1), width]);
                match &mut input.data {
                    Data::Fp64(to) => {
                        to.clear();
                        to.extend(values.iter().map(|value| f64::from(*value)));
                    }
                    Data::Fp32(to) => {
                        to.clear();
                        to.extend_from_slice(values);
                    }
                    _ => return Err("trees take numbers".to_owned()),
                }
                session
                    .run(std::slice::from_ref(input), scratch, outputs)
                    .map_err(|error| error.to_string())?;
                let output = outputs.first().ok_or("the model answers nothing")?;
                Ok((0..output.data.len()).map(|at| output.data.number(at).unwrap_or(f64::NAN)).collect())
            }
        }
    }
}

fn linear_scores(linear: &Linear, values: &[f32], width: usize, task: Task) -> Vec<f64> {
    let mut scores = Vec::with_capacity(values.len() / width.max(1) * linear.weights.len());
    for row in values.chunks_exact(width.max(1)) {
        let first = scores.len();
        scores.extend(linear.weights.iter().zip(&linear.intercepts).map(|(weights, intercept)| {
            weights.iter().zip(row).map(|(weight, value)| weight * f64::from(*value)).sum::<f64>() + intercept
        }));
        let own = &mut scores[first..];
        match task {
            Task::Regression => {}
            Task::Binary => own.iter_mut().for_each(|score| *score = 1.0 / (1.0 + (-*score).exp())),
            Task::Multiclass { .. } => {
                let most = own.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                own.iter_mut().for_each(|score| *score = (*score - most).exp());
                let sum: f64 = own.iter().sum();
                own.iter_mut().for_each(|score| *score /= sum);
            }
        }
    }
    scores
}
