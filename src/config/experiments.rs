//! How the keys of an experiment are read and shown; what they mean together is for [`crate::experiment`].

use super::key::Scope;
use super::setting::{Named, Setting, texts};
use super::value::{Value, quoted};
use crate::experiment::{
    Condition, Field, Guardrail, Hash, Margin, Metric, Mode, Rule, Serve, Share, Slots, Step,
};
use crate::model::shorten;

/// A value that an entry of a table has.
trait Entry: Sized {
    /// What the message says is expected.
    const EXPECTED: &str;

    fn parse(text: &str) -> Result<Self, String>;

    fn write(&self) -> String;
}

/// A table whose keys are names of variants. From the environment: `control=1,candidate=2`.
impl<T: Entry> Setting for Vec<(String, T)> {
    fn read(value: &Value, _: &Scope<'_>) -> Result<Self, String> {
        let pairs: Vec<(String, String)> = match value {
            Value::Table(entries) => {
                let text = |value: &Value| match value {
                    Value::Text(text) => Ok(text.clone()),
                    Value::Integer(number) => Ok(number.to_string()),
                    other => Err(other.expected(T::EXPECTED)),
                };
                let pair = |(name, value): &(String, Value)| {
                    let value = text(value).map_err(|error| format!("`{}`: {error}", shorten(name)))?;
                    Ok((name.clone(), value))
                };
                entries.iter().map(pair).collect::<Result<_, String>>()?
            }
            Value::Untyped(list) => {
                let pairs = list.split(',').map(str::trim).filter(|pair| !pair.is_empty());
                let pair = |pair: &str| {
                    let (name, value) = pair.split_once('=')?;
                    Some((name.trim().to_owned(), value.trim().to_owned()))
                };
                let pairs: Option<_> = pairs.map(pair).collect();
                pairs.ok_or_else(|| value.expected("VARIANT=VALUE, separated by commas"))?
            }
            other => return Err(other.expected(&format!("a table of variants, each with {}", T::EXPECTED))),
        };
        let entry = |(name, text): (String, String)| match T::parse(&text) {
            Ok(value) => Ok((name, value)),
            Err(error) => Err(format!("`{}`: {error}", shorten(&name))),
        };
        pairs.into_iter().map(entry).collect()
    }

    fn write(&self) -> String {
        let entries: Vec<String> =
            self.iter().map(|(name, value)| format!("{} = {}", quoted(name), value.write())).collect();
        if entries.is_empty() { "{}".into() } else { format!("{{ {} }}", entries.join(", ")) }
    }
}

impl Entry for Serve {
    const EXPECTED: &str = "a version, a stage, an alias or remote:URL";

    fn parse(text: &str) -> Result<Self, String> {
        text.parse()
    }

    fn write(&self) -> String {
        quoted(&self.to_string())
    }
}

impl Entry for Slots {
    const EXPECTED: &str = "ranges of slots such as 0..250000";

    fn parse(text: &str) -> Result<Self, String> {
        text.parse()
    }

    fn write(&self) -> String {
        quoted(&self.to_string())
    }
}

impl Entry for u64 {
    const EXPECTED: &str = "a whole number from 0";

    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| Value::Text(text.into()).expected(Self::EXPECTED))
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

impl Named for Field {
    const EXPECTED: &str = crate::experiment::FIELDS;

    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|error| format!("{error}"))
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

impl Setting for Share {
    fn read(value: &Value, scope: &Scope<'_>) -> Result<Self, String> {
        match String::read(value, scope) {
            Ok(text) => text.parse(),
            Err(_) => Err(value.expected("a percentage as a text, such as \"12.5%\"")),
        }
    }

    fn write(&self) -> String {
        quoted(&self.to_string())
    }
}

impl Setting for Margin {
    fn read(value: &Value, scope: &Scope<'_>) -> Result<Self, String> {
        match String::read(value, scope) {
            Ok(text) => {
                text.parse().map_err(|_| value.expected("a number from 0, or a percentage such as \"1%\""))
            }
            Err(_) => Err(value.expected("a text: a percentage such as \"1%\", or a number")),
        }
    }

    fn write(&self) -> String {
        quoted(&self.to_string())
    }
}

impl Setting for Hash {
    fn read(value: &Value, scope: &Scope<'_>) -> Result<Self, String> {
        let text = String::read(value, scope)?;
        let found = Self::ALL.iter().find(|hash| hash.name() == text);
        found.copied().ok_or_else(|| value.expected("one of: xxh3 growthbook"))
    }

    fn write(&self) -> String {
        quoted(self.name())
    }
}

impl Setting for Vec<Condition> {
    fn read(value: &Value, scope: &Scope<'_>) -> Result<Self, String> {
        texts(value, scope, "a list of conditions")?.iter().map(|text| text.parse()).collect()
    }

    fn write(&self) -> String {
        list(self)
    }
}

impl Setting for Vec<Rule> {
    fn read(value: &Value, scope: &Scope<'_>) -> Result<Self, String> {
        texts(value, scope, "a list of rules")?.iter().map(|text| text.parse()).collect()
    }

    fn write(&self) -> String {
        list(self)
    }
}

impl Setting for Vec<Guardrail> {
    fn read(value: &Value, scope: &Scope<'_>) -> Result<Self, String> {
        texts(value, scope, "a list of metrics")?.iter().map(|text| text.parse()).collect()
    }

    fn write(&self) -> String {
        list(self)
    }
}

impl Setting for Vec<Step> {
    fn read(value: &Value, scope: &Scope<'_>) -> Result<Self, String> {
        texts(value, scope, "a list of steps")?.iter().map(|text| text.parse()).collect()
    }

    fn write(&self) -> String {
        list(self)
    }
}

impl Named for Metric {
    const EXPECTED: &str = "the name of a metric";

    fn parse(text: &str) -> Result<Self, String> {
        text.parse()
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

impl Setting for Mode {
    fn read(value: &Value, scope: &Scope<'_>) -> Result<Self, String> {
        let text = String::read(value, scope)?;
        let found = Self::ALL.iter().find(|mode| mode.name() == text);
        found.copied().ok_or_else(|| value.expected("one of: observe recommend auto"))
    }

    fn write(&self) -> String {
        quoted(self.name())
    }
}

fn list(items: &[impl ToString]) -> String {
    let items: Vec<String> = items.iter().map(|item| quoted(&item.to_string())).collect();
    format!("[{}]", items.join(", "))
}
