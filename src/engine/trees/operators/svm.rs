//! SVMRegressor, and the kernels that SVMClassifier shares with it.

use crate::engine::RunError;
use crate::engine::trees::builder::{Builder, Value, unsupported, wrong};
use crate::engine::trees::element::{buffer, elements};
use crate::engine::trees::plan::{Call, matrix, shaped};
use crate::model::LoadError;
use crate::onnx::Node;
use crate::tensor::Datatype;

/// A kernel and its support vectors.
pub(super) struct Kernel {
    kind: Kind,
    gamma: f32,
    coefficient: f32,
    degree: f32,
    /// Feature by feature, so that the compiler can use vectors over the support vectors.
    vectors: Vec<f32>,
    pub(super) count: usize,
    pub(super) features: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Linear,
    Polynomial,
    Radial,
    Sigmoid,
}

impl Kernel {
    /// Reads `count` support vectors.
    pub(super) fn read(node: &Node, count: usize) -> Result<Self, LoadError> {
        let kind = match node.string("kernel_type")? {
            None | Some(b"LINEAR") => Kind::Linear,
            Some(b"POLY") => Kind::Polynomial,
            Some(b"RBF") => Kind::Radial,
            Some(b"SIGMOID") => Kind::Sigmoid,
            Some(other) => {
                return Err(unsupported(node, &format!("kernel `{}`", String::from_utf8_lossy(other))));
            }
        };
        let (gamma, coefficient, degree) = match *node.floats("kernel_params")?.unwrap_or_default() {
            [] => (0.0, 0.0, 0.0),
            [gamma, coefficient, degree, ..] => (gamma, coefficient, degree),
            _ => return Err(wrong(node, "`kernel_params` needs three numbers")),
        };
        let listed = node.floats("support_vectors")?.unwrap_or_default();
        if count == 0 || listed.is_empty() || listed.len() % count != 0 {
            return Err(wrong(node, &format!("{} numbers for {count} support vectors", listed.len())));
        }
        let features = listed.len() / count;
        let vectors = (0..listed.len()).map(|at| listed[(at % count) * features + at / count]).collect();
        Ok(Self { kind, gamma, coefficient, degree, vectors, count, features })
    }

    /// The kernel of a row with each support vector.
    pub(super) fn run(&self, row: &[f32], out: &mut Vec<f32>) {
        out.clear();
        out.resize(self.count, 0.0);
        for (value, vectors) in row.iter().zip(self.vectors.chunks_exact(self.count)) {
            let sums = out.iter_mut().zip(vectors);
            if self.kind == Kind::Radial {
                sums.for_each(|(sum, vector)| *sum += (value - vector) * (value - vector));
            } else {
                sums.for_each(|(sum, vector)| *sum += value * vector);
            }
        }
        let inner = |sum: f32| self.gamma * sum + self.coefficient;
        match self.kind {
            Kind::Linear => {}
            Kind::Radial => out.iter_mut().for_each(|sum| *sum = (-self.gamma * *sum).exp()),
            Kind::Sigmoid => out.iter_mut().for_each(|sum| *sum = inner(*sum).tanh()),
            Kind::Polynomial if self.degree == 2.0 => {
                out.iter_mut().for_each(|sum| *sum = inner(*sum).powi(2))
            }
            Kind::Polynomial if self.degree == 3.0 => {
                out.iter_mut().for_each(|sum| *sum = inner(*sum).powi(3))
            }
            Kind::Polynomial => out.iter_mut().for_each(|sum| *sum = inner(*sum).powf(self.degree)),
        }
    }

    /// Rows, when they are as wide as the support vectors.
    pub(super) fn rows(&self, shape: &[usize]) -> Result<usize, RunError> {
        let (rows, columns) = matrix(shape)?;
        if columns == self.features {
            return Ok(rows);
        }
        Err(RunError::Input(format!("rows have {columns} columns, not {}", self.features)))
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.vectors)
    }
}

/// The input, which ONNX Runtime turns into float32 whatever it is.
pub(super) fn features<'m>(builder: &mut Builder<'m>, node: &'m Node) -> Result<Value, LoadError> {
    let input = builder.input(node, 0)?;
    if input.datatype == Datatype::Fp32 {
        Ok(input)
    } else {
        Err(unsupported(node, &format!("{} features", input.datatype)))
    }
}

pub(super) fn regressor<'m>(builder: &mut Builder<'m>, node: &'m Node) -> Result<(), LoadError> {
    let input = features(builder, node)?;
    if !matches!(node.string("post_transform")?, None | Some(b"NONE")) {
        return Err(unsupported(node, "a post_transform"));
    }
    let count = node.int("n_supports")?.copied().unwrap_or(0);
    let Some(count) = usize::try_from(count).ok().filter(|count| *count > 0) else {
        return Err(unsupported(node, &format!("{count} support vectors")));
    };
    let kernel = Kernel::read(node, count)?;
    let weights = node.floats("coefficients")?.unwrap_or_default();
    let Some(&[rho, ..]) = node.floats("rho")? else { return Err(wrong(node, "`rho` is missing")) };
    if weights.len() != count {
        return Err(wrong(node, &format!("{} coefficients for {count} support vectors", weights.len())));
    }
    let weights = weights.to_vec();
    let one_class = node.int("one_class")?.is_some_and(|flag| *flag != 0);
    builder.emit(node, &[input], &[Datatype::Fp32], move |call: &mut Call<'_>| {
        let (input, output) = (call.inputs.get(0)?, &mut call.outputs[0]);
        let rows = kernel.rows(&input.shape)?;
        shaped(output, &[rows, 1])?;
        let out = buffer::<f32>(output)?;
        let mut kernels = Vec::new();
        for row in elements::<f32>(input)?.chunks_exact(kernel.features) {
            kernel.run(row, &mut kernels);
            let terms =
                kernels.iter().zip(&weights).map(|(kernel, weight)| f64::from(*kernel) * f64::from(*weight));
            let sum = (f64::from(rho) + terms.sum::<f64>()) as f32;
            out.push(if !one_class {
                sum
            } else if sum > 0.0 {
                1.0
            } else {
                -1.0
            });
        }
        Ok(())
    })
}
