//! Reads settings from environment variables: `SIDEGATE_HTTP__LISTEN`, `SIDEGATE_MODELS__CHURN__ENGINE`.
//!
//! Names are compared in capitals with `-` and `.` as `_`, so several models or variables can come out the same;
//! that is a problem, never a guess.

use std::collections::{BTreeMap, BTreeSet};

use super::file::Written;
use super::key::{Family, Key};
use super::keys::KEYS;
use super::problem::{Origin, Problem};
use super::value::Value;
use crate::model::ModelName;

/// What the variables of sidegate begin with.
pub(super) const PREFIX: &str = "SIDEGATE_";

/// Names the configuration file.
const CONFIG: &str = "SIDEGATE_CONFIG";

/// Where SageMaker has a container listen: in an inference pipeline, and in its local mode.
pub(super) const BIND_TO_PORT: &str = "SAGEMAKER_BIND_TO_PORT";

/// SageMaker's word that models come by request, and where it lays them.
pub(super) const MULTI_MODEL: &str = "SAGEMAKER_MULTI_MODEL";
const MULTI_MODEL_URL: &str = "sagemaker:///opt/ml/models";

/// What `sidegate-train` reads besides: where the libraries of its learners are.
const LEARNERS: &[&str] = &["SIDEGATE_LIGHTGBM", "SIDEGATE_XGBOOST"];

/// The variables that concern sidegate, by their normal form.
pub(super) struct Environment<'a> {
    variables: BTreeMap<String, (&'a str, &'a str)>,
    bind_to_port: Option<&'a str>,
    multi_model: bool,
    pub(super) problems: Vec<Problem>,
}

/// A name as it is compared.
pub(super) fn normal(name: &str) -> String {
    name.to_ascii_uppercase().replace(['-', '.'], "_")
}

/// The variable of a key.
pub(super) fn variable(key: &Key) -> String {
    match key.section() {
        "" => format!("{PREFIX}{}", normal(key.name())),
        section => format!("{PREFIX}{}__{}", normal(section), normal(key.name())),
    }
}

/// Before the name of a model or an experiment.
fn prefix(family: Family) -> String {
    format!("{PREFIX}{}__", normal(family.name()))
}

/// The key that exists once and has this variable.
fn once(normal: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.family().is_none() && variable(key) == normal)
}

// === impl Environment ===

impl<'a> Environment<'a> {
    /// Sorts out which variables are meant.
    pub(super) fn new(variables: &'a [(String, String)]) -> Self {
        let mut all = BTreeMap::new();
        let mut problems = Vec::new();
        let (mut bind_to_port, mut multi_model) = (None, false);
        for (name, value) in variables {
            if name == BIND_TO_PORT && !value.is_empty() {
                bind_to_port = Some(value.as_str());
            }
            if name == MULTI_MODEL {
                match value.to_ascii_lowercase().as_str() {
                    "true" => multi_model = true,
                    "false" | "" => {}
                    _ => {
                        problems.push(problem(name, Value::Untyped(value.clone()).expected("true or false")))
                    }
                }
            }
            let normal = normal(name);
            if !normal.starts_with(PREFIX) || is_service_link(&normal, value) {
                continue;
            }
            if let Some((other, _)) = all.insert(normal, (name.as_str(), value.as_str())) {
                problems
                    .push(problem(name, format!("ambiguous, because {other} is set too; unset one of them")));
            }
        }
        Self { variables: all, bind_to_port, multi_model, problems }
    }

