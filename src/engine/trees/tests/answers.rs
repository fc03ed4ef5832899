//! How an answer is judged: by ONNX Runtime's, and where float32 sums differ by their order, by exact ones.

use super::{cases, numbers};
use crate::onnx::Model;
use crate::tensor::{Data, Tensor};

/// What ONNX Runtime answered, and what it would have answered if its sums were exact.
pub(super) struct Answers {
    expected: Vec<Tensor>,
    /// As `expected`; for each row, the largest sum of absolute terms behind it.
    exact: Option<(Vec<Tensor>, Vec<f64>)>,
    tolerance: f64,
}

/// What a comparison found.
#[derive(Default)]
pub(super) struct Found {
    pub(super) judged: usize,
    /// Of those within tolerance.
    pub(super) largest: f64,
    pub(super) wrong: Vec<String>,
}

impl Answers {
    pub(super) fn read(model: &Model, kept: &Model, tolerance: f64) -> Self {
        let outputs = &model.signature.outputs;
        let scale = kept.graph.initializers.get("scale");
        let exact = scale.map(|scale| {
            let scale = numbers(&scale.tensor(&kept.bytes).unwrap().data).unwrap();
            (cases(kept, "exact", outputs), scale)
        });
        Self { expected: cases(kept, "out", outputs), exact, tolerance }
    }

    /// Compares all outputs of all rows.
    pub(super) fn compare(&self, outputs: &[Tensor]) -> Found {
        let mut out = Found::default();
        for (index, (found, expected)) in outputs.iter().zip(&self.expected).enumerate() {
            if found.shape != expected.shape || found.datatype() != expected.datatype() {
                let (kind, wanted) = (found.datatype(), expected.datatype());
                out.wrong.push(format!(
                    "output {index} is {kind} {:?}, not {wanted} {:?}",
                    found.shape, expected.shape
                ));
                continue;
            }
            let width = (expected.data.len() / expected.rows().max(1)).max(1);
            match (numbers(&found.data), numbers(&expected.data)) {
                (Some(a), Some(b)) => self.numbers(index, &a, &b, width, &mut out),
                _ => self.labels(index, found, width, &mut out),
            }
        }
        out
    }

    fn numbers(&self, index: usize, a: &[f64], b: &[f64], width: usize, out: &mut Found) {
        let exact = self.exact.as_ref().map(|(exact, scale)| (numbers(&exact[index].data).unwrap(), scale));
        for (at, (a, b)) in a.iter().zip(b).enumerate() {
            if a == b || a.is_nan() && b.is_nan() {
                continue;
            }
            let difference = (a - b).abs() / b.abs().max(1.0);
            if difference <= self.tolerance {
                out.largest = out.largest.max(difference);
                continue;
            }
            let exact = exact
                .as_ref()
                .map(|(exact, scale)| (exact[at], scale.get(at / width).copied().unwrap_or(1.0)));
            let sound = exact.is_some_and(|(exact, scale)| {
                let bound = self.tolerance * exact.abs().max(scale);
                (a - exact).abs() <= bound && (b - exact).abs() <= bound
            });
            if sound {
                out.judged += 1;
            } else {
                let row = at / width;
                out.wrong
                    .push(format!("output {index}, row {row}: {a}, not {b}; exact and scale are {exact:?}"));
                return;
            }
        }
    }

    /// Labels must be equal where the two best scores are not.
    fn labels(&self, index: usize, found: &Tensor, width: usize, out: &mut Found) {
        let expected = &self.expected[index];
        for at in 0..found.data.len() {
            let (a, b) = (element(&found.data, at), element(&expected.data, at));
            if a == b {
                continue;
            }
            let row = at / width;
            let close = margin(&self.expected, row, expected.rows()).is_some_and(|m| m <= self.tolerance);
            let exact = self.exact.as_ref().is_some_and(|(exact, scale)| {
                let margin = margin(exact, row, expected.rows());
                margin.is_some_and(|margin| margin <= self.tolerance * scale.get(row).copied().unwrap_or(1.0))
            });
            if close || exact {
                out.judged += 1;
            } else {
                out.wrong.push(format!("output {index}, row {row}: label {a}, not {b}"));
                return;
            }
        }
    }
}

fn element(data: &Data, at: usize) -> String {
    match data {
        Data::Bytes(values) => String::from_utf8_lossy(values.get(at).unwrap()).into_owned(),
        Data::Int64(values) => values[at].to_string(),
        Data::Int32(values) => values[at].to_string(),
        Data::Bool(values) => values[at].to_string(),
        other => format!("{other:?}"),
    }
}

/// By how much the best score of a row is ahead; a single one decides by its sign.
fn margin(tensors: &[Tensor], row: usize, rows: usize) -> Option<f64> {
    let scores = tensors.iter().find(|tensor| numbers(&tensor.data).is_some() && tensor.rows() == rows)?;
    let width = scores.data.len() / rows.max(1);
    let mut row = numbers(&scores.data)?[row * width..][..width].to_vec();
    row.sort_by(|a, b| b.total_cmp(a));
    Some((row.first()? - row.get(1).copied().unwrap_or(0.0)).abs())
}
