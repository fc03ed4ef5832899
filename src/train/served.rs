//! A model as gateways serve it: raw columns in by their names, answers out.

use sidegate::config::EngineChoice;
use sidegate::engine::{self, EngineKind, LoadOptions, Scratch, Session};
use sidegate::format::Model;
use sidegate::model::{Signature, TensorSpec};
use sidegate::tensor::{Data, Tensor};

use crate::features::{Field, RawBatch, RawColumn};
use crate::table::Task;

/// A loaded model.
pub(crate) struct Served {
    /// What runs it.
    pub(crate) engine: EngineKind,
    /// What it asks and answers.
    pub(crate) signature: Signature,
    session: Box<dyn Session>,
    scratch: Scratch,
    /// Where its inputs stand among the raw columns.
    places: Vec<usize>,
    /// What it was asked last.
    pub(crate) inputs: Vec<Tensor>,
    /// What it answered.
    pub(crate) outputs: Vec<Tensor>,
}

// === impl Served ===

impl Served {
    /// A model for rows whose columns are announced by `fields`.
    ///
    /// # Errors
    /// When the engine cannot run it, or it asks for a column that is not there.
    pub(crate) fn load(model: &Model, choice: EngineChoice, fields: &[Field]) -> Result<Self, String> {
        let signature = model.signature().clone();
        let place = |spec: &TensorSpec| {
            let place = fields.iter().position(|field| field.name == *spec.name);
            place.ok_or_else(|| format!("it asks for `{}`, which is no column of the data", spec.name))
        };
        let places = signature.inputs.iter().map(place).collect::<Result<Vec<_>, _>>()?;
        let loaded =
            engine::load(model, choice, &LoadOptions { workers: 1 }).map_err(|error| error.to_string())?;
        Ok(Self {
            engine: loaded.kind,
            session: loaded.session,
            scratch: Scratch::new(0),
            inputs: signature.inputs.iter().map(|spec| Tensor::empty(spec.datatype)).collect(),
            signature,
            places,
            outputs: Vec::new(),
        })
    }

    /// Asks it: the answers are in [`Self::outputs`].
    ///
    /// # Errors
    /// When it cannot answer, or a column is of another type than it asks for.
    pub(crate) fn ask(&mut self, raw: &RawBatch) -> Result<(), String> {
        let rows = raw.rows();
        for ((spec, at), tensor) in self.signature.inputs.iter().zip(&self.places).zip(&mut self.inputs) {
            let column = raw.columns.get(*at).ok_or_else(|| format!("`{}` is not there", spec.name))?;
            tensor.shape.clear();
            tensor.shape.push(rows);
            tensor.shape.extend(spec.shape.iter().skip(1).map(|_| 1));
            fill(column, &mut tensor.data).map_err(|what| format!("`{}` {what}", spec.name))?;
        }
        let Self { session, inputs, scratch, outputs, .. } = self;
        session.run(inputs, scratch, outputs).map_err(|error| error.to_string())
    }

    /// The place of the output that predicts: what `/predict` answers with.
    pub(crate) fn prediction(&self) -> usize {
        let named = |name: &str| self.signature.outputs.iter().position(|spec| &*spec.name == name);
        named("probabilities").or_else(|| named("prediction")).unwrap_or(0)
    }

    /// The latest answers as [`Predictions`](crate::evaluate::Predictions) takes them.
    ///
    /// # Errors
    /// When they are of another form than the task asks for.
    pub(crate) fn scores(&self, task: Task) -> Result<Vec<f64>, String> {
        let output = self.outputs.get(self.prediction()).ok_or("it answers nothing")?;
        let (rows, count) = (output.rows(), output.data.len());
        let width = count.checked_div(rows).unwrap_or(0);
        let number = |at: usize| output.data.number(at).unwrap_or(f64::NAN);
        match task {
            Task::Regression | Task::Binary if width == 1 => Ok((0..count).map(number).collect()),
            Task::Binary if width == 2 => Ok((0..rows).map(|row| number(2 * row + 1)).collect()),
            Task::Multiclass { classes } if width == classes as usize => Ok((0..count).map(number).collect()),
            _ => Err(format!("it answers {width} numbers a row")),
        }
    }
}

/// Writes a column as an input has it.
fn fill(column: &RawColumn, to: &mut Data) -> Result<(), &'static str> {
    to.clear();
    match (column, to) {
        (RawColumn::Numbers(values), Data::Fp32(out)) => out.extend_from_slice(values),
        (RawColumn::Numbers(values), Data::Fp64(out)) => {
            out.extend(values.iter().map(|value| f64::from(*value)))
        }
        (RawColumn::Texts(texts), Data::Bytes(out)) => texts.iter().for_each(|text| out.push(text)),
        (RawColumn::Integers(whole) | RawColumn::Times(whole), Data::Fp64(out)) => {
            out.extend(whole.iter().map(|value| value.map_or(f64::NAN, |value| value as f64)));
        }
        (RawColumn::Integers(whole) | RawColumn::Times(whole), Data::Fp32(out)) => {
            out.extend(whole.iter().map(|value| value.map_or(f32::NAN, |value| value as f32)));
        }
        (RawColumn::Integers(whole) | RawColumn::Times(whole), Data::Int64(out)) => {
            for value in whole.iter() {
                out.push(value.ok_or("lacks a value, which it cannot")?);
            }
        }
        _ => return Err("is of another type than it asks for"),
    }
    Ok(())
}
