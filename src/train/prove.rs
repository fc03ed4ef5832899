//! That the exported file answers as the trained model does: every engine that runs it, on every row of the test.

#[cfg(test)]
mod tests;

use sidegate::config::EngineChoice;
use sidegate::engine::EngineKind;
use sidegate::format::Model as File;

use crate::evaluate::card::Proof;
use crate::evaluate::class_of;
use crate::failure::Failure;
use crate::features::{Answer, ExportConfig, Features, Field, RawBatch, Recipe};
use crate::learner::Model;
use crate::predictor::Predictor;
use crate::served::Served;
use crate::table::Task;
use crate::tolerance::{TOLERANCE, apart, is_rounding};

/// What is proven.
pub(crate) struct Subject<'a> {
    /// The exported file, read back.
    pub(crate) whole: &'a File,
    /// Its features alone.
    pub(crate) alone: &'a File,
    /// What was trained.
    pub(crate) model: &'a Model,
    /// On features that were made so.
    pub(crate) recipe: &'a Recipe,
    /// Of these raw columns.
    pub(crate) fields: &'a [Field],
    /// For this.
    pub(crate) task: Task,
    /// What the file is to answer.
    pub(crate) answer: &'a Answer,
    /// Under which names.
    pub(crate) export: &'a ExportConfig,
}

/// A proof that goes on row by row.
pub(crate) struct Prover<'a> {
    features: Features,
    predictor: Predictor,
    judge: Judge<'a>,
    /// Whether features come out to the bit in every engine.
    exact: bool,
    /// The whole model and its features alone, by engine.
    engines: Vec<Engine>,
    /// Engines that do not run it, and why.
    left_out: Vec<(EngineKind, String)>,
}

/// What an answer has to be.
#[derive(Clone, Copy)]
struct Judge<'a> {
    task: Task,
    answer: &'a Answer,
    model: &'a Model,
}

struct Engine {
    whole: Served,
    alone: Served,
    /// The output that names a class, where there is one.
    label: Option<usize>,
    proof: Proof,
    /// The largest difference that no rounding of sums accounts for.
    beyond: f64,
    /// Features that did not come out bit by bit as in training.
    unequal: Option<String>,
}

// === impl Prover ===

impl<'a> Prover<'a> {
    /// Loads both files. Engines that cannot run them are left out; `trees` must.
    ///
    /// # Errors
    /// When `trees` cannot run them, they ask for other columns, or the model does not answer what the task asks for.
    pub(crate) fn new(subject: &Subject<'a>) -> Result<Self, Failure> {
        let Subject { whole, alone, model, recipe, fields, task, answer, export } = *subject;
        let columns = export.columns(recipe).map_err(Failure::Config)?;
        let name = matches!(answer, Answer::Classes(..)).then(|| export.named("label"));
        let (mut engines, mut left_out) = (Vec::new(), Vec::new());
        for (kind, choice) in [
            (EngineKind::Trees, EngineChoice::Trees),
            (EngineKind::Ort, EngineChoice::Ort),
            (EngineKind::Tract, EngineChoice::Tract),
        ] {
            let load = |file| Served::of_columns(file, choice, fields, &columns);
            let both = load(whole).and_then(|whole| Ok((whole, load(alone)?)));
            match both {
                Ok((whole, alone)) => {
                    let proof =
                        Proof { engine: kind.name().to_owned(), version: version(kind), ..Proof::default() };
                    let outputs = &whole.signature.outputs;
                    let label = name.and_then(|name| outputs.iter().position(|spec| &*spec.name == name));
                    engines.push(Engine { whole, alone, label, proof, beyond: 0.0, unequal: None });
                }
                Err(error) if kind == EngineKind::Trees => return Err(Failure::Failed(error)),
                // tract runs fewer graphs, and ONNX Runtime need not be there.
                Err(error) => left_out.push((kind, error)),
            }
        }
        Ok(Self {
            features: Features::new(recipe, fields.to_vec())?,
            predictor: Predictor::new(model, task).map_err(Failure::Config)?,
            judge: Judge { task, answer, model },
            // Nothing that engines round in their own ways.
            exact: recipe.is_exact(),
            engines,
            left_out,
        })
    }

    /// Engines in which nothing is proven, each with what stands against it.
    pub(crate) fn left_out(&self) -> &[(EngineKind, String)] {
        &self.left_out
    }

    /// Compares the answers to some rows.
    ///
    /// # Errors
    /// When an engine does not answer.
    pub(crate) fn push(&mut self, raw: &RawBatch) -> Result<(), String> {
        if raw.rows() == 0 {
            return Ok(());
        }
        let width = self.features.columns().len();
        let values = self.features.of(raw).map_err(|error| error.to_string())?.to_vec();
        let wanted = self.predictor.scores(&values, width)?;
        let (values, wanted, judge) = (&values, &wanted, self.judge);
        std::thread::scope(|scope| {
            let asked: Vec<_> = self
                .engines
                .iter_mut()
                .map(|engine| {
                    let name = engine.whole.engine;
                    let asked = scope.spawn(move || engine.push(raw, (values, wanted), judge));
                    (name, asked)
                })
                .collect();
            asked.into_iter().try_for_each(|(name, asked)| {
                let told = asked.join().unwrap_or_else(|_| Err("it panicked".to_owned()));
                told.map_err(|error| format!("{name}: {error}"))
            })
        })
    }

