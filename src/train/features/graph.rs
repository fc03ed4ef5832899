//! A recipe as a graph: one input for each raw column, or one matrix of them all; one matrix of features at its end.
//!
//! Inputs are of shape [-1, 1] and called as their columns; a matrix is of shape [-1, columns]. Each step is one that every engine computes with equal
//! bits (integers, comparisons, one float32 operation at a time); only the logarithm, which goes through float64, may
//! differ in the last one. What can be done to all features at once is done at the end: missing values of columns are
//! filled in there, then columns are scaled.

mod encode;
mod time;

use std::collections::HashMap;

use sidegate::onnx::write::{self, GraphBuilder, Value};
use sidegate::tensor::{Data, Datatype, Tensor};

use crate::features::error::{Error, model};
use crate::features::raw::Kind;
use crate::features::recipe::{Block, Input, Make, Recipe};

/// Stands for a missing integer inside of the graph: of all integers that float64 holds, one that nobody uses.
const MISSING: i64 = -(1 << 62);

/// ONNX's numbers of element types, for Cast.
const FLOAT: i64 = write::element(Datatype::Fp32);
const DOUBLE: i64 = write::element(Datatype::Fp64);
const INT64: i64 = write::element(Datatype::Int64);

/// A graph on its way, with what was already made.
pub(crate) struct Graph<'r> {
    recipe: &'r Recipe,
    pub(crate) builder: GraphBuilder,
    inputs: HashMap<&'r str, Value>,
    /// All columns side by side, where they come so.
    matrix: Option<Value>,
    /// By what they are and what of.
    made: HashMap<(&'static str, String), Value>,
    /// The block of a feature and its place there.
    features: HashMap<&'r str, (Value, Option<i64>)>,
}

impl Recipe {
    /// The graph of features, to which a model can be appended, and its features: [rows, features], float32. Columns come
    /// each by itself, or all in a float32 matrix of that name.
    ///
    /// # Errors
    /// [`Error::Model`] when two columns have one name, or a block asks for what is not there.
    pub(crate) fn graph(&self, matrix: Option<&str>) -> Result<(GraphBuilder, Value), Error> {
        let mut graph = Graph {
            recipe: self,
            builder: GraphBuilder::default(),
            inputs: HashMap::new(),
            matrix: None,
            made: HashMap::new(),
            features: HashMap::new(),
        };
        if let Some(name) = matrix {
            let width = self.inputs.len() as i64;
            let value = graph.builder.input(name, Datatype::Fp32, &[-1, width]).map_err(named)?;
            graph.matrix = Some(value);
        } else {
            for input in &self.inputs {
                let datatype = input.kind.datatype(input.nullable);
                let value = graph.builder.input(&input.name, datatype, &[-1, 1]).map_err(named)?;
                graph.inputs.insert(&input.name, value);
            }
        }
        if let Some(matrix) = graph.matrix.clone().filter(|_| self.takes_columns_as_they_are()) {
            let all = graph.finish(matrix)?;
            return Ok((graph.builder, all));
        }
        let mut values = Vec::new();
        for block in &self.blocks {
            let value = graph.block(block)?;
            for (feature, at) in block.features.iter().zip(0..) {
                let place = (block.features.len() > 1).then_some(at);
                graph.features.insert(&feature.name, (value.clone(), place));
            }
            values.push(value);
        }
        let concat = vec![write::int("axis", 1)];
        let all = graph.builder.node("Concat", &values.iter().collect::<Vec<_>>(), concat);
        let all = graph.finish(all)?;
        Ok((graph.builder, all))
    }

    /// Whether the features are the columns, in their order.
    fn takes_columns_as_they_are(&self) -> bool {
        let names = self.inputs.iter().map(|input| &input.name);
        let of = |block: &Block| match &block.make {
            Make::Number { of } => Some(of.clone()),
            _ => None,
        };
        names.cloned().map(Some).eq(self.blocks.iter().map(of))
    }

    /// The graph of features as a file of its own, with the output `features`.
    ///
    /// # Errors
    /// As [`Recipe::graph`].
    pub(crate) fn features_file(&self, matrix: Option<&str>) -> Result<Vec<u8>, Error> {
        let (mut builder, features) = self.graph(matrix)?;
        let width = self.features().count() as i64;
        builder.output(&features, "features", Datatype::Fp32, &[-1, width]).map_err(named)?;
        Ok(builder.finish(&[]))
    }
}

