//! The model card: everything a reader asks of a model, in one struct. `card.json` is the struct, `card.md` and
//! `report.html` show it.

mod front;
mod markdown;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::evaluation::Evaluation;
use super::gate::Decision;
use super::importance::Shuffled;
use super::paired::Comparison;

/// What is known of a trained model (Mitchell and others 2019).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Card {
    /// Of this very form; 1.
    pub format: u32,
    /// What it is.
    pub model: Model,
    /// What it is for.
    #[serde(default)]
    pub usage: Usage,
    /// What it was trained on.
    pub data: Data,
    /// What it is asked and answers.
    #[serde(default)]
    pub interface: Interface,
    /// What it looks at.
    #[serde(default)]
    pub features: Vec<Feature>,
    /// The learner's parameters, by the library's own names.
    #[serde(default)]
    pub params: BTreeMap<String, Value>,
    /// How good it is.
    pub evaluation: Evaluation,
    /// Against the model that serves now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comparison: Option<Comparison>,
    /// Whether it may be registered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<Decision>,
    /// That the exported file answers as the trained model does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub proof: Vec<Proof>,
    /// Where it comes from.
    #[serde(default)]
    pub lineage: Lineage,
}

/// A model's names and sizes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Model {
    /// Its name in the registry.
    pub name: String,
    /// Its number there, once it has one.
    pub version: Option<u64>,
    /// When it was trained, RFC 3339.
    pub created: String,
    /// A sentence on what it predicts.
    pub summary: String,
    /// The learner and its version: `xgboost 3.4.1`.
    pub learner: String,
    /// A licence by its SPDX name, in the Hub's lower case: `apache-2.0`; `other` says that it is another.
    pub license: String,
    /// More words to find it by.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Sizes and times by name, such as `model_bytes` and `latency_p99_us`.
    #[serde(default)]
    pub facts: BTreeMap<String, f64>,
}

/// What a model is for, in its makers' words.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Usage {
    /// What it was made for.
    #[serde(default)]
    pub intended: String,
    /// Where it should not be trusted.
    #[serde(default)]
    pub limitations: Vec<String>,
}

/// Rows and where they come from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Data {
    /// Its name.
    pub name: String,
    /// Where it is on the Hugging Face Hub, `owner/name`; mostly nowhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hub: Vec<String>,
    /// A file, folder, bucket or table, without credentials.
    pub source: String,
    /// Of all rows, `sha256:…`.
    pub digest: String,
    /// The first and the last time, where rows have one.
    #[serde(default)]
    pub range: Option<[String; 2]>,
    /// What is predicted: a column.
    pub target: String,
    /// Rows by part: `train`, `validation`, `test`.
    pub rows: BTreeMap<String, u64>,
    /// What validation has found, a line each.
    #[serde(default)]
    pub findings: Vec<String>,
}

/// A signature as a reader sees it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Interface {
    /// What it is asked.
    pub inputs: Vec<Port>,
    /// What it answers.
    pub outputs: Vec<Port>,
}

/// An input or output.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Port {
    /// Its name.
    pub name: String,
    /// `FP32`, `INT64`, `BYTES`, …
    pub datatype: String,
    /// −1 is any number of rows.
    pub shape: Vec<i64>,
}

/// A column that the learner has seen, and what it is worth.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Feature {
    /// Its name.
    pub name: String,
    /// `number`, `category`, or the step that makes it.
    pub kind: String,
    /// The share of rows of training without a value.
    #[serde(default)]
    pub missing: Option<f64>,
    /// How much worse the model is without it.
    #[serde(default)]
    pub permutation: Option<Shuffled>,
    /// How much it moves a score on average (mean |SHAP|).
    #[serde(default)]
    pub shap: Option<f64>,
}

