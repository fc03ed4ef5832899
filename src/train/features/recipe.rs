//! What was fitted: everything that the graph of features is made of.

use serde::{Deserialize, Serialize};

use crate::features::raw::Kind;
use crate::features::spec::TimePart;
use crate::table::Column;

/// The form that is stored; a changed one gets a new number.
pub(crate) const FORMAT: u32 = 1;

/// How features are made of raw columns, with all that was learnt from the data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Recipe {
    /// [`FORMAT`].
    pub format: u32,
    /// The raw columns that are needed, in the order of the data.
    pub inputs: Vec<Input>,
    /// What is made of them, in the order of the features.
    pub blocks: Vec<Block>,
}

impl Recipe {
    /// Whether every engine makes the same features, bit by bit: all but logarithms are exact or rounded correctly.
    pub(crate) fn is_exact(&self) -> bool {
        !self.blocks.iter().any(|block| matches!(block.make, Make::Log1p { .. }))
    }
}

/// A raw column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Input {
    /// Its name in the data, which is that of the model's input.
    pub name: String,
    /// What it holds.
    pub kind: Kind,
    /// Whether whole numbers may be missing: then the input is FP64 ([`crate::features::raw`]).
    #[serde(default)]
    pub nullable: bool,
    /// What a missing number is filled with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fill: Option<f32>,
}

/// Some features that are made together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Block {
    /// One, or one for each category.
    pub features: Vec<Feature>,
    /// How.
    pub make: Make,
}

/// A feature.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Feature {
    /// Unique among the features.
    pub name: String,
    /// How many categories it has; none for numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub categories: Option<u32>,
    /// What is done to it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<Scale>,
}

/// (x − offset) / divisor, in float32.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scale {
    /// A mean, or a least value.
    pub offset: f32,
    /// A deviation, or a span; never zero.
    pub divisor: f32,
}

/// How features are made. `of` names an input, or for what takes numbers a feature made before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Make {
    /// The column itself, as float32: exact to 2^24, times to two minutes.
    Number { of: String },
    /// x to the power of `degree`, multiplied out: ((x · x) · x) …
    Power { of: String, degree: u32 },
    /// a · b
    Product { of: [String; 2] },
    /// ln(1 + x), computed in float64; NaN from -1 down.
    Log1p { of: String },
    /// How many of the ascending edges are not above x.
    Bin { of: String, edges: Vec<f32> },
    /// A part of a time.
    Time { of: String, part: TimePart },
    /// The place of the value among the keys.
    Code {
        of: String,
        keys: Keys,
        /// What becomes of a value that is no key; NaN without.
        other: Option<f32>,
        /// The place that a missing value takes; NaN without.
        missing: Option<usize>,
    },
    /// 1 for the feature of the value, 0 for the others.
    OneHot {
        of: String,
        keys: Keys,
        /// The place that a missing value takes; without, all are 0.
        missing: Option<usize>,
    },
    /// 1 where the value is missing, else 0.
    Missing { of: String },
}

/// Known categories, ascending or in the order that was asked for; none twice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Keys {
    Texts(Vec<String>),
    Integers(Vec<i64>),
    Numbers(Vec<f32>),
}

impl Recipe {
    /// The features, in order.
    pub(crate) fn features(&self) -> impl Iterator<Item = &Feature> {
        self.blocks.iter().flat_map(|block| &block.features)
    }

    /// The same as learners see them.
    pub(crate) fn columns(&self) -> Vec<Column> {
        let column = |feature: &Feature| Column {
            name: feature.name.clone(),
            categories: feature.categories,
            monotone: 0,
        };
        self.features().map(column).collect()
    }

    /// The input of that name.
    pub(crate) fn input(&self, name: &str) -> Option<&Input> {
        self.inputs.iter().find(|input| input.name == name)
    }
}

impl Make {
    /// What it is made of.
    pub(crate) fn of(&self) -> &[String] {
        match self {
            Self::Product { of } => of,
            Self::Number { of }
            | Self::Power { of, .. }
            | Self::Log1p { of }
            | Self::Bin { of, .. }
            | Self::Time { of, .. }
            | Self::Code { of, .. }
            | Self::OneHot { of, .. }
            | Self::Missing { of } => std::slice::from_ref(of),
        }
    }
}

impl Keys {
    /// How many.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Texts(keys) => keys.len(),
            Self::Integers(keys) => keys.len(),
            Self::Numbers(keys) => keys.len(),
        }
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Each as it stands in a feature's name.
    pub(crate) fn names(&self) -> Vec<String> {
        match self {
            Self::Texts(keys) => keys.clone(),
            Self::Integers(keys) => keys.iter().map(i64::to_string).collect(),
            Self::Numbers(keys) => keys.iter().map(f32::to_string).collect(),
        }
    }
}
