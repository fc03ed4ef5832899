//! The plan of a load: which files, columns, rows and order, as DataFusion's logical plan, which is what would be sent
//! to a cluster.

mod filter;
pub(crate) mod session;

use std::path::PathBuf;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field as Stored, Schema, SchemaRef};
use datafusion::datasource::file_format::FileFormat as Reader;
use datafusion::datasource::file_format::csv::CsvFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::{DataFrame, SessionContext, ident};

use crate::data::config::{DataConfig, FileFormat, Order};
use crate::data::error::DataError;
use crate::data::kind::Kind;
use crate::data::source::{Files, csv, parquet};

/// A column that is read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Field {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: Kind,
}

/// A load, ready to run as often as needed.
pub(crate) struct Plan {
    context: SessionContext,
    logical: LogicalPlan,
    pub(crate) columns: Vec<Field>,
    limit: u64,
}

/// What the files hold, before any choice.
pub(crate) struct Present {
    schema: SchemaRef,
    kinds: Vec<Kind>,
}

impl Plan {
    pub(crate) async fn new(
        config: &DataConfig,
        group: Option<&str>,
        files: &Files,
        temp: &std::path::Path,
    ) -> Result<Self, DataError> {
        let present = present(config, files)?;
        let columns = columns(config, group, &present)?;
        let context = session::open(config.memory_limit, temp)?;
        let failed = |error| failed(error, config.memory_limit);
        let table = table(config, files, present.schema.clone()).map_err(failed)?;
        context.register_table("rows", Arc::new(table)).map_err(failed)?;
        let mut frame = context.table("rows").await.map_err(failed)?;
        if let (Some(date), Some(range)) = (&config.date_column, &config.date_range) {
            let stored = present
                .schema
                .field_with_name(date)
                .map_err(|_| vanished(date, "data.date_column", &present))?;
            for condition in filter::within(config, stored.data_type(), range.instants()?)? {
                frame = frame.filter(condition).map_err(failed)?;
            }
        }
        if config.order == Order::Date
            && let Some(date) = &config.date_column
        {
            let stored = present
                .schema
                .field_with_name(date)
                .map_err(|_| vanished(date, "data.date_column", &present))?;
            // Rows that are still equal after all columns may change places unseen.
            let others = columns.iter().filter(|column| column.name != *date);
            let mut by = vec![filter::instant(config, stored.data_type()).sort(true, false)];
            by.extend(others.map(|column| ident(&column.name).sort(true, false)));
            frame = frame.sort(by).map_err(failed)?;
        }
        frame = frame.select(columns.iter().map(|column| ident(&column.name))).map_err(failed)?;
        if let Some(limit) = config.limit {
            frame = frame.limit(0, Some(limit)).map_err(failed)?;
        }
        let logical = frame.logical_plan().clone();
        Ok(Self { context, logical, columns, limit: config.memory_limit })
    }

    pub(crate) fn logical(&self) -> &LogicalPlan {
        &self.logical
    }

    /// As it will run.
    pub(crate) fn describe(&self) -> Result<String, DataError> {
        let optimized = self.context.state().optimize(&self.logical).map_err(|error| self.failed(error))?;
        Ok(optimized.display_indent().to_string())
    }

    pub(crate) async fn stream(&self) -> Result<SendableRecordBatchStream, DataError> {
        let frame = DataFrame::new(self.context.state(), self.logical.clone());
        frame.execute_stream().await.map_err(|error| self.failed(error))
    }

    pub(crate) fn failed(&self, error: DataFusionError) -> DataError {
        failed(error, self.limit)
    }
}

pub(crate) fn failed(error: DataFusionError, limit: u64) -> DataError {
    match error.find_root() {
        DataFusionError::ResourcesExhausted(reason) => DataError::Memory { limit, reason: reason.clone() },
        root => DataError::unreadable("the data", root),
    }
}

fn present(config: &DataConfig, files: &Files) -> Result<Present, DataError> {
    match files.format {
        FileFormat::Parquet => {
            let schema = parquet::schema(&files.paths)?;
            // What no model takes matters only if it is wanted.
            let kinds = schema
                .fields()
                .iter()
                .map(|field| Kind::of(field.data_type()).unwrap_or(Kind::Text))
                .collect();
            Ok(Present { schema, kinds })
        }
        FileFormat::Csv => {
            let columns = csv::columns(&files.paths, &config.csv)?;
            let fields = columns.iter().map(|(name, _)| Stored::new(name, DataType::Utf8, true));
            let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
            Ok(Present { schema, kinds: columns.into_iter().map(|(_, kind)| kind).collect() })
        }
    }
}

fn vanished(column: &str, role: &'static str, present: &Present) -> DataError {
    let names: Vec<&str> = present.schema.fields().iter().map(|field| field.name().as_str()).collect();
    DataError::ColumnVanished { column: column.to_owned(), role, present: names.join(", ") }
}

fn columns(config: &DataConfig, group: Option<&str>, present: &Present) -> Result<Vec<Field>, DataError> {
    let mut wanted = config.wanted(group);
    if config.columns.is_empty() {
        let names = present.schema.fields().iter().map(|field| field.name().as_str());
        let all: Vec<_> = names.clone().map(|name| (name, "all columns")).collect();
        wanted.retain(|(name, _)| !all.iter().any(|(known, _)| known == name));
        wanted.splice(0..0, all);
    }
    for name in config.types.keys() {
        if !present.schema.fields().iter().any(|field| field.name() == name) {
            return Err(vanished(name, "data.types", present));
        }
    }
    let column = |(name, role): (&str, &'static str)| {
        let found =
            present.schema.fields().iter().zip(&present.kinds).find(|(field, _)| field.name() == name);
        let Some((field, kind)) = found else { return Err(vanished(name, role, present)) };
        if Kind::of(field.data_type()).is_none() {
            let found = field.data_type().to_string();
            return Err(DataError::Unsupported { column: name.to_owned(), found });
        }
        let is_date = config.date_column.as_deref() == Some(name);
        let kind = if is_date { Kind::Time } else { config.types.get(name).copied().unwrap_or(*kind) };
        Ok(Field { name: name.to_owned(), kind })
    };
    wanted.into_iter().map(column).collect()
}

fn table(config: &DataConfig, files: &Files, schema: SchemaRef) -> Result<ListingTable, DataFusionError> {
    let format: Arc<dyn Reader> = match files.format {
        FileFormat::Parquet => Arc::new(ParquetFormat::default()),
        FileFormat::Csv => Arc::new(
            CsvFormat::default()
                .with_has_header(true)
                .with_delimiter(u8::try_from(config.csv.delimiter).unwrap_or(b','))
                .with_quote(u8::try_from(config.csv.quote).unwrap_or(b'"'))
                .with_newlines_in_values(true),
        ),
    };
    let urls = files.paths.iter().map(url).collect::<Result<Vec<_>, _>>()?;
    let options = ListingOptions::new(format).with_file_extension("");
    ListingTable::try_new(
        ListingTableConfig::new_with_multi_paths(urls).with_listing_options(options).with_schema(schema),
    )
}

/// Of a file whose name may hold what would be a pattern.
fn url(path: &PathBuf) -> Result<ListingTableUrl, DataFusionError> {
    let invalid = || DataFusionError::Plan(format!("`{}` is no absolute path", path.display()));
    ListingTableUrl::try_new(url::Url::from_file_path(path).map_err(|()| invalid())?, None)
}
