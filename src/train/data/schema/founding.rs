//! `[validation]`: a schema file, and the short forms that need none.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::{Action, Bound, ColumnSchema, Range, Schema};
use crate::data::error::DataError;
use crate::data::kind::Kind;

/// `[validation]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ValidationConfig {
    /// A schema file; what stands beside it here wins.
    pub schema: Option<PathBuf>,
    /// The largest accepted share of missing values.
    pub missing_threshold: Option<f64>,
    /// Types by column: `integer`, `number`, `boolean`, `text`, `time`, or pandas' names.
    pub expected_types: BTreeMap<String, String>,
    /// `[min, max]` by column, both included.
    pub value_ranges: BTreeMap<String, [f64; 2]>,
}

impl ValidationConfig {
    /// The schema it amounts to.
    ///
    /// # Errors
    /// When the schema file or a name of a type is wrong.
    pub(crate) fn schema(&self) -> Result<Schema, DataError> {
        let mut schema = self.schema.as_deref().map_or_else(|| Ok(Schema::default()), Schema::read)?;
        if let Some(threshold) = self.missing_threshold {
            schema.missing_threshold = threshold;
        }
        // As short forms always did: a column that is not there is no fault.
        let optional = || ColumnSchema { required: false, ..ColumnSchema::default() };
        for (name, kind) in &self.expected_types {
            schema.columns.entry(name.clone()).or_insert_with(optional).kind = Some(named(name, kind)?);
        }
        for (name, [min, max]) in &self.value_ranges {
            schema.columns.entry(name.clone()).or_insert_with(optional).range = Some(Range {
                min: Some(Bound::Number(*min)),
                max: Some(Bound::Number(*max)),
                action: Action::Warn,
            });
        }
        schema.check().map_err(|error| DataError::Config(format!("validation: {error}")))?;
        Ok(schema)
    }
}

fn named(column: &str, name: &str) -> Result<Kind, DataError> {
    Ok(match name {
        "integer" | "int" | "int8" | "int16" | "int32" | "int64" | "Int64" => Kind::Integer,
        "number" | "float" | "float32" | "float64" => Kind::Number,
        "boolean" | "bool" => Kind::Boolean,
        "text" | "str" | "string" | "object" | "category" => Kind::Text,
        "time" => Kind::Time,
        name if name.starts_with("datetime64") => Kind::Time,
        other => {
            return Err(DataError::Config(format!(
                "validation.expected_types.{column}: `{other}` is none of integer, number, boolean, text, time"
            )));
        }
    })
}
