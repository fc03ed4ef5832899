//! That the exported file answers as the trained model does: every engine that runs it, on every row of the test.

use sidegate::config::EngineChoice;
use sidegate::engine::EngineKind;
use sidegate::format::Model;

use crate::evaluate::card::Proof;
use crate::features::{Features, Field, RawBatch};
use crate::predictor::Predictor;
use crate::served::Served;
use crate::table::Task;

/// Of a prediction, relative where it is above 1 (decisions on tolerance: docs/training.md).
const TOLERANCE: f64 = 1e-5;

/// A proof that goes on row by row.
pub(crate) struct Prover {
    task: Task,
    features: Features,
    predictor: Predictor,
    /// Whether features come out to the bit in every engine.
    exact: bool,
    /// The whole model and its features alone, by engine.
    engines: Vec<Engine>,
}

struct Engine {
    whole: Served,
    alone: Served,
    proof: Proof,
    /// Features that did not come out bit by bit as in training.
    unequal: Option<String>,
}

// === impl Prover ===

impl Prover {
    /// Of a model and of its features alone, both as files that were read back; `columns` are those of their matrix, where
    /// they take one. Engines that cannot run them are left out;
    /// `trees` must. `exact`: the recipe has nothing that engines round in their own ways.
    ///
    /// # Errors
    /// When `trees` cannot run them, or they ask for other columns.
    pub(crate) fn new(
        (whole, alone): (&Model, &Model),
        features: Features,
        predictor: Predictor,
        (fields, columns): (&[Field], &[String]),
        (task, exact): (Task, bool),
    ) -> Result<Self, String> {
        let mut engines = Vec::new();
        for choice in [EngineChoice::Trees, EngineChoice::Ort, EngineChoice::Tract] {
            let load = |model| Served::of_columns(model, choice, fields, columns);
            let both = load(whole).and_then(|whole| Ok((whole, load(alone)?)));
            match both {
                Ok((whole, alone)) => {
                    let proof = Proof { engine: whole.engine.name().to_owned(), ..Proof::default() };
                    engines.push(Engine { whole, alone, proof, unequal: None });
                }
                Err(error) if choice == EngineChoice::Trees => return Err(error),
                // tract runs fewer graphs, and ONNX Runtime need not be there.
                Err(error) => tracing::info!(?choice, error, "not proven with this engine"),
            }
        }
        Ok(Self { task, features, predictor, exact, engines })
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
        let (values, wanted, task) = (&values, &wanted, self.task);
        std::thread::scope(|scope| {
            let asked: Vec<_> = self
                .engines
                .iter_mut()
                .map(|engine| {
                    let name = engine.whole.engine;
                    let asked = scope.spawn(move || engine.push(raw, values, wanted, task));
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
        for Engine { proof, unequal, whole, .. } in &self.engines {
            let Proof { engine, rows, largest, flips } = proof;
            if *rows == 0 {
                return Err("there are no rows to prove the model on".to_owned());
            }
            if *largest > TOLERANCE || *flips > 0 {
                return Err(format!(
                    "{engine} answers otherwise than the trained model: by up to {largest:.1e} ({TOLERANCE:.0e} is allowed), \
                     {flips} of {rows} labels are others; nothing is registered"
                ));
            }
            // Logarithms are rounded by each library in its own way, and training's features are those of `trees`.
            let has_to_be =
                whole.engine == EngineKind::Trees || (self.exact && whole.engine == EngineKind::Ort);
            if let Some(unequal) = unequal
                && has_to_be
            {
                return Err(format!("{engine} makes other features: {unequal}"));
            }
        }
        Ok(self.engines.into_iter().map(|engine| engine.proof).collect())
    }
}

// === impl Engine ===

impl Engine {
    fn push(&mut self, raw: &RawBatch, values: &[f32], wanted: &[f64], task: Task) -> Result<(), String> {
        self.alone.ask(raw)?;
        self.unequal = self.unequal.take().or_else(|| unequal(&self.alone, values));
        self.whole.ask(raw)?;
        let found = self.whole.scores(task)?;
        self.proof.rows += raw.rows() as u64;
        if found.len() != wanted.len() {
            return Err(format!("{} answers where {} are wanted", found.len(), wanted.len()));
        }
        for (found, wanted) in found.iter().zip(wanted) {
            let off = (found - wanted).abs() / wanted.abs().max(1.0);
            // What is no number is as far off as can be.
            self.proof.largest = self.proof.largest.max(if off.is_nan() { f64::INFINITY } else { off });
        }
        self.proof.flips += flips(&found, wanted, task);
        Ok(())
    }
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

/// Rows whose class is another one, where that is no matter of a hair's breadth.
fn flips(found: &[f64], wanted: &[f64], task: Task) -> u64 {
    let count = match task {
        Task::Regression => 0,
        Task::Binary => found
            .iter()
            .zip(wanted)
            .filter(|(found, wanted)| {
                (**found >= 0.5) != (**wanted >= 0.5) && (*wanted - 0.5).abs() > TOLERANCE / 2.0
            })
            .count(),
        Task::Multiclass { classes } => found
            .chunks_exact(classes as usize)
            .zip(wanted.chunks_exact(classes as usize))
            .filter(|(found, wanted)| {
                let best =
                    |row: &[f64]| (0..row.len()).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap_or(0);
                let (a, b) = (best(found), best(wanted));
                a != b && (wanted[b] - wanted[a]).abs() > TOLERANCE
            })
            .count(),
    };
    count as u64
}
