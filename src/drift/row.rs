//! A row as words: its features and what was predicted of it.

use std::fmt::Write;

use super::feature::{Kind, Layout, category, number};
use crate::model::TensorSpec;
use crate::tensor::{Data, Tensor};

impl Layout {
    /// Adds the words of a row; fewer than [`Layout::words`] where an input has fewer columns than it declares.
    #[inline]
    pub fn push_row(&self, to: &mut Vec<u32>, inputs: &[Tensor], output: (&Tensor, &TensorSpec), row: usize) {
        for (input, width) in inputs.iter().zip(&self.widths) {
            push_columns(to, input, row, *width);
        }
        let kind = self.features.last().map_or(Kind::Number, |feature| feature.kind);
        to.push(predicted(output.0, output.1, row, kind));
    }
}

/// The watched columns of a row.
fn push_columns(to: &mut Vec<u32>, input: &Tensor, row: usize, width: usize) {
    let columns = input.data.len().checked_div(input.rows()).unwrap_or(0);
    let first = row * columns;
    if columns < width {
        return;
    }
    match &input.data {
        Data::Fp32(values) => {
            to.extend(values.iter().skip(first).take(width).map(|value| number(*value)));
        }
        Data::Bytes(texts) => {
            to.extend((first..first + width).map(|at| category(texts.get(at).unwrap_or_default())));
        }
        data => {
            to.extend((first..first + width).map(|at| number(data.number(at).unwrap_or(f64::NAN) as f32)));
        }
    }
}

/// What a row predicts: a number, the probability of 1, or a label.
fn predicted(output: &Tensor, spec: &TensorSpec, row: usize, kind: Kind) -> u32 {
    let width = output.data.len().checked_div(output.rows()).unwrap_or(0);
    if let Data::Bytes(texts) = &output.data {
        return category(texts.get(row * width).unwrap_or_default());
    }
    let at = |column: usize| output.data.number(row * width + column).unwrap_or(f64::NAN);
    match (kind, width) {
        (_, 0) => number(f32::NAN),
        (Kind::Number, 2) => number(at(1) as f32),
        (Kind::Number, _) => number(at(0) as f32),
        (Kind::Category, 1) if at(0).is_nan() => 0,
        (Kind::Category, 1) => numbered(at(0)),
        (Kind::Category, _) if (0..width).any(|column| at(column).is_nan()) => 0,
        (Kind::Category, _) => {
            let best = (0..width).max_by(|a, b| at(*a).total_cmp(&at(*b))).unwrap_or(0);
            match spec.labels.as_ref().and_then(|labels| labels.get(best)) {
                Some(name) => label(name),
                None => numbered(best as f64),
            }
        }
    }
}

fn label(text: &str) -> u32 {
    category(text.as_bytes())
}

/// A label that is a number, as it is written.
fn numbered(number: f64) -> u32 {
    let mut written = Written::default();
    // What is longer is told apart by its beginning.
    let _ = write!(written, "{number}");
    category(&written.text[..written.end])
}

/// The beginning of a text, without an allocation.
#[derive(Default)]
struct Written {
    text: [u8; 32],
    end: usize,
}

impl Write for Written {
    fn write_str(&mut self, more: &str) -> std::fmt::Result {
        let room = &mut self.text[self.end..];
        let taken = more.len().min(room.len());
        room[..taken].copy_from_slice(&more.as_bytes()[..taken]);
        self.end += taken;
        if taken == more.len() { Ok(()) } else { Err(std::fmt::Error) }
    }
}
