//! A gate from its configuration.

use sidegate::score::Better;
use toml::{Table, Value};

use super::{FACTS, Gate, Margin, Rule};
use crate::evaluate::metric::{metrics, named};
use crate::table::Task;

/// How sure one must be that the champion is not replaced by something worse.
const CONFIDENCE: f64 = 0.95;

impl Gate {
    /// Reads `[gate]`: `rmse = 12` goes by the metric's direction, `min_…` and `max_…` say theirs, and `[gate.champion]`
    /// holds `rmse = { margin = 0.1 }` or `{ relative_margin = 0.01, confidence = 0.95 }`.
    ///
    /// # Errors
    /// Names the key that is wrong and what is possible instead.
    pub(crate) fn read(table: &Table) -> Result<Self, String> {
        let mut rules = Vec::new();
        for (key, value) in table {
            match value {
                Value::Table(champion) if key == "champion" => {
                    for (metric, value) in champion {
                        rules.push(not_worse(metric, value)?);
                    }
                }
                _ => rules.push(bound(key, value)?),
            }
        }
        Ok(Self { rules })
    }

    /// Refuses rules that no model of the task can keep, before anything is trained.
    ///
    /// # Errors
    /// Names the metric and those that the task has.
    pub(crate) fn check(&self, task: Task) -> Result<(), String> {
        for rule in &self.rules {
            let name = match rule {
                Rule::Bound { name, .. } => name,
                Rule::NotWorse { metric, .. } => metric,
            };
            let of_task = metrics(task).iter().any(|metric| metric.name == name);
            if !of_task && !FACTS.iter().any(|fact| fact.0 == name) {
                let names: Vec<&str> = metrics(task).iter().map(|metric| metric.name).collect();
                return Err(format!("gate: `{name}` is no metric of this task; it has {}", names.join(", ")));
            }
        }
        Ok(())
    }
}

fn bound(key: &str, value: &Value) -> Result<Rule, String> {
    let (name, side) = match (key.strip_prefix("min_"), key.strip_prefix("max_")) {
        (Some(name), _) => (name, Some(Better::Higher)),
        (_, Some(name)) => (name, Some(Better::Lower)),
        _ => (key, None),
    };
    let fact = FACTS.iter().find(|fact| fact.0 == name).copied();
    let metric = named(name).map(|metric| (metric.name, metric.better));
    let (name, natural) = fact.or(metric).ok_or_else(|| unknown(key, name))?;
    Ok(Rule::Bound { name: name.to_owned(), better: side.unwrap_or(natural), value: number(key, value)? })
}

fn not_worse(key: &str, value: &Value) -> Result<Rule, String> {
    let path = format!("champion.{key}");
    let metric = named(key).ok_or_else(|| unknown(&path, key))?.name.to_owned();
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

fn unknown(key: &str, name: &str) -> String {
    let tasks = [Task::Regression, Task::Binary, Task::Multiclass { classes: 3 }];
    let all = tasks.iter().flat_map(|task| metrics(*task)).map(|metric| metric.name);
    let mut names: Vec<&str> = all.chain(FACTS.iter().map(|fact| fact.0)).collect();
    names.sort_unstable();
    names.dedup();
    let near = names
        .iter()
        .min_by_key(|known| distance(name, known))
        .filter(|known| distance(name, known) <= (name.len() / 3).max(1));
    let hint = near
        .map_or_else(|| format!("known are {}", names.join(", ")), |near| format!("did you mean `{near}`?"));
    format!("gate.{key}: there is no metric `{name}`; {hint}")
}

/// Letters added, dropped or changed (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(64).enumerate() {
        let mut corner = i;
        let mut left = i + 1;
        for (y, above) in b.iter().zip(row.iter_mut().skip(1)) {
            let kept = corner + usize::from(x != *y);
            corner = *above;
            left = kept.min(left + 1).min(*above + 1);
            *above = left;
        }
        row[0] = i + 1;
    }
    row.last().copied().unwrap_or(0)
}
