//! The evaluation of a trained model on the rows that it has not seen, beside the one that serves now.

use std::collections::BTreeMap;

use sidegate::booster::Booster;

use crate::config::Config;
use crate::evaluate::card::Feature;
use crate::evaluate::{
    Bootstrap, Comparison, Cover, Evaluation, Grouping, Predictions, Sample, Settings, chosen, permutation,
    shap,
};
use crate::failure::Failure;
use crate::features::{RawBatch, RawColumn};
use crate::learner::{Fitted, Model};
use crate::predictor::Predictor;
use crate::rows::Source;
use crate::search::Trained;
use crate::spool::Spool;
use crate::table::{Column, Part, Rows};

/// How often each column is shuffled for its importance.
const REPEATS: u32 = 3;

/// What was found.
pub(crate) struct Judged {
    pub(crate) predictions: Predictions,
    pub(crate) evaluation: Evaluation,
    pub(crate) features: Vec<Feature>,
}

/// Raw values of the test by which the model is judged too.
#[derive(Default)]
pub(crate) struct Slices {
    columns: Vec<Sliced>,
}

/// A column with its values of the test: numbers, or as people read them.
struct Sliced {
    name: String,
    at: usize,
    texts: Vec<String>,
    numbers: Option<Vec<f32>>,
}

// === impl Slices ===

impl Slices {
    /// Of these columns.
    ///
    /// # Errors
    /// For a column that is not there.
    pub(crate) fn new(source: &Source, wanted: &[String]) -> Result<Self, Failure> {
        let place = |name: &String| {
            let at = source.fields.iter().position(|field| field.name == *name);
            at.map(|at| Sliced { name: name.clone(), at, texts: Vec::new(), numbers: None }).ok_or_else(
                || {
                    let names = source.fields.iter().map(|field| field.name.as_str());
                    let hint = sidegate::suggest::meant(name, names);
                    Failure::Config(format!("evaluation.slices: there is no column `{name}`{hint}"))
                },
            )
        };
        Ok(Self { columns: wanted.iter().map(place).collect::<Result<_, _>>()? })
    }

    /// Takes rows of the test.
    pub(crate) fn push(&mut self, raw: &RawBatch, rows: &[usize]) {
        for Sliced { at, texts, numbers, .. } in &mut self.columns {
            match raw.columns.get(*at) {
                Some(RawColumn::Numbers(values)) => {
                    numbers.get_or_insert_default().extend(rows.iter().filter_map(|row| values.get(*row)));
                }
                Some(column) => texts.extend(rows.iter().map(|row| column.shown(*row))),
                None => {}
            }
        }
    }

    fn groupings(&self) -> Vec<Grouping> {
        let of = |Sliced { name, texts, numbers, .. }: &Sliced| match numbers {
            Some(numbers) => Grouping::of_numbers(name, numbers),
            None => Grouping::of_values(name, texts),
        };
        self.columns.iter().map(of).collect()
    }
}

/// How intervals and comparisons are drawn.
pub(crate) fn bootstrap(config: &Config) -> Bootstrap {
    Bootstrap {
        resamples: config.evaluation.resamples,
        seed: config.seed,
        threads: config.threads,
        ..Bootstrap::default()
    }
}

/// Judges a model on the test.
pub(crate) fn judge(
    config: &Config,
    source: &Source,
    spool: &Spool,
    trained: &Trained,
    slices: &Slices,
) -> Result<Judged, Failure> {
    let (fitted, width) = (&trained.fitted, spool.columns().len());
    let mut predictor = Predictor::new(&fitted.model, source.task).map_err(Failure::Config)?;
    let (mut truth, mut scores, mut weights) = (Vec::new(), Vec::new(), Vec::new());
    let wanted = chosen(spool.count(Part::Test), config.evaluation.explained_rows, config.seed);
    let (mut sample, mut sampled, mut seen) = (Vec::new(), Vec::new(), 0);
    spool
        .scan(Part::Test, &mut |batch| {
            scores.extend(predictor.scores(batch.values, width)?);
            truth.extend(batch.target.iter().map(|target| f64::from(*target)));
            weights.extend(batch.weight.unwrap_or_default().iter().map(|weight| f64::from(*weight)));
            let own = wanted
                .iter()
                .skip_while(|row| **row < seen)
                .take_while(|row| **row < seen + batch.target.len());
            for row in own.map(|row| row - seen) {
                sample.extend_from_slice(&batch.values[row * width..(row + 1) * width]);
                sampled.push(f64::from(batch.target[row]));
            }
            seen += batch.target.len();
            Ok(())
        })
        .map_err(Failure::data)?;
    let weights = spool_weights(spool, weights);
    let mut predictions = Predictions::new(source.task, truth, scores, weights).map_err(Failure::data)?;
    if let Some(quantile) = quantile(&trained.params) {
        predictions = predictions.at_quantile(quantile).map_err(Failure::Config)?;
    }
    let settings = Settings {
        bootstrap: bootstrap(config),
        threshold: config.evaluation.threshold,
        labels: source.classes.clone().unwrap_or_default(),
    };
    let evaluation = Evaluation::of(&predictions, &slices.groupings(), &settings).map_err(Failure::Failed)?;
    let sample = Sample { values: &sample, width, truth: &sampled, task: source.task };
    let features = importance(config, spool, fitted, sample, &mut predictor)?;
    Ok(Judged { predictions, evaluation, features })
}

