//! The law of the one-sample D by powers of a matrix (Durbin; Marsaglia, Tsang and Wang, "Evaluating Kolmogorov's
//! distribution", 2003).

/// Kept in range by powers of ten that are counted apart.
const LARGE: f64 = 1e140;

/// A square matrix times 10^(140 · `scale`).
struct Matrix {
    size: usize,
    cells: Vec<f64>,
    scale: i32,
}

/// P(D_n < d) for 1 < n·d < n, exact but for rounding; the work grows with (n·d)³ ln n.
pub(super) fn cdf(d: f64, n: u64) -> f64 {
    let t = d * n as f64;
    let k = t as usize + 1;
    let power = power(transitions(k, k as f64 - t), n);
    let mut value = power.cells[(k - 1) * power.size + k - 1];
    let mut scale = power.scale;
    for i in 1..=n {
        value *= i as f64 / n as f64;
        if value < 1.0 / LARGE {
            value *= LARGE;
            scale -= 1;
        }
    }
    value * LARGE.powi(scale)
}

/// The matrix H of the paper, for h = k − n·d.
fn transitions(k: usize, h: f64) -> Matrix {
    let size = 2 * k - 1;
    let mut cells = vec![0.0; size * size];
    for i in 0..size {
        for j in 0..=(i + 1).min(size - 1) {
            cells[i * size + j] = 1.0;
        }
    }
    for i in 0..size {
        cells[i * size] -= h.powi(i as i32 + 1);
        cells[(size - 1) * size + i] -= h.powi((size - i) as i32);
    }
    cells[(size - 1) * size] += (2.0 * h - 1.0).max(0.0).powi(size as i32);
    for i in 0..size {
        for j in 0..=i {
            let factorial: f64 = (1..=i - j + 1).map(|g| g as f64).product();
            cells[i * size + j] /= factorial;
        }
    }
    Matrix { size, cells, scale: 0 }
}

/// By squaring.
fn power(mut square: Matrix, mut n: u64) -> Matrix {
    let mut result: Option<Matrix> = None;
    loop {
        if n & 1 == 1 {
            result = Some(match result {
                Some(result) => result.times(&square),
                None => Matrix { size: square.size, cells: square.cells.clone(), scale: square.scale },
            });
        }
        n >>= 1;
        match result {
            Some(result) if n == 0 => return result,
            _ => square = square.times(&square),
        }
    }
}

impl Matrix {
    fn times(&self, other: &Self) -> Self {
        let size = self.size;
        let mut cells = vec![0.0; size * size];
        for (row, out) in self.cells.chunks_exact(size).zip(cells.chunks_exact_mut(size)) {
            for (value, line) in row.iter().zip(other.cells.chunks_exact(size)) {
                out.iter_mut().zip(line).for_each(|(out, cell)| *out += value * cell);
            }
        }
        let mut scale = self.scale + other.scale;
        if cells[size * size / 2] > LARGE {
            cells.iter_mut().for_each(|cell| *cell /= LARGE);
            scale += 1;
        }
        Self { size, cells, scale }
    }
}