    /// The configuration file that the environment names.
    pub(super) fn config_file(&self) -> Option<&'a str> {
        self.variables.get(CONFIG).map(|(_, value)| *value).filter(|value| !value.is_empty())
    }

    /// Whether SageMaker has this container serve models by request.
    pub(super) fn is_multi_model(&self) -> bool {
        self.multi_model
    }

    /// Settings of keys that exist once. Names that no key has are problems.
    pub(super) fn once(&mut self) -> Vec<Written> {
        let mut settings = Vec::new();
        // First, so that our own variable is heard in its place.
        if let (Some(port), Some(key)) = (self.bind_to_port, once("SIDEGATE_HTTP__LISTEN")) {
            settings.push(written(key, None, BIND_TO_PORT, &format!("0.0.0.0:{port}")));
        }
        if let Some(key) = once("SIDEGATE_REGISTRY__URL").filter(|_| self.multi_model) {
            settings.push(written(key, None, MULTI_MODEL, MULTI_MODEL_URL));
        }
        for (normal, (name, value)) in &self.variables {
            let of_family = || Family::ALL.iter().any(|family| normal.starts_with(&prefix(*family)));
            let key = once(normal);
            if normal == CONFIG || LEARNERS.contains(&normal.as_str()) || (key.is_none() && of_family()) {
                continue;
            }
            match key {
                Some(key) => settings.push(written(key, None, name, value)),
                None => {
                    let known: Vec<String> = KEYS.iter().map(variable).chain([CONFIG.to_owned()]).collect();
                    let hint = crate::suggest::nearest(normal, known.iter().map(String::as_str));
                    let hint = hint.map(|hint| format!("; did you mean `{hint}`?")).unwrap_or_default();
                    self.problems.push(problem(name, format!("no key has this variable{hint}")));
                }
            }
        }
        settings
    }

    /// Settings of models or experiments that are known by name from elsewhere.
    pub(super) fn named(&mut self, family: Family, known: &BTreeSet<ModelName>) -> Vec<Written> {
        let prefix = prefix(family);
        let keys = || KEYS.iter().filter(|key| key.family() == Some(family));
        let mut settings = Vec::new();
        for (normal, (name, value)) in &self.variables {
            let Some(rest) = normal.strip_prefix(&prefix).filter(|_| once(normal).is_none()) else {
                continue;
            };
            let found = keys().find_map(|key| {
                let named = rest.strip_suffix(&format!("__{}", self::normal(key.name())))?;
                Some((key, named))
            });
            let Some((key, named)) = found else {
                let names: Vec<_> = keys().map(Key::name).collect();
                let text = format!("expected {prefix}NAME__KEY with one of the keys {}", names.join(", "));
                self.problems.push(problem(name, text));
                continue;
            };
            let fits: Vec<&ModelName> = known.iter().filter(|n| self::normal(n.as_str()) == named).collect();
            match fits[..] {
                [named] => settings.push(written(key, Some(named.clone()), name, value)),
                [] => {
                    let elsewhere = match family {
                        Family::Models => "add it to registry.models or ",
                        Family::Experiments => "",
                    };
                    let (one, table) = (family.one(), family.section());
                    let text = format!(
                        "the configuration names no such {one}; {elsewhere}give it a table [{table}]"
                    );
                    self.problems.push(problem(name, text));
                }
                _ => {
                    let names: Vec<_> = fits.iter().map(|named| format!("`{named}`")).collect();
                    let text = format!("ambiguous, it stands for {}; use the file", names.join(" and "));
                    self.problems.push(problem(name, text));
                }
            }
        }
        settings
    }
}

/// Kubernetes gives every pod the addresses of the services in its namespace, and one of them may well be called
/// `sidegate`: `SIDEGATE_SERVICE_HOST`, `SIDEGATE_PORT_8000_TCP_ADDR`, … say nothing to us.
fn is_service_link(normal: &str, value: &str) -> bool {
    let port = |text: &str| {
        let (number, rest) = text.split_once('_').unwrap_or((text, ""));
        let protocol = rest.split('_').next().unwrap_or_default();
        !number.is_empty()
            && number.bytes().all(|b| b.is_ascii_digit())
            && ["TCP", "UDP", "SCTP"].contains(&protocol)
            && ["", "_PROTO", "_PORT", "_ADDR"].contains(&&rest[protocol.len()..])
    };
    let service_port = |text: &str| text.is_empty() || text.starts_with('_');
    normal.ends_with("_SERVICE_HOST")
        || normal.rsplit_once("_SERVICE_PORT").is_some_and(|(_, rest)| service_port(rest))
        || (normal.ends_with("_PORT") && value.contains("://"))
        || normal.rmatch_indices("_PORT_").any(|(at, found)| port(&normal[at + found.len()..]))
}

fn written(key: &'static Key, named: Option<ModelName>, name: &str, value: &str) -> Written {
    let origin = Origin::Environment(name.into());
    Written { key, name: named, value: Value::Untyped(value.into()), origin }
}

fn problem(name: &str, text: String) -> Problem {
    Problem { origin: Origin::Environment(name.into()), key: None, text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_links_of_kubernetes_are_not_ours() {
        for (name, value, is_link) in [
            ("SIDEGATE_SERVICE_HOST", "10.0.0.1", true),
            ("SIDEGATE_SERVICE_PORT", "8000", true),
            ("SIDEGATE_SERVICE_PORT_HTTP", "8000", true),
            ("SIDEGATE_PORT", "tcp://10.0.0.1:8000", true),
            ("SIDEGATE_PORT_8000_TCP", "tcp://10.0.0.1:8000", true),
            ("SIDEGATE_ADMIN_PORT_8002_TCP_ADDR", "10.0.0.1", true),
            ("SIDEGATE_PORT", "8000", false),
            ("SIDEGATE_PORT_X_TCP", "1", false),
            ("SIDEGATE_HTTP__LISTEN", "127.0.0.1:1", false),
        ] {
            assert_eq!(is_service_link(name, value), is_link, "{name}");
        }
    }

    #[test]
    fn every_key_has_a_variable_of_its_own() {
        let variables: BTreeSet<String> = KEYS.iter().map(variable).collect();
        assert_eq!(variables.len(), KEYS.len());
        assert!(variables.contains("SIDEGATE_DEFAULT_MODEL") && variables.contains("SIDEGATE_REGISTRY__URL"));
    }
}
