//! No input breaks the model: an answer and a refusal both count, a failure or a panic does not.

use std::time::Instant;

use super::{Finding, Outcome, Terms, batched, with_first};
use crate::serving::admission::Trial;
use crate::serving::probe::tile;
use crate::tensor::{Data, Strings, Tensor};

/// Rows of each case, so that one cannot pass for a scalar.
const ROWS: usize = 2;
/// A text that no training data had.
const UNSEEN: &str = "sidegate: no such category";

/// One case: its name, and how it changes a tensor; `None` leaves the tensor, and says that the case does not
/// apply to it.
type Case = (&'static str, fn(&Tensor) -> Option<Tensor>);

const CASES: &[Case] = &[
    ("empty", |tensor| {
        Some(Tensor { shape: with_first(&tensor.shape, 0), data: Data::empty(tensor.datatype()) })
    }),
    ("nan", |tensor| floats(tensor, f64::NAN)),
    ("infinity", |tensor| floats(tensor, f64::INFINITY)),
    ("negative_infinity", |tensor| floats(tensor, f64::NEG_INFINITY)),
    ("largest_integer", |tensor| integers(tensor, true)),
    ("smallest_integer", |tensor| integers(tensor, false)),
    ("empty_text", |tensor| texts(tensor, "")),
    ("unseen_text", |tensor| texts(tensor, UNSEEN)),
];

pub(super) fn run(trial: &mut Trial<'_>, terms: &Terms<'_>) -> Vec<Finding> {
    let free = batched(trial.signature);
    // A graph that takes only a certain number of rows gets those.
    let base = if free { tile(terms.sample, ROWS) } else { Some(terms.sample.to_vec()) };
    let Some(base) = base.filter(|base| !base.is_empty()) else {
        return vec![Finding::skipped("edge_cases", terms.source)];
    };
    CASES.iter().filter_map(|case| try_case(trial, &base, free, case)).collect()
}

fn try_case(trial: &mut Trial<'_>, base: &[Tensor], free: bool, (case, change): &Case) -> Option<Finding> {
    let name = format!("edge_cases.{case}");
    if *case == "empty" && !free {
        return Some(Finding::skipped(name, "an input has no free first dimension, so it cannot be empty"));
    }
    let changed: Vec<Option<Tensor>> = base.iter().map(change).collect();
    // A case that no input has is not worth a line.
    if changed.iter().all(Option::is_none) {
        return None;
    }
    let inputs: Vec<Tensor> = changed
        .into_iter()
        .zip(base)
        .map(|(changed, base)| changed.unwrap_or_else(|| base.clone()))
        .collect();
    let started = Instant::now();
    let result = match trial.attempt(&inputs) {
        Outcome::Answer(outputs) => Ok(format!("answered{}", remark(trial, &outputs))),
        Outcome::Refused(why) => Ok(format!("refused as input: {why}")),
        Outcome::Broke(why) => Err(why),
    };
    Some(Finding::new(name, result, started))
}

/// What an answer is like, where that may surprise.
fn remark(trial: &Trial<'_>, outputs: &[Tensor]) -> String {
    let strange = |tensor: &Tensor| {
        (0..tensor.data.len()).any(|index| tensor.data.number(index).is_some_and(|v| !v.is_finite()))
    };
    let mut named = trial.signature.outputs.iter().zip(outputs);
    match named.find(|(_, output)| strange(output)) {
        Some((spec, _)) => format!(", with NaN or an infinity in `{}`", spec.name),
        None if outputs.iter().all(|output| output.data.is_empty()) => " with nothing".to_owned(),
        None => String::new(),
    }
}

fn floats(tensor: &Tensor, value: f64) -> Option<Tensor> {
    let count = tensor.data.len();
    let data = match &tensor.data {
        Data::Fp16(_) => Data::Fp16(vec![half::f16::from_f64(value).to_bits(); count]),
        Data::Bf16(_) => Data::Bf16(vec![half::bf16::from_f64(value).to_bits(); count]),
        Data::Fp32(_) => Data::Fp32(vec![value as f32; count]),
        Data::Fp64(_) => Data::Fp64(vec![value; count]),
        _ => return None,
    };
    Some(Tensor { shape: tensor.shape.clone(), data })
}

fn integers(tensor: &Tensor, largest: bool) -> Option<Tensor> {
    let count = tensor.data.len();
    macro_rules! extremes {
        ($($variant:ident $t:ty),*) => {
            match &tensor.data {
                $(Data::$variant(_) => Data::$variant(vec![if largest { <$t>::MAX } else { <$t>::MIN }; count]),)*
                _ => return None,
            }
        };
    }
    let data =
        extremes!(Uint8 u8, Uint16 u16, Uint32 u32, Uint64 u64, Int8 i8, Int16 i16, Int32 i32, Int64 i64);
    Some(Tensor { shape: tensor.shape.clone(), data })
}

fn texts(tensor: &Tensor, text: &str) -> Option<Tensor> {
    let Data::Bytes(old) = &tensor.data else { return None };
    let data = Data::Bytes(std::iter::repeat_n(text, old.len()).collect::<Strings>());
    Some(Tensor { shape: tensor.shape.clone(), data })
}
