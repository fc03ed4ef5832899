//! XGBoost.

mod parameters;

use sidegate::booster::Source;

pub(super) use self::parameters::NAMES;
use super::agreement;
use super::parameters::Parameters;
use super::rows::with_pages;
use super::stopping::{Stopping, metric};
use super::{Counts, FitError, Fitted, Model, ROUNDS, monotone, parse};
use crate::table::{Part, Round, Rows, Task};
use sidegate::native::xgboost::{Booster, Evaluation, Features, Library, Matrix};

/// Bins per column when a configuration does not say: the library's own default.
const MAX_BIN: u32 = 256;

/// Trains with XGBoost. Rows are read four times per part and kept as bins.
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
    let rounds = parameters.take_count("n_estimators")?.unwrap_or(ROUNDS);
    let patience = parameters.take_count("early_stopping_rounds")?.filter(|patience| *patience > 0);
    let counts = Counts::of(rows, patience)?;
    let texts = settings(parameters, rows, task, seed, threads)?;
    let columns = rows.columns();
    let features = Features {
        names: columns.iter().map(|column| column.name.as_str()).collect(),
        categorical: columns.iter().map(|column| column.categories.is_some()).collect(),
        max_bin: number(&texts, "max_bin").unwrap_or(MAX_BIN),
        threads: number(&texts, "nthread").unwrap_or(1),
    };
    let bin = |part, reference| {
        let made = with_pages(rows, part, task, |pages| Matrix::new(library, pages, &features, reference));
        made.map_err(FitError::Data)
    };
    let train = bin(Part::Train, None)?;
    let validation = if counts.validation > 0 { Some(bin(Part::Validation, Some(&train))?) } else { None };
    let matrices: Vec<&Matrix> = std::iter::once(&train).chain(&validation).collect();
    let given = texts.iter().map(|(name, text)| (*name, text.as_str()));
    let mut booster = Booster::new(library, &matrices, given).map_err(FitError::Parameters)?;

    let (mut stopping, mut kept) = (None, rounds);
    for round in 0..rounds {
        // Values of parameters are read with the first round.
        let refused = if round == 0 { FitError::Parameters } else { FitError::Library };
        booster.update(round, &train).map_err(refused)?;
        if round == 0 {
            // What cannot be served is refused before the other rounds.
            parse(Source::XgboostUbj, &booster.save().map_err(FitError::Library)?, columns)?;
        }
        let evaluations = booster.evaluate(round, &matrices).map_err(refused)?;
        // The last metric decides, as in the library's own training.
        let last = |matrix| evaluations.iter().rev().find(|evaluation| evaluation.matrix == matrix);
        tell(progress, (round, rounds), last(0), last(1));
        if let (Some(patience), Some(last)) = (patience, last(1)) {
            let stopping =
                stopping.get_or_insert_with(|| Stopping::new(std::iter::once(&*last.metric), patience, 0.0));
            let enough = stopping.look(round, std::iter::once(last.value));
            kept = enough.or_else(|| stopping.kept()).unwrap_or(rounds);
            if enough.is_some() {
                break;
            }
        }
    }
    let booster = if kept < rounds { booster.first(kept).map_err(FitError::Library)? } else { booster };
    let bytes = booster.save().map_err(FitError::Library)?;
    let model = parse(Source::XgboostUbj, &bytes, columns)?;
    agreement::check("XGBoost", rows, &model, |values, width| {
        Ok(booster.predict(values, width, false)?.into_iter().map(f64::from).collect())
    })?;
    Ok(Fitted {
        model: Model::Booster(model),
        importance: Vec::new(),
        rounds: kept,
        file: Some((Source::XgboostUbj, bytes)),
    })
}

/// Whether [`fit`] takes these parameters; what their values may be, the library says when it trains, or [rehearses](super::rehearsal).
///
/// # Errors
/// See [`FitError`].
pub(super) fn check(rows: &dyn Rows, task: Task, params: &toml::Table) -> Result<(), FitError> {
    let mut parameters = NAMES.read(params)?;
    parameters.take_count("n_estimators")?;
    let patience = parameters.take_count("early_stopping_rounds")?.filter(|patience| *patience > 0);
    Counts::of(rows, patience)?;
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
    parameters.only("booster", &["gbtree", "dart"], "linear models are kind = \"linear\" or \"logistic\"")?;
    parameters.only("tree_method", &["auto", "hist"], "rows are kept as bins alone")?;
    let objective = match task {
        Task::Regression => "reg:squarederror",
        Task::Binary => "binary:logistic",
        Task::Multiclass { .. } => "multi:softprob",
    };
    parameters.default("objective", objective);
    parameters.default("tree_method", "hist");
    parameters.default("nthread", i64::try_from(threads.max(1)).unwrap_or(1));
    // The library takes 31 bits without wrapping.
    parameters.default("seed", (seed & 0x7fff_ffff).cast_signed());
    if let Some(monotone) = monotone(rows.columns()) {
        parameters.set_by_columns("monotone_constraints", format!("({monotone})"))?;
    }
    let mut texts = parameters.texts(|name, items| match name {
        "eval_metric" => items,
        "monotone_constraints" => vec![format!("({})", items.join(","))],
        _ => vec![format!("[{}]", items.join(","))],
    })?;
    if let Task::Multiclass { classes } = task {
        texts.push(("num_class", classes.to_string()));
    }
    Ok(texts)
}

fn number<T: std::str::FromStr>(texts: &[(&'static str, String)], name: &str) -> Option<T> {
    texts.iter().find(|(known, _)| *known == name)?.1.parse().ok()
}

fn tell(
    progress: &mut dyn FnMut(&Round),
    (round, of): (u32, u32),
    train: Option<&Evaluation>,
    validation: Option<&Evaluation>,
) {
    progress(&Round {
        round: round + 1,
        of,
        metric: train.map_or("none", |train| metric(&train.metric).0),
        train: train.map_or(f64::NAN, |train| train.value),
        validation: validation.map(|validation| validation.value),
    });
}
