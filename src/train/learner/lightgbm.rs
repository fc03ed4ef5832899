//! LightGBM.

mod data;
mod parameters;

use sidegate::booster::Source;

pub(super) use self::parameters::NAMES;
use super::agreement;
use super::parameters::Parameters;
use super::stopping::{Stopping, metric};
use super::{Counts, FitError, Fitted, Model, ROUNDS, monotone, parse};
use crate::table::{Round, Rows, Task};
use sidegate::native::lightgbm::{Booster, Library};

/// Trains with LightGBM. Rows are read twice for training and once for validation, and kept as bins.
///
/// # Errors
/// See [`FitError`].
pub(super) fn fit(
    library: Library,
    rows: &dyn Rows,
    task: Task,
    params: &toml::Table,
    seed: u64,
    threads: usize,
    progress: &mut dyn FnMut(&Round),
) -> Result<Fitted, FitError> {
    let mut parameters = NAMES.read(params)?;
    let rounds = parameters.take_count("num_iterations")?.unwrap_or(ROUNDS);
    let patience = parameters.take_count("early_stopping_round")?.filter(|patience| *patience > 0);
    let least = parameters.take_number("early_stopping_min_delta")?.unwrap_or(0.0);
    let first_only = parameters.take_switch("first_metric_only")?.unwrap_or(false);
    let counts = Counts::of(rows, patience)?;
    let given = settings(parameters, rows, task, seed, threads)?;
    let words: Vec<String> = given.iter().map(|(name, text)| format!("{name}={text}")).collect();
    let settings = words.join(" ");
    let train = data::train(library, rows, task, counts.train, &settings)?;
    let validation = match counts.validation {
        0 => None,
        count => Some(data::validation(&train, rows, task, count)?),
    };
    let mut booster = Booster::new(&train, validation.as_ref(), &settings).map_err(FitError::Parameters)?;
    let metrics = booster.metrics().map_err(FitError::Library)?;
    let watched = if first_only { 1 } else { metrics.len() };
    let mut stopping = patience
        .map(|patience| Stopping::new(metrics.iter().take(watched).map(String::as_str), patience, least));

    let mut kept = rounds;
    for round in 0..rounds {
        let more =
            booster.update().map_err(if round == 0 { FitError::Parameters } else { FitError::Library })?;
        if round == 0 {
            // What cannot be served is refused before the other rounds.
            let text = booster.save(1).map_err(FitError::Library)?;
            parse(Source::LightgbmText, text.as_bytes(), rows.columns())?;
        }
        let train = booster.evaluate(0).map_err(FitError::Library)?;
        let validation = match validation {
            Some(_) => Some(booster.evaluate(1).map_err(FitError::Library)?),
            None => None,
        };
        progress(&Round {
            round: round + 1,
            of: rounds,
            metric: metrics.first().map_or("none", |name| metric(name).0),
            train: train.first().copied().unwrap_or(f64::NAN),
            validation: validation.as_ref().and_then(|values| values.first().copied()),
        });
        let mut enough = None;
        if let (Some(stopping), Some(values)) = (&mut stopping, validation) {
            enough = stopping.look(round, values.into_iter());
            kept = enough.or_else(|| stopping.kept()).unwrap_or(rounds);
        }
        if enough.is_some() || !more {
            break;
        }
    }
    let kept = kept.min(booster.rounds().map_err(FitError::Library)?);
    let bytes = booster.save(kept).map_err(FitError::Library)?.into_bytes();
    let model = parse(Source::LightgbmText, &bytes, rows.columns())?;
    agreement::check("LightGBM", rows, &model, |values, _| booster.predict(values, kept, false))?;
    Ok(Fitted {
        model: Model::Booster(model),
        importance: Vec::new(),
        rounds: kept,
        file: Some((Source::LightgbmText, bytes)),
    })
}

/// Whether [`fit`] takes these parameters; what their values may be, the library says when it trains, or [rehearses](super::rehearsal).
///
/// # Errors
/// See [`FitError`].
pub(super) fn check(rows: &dyn Rows, task: Task, params: &toml::Table) -> Result<(), FitError> {
    let mut parameters = NAMES.read(params)?;
    parameters.take_count("num_iterations")?;
    let patience = parameters.take_count("early_stopping_round")?.filter(|patience| *patience > 0);
    Counts::of(rows, patience)?;
    parameters.take_number("early_stopping_min_delta")?;
    parameters.take_switch("first_metric_only")?;
    settings(parameters, rows, task, 0, 1).map(drop)
}

/// Everything that the library is told.
fn settings(
    mut parameters: Parameters,
    rows: &dyn Rows,
    task: Task,
    seed: u64,
    threads: usize,
) -> Result<Vec<(&'static str, String)>, FitError> {
    let objective = match task {
        Task::Regression => "regression",
        Task::Binary => "binary",
        Task::Multiclass { .. } => "multiclass",
    };
    parameters.default("objective", objective);
    parameters.default("num_threads", i64::try_from(threads.max(1)).unwrap_or(1));
    parameters.default("seed", (seed & 0x7fff_ffff).cast_signed());
    // Left to itself the library times both ways to build histograms and takes the faster one, which adds in another
    // order and so trains another model.
    parameters.default("deterministic", true);
    if parameters.get("force_col_wise").is_none() && parameters.get("force_row_wise").is_none() {
        parameters.default("force_col_wise", true);
    }
    if let Some(monotone) = monotone(rows.columns()) {
        parameters.set_by_columns("monotone_constraints", monotone)?;
    }
    let mut texts = parameters.texts(|_, items| vec![items.join(",")])?;
    let categorical = rows.columns().iter().enumerate().filter(|(_, column)| column.categories.is_some());
    let categorical: Vec<String> = categorical.map(|(number, _)| number.to_string()).collect();
    if !categorical.is_empty() {
        texts.push(("categorical_feature", categorical.join(",")));
    }
    if let Task::Multiclass { classes } = task {
        texts.push(("num_class", classes.to_string()));
    }
    match texts.iter().find(|(_, text)| text.contains(char::is_whitespace)) {
        Some((name, text)) => {
            Err(FitError::Parameters(format!("LightGBM: `{name}` is `{text}`; it can hold no blanks")))
        }
        None => Ok(texts),
    }
}
