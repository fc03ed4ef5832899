//! Symmetric systems of equations.

/// A symmetric matrix, of which the lower half is kept, line after line.
pub(super) struct Matrix {
    size: usize,
    lower: Vec<f64>,
}

impl Matrix {
    pub(super) fn new(size: usize) -> Self {
        Self { size, lower: vec![0.0; size * (size + 1) / 2] }
    }

    /// The line up to the diagonal.
    pub(super) fn line_mut(&mut self, line: usize) -> &mut [f64] {
        &mut self.lower[line * (line + 1) / 2..][..=line]
    }

    /// All lines.
    pub(super) fn lines_mut(&mut self) -> Vec<&mut [f64]> {
        let (mut rest, mut lines) = (self.lower.as_mut_slice(), Vec::with_capacity(self.size));
        for line in 0..self.size {
            let (own, others) = rest.split_at_mut(line + 1);
            lines.push(own);
            rest = others;
        }
        lines
    }

    /// Sets what stands in a line at a column of its own or before.
    pub(super) fn set(&mut self, line: usize, column: usize, value: f64) {
        self.line_mut(line)[column] = value;
    }

    /// Adds to the diagonal.
    pub(super) fn add(&mut self, at: usize, value: f64) {
        self.line_mut(at)[at] += value;
    }

    /// Solves for a right side by Cholesky's factors; nothing for a matrix that is not positive definite.
    pub(super) fn solve(mut self, right: &[f64]) -> Option<Vec<f64>> {
        let start = |line: usize| line * (line + 1) / 2;
        for line in 0..self.size {
            let (above, own) = self.lower.split_at_mut(start(line));
            let own = &mut own[..=line];
            let scale = own[line];
            for column in 0..line {
                let other = &above[start(column)..][..=column];
                let product: f64 = own.iter().zip(&other[..column]).map(|(a, b)| a * b).sum();
                own[column] = (own[column] - product) / other[column];
            }
            let rest = scale - own[..line].iter().map(|value| value * value).sum::<f64>();
            // What is left of a dependent line is rounding.
            if rest.is_nan() || rest <= scale.abs() * 1e-13 {
                return None;
            }
            own[line] = rest.sqrt();
        }
        let mut solution = right.to_vec();
        for line in 0..self.size {
            let own = &self.lower[start(line)..][..=line];
            let product: f64 = own.iter().zip(&solution[..line]).map(|(a, b)| a * b).sum();
            solution[line] = (solution[line] - product) / own[line];
        }
        for line in (0..self.size).rev() {
            let own = &self.lower[start(line)..][..=line];
            solution[line] /= own[line];
            let value = solution[line];
            solution[..line].iter_mut().zip(own).for_each(|(sum, factor)| *sum -= factor * value);
        }
        Some(solution)
    }
}
