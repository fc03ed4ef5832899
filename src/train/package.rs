//! What a version carries beside its model: examples with their answers, how its inputs were distributed, what it asks.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sidegate::drift::{Layout, Learner};
use sidegate::tensor::{Data, Tensor};

use crate::failure::Failure;
use crate::features::RawBatch;
use crate::run::write_whole;
use crate::served::Served;

/// What a raw row looks like, in the folder of a run and beside the model.
pub(crate) const SCHEMA: &str = "schema.json";
/// Rows that become examples: two by themselves, the others together, for engines run one row by another way than many.
const EXAMPLES: &[std::ops::Range<usize>] = &[0..1, 1..2, 2..16];
/// Rows that the reference profile is made of; it keeps all their values until it is.
pub(crate) const PROFILED: usize = 20_000;
/// Fewer say nothing: gateways refuse such a profile.
const LEAST_PROFILED: usize = 50;

/// Collects both from the rows of the test, which the model has not seen.
pub(crate) struct Package {
    /// Asked last with whatever came last.
    pub(crate) served: Served,
    layout: Layout,
    learner: Learner,
    words: Vec<u32>,
    examples: Vec<Value>,
    /// Rows that came, and of how many one is profiled.
    came: usize,
    every: usize,
}

// === impl Package ===

impl Package {
    /// For a model as it is served and so many rows: what is profiled is spread over all of them, as rows often come
    /// in the order of time.
    pub(crate) fn new(served: Served, rows: usize) -> Self {
        let layout = Layout::of(&served.signature, &served.columns, served.prediction());
        let learner = Learner::new(&layout, PROFILED);
        Self {
            served,
            layout,
            learner,
            words: Vec::new(),
            examples: Vec::new(),
            came: 0,
            every: rows.div_ceil(PROFILED).max(1),
        }
    }

    /// Takes rows.
    ///
    /// # Errors
    /// When the model cannot answer.
    pub(crate) fn push(&mut self, raw: &RawBatch) -> Result<(), String> {
        // Those of this batch whose turn it is.
        let first = self.came.next_multiple_of(self.every) - self.came;
        self.came += raw.rows();
        let wanted = first < raw.rows() && self.learner.seen() < self.learner.needed();
        if raw.rows() == 0 || (!wanted && !self.examples.is_empty()) {
            return Ok(());
        }
        self.served.ask(raw)?;
        let (inputs, prediction) = (&self.served.inputs, self.served.prediction());
        if let (Some(output), Some(spec)) =
            (self.served.outputs.get(prediction), self.served.signature.outputs.get(prediction))
        {
            let room = self.learner.needed().saturating_sub(self.learner.seen());
            for row in (first..raw.rows()).step_by(self.every).take(room) {
                self.words.clear();
                self.layout.push_row(&mut self.words, inputs, (output, spec), row);
                self.learner.push(&self.words);
            }
        }
        if self.examples.is_empty() {
            for rows in EXAMPLES {
                let rows: Vec<usize> = rows.clone().take_while(|row| *row < raw.rows()).collect();
                if !rows.is_empty() {
                    self.served.ask(&raw.of_rows(&rows))?;
                    self.examples.push(self.example());
                }
            }
        }
        Ok(())
    }

    fn example(&self) -> Value {
        let Served { signature, inputs, outputs, .. } = &self.served;
        let tensors = |specs: &[sidegate::model::TensorSpec], tensors: &[Tensor]| -> Vec<Value> {
            let written = specs.iter().zip(tensors).map(|(spec, tensor)| {
                json!({ "name": spec.name, "datatype": spec.datatype.name(), "shape": tensor.shape.as_slice(), "data": data(&tensor.data) })
            });
            written.collect()
        };
        json!({ "inputs": tensors(&signature.inputs, inputs), "outputs": tensors(&signature.outputs, outputs) })
    }

    /// Writes `golden.json` and, where there are rows enough, `profile.json` into a folder.
    ///
    /// # Errors
    /// When they cannot be written.
    pub(crate) fn finish(self, folder: &Path) -> Result<(Option<PathBuf>, Option<PathBuf>), Failure> {
        let golden = (!self.examples.is_empty())
            .then(|| json!({ "format": 1, "rtol": 1e-5, "atol": 1e-5, "cases": self.examples }).to_string());
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.join(name);
            write_whole(&path, bytes).map(|()| path.clone()).map_err(|error| Failure::file(&path, &error))
        };
        let golden = golden.map(|text| write("golden.json", text.as_bytes())).transpose()?;
        let enough = self.learner.seen() >= LEAST_PROFILED;
        let profile = enough
            .then(|| write("profile.json", &self.learner.finish(&self.layout).to_stored()))
            .transpose()?;
        Ok((golden, profile))
    }
}

/// Values as the protocol writes them; `null` is a number that is missing.
fn data(data: &Data) -> Value {
    match data {
        Data::Bytes(texts) => texts.iter().map(String::from_utf8_lossy).collect(),
        Data::Int64(values) => json!(values),
        Data::Fp32(values) => json!(values),
        data => (0..data.len()).map(|at| json!(data.number(at))).collect(),
    }
}

/// What a raw row looks like, for whoever asks the model: [`SCHEMA`].
pub(crate) fn schema(served: &Served, classes: Option<&[String]>, target: &str) -> Value {
    let ports = |specs: &[sidegate::model::TensorSpec]| -> Vec<Value> {
        let of = |spec: &sidegate::model::TensorSpec| json!({ "name": spec.name, "datatype": spec.datatype.name(), "shape": spec.shape });
        specs.iter().map(of).collect()
    };
    json!({
        "format": 1,
        "target": target,
        "classes": classes,
        "inputs": ports(&served.signature.inputs),
        "outputs": ports(&served.signature.outputs),
    })
}
