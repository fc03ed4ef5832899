//! Which columns of a request are features, and how a value becomes one word.

use crate::model::{Signature, TensorSpec};
use crate::stats::assign;
use crate::tensor::Datatype;

/// Most features of a model that are watched; what lies beyond is not, and is told.
pub const MAX_FEATURES: usize = 10_000;

/// A column of a model's inputs, or what it predicts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feature {
    /// Its name: that of its column, or of its tensor with its position where that has several.
    pub name: String,
    /// What its values are.
    pub kind: Kind,
}

/// What values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Numbers, compared by size. Words are the bits of an `f32`.
    Number,
    /// Labels or texts, equal or not. Words are hashes of them, 0 is none.
    Category,
}

/// The features of a version, in the order in which their words come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Input by input, column by column; the last one is the prediction.
    pub features: Vec<Feature>,
    /// Input by input, how many columns are watched; 0 for none.
    pub widths: Vec<usize>,
    /// Columns that are not watched: of inputs whose width is not declared, and beyond [`MAX_FEATURES`].
    pub left_out: usize,
}

// === impl Layout ===

impl Layout {
    /// The features of a signature. `columns` names those of a single tensor; `prediction` is the output that predicts.
    pub fn of(signature: &Signature, columns: &[String], prediction: usize) -> Self {
        let mut layout = Self { features: Vec::new(), widths: Vec::new(), left_out: 0 };
        let single = signature.inputs.len() == 1;
        for spec in &signature.inputs {
            let declared = width(spec);
            let room = MAX_FEATURES - layout.features.len();
            let watched = declared.unwrap_or(0).min(room);
            layout.left_out += declared.map_or(1, |declared| declared - watched);
            layout.widths.push(watched);
            let kind = if spec.datatype == Datatype::Bytes { Kind::Category } else { Kind::Number };
            layout.features.extend((0..watched).map(|column| {
                let named = columns.get(column).filter(|_| single).cloned();
                let name = named.unwrap_or_else(|| match declared {
                    Some(1) => spec.name.to_string(),
                    _ => format!("{}[{column}]", spec.name),
                });
                Feature { name, kind }
            }));
        }
        let kind = signature.outputs.get(prediction).map_or(Kind::Number, predicts);
        layout.features.push(Feature { name: "prediction".into(), kind });
        layout
    }

    /// Words of a row: its features and its prediction.
    pub const fn words(&self) -> usize {
        self.features.len()
    }
}

/// Columns of an input, where it declares them.
fn width(spec: &TensorSpec) -> Option<usize> {
    let columns = spec.shape.iter().skip(1);
    columns
        .map(|extent| usize::try_from(*extent).ok())
        .try_fold(1_usize, |all, extent| all.checked_mul(extent?))
}

/// What an output predicts with: texts, whole numbers and the largest of several scores are labels; one number is a
/// number, and of two scores the second is a probability.
fn predicts(spec: &TensorSpec) -> Kind {
    match (spec.datatype.is_float(), width(spec)) {
        (true, Some(0..=2) | None) => Kind::Number,
        _ => Kind::Category,
    }
}

/// The word of a number. Both zeros are one.
#[inline]
pub fn number(value: f32) -> u32 {
    (value + 0.0).to_bits()
}

/// The word of a label or a text; an empty one is missing.
#[inline]
pub fn category(text: &[u8]) -> u32 {
    if text.is_empty() { 0 } else { (assign::bytes(text) as u32).max(1) }
}
