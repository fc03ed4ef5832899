//! Logistic regression by Newton's steps: few passes over the rows, and the optimum to the last digits.

use super::importance;
use super::passes::{self, Standard, Standardised};
use super::solve::Matrix;
use crate::learner::builtin::params::{Known, Params};
use crate::learner::builtin::{FitError, Fitted, Model};
use crate::table::{Part, Round, Rows, Task};

const KNOWN: &[Known] = &[("C", &[]), ("max_iter", &[]), ("tol", &[])];
/// Weights of all scores; the matrix of second derivatives has their square, 32 MiB of numbers in half.
const MAX_WEIGHTS: usize = 4096;
/// Keeps the intercepts of several classes apart, which the loss alone does not.
const ANCHOR: f64 = 1e-9;

/// What it is told.
struct Settings {
    /// Scores per row.
    scores: usize,
    penalty: f64,
    most: u32,
    tolerance: f64,
}

impl Settings {
    fn read(rows: &dyn Rows, task: Task, params: &toml::Table) -> Result<Self, FitError> {
        let params = Params::new("logistic", params, KNOWN)?;
        let scores = match task {
            Task::Regression => {
                return Err(FitError::Parameters(
                    "`logistic` predicts classes; for numbers there is `linear`".into(),
                ));
            }
            Task::Binary => 1,
            Task::Multiclass { classes } => classes as usize,
        };
        passes::check(rows.columns())?;
        let width = rows.columns().len();
        if scores * (width + 1) > MAX_WEIGHTS {
            return Err(FitError::Parameters(format!(
                "{scores} scores of {width} features; `logistic` takes {MAX_WEIGHTS} weights in all, `builtin` takes more"
            )));
        }
        Ok(Self {
            scores,
            penalty: 1.0 / params.number("C", 1.0, (f64::MIN_POSITIVE, f64::INFINITY))?,
            most: params.count("max_iter", 100, (1, 100_000))?,
            tolerance: params.number("tol", 1e-4, (f64::MIN_POSITIVE, 1.0))?,
        })
    }
}

/// Whether [`fit`] takes these columns and parameters.
///
/// # Errors
/// A column of which no sum is made, a parameter that is not known or cannot be.
pub(crate) fn check(rows: &dyn Rows, task: Task, params: &toml::Table) -> Result<(), FitError> {
    Settings::read(rows, task, params).map(drop)
}

/// Learns a logistic regression with scikit-learn's `C`, `max_iter` and `tol`, on features of standard deviation 1.
///
/// # Errors
/// A parameter that is not known or cannot be; missing values and categories, which a sum cannot take.
pub(crate) fn fit(
    rows: &dyn Rows,
    task: Task,
    params: &toml::Table,
    _seed: u64,
    threads: usize,
    progress: &mut dyn FnMut(&Round),
) -> Result<Fitted, FitError> {
    let Settings { scores, penalty, most, tolerance } = Settings::read(rows, task, params)?;
    let each = rows.columns().len() + 1;
    let standard = Standard::read(rows, task)?;
    let problem = Problem { rows, standard: &standard, scores, each, penalty, threads };
    let mut weights = vec![0.0; scores * each];
    let mut here = problem.at(&weights)?;
    let mut rounds = 0;
    while rounds < most && here.steepness() > tolerance * here.total.min(1.0) {
        let Some(step) = here.step() else { break };
        // A whole step may overshoot far from the optimum.
        let (mut length, mut better) = (1.0, None);
        for _ in 0..30 {
            let next: Vec<f64> =
                weights.iter().zip(&step).map(|(weight, step)| weight - length * step).collect();
            let there = problem.at(&next)?;
            if there.loss <= here.loss {
                better = Some((next, there));
                break;
            }
            length /= 2.0;
        }
        let Some((next, there)) = better else { break };
        (weights, here) = (next, there);
        rounds += 1;
        let validation = (rows.count(Part::Validation) > 0).then(|| problem.mean(&weights, Part::Validation));
        progress(&Round {
            round: rounds,
            of: most,
            metric: "log_loss",
            train: here.data_loss / here.total,
            validation: validation.transpose()?,
        });
    }
    let (weights, intercepts): (Vec<Vec<f64>>, Vec<f64>) =
        weights.chunks_exact(each).map(|own| (own[..each - 1].to_vec(), own[each - 1])).unzip();
    let model = standard.model(&weights, &intercepts);
    Ok(Fitted { model: Model::Linear(model), importance: importance(&weights), rounds, file: None })
}

struct Problem<'a> {
    rows: &'a dyn Rows,
    standard: &'a Standard,
    scores: usize,
    /// Weights of one score, the last of which is the intercept.
    each: usize,
    penalty: f64,
    threads: usize,
}

/// The loss at some weights, and its derivatives.
struct Point {
    loss: f64,
    data_loss: f64,
    total: f64,
    gradient: Vec<f64>,
    hessian: Matrix,
}

