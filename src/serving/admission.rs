//! What a version has to show before it takes traffic: golden examples, agreement of engines, a warm-up.

use std::time::Instant;

use super::golden::{ENGINES, Golden, difference};
use crate::engine::{RunError, Scratch, Session};
use crate::model::{LoadError, Reason, Signature, TensorSpec};
use crate::tensor::{Data, Datatype, Shape, Strings, Tensor, element_count};

/// Most elements of one tensor that is made up for a warm-up.
const MAX_PROBE_ELEMENTS: usize = 1 << 22;

/// What is tried on a new session.
pub struct Trial<'a> {
    /// The session.
    pub session: &'a dyn Session,
    /// Its signature.
    pub signature: &'a Signature,
    /// Its own buffers, with a worker number of a serving thread: nothing is served yet.
    pub scratch: &'a mut Scratch,
    /// Called between runs so that a slow loader leaves the processor to requests.
    pub pace: &'a mut dyn FnMut(),
}

impl Trial<'_> {
    fn run(&mut self, inputs: &[Tensor]) -> Result<Vec<Tensor>, RunError> {
        let mut outputs = Vec::new();
        self.session.run(inputs, self.scratch, &mut outputs)?;
        (self.pace)();
        Ok(outputs)
    }

    /// Runs the golden examples; without any, another engine is the witness, where `witness` has one. Returns the
    /// inputs of the first example for the warm-up.
    ///
    /// # Errors
    /// [`Reason::GoldenMismatch`] naming what differs where.
    pub fn examine(
        &mut self,
        golden: Option<&[u8]>,
        witness: impl FnOnce() -> Option<Box<dyn Session>>,
    ) -> Result<Option<Vec<Tensor>>, LoadError> {
        // A file without a single example proves as much as none.
        let example = golden.map(|bytes| self.golden(bytes)).transpose()?.flatten();
        if example.is_none()
            && let Some(other) = witness()
        {
            self.agree(&*other)?;
        }
        Ok(example)
    }

    /// Runs the golden examples; returns the inputs of the first one, if there is one.
    fn golden(&mut self, bytes: &[u8]) -> Result<Option<Vec<Tensor>>, LoadError> {
        let golden = Golden::parse(bytes, self.signature)?;
        for (number, case) in golden.cases.iter().enumerate() {
            let mismatch =
                |detail: String| LoadError::new(Reason::GoldenMismatch, format!("case {number}: {detail}"));
            let outputs = self.run(&case.inputs).map_err(|e| mismatch(e.to_string()))?;
            for want in &case.outputs {
                let index = self.signature.outputs.iter().position(|spec| *spec.name == *want.name);
                let got = index.and_then(|index| outputs.get(index));
                let Some(got) = got else {
                    return Err(mismatch(format!("there is no output `{}`", want.name)));
                };
                if let Some(detail) = difference(&want.name, got, &want.tensor, golden.tolerance) {
                    return Err(mismatch(detail));
                }
            }
        }
        Ok(golden.cases.into_iter().next().map(|case| case.inputs))
    }

    /// Compares with another engine's session of the same graph on made-up rows.
    fn agree(&mut self, other: &dyn Session) -> Result<(), LoadError> {
        for round in 0..4 {
            let Some(inputs) = probe(self.signature, 16, round) else { return Ok(()) };
            let mut theirs = Vec::new();
            // What one engine refuses as input is no proof against the other.
            let (Ok(ours), Ok(())) = (self.run(&inputs), other.run(&inputs, self.scratch, &mut theirs))
            else {
                continue;
            };
            (self.pace)();
            for ((spec, ours), theirs) in self.signature.outputs.iter().zip(&ours).zip(&theirs) {
                // Labels may flip where two scores are equal; the scores themselves are compared.
                let label = !spec.datatype.is_float() && self.signature.outputs.len() > 1;
                let found = if label { None } else { difference(&spec.name, ours, theirs, ENGINES) };
                if let Some(detail) = found {
                    let detail = format!("two engines disagree on probe rows: {detail}");
                    return Err(LoadError::new(Reason::GoldenMismatch, detail));
                }
            }
        }
        Ok(())
    }

    /// Runs one row and `rows` rows, from an example if there is one; returns the cost of a row in nanoseconds.
    ///
    /// # Errors
    /// [`Reason::WarmupFailed`] when the engine fails; made-up rows that it refuses as input prove nothing.
    pub fn warm_up(&mut self, example: Option<&[Tensor]>, rows: usize) -> Result<u64, LoadError> {
        let mut cost = None;
        for rows in [1, 2, rows.max(1)] {
            let inputs = match example {
                Some(example) => tile(example, rows),
                None => probe(self.signature, rows, 0),
            };
            let Some(inputs) = inputs else { continue };
            for _ in 0..3 {
                let start = Instant::now();
                match self.run(&inputs) {
                    Ok(_) => {
                        let nanos = start.elapsed().as_nanos() as u64 / rows as u64;
                        cost = Some(cost.map_or(nanos, |c: u64| c.min(nanos)));
                    }
                    // Some graphs take only one batch size, or only rows that make sense.
                    Err(RunError::Input(_)) if example.is_none() || rows > 1 => break,
                    Err(error) => {
                        return Err(LoadError::new(Reason::WarmupFailed, format!("{rows} rows: {error}")));
                    }
                }
            }
        }
        Ok(cost.unwrap_or(0))
    }
}

