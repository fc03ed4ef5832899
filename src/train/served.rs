//! A model as gateways serve it: raw columns in by their names, answers out.

mod fill;
#[cfg(test)]
pub(crate) mod tests;

use sidegate::config::EngineChoice;
use sidegate::engine::{self, EngineKind, LoadOptions, Scratch, Session};
use sidegate::format::Model;
use sidegate::model::{Signature, TensorSpec};
use sidegate::tensor::Tensor;

use crate::features::{Field, RawBatch};
use crate::table::Task;
use fill::fill;

/// A loaded model.
pub(crate) struct Served {
    /// What runs it.
    pub(crate) engine: EngineKind,
    /// What it asks and answers.
    pub(crate) signature: Signature,
    /// Names of the columns of its only input, where that is a matrix; else inputs are called as columns are.
    pub(crate) columns: Vec<String>,
    session: Box<dyn Session>,
    scratch: Scratch,
    /// Where the columns of each input stand among the raw ones.
    places: Vec<Vec<usize>>,
    /// The output that predicts.
    prediction: usize,
    /// What it was asked last.
    pub(crate) inputs: Vec<Tensor>,
    /// What it answered.
    pub(crate) outputs: Vec<Tensor>,
}

// === impl Served ===

impl Served {
    /// A model for rows whose columns are announced by `fields`, of which its only input takes `columns`, in this order.
    /// Without names each input takes the column that is called as it is.
    ///
    /// # Errors
    /// When the engine cannot run it, it asks for a column that is not there, or its input takes another number of columns.
    pub(crate) fn of_columns(
        model: &Model,
        choice: EngineChoice,
        fields: &[Field],
        columns: &[String],
    ) -> Result<Self, String> {
        let signature = model.signature().clone();
        let places = places(&signature, fields, columns)?;
        let loaded =
            engine::load(model, choice, &LoadOptions { workers: 1 }).map_err(|error| error.to_string())?;
        Ok(Self {
            engine: loaded.kind,
            session: loaded.session,
            scratch: Scratch::new(0),
            inputs: signature.inputs.iter().map(|spec| Tensor::empty(spec.datatype)).collect(),
            prediction: prediction(&signature),
            signature,
            columns: columns.to_vec(),
            places,
            outputs: Vec::new(),
        })
    }

    /// Lets another output predict.
    ///
    /// # Errors
    /// When it has no such output.
    pub(crate) fn predict_by(&mut self, output: &str) -> Result<(), String> {
        let outputs = &self.signature.outputs;
        self.prediction = outputs.iter().position(|spec| &*spec.name == output).ok_or_else(|| {
            let names: Vec<&str> = outputs.iter().map(|spec| &*spec.name).collect();
            format!("it has no output `{output}`; it has {}", names.join(", "))
        })?;
        Ok(())
    }

    /// Asks it: the answers are in [`Self::outputs`].
    ///
    /// # Errors
    /// When it cannot answer, or a column is of another type than it asks for.
    pub(crate) fn ask(&mut self, raw: &RawBatch) -> Result<(), String> {
        let rows = raw.rows();
        for ((spec, places), tensor) in self.signature.inputs.iter().zip(&self.places).zip(&mut self.inputs) {
            let columns: Vec<_> = places.iter().filter_map(|at| raw.columns.get(*at)).collect();
            if columns.len() != places.len() {
                return Err(format!("`{}` is not there", spec.name));
            }
            fill(&columns, rows, &mut tensor.data).map_err(|(column, what)| {
                let name = self.columns.get(column).map_or(&*spec.name, String::as_str);
                format!("`{name}` {what}")
            })?;
            tensor.shape.clear();
            tensor.shape.push(rows);
            match spec.shape.get(1..) {
                Some([_]) => tensor.shape.push(columns.len()),
                // One value a row, or as many as the model itself declares.
                rest => tensor.shape.extend(
                    rest.unwrap_or_default().iter().map(|extent| usize::try_from(*extent).unwrap_or(1)),
                ),
            }
        }
        let Self { session, inputs, scratch, outputs, .. } = self;
        session.run(inputs, scratch, outputs).map_err(|error| error.to_string())
    }

    /// The place of the output that predicts: what `/predict` answers with.
    pub(crate) const fn prediction(&self) -> usize {
        self.prediction
    }

    /// The place of the output that is measured: the one that predicts, or the probabilities of the classes that it names.
    pub(crate) fn measured(&self) -> usize {
        let outputs = &self.signature.outputs;
        let names = outputs.get(self.prediction).is_some_and(|spec| !spec.datatype.is_float());
        names.then(|| outputs.iter().position(bears)).flatten().unwrap_or(self.prediction)
    }

    /// The latest answers as [`Predictions`](crate::evaluate::Predictions) takes them.
    ///
    /// # Errors
    /// When they are of another form than the task asks for.
    pub(crate) fn scores(&self, task: Task) -> Result<Vec<f64>, String> {
        let output = self.outputs.get(self.measured()).ok_or("it answers nothing")?;
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

/// Where the columns of each input stand among the raw ones.
fn places(signature: &Signature, fields: &[Field], columns: &[String]) -> Result<Vec<Vec<usize>>, String> {
    let find = |name: &str| {
        let place = fields.iter().position(|field| field.name == name);
        place.ok_or_else(|| format!("it asks for `{name}`, which is no column of the data"))
    };
    let alone = |spec: &TensorSpec| match width(spec) {
        Some(width) if width != 1 && fields.iter().all(|field| field.name != *spec.name) => {
            Err(format!("its input `{}` takes {width} columns, and nothing names them", spec.name))
        }
        Some(width) if width != 1 => {
            Err(format!("its input `{}` takes {width} columns, and a column of the data is one", spec.name))
        }
        _ => find(&spec.name).map(|place| vec![place]),
    };
    match signature.inputs.as_slice() {
        [input] if !columns.is_empty() => match width(input) {
            Some(width) if width != columns.len() => {
                let named = columns.len();
                Err(format!("its input `{}` takes {width} columns, and {named} are named", input.name))
            }
            None if input.shape.len() != 2 => Err(format!(
                "its input `{}` has the shape {:?}, which no table of columns fills",
                input.name, input.shape
            )),
            _ => Ok(vec![columns.iter().map(|name| find(name)).collect::<Result<_, _>>()?]),
        },
        inputs => inputs.iter().map(alone).collect(),
    }
}

/// How many values of a row an input takes; none where it leaves that open.
pub(crate) fn width(spec: &TensorSpec) -> Option<usize> {
    let mut extents = spec.shape.iter().skip(1);
    extents.try_fold(1_usize, |all, extent| all.checked_mul(usize::try_from(*extent).ok()?))
}

/// Whether an output holds probabilities of classes.
fn bears(spec: &TensorSpec) -> bool {
    spec.datatype.is_float() && (spec.labels.is_some() || width(spec).is_some_and(|width| width > 1))
}

/// The output that predicts: by the names that exporters give it, else the first that bears probabilities.
fn prediction(signature: &Signature) -> usize {
    let named = |name: &str| signature.outputs.iter().position(|spec| &*spec.name == name);
    named("probabilities")
        .or_else(|| named("prediction"))
        .or_else(|| signature.outputs.iter().position(bears))
        .unwrap_or(0)
}