    /// What was found.
    ///
    /// # Errors
    /// When an engine answers otherwise than the trained model.
    pub(crate) fn finish(self) -> Result<Vec<Proof>, String> {
        for Engine { proof, beyond, unequal, whole, .. } in &self.engines {
            let Proof { engine, rows, flips, .. } = proof;
            if *rows == 0 {
                return Err("there are no rows to prove the model on".to_owned());
            }
            if *beyond > TOLERANCE || *flips > 0 {
                return Err(format!(
                    "{engine} answers otherwise than the trained model: by up to {beyond:.1e} ({TOLERANCE:.0e} is allowed), \
                     {flips} of {rows} labels are others; nothing is registered"
                ));
            }
            // Logarithms are rounded by each library in its own way, and training's features are those of `trees`.
            let has_to_be =
                whole.engine == EngineKind::Trees || (self.exact && whole.engine == EngineKind::Ort);
            if let Some(unequal) = unequal
                && has_to_be
            {
                return Err(format!("{engine} makes other features: {unequal}; nothing is registered"));
            }
        }
        Ok(self.engines.into_iter().map(|engine| engine.proof).collect())
    }
}

// === impl Engine ===

impl Engine {
    fn push(
        &mut self,
        raw: &RawBatch,
        (values, wanted): (&[f32], &[f64]),
        judge: Judge<'_>,
    ) -> Result<(), String> {
        self.alone.ask(raw)?;
        self.unequal = self.unequal.take().or_else(|| unequal(&self.alone, values));
        self.whole.ask(raw)?;
        let found = self.whole.scores(judge.task)?;
        self.proof.rows += raw.rows() as u64;
        if found.len() != wanted.len() {
            return Err(format!("{} answers where {} are wanted", found.len(), wanted.len()));
        }
        let labels = self.label.and_then(|at| self.whole.outputs.get(at));
        let [width, count] = [values.len(), wanted.len()].map(|all| all / raw.rows());
        let rows = values.chunks_exact(width).zip(found.chunks_exact(count)).zip(wanted.chunks_exact(count));
        for (row, ((values, found), wanted)) in rows.enumerate() {
            let off =
                found.iter().zip(wanted).map(|(found, wanted)| apart(*found, *wanted)).fold(0.0, f64::max);
            let rounded = off > TOLERANCE && judge.is_rounding(values, [found, wanted]);
            self.proof.largest = self.proof.largest.max(off);
            if rounded {
                self.proof.rounded += 1;
            } else {
                self.beyond = self.beyond.max(off);
            }
            if let (Some(labels), Answer::Classes(classes, _)) = (labels, judge.answer) {
                // Where a hair's breadth decides, it is the engine's own answers that the label has to follow.
                let class = judge.class(if rounded || judge.is_close(wanted) { found } else { wanted });
                self.proof.flips += u64::from(!classes.is(class, &labels.data, row));
            }
        }
        Ok(())
    }
}

// === impl Judge ===

impl Judge<'_> {
    fn threshold(self) -> f64 {
        match self.answer {
            Answer::Classes(_, threshold) => *threshold,
            Answer::Number => f64::NAN,
        }
    }

    /// The class of these scores of a row.
    fn class(self, scores: &[f64]) -> usize {
        class_of(self.task, scores, self.threshold())
    }

    /// Whether rounding accounts for what is between answers to a row of features.
    fn is_rounding(self, row: &[f32], answers: [&[f64]; 2]) -> bool {
        matches!(self.model, Model::Booster(booster) if is_rounding(booster, row, answers))
    }

    /// Whether rounding may make it another class: the two best differ by less than the tolerance.
    fn is_close(self, scores: &[f64]) -> bool {
        match scores {
            // The other class has what is left of 1.
            [second] => (second - self.threshold()).abs() <= TOLERANCE / 2.0,
            several => {
                let mut sorted = several.to_vec();
                sorted.sort_by(|a, b| b.total_cmp(a));
                matches!(sorted[..], [first, second, ..] if first - second <= TOLERANCE)
            }
        }
    }
}

/// Which one it is, where that is not this program's own.
fn version(kind: EngineKind) -> Option<String> {
    if kind != EngineKind::Ort {
        return None;
    }
    let (_, version) = sidegate::engine::onnxruntime_status()?.ok()?;
    Some(version).filter(|version| !version.is_empty())
}

/// Where features differ from those of training, in their bits.
fn unequal(served: &Served, values: &[f32]) -> Option<String> {
    let output = served.outputs.first()?;
    let differ = |at: &usize| {
        let (found, wanted) = (output.data.number(*at)?, f64::from(values[*at]));
        (found.to_bits() != wanted.to_bits() && !(found.is_nan() && wanted.is_nan()))
            .then_some((found, wanted))
    };
    let at = (0..values.len()).find(|at| differ(at).is_some())?;
    let (found, wanted) = differ(&at)?;
    Some(format!("value {at} is {found}, not {wanted}"))
}
