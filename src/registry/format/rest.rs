//! Fields that this program does not know, kept as they came, so that whoever changes an object loses nothing.
//!
//! serde's own `flatten` would build a tree of them, and from that a second one: dozens of bytes for each that is read.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::value::StringDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error, IntoDeserializer as _, MapAccess, SeqAccess,
    Visitor,
};
use serde::{Deserialize, Serialize, Serializer, forward_to_deserialize_any};
use serde_json::Value;

/// The fields by name.
pub type Rest = BTreeMap<String, Raw>;

/// A JSON value as text, without white space. Two are equal when their values are.
#[derive(Clone, Debug)]
pub struct Raw(String);

// === impl Raw ===

impl Raw {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The value taken apart.
    pub fn value(&self) -> Value {
        self.read().unwrap_or_default()
    }

    /// The value as a type, if it is one.
    pub fn read<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_str(&self.0).ok()
    }

    /// Whether it says nothing.
    pub fn is_null(&self) -> bool {
        self.0 == "null"
    }
}

impl PartialEq for Raw {
    fn eq(&self, other: &Self) -> bool {
        // Fields come in any order.
        self.0 == other.0 || self.value() == other.value()
    }
}

impl Eq for Raw {}

impl Default for Raw {
    fn default() -> Self {
        Self("null".into())
    }
}

impl From<Value> for Raw {
    fn from(value: Value) -> Self {
        Self(value.to_string())
    }
}

impl Serialize for Raw {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut text = Vec::new();
        deserializer.deserialize_any(Writer(&mut text))?;
        String::from_utf8(text).map(Self).map_err(Error::custom)
    }
}

/// Writes a value down while it is read.
struct Writer<'a>(&'a mut Vec<u8>);

impl Writer<'_> {
    fn put<E: Error>(self, value: &(impl Serialize + ?Sized)) -> Result<(), E> {
        serde_json::to_writer(self.0, value).map_err(E::custom)
    }
}

impl<'de> DeserializeSeed<'de> for Writer<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Writer<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.put(&())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.put(&value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.put(&value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.put(&value)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.put(&value)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.put(value)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        self.0.push(b'[');
        let start = self.0.len();
        loop {
            let end = self.0.len();
            if end > start {
                self.0.push(b',');
            }
            if items.next_element_seed(Writer(self.0))?.is_none() {
                self.0.truncate(end);
                break;
            }
        }
        self.0.push(b']');
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        self.0.push(b'{');
        let start = self.0.len();
        while let Some(name) = fields.next_key::<String>()? {
            if self.0.len() > start {
                self.0.push(b',');
            }
            Writer(self.0).put(&name)?;
            self.0.push(b':');
            fields.next_value_seed(Writer(self.0))?;
        }
        self.0.push(b'}');
        Ok(())
    }
}

/// Reads a struct; fields that it does not have go to `rest`.
pub(in crate::registry) struct Splitting<'a, D> {
    /// What is read.
    pub(in crate::registry) inner: D,
    /// Where they go.
    pub(in crate::registry) rest: &'a mut Rest,
}

/// Makes types with `#[serde(remote = "Self")]` keep what they do not know in a field `rest` that is marked
/// `#[serde(flatten, skip_deserializing)]`.
macro_rules! keeps_rest {
    ($($type:ty),*) => {$(
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let mut rest = $crate::registry::format::Rest::new();
                let splitting = $crate::registry::format::Splitting { inner: deserializer, rest: &mut rest };
                let known = Self::deserialize(splitting)?;
                Ok(Self { rest, ..known })
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                Self::serialize(self, serializer)
            }
        }
    )*};
}
pub(in crate::registry) use keeps_rest;

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Splitting<'_, D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.inner.deserialize_any(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.inner.deserialize_map(Struct { visitor, names, rest: self.rest })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

struct Struct<'a, V> {
    visitor: V,
    names: &'static [&'static str],
    rest: &'a mut Rest,
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Struct<'_, V> {
    type Value = V::Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.visitor.expecting(formatter)
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_map(Fields { fields, names: self.names, rest: self.rest })
    }
}

struct Fields<'a, A> {
    fields: A,
    names: &'static [&'static str],
    rest: &'a mut Rest,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Fields<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        while let Some(name) = self.fields.next_key::<String>()? {
            if self.names.contains(&name.as_str()) {
                let name: StringDeserializer<A::Error> = name.into_deserializer();
                return seed.deserialize(name).map(Some);
            }
            let value = self.fields.next_value()?;
            self.rest.insert(name, value);
        }
        Ok(None)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.fields.next_value_seed(seed)
    }
}
