//! Made-up rows: from the signature alone, or mixed from rows that are known to make sense.

use crate::model::{Signature, TensorSpec};
use crate::tensor::{Data, Datatype, Shape, Strings, Tensor, element_count};

/// Most elements of one tensor that is made up.
const MAX_PROBE_ELEMENTS: usize = 1 << 22;

/// Texts that categories and flags are often among, beside those that are not.
const TEXTS: &[&str] = &["", "a", "b", "A", "yes", "no", "0", "1", "other", "Zürich"];

/// Made-up inputs of `rows` rows: small numbers that differ by round, variable extents other than the batch 1.
/// `None` when a declared shape is too large to make up.
pub fn probe(signature: &Signature, rows: usize, round: u64) -> Option<Vec<Tensor>> {
    let scale = if round == 0 { 0.0 } else { 10_f64.powi(round as i32 - 1) };
    make(signature, rows, &mut Source { random: Random::new(round), style: Style::Scaled(scale) })
}

/// Made-up inputs that reach further: numbers of every usual magnitude side by side, zeros, ones, negative ones,
/// whole ones, and texts. The same for the same seed.
pub(super) fn varied(signature: &Signature, rows: usize, seed: u64) -> Option<Vec<Tensor>> {
    make(signature, rows, &mut Source { random: Random::new(seed), style: Style::Varied })
}

/// As [`varied`], with whole numbers from 0 to 3: indices and categories that a graph may look up.
pub(super) fn small_numbers(signature: &Signature, rows: usize, seed: u64) -> Option<Vec<Tensor>> {
    make(signature, rows, &mut Source { random: Random::new(seed), style: Style::Small })
}

/// `rows` rows in which every column is drawn by itself from the rows of `example`, so that each value is one that
/// was seen. `None` when the inputs do not share a batch dimension.
pub(super) fn mix(example: &[Tensor], rows: usize, seed: u64) -> Option<Vec<Tensor>> {
    let have = batch(example)?;
    let mut random = Random::new(seed);
    let columns = |tensor: &Tensor| {
        let width = tensor.data.len() / have;
        let mut draw = |column: usize| (random.below(have)) * width + column;
        let indices: Vec<usize> = (0..rows * width).map(|i| draw(i % width)).collect();
        with_rows(tensor, rows, &indices)
    };
    Some(example.iter().map(columns).collect())
}

/// Rows of `example` in the order of `order`; rows may come more than once. `None` when the inputs do not share a
/// batch dimension, or there is no such row.
pub(crate) fn gather(example: &[Tensor], order: &[usize]) -> Option<Vec<Tensor>> {
    let have = batch(example)?;
    if order.iter().any(|row| *row >= have) {
        return None;
    }
    let gathered = example.iter().map(|tensor| {
        let width = tensor.data.len() / have;
        let indices: Vec<usize> = order.iter().flat_map(|row| row * width..(row + 1) * width).collect();
        with_rows(tensor, order.len(), &indices)
    });
    Some(gathered.collect())
}

/// `rows` rows made of an example's rows, repeated. `None` when the inputs do not share a batch dimension.
pub(crate) fn tile(example: &[Tensor], rows: usize) -> Option<Vec<Tensor>> {
    match batch(example) {
        Some(have) => gather(example, &(0..rows).map(|row| row % have).collect::<Vec<_>>()),
        None => (rows == 1 && !example.is_empty()).then(|| example.to_vec()),
    }
}

/// The rows that all inputs have; `None` when they differ, or there are none.
fn batch(example: &[Tensor]) -> Option<usize> {
    let have = example.first()?.rows();
    (have > 0 && example.iter().all(|t| !t.shape.is_empty() && t.rows() == have)).then_some(have)
}

/// A tensor like `tensor` whose elements are those at `indices`.
fn with_rows(tensor: &Tensor, rows: usize, indices: &[usize]) -> Tensor {
    macro_rules! pick {
        ($($variant:ident),*) => {
            match &tensor.data {
                $(Data::$variant(v) => Data::$variant(indices.iter().map(|i| v[*i]).collect()),)*
                Data::Bytes(v) => Data::Bytes(indices.iter().map(|i| v.get(*i).unwrap_or_default()).collect()),
            }
        };
    }
    let data = pick!(Bool, Uint8, Uint16, Uint32, Uint64, Int8, Int16, Int32, Int64, Fp16, Bf16, Fp32, Fp64);
    let mut shape = tensor.shape.clone();
    shape[0] = rows;
    Tensor { shape, data }
}

/// What numbers look like.
enum Style {
    Scaled(f64),
    Varied,
    Small,
}

struct Source {
    random: Random,
    style: Style,
}

/// A multiplicative hash (Knuth) is random enough to reach different leaves, and always the same.
struct Random(u64);

// === impl Source ===

impl Source {
    fn number(&mut self) -> f64 {
        match self.style {
            Style::Scaled(scale) => (self.random.next() - 0.25) * scale,
            Style::Small => self.random.below(4) as f64,
            Style::Varied => match self.random.below(16) {
                0 => 0.0,
                1 => 1.0,
                2 => -1.0,
                3..6 => self.random.below(100) as f64,
                6 => -self.random.next() * 100.0,
                _ => self.random.next() * 10_f64.powi(self.random.below(6) as i32 - 1),
            },
        }
    }

    fn boolean(&mut self) -> bool {
        match self.style {
            Style::Scaled(scale) => self.random.next() * scale > 0.5,
            _ => self.random.below(2) == 1,
        }
    }

