//! Boosted trees: each corrects the sum of those before it.

mod gradients;
mod grow;
mod loss;
mod settings;
pub(crate) mod split;

use self::gradients::Gradients;
use self::grow::{Grower, Leaf};
use self::loss::percentile;
use self::settings::Settings;
use crate::learner::builtin::matrix::{Cells, Data};
use crate::learner::builtin::random::Random;
use crate::learner::builtin::tree::{self, Gather, Grown};
use crate::learner::builtin::{FitError, Fitted, Model, threads};
use crate::table::{Round, Rows, Task};

/// Rows that one item of parallel work scores.
const SLICE: usize = 8192;

/// Learns boosted trees with LightGBM's parameters.
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
    threads::among(threads, progress, |progress| boost(rows, task, &settings, seed, threads, progress))
}

fn boost(
    rows: &dyn Rows,
    task: Task,
    settings: &Settings,
    seed: u64,
    threads: usize,
    progress: &mut dyn FnMut(&Round),
) -> Result<Fitted, FitError> {
    let data = Data::read(rows, task, settings.binning, true, threads)?;
    let grower = Grower::new(&data, rows.columns(), &settings.tree, threads);
    let mut boosting = Boosting::new(&data, settings, seed, threads);
    let best = boosting.run(&grower, progress);
    let targets = settings.loss.targets();
    let mut gather = Gather::new(&data.columns);
    for (number, tree) in boosting.trees.iter().take(best * targets).enumerate() {
        gather.push(tree, (number % targets) as u32);
    }
    let importance = gather.importance.clone();
    let booster = gather.finish(rows.columns(), targets, None, settings.loss.transform());
    Ok(Fitted { model: Model::Booster(booster), importance, rounds: best as u32, file: None })
}

/// Whether [`fit`] takes these parameters.
///
/// # Errors
/// A parameter that is not known or cannot be.
pub(crate) fn check(rows: &dyn Rows, task: Task, params: &toml::Table) -> Result<(), FitError> {
    Settings::read(params, task, rows).map(drop)
}

struct Boosting<'a> {
    data: &'a Data,
    settings: &'a Settings,
    seed: u64,
    threads: usize,
    start: Vec<f64>,
    /// Row after row, of training and of validation.
    scores: [Vec<f32>; 2],
    gradients: Vec<Gradients>,
    /// Round after round, a tree per score.
    trees: Vec<Vec<Grown>>,
}

impl<'a> Boosting<'a> {
    fn new(data: &'a Data, settings: &'a Settings, seed: u64, threads: usize) -> Self {
        let start = settings.loss.start(&data.train);
        let rows = [data.train.rows(), data.validation.as_ref().map_or(0, Cells::rows)];
        let scores = rows.map(|rows| {
            let row: Vec<f32> = start.iter().map(|start| *start as f32).collect();
            row.repeat(rows)
        });
        let gradients = settings.loss.room(&data.train);
        Self { data, settings, seed, threads, start, scores, gradients, trees: Vec::new() }
    }

    /// Boosts, and tells how many rounds are worth keeping.
    fn run(&mut self, grower: &Grower<'_>, progress: &mut dyn FnMut(&Round)) -> usize {
        let (settings, loss) = (self.settings, self.settings.loss);
        let mut rows: Vec<u32> = Vec::new();
        let mut best = (0, f64::INFINITY);
        loss.differentiate(&self.data.train, &self.scores[0], &mut self.gradients, self.threads);
        for round in 0..settings.rounds as usize {
            self.sample(round, &mut rows);
            let features = self.features(round);
            let mut grew = false;
            for target in 0..loss.targets() {
                grew |= self.grow(grower, target, &rows, &features, round == 0);
            }
            let train =
                loss.differentiate(&self.data.train, &self.scores[0], &mut self.gradients, self.threads);
            let validation =
                self.data.validation.as_ref().map(|cells| loss.mean(cells, &self.scores[1], self.threads));
            progress(&Round {
                round: round as u32 + 1,
                of: settings.rounds,
                metric: loss.metric(),
                train: loss.shown(train),
                validation: validation.map(|mean| loss.shown(mean)),
            });
            match validation.filter(|_| settings.patience > 0) {
                Some(mean) if mean < best.1 => best = (round + 1, mean),
                Some(_) if round + 1 - best.0 >= settings.patience as usize => break,
                Some(_) => {}
                None => best.0 = round + 1,
            }
            // Nothing can be gained by any split, and other rounds would see the same.
            if !grew && settings.bagging_freq == 0 && settings.feature_fraction == 1.0 {
                break;
            }
        }
        best.0.max(1)
    }