/// `rows` rows made of an example's rows, repeated. `None` when the inputs do not share a batch dimension.
fn tile(example: &[Tensor], rows: usize) -> Option<Vec<Tensor>> {
    let have = example.first()?.rows();
    if have == 0 || example.iter().any(|t| t.shape.is_empty() || t.rows() != have) {
        return (rows == 1).then(|| example.to_vec());
    }
    let repeat = |tensor: &Tensor| {
        let width = tensor.data.len() / have;
        let indices = (0..rows).flat_map(|row| (0..width).map(move |column| (row % have) * width + column));
        macro_rules! pick {
            ($variant:ident, $v:expr) => {
                Data::$variant(indices.map(|i| $v[i]).collect())
            };
        }
        let data = match &tensor.data {
            Data::Bool(v) => pick!(Bool, v),
            Data::Uint8(v) => pick!(Uint8, v),
            Data::Uint16(v) => pick!(Uint16, v),
            Data::Uint32(v) => pick!(Uint32, v),
            Data::Uint64(v) => pick!(Uint64, v),
            Data::Int8(v) => pick!(Int8, v),
            Data::Int16(v) => pick!(Int16, v),
            Data::Int32(v) => pick!(Int32, v),
            Data::Int64(v) => pick!(Int64, v),
            Data::Fp16(v) => pick!(Fp16, v),
            Data::Bf16(v) => pick!(Bf16, v),
            Data::Fp32(v) => pick!(Fp32, v),
            Data::Fp64(v) => pick!(Fp64, v),
            Data::Bytes(v) => Data::Bytes(indices.map(|i| v.get(i).unwrap_or_default()).collect()),
        };
        let mut shape = tensor.shape.clone();
        shape[0] = rows;
        Tensor { shape, data }
    };
    Some(example.iter().map(repeat).collect())
}

