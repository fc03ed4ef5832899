//! A column of Parquet: its type, widened by what is seen, then its values and levels.
//!
//! Everything may be null. A value's definition level counts how many of those that it is in, itself included, are
//! there, an element of a list counting as one; its repetition level is the depth of the list that it continues, 0 at
//! the beginning of a row.

use std::sync::Arc;

use parquet::basic::{LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::{ParquetError, Result};
use parquet::file::writer::SerializedRowGroupWriter;
use parquet::schema::types::{Type, TypePtr};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::value::Value;

/// What has one type.
#[derive(Debug)]
pub(super) enum Column {
    /// Nothing but nulls was seen.
    Unknown,
    Bool(Leaf<bool>),
    Int(Leaf<i64>),
    Double(Leaf<f64>),
    Text(Leaf<ByteArray>),
    /// Microseconds since 1970.
    Moment(Leaf<i64>),
    List(Box<Self>),
    Struct(Fields),
}

/// Columns by their names, in the order in which they were seen.
#[derive(Debug, Default)]
pub(super) struct Fields(pub(super) Vec<(String, Column)>);

/// What is written of a column: values that are there, and for all of them their levels.
#[derive(Debug)]
pub(super) struct Leaf<T> {
    values: Vec<T>,
    definitions: Vec<i16>,
    repetitions: Vec<i16>,
}

/// Where a value is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Level {
    definition: i16,
    repetition: i16,
    /// How many lists it is in.
    depth: i16,
}

// === impl Column ===

impl Column {
    /// Takes a value's type in; the path of what has another.
    fn widen(&mut self, value: &Value) -> Result<(), String> {
        if matches!(self, Self::Unknown) {
            *self = match value {
                Value::Null => Self::Unknown,
                Value::Bool(_) => Self::Bool(Leaf::default()),
                Value::Int(_) => Self::Int(Leaf::default()),
                Value::Double(_) => Self::Double(Leaf::default()),
                Value::Text(_) => Self::Text(Leaf::default()),
                Value::List(_) => Self::List(Box::new(Self::Unknown)),
                Value::Struct(_) => Self::Struct(Fields::default()),
            };
        }
        match (&mut *self, value) {
            (_, Value::Null)
            | (Self::Bool(_), Value::Bool(_))
            | (Self::Int(_), Value::Int(_))
            | (Self::Double(_), Value::Double(_) | Value::Int(_))
            | (Self::Text(_), Value::Text(_)) => Ok(()),
            (Self::Int(_), Value::Double(_)) => {
                *self = Self::Double(Leaf::default());
                Ok(())
            }
            (Self::List(element), Value::List(items)) => {
                items.iter().try_for_each(|item| element.widen(item))
            }
            (Self::Struct(fields), Value::Struct(values)) => fields.widen(values),
            _ => Err(String::new()),
        }
    }

    /// Elements of which nothing but nulls was seen are numbers: no other element is ever null.
    pub(super) fn or_double(self) -> Self {
        match self {
            Self::Unknown => Self::Double(Leaf::default()),
            Self::List(element) => Self::List(Box::new(element.or_double())),
            other => other,
        }
    }

