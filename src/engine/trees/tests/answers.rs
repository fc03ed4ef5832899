//! How an answer is judged: by ONNX Runtime's, and where float32 sums differ by their order, by exact ones.

use std::ops::Range;

use super::cases;
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

    /// Compares outputs that were computed for some of the rows.
    pub(super) fn compare(&self, outputs: &[Tensor], rows: Range<usize>) -> Found {
        let mut out = Found::default();
        for (index, found) in outputs.iter().enumerate() {
            let expected = &self.expected[index];
            let all = expected.shape.first().copied();
            let whole = rows.start == 0;
            // Some converters turn a matrix on its side, or into one row.
            if !whole && all != Some(rows.end) {
                continue;
            }
            let mut shape = expected.shape.clone();
            if !whole {
                shape[0] = rows.len();
            }
            if found.shape != shape || found.datatype() != expected.datatype() {
                let (kind, wanted) = (found.datatype(), expected.datatype());
                out.wrong.push(format!("output {index} is {kind} {:?}, not {wanted} {shape:?}", found.shape));
                continue;
            }
            let width = expected.data.len() / all.unwrap_or(1).max(1);
            let start = if whole { 0 } else { rows.start * width };
            match (numbers(&found.data), numbers(&expected.data)) {
                (Some(a), Some(b)) => self.numbers(index, &a, &b[start..], start, width, &mut out),
                _ => self.labels(index, found, start, &mut out),
            }
        }
        out
    }

    fn numbers(&self, index: usize, a: &[f64], b: &[f64], start: usize, width: usize, out: &mut Found) {
        let exact = self.exact.as_ref().map(|(exact, scale)| (numbers(&exact[index].data).unwrap(), scale));
        for (at, (a, b)) in a.iter().zip(b).enumerate() {
            let difference = (a - b).abs() / b.abs().max(1.0);
            if a == b || a.is_nan() && b.is_nan() {
                continue;
            }
            if difference <= self.tolerance {
                out.largest = out.largest.max(difference);
                continue;
            }
            let at = start + at;
            let sound = exact.as_ref().is_some_and(|(exact, scale)| {
                let exact = exact[at];
                let bound = self.tolerance * exact.abs().max(scale.get(at / width).copied().unwrap_or(1.0));
                (a - exact).abs() <= bound && (b - exact).abs() <= bound
            });
            if sound {
                out.judged += 1;
            } else {
                let exact = exact.as_ref().map(|(exact, scale)| (exact[at], scale.get(at / width)));
                out.wrong.push(format!(
                    "output {index}, row {}: {a}, not {b}; exact and scale are {exact:?}",
                    at / width.max(1)
                ));
                return;
            }
        }
    }

    /// Labels must be equal where the two best scores are not.
    fn labels(&self, index: usize, found: &Tensor, start: usize, out: &mut Found) {
        let expected = &self.expected[index];
        for at in 0..found.data.len() {
            let (a, b) = (element(&found.data, at), element(&expected.data, start + at));
            if a == b {
                continue;
            }
            let row = (start + at) / (expected.data.len() / expected.rows().max(1)).max(1);
            let scores = |tensors: &[Tensor]| {
                let scores = tensors.iter().find(|tensor| {
                    numbers(&tensor.data).is_some() && tensor.shape.first() == expected.shape.first()
                })?;
                let width = scores.data.len() / scores.rows().max(1);
                let mut row = numbers(&scores.data)?[row * width..][..width].to_vec();
                row.sort_by(|a, b| b.total_cmp(a));
                Some(row.first()? - row.get(1).copied().unwrap_or(0.0))
            };
            let close = scores(&self.expected).is_some_and(|margin| margin.abs() <= self.tolerance);
            let exact = self.exact.as_ref().is_some_and(|(exact, scale)| {
                scores(exact).is_some_and(|margin| margin.abs() <= self.tolerance * scale[row])
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

fn numbers(data: &Data) -> Option<Vec<f64>> {
    Some(match data {
        Data::Fp32(values) => values.iter().map(|x| f64::from(*x)).collect(),
        Data::Fp64(values) => values.clone(),
        _ => return None,
    })
}
