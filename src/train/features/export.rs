//! Writes the served model: the graph of features with a model behind it, raw columns in, answers out.
//!
//! Outputs: `prediction` `[rows]` of a regression (`[rows, targets]` of several); `label` `[rows]` and `probabilities`
//! `[rows, classes]` of a classification. [`ExportConfig`] gives them other names.

mod answer;
mod config;
mod linear;
#[cfg(test)]
mod tests;
mod trees;

pub(crate) use answer::{Answer, Classes};
pub(crate) use config::ExportConfig;

use sidegate::booster::Transform;

use crate::features::error::Error;
use crate::features::recipe::Recipe;
use crate::learner::Model;

/// The ONNX file. The same recipe and model give the same bytes.
///
/// # Errors
/// [`Error::Model`] when the model is not one of these features or does not answer so.
pub(crate) fn export(
    recipe: &Recipe,
    model: &Model,
    answer: &Answer,
    config: &ExportConfig,
) -> Result<Vec<u8>, Error> {
    let (mut builder, features) = recipe.graph(config.input.as_deref())?;
    let width = recipe.features().count();
    let (scores, targets, transform) = match model {
        Model::Booster(booster) => {
            let scores = trees::write(&mut builder, &features, width, booster)?;
            (scores, booster.targets, booster.transform)
        }
        Model::Linear(linear) => {
            let scores = linear::write(&mut builder, &features, width, linear)?;
            let targets = linear.weights.len();
            let transform = match answer {
                Answer::Number => Transform::Identity,
                Answer::Classes(..) if targets == 1 => Transform::Logistic { slope: 1.0 },
                Answer::Classes(..) => Transform::Softmax,
            };
            (scores, targets, transform)
        }
    };
    answer::write(&mut builder, (&scores, targets, transform), answer, config)?;
    Ok(builder.finish(&[]))
}
