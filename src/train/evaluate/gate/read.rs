//! A gate from its configuration.

use sidegate::config::{ModelCheck, ModelChecks};
use sidegate::score::Better;
use sidegate::suggest::meant;
use toml::{Table, Value};

use super::{FACTS, Gate, Margin, Rule};
use crate::evaluate::metric::{metrics, named, unknown};
use crate::table::Task;

/// How sure one must be that the champion is not replaced by something worse.
const CONFIDENCE: f64 = 0.95;

impl Gate {
    /// Reads `[gate]`: `rmse = 12` goes by the metric's direction, `min_…` and `max_…` say theirs, and `[gate.champion]`
    /// holds `rmse = { margin = 0.1 }` or `{ relative_margin = 0.01, confidence = 0.95 }`. `checks` names the tests that
    /// the served file has to pass, all of them unless said; `prediction_range = "0..1"` is for the one of that name.
    ///
    /// # Errors
    /// Names the key that is wrong and what is possible instead.
    pub(crate) fn read(table: &Table) -> Result<Self, String> {
        let (mut rules, mut checks, mut range) =
            (Vec::new(), ModelCheck::ALL.iter().copied().collect(), None);
        for (key, value) in table {
            match value {
                _ if key == "checks" => checks = read_checks(value)?,
                Value::String(text) if key == "prediction_range" => {
                    let read = text.parse().map_err(|error| format!("gate.prediction_range: {error}"))?;
                    range = Some(read);
                }
                _ if key == "prediction_range" => {
                    let found = value.type_str();
                    return Err(format!(
                        "gate.prediction_range: expected a text such as \"0..1\", not a {found}"
                    ));
                }
                Value::Table(champion) if key == "champion" => {
                    for (metric, value) in champion {
                        rules.push(not_worse(metric, value)?);
                    }
                }
                _ => rules.push(bound(key, value)?),
            }
        }
        Ok(Self { rules, checks, range })
    }

    /// Refuses rules that no model of the task can keep, before anything is trained.
    ///
    /// # Errors
    /// Names the metric and those that the task has.
    pub(crate) fn check(&self, task: Task) -> Result<(), String> {
        for rule in &self.rules {
            let name = rule.name();
            let of_task = metrics(task).iter().any(|metric| metric.name == name);
            if !of_task && !FACTS.iter().any(|fact| fact.0 == name) {
                let names: Vec<&str> = metrics(task).iter().map(|metric| metric.name).collect();
                return Err(format!("gate: `{name}` is no metric of this task; it has {}", names.join(", ")));
            }
        }
        Ok(())
    }
}

fn read_checks(value: &Value) -> Result<ModelChecks, String> {
    let words = || ModelCheck::WORDS.join(", ");
    let read = |value: &Value| {
        let name = value.as_str().unwrap_or_default();
        ModelCheck::ALL.iter().find(|check| check.name() == name).copied().ok_or_else(|| {
            let hint = meant(name, ModelCheck::WORDS.iter().copied());
            format!("gate.checks: there is no check `{name}`{hint} (known: {})", words())
        })
    };
    let checks = value.as_array().ok_or_else(|| format!("gate.checks: expected a list of {}", words()))?;
    checks.iter().map(read).collect()
}

fn bound(key: &str, value: &Value) -> Result<Rule, String> {
    let (name, side) = match (key.strip_prefix("min_"), key.strip_prefix("max_")) {
        (Some(name), _) => (name, Some(Better::Higher)),
        (_, Some(name)) => (name, Some(Better::Lower)),
        _ => (key, None),
    };
    let fact = FACTS.iter().find(|fact| fact.0 == name).copied();
    let metric = named(name).map(|metric| (metric.name, metric.better));
    let (name, natural) = fact.or(metric).ok_or_else(|| unknown_here(key, name))?;
    Ok(Rule::Bound { name: name.to_owned(), better: side.unwrap_or(natural), value: number(key, value)? })
}

fn not_worse(key: &str, value: &Value) -> Result<Rule, String> {
    let path = format!("champion.{key}");
    let metric = named(key).ok_or_else(|| unknown_here(&path, key))?.name.to_owned();
    let Value::Table(table) = value else {
        return Err(format!("gate.{path}: expected a table such as {{ relative_margin = 0.01 }}"));
    };
    let (mut margin, mut confidence) = (None, CONFIDENCE);
    for (name, value) in table {
        let value = number(&format!("{path}.{name}"), value)?;
        match name.as_str() {
            "margin" if margin.is_none() => margin = Some(Margin::Absolute(value)),
            "relative_margin" if margin.is_none() => margin = Some(Margin::Relative(value)),
            "margin" | "relative_margin" => {
                return Err(format!("gate.{path}: either `margin` or `relative_margin`, not both"));
            }
            "confidence" => confidence = value,
            _ => {
                return Err(format!(
                    "gate.{path}.{name} is not known; known are margin, relative_margin, confidence"
                ));
            }
        }
    }
    if !(0.5..1.0).contains(&confidence) {
        return Err(format!("gate.{path}.confidence is {confidence}; it is between 0.5 and 1"));
    }
    Ok(Rule::NotWorse { metric, margin: margin.unwrap_or(Margin::Absolute(0.0)), confidence })
}

fn number(key: &str, value: &Value) -> Result<f64, String> {
    let number = match value {
        Value::Integer(number) => Some(*number as f64),
        Value::Float(number) => Some(*number).filter(|number| number.is_finite()),
        _ => None,
    };
    number.ok_or_else(|| format!("gate.{key}: expected a number, not a {}", value.type_str()))
}

fn unknown_here(key: &str, name: &str) -> String {
    let others = FACTS.iter().map(|fact| fact.0).chain(["checks", "prediction_range", "champion"]);
    format!("gate.{key}: {}", unknown(name, others))
}
