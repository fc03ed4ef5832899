//! A small tree for bodies whose form is only known once they are read.

use crate::json::{Kind, Number, Reader, Result};

/// A JSON value; numbers keep what was written.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A number or one of the non-finite tokens.
    Number(Number),
    /// A string, decoded.
    String(Vec<u8>),
    /// A list.
    Array(Vec<Json>),
    /// An object, in order; a key given twice is an error.
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Reads the next value.
    ///
    /// # Errors
    /// When it is malformed, or an object has a key twice.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self> {
        Ok(match reader.kind()? {
            Kind::Null => {
                reader.null()?;
                Self::Null
            }
            Kind::Bool => Self::Bool(reader.bool()?),
            Kind::Number => Self::Number(reader.number()?),
            Kind::String => {
                let mut text = Vec::new();
                reader.string(&mut text)?;
                Self::String(text)
            }
            Kind::Array => {
                let mut items = Vec::new();
                reader.begin_array()?;
                while reader.element(items.is_empty())? {
                    items.push(Self::read(reader)?);
                }
                // A list of one value would keep room for four, which small lists multiply.
                items.shrink_to_fit();
                Self::Array(items)
            }
            Kind::Object => {
                let mut entries: Vec<(String, Self)> = Vec::new();
                let mut key = Vec::new();
                reader.begin_object()?;
                while reader.key(entries.is_empty(), &mut key)? {
                    let value = Self::read(reader)?;
                    // The reader has checked that keys are UTF-8.
                    entries.push((String::from_utf8_lossy(&key).into_owned(), value));
                }
                entries.shrink_to_fit();
                // Sorted neighbours find a double key without a quadratic search in wide records.
                let mut keys: Vec<&str> = entries.iter().map(|(k, _)| k.as_str()).collect();
                keys.sort_unstable();
                if keys.windows(2).any(|pair| pair[0] == pair[1]) {
                    return Err(reader.error("an object has a key twice"));
                }
                Self::Object(entries)
            }
        })
    }

    /// The member called `key`, if this is an object that has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Object(entries) => entries.iter().find(|(k, _)| k == key).map(|(_, v)| v),
            _ => None,
        }
    }

    /// The text, if this is a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => std::str::from_utf8(text).ok(),
            _ => None,
        }
    }

    /// What it is, for messages.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "true or false",
            Self::Number(_) => "a number",
            Self::String(_) => "a string",
            Self::Array(_) => "a list",
            Self::Object(_) => "an object",
        }
    }

    /// Appends the extents of nested lists, by their first elements.
    pub(super) fn shape(&self, shape: &mut Vec<usize>) {
        if let Self::Array(items) = self {
            shape.push(items.len());
            if let Some(first) = items.first() {
                first.shape(shape);
            }
        }
    }

    /// Whether the lists are nested with exactly these extents, down to the scalars.
    pub(super) fn is_nested_as(&self, shape: &[usize]) -> bool {
        match (self, shape) {
            (Self::Array(items), [extent, inner @ ..]) => {
                items.len() == *extent && items.iter().all(|item| item.is_nested_as(inner))
            }
            (Self::Array(_), []) | (_, [_, ..]) => false,
            (_, []) => true,
        }
    }

    /// Calls `f` with each scalar of nested lists, in order. Depth is bounded by the reader.
    pub(super) fn each_scalar<E>(
        &self,
        f: &mut impl FnMut(&Self) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        match self {
            Self::Array(items) => items.iter().try_for_each(|item| item.each_scalar(f)),
            scalar => f(scalar),
        }
    }
}
