//! `config/train.NAME.toml`: one file says everything about a training.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sidegate::model::{ModelName, Stage};
use sidegate::registry::digest::Digest;

use crate::data::LOG_KEY;
use crate::data::config::{DataConfig, SourceKind};
use crate::data::schema::ValidationConfig;
use crate::data::split::SplitConfig;
use crate::evaluate::Gate;
use crate::failure::Failure;
use crate::features::{ExportConfig, Spec};
use crate::learner::{Kind, Learner};
use crate::mlflow::Tracking;
use crate::schedule::ScheduleConfig;
use crate::search::SearchConfig;
use crate::table::Task;

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    target_column: Option<String>,
    task: Option<TaskName>,
    #[serde(default)]
    auto_deploy: bool,
    #[serde(default = "seed")]
    seed: u64,
    threads: Option<usize>,
    data: toml::Table,
    #[serde(default)]
    validation: ValidationConfig,
    #[serde(default)]
    split: toml::Table,
    #[serde(default)]
    features: toml::Table,
    model: ModelConfig,
    search: Option<SearchConfig>,
    #[serde(default)]
    evaluation: EvaluationConfig,
    #[serde(default)]
    gate: toml::Table,
    #[serde(default)]
    export: ExportConfig,
    #[serde(default)]
    deployment: DeploymentConfig,
    #[serde(default)]
    registry: RegistryConfig,
    #[serde(default)]
    retry: RetryConfig,
    #[serde(default)]
    schedule: ScheduleConfig,
    #[serde(default)]
    card: CardConfig,
    tracking: Option<Tracking>,
}

/// A training, checked.
pub(crate) struct Config {
    /// The model in the registry.
    pub(crate) name: ModelName,
    /// What is predicted; by the target's type where it is not said.
    pub(crate) task: Option<TaskName>,
    /// Whether a version that passes its gate is promoted.
    pub(crate) auto_deploy: bool,
    /// Another one is another split and another model.
    pub(crate) seed: u64,
    /// Threads that learn.
    pub(crate) threads: usize,
    pub(crate) data: DataConfig,
    pub(crate) validation: ValidationConfig,
    pub(crate) split: SplitConfig,
    pub(crate) features: Spec,
    pub(crate) model: ModelConfig,
    pub(crate) kind: Kind,
    /// Other parameters that are tried.
    pub(crate) search: Option<SearchConfig>,
    pub(crate) evaluation: EvaluationConfig,
    pub(crate) gate: Gate,
    pub(crate) export: ExportConfig,
    pub(crate) deployment: DeploymentConfig,
    pub(crate) registry: RegistryConfig,
    pub(crate) retry: RetryConfig,
    pub(crate) schedule: ScheduleConfig,
    pub(crate) card: CardConfig,
    /// Where it is told beside the registry.
    pub(crate) tracking: Option<Tracking>,
    /// SHA-256 of the file.
    pub(crate) digest: String,
    /// The file.
    pub(crate) text: String,
    /// Where that is.
    pub(crate) folder: PathBuf,
}

/// What is predicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TaskName {
    /// A number.
    Regression,
    /// A class.
    Classification,
}

impl TaskName {
    /// Its name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Regression => "regression",
            Self::Classification => "classification",
        }
    }
}

/// `[model]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ModelConfig {
    /// What is trained.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// By the names of its library.
    #[serde(default)]
    pub(crate) params: toml::Table,
    /// By feature: 1 where predictions may only rise with it, -1 where only fall.
    #[serde(default)]
    pub(crate) monotone: BTreeMap<String, i8>,
    /// Whether rare classes count as much as others while learning.
    pub(crate) class_weight: Option<ClassWeight>,
    /// The learner's library, where it is not found by itself.
    pub(crate) library: Option<PathBuf>,
}

/// What rows of a class count while learning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ClassWeight {
    /// Every class as much as any other.
    Balanced,
}

/// `[evaluation]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct EvaluationConfig {
    /// Columns by whose values the model is judged too.
    pub(crate) slices: Vec<String>,
    /// Resamples of the intervals.
    pub(crate) resamples: u32,
    /// The probability from which on the second of two classes is answered; the likelier one where it is not said.
    pub(crate) threshold: Option<f64>,
    /// Rows of the test that are explained.
    pub(crate) explained_rows: usize,
}

impl EvaluationConfig {
    /// The threshold of two classes.
    pub(crate) fn threshold(&self) -> f64 {
        self.threshold.unwrap_or(0.5)
    }

