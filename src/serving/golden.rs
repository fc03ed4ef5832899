//! Golden examples: requests with the answers that the version gave when it was made.

use crate::json::Reader;
use crate::model::{LoadError, Reason, Signature};
use crate::protocol::oip::{NamedTensor, decode, decode_tensor};
use crate::protocol::{DecodeError, Policy, Request};
use crate::tensor::{Data, Tensor};

/// Most cases that are read.
const MAX_CASES: usize = 1000;

/// How far outputs may differ: |a-b| <= atol + rtol * |b|.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tolerance {
    pub(super) rtol: f64,
    pub(super) atol: f64,
}

/// The tolerance between engines (1e-5 · max(1, |b|) is at most this sum).
pub(super) const ENGINES: Tolerance = Tolerance { rtol: 1e-5, atol: 1e-5 };

/// One example.
pub(super) struct Case {
    pub(super) inputs: Vec<Tensor>,
    pub(super) outputs: Vec<NamedTensor>,
}

/// A version's examples.
pub(super) struct Golden {
    pub(super) tolerance: Tolerance,
    pub(super) cases: Vec<Case>,
}

impl Golden {
    /// Reads `golden.json`.
    pub(super) fn parse(bytes: &[u8], signature: &Signature) -> Result<Self, LoadError> {
        read(bytes, signature).map_err(|e| LoadError::new(Reason::Parse, format!("golden.json: {e}")))
    }
}

fn read(bytes: &[u8], signature: &Signature) -> Result<Golden, DecodeError> {
    let mut golden = Golden { tolerance: ENGINES, cases: Vec::new() };
    let mut reader = Reader::new(bytes);
    let (mut key, mut first, mut format) = (Vec::new(), true, 0.0);
    reader.begin_object()?;
    while reader.key(std::mem::take(&mut first), &mut key)? {
        match key.as_slice() {
            b"format" => format = reader.number()?.to_f64(),
            b"rtol" => golden.tolerance.rtol = reader.number()?.to_f64(),
            b"atol" => golden.tolerance.atol = reader.number()?.to_f64(),
            b"cases" => {
                reader.begin_array()?;
                while reader.element(golden.cases.is_empty())? {
                    golden.cases.push(case(reader.skip()?, signature)?);
                    if golden.cases.len() > MAX_CASES {
                        return Err(DecodeError(format!("more than {MAX_CASES} cases")));
                    }
                }
            }
            _ => drop(reader.skip()?),
        }
    }
    if format == 1.0 {
        Ok(golden)
    } else {
        Err(DecodeError(format!("format {format} is not known; update sidegate")))
    }
}

fn case(bytes: &[u8], signature: &Signature) -> Result<Case, DecodeError> {
    let mut request = Request::default();
    decode(bytes, None, signature, Policy { max_rows: usize::MAX, reject_non_finite: false }, &mut request)?;
    let mut outputs = Vec::new();
    let mut reader = Reader::new(bytes);
    let (mut key, mut first) = (Vec::new(), true);
    reader.begin_object()?;
    while reader.key(std::mem::take(&mut first), &mut key)? {
        if key != b"outputs" {
            reader.skip()?;
            continue;
        }
        reader.begin_array()?;
        while reader.element(outputs.is_empty())? {
            outputs.push(decode_tensor(&mut reader)?);
        }
    }
    if outputs.is_empty() {
        return Err(DecodeError("a case has no outputs".into()));
    }
    Ok(Case { inputs: request.inputs, outputs })
}

/// Says how `got` differs from `want`; `None` when it does not. What is not finite has no distance: it has to be the same.
pub(super) fn difference(name: &str, got: &Tensor, want: &Tensor, tolerance: Tolerance) -> Option<String> {
    if got.datatype() != want.datatype() {
        return Some(format!("output `{name}` is {}, expected {}", got.datatype(), want.datatype()));
    }
    // Exporters disagree on [N] and [N, 1], so only the number of elements has to agree.
    if got.data.len() != want.data.len() {
        return Some(format!("output `{name}` has shape {:?}, expected {:?}", got.shape, want.shape));
    }
    let close = |a: f64, b: f64| {
        if a.is_finite() && b.is_finite() {
            (a - b).abs() <= tolerance.atol + tolerance.rtol * b.abs()
        } else {
            a == b || (a.is_nan() && b.is_nan())
        }
    };
    let numbers = |get: &dyn Fn(usize) -> (f64, f64)| {
        (0..got.data.len())
            .map(|i| (i, get(i)))
            .find(|(_, (a, b))| !close(*a, *b))
            .map(|(i, (a, b))| format!("output `{name}`, element {i}: {a}, expected {b}"))
    };
    match (&got.data, &want.data) {
        (Data::Fp32(a), Data::Fp32(b)) => numbers(&|i| (a[i].into(), b[i].into())),
        (Data::Fp64(a), Data::Fp64(b)) => numbers(&|i| (a[i], b[i])),
        (Data::Fp16(a), Data::Fp16(b)) => {
            numbers(&|i| (half::f16::from_bits(a[i]).to_f64(), half::f16::from_bits(b[i]).to_f64()))
        }
        (Data::Bf16(a), Data::Bf16(b)) => {
            numbers(&|i| (half::bf16::from_bits(a[i]).to_f64(), half::bf16::from_bits(b[i]).to_f64()))
        }
        (a, b) => (a != b).then(|| format!("output `{name}` differs")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::TensorSpec;
    use crate::tensor::Datatype;

    #[test]
    fn examples_as_they_were_stored_are_read() {
        let tensor = |name: &str, datatype, shape: &[i64]| TensorSpec {
            name: name.into(),
            datatype,
            shape: shape.to_vec(),
            labels: None,
        };
        let signature = Signature {
            inputs: vec![tensor("input", Datatype::Fp32, &[-1, 2])],
            outputs: vec![tensor("label", Datatype::Int64, &[-1])],
        };
        let stored = include_bytes!("../../tests/fixtures/formats/golden.json");
        let golden = Golden::parse(stored, &signature).unwrap();
        assert_eq!((golden.cases.len(), golden.tolerance.rtol, golden.tolerance.atol), (1, 1e-4, 1e-6));
        assert_eq!(golden.cases[0].inputs[0].data, Data::Fp32(vec![0.1, 0.2]));
    }

    #[test]
    fn an_infinite_answer_is_near_nothing_but_itself() {
        let tensor = |value| Tensor { shape: [1].as_slice().into(), data: Data::Fp64(vec![value]) };
        let (inf, nan) = (f64::INFINITY, f64::NAN);
        let same =
            [(inf, inf), (-inf, -inf), (nan, nan), (-nan, nan), (1.0, 1.0 + 1e-6), (f64::MAX, f64::MAX)];
        let apart =
            [(-inf, inf), (0.0, inf), (f64::MAX, inf), (inf, f64::MAX), (inf, -inf), (nan, 0.0), (0.0, nan)];
        let cases = same.map(|pair| (pair, true)).into_iter().chain(apart.map(|pair| (pair, false)));
        for ((got, want), is_same) in cases {
            let found = difference("y", &tensor(got), &tensor(want), ENGINES);
            assert_eq!(found.is_none(), is_same, "{got}, expected {want}: {found:?}");
        }
    }
}
