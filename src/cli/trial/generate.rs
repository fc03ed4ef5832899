//! Rows for a model of which no rows are given: around the values where its answer changes, so that its branches are
//! tried and not only its defaults.

use crate::cli::model_file::ModelFile;
use crate::cli::rows::{Columns, Rows};
use crate::engine::Scratch;
use crate::json::{push_f32, push_f64, push_i64};
use crate::model::Signature;
use crate::tensor::{Data, Datatype, Strings, Tensor};

/// Runs of the search, fewer for large models: by size and not by time, so that a seed means the same rows everywhere.
const MOST_RUNS: usize = 20_000;
const RUNS_TIMES_BYTES: usize = 1 << 32;

/// Halvings of an interval in which the answer changes: near the threshold, and hardly ever exactly on it, where a
/// conversion to float32 may rightly decide the other way.
const HALVINGS: usize = 10;

/// Magnitudes that features have.
const LADDER: [f64; 21] = [
    -1e4, -1e3, -100.0, -10.0, -3.0, -1.0, -0.1, 0.0, 0.01, 0.1, 0.3, 1.0, 2.0, 3.0, 10.0, 30.0, 100.0,
    300.0, 1e3, 1e4, 1e5,
];

/// `count` rows, the same for the same seed.
///
/// # Errors
/// When the signature leaves open how wide a row is.
pub(super) fn rows(model: &ModelFile, known: &[String], count: usize, seed: u64) -> Result<Rows, String> {
    let columns = Columns::new(&model.signature, known, None)?;
    let mut random = Random(seed);
    let pools = pools(model, &columns, &mut random);
    let mut rows = Rows::new(format!("generated, seed {seed}"), columns.types.len(), columns.names.clone());
    let mut scratch = Scratch::new(0);
    let may_refuse = columns.types.iter().any(|datatype| !datatype.is_float());
    for _ in 0..count {
        let mut values = draw(&pools, &mut random);
        // Indices beyond a table, say: what the engine refuses as input proves nothing.
        if may_refuse && answer(model, &columns, &values, &mut scratch).is_none() {
            values.fill(0.0);
        }
        for (value, datatype) in values.iter().zip(&columns.types) {
            rows.push(&cell(*value, *datatype));
        }
    }
    Ok(rows)
}

/// SplitMix64: the same rows on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below 1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        let index = self.next().checked_rem(items.len() as u64)?;
        items.get(index as usize)
    }
}

/// For each column the values where the answer was seen to change; empty where none was.
fn pools(model: &ModelFile, columns: &Columns, random: &mut Random) -> Vec<Vec<f64>> {
    let mut pools = vec![Vec::new(); columns.types.len()];
    let mut scratch = Scratch::new(0);
    let mut runs = (RUNS_TIMES_BYTES / model.bytes.max(1)).min(MOST_RUNS);
    // Branches deeper in a tree only show when those above are passed, so the rows around which the search goes
    // are drawn from what was found before.
    for _ in 0..4 {
        for (column, datatype) in columns.types.iter().enumerate() {
            if !datatype.is_float() || runs < LADDER.len() {
                continue;
            }
            let mut row = draw(&pools, random);
            let mut at = |value: f64| {
                row[column] = value;
                runs = runs.saturating_sub(1);
                answer(model, columns, &row, &mut scratch)
            };
            let answers: Vec<_> = LADDER.iter().map(|value| at(*value)).collect();
            for (step, pair) in answers.windows(2).enumerate() {
                if pair[0] == pair[1] {
                    continue;
                }
                let (mut low, mut high) = (LADDER[step], LADDER[step + 1]);
                for _ in 0..HALVINGS {
                    let middle = f64::midpoint(low, high);
                    if at(middle) == pair[0] { low = middle } else { high = middle }
                }
                pools[column].extend([low, high]);
            }
        }
    }
    pools
}

/// A row: mostly near a known threshold, else any magnitude.
fn draw(pools: &[Vec<f64>], random: &mut Random) -> Vec<f64> {
    let one = |pool: &Vec<f64>| {
        let choice = random.unit();
        let spread = random.unit() - 0.5;
        match random.pick(pool) {
            Some(value) if choice < 0.85 => value + spread * value.abs().max(1e-3) * 0.4,
            _ if choice < 0.95 => spread * 4.0,
            _ => random.pick(&LADDER).copied().unwrap_or_default(),
        }
    };
    pools.iter().map(one).collect()
}

/// What the model says to a row, to the last bit; `None` when it refuses it.
fn answer(model: &ModelFile, columns: &Columns, row: &[f64], scratch: &mut Scratch) -> Option<Vec<u64>> {
    let inputs = tensors(&model.signature, columns, row);
    let mut outputs = Vec::new();
    model.loaded.session.run(&inputs, scratch, &mut outputs).ok()?;
    let mut bits = Vec::new();
    for output in &outputs {
        match &output.data {
            Data::Fp32(values) => bits.extend(values.iter().map(|value| u64::from(value.to_bits()))),
            Data::Fp64(values) => bits.extend(values.iter().map(|value| value.to_bits())),
            Data::Int64(values) => bits.extend(values.iter().map(|value| *value as u64)),
            _ => {}
        }
    }
    Some(bits)
}

