//! What a version has to show before it takes traffic: golden examples, agreement of engines, a warm-up.

use std::time::Instant;

use super::golden::{ENGINES, Golden, difference};
use super::probe::tile;
use crate::engine::{RunError, Scratch, Session};
use crate::model::{LoadError, Reason, Signature};
use crate::tensor::Tensor;

pub use super::probe::probe;

/// Whether the bytes of a `golden.json` are examples for a model of this signature; running them is another matter.
///
/// # Errors
/// [`Reason::Parse`] with what is wrong.
pub fn check_examples(bytes: &[u8], signature: &Signature) -> Result<(), LoadError> {
    Golden::parse(bytes, signature).map(drop)
}

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
    ///
    /// # Errors
    /// [`Reason::GoldenMismatch`] naming what differs where.
    pub(crate) fn golden(&mut self, bytes: &[u8]) -> Result<Option<Vec<Tensor>>, LoadError> {
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
            let Some((ours, theirs)) = self.both(other, &inputs) else { continue };
            if let Some(detail) = self.differing_scores(&ours, &theirs) {
                let detail = format!("two engines disagree on probe rows: {detail}");
                return Err(LoadError::new(Reason::GoldenMismatch, detail));
            }
        }
        Ok(())
    }

    /// The answers of both engines, where both give one: what one refuses as input is no proof against the other.
    pub(super) fn both(
        &mut self,
        other: &dyn Session,
        inputs: &[Tensor],
    ) -> Option<(Vec<Tensor>, Vec<Tensor>)> {
        let mut theirs = Vec::new();
        let (Ok(ours), Ok(())) = (self.run(inputs), other.run(inputs, self.scratch, &mut theirs)) else {
            return None;
        };
        (self.pace)();
        Some((ours, theirs))
    }

    /// How two answers to the same input differ. Labels beside scores may flip where two scores are equal; the scores
    /// themselves are compared.
    pub(super) fn differing_scores(&self, ours: &[Tensor], theirs: &[Tensor]) -> Option<String> {
        let specs = &self.signature.outputs;
        let mut compared = specs
            .iter()
            .zip(ours)
            .zip(theirs)
            .filter(|((spec, _), _)| spec.datatype.is_float() || specs.len() == 1);
        compared.find_map(|((spec, ours), theirs)| difference(&spec.name, ours, theirs, ENGINES))
    }

    /// Runs one row, two and `rows` rows, from an example if there is one; returns the cost of a row in nanoseconds.
    ///
    /// # Errors
    /// [`Reason::WarmupFailed`] when the engine fails, or takes rows of an example in one number and not in another.
    /// Made-up rows that it refuses as input prove nothing.
    pub fn warm_up(&mut self, example: Option<&[Tensor]>, rows: usize) -> Result<u64, LoadError> {
        let failed = |rows: usize, error: &RunError| {
            LoadError::new(Reason::WarmupFailed, format!("{rows} rows: {error}"))
        };
        let (mut cost, mut takes_several, mut refused) = (None, false, None);
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
                        takes_several |= rows > 1;
                    }
                    // Some graphs take only rows that make sense, others one row at a time.
                    Err(RunError::Input(_)) if example.is_none() => break,
                    Err(error @ RunError::Input(_)) if rows > 1 => {
                        refused = Some(failed(rows, &error));
                        break;
                    }
                    Err(error) => return Err(failed(rows, &error)),
                }
            }
        }
        match refused {
            Some(error) if takes_several => Err(error),
            _ => Ok(cost.unwrap_or(0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::TensorSpec;
    use crate::tensor::{Data, Datatype};

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

    /// Fails at these numbers of rows.
    struct Fails(&'static [usize], fn(String) -> RunError);

    impl Session for Fails {
        fn run(
            &self,
            inputs: &[Tensor],
            _scratch: &mut Scratch,
            _outputs: &mut Vec<Tensor>,
        ) -> Result<(), RunError> {
            let rows = inputs[0].rows();
            if self.0.contains(&rows) { Err(self.1(format!("no {rows}"))) } else { Ok(()) }
        }

        fn memory_bytes(&self) -> usize {
            0
        }
    }

    #[test]
    fn a_warm_up_tries_one_row_two_and_many() {
        let spec = TensorSpec { name: "x".into(), datatype: Datatype::Fp32, shape: vec![-1], labels: None };
        let signature = Signature { inputs: vec![spec], outputs: Vec::new() };
        let example = [Tensor::new(&[1], Data::Fp32(vec![1.0]))];
        let warm_up = |fails: Fails, example| {
            let (scratch, pace) = (&mut Scratch::new(0), &mut || ());
            let mut trial = Trial { session: &fails, signature: &signature, scratch, pace };
            trial.warm_up(example, 16).map(drop).map_err(|error| (error.code, error.detail))
        };
        let refused = |rows: usize| Err((Reason::WarmupFailed, format!("{rows} rows: no {rows}")));
        let (engine, input) =
            (RunError::Engine as fn(String) -> RunError, RunError::Input as fn(String) -> RunError);
        let known = Some(&example[..]);
        for rows in [&[1][..], &[2], &[16]] {
            assert_eq!(warm_up(Fails(rows, engine), known), refused(rows[0]));
            assert_eq!(warm_up(Fails(rows, engine), None), refused(rows[0]));
            assert_eq!(warm_up(Fails(rows, input), known), refused(rows[0]));
            assert_eq!(warm_up(Fails(rows, input), None), Ok(()), "made-up rows");
        }
        assert_eq!(warm_up(Fails(&[2, 16], input), known), Ok(()), "one row at a time");
        assert_eq!(warm_up(Fails(&[2, 16], engine), known), refused(2));
        assert_eq!(warm_up(Fails(&[], engine), known), Ok(()));
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
