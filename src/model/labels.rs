//! What stands for a class in predictions and actuals.

use super::{Signature, TensorSpec};
use crate::tensor::Datatype;

impl Signature {
    /// The same where outputs with a score for each class have the labels that whoever registered the version gave; a
    /// model that names classes itself is believed.
    #[must_use]
    pub fn labelled(mut self, labels: &[String]) -> Self {
        let scores = |output: &TensorSpec| {
            matches!(output.datatype, Datatype::Fp32 | Datatype::Fp64)
                && matches!(output.shape[..], [_, classes] if usize::try_from(classes) == Ok(labels.len()))
        };
        if labels.len() > 1 && self.outputs.iter().all(|output| output.labels.is_none()) {
            let scores = self.outputs.iter_mut().filter(|output| scores(output));
            scores.for_each(|output| output.labels = Some(labels.to_vec()));
        }
        self
    }
}

/// The classes of a model, where it names them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Labels {
    names: Vec<String>,
    /// Of each: its label where all labels are numbers, else its place, so that no two are the same.
    numbers: Vec<f64>,
}

// === impl Labels ===

impl Labels {
    /// What classes are called by the output that predicts, or else by another that has a column for each.
    pub fn of(signature: &Signature, prediction: usize) -> Self {
        let own = signature.outputs.get(prediction).and_then(|output| output.labels.as_ref());
        let labels = own.or_else(|| signature.outputs.iter().find_map(|output| output.labels.as_ref()));
        labels.map(|labels| Self::new(labels.clone())).unwrap_or_default()
    }

    fn new(names: Vec<String>) -> Self {
        let number = |label: &String| label.trim().parse::<f64>().ok().filter(|number| number.is_finite());
        let numbers: Option<Vec<f64>> = names.iter().map(number).collect();
        let places = || (0..names.len()).map(|place| place as f64).collect();
        Self { numbers: numbers.unwrap_or_else(places), names }
    }

    /// Whether the model names none.
    pub const fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The number of the class at a place; of one without a name the place.
    #[inline]
    pub fn number(&self, place: usize) -> f64 {
        self.numbers.get(place).copied().unwrap_or(place as f64)
    }

    /// The place of the class that is called so.
    pub fn place(&self, label: &[u8]) -> Option<usize> {
        self.names.iter().position(|known| known.as_bytes() == label)
    }

    /// The place of the class with that number.
    pub fn place_of(&self, number: f64) -> Option<usize> {
        self.numbers.iter().position(|known| *known == number)
    }

    /// What the class with that number is called.
    pub fn name(&self, number: f64) -> Option<&str> {
        self.names.get(self.place_of(number)?).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_names_the_classes_of_scores_that_the_model_leaves_nameless() {
        let output = |name: &str, datatype, shape: &[i64], labels: Option<Vec<String>>| TensorSpec {
            name: name.into(),
            datatype,
            shape: shape.to_vec(),
            labels,
        };
        let names = ["a", "b"].map(ToOwned::to_owned);
        let plain = Signature {
            inputs: Vec::new(),
            outputs: vec![
                output("label", Datatype::Int64, &[-1], None),
                output("scores", Datatype::Fp32, &[-1, 2], None),
                output("more", Datatype::Fp32, &[-1, 3], None),
            ],
        };
        let labelled = plain.clone().labelled(&names);
        let found: Vec<bool> = labelled.outputs.iter().map(|output| output.labels.is_some()).collect();
        assert_eq!(found, [false, true, false]);
        assert_eq!(Labels::of(&labelled, 0).place(b"b"), Some(1));
        assert_eq!(plain.clone().labelled(&[]), plain);
        let own = Signature {
            outputs: vec![output("scores", Datatype::Fp32, &[-1, 2], Some(vec!["x".into(), "y".into()]))],
            ..plain
        };
        assert_eq!(own.clone().labelled(&names), own);
    }

    #[test]
    fn no_two_classes_have_one_number() {
        for (labels, numbers) in [
            (["3", "8", "10"], [3.0, 8.0, 10.0]),
            (["a", "b", "c"], [0.0, 1.0, 2.0]),
            (["1", "2", "unknown"], [0.0, 1.0, 2.0]),
            (["1", "2", "nan"], [0.0, 1.0, 2.0]),
        ] {
            let classes = Labels::new(labels.map(ToOwned::to_owned).to_vec());
            assert_eq!([0, 1, 2].map(|place| classes.number(place)), numbers);
            for (place, label) in labels.iter().enumerate() {
                assert_eq!(classes.place(label.as_bytes()), Some(place));
                assert_eq!(classes.name(numbers[place]), Some(*label));
            }
        }
        assert_eq!((Labels::default().number(7), Labels::default().place_of(7.0)), (7.0, None));
    }
}