    fn schema(&self, name: &str) -> Result<TypePtr> {
        let leaf = |physical, logical| {
            let leaf = Type::primitive_type_builder(name, physical).with_logical_type(logical);
            leaf.with_repetition(Repetition::OPTIONAL).build()
        };
        let group = |name, repetition, logical: Option<LogicalType>, fields| {
            let group = Type::group_type_builder(name).with_repetition(repetition);
            // Readers of old know lists by the converted type alone.
            group
                .with_converted_type(logical.clone().into())
                .with_logical_type(logical)
                .with_fields(fields)
                .build()
        };
        let made = match self {
            Self::Unknown => Err(ParquetError::General(format!("`{name}` has no type"))),
            Self::Bool(_) => leaf(Physical::BOOLEAN, None),
            Self::Int(_) => leaf(Physical::INT64, None),
            Self::Double(_) => leaf(Physical::DOUBLE, None),
            Self::Text(_) => leaf(Physical::BYTE_ARRAY, Some(LogicalType::String)),
            Self::Moment(_) => leaf(Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::MICROS))),
            Self::List(element) => {
                let list = group("list", Repetition::REPEATED, None, vec![element.schema("element")?])?;
                group(name, Repetition::OPTIONAL, Some(LogicalType::List), vec![Arc::new(list)])
            }
            Self::Struct(fields) => group(name, Repetition::OPTIONAL, None, fields.types()?),
        };
        made.map(Arc::new)
    }

    fn push(&mut self, value: Value, level: Level) -> Result<()> {
        match (self, value) {
            (column, Value::Null) => column.skip(level),
            (Self::Bool(leaf), Value::Bool(value)) => leaf.push(value, level),
            (Self::Int(leaf), Value::Int(value)) => leaf.push(value, level),
            (Self::Double(leaf), Value::Double(value)) => leaf.push(value, level),
            (Self::Double(leaf), Value::Int(value)) => leaf.push(value as f64, level),
            (Self::Text(leaf), Value::Text(value)) => leaf.push(value.into_bytes().into(), level),
            (Self::Moment(leaf), Value::Text(text)) => leaf.push(micros(&text)?, level),
            (Self::List(element), Value::List(items)) if items.is_empty() => element.skip(level.inside()),
            (Self::List(element), Value::List(items)) => {
                let mut level = Level { depth: level.depth + 1, ..level.inside().inside() };
                for item in items {
                    element.push(item, level)?;
                    level.repetition = level.depth;
                }
            }
            (Self::Struct(fields), Value::Struct(values)) => fields.push(values, level.inside())?,
            _ => return Err(ParquetError::General("a value is not of its column's type".into())),
        }
        Ok(())
    }

    /// Adds a null.
    fn skip(&mut self, level: Level) {
        match self {
            Self::Unknown => {}
            Self::Bool(leaf) => leaf.skip(level),
            Self::Int(leaf) | Self::Moment(leaf) => leaf.skip(level),
            Self::Double(leaf) => leaf.skip(level),
            Self::Text(leaf) => leaf.skip(level),
            Self::List(element) => element.skip(level),
            Self::Struct(fields) => fields.0.iter_mut().for_each(|(_, column)| column.skip(level)),
        }
    }

    fn write(&mut self, group: &mut SerializedRowGroupWriter<'_, Vec<u8>>) -> Result<()> {
        match self {
            Self::Unknown => Ok(()),
            Self::Bool(leaf) => leaf.write::<BoolType>(group),
            Self::Int(leaf) | Self::Moment(leaf) => leaf.write::<Int64Type>(group),
            Self::Double(leaf) => leaf.write::<DoubleType>(group),
            Self::Text(leaf) => leaf.write::<ByteArrayType>(group),
            Self::List(element) => element.write(group),
            Self::Struct(fields) => fields.write(group),
        }
    }
}

fn micros(text: &str) -> Result<i64> {
    let moment =
        OffsetDateTime::parse(text, &Rfc3339).map_err(|error| ParquetError::External(error.into()))?;
    i64::try_from(moment.unix_timestamp_nanos() / 1000).map_err(|error| ParquetError::External(error.into()))
}

// === impl Fields ===

impl Fields {
    pub(super) fn widen(&mut self, values: &[(String, Value)]) -> Result<(), String> {
        for (at, (name, value)) in values.iter().enumerate() {
            let found = position(&self.0, at, name).unwrap_or_else(|| {
                self.0.push((name.clone(), Column::Unknown));
                self.0.len() - 1
            });
            let inner = |path: String| if path.is_empty() { name.clone() } else { format!("{name}.{path}") };
            self.0[found].1.widen(value).map_err(inner)?;
        }
        Ok(())
    }

    pub(super) fn types(&self) -> Result<Vec<TypePtr>> {
        self.0.iter().map(|(name, column)| column.schema(name)).collect()
    }

    pub(super) fn push(&mut self, mut values: Vec<(String, Value)>, level: Level) -> Result<()> {
        for (at, (name, column)) in self.0.iter_mut().enumerate() {
            let value = position(&values, at, name).map(|at| std::mem::take(&mut values[at].1));
            column.push(value.unwrap_or_default(), level)?;
        }
        Ok(())
    }

    /// Writes what was added since the last time.
    pub(super) fn write(&mut self, group: &mut SerializedRowGroupWriter<'_, Vec<u8>>) -> Result<()> {
        self.0.iter_mut().try_for_each(|(_, column)| column.write(group))
    }
}

/// Where a name is: most often where it was in the line before.
fn position<T>(named: &[(String, T)], guess: usize, name: &str) -> Option<usize> {
    let is = |(other, _): &(String, T)| other == name;
    if named.get(guess).is_some_and(is) { Some(guess) } else { named.iter().position(is) }
}

// === impl Leaf ===

impl<T> Default for Leaf<T> {
    fn default() -> Self {
        Self { values: Vec::new(), definitions: Vec::new(), repetitions: Vec::new() }
    }
}

impl<T> Leaf<T> {
    fn push(&mut self, value: T, level: Level) {
        self.values.push(value);
        self.skip(level.inside());
    }

    fn skip(&mut self, level: Level) {
        self.definitions.push(level.definition);
        self.repetitions.push(level.repetition);
    }

    fn write<D: DataType<T = T>>(&mut self, group: &mut SerializedRowGroupWriter<'_, Vec<u8>>) -> Result<()> {
        let mut column = group
            .next_column()?
            .ok_or_else(|| ParquetError::General("the schema has fewer columns".into()))?;
        let Self { values, definitions, repetitions } = std::mem::take(self);
        column.typed::<D>().write_batch(&values, Some(&definitions), Some(&repetitions))?;
        column.close()
    }
}

// === impl Level ===

impl Level {
    /// Of something in what is there.
    const fn inside(self) -> Self {
        Self { definition: self.definition + 1, ..self }
    }
}
