//! Bytes to a model to answers. The fuzz target and a test of the trees engine share this; `super::sidegate` is the crate.

use super::sidegate::engine::trees::Trees;
use super::sidegate::engine::{Engine, LoadOptions, Scratch};
use super::sidegate::format::{FORMATS, Format, Model};
use super::sidegate::tensor::{Data, Datatype, Strings, Tensor};

/// More columns than any seed declares; what is wider would only be slow.
const MAX_ELEMENTS: usize = 1 << 12;

/// Loads a model, whichever format it is, and runs a few rows; says whether it loaded.
pub(crate) fn load(bytes: &[u8]) -> bool {
    FORMATS.into_iter().any(|format| load_as(format, bytes))
}

fn load_as(format: Format, bytes: &[u8]) -> bool {
    let Ok(model) = Model::parse(format, bytes.to_vec()) else { return false };
    let Ok(session) = Trees.load(&model, &LoadOptions { workers: 1 }) else { return false };
    let mut scratch = Scratch::new(0);
    let mut outputs = Vec::new();
    for rows in [1, 3] {
        let inputs = model.signature().inputs.iter().map(|spec| input(spec.datatype, &spec.shape, rows));
        let Some(inputs) = inputs.collect::<Option<Vec<Tensor>>>() else { break };
        // Refusing a request is fine; what answers must be whole.
        if session.run(&inputs, &mut scratch, &mut outputs).is_ok() {
            assert_eq!(outputs.len(), model.signature().outputs.len());
            for output in &outputs {
                assert_eq!(output.shape.iter().product::<usize>(), output.data.len());
            }
        }
    }
    true
}

/// Rows of strange numbers and texts.
fn input(datatype: Datatype, declared: &[i64], rows: usize) -> Option<Tensor> {
    let shape: Vec<usize> = declared.iter().map(|extent| usize::try_from(*extent).unwrap_or(rows)).collect();
    let count = shape.iter().try_fold(1_usize, |all, extent| all.checked_mul(*extent));
    let count = count.filter(|count| *count <= MAX_ELEMENTS)?;
    let numbers = [0.5, f64::NAN, -0.0, 1e30, -1.5, f64::INFINITY, 1e-45, 3.0, f64::NEG_INFINITY];
    let numbers = || numbers.iter().copied().cycle().take(count);
    let whole = || [0_i64, 1, -1, i64::MAX, 3, i64::MIN, 2].into_iter().cycle().take(count);
    let data = match datatype {
        Datatype::Fp32 => Data::Fp32(numbers().map(|x| x as f32).collect()),
        Datatype::Fp64 => Data::Fp64(numbers().collect()),
        Datatype::Int32 => Data::Int32(whole().map(|x| x as i32).collect()),
        Datatype::Int64 => Data::Int64(whole().collect()),
        Datatype::Bool => Data::Bool(whole().map(|x| x == 1).collect()),
        Datatype::Bytes => {
            let texts = ["a", "", "ant", "\u{fc}", "1.5"].into_iter().cycle().take(count);
            Data::Bytes(texts.collect::<Strings>())
        }
        _ => return None,
    };
    Some(Tensor::new(&shape, data))
}
