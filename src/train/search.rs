//! `[search]`: parameters drawn at random (Bergstra and Bengio 2012), each draw trained and judged on the validation part.
//!
//! The test part is never looked at: what it says of the model that was found is said of rows that no choice has seen.
//! The first trial is the configuration as it stands, so that a search does no worse on the validation part than none.

mod measure;
mod space;
mod trials;

#[cfg(test)]
mod tests;

use std::time::Instant;

use serde::Deserialize;
use serde_json::json;

use crate::data::split::SplitConfig;
use crate::evaluate::{Metric, metrics, named_metric, unknown_metric};
use crate::failure::Failure;
use crate::judge;
use crate::learner::{FitError, Fitted, Learner};
use crate::pipeline::Pipeline;
use crate::progress::Progress;
use crate::rows::Source;
use crate::spool::Spool;
use crate::table::{Round, Task};
use measure::Judge;
use space::Space;
use trials::{Plan, Record};

/// Beside the other files of a run.
pub(crate) const FILE: &str = "search.json";

/// `[search]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SearchConfig {
    /// How many are trained at most, the configuration as it stands among them.
    #[serde(default = "trials")]
    pub(crate) trials: u32,
    /// No trial is begun that would not be over by then if it took as long as the longest so far.
    budget_seconds: Option<f64>,
    /// What decides; the task's own loss unless said.
    metric: Option<String>,
    /// Another one draws other parameters; that of the training unless said.
    seed: Option<u64>,
    /// What is drawn from, by parameter.
    pub(crate) params: Space,
}

const fn trials() -> u32 {
    20
}

/// A model with what it took.
pub(crate) struct Trained {
    pub(crate) fitted: Fitted,
    pub(crate) rounds: Vec<Round>,
    /// What it was trained with.
    pub(crate) params: toml::Table,
}

// === impl SearchConfig ===

impl SearchConfig {
    /// Refuses what cannot be, before any data is read.
    ///
    /// # Errors
    /// Names the key.
    pub(crate) fn check(&self, split: &SplitConfig) -> Result<(), String> {
        if self.trials == 0 {
            return Err("search.trials is 0; leave [search] out to train once".to_owned());
        }
        if self.budget_seconds.is_some_and(|budget| !(budget > 0.0 && budget.is_finite())) {
            return Err("search.budget_seconds is a number of seconds above 0".to_owned());
        }
        if split.validation == 0.0 {
            return Err(
                "[search] needs rows to judge by that are not the test; split.validation = 0.1 sets \
                        some aside"
                    .to_owned(),
            );
        }
        match self.metric.as_deref().map(|name| (name, named_metric(name))) {
            Some((name, None)) => Err(format!("search.metric: {}", unknown_metric(name, std::iter::empty()))),
            _ => Ok(()),
        }
    }

    /// Parameters between which all that may be drawn lies; the others are these.
    pub(crate) fn corners(&self, params: &toml::Table) -> Vec<toml::Table> {
        self.params.corners().iter().map(|corner| merged(params, corner)).collect()
    }

    /// The metric that decides.
    ///
    /// # Errors
    /// When it is none of the task's.
    pub(crate) fn metric(&self, task: Task, quantile: bool) -> Result<&'static Metric, String> {
        let all = metrics(task);
        let natural = match task {
            Task::Regression if quantile => "pinball_loss",
            Task::Regression => "rmse",
            Task::Binary | Task::Multiclass { .. } => "log_loss",
        };
        let wanted = self.metric.as_deref().and_then(named_metric).map_or(natural, |metric| metric.name);
        all.iter().find(|metric| metric.name == wanted).ok_or_else(|| {
            let names: Vec<&str> = all.iter().map(|metric| metric.name).collect();
            format!("search.metric: `{wanted}` is no metric of this task; it has {}", names.join(", "))
        })
    }
}

/// Trains once, or as often as `[search]` asks for; the best model is used as it was trained.
///
/// # Errors
/// A parameter that the learner does not know; what ends a training; a search of which no trial came to an end.
pub(crate) fn train(
    pipeline: &mut Pipeline<'_>,
    learner: Learner,
    source: &Source,
    spool: &Spool,
) -> Result<Trained, Failure> {
    let Pipeline { config, progress, run, .. } = pipeline;
    let fit = |learner: &Learner, progress: &mut Progress| -> Result<Trained, FitError> {
        let (since, mut rounds) = (Instant::now(), Vec::new());
        let fitted = learner.fit(spool, source.task, &mut |round| {
            progress.round(round, since);
            rounds.push(round.clone());
        })?;
        Ok(Trained { fitted, rounds, params: learner.params.clone() })
    };
    let Some(search) = &config.search else { return Ok(fit(&learner, progress)?) };
    let plan = Plan {
        trials: search.trials,
        budget_seconds: search.budget_seconds,
        seed: search.seed.unwrap_or(config.seed),
        metric: search
            .metric(source.task, judge::quantile(&config.model.params).is_some())
            .map_err(Failure::Config)?,
    };
    for params in search.corners(&config.model.params) {
        Learner { params, ..learner.clone() }.check(spool, source.task)?;
    }
    let since = Instant::now();
    let seconds = || since.elapsed().as_secs_f64();
    // Trials are told as they end, trainings as they go: both by the same progress.
    let progress = std::cell::RefCell::new(progress);
    let mut trial = |drawn: &toml::Table| {
        let learner = Learner { params: merged(&config.model.params, drawn), ..learner.clone() };
        let trained = fit(&learner, *progress.borrow_mut())?;
        let judge = Judge {
            rows: spool,
            task: source.task,
            threshold: config.evaluation.threshold,
            quantile: judge::quantile(&learner.params),
        };
        let value = judge.value(&trained.fitted.model, plan.metric);
        Ok((trained, value))
    };
    let mut unsaved = Ok(());
    let found = plan.run(&search.params, &seconds, &mut trial, &mut |record| {
        let (words, numbers) = record.latest();
        progress.borrow_mut().say("search", &words, numbers);
        unsaved = run.write(FILE, record.to_json()).map(drop);
    });
    let (trained, record) = found?;
    unsaved?;
    run.write(FILE, record.to_json())?;
    run.record.params = serde_json::to_value(&trained.params).unwrap_or_default();
    let (words, numbers) = summary(&record);
    progress.borrow_mut().say("search", &words, numbers);
    Ok(trained)
}

/// What the configuration says, with what was drawn in its place.
fn merged(params: &toml::Table, drawn: &toml::Table) -> toml::Table {
    let drawn = drawn.iter().map(|(name, value)| (name.clone(), value.clone()));
    params.clone().into_iter().chain(drawn).collect()
}

fn summary(record: &Record) -> (String, serde_json::Value) {
    let best = record.best.unwrap_or_default();
    let words = format!("trial {best} of {} is the best; {FILE} has all of them", record.trials.len());
    (words, json!({ "best": best, "trials": record.trials.len(), "ended": record.ended }))
}
