//! Rows of a file, as a model that was trained elsewhere is asked them.

use std::collections::BTreeMap;

use sidegate::format::Model as File;
use sidegate::tensor::Datatype;

use crate::data::config::DataConfig;
use crate::data::kind::Kind;
use crate::data::schema::Schema;
use crate::data::split::SplitConfig;
use crate::data::validate::{Report, Validated};
use crate::data::{Access, Data, DataError, Wanted};
use crate::failure::Failure;
use crate::features::{Field, RawBatch};
use crate::rows::kind_of;
use crate::served::width;

/// Takes some rows and what is to be predicted of them.
type Each<'a> = dyn FnMut(&RawBatch, &[f32]) -> Result<(), String> + 'a;

/// Rows that were looked over once.
pub(super) struct Rows {
    data: Data,
    validated: Validated,
    /// Every column but the target.
    pub(super) fields: Vec<Field>,
    places: Vec<usize>,
    target: Option<String>,
}

// === impl Rows ===

impl Rows {
    /// Opens a file, a folder or a pattern. Where no target is asked for, so many rows are enough.
    ///
    /// # Errors
    /// When they cannot be read, there are none, or one has no such target.
    pub(super) fn open(
        path: &str,
        target: Option<&str>,
        model: &File,
        enough: usize,
    ) -> Result<Self, Failure> {
        let config = config(path, target, enough)?;
        let data = open(&config)?;
        let names: Vec<(String, Kind)> =
            data.columns().iter().map(|field| (field.name.clone(), field.kind)).collect();
        let types = types(model, &names);
        let data = if types.is_empty() { data } else { open(&DataConfig { types, ..config })? };
        let validated = data.validate(&Schema::default(), false, i64::MAX)?;
        let is_target = |name: &str| Some(name) == target;
        let places: Vec<usize> = (0..validated.fields.len())
            .filter(|at| validated.fields.get(*at).is_some_and(|field| !is_target(&field.name)))
            .collect();
        let missing = |name: &str| {
            validated.report.columns.iter().any(|column| column.name == name && column.missing > 0)
        };
        let fields = places.iter().filter_map(|at| validated.fields.get(*at)).map(|field| Field {
            name: field.name.clone(),
            kind: kind_of(field.kind),
            nullable: missing(&field.name),
        });
        Ok(Self { fields: fields.collect(), data, places, target: target.map(str::to_owned), validated })
    }

    /// What was found in them.
    pub(super) const fn report(&self) -> &Report {
        &self.validated.report
    }

    /// What the target holds: its kind, and its values where there are not too many.
    pub(super) fn target(&self) -> Option<(Kind, Option<Vec<String>>)> {
        let target = self.target.as_deref()?;
        let column = self.report().columns.iter().find(|column| column.name == target)?;
        let values = column.categories.as_ref().map(|values| values.keys().cloned().collect());
        Some((column.kind, values))
    }

    /// Passes over all rows, with the target as a number, or as the number of its class.
    ///
    /// # Errors
    /// When they cannot be read any more, or what `each` says.
    pub(super) fn scan(&self, classes: Option<&[String]>, each: &mut Each<'_>) -> Result<(), DataError> {
        self.data.scan(&self.validated, classes, &mut |mut scanned| {
            let mut columns: Vec<Option<_>> =
                std::mem::take(&mut scanned.raw.columns).into_iter().map(Some).collect();
            let taken = self.places.iter().filter_map(|at| columns.get_mut(*at).and_then(Option::take));
            each(&RawBatch { columns: taken.collect() }, &scanned.target)
        })
    }
}

fn config(path: &str, target: Option<&str>, enough: usize) -> Result<DataConfig, Failure> {
    let mut table = toml::Table::from_iter([
        ("source".to_owned(), toml::Value::from("file")),
        ("path".to_owned(), path.into()),
        ("missing_target".to_owned(), "drop".into()),
    ]);
    match target {
        Some(target) => table.insert("target_column".to_owned(), target.into()),
        None => table.insert("limit".to_owned(), i64::try_from(enough).unwrap_or(i64::MAX).into()),
    };
    Ok(DataConfig::from_table(table)?)
}

fn open(config: &DataConfig) -> Result<Data, Failure> {
    let bucket = |_: &str| Err("--data is a file of this machine; copy it here first".to_owned());
    let access = Access { wanted: Wanted::Rows, environment: &crate::environment::variable, bucket: &bucket };
    Ok(Data::open(config, &SplitConfig { test: 0.0, ..SplitConfig::default() }, &access)?)
}

/// Columns that look like something else than what the model asks for: postcodes that it takes as texts, numbers of which
/// one is misspelt (which shall be named with its row).
fn types(model: &File, columns: &[(String, Kind)]) -> BTreeMap<String, Kind> {
    let inputs = &model.signature().inputs;
    let asked = |name: &str| match inputs.as_slice() {
        [input] if width(input) != Some(1) => Some(input.datatype),
        inputs => inputs.iter().find(|input| &*input.name == name).map(|input| input.datatype),
    };
    // The columns of a matrix that has no names for them are not known yet.
    let named = |name: &String| model.columns().is_empty() || model.columns().contains(name);
    let other = |(name, kind): &(String, Kind)| match (asked(name)?, kind) {
        (Datatype::Bytes, kind) if !kind.is_text() => Some((name.clone(), Kind::Text)),
        (datatype, Kind::Text) if datatype.is_float() && inputs.len() > 1 => {
            Some((name.clone(), Kind::Number))
        }
        (datatype, Kind::Text) if datatype.is_float() && !model.columns().is_empty() && named(name) => {
            Some((name.clone(), Kind::Number))
        }
        _ => None,
    };
    columns.iter().filter_map(other).collect()
}
