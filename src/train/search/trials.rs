//! Trials, one after another, until there are enough or time is up.

use serde::Serialize;
use serde_json::{Value, json};
use sidegate::score::Better;

use super::space::Space;
use crate::evaluate::{Metric, Random};
use crate::learner::FitError;
use crate::search::Trained;

/// The form of `search.json`.
const FORMAT: u32 = 1;

/// What decides when a search is over and which trial is best.
pub(super) struct Plan {
    pub(super) trials: u32,
    pub(super) budget_seconds: Option<f64>,
    pub(super) seed: u64,
    pub(super) metric: &'static Metric,
}

/// `search.json`: every trial that was made.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Record {
    pub(super) format: u32,
    pub(super) metric: &'static str,
    pub(super) lower_is_better: bool,
    pub(super) seed: u64,
    pub(super) budget_seconds: Option<f64>,
    /// Trials at most.
    pub(super) of: u32,
    pub(super) trials: Vec<Trial>,
    /// The number of the best one so far.
    pub(super) best: Option<u32>,
    /// `trials` or `budget`, once it is over.
    pub(super) ended: Option<&'static str>,
}

/// One training.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Trial {
    /// From 1 on; the first is the configuration as it stands.
    pub(super) trial: u32,
    /// What was drawn.
    pub(super) params: toml::Table,
    /// The metric on the validation part.
    pub(super) value: Option<f64>,
    /// Rounds that the model has.
    pub(super) rounds: Option<u32>,
    pub(super) seconds: f64,
    /// Why there is no value.
    pub(super) error: Option<String>,
}

/// What training with some parameters gives: the model and what it is worth.
pub(super) type Tried = Result<(Trained, Result<f64, String>), FitError>;

// === impl Plan ===

impl Plan {
    /// Makes the trials. `tell` hears of each, and `seconds` says how much time has gone by.
    ///
    /// # Errors
    /// When rows cannot be trained on, or no trial gave a model.
    pub(super) fn run(
        &self,
        space: &Space,
        seconds: &dyn Fn() -> f64,
        train: &mut dyn FnMut(&toml::Table) -> Tried,
        tell: &mut dyn FnMut(&Record),
    ) -> Result<(Trained, Record), FitError> {
        let mut record = Record {
            format: FORMAT,
            metric: self.metric.name,
            lower_is_better: self.metric.better == Better::Lower,
            seed: self.seed,
            budget_seconds: self.budget_seconds,
            of: self.trials,
            trials: Vec::new(),
            best: None,
            ended: None,
        };
        let mut best: Option<(Trained, f64)> = None;
        let mut first_error = None;
        for number in 1..=self.trials {
            let (begun, longest) = (seconds(), record.longest());
            if number > 1 && self.budget_seconds.is_some_and(|budget| begun + longest > budget) {
                record.ended = Some("budget");
                break;
            }
            let params = match number {
                1 => toml::Table::new(),
                // Each trial has a stream of its own: more of them do not change those before.
                _ => space.draw(&mut Random::new(self.seed, u64::from(number))),
            };
            let mut trial =
                Trial { trial: number, params, value: None, rounds: None, seconds: 0.0, error: None };
            match train(&trial.params) {
                Ok((trained, value)) => {
                    trial.rounds = Some(trained.fitted.rounds);
                    match value.map(|value| (value, self.is_better(value, best.as_ref().map(|best| best.1))))
                    {
                        Ok((value, better)) => {
                            trial.value = Some(value);
                            if better {
                                record.best = Some(number);
                                best = Some((trained, value));
                            }
                        }
                        Err(why) => trial.error = Some(why),
                    }
                }
                // Other parameters make no better rows.
                Err(error @ (FitError::Data(_) | FitError::Values(_))) => return Err(error),
                Err(error) => {
                    trial.error = Some(error.to_string());
                    first_error.get_or_insert(error);
                }
            }
            trial.seconds = seconds() - begun;
            record.trials.push(trial);
            tell(&record);
        }
        record.ended = record.ended.or(Some("trials"));
        match best {
            Some((trained, _)) => Ok((trained, record)),
            None => Err(first_error.unwrap_or_else(|| {
                let why = record.trials.iter().find_map(|trial| trial.error.clone()).unwrap_or_default();
                FitError::Data(format!("no trial of the search could be judged: {why}"))
            })),
        }
    }

    fn is_better(&self, value: f64, best: Option<f64>) -> bool {
        best.is_none_or(|best| match self.metric.better {
            Better::Lower => value < best,
            Better::Higher => value > best,
        })
    }
}

// === impl Record ===

impl Record {
    fn longest(&self) -> f64 {
        self.trials.iter().map(|trial| trial.seconds).fold(0.0, f64::max)
    }

    /// The latest trial, in words and numbers.
    pub(super) fn latest(&self) -> (String, Value) {
        let Some(trial) = self.trials.last() else { return (String::new(), json!({})) };
        let best =
            self.trials.iter().find(|trial| Some(trial.trial) == self.best).and_then(|trial| trial.value);
        let found = match (&trial.value, &trial.error) {
            (Some(value), _) => format!("{} {value:.6}", self.metric),
            (None, error) => error.clone().unwrap_or_default(),
        };
        let drawn: Vec<String> =
            trial.params.iter().map(|(name, value)| format!("{name} = {value}")).collect();
        let drawn = if drawn.is_empty() { "as configured".to_owned() } else { drawn.join(", ") };
        let best_words = best.map(|best| format!(" (best {best:.6})")).unwrap_or_default();
        let words = format!("trial {} of {}: {found}{best_words}; {drawn}", trial.trial, self.of);
        let numbers = json!({ "trial": trial.trial, "of": self.of, "metric": self.metric, "value": trial.value,
            "best": best, "params": trial.params, "rounds": trial.rounds, "trial_seconds": trial.seconds,
            "error": trial.error });
        (words, numbers)
    }

    pub(super) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).unwrap_or_default()
    }
}
