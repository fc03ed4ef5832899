//! Features of raw rows, computed by the graph that the served model begins with: training and serving cannot differ.

#[cfg(test)]
mod tests;

use sidegate::engine::{Engine, LoadOptions, Scratch, Session, trees::Trees};
use sidegate::format::{Format, Model};
use sidegate::tensor::{Data, Datatype, Strings, Tensor};

use crate::features::error::{Error, data, model};
use crate::features::raw::{Field, RawBatch, RawColumn, Whole};
use crate::features::recipe::{Input, Recipe};
use crate::table::Column;

/// Turns raw batches into what the model is asked; one for each thread.
pub(crate) struct Inputs {
    places: Vec<Place>,
    tensors: Vec<Tensor>,
    fields: Vec<Field>,
}

/// Where an input stands in a batch.
struct Place {
    at: usize,
    input: Input,
}

impl Inputs {
    /// For batches whose columns are announced by `fields`; more than the recipe needs may be among them.
    ///
    /// # Errors
    /// [`Error::Data`] when a column of the recipe is missing or holds something else.
    pub(crate) fn new(recipe: &Recipe, fields: Vec<Field>) -> Result<Self, Error> {
        let place = |input: &Input| {
            let at = fields.iter().position(|field| field.name == input.name);
            let at = at.ok_or_else(|| data!("column `{}` is no longer in the data", input.name))?;
            match fields.get(at) {
                Some(Field { kind, .. }) if *kind != input.kind => Err(data!(
                    "column `{}` holds {}, but held {}",
                    input.name,
                    kind.name(),
                    input.kind.name()
                )),
                _ => Ok(Place { at, input: input.clone() }),
            }
        };
        let places: Vec<Place> = recipe.inputs.iter().map(place).collect::<Result<_, _>>()?;
        let empty = |Place { input, .. }: &Place| Tensor::empty(input.kind.datatype(input.nullable));
        Ok(Self { tensors: places.iter().map(empty).collect(), places, fields })
    }

    /// The inputs of a batch, in the order of the recipe's.
    ///
    /// # Errors
    /// [`Error::Data`] for a batch of other columns, and for an integer that is missing where none was when the recipe
    /// was fitted.
    pub(crate) fn of(&mut self, batch: &RawBatch) -> Result<&[Tensor], Error> {
        let rows = batch.check(&self.fields)?;
        for (Place { at, input }, tensor) in self.places.iter().zip(&mut self.tensors) {
            let Some(column) = batch.columns.get(*at) else { continue };
            tensor.shape.clear();
            tensor.shape.extend_from_slice(&[rows, 1]);
            fill(input, column, &mut tensor.data)?;
        }
        Ok(&self.tensors)
    }
}

/// Turns raw batches into features; one for each thread.
pub(crate) struct Features {
    session: Box<dyn Session>,
    scratch: Scratch,
    inputs: Inputs,
    outputs: Vec<Tensor>,
    columns: Vec<Column>,
}

impl Features {
    /// For batches whose columns are announced by `fields`; more than the recipe needs may be among them.
    ///
    /// # Errors
    /// Those of [`Inputs::new`]; [`Error::Model`] when the graph cannot be made.
    pub(crate) fn new(recipe: &Recipe, fields: Vec<Field>) -> Result<Self, Error> {
        let inputs = Inputs::new(recipe, fields)?;
        let parsed = Model::parse(Format::Onnx, recipe.features_file(None)?);
        let session = parsed.and_then(|model| Trees.load(&model, &LoadOptions { workers: 1 }));
        Ok(Self {
            session: session.map_err(|error| model!("the graph of features does not load: {error}"))?,
            scratch: Scratch::new(0),
            inputs,
            outputs: Vec::new(),
            columns: recipe.columns(),
        })
    }

    /// The features, in order.
    pub(crate) fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The features of a batch, row after row; NaN is missing.
    ///
    /// # Errors
    /// Those of [`Inputs::of`], and for batches of more than 2^24 features in all.
    pub(crate) fn of(&mut self, batch: &RawBatch) -> Result<&[f32], Error> {
        let tensors = self.inputs.of(batch)?;
        if tensors.first().is_none_or(|tensor| tensor.rows() == 0) {
            return Ok(&[]);
        }
        let ran = self.session.run(tensors, &mut self.scratch, &mut self.outputs);
        ran.map_err(|error| data!("features cannot be made: {error}"))?;
        match self.outputs.first().map(|output| &output.data) {
            Some(Data::Fp32(values)) => Ok(values),
            _ => Err(model!("the graph of features has no output of {}", Datatype::Fp32)),
        }
    }
}

/// Writes a column as the model's input has it ([`crate::features::raw`]).
fn fill(input: &Input, column: &RawColumn, to: &mut Data) -> Result<(), Error> {
    to.clear();
    match (column, to) {
        (RawColumn::Numbers(values), Data::Fp32(out)) => out.extend_from_slice(values),
        (RawColumn::Texts(texts), Data::Bytes(out)) => copy(texts, out),
        (RawColumn::Integers(whole) | RawColumn::Times(whole), Data::Fp64(out)) => {
            out.extend(whole.iter().map(|value| value.map_or(f64::NAN, |value| value as f64)));
        }
        (RawColumn::Integers(whole) | RawColumn::Times(whole), Data::Int64(out)) => {
            if whole.iter().any(|value| value.is_none()) {
                return Err(data!(
                    "column `{}` lacks a value, but lacked none when its features were fitted; a feature of type \"impute\" allows it",
                    input.name
                ));
            }
            let Whole { values, .. } = whole;
            out.extend_from_slice(values);
        }
        (column, _) => return Err(data!("column `{}` holds {}", input.name, column.kind().name())),
    }
    Ok(())
}

fn copy(from: &Strings, to: &mut Strings) {
    from.iter().for_each(|text| to.push(text));
}