/// The quantile that is learned, under the name that each library has for it.
pub(crate) fn quantile(params: &toml::Table) -> Option<f64> {
    // LightGBM's other names of it.
    let objective = ["objective", "objective_type", "app", "application", "loss"];
    let objective = objective.iter().find_map(|name| params.get(*name))?.as_str()?;
    match objective {
        // What it learns where nobody says.
        "quantile" => Some(params.get("alpha").map_or(Some(0.9), toml::Value::as_float)?),
        "reg:quantileerror" => params.get("quantile_alpha")?.as_float(),
        _ => None,
    }
}

fn spool_weights(spool: &Spool, weights: Vec<f64>) -> Option<Vec<f64>> {
    (weights.len() == spool.count(Part::Test) && !weights.is_empty()).then_some(weights)
}

/// What each feature is worth: by shuffling, and of trees by Shapley values.
fn importance(
    config: &Config,
    spool: &Spool,
    fitted: &Fitted,
    sample: Sample<'_>,
    predictor: &mut Predictor,
) -> Result<Vec<Feature>, Failure> {
    let width = sample.width;
    if sample.truth.is_empty() {
        let unknown =
            |column: &Column| Feature { name: column.name.clone(), kind: kind(column), ..Feature::default() };
        return Ok(spool.columns().iter().map(unknown).collect());
    }
    let mut predict = |values: &[f32]| predictor.scores(values, width);
    let shuffled = permutation(sample, REPEATS, config.seed, &mut predict).map_err(Failure::Failed)?;
    let explained = match &fitted.model {
        Model::Booster(booster) => explain(config, spool, booster, sample.values)?,
        Model::Linear(_) => vec![None; width],
    };
    let columns = spool.columns().iter().zip(shuffled).zip(explained);
    Ok(columns
        .map(|((column, shuffled), shap)| Feature {
            name: column.name.clone(),
            kind: kind(column),
            missing: None,
            permutation: Some(shuffled),
            shap,
        })
        .collect())
}

fn kind(column: &Column) -> String {
    if column.categories.is_some() { "category" } else { "number" }.to_owned()
}

fn explain(
    config: &Config,
    spool: &Spool,
    booster: &Booster,
    rows: &[f32],
) -> Result<Vec<Option<f64>>, Failure> {
    let mut cover = Cover::new(booster);
    spool
        .scan(Part::Train, &mut |batch| cover.add(booster, batch.values, batch.weight, config.threads))
        .map_err(Failure::data)?;
    let found = shap(booster, &cover, rows, config.threads).map_err(Failure::Failed)?;
    Ok(found.mean_absolute().into_iter().map(Some).collect())
}

/// The model that serves now against a new one, on the same rows.
pub(crate) fn compare(config: &Config, champion: Vec<f64>, judged: &Judged) -> Result<Comparison, String> {
    let weights = judged.predictions.given_weights();
    let champion =
        Predictions::new(judged.predictions.task(), judged.predictions.truth().to_vec(), champion, weights)?
            .at_quantile(judged.predictions.quantile())?;
    let threshold = config.evaluation.threshold();
    Comparison::of(&champion, &judged.predictions, threshold, &bootstrap(config))
}

/// Metrics under the names that trackers and manifests know them by.
pub(crate) fn named(evaluation: &Evaluation) -> BTreeMap<String, f64> {
    evaluation.named("test_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_known_by_every_name_and_default() {
        for (params, expected) in [
            ("objective = \"quantile\"", Some(0.9)),
            ("application = \"quantile\"\nalpha = 0.25", Some(0.25)),
            ("objective = \"reg:quantileerror\"\nquantile_alpha = 0.75", Some(0.75)),
            ("objective = \"regression\"\nalpha = 0.25", None),
            ("", None),
        ] {
            assert_eq!(quantile(&params.parse().unwrap()), expected, "{params}");
        }
    }
}
