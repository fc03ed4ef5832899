//! Values as written, before their keys say what they should be.

use toml::de::DeValue;

use crate::model::shorten;

/// A value as written, before its key says what it should be.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// From the environment or a flag: text that may stand for any type; lists are separated by commas.
    Untyped(String),
    /// A TOML string.
    Text(String),
    /// A TOML integer.
    Integer(i64),
    /// A TOML boolean.
    Boolean(bool),
    /// A TOML array.
    List(Vec<Value>),
    /// A TOML table, in the order it was written.
    Table(Vec<(String, Value)>),
    /// What no key takes, named for the message.
    Other(&'static str),
}

// === impl Value ===

impl Value {
    /// Takes over a parsed TOML value.
    pub(super) fn from_toml(value: &DeValue<'_>) -> Self {
        match value {
            DeValue::String(text) => Self::Text(text.to_string()),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => Self::Integer(number),
                Err(_) => Self::Other("an integer beyond 64 bits"),
            },
            DeValue::Boolean(value) => Self::Boolean(*value),
            DeValue::Array(items) => {
                Self::List(items.iter().map(|item| Self::from_toml(item.get_ref())).collect())
            }
            DeValue::Float(_) => Self::Other("a number with a fraction"),
            DeValue::Datetime(_) => Self::Other("a date or time"),
            DeValue::Table(table) => {
                let mut entries: Vec<_> = table.iter().collect();
                entries.sort_by_key(|(name, _)| name.span().start);
                let entry = |(name, value): (&toml::Spanned<_>, &toml::Spanned<_>)| {
                    (AsRef::<str>::as_ref(name.get_ref()).to_owned(), Self::from_toml(value.get_ref()))
                };
                Self::Table(entries.into_iter().map(entry).collect())
            }
        }
    }

    /// A default of the table.
    pub(super) fn from_default(toml: &str) -> Self {
        DeValue::parse(toml).map_or(Self::Other("invalid TOML"), |value| Self::from_toml(value.get_ref()))
    }

    /// Its text, if it is or may stand for text.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Untyped(text) | Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The message for a value that does not fit.
    pub(super) fn expected(&self, what: &str) -> String {
        let got = match self {
            Self::Untyped(text) | Self::Text(text) => format!("`{}`", shorten(text)),
            Self::Integer(number) => number.to_string(),
            Self::Boolean(value) => value.to_string(),
            Self::List(_) => "a list".into(),
            Self::Table(_) => "a table".into(),
            Self::Other(what) => (*what).into(),
        };
        format!("expected {what}, got {got}")
    }

    /// The number it stands for.
    pub(super) fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            // As TOML writes them: digits may be grouped by underscores.
            Self::Untyped(text) => text.replace('_', "").parse().ok(),
            _ => None,
        }
    }
}

/// A TOML basic string.
pub(super) fn quoted(text: &str) -> String {
    let mut toml = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => toml.extend(['\\', c]),
            c if c.is_control() => toml.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => toml.push(c),
        }
    }
    toml.push('"');
    toml
}