/// An engine's answers against the trained model's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Proof {
    /// The engine.
    pub engine: String,
    /// Its version, where it is a library of somebody else's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Rows asked.
    pub rows: u64,
    /// The largest difference, relative where the answer is above 1.
    pub largest: f64,
    /// Rows that differ by more than the tolerance, as float32 sums of leaves that cancel do.
    #[serde(default)]
    pub rounded: u64,
    /// Classes that came out otherwise.
    pub flips: u64,
}

/// What a model was made from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Lineage {
    /// The revision of the code.
    #[serde(default)]
    pub code: Option<String>,
    /// The digest of the configuration.
    #[serde(default)]
    pub config: Option<String>,
    /// The version that it is to replace.
    #[serde(default)]
    pub parent: Option<u64>,
    /// The run that trained it.
    #[serde(default)]
    pub run: Option<String>,
    /// The seed of all chance.
    #[serde(default)]
    pub seed: Option<u64>,
    /// The version of the program.
    #[serde(default)]
    pub program: String,
}

impl Proof {
    /// The engine with its version: `ort 1.32.0`.
    pub(crate) fn name(&self) -> String {
        let version = self.version.iter().map(|version| format!(" {version}"));
        std::iter::once(self.engine.clone()).chain(version).collect()
    }
}

impl Card {
    /// `card.json`.
    ///
    /// # Errors
    /// For numbers that are none, which nothing here produces.
    pub(crate) fn json(&self) -> Result<String, String> {
        serde_json::to_string_pretty(self)
            .map(|text| text + "\n")
            .map_err(|error| format!("the card: {error}"))
    }

    /// `card.md`, with the front matter that the Hugging Face Hub reads.
    pub(crate) fn markdown(&self) -> String {
        markdown::render(self)
    }

    /// The metrics that are looked at first.
    pub(super) fn headline(&self) -> &'static [&'static str] {
        match self.evaluation.task.as_str() {
            "regression" => &["rmse", "mae", "r2", "median_ae"],
            "binary" => &["auc", "average_precision", "log_loss", "f1"],
            _ => &["accuracy", "f1_macro", "log_loss", "auc_ovr"],
        }
    }

    /// Name and value of what is known, for tables.
    pub(super) fn details(&self) -> Vec<(&'static str, String)> {
        let rows: Vec<String> = self.data.rows.iter().map(|(part, rows)| format!("{rows} {part}")).collect();
        let (lineage, range) = (&self.lineage, self.data.range.as_ref());
        let proven: Vec<String> = self.proof.iter().map(Proof::name).collect();
        let all = [
            ("task", Some(self.evaluation.task.clone())),
            ("learner", Some(self.model.learner.clone())),
            ("version", self.model.version.map(|version| version.to_string())),
            ("trained", Some(self.model.created.clone())),
            ("data", Some(format!("{} ({})", self.data.name, self.data.source))),
            ("data digest", Some(self.data.digest.clone())),
            ("data range", range.map(|[from, to]| format!("{from} to {to}"))),
            ("target", Some(self.data.target.clone())),
            ("rows", Some(rows.join(", "))),
            ("code", lineage.code.clone()),
            ("configuration", lineage.config.clone()),
            ("parent version", lineage.parent.map(|parent| parent.to_string())),
            ("run", lineage.run.clone()),
            ("seed", lineage.seed.map(|seed| seed.to_string())),
            ("program", Some(lineage.program.clone())),
            ("proven in", Some(proven.join(", "))),
        ];
        let known = all.into_iter().filter_map(|(name, text)| Some((name, text?)));
        known.filter(|(_, text)| !text.is_empty()).collect()
    }

    /// Features by importance, with the measure that there is: SHAP before permutation.
    pub(super) fn ranked(&self) -> Vec<&Feature> {
        let worth = |feature: &Feature| feature.shap.or(feature.permutation.map(|found| found.loss));
        let mut ranked: Vec<&Feature> = self.features.iter().collect();
        ranked.sort_by(|a, b| {
            worth(b).unwrap_or(f64::NEG_INFINITY).total_cmp(&worth(a).unwrap_or(f64::NEG_INFINITY))
        });
        ranked
    }
}