/// [`Error::Model`] of a name that is taken.
pub(crate) fn named(error: write::NameTaken) -> Error {
    Error::Model(error.to_string())
}

impl<'r> Graph<'r> {
    fn block(&mut self, block: &'r Block) -> Result<Value, Error> {
        match &block.make {
            Make::Number { of } => {
                let input = self.input(of)?;
                self.number(input)
            }
            Make::Power { of, degree } => self.power(of, *degree),
            Make::Product { of: [a, b] } => {
                let (a, b) = (self.operand(a)?, self.operand(b)?);
                Ok(self.builder.node("Mul", &[&a, &b], vec![]))
            }
            Make::Log1p { of } => self.log1p(of),
            Make::Bin { of, edges } => self.bin(of, edges),
            Make::Time { of, part } => self.time(of, *part),
            Make::Code { of, keys, other, missing } => self.code(of, keys, *other, *missing),
            Make::OneHot { of, keys, missing } => self.one_hot(of, keys, *missing),
            Make::Missing { of } => {
                let input = self.input(of)?;
                self.indicator(input)
            }
        }
    }

    /// Fills in what is missing in columns, and scales; all features stand side by side.
    fn finish(&mut self, mut all: Value) -> Result<Value, Error> {
        let recipe = self.recipe;
        let fill = |block: &Block| match &block.make {
            Make::Number { of } => recipe.input(of).and_then(|input| input.fill),
            _ => None,
        };
        let fills = recipe.blocks.iter().flat_map(|b| b.features.iter().map(move |_| fill(b)));
        let fills: Vec<Option<f32>> = fills.collect();
        if fills.iter().any(Option::is_some) {
            let missing = self.builder.node("IsNaN", &[&all], vec![]);
            let fills = self.row(fills.into_iter().map(|fill| fill.unwrap_or(f32::NAN)).collect());
            all = self.builder.node("Where", &[&missing, &fills, &all], vec![]);
        }
        let scales: Vec<_> = recipe.features().map(|feature| feature.scale).collect();
        if scales.iter().any(Option::is_some) {
            // x - 0 and x / 1 leave every bit as it is.
            let offsets = self.row(scales.iter().map(|s| s.map_or(0.0, |s| s.offset)).collect());
            let divisors = self.row(scales.iter().map(|s| s.map_or(1.0, |s| s.divisor)).collect());
            all = self.builder.node("Sub", &[&all, &offsets], vec![]);
            all = self.builder.node("Div", &[&all, &divisors], vec![]);
        }
        Ok(all)
    }

    /// A constant of shape [1, n].
    fn row(&mut self, values: Vec<f32>) -> Value {
        self.builder.constant(&Tensor::new(&[1, values.len()], Data::Fp32(values)))
    }