    /// The rows of a round, in ascending order.
    fn sample(&self, round: usize, rows: &mut Vec<u32>) {
        let (all, settings) = (self.data.train.rows(), self.settings);
        let every = settings.bagging_freq as usize;
        if every == 0 || settings.bagging_fraction == 1.0 {
            rows.clear();
            return rows.extend(0..all as u32);
        }
        let wanted = ((all as f64 * settings.bagging_fraction) as usize).max(1);
        *rows = Random::new(self.seed, 2 * (round / every) as u64).choose(wanted, all);
    }

    /// The features of a round.
    fn features(&self, round: usize) -> Vec<u32> {
        let useful: Vec<u32> =
            (0u32..).zip(&self.data.columns).filter(|(_, bins)| bins.useful()).map(|(at, _)| at).collect();
        let wanted = (useful.len() as f64 * self.settings.feature_fraction).round() as usize;
        let chosen = Random::new(self.seed, 2 * round as u64 + 1).choose(wanted.max(1), useful.len());
        chosen.into_iter().map(|at| useful[at as usize]).collect()
    }

    /// Adds a tree, and its leaves to the scores. The first of each score adds the start, as serving's sum starts at 0.
    fn grow(
        &mut self,
        grower: &Grower<'_>,
        target: usize,
        sample: &[u32],
        features: &[u32],
        first: bool,
    ) -> bool {
        let mut rows = sample.to_vec();
        let (mut tree, leaves) = grower.grow(&mut rows, features, &self.gradients[target]);
        let start = if first { self.start[target] } else { 0.0 };
        for leaf in &leaves {
            let output = self.output(leaf, &rows[leaf.rows.clone()], target);
            tree[leaf.node] = Grown::Leaf(vec![(start + output * self.settings.learning_rate) as f32]);
        }
        let targets = self.settings.loss.targets();
        let add = |score: &mut f32, value: f32| *score = if first { value } else { *score + value };
        let [train, validation] = &mut self.scores;
        if rows.len() == self.data.train.rows() {
            // Where each row ended is known, and a leaf's rows are in ascending order.
            let share = rows.len().div_ceil(self.threads.max(1)).max(1);
            let mut parts: Vec<_> = train.chunks_mut(share * targets).enumerate().collect();
            threads::each(self.threads, &mut parts, |(part, scores)| {
                let first = *part * share;
                let last = first + scores.len() / targets;
                for leaf in &leaves {
                    let Grown::Leaf(values) = &tree[leaf.node] else { continue };
                    let own = &rows[leaf.rows.clone()];
                    let [from, to] =
                        [first, last].map(|end| own.partition_point(|row| (*row as usize) < end));
                    for row in &own[from..to] {
                        add(&mut scores[(*row as usize - first) * targets + target], values[0]);
                    }
                }
            });
        } else {
            walk(&tree, &self.data.train, train, (targets, target), self.threads, add);
        }
        if let Some(cells) = &self.data.validation {
            walk(&tree, cells, validation, (targets, target), self.threads, add);
        }
        self.trees.push(tree);
        leaves.len() > 1
    }

    /// A leaf's value before the learning rate.
    fn output(&self, leaf: &Leaf, rows: &[u32], target: usize) -> f64 {
        let Some(share) = self.settings.loss.quantile() else { return leaf.output };
        let cells = &self.data.train;
        let targets = self.settings.loss.targets();
        let off =
            |row: usize| f64::from(cells.target[row]) - f64::from(self.scores[0][row * targets + target]);
        let mut left: Vec<(f64, f64)> =
            rows.iter().map(|row| (off(*row as usize), cells.weight(*row as usize))).collect();
        percentile(&mut left, share, cells.weight.is_some())
    }
}

/// Adds a tree's leaves to one of the scores of each row.
fn walk(
    tree: &[Grown],
    cells: &Cells,
    scores: &mut [f32],
    (targets, target): (usize, usize),
    threads: usize,
    add: impl Fn(&mut f32, f32) + Sync,
) {
    let mut slices: Vec<_> = scores.chunks_mut(SLICE * targets).enumerate().collect();
    threads::each(threads, &mut slices, |(slice, scores)| {
        for (row, scores) in (*slice * SLICE..).zip(scores.chunks_exact_mut(targets)) {
            tree::leaf(tree, cells.row(row)).iter().for_each(|value| add(&mut scores[target], *value));
        }
    });
}