    /// Whether there is something for the threshold to part.
    ///
    /// # Errors
    /// Names the key.
    pub(crate) fn check(&self, task: Task) -> Result<(), String> {
        match self.threshold {
            Some(_) if task != Task::Binary => {
                Err("evaluation.threshold is for two classes: of more the likeliest is answered".to_owned())
            }
            Some(threshold) if !(threshold > 0.0 && threshold < 1.0) => Err(format!(
                "evaluation.threshold is {threshold}; a probability between 0 and 1 parts two classes"
            )),
            _ => Ok(()),
        }
    }
}

impl Default for EvaluationConfig {
    fn default() -> Self {
        Self { slices: Vec::new(), resamples: 1000, threshold: None, explained_rows: 1000 }
    }
}

/// `[deployment]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct DeploymentConfig {
    /// Where a promoted version is put: `registry`, where gateways look for it, or `sagemaker`, `lambda`, `kubernetes`
    /// besides, by the requests or manifests of `sidegate-train deploy`.
    pub(crate) target: Option<String>,
    /// The role that SageMaker or Lambda give the container.
    pub(crate) sagemaker_role: Option<String>,
    /// The image that they run.
    pub(crate) image: Option<String>,
    /// Whether the requests are sent too, by the `aws` or `kubectl` of the PATH.
    pub(crate) apply: bool,
    /// Metrics and their limits: the least of those that are better when high, the most of the others.
    performance_threshold: toml::Table,
    /// Where `auto_deploy` puts the version; Production unless said.
    pub(crate) stage: Option<String>,
    /// An alias that is moved to it.
    pub(crate) alias: Option<String>,
    /// Whether inputs and outputs may be others than those of the version that serves.
    pub(crate) breaking: bool,
}

impl DeploymentConfig {
    /// Where a version is promoted to.
    pub(crate) fn stage(&self) -> Result<Stage, Failure> {
        let name = self.stage.as_deref().unwrap_or("Production");
        Stage::parse(name).ok_or_else(|| {
            Failure::Config(format!(
                "deployment.stage: `{name}` is none of None, Staging, Production, Archived"
            ))
        })
    }
}

/// `[registry]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RegistryConfig {
    /// Where it is; that of the gateway's configuration unless said.
    pub(crate) url: Option<String>,
    /// The gateway's configuration, which says how to reach it.
    pub(crate) config: Option<PathBuf>,
    /// Who registers, as the audit will say.
    pub(crate) by: Option<String>,
}

/// `[retry]`: of loading.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RetryConfig {
    /// Tries after the first.
    pub(crate) retries: u32,
    /// Seconds between two.
    pub(crate) delay_seconds: u64,
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self { retries: 3, delay_seconds: 60 }
    }
}

/// `[card]`: what only people know.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct CardConfig {
    pub(crate) summary: String,
    pub(crate) intended: String,
    pub(crate) limitations: Vec<String>,
    pub(crate) license: Option<String>,
    pub(crate) tags: Vec<String>,
    /// What the data is called.
    pub(crate) data: Option<String>,
    /// Where it is on the Hugging Face Hub: `owner/name`.
    pub(crate) datasets: Vec<String>,
}

