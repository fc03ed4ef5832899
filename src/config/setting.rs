//! How each type of field reads a value and shows itself.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use super::key::Scope;
use super::value::{Value, quoted};
use crate::model::{InvalidName, ModelName};

/// A type that fields have.
pub(super) trait Setting: Sized {
    /// Reads a value, or says what was expected.
    fn read(value: &Value, scope: &Scope<'_>) -> Result<Self, String>;

    /// Shows the field as TOML that [`Setting::read`] takes.
    fn write(&self) -> String;
}

/// A type whose text form has no empty text, so that `""` can mean "none".
pub(super) trait Named: Sized {
    /// What the message says is expected.
    const EXPECTED: &str;

    /// Parses a text that is not empty.
    fn parse(text: &str) -> Result<Self, String>;

    /// The text that parses to it.
    fn text(&self) -> String;
}

// === impl Setting for plain types ===

impl Setting for u64 {
    fn read(value: &Value, scope: &Scope<'_>) -> Result<Self, String> {
        let number = value.integer().and_then(|n| Self::try_from(n).ok());
        number.filter(|n| scope.range.contains(n)).ok_or_else(|| {
            let (low, high) = (scope.range.start(), scope.range.end());
            match *high {
                Self::MAX => value.expected(&format!("a whole number from {low}")),
                _ => value.expected(&format!("a whole number from {low} to {high}")),
            }
        })
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

impl Setting for usize {
    fn read(value: &Value, scope: &Scope<'_>) -> Result<Self, String> {
        let number = u64::read(value, scope)?;
        Self::try_from(number).map_err(|_| value.expected("a number this machine can address"))
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

impl Setting for bool {
    fn read(value: &Value, _: &Scope<'_>) -> Result<Self, String> {
        match value {
            Value::Boolean(value) => Ok(*value),
            Value::Untyped(text) if text.eq_ignore_ascii_case("true") => Ok(true),
            Value::Untyped(text) if text.eq_ignore_ascii_case("false") => Ok(false),
            other => Err(other.expected("true or false")),
        }
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

impl Setting for String {
    fn read(value: &Value, _: &Scope<'_>) -> Result<Self, String> {
        match value {
            Value::Text(text) | Value::Untyped(text) => Ok(text.clone()),
            other => Err(other.expected("a string")),
        }
    }

    fn write(&self) -> String {
        quoted(self)
    }
}

impl Setting for SocketAddr {
    fn read(value: &Value, scope: &Scope<'_>) -> Result<Self, String> {
        let text = String::read(value, scope).unwrap_or_default();
        <Self as Named>::parse(&text).map_err(|_| value.expected(Self::EXPECTED))
    }

    fn write(&self) -> String {
        quoted(&self.to_string())
    }
}

// === impl Setting for what may be left out ===

/// 0 stands for "none".
impl Setting for Option<u64> {
    fn read(value: &Value, scope: &Scope<'_>) -> Result<Self, String> {
        u64::read(value, scope).map(|number| (number > 0).then_some(number))
    }

    fn write(&self) -> String {
        self.unwrap_or_default().to_string()
    }
}

/// 0 stands for "none".
impl Setting for Option<usize> {
    fn read(value: &Value, scope: &Scope<'_>) -> Result<Self, String> {
        usize::read(value, scope).map(|number| (number > 0).then_some(number))
    }

    fn write(&self) -> String {
        self.unwrap_or_default().to_string()
    }
}

/// `""` stands for "none": an environment variable can be empty, and so can take back what a file says.
impl<T: Named> Setting for Option<T> {
    fn read(value: &Value, scope: &Scope<'_>) -> Result<Self, String> {
        let Ok(text) = String::read(value, scope) else {
            return Err(value.expected(T::EXPECTED));
        };
        if text.is_empty() { Ok(None) } else { T::parse(&text).map(Some) }
    }

    fn write(&self) -> String {
        quoted(&self.as_ref().map(T::text).unwrap_or_default())
    }
}

/// The texts of a list; `what` the list is of, for the message.
pub(super) fn texts(value: &Value, scope: &Scope<'_>, what: &str) -> Result<Vec<String>, String> {
    match value {
        Value::List(items) => items.iter().map(|v| String::read(v, scope)).collect(),
        Value::Untyped(text) => {
            Ok(text.split(',').map(str::trim).filter(|t| !t.is_empty()).map(str::to_owned).collect())
        }
        other => Err(other.expected(what)),
    }
}

/// The empty list stands for what the key's default says.
impl Setting for Vec<ModelName> {
    fn read(value: &Value, scope: &Scope<'_>) -> Result<Self, String> {
        let texts = texts(value, scope, "a list of model names")?;
        let mut names = Self::with_capacity(texts.len());
        for text in texts {
            let name = ModelName::parse(&text)?;
            if names.contains(&name) {
                return Err(format!("`{name}` is listed twice"));
            }
            names.push(name);
        }
        Ok(names)
    }

    fn write(&self) -> String {
        let names: Vec<String> = self.iter().map(|name| quoted(name.as_str())).collect();
        format!("[{}]", names.join(", "))
    }
}

/// The empty list stands for "all".
impl Setting for Option<Vec<ModelName>> {
    fn read(value: &Value, scope: &Scope<'_>) -> Result<Self, String> {
        Vec::read(value, scope).map(|names: Vec<_>| (!names.is_empty()).then_some(names))
    }

    fn write(&self) -> String {
        self.as_deref().map(<[_]>::to_vec).unwrap_or_default().write()
    }
}

// === impl Named ===

impl Named for SocketAddr {
    const EXPECTED: &str = "ADDRESS:PORT such as 127.0.0.1:8000 (port 0 takes a free one)";

    fn parse(text: &str) -> Result<Self, String> {
        let local = text.strip_prefix("localhost:").and_then(|port| port.parse().ok());
        match local {
            Some(port) => Ok((Ipv4Addr::LOCALHOST, port).into()),
            None => text.parse().map_err(|_| Value::Text(text.into()).expected(Self::EXPECTED)),
        }
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

impl Named for PathBuf {
    const EXPECTED: &str = "a path";

    fn parse(text: &str) -> Result<Self, String> {
        if text.contains('\0') { Err("a path holds no NUL".into()) } else { Ok(text.into()) }
    }

    fn text(&self) -> String {
        self.to_string_lossy().into_owned()
    }
}

impl Named for ModelName {
    const EXPECTED: &str = "a model name";

    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|error: InvalidName| error.to_string())
    }

    fn text(&self) -> String {
        self.to_string()
    }
}