    fn text(&mut self) -> &'static str {
        match self.style {
            Style::Scaled(_) => "",
            _ => TEXTS[self.random.below(TEXTS.len())],
        }
    }

    /// Half precision sums too coarsely for two engines to agree on, so rounds have zeros there.
    fn half(&mut self) -> f64 {
        match self.style {
            Style::Scaled(_) => 0.0,
            _ => self.number(),
        }
    }
}

// === impl Random ===

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// From 0 to 1.
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f64 / f64::from(1 << 24)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() * end as f64) as usize
    }
}

fn make(signature: &Signature, rows: usize, source: &mut Source) -> Option<Vec<Tensor>> {
    let mut make = |spec: &TensorSpec| {
        let extent = |(position, &d): (usize, &i64)| match usize::try_from(d) {
            Ok(d) => d,
            Err(_) if position == 0 => rows,
            Err(_) => 1,
        };
        let shape: Shape = spec.shape.iter().enumerate().map(extent).collect();
        let count = element_count(&shape).filter(|n| *n <= MAX_PROBE_ELEMENTS)?;
        macro_rules! fill {
            ($variant:ident, $t:ty) => {
                Data::$variant((0..count).map(|_| source.number() as $t).collect())
            };
        }
        let data = match spec.datatype {
            Datatype::Bool => Data::Bool((0..count).map(|_| source.boolean()).collect()),
            Datatype::Uint8 => fill!(Uint8, u8),
            Datatype::Uint16 => fill!(Uint16, u16),
            Datatype::Uint32 => fill!(Uint32, u32),
            Datatype::Uint64 => fill!(Uint64, u64),
            Datatype::Int8 => fill!(Int8, i8),
            Datatype::Int16 => fill!(Int16, i16),
            Datatype::Int32 => fill!(Int32, i32),
            Datatype::Int64 => fill!(Int64, i64),
            Datatype::Fp16 => {
                Data::Fp16((0..count).map(|_| half::f16::from_f64(source.half()).to_bits()).collect())
            }
            Datatype::Bf16 => {
                Data::Bf16((0..count).map(|_| half::bf16::from_f64(source.half()).to_bits()).collect())
            }
            Datatype::Fp32 => fill!(Fp32, f32),
            Datatype::Fp64 => fill!(Fp64, f64),
            Datatype::Bytes => Data::Bytes((0..count).map(|_| source.text()).collect::<Strings>()),
        };
        Some(Tensor { shape, data })
    };
    signature.inputs.iter().map(&mut make).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signature() -> Signature {
        let spec = |name: &str, datatype| TensorSpec {
            name: name.into(),
            datatype,
            shape: vec![-1, 3],
            labels: None,
        };
        Signature {
            inputs: vec![spec("x", Datatype::Fp32), spec("c", Datatype::Bytes), spec("n", Datatype::Int64)],
            outputs: Vec::new(),
        }
    }

    fn floats(tensors: &[Tensor]) -> Vec<f32> {
        let Data::Fp32(v) = &tensors[0].data else { panic!("{:?}", tensors[0]) };
        v.clone()
    }

    #[test]
    fn rounds_of_probes_are_zeros_and_then_larger_and_larger() {
        let rounds: Vec<Vec<f32>> =
            (0..4).map(|round| floats(&probe(&signature(), 16, round).unwrap())).collect();
        assert!(rounds[0].iter().all(|v| *v == 0.0));
        assert!(rounds[3].iter().any(|v| *v > 10.0) && rounds[1].iter().all(|v| v.abs() < 1.0));
    }

    #[test]
    fn varied_rows_have_every_magnitude_and_are_the_same_again() {
        let rows = varied(&signature(), 256, 7).unwrap();
        assert_eq!(rows, varied(&signature(), 256, 7).unwrap());
        assert_ne!(rows, varied(&signature(), 256, 8).unwrap());
        let values = floats(&rows);
        let has = |what: fn(&f32) -> bool| values.iter().any(what);
        assert!(
            has(|v| *v == 0.0) && has(|v| *v < -1.0) && has(|v| (0.0..0.1).contains(v)) && has(|v| *v > 1e3)
        );
        let Data::Bytes(texts) = &rows[1].data else { panic!() };
        assert!(texts.iter().any(|text| text == b"yes") && texts.iter().any(<[u8]>::is_empty));
    }

    #[test]
    fn rows_are_gathered_tiled_and_mixed_by_column() {
        let example = vec![
            Tensor::new(&[2, 2], Data::Int64(vec![1, 2, 3, 4])),
            Tensor::new(&[2], Data::Bytes(["a", "b"].into_iter().collect())),
        ];
        let picked = gather(&example, &[1, 1, 0]).unwrap();
        assert_eq!(picked[0], Tensor::new(&[3, 2], Data::Int64(vec![3, 4, 3, 4, 1, 2])));
        assert_eq!(picked[1].data, Data::Bytes(["b", "b", "a"].into_iter().collect()));
        assert_eq!(gather(&example, &[2]), None);
        assert_eq!(tile(&example, 3), gather(&example, &[0, 1, 0]));
        let mixed = mix(&example, 50, 1).unwrap();
        let Data::Int64(v) = &mixed[0].data else { panic!() };
        assert!(v.chunks(2).all(|row| [1, 3].contains(&row[0]) && [2, 4].contains(&row[1])));
        assert!(v.chunks(2).any(|row| row == [1, 4]), "columns are drawn by themselves");
        let scalars = vec![Tensor::new(&[], Data::Fp32(vec![1.0]))];
        assert_eq!((tile(&scalars, 1), tile(&scalars, 2)), (Some(scalars.clone()), None));
    }
}