impl Point {
    fn steepness(&self) -> f64 {
        self.gradient.iter().fold(0.0, |most, slope| most.max(slope.abs()))
    }

    fn step(self: &mut Point) -> Option<Vec<f64>> {
        std::mem::replace(&mut self.hessian, Matrix::new(0)).solve(&self.gradient)
    }
}

impl Problem<'_> {
    /// Writes the probability of each score's class, and gives the loss of the row.
    fn shares(&self, weights: &[f64], values: &[f64], target: f64, shares: &mut [f64]) -> f64 {
        for (share, own) in shares.iter_mut().zip(weights.chunks_exact(self.each)) {
            *share = own.iter().zip(values).map(|(weight, value)| weight * value).sum::<f64>()
                + own[self.each - 1];
        }
        if let [score] = shares {
            let toward = if target == 1.0 { *score } else { -*score };
            *score = 1.0 / (1.0 + (-*score).exp());
            return if toward > 0.0 { (-toward).exp().ln_1p() } else { toward.exp().ln_1p() - toward };
        }
        let most = shares.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let own = shares[target as usize] - most;
        shares.iter_mut().for_each(|share| *share = (*share - most).exp());
        let sum: f64 = shares.iter().sum();
        shares.iter_mut().for_each(|share| *share /= sum);
        sum.ln() - own
    }

    fn at(&self, weights: &[f64]) -> Result<Point, FitError> {
        let size = weights.len();
        let mut point = Point {
            loss: 0.0,
            data_loss: 0.0,
            total: 0.0,
            gradient: vec![0.0; size],
            hessian: Matrix::new(size),
        };
        let mut shares = Vec::new();
        self.standard.each(self.rows, Part::Train, |batch| {
            shares.clear();
            for (values, target, weight) in batch.each() {
                let start = shares.len();
                shares.resize(start + self.scores, 0.0);
                point.data_loss += weight * self.shares(weights, values, target, &mut shares[start..]);
                point.total += weight;
            }
            self.slopes(batch, &shares, &mut point.gradient);
            self.curves(batch, &shares, &mut point.hessian);
        })?;
        point.loss = point.data_loss;
        for (at, weight) in weights.iter().enumerate() {
            // The intercept is not held back.
            let intercept = at % self.each == self.each - 1;
            let held = if !intercept {
                self.penalty
            } else if self.scores > 1 {
                ANCHOR * point.total
            } else {
                0.0
            };
            point.loss += held * weight * weight / 2.0;
            point.gradient[at] += held * weight;
            let flat = !intercept && !self.standard.varies(at % self.each);
            point.hessian.add(at, if flat { 1.0 } else { held });
        }
        Ok(point)
    }

    fn slopes(&self, batch: &Standardised<'_>, shares: &[f64], gradient: &mut [f64]) {
        for ((values, target, weight), shares) in batch.each().zip(shares.chunks_exact(self.scores)) {
            for (at, (share, own)) in shares.iter().zip(gradient.chunks_exact_mut(self.each)).enumerate() {
                let is = if self.scores == 1 { target } else { f64::from(u8::from(at == target as usize)) };
                let slope = weight * (share - is);
                own.iter_mut().zip(values).for_each(|(sum, value)| *sum += slope * value);
                own[self.each - 1] += slope;
            }
        }
    }

    /// Each thread has lines of its own, and adds rows in their order.
    fn curves(&self, batch: &Standardised<'_>, shares: &[f64], hessian: &mut Matrix) {
        let (each, scores) = (self.each, self.scores);
        let heavy = batch.rows() * scores * scores * each * each / 2 > 1 << 18;
        let mut lines: Vec<_> = hessian.lines_mut().into_iter().enumerate().collect();
        crate::learner::builtin::threads::each(
            if heavy { self.threads } else { 1 },
            &mut lines,
            |(line, own)| {
                let (score, at) = (*line / each, *line % each);
                for ((values, _, weight), shares) in batch.each().zip(shares.chunks_exact(scores)) {
                    let value = values.get(at).copied().unwrap_or(1.0) * weight * shares[score];
                    for (other, part) in own.chunks_mut(each).enumerate() {
                        let factor = value * (f64::from(u8::from(other == score)) - shares[other]);
                        let full = part.len() == each;
                        part.iter_mut().zip(values).for_each(|(sum, value)| *sum += factor * value);
                        if full {
                            part[each - 1] += factor;
                        }
                    }
                }
            },
        );
    }

    fn mean(&self, weights: &[f64], part: Part) -> Result<f64, FitError> {
        let (mut loss, mut total, mut shares) = (0.0, 0.0, vec![0.0; self.scores]);
        self.standard.each(self.rows, part, |batch| {
            for (values, target, weight) in batch.each() {
                loss += weight * self.shares(weights, values, target, &mut shares);
                total += weight;
            }
        })?;
        Ok(loss / total)
    }
}