/// Made-up inputs of `rows` rows: small numbers that differ by round, variable extents other than the batch 1.
/// `None` when a declared shape is too large to make up.
pub fn probe(signature: &Signature, rows: usize, round: u64) -> Option<Vec<Tensor>> {
    // A multiplicative hash (Knuth) is random enough to reach different leaves, and always the same.
    let mut state = round.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / f64::from(1 << 24)
    };
    let mut make = |spec: &TensorSpec| {
        let extent = |(position, &d): (usize, &i64)| match usize::try_from(d) {
            Ok(d) => d,
            Err(_) if position == 0 => rows,
            Err(_) => 1,
        };
        let shape: Shape = spec.shape.iter().enumerate().map(extent).collect();
        let count = element_count(&shape).filter(|n| *n <= MAX_PROBE_ELEMENTS)?;
        let scale = if round == 0 { 0.0 } else { 10_f64.powi(round as i32 - 1) };
        macro_rules! fill {
            ($variant:ident, $t:ty) => {
                Data::$variant((0..count).map(|_| ((next() - 0.25) * scale) as $t).collect())
            };
        }
        let data = match spec.datatype {
            Datatype::Bool => Data::Bool((0..count).map(|_| next() * scale > 0.5).collect()),
            Datatype::Uint8 => fill!(Uint8, u8),
            Datatype::Uint16 => fill!(Uint16, u16),
            Datatype::Uint32 => fill!(Uint32, u32),
            Datatype::Uint64 => fill!(Uint64, u64),
            Datatype::Int8 => fill!(Int8, i8),
            Datatype::Int16 => fill!(Int16, i16),
            Datatype::Int32 => fill!(Int32, i32),
            Datatype::Int64 => fill!(Int64, i64),
            Datatype::Fp16 => Data::Fp16(vec![0; count]),
            Datatype::Bf16 => Data::Bf16(vec![0; count]),
            Datatype::Fp32 => fill!(Fp32, f32),
            Datatype::Fp64 => fill!(Fp64, f64),
            Datatype::Bytes => Data::Bytes((0..count).map(|_| "").collect::<Strings>()),
        };
        Some(Tensor { shape, data })
    };
    signature.inputs.iter().map(&mut make).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers `y` with its number, whatever it is asked.
    struct Constant(f32);

    impl Session for Constant {
        fn run(
            &self,
            inputs: &[Tensor],
            _scratch: &mut Scratch,
            outputs: &mut Vec<Tensor>,
        ) -> Result<(), RunError> {
            let rows = inputs[0].rows();
            *outputs = vec![Tensor::new(&[rows], Data::Fp32(vec![self.0; rows]))];
            Ok(())
        }

        fn memory_bytes(&self) -> usize {
            0
        }
    }

    /// What comes of an engine that answers 1, with these examples and a witness that answers 2.
    fn check(golden: Option<&str>) -> Result<bool, Reason> {
        let spec = |name: &str| TensorSpec {
            name: name.into(),
            datatype: Datatype::Fp32,
            shape: vec![-1],
            labels: None,
        };
        let signature = Signature { inputs: vec![spec("x")], outputs: vec![spec("y")] };
        let mut trial = Trial {
            session: &Constant(1.0),
            signature: &signature,
            scratch: &mut Scratch::new(0),
            pace: &mut || (),
        };
        let examined = trial.examine(golden.map(str::as_bytes), || Some(Box::new(Constant(2.0))));
        examined.map(|example| example.is_some()).map_err(|error| error.code)
    }

    #[test]
    fn a_witness_is_heard_where_there_is_no_example() {
        let examples = |answer: u8| {
            let tensor = |name: &str, value: u8| {
                format!(r#"[{{"name":"{name}","shape":[1],"datatype":"FP32","data":[{value}]}}]"#)
            };
            let (inputs, outputs) = (tensor("x", 0), tensor("y", answer));
            format!(r#"{{"format":1,"cases":[{{"inputs":{inputs},"outputs":{outputs}}}]}}"#)
        };
        assert_eq!(check(Some(&examples(1))), Ok(true));
        assert_eq!(check(Some(&examples(3))), Err(Reason::GoldenMismatch));
        for none in [None, Some(r#"{"format":1,"cases":[]}"#), Some(r#"{"format":1}"#)] {
            assert_eq!(check(none), Err(Reason::GoldenMismatch), "{none:?}");
        }
    }
}
