//! `[export]`: the interface of the served file, where clients of a model trained elsewhere know another than ours.

use std::collections::BTreeMap;

use serde::Deserialize;
use sidegate::suggest;

use crate::features::raw::Kind;
use crate::features::recipe::Recipe;

/// Our names of outputs: of a regression, of a classification.
const NUMBER: &[&str] = &["prediction"];
const CLASSES: &[&str] = &["label", "probabilities"];

/// What the inputs and outputs are.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ExportConfig {
    /// All columns side by side in a float32 matrix of this name; without, each is an input.
    pub(crate) input: Option<String>,
    /// What our outputs are called.
    pub(crate) outputs: BTreeMap<String, String>,
    /// Whether a regression answers a column, `[rows, 1]`, as converters write it; else `[rows]`.
    pub(crate) column: bool,
    /// By our name the output that `/predict` answers with.
    prediction: Option<String>,
}

// === impl ExportConfig ===

impl ExportConfig {
    /// Whether there are such outputs.
    ///
    /// # Errors
    /// Names the one that there is not.
    pub(crate) fn check(&self, classifies: bool) -> Result<(), String> {
        let ours = if classifies { CLASSES } else { NUMBER };
        if self.column && classifies {
            return Err("export.column is for numbers: `label` is [rows]".to_owned());
        }
        let named = self.outputs.keys().map(|name| ("outputs", name));
        let asked = self.prediction.iter().map(|name| ("prediction", name));
        match named.chain(asked).find(|(_, name)| !ours.contains(&name.as_str())) {
            None => Ok(()),
            Some((key, name)) => {
                let hint = suggest::meant(name, ours.iter().copied());
                Err(format!(
                    "export.{key}: there is no output `{name}`{hint} (there are {})",
                    ours.join(", ")
                ))
            }
        }
    }

    /// What an output of ours is called.
    pub(crate) fn named<'a>(&'a self, ours: &'a str) -> &'a str {
        self.outputs.get(ours).map_or(ours, String::as_str)
    }

    /// The output that predicts.
    pub(crate) fn prediction(&self, classifies: bool) -> &str {
        let usual = if classifies { "probabilities" } else { "prediction" };
        self.named(self.prediction.as_deref().unwrap_or(usual))
    }

    /// The columns of the matrix, in order; none where each is an input.
    ///
    /// # Errors
    /// Names a column that no matrix of numbers holds.
    pub(crate) fn columns(&self, recipe: &Recipe) -> Result<Vec<String>, String> {
        let Some(matrix) = &self.input else { return Ok(Vec::new()) };
        // float32 holds times to two minutes.
        let unfit = |kind: Kind| matches!(kind, Kind::Text | Kind::Time);
        match recipe.inputs.iter().find(|input| unfit(input.kind)) {
            None => Ok(recipe.inputs.iter().map(|input| input.name.clone()).collect()),
            Some(input) => Err(format!(
                "export.input: `{matrix}` would be a matrix of float32, and column `{}` holds {}; without this key each \
                 column is an input",
                input.name,
                input.kind.name()
            )),
        }
    }
}