    fn input(&self, name: &str) -> Result<&'r Input, Error> {
        self.recipe.input(name).ok_or_else(|| model!("the recipe has no input `{name}`"))
    }

    /// An input as it comes, or as it would come by itself.
    fn raw(&mut self, input: &Input) -> Result<Value, Error> {
        let absent = || model!("the recipe has no input `{}`", input.name);
        let Some(matrix) = self.matrix.clone() else {
            return self.inputs.get(input.name.as_str()).cloned().ok_or_else(absent);
        };
        let place = self.recipe.inputs.iter().position(|known| known.name == input.name);
        let place = place.ok_or_else(absent)?;
        self.once("column", &input.name, |graph| {
            let place = graph.builder.list(Data::Int64(vec![place as i64]));
            let column = graph.builder.node("Gather", &[&matrix, &place], vec![write::int("axis", 1)]);
            Ok(match input.kind.datatype(input.nullable) {
                Datatype::Fp32 => column,
                other => graph.cast(&column, write::element(other)),
            })
        })
    }

    /// What was made before, or what `make` makes now.
    fn once(
        &mut self,
        what: &'static str,
        of: &str,
        make: impl FnOnce(&mut Self) -> Result<Value, Error>,
    ) -> Result<Value, Error> {
        let key = (what, of.to_owned());
        if let Some(value) = self.made.get(&key) {
            return Ok(value.clone());
        }
        let value = make(self)?;
        self.made.insert(key, value.clone());
        Ok(value)
    }

    fn cast(&mut self, value: &Value, to: i64) -> Value {
        self.builder.node("Cast", &[value], vec![write::int("to", to)])
    }

    /// An input as float32, NaN where missing.
    fn number(&mut self, input: &Input) -> Result<Value, Error> {
        let raw = self.raw(input)?;
        match input.kind {
            Kind::Number => Ok(raw),
            Kind::Text => Err(model!("input `{}` is text, not a number", input.name)),
            Kind::Integer | Kind::Time => {
                self.once("number", &input.name, |graph| Ok(graph.cast(&raw, FLOAT)))
            }
        }
    }

    /// Where a number is missing; `None` where it cannot be.
    fn is_missing(&mut self, input: &Input) -> Result<Option<Value>, Error> {
        if input.kind == Kind::Text || input.kind != Kind::Number && !input.nullable {
            return Ok(None);
        }
        let raw = self.raw(input)?;
        self.once("missing", &input.name, |graph| Ok(graph.builder.node("IsNaN", &[&raw], vec![]))).map(Some)
    }

    /// A number that something is computed of: an input, filled in, or a feature.
    fn operand(&mut self, name: &str) -> Result<Value, Error> {
        let Some(input) = self.recipe.input(name) else { return self.feature(name) };
        let number = self.number(input)?;
        let (Some(fill), Some(missing)) = (input.fill, self.is_missing(input)?) else { return Ok(number) };
        self.once("filled", name, |graph| {
            let fill = graph.builder.scalar(Data::Fp32(vec![fill]));
            Ok(graph.builder.node("Where", &[&missing, &fill, &number], vec![]))
        })
    }

    fn feature(&mut self, name: &str) -> Result<Value, Error> {
        let made = self.features.get(name).cloned();
        let (value, place) =
            made.ok_or_else(|| model!("the recipe has neither input nor feature `{name}`"))?;
        let Some(place) = place else { return Ok(value) };
        self.once("feature", name, |graph| {
            let place = graph.builder.list(Data::Int64(vec![place]));
            Ok(graph.builder.node("Gather", &[&value, &place], vec![write::int("axis", 1)]))
        })
    }

    fn power(&mut self, of: &str, degree: u32) -> Result<Value, Error> {
        let number = self.operand(of)?;
        let mut power = number.clone();
        for degree in 2..=degree {
            power = self.once("power", &format!("{degree} {of}"), |graph| {
                Ok(graph.builder.node("Mul", &[&power, &number], vec![]))
            })?;
        }
        Ok(power)
    }

    fn log1p(&mut self, of: &str) -> Result<Value, Error> {
        let number = self.operand(of)?;
        let [one, least, nan] = [Data::Fp64(vec![1.0]), Data::Fp32(vec![-1.0]), Data::Fp32(vec![f32::NAN])]
            .map(|data| self.builder.scalar(data));
        let wide = self.cast(&number, DOUBLE);
        let sum = self.builder.node("Add", &[&wide, &one], vec![]);
        let log = self.builder.node("Log", &[&sum], vec![]);
        let log = self.cast(&log, FLOAT);
        let defined = self.builder.node("Greater", &[&number, &least], vec![]);
        Ok(self.builder.node("Where", &[&defined, &log, &nan], vec![]))
    }

    fn bin(&mut self, of: &str, edges: &[f32]) -> Result<Value, Error> {
        let number = self.operand(of)?;
        let edges = self.row(edges.to_vec());
        let reached = self.builder.node("GreaterOrEqual", &[&number, &edges], vec![]);
        let reached = self.cast(&reached, FLOAT);
        let axes = self.builder.list(Data::Int64(vec![1]));
        let count = self.builder.node("ReduceSum", &[&reached, &axes], vec![write::int("keepdims", 1)]);
        let missing = self.builder.node("IsNaN", &[&number], vec![]);
        let nan = self.builder.scalar(Data::Fp32(vec![f32::NAN]));
        Ok(self.builder.node("Where", &[&missing, &nan, &count], vec![]))
    }

    fn indicator(&mut self, input: &Input) -> Result<Value, Error> {
        if input.kind == Kind::Text {
            let raw = self.raw(input)?;
            let attributes = vec![
                write::texts("keys_strings", &[""]),
                write::floats("values_floats", &[1.0]),
                write::float("default_float", 0.0),
            ];
            return Ok(self.builder.node("ml.LabelEncoder", &[&raw], attributes));
        }
        let missing = self.is_missing(input)?;
        let missing = missing.ok_or_else(|| model!("input `{}` cannot be missing", input.name))?;
        Ok(self.cast(&missing, FLOAT))
    }
}
