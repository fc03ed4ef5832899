//! Parameters under the names of the libraries that people know.

use std::fmt::Display;

use sidegate::suggest::nearest;
use toml::Value;

use crate::learner::builtin::FitError;

/// A parameter: its name, and the other names of the same.
pub(crate) type Known = (&'static str, &'static [&'static str]);

/// Parameters whose names have been checked.
pub(crate) struct Params<'a> {
    kind: &'static str,
    table: &'a toml::Table,
    known: &'static [Known],
}

impl<'a> Params<'a> {
    /// # Errors
    /// A name that is not known, with the nearest known one; two names of one thing.
    pub(crate) fn new(
        kind: &'static str,
        table: &'a toml::Table,
        known: &'static [Known],
    ) -> Result<Self, FitError> {
        let names = || known.iter().flat_map(|(name, others)| others.iter().chain([name]).copied());
        for given in table.keys() {
            if names().any(|name| name == given) {
                continue;
            }
            let near = nearest(given, names());
            let meant = near.map_or_else(
                || format!("it knows {}", known.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            return Err(FitError::Parameters(format!("`{kind}` has no parameter `{given}`; {meant}")));
        }
        let params = Self { kind, table, known };
        for (name, others) in known {
            let mut given = others.iter().chain([name]).filter(|name| table.contains_key(**name));
            if let (Some(one), Some(other)) = (given.next(), given.next()) {
                return Err(params.wrong(one, format!("is the same as `{other}`; give one of them")));
            }
        }
        Ok(params)
    }

    /// An error on a parameter.
    pub(crate) fn wrong(&self, name: &str, what: impl Display) -> FitError {
        FitError::Parameters(format!("`{}`: `{name}` {what}", self.kind))
    }

    /// What is given under any of its names.
    pub(crate) fn value(&self, name: &str) -> Option<&'a Value> {
        let (name, others) = self.known.iter().find(|(known, _)| *known == name)?;
        others.iter().chain([name]).find_map(|name| self.table.get(*name))
    }

    /// A number from `least` to `most`.
    pub(crate) fn number(
        &self,
        name: &str,
        default: f64,
        (least, most): (f64, f64),
    ) -> Result<f64, FitError> {
        let given = match self.value(name) {
            None => return Ok(default),
            Some(Value::Float(given)) => *given,
            Some(Value::Integer(given)) => *given as f64,
            Some(other) => {
                return Err(self.wrong(name, format!("is of type {}, not a number", other.type_str())));
            }
        };
        if given >= least && given <= most {
            return Ok(given);
        }
        let bounds =
            if most.is_finite() { format!("from {least} to {most}") } else { format!("at least {least}") };
        Err(self.wrong(name, format!("is {given}, it must be {bounds}")))
    }

    /// A whole number from `least` to `most`.
    pub(crate) fn count(&self, name: &str, default: u32, (least, most): (u32, u32)) -> Result<u32, FitError> {
        match self.value(name) {
            None => Ok(default),
            Some(Value::Integer(given)) => {
                let fits = u32::try_from(*given).ok().filter(|given| (least..=most).contains(given));
                fits.ok_or_else(|| self.wrong(name, format!("is {given}, it must be from {least} to {most}")))
            }
            Some(other) => {
                Err(self.wrong(name, format!("is of type {}, not a whole number", other.type_str())))
            }
        }
    }

    /// True or false.
    pub(crate) fn truth(&self, name: &str, default: bool) -> Result<bool, FitError> {
        match self.value(name) {
            None => Ok(default),
            Some(Value::Boolean(given)) => Ok(*given),
            Some(other) => {
                Err(self.wrong(name, format!("is of type {}, not true or false", other.type_str())))
            }
        }
    }

    /// A word.
    pub(crate) fn word(&self, name: &str) -> Result<Option<&'a str>, FitError> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::String(given)) => Ok(Some(given)),
            Some(other) => Err(self.wrong(name, format!("is of type {}, not a word", other.type_str()))),
        }
    }
}
