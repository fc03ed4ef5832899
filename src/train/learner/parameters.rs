//! What a configuration hands to a library: names it knows, values it can read.

use std::collections::BTreeMap;

use toml::Value;

use super::FitError;
use sidegate::suggest::meant;

/// The names that a library has for its parameters.
pub(super) struct Names {
    pub(super) learner: &'static str,
    /// Each with the other names for the same.
    pub(super) known: &'static [(&'static str, &'static [&'static str])],
    /// Of the library, but not to be set: with the reason.
    pub(super) refused: &'static [(&'static str, &'static [&'static str], &'static str)],
}

/// Parameters under their first names, in alphabetical order.
pub(super) struct Parameters {
    learner: &'static str,
    values: BTreeMap<&'static str, Value>,
}

impl Names {
    /// Checks the names of a table.
    pub(super) fn read(&self, table: &toml::Table) -> Result<Parameters, FitError> {
        let mut values: BTreeMap<&'static str, Value> = BTreeMap::new();
        let mut given: BTreeMap<&'static str, &str> = BTreeMap::new();
        for (key, value) in table {
            let name = self.first_name(key)?;
            if let Some(before) = given.insert(name, key) {
                return Err(self.error(format_args!("`{before}` and `{key}` are the same parameter")));
            }
            values.insert(name, value.clone());
        }
        Ok(Parameters { learner: self.learner, values })
    }

    /// The table with another value of a parameter, whichever of its names it has there.
    pub(super) fn with(
        &self,
        table: &toml::Table,
        name: &'static str,
        value: impl Into<Value>,
    ) -> toml::Table {
        let mut table = table.clone();
        table.retain(|key, _| self.first_name(key).as_ref() != Ok(&name));
        table.insert(name.to_owned(), value.into());
        table
    }

    fn first_name(&self, key: &str) -> Result<&'static str, FitError> {
        let is = |name: &str, others: &[&str]| name == key || others.contains(&key);
        if let Some((name, _)) = self.known.iter().find(|(name, others)| is(name, others)) {
            return Ok(name);
        }
        if let Some((_, _, why)) = self.refused.iter().find(|(name, others, _)| is(name, others)) {
            return Err(self.error(format_args!("`{key}` cannot be set: {why}")));
        }
        let all = self.known.iter().flat_map(|(name, others)| std::iter::once(name).chain(*others));
        Err(self.error(format_args!("`{key}` is no parameter of it{}", meant(key, all.copied()))))
    }

    fn error(&self, what: std::fmt::Arguments<'_>) -> FitError {
        FitError::Parameters(format!("{}: {what}", self.learner))
    }
}

impl Parameters {
    /// Takes out a whole number.
    pub(super) fn take_count(&mut self, name: &'static str) -> Result<Option<u32>, FitError> {
        match self.values.remove(name) {
            None => Ok(None),
            Some(value) => match value.as_integer().map(u32::try_from) {
                Some(Ok(number)) => Ok(Some(number)),
                _ => Err(self.wrong(name, &value, "a whole number, 0 or above")),
            },
        }
    }

    /// Takes out a number.
    pub(super) fn take_number(&mut self, name: &'static str) -> Result<Option<f64>, FitError> {
        match self.values.remove(name) {
            None => Ok(None),
            Some(Value::Float(number)) if number.is_finite() => Ok(Some(number)),
            Some(Value::Integer(number)) => Ok(Some(number as f64)),
            Some(value) => Err(self.wrong(name, &value, "a number")),
        }
    }

    /// Takes out a switch.
    pub(super) fn take_switch(&mut self, name: &'static str) -> Result<Option<bool>, FitError> {
        match self.values.remove(name) {
            None => Ok(None),
            Some(Value::Boolean(on)) => Ok(Some(on)),
            Some(value) => Err(self.wrong(name, &value, "true or false")),
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }

    /// Sets what the configuration has not set.
    pub(super) fn default(&mut self, name: &'static str, value: impl Into<Value>) {
        self.values.entry(name).or_insert_with(|| value.into());
    }

    /// Sets what columns say; a configuration that says it too is refused.
    pub(super) fn set_by_columns(&mut self, name: &'static str, value: String) -> Result<(), FitError> {
        if self.values.insert(name, Value::String(value)).is_some() {
            let learner = self.learner;
            return Err(FitError::Parameters(format!(
                "{learner}: `{name}` is set, and columns have such constraints of their own; use one of them"
            )));
        }
        Ok(())
    }

    /// Refuses values of a parameter but these.
    pub(super) fn only(&self, name: &'static str, values: &[&str], why: &str) -> Result<(), FitError> {
        match self.values.get(name) {
            Some(value) if !value.as_str().is_some_and(|value| values.contains(&value)) => {
                let known = values.join("`, `");
                Err(self.wrong(name, value, &format!("`{known}`: {why}")))
            }
            _ => Ok(()),
        }
    }

    /// All of them as the library reads them. A list is written as `list` says.
    pub(super) fn texts(
        &self,
        list: impl Fn(&'static str, Vec<String>) -> Vec<String>,
    ) -> Result<Vec<(&'static str, String)>, FitError> {
        let mut texts = Vec::new();
        for (name, value) in &self.values {
            let wrong = || self.wrong(name, value, "a number, a text, true or false, or a list of them");
            match value {
                Value::Array(items) => {
                    let items = items.iter().map(text).collect::<Option<Vec<_>>>().ok_or_else(wrong)?;
                    texts.extend(list(name, items).into_iter().map(|text| (*name, text)));
                }
                one => texts.push((*name, text(one).ok_or_else(wrong)?)),
            }
        }
        Ok(texts)
    }

    fn wrong(&self, name: &str, value: &Value, expected: &str) -> FitError {
        let value = text(value).unwrap_or_else(|| format!("a {}", value.type_str()));
        FitError::Parameters(format!("{}: `{name}` is `{value}`, not {expected}", self.learner))
    }
}

/// A value as both libraries read it; lists within a list stand in brackets.
fn text(value: &Value) -> Option<String> {
    Some(match value {
        Value::String(text) => text.clone(),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) if number.is_finite() => number.to_string(),
        Value::Boolean(on) => on.to_string(),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(text).collect::<Option<Vec<_>>>()?.join(","))
        }
        _ => return None,
    })
}