fn tensors(signature: &Signature, columns: &Columns, row: &[f64]) -> Vec<Tensor> {
    let mut rest = row;
    let make = |(spec, width): (&crate::model::TensorSpec, &usize)| {
        let (values, after) = rest.split_at(*width);
        rest = after;
        macro_rules! numbers {
            ($variant:ident, $t:ty) => {
                Data::$variant(values.iter().map(|value| *value as $t).collect())
            };
        }
        let data = match spec.datatype {
            Datatype::Bool => Data::Bool(values.iter().map(|value| *value > 0.5).collect()),
            Datatype::Uint8 => numbers!(Uint8, u8),
            Datatype::Uint16 => numbers!(Uint16, u16),
            Datatype::Uint32 => numbers!(Uint32, u32),
            Datatype::Uint64 => numbers!(Uint64, u64),
            Datatype::Int8 => numbers!(Int8, i8),
            Datatype::Int16 => numbers!(Int16, i16),
            Datatype::Int32 => numbers!(Int32, i32),
            Datatype::Int64 => numbers!(Int64, i64),
            Datatype::Fp16 => Data::Fp16(vec![0; values.len()]),
            Datatype::Bf16 => Data::Bf16(vec![0; values.len()]),
            Datatype::Fp32 => numbers!(Fp32, f32),
            Datatype::Fp64 => numbers!(Fp64, f64),
            Datatype::Bytes => Data::Bytes(values.iter().map(|_| "").collect::<Strings>()),
        };
        // The first free extent is the batch of one row; a second one takes what the first leaves.
        let fixed: usize = spec.shape.iter().filter_map(|d| usize::try_from(*d).ok()).product();
        let mut left = width.checked_div(fixed).unwrap_or(1).max(1);
        let extent = |(position, d): (usize, &i64)| match usize::try_from(*d) {
            Ok(d) => d,
            Err(_) if position == 0 => 1,
            Err(_) => std::mem::replace(&mut left, 1),
        };
        Tensor { shape: spec.shape.iter().enumerate().map(extent).collect(), data }
    };
    signature.inputs.iter().zip(&columns.widths).map(make).collect()
}

fn cell(value: f64, datatype: Datatype) -> Vec<u8> {
    let mut out = Vec::new();
    match datatype {
        Datatype::Bytes => out.extend_from_slice(b"\"\""),
        Datatype::Bool => out.extend_from_slice(if value > 0.5 { b"true" } else { b"false" }),
        Datatype::Fp64 => push_f64(&mut out, value, false),
        float if float.is_float() => push_f32(&mut out, value as f32, false),
        Datatype::Uint8 | Datatype::Uint16 | Datatype::Uint32 | Datatype::Uint64 => {
            push_i64(&mut out, (value.abs() as i64).min(255));
        }
        Datatype::Int8 => push_i64(&mut out, (value as i64).clamp(-128, 127)),
        _ => push_i64(&mut out, value as i64),
    }
    out
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::cli::model_file::Found;
    use crate::config::EngineChoice;

    fn model(name: &str) -> ModelFile {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        ModelFile::open(&Found::at(&path).unwrap(), EngineChoice::Trees, 1).unwrap()
    }

    #[test]
    fn generated_rows_reach_many_answers_and_are_the_same_again() {
        let model = model("models/breast-cancer/1/model.onnx");
        let made = rows(&model, &[], 200, 1).unwrap();
        assert_eq!((made.len(), made.width), (200, 30));
        let line =
            |rows: &Rows, row| (0..30).map(|column| rows.cell(row, column).to_vec()).collect::<Vec<_>>();
        let again = rows(&model, &[], 200, 1).unwrap();
        let columns = Columns::new(&model.signature, &[], None).unwrap();
        let mut answers = std::collections::HashSet::new();
        for row in 0..200 {
            let cells = line(&made, row);
            assert_eq!(cells, line(&again, row));
            let values: Vec<f64> =
                cells.iter().map(|cell| String::from_utf8(cell.clone()).unwrap().parse().unwrap()).collect();
            answers.insert(answer(&model, &columns, &values, &mut Scratch::new(0)).unwrap());
        }
        assert!(answers.len() > 100, "only {} different answers", answers.len());
    }

    #[test]
    fn every_type_of_input_gets_values() {
        let made = rows(&model("models/penguins/1/model.onnx"), &[], 3, 7).unwrap();
        assert_eq!(made.names.as_ref().map(Vec::len), Some(made.width));
        assert!((0..made.width).any(|column| made.cell(0, column) == b"\"\""), "texts are empty");
    }
}
