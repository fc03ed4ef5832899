//! From scores to what the model answers.

use sidegate::booster::Transform;
use sidegate::onnx::write::{self, GraphBuilder, Value};
use sidegate::tensor::{Data, Datatype};

use super::ExportConfig;
use crate::features::error::{Error, model};
use crate::features::graph::named;

/// What a model is asked for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    /// A number, or one for each target.
    Number,
    /// A class, and how probable each is. Of two the second from this probability on; at a half, and of more, the likeliest,
    /// and of equals the first.
    Classes(Classes, f64),
}

/// What the classes are called, in the order of their numbers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Classes {
    /// By integers.
    Numbers(Vec<i64>),
    /// By names.
    Names(Vec<String>),
}

impl Classes {
    fn len(&self) -> usize {
        match self {
            Self::Numbers(classes) => classes.len(),
            Self::Names(classes) => classes.len(),
        }
    }

    /// Whether these labels say at a row that it is the class of this number.
    pub(crate) fn is(&self, class: usize, labels: &Data, row: usize) -> bool {
        match (self, labels) {
            (Self::Numbers(classes), Data::Int64(labels)) => {
                classes.get(class).is_some_and(|class| labels.get(row) == Some(class))
            }
            (Self::Names(classes), Data::Bytes(labels)) => {
                classes.get(class).is_some_and(|class| labels.get(row) == Some(class.as_bytes()))
            }
            _ => false,
        }
    }
}

/// Appends what turns scores [rows, targets] into answers, and the outputs.
pub(super) fn write(
    builder: &mut GraphBuilder,
    (scores, targets, transform): (&Value, usize, Transform),
    answer: &Answer,
    config: &ExportConfig,
) -> Result<(), Error> {
    let output = |builder: &mut GraphBuilder, from: &Value, ours, datatype, shape: &[i64]| {
        builder.output(from, config.named(ours), datatype, shape).map_err(named)
    };
    match answer {
        Answer::Number => {
            let numbers = numbers(builder, scores, targets, transform);
            let targets = transform.outputs(targets);
            let (value, shape) = match targets {
                1 if !config.column => {
                    let axes = builder.list(Data::Int64(vec![1]));
                    (builder.node("Squeeze", &[&numbers, &axes], vec![]), vec![-1])
                }
                targets => (numbers, vec![-1, targets as i64]),
            };
            output(builder, &value, "prediction", Datatype::Fp32, &shape)
        }
        Answer::Classes(classes, threshold) => {
            let (own, probabilities) = probabilities(builder, scores, targets, transform)?;
            let count = targets.max(2);
            if classes.len() != count {
                return Err(model!("the model tells {count} classes apart, but {} are named", classes.len()));
            }
            let threshold = *threshold as f32;
            let number = if targets == 1 && threshold != 0.5 {
                from_threshold(builder, &own, threshold)
            } else {
                let last = vec![write::int("axis", 1), write::int("keepdims", 0)];
                builder.node("ArgMax", &[&probabilities], last)
            };
            let label = label(builder, number, classes);
            let datatype = match classes {
                Classes::Numbers(_) => Datatype::Int64,
                Classes::Names(_) => Datatype::Bytes,
            };
            output(builder, &label, "label", datatype, &[-1])?;
            output(builder, &probabilities, "probabilities", Datatype::Fp32, &[-1, count as i64])
        }
    }
}

fn numbers(builder: &mut GraphBuilder, scores: &Value, targets: usize, transform: Transform) -> Value {
    let to_float = || vec![write::int("to", write::element(Datatype::Fp32))];
    match transform {
        Transform::Identity => scores.clone(),
        Transform::Logistic { slope } => sigmoid(builder, scores, slope),
        Transform::Exp => builder.node("Exp", &[scores], vec![]),
        Transform::Softplus => builder.node("Softplus", &[scores], vec![]),
        Transform::SignedSquare => {
            let size = builder.node("Abs", &[scores], vec![]);
            builder.node("Mul", &[scores, &size], vec![])
        }
        Transform::Hinge => {
            let zero = builder.scalar(Data::Fp32(vec![0.0]));
            let above = builder.node("Greater", &[scores, &zero], vec![]);
            builder.node("Cast", &[&above], to_float())
        }
        Transform::Softmax => softmax(builder, scores),
        Transform::ArgMax => {
            let best =
                builder.node("ArgMax", &[scores], vec![write::int("axis", 1), write::int("keepdims", 1)]);
            builder.node("Cast", &[&best], to_float())
        }
        Transform::Sorted => {
            let count = builder.list(Data::Int64(vec![targets as i64]));
            let ascending = vec![write::int("axis", 1), write::int("largest", 0), write::int("sorted", 1)];
            let [sorted, _] = builder.nodes("TopK", &[scores, &count], ascending);
            sorted
        }
    }
}

/// What the model says itself, which of two classes is the second's probability alone, and the probability of every class.
/// Scores that nothing is done to are probabilities, as those of forests are.
fn probabilities(
    builder: &mut GraphBuilder,
    scores: &Value,
    targets: usize,
    transform: Transform,
) -> Result<(Value, Value), Error> {
    let several = match transform {
        Transform::Softmax | Transform::ArgMax => softmax(builder, scores),
        Transform::Logistic { .. } | Transform::Identity | Transform::Hinge => {
            numbers(builder, scores, targets, transform)
        }
        other => return Err(model!("the objective ({other:?}) predicts numbers, not classes")),
    };
    if targets > 1 {
        return Ok((several.clone(), several));
    }
    let one = builder.scalar(Data::Fp32(vec![1.0]));
    let first = builder.node("Sub", &[&one, &several], vec![]);
    let both = builder.node("Concat", &[&first, &several], vec![write::int("axis", 1)]);
    Ok((several, both))
}

/// The number of one of two classes: the second where its probability, [rows, 1], is not below the threshold.
fn from_threshold(builder: &mut GraphBuilder, probability: &Value, threshold: f32) -> Value {
    let threshold = builder.scalar(Data::Fp32(vec![threshold]));
    let second = builder.node("GreaterOrEqual", &[probability, &threshold], vec![]);
    let to_number = vec![write::int("to", write::element(Datatype::Int64))];
    let number = builder.node("Cast", &[&second], to_number);
    let axes = builder.list(Data::Int64(vec![1]));
    builder.node("Squeeze", &[&number, &axes], vec![])
}

/// What a class is called.
fn label(builder: &mut GraphBuilder, number: Value, classes: &Classes) -> Value {
    let names = match classes {
        Classes::Numbers(classes) if classes.iter().copied().eq(0..classes.len() as i64) => return number,
        Classes::Numbers(classes) => Data::Int64(classes.clone()),
        Classes::Names(classes) => Data::Bytes(classes.iter().collect()),
    };
    let names = builder.list(names);
    builder.node("Gather", &[&names, &number], vec![write::int("axis", 0)])
}

fn softmax(builder: &mut GraphBuilder, scores: &Value) -> Value {
    builder.node("Softmax", &[scores], vec![write::int("axis", 1)])
}

fn sigmoid(builder: &mut GraphBuilder, scores: &Value, slope: f64) -> Value {
    let mut scores = scores.clone();
    if slope != 1.0 {
        let slope = builder.scalar(Data::Fp32(vec![slope as f32]));
        scores = builder.node("Mul", &[&scores, &slope], vec![]);
    }
    builder.node("Sigmoid", &[&scores], vec![])
}
