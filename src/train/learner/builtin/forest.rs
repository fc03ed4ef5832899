//! Random forests: the average of deep trees, each of its own sample of the rows, each split of its own features.

mod criterion;
mod grow;
mod settings;

use sidegate::booster::Transform;

use self::criterion::{Classes, Criterion, Mean};
use self::grow::Grower;
use self::settings::Settings;
use crate::learner::builtin::bins::MAX_BINS;
use crate::learner::builtin::matrix::{Binning, Cells, Data};
use crate::learner::builtin::random::Random;
use crate::learner::builtin::tree::{self, Gather, Grown};
use crate::learner::builtin::{FitError, Fitted, Model, threads};
use crate::table::{Round, Rows, Task};

/// Trees that are grown before progress is told.
const WAVE: usize = 8;
/// Rows that one item of parallel work scores.
const SLICE: usize = 8192;
/// Every distinct value is a bin where there are few enough: so splits are scikit-learn's.
const BINNING: Binning = Binning { most: MAX_BINS, least_count: 1 };

/// Learns a random forest with scikit-learn's parameters.
///
/// # Errors
/// A parameter that is not known or cannot be; rows from which nothing can be learned.
pub(crate) fn fit(
    rows: &dyn Rows,
    task: Task,
    params: &toml::Table,
    seed: u64,
    threads: usize,
    progress: &mut dyn FnMut(&Round),
) -> Result<Fitted, FitError> {
    let settings = Settings::read(params, task, rows)?;
    let data = Data::read(rows, task, BINNING, true, threads)?;
    let trees = match task {
        Task::Multiclass { classes } => {
            grow(&data, &Classes::new(&data.train, classes as usize), &settings, (seed, threads), progress)
        }
        _ => grow(&data, &Mean::new(&data.train, task), &settings, (seed, threads), progress),
    };
    let mut gather = Gather::new(&data.columns);
    trees.iter().for_each(|tree| gather.push(tree, 0));
    let importance = gather.importance.clone();
    let targets = if let Task::Multiclass { classes } = task { classes as usize } else { 1 };
    let booster = gather.finish(rows.columns(), targets, Some(settings.trees), Transform::Identity);
    Ok(Fitted { model: Model::Booster(booster), importance, rounds: settings.trees, file: None })
}

/// Whether [`fit`] takes these parameters.
///
/// # Errors
/// A parameter that is not known or cannot be.
pub(crate) fn check(rows: &dyn Rows, task: Task, params: &toml::Table) -> Result<(), FitError> {
    Settings::read(params, task, rows).map(drop)
}

/// Grows all trees, each on one thread.
fn grow(
    data: &Data,
    criterion: &impl Criterion,
    settings: &Settings,
    (seed, threads): (u64, usize),
    progress: &mut dyn FnMut(&Round),
) -> Vec<Vec<Grown>> {
    let grower = Grower::new(data, criterion, settings);
    let (mut trees, all) = (Vec::new(), settings.trees as usize);
    let mut sums = data.validation.as_ref().map(|cells| vec![0f32; cells.rows() * criterion.outputs()]);
    while trees.len() < all {
        let mut wave: Vec<(u64, Vec<Grown>)> = (trees.len()..all.min(trees.len() + WAVE.max(threads)))
            .map(|tree| (tree as u64, Vec::new()))
            .collect();
        threads::each(threads, &mut wave, |(number, tree)| *tree = grower.grow(Random::new(seed, *number)));
        for (number, tree) in wave {
            if let (Some(cells), Some(sums)) = (&data.validation, &mut sums) {
                add(&tree, cells, sums, criterion.outputs(), threads);
            }
            trees.push(tree);
            let (cells, sums) = (data.validation.as_ref(), sums.as_ref());
            let validation =
                cells.zip(sums).map(|(cells, sums)| criterion.metric(cells, sums, number as f32 + 1.0));
            progress(&Round {
                round: number as u32 + 1,
                of: settings.trees,
                metric: criterion.metric_name(),
                // Deep trees know their own rows by heart: that figure would say nothing.
                train: f64::NAN,
                validation,
            });
        }
    }
    trees
}

/// Adds a tree's answers to the sums of each row.
fn add(tree: &[Grown], cells: &Cells, sums: &mut [f32], outputs: usize, threads: usize) {
    let mut slices: Vec<_> = sums.chunks_mut(SLICE * outputs).enumerate().collect();
    threads::each(threads, &mut slices, |(slice, sums)| {
        for (row, sums) in (*slice * SLICE..).zip(sums.chunks_exact_mut(outputs)) {
            let leaf = tree::leaf(tree, cells.row(row));
            sums.iter_mut().zip(leaf).for_each(|(sum, value)| *sum += value);
        }
    });
}
