//! `_index.json`: the generation of every model in one object, so that a sidecar of many models need not ask for each.
//!
//! It is a hint. It is written after `model.json` and as well as can be, so it may lag behind or lack a model, and is
//! never ahead: a model that it names with a higher generation than was seen is worth a look, the others still are
//! looked at now and then.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::format::{self, FORMAT, Rest, keeps_rest};
use crate::model::{LoadError, ModelName};

/// The object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct Hint {
    format: u64,
    /// By model name.
    #[serde(default)]
    pub models: BTreeMap<String, HintEntry>,
    /// What a newer program wrote.
    #[serde(flatten, skip_deserializing)]
    rest: Rest,
}

/// How far a model is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct HintEntry {
    /// The generation of its `model.json`.
    pub generation: u64,
    /// The epoch of its `model.json`; goes before the generation.
    #[serde(default)]
    pub epoch: u64,
    /// What a newer program wrote.
    #[serde(flatten, skip_deserializing)]
    rest: Rest,
}

keeps_rest!(Hint, HintEntry);

// === impl Hint ===

impl Default for Hint {
    fn default() -> Self {
        Self { format: FORMAT, models: BTreeMap::new(), rest: Rest::new() }
    }
}

impl Hint {
    /// Reads an `_index.json`.
    ///
    /// # Errors
    /// [`crate::model::Reason::Parse`] with what is wrong.
    pub fn parse(bytes: &[u8]) -> Result<Self, LoadError> {
        format::parse("_index.json", bytes)
    }

    /// The stored form.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Notes how far a model is, never going backwards; whether that changed anything.
    pub fn raise(&mut self, model: &ModelName, epoch: u64, generation: u64) -> bool {
        match self.models.get_mut(model.as_str()) {
            Some(entry) if (entry.epoch, entry.generation) >= (epoch, generation) => return false,
            Some(entry) => (entry.epoch, entry.generation) = (epoch, generation),
            None => {
                let entry = HintEntry { generation, epoch, rest: Rest::new() };
                self.models.insert(model.to_string(), entry);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_never_goes_backwards_and_the_epoch_goes_first() {
        let mut hint = Hint::default();
        let churn = "churn".parse().unwrap();
        for (epoch, generation, raised) in
            [(1, 12, true), (1, 12, false), (1, 11, false), (1, 13, true), (2, 3, true), (1, 14, false)]
        {
            assert_eq!(hint.raise(&churn, epoch, generation), raised, "{epoch} {generation}");
        }
        assert_eq!(Hint::parse(&hint.to_bytes()).unwrap(), hint);
    }
}
