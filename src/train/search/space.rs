//! What parameters are drawn from.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::{Table, Value};

use crate::evaluate::Random;

/// By parameter, in the order of their names: the order in which they are drawn.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Table")]
pub(crate) struct Space(BTreeMap<String, Range>);

/// The values that a parameter may take.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Range {
    /// Whole numbers, both ends among them.
    Whole { low: i64, high: i64, log: bool },
    /// Numbers.
    Real { low: f64, high: f64, log: bool },
    /// One of these.
    Choice(Vec<Value>),
}

// === impl Space ===

impl TryFrom<Table> for Space {
    type Error = String;

    fn try_from(table: Table) -> Result<Self, String> {
        if table.is_empty() {
            return Err("search.params names no parameter; num_leaves = [15, 255] is one".to_owned());
        }
        let range = |(name, value): (String, Value)| match Range::read(&value) {
            Ok(range) => Ok((name, range)),
            Err(why) => Err(format!("search.params.{name}: {why}")),
        };
        Ok(Self(table.into_iter().map(range).collect::<Result<_, _>>()?))
    }
}

impl Space {
    /// The names, for people.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }

    /// One value for each parameter.
    pub(super) fn draw(&self, random: &mut Random) -> Table {
        self.0.iter().map(|(name, range)| (name.clone(), range.draw(random))).collect()
    }

    /// Draws that every value is among or between: what a learner refuses is refused before anything is trained.
    pub(super) fn corners(&self) -> Vec<Table> {
        let of = |pick: &dyn Fn(&Range) -> Value| -> Table {
            self.0.iter().map(|(name, range)| (name.clone(), pick(range))).collect()
        };
        let mut corners = vec![of(&Range::low), of(&Range::high)];
        for (name, range) in &self.0 {
            let Range::Choice(values) = range else { continue };
            for value in values {
                let mut corner = of(&Range::low);
                corner.insert(name.clone(), value.clone());
                corners.push(corner);
            }
        }
        corners
    }
}

// === impl Range ===

impl Range {
    /// Two numbers are the ends of a range, other lists are choices; tables say which.
    fn read(value: &Value) -> Result<Self, String> {
        match value {
            Value::Array(values) => match values.as_slice() {
                [low, high] if number(low).is_some() && number(high).is_some() => {
                    Self::between(low, high, false)
                }
                _ => Self::choice(values),
            },
            Value::Table(table) => Self::read_table(table),
            other => Err(format!(
                "`{other}` is no range; [15, 255], {{ low = 0.01, high = 0.3, log = true }} and [\"a\", \"b\"] are"
            )),
        }
    }

    fn read_table(table: &Table) -> Result<Self, String> {
        let unknown = |key: &&String| !["low", "high", "log", "choices"].contains(&key.as_str());
        if let Some(key) = table.keys().find(unknown) {
            return Err(format!("`{key}` is not known; known are low, high, log, choices"));
        }
        match (table.get("choices"), table.get("low"), table.get("high")) {
            (Some(Value::Array(values)), None, None) if table.len() == 1 => Self::choice(values),
            (None, Some(low), Some(high)) => match table.get("log") {
                None => Self::between(low, high, false),
                Some(Value::Boolean(log)) => Self::between(low, high, *log),
                Some(_) => Err("`log` is true or false".to_owned()),
            },
            _ => Err("either `low` and `high`, or `choices`, a list".to_owned()),
        }
    }

    fn choice(values: &[Value]) -> Result<Self, String> {
        match values {
            [] => Err("there is nothing to choose from".to_owned()),
            values => Ok(Self::Choice(values.to_vec())),
        }
    }

    fn between(low: &Value, high: &Value, log: bool) -> Result<Self, String> {
        let (Some(least), Some(most)) = (number(low), number(high)) else {
            return Err("`low` and `high` are numbers".to_owned());
        };
        if least >= most {
            return Err(format!(
                "{low} is not below {high}; {{ choices = [{low}, {high}] }} takes one of two"
            ));
        }
        if log && least <= 0.0 {
            return Err(format!("low is {low}; with log = true it is above 0"));
        }
        Ok(match (low, high) {
            (Value::Integer(low), Value::Integer(high)) => Self::Whole { low: *low, high: *high, log },
            _ => Self::Real { low: least, high: most, log },
        })
    }

    fn low(&self) -> Value {
        match self {
            Self::Whole { low, .. } => Value::Integer(*low),
            Self::Real { low, .. } => Value::Float(*low),
            Self::Choice(values) => values.first().cloned().unwrap_or(Value::Boolean(false)),
        }
    }

    fn high(&self) -> Value {
        match self {
            Self::Whole { high, .. } => Value::Integer(*high),
            Self::Real { high, .. } => Value::Float(*high),
            Self::Choice(values) => values.last().cloned().unwrap_or(Value::Boolean(false)),
        }
    }

    fn draw(&self, random: &mut Random) -> Value {
        let share = random.share();
        match self {
            Self::Whole { low, high, log } => {
                // Each whole number has the room up to the next one.
                let drawn = between(*low as f64, *high as f64 + 1.0, *log, share);
                #[expect(clippy::cast_possible_truncation, reason = "it lies between two of them")]
                Value::Integer((drawn.floor() as i64).clamp(*low, *high))
            }
            Self::Real { low, high, log } => {
                Value::Float(between(*low, *high, *log, share).clamp(*low, *high))
            }
            Self::Choice(values) => {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a place in a list"
                )]
                let at = (share * values.len() as f64) as usize;
                values.get(at.min(values.len() - 1)).cloned().unwrap_or_else(|| self.low())
            }
        }
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Integer(number) => Some(*number as f64),
        Value::Float(number) => Some(*number).filter(|number| number.is_finite()),
        _ => None,
    }
}

fn between(low: f64, high: f64, log: bool, share: f64) -> f64 {
    if log { (low.ln() + share * (high.ln() - low.ln())).exp() } else { low + share * (high - low) }
}