const fn seed() -> u64 {
    42
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let named = |error: &dyn std::fmt::Display| Failure::Config(format!("{}: {error}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|error| named(&error))?;
        let mut read = Self::parse(&text).map_err(|failure| match failure {
            Failure::Config(text) => named(&text),
            other => other,
        })?;
        // A bare name has an empty parent, which is this folder.
        read.folder = path.parent().map(|folder| folder.join(".")).unwrap_or_default();
        Ok(read)
    }

    /// Reads the text of one, in this folder.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let config = |error: &dyn std::fmt::Display| Failure::Config(error.to_string());
        let mut file: File = toml::from_str(text).map_err(|error| config(&error))?;
        if let Some(target) = file.target_column.take() {
            if file.data.contains_key("target_column") {
                return Err(config(
                    &"target_column is said twice; keep one of target_column and data.target_column",
                ));
            }
            file.data.insert("target_column".into(), target.into());
        }
        let mut data = DataConfig::from_table(file.data)?;
        if data.source == SourceKind::PredictionLog {
            data.model.get_or_insert_with(|| file.name.clone());
            // Rows of one request are near to each other, and which rows there are changes with late outcomes.
            let by_hash = file.split.get("by").is_none_or(|by| by.as_str() == Some("hash"));
            if by_hash && !file.split.contains_key("group") {
                file.split.insert("group".into(), LOG_KEY.into());
            }
        }
        if data.target_column.is_none() {
            return Err(config(&"target_column is missing: the column that is predicted"));
        }
        if !file.split.contains_key("seed") {
            file.split.insert("seed".into(), toml::Value::Integer(file.seed.cast_signed()));
        }
        // The founding thresholds are rules of the gate.
        for (name, limit) in &file.deployment.performance_threshold {
            if file.gate.insert(name.clone(), limit.clone()).is_some_and(|gate| gate != *limit) {
                return Err(config(&format!(
                    "gate.{name} and deployment.performance_threshold.{name} differ, and both are rules of the gate; keep one"
                )));
            }
        }
        file.deployment.stage()?;
        if let Some(alias) = &file.deployment.alias
            && !sidegate::registry::index::is_alias(alias)
        {
            let text = format!(
                "deployment.alias: `{alias}` is none: a name that is neither a whole number nor a stage"
            );
            return Err(config(&text));
        }
        file.schedule.check().map_err(Failure::Config)?;
        let split = SplitConfig::from_table(file.split)?;
        if let Some(search) = &file.search {
            search.check(&split).map_err(Failure::Config)?;
        }
        if file.threads == Some(0) {
            return Err(config(&"threads is 0; leave it out to learn on all there are"));
        }
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            split,
            features: Spec::parse(&file.features)?,
            kind: Kind::named(&file.model.kind).map_err(Failure::Config)?,
            gate: Gate::read(&file.gate).map_err(Failure::Config)?,
            name: file.name.parse().map_err(|error| Failure::Config(format!("name: {error}")))?,
            task: file.task,
            auto_deploy: file.auto_deploy,
            seed: file.seed,
            threads: file.threads.unwrap_or(threads),
            data,
            validation: file.validation,
            model: file.model,
            search: file.search,
            evaluation: file.evaluation,
            export: file.export,
            deployment: file.deployment,
            registry: file.registry,
            retry: file.retry,
            schedule: file.schedule,
            card: file.card,
            tracking: file.tracking,
            digest: Digest::of(text.as_bytes(), &mut || {}).to_string(),
            text: text.to_owned(),
            folder: PathBuf::from("."),
        })
    }

    /// Whether classes are predicted, where the configuration says it.
    pub(crate) fn classes(&self) -> Option<bool> {
        self.task.map(|task| task == TaskName::Classification).or(self.kind.only_classes())
    }

    /// Who learns.
    pub(crate) fn learner(&self) -> Learner {
        Learner {
            kind: self.kind,
            params: self.model.params.clone(),
            library: self.model.library.clone(),
            seed: self.seed,
            threads: self.threads,
        }
    }

    /// Keys of these sections, `section` or `section.key`, that another text of the file had otherwise. Comments and order
    /// are no change, nor are the keys of `free`.
    pub(crate) fn changed_since(&self, before: &str, sections: &[&str], free: &[&str]) -> Vec<String> {
        let keys = |text: &str| keys(text).unwrap_or_default();
        let (now, before) = (keys(&self.text), keys(before));
        let within = |key: &str, section: &str| {
            key.strip_prefix(section).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let counts = |key: &&String| {
            sections.iter().any(|section| within(key, section)) && !free.contains(&key.as_str())
        };
        let differs = |key: &&String| now.get(*key) != before.get(*key);
        let all: BTreeSet<&String> = now.keys().chain(before.keys()).collect();
        all.into_iter().filter(counts).filter(differs).cloned().collect()
    }
}

/// What a file says, by section and key.
fn keys(text: &str) -> Option<BTreeMap<String, toml::Value>> {
    let mut keys = BTreeMap::new();
    for (name, value) in text.parse::<toml::Table>().ok()? {
        match value {
            toml::Value::Table(section) => {
                keys.extend(section.into_iter().map(|(key, value)| (format!("{name}.{key}"), value)));
            }
            value => drop(keys.insert(name, value)),
        }
    }
    Some(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_is_told_by_its_key() {
        let text = "name = \"m\"\ntarget_column = \"y\"\n[data]\nsource = \"file\"\npath = \"rows.csv\"\n\
                    [model]\ntype = \"builtin\"\n";
        for (more, complaint) in [
            ("threads = 0\n", "threads is 0; leave it out"),
            ("gate.rmsee = 1\n", "gate.rmsee: there is no metric `rmsee`; did you mean `rmse`?"),
            ("validation.missing_threshold = \"much\"\n", "missing_threshold"),
        ] {
            let error = Config::parse(&format!("{more}{text}")).err().unwrap().to_string();
            assert!(error.contains(complaint), "{error} and not {complaint}");
            assert!(!error.contains("gate: "), "{error}");
        }
    }
}
