//! `[data]`: where rows come from and which of them are wanted.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use sidegate::model::ModelName;

use crate::data::error::DataError;
use crate::data::kind::Kind;
use crate::data::range::{DateRange, DateUnit};

/// Where rows come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SourceKind {
    /// Files of this machine.
    File,
    /// Objects of a bucket.
    S3,
    /// PostgreSQL.
    Database,
    /// What a gateway was asked, with what was true of it.
    #[serde(rename = "prediction_log")]
    PredictionLog,
}

/// What the files are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum FileFormat {
    /// Apache Parquet.
    Parquet,
    /// Text with a line of names.
    Csv,
}

/// In which order rows come. Either is the same at every pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Order {
    /// By name of the file, then as they stand in it.
    #[default]
    File,
    /// By `date_column`; what does not fit into memory is sorted on disk.
    Date,
}

/// What happens to rows without a target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum MissingTarget {
    /// Nothing is trained.
    #[default]
    Fail,
    /// They are left out.
    Drop,
}

/// How CSV is written.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct CsvOptions {
    /// Between fields.
    pub delimiter: char,
    /// Around fields that hold delimiters or line ends.
    pub quote: char,
    /// What stands for no value; the empty field always does.
    pub nulls: Vec<String>,
    /// Lines looked at to find out the types of columns.
    pub infer_rows: usize,
}

impl Default for CsvOptions {
    fn default() -> Self {
        let nulls = ["NA", "N/A", "NaN", "nan", "NULL", "null"].map(str::to_owned).into();
        Self { delimiter: ',', quote: '"', nulls, infer_rows: 10_000 }
    }
}

/// `[data]`, as written.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DataConfig {
    /// Where rows come from.
    pub source: SourceKind,
    /// A file, a folder, a pattern, or `s3://bucket/prefix`.
    pub path: Option<String>,
    /// The model whose prediction log is read; the one that is trained unless said.
    pub model: Option<String>,
    /// What the files are; without it, what their names end in.
    pub format: Option<FileFormat>,
    /// Name of the environment variable that holds the database's URL, which may hold a password.
    pub url_env: Option<String>,
    /// A statement whose rows are taken, without `;`.
    pub query: Option<String>,
    /// A table, `schema.table` if need be.
    pub table: Option<String>,
    /// What `date_range` and time-based splits go by.
    pub date_column: Option<String>,
    /// What the numbers are when `date_column` holds numbers.
    pub date_unit: Option<DateUnit>,
    /// From `start` (included) to `end` (excluded).
    pub date_range: Option<DateRange>,
    /// The columns taken; all when empty. Target, weight, date and group need not be repeated.
    #[serde(default)]
    pub columns: Vec<String>,
    /// What is to be predicted.
    pub target_column: Option<String>,
    /// What a row counts.
    pub weight_column: Option<String>,
    /// So many rows at most, the first ones.
    pub limit: Option<usize>,
    /// The type of a column that would otherwise be taken for another.
    #[serde(default)]
    pub types: BTreeMap<String, Kind>,
    /// In which order rows come.
    #[serde(default)]
    pub order: Order,
    /// Rows without a target.
    #[serde(default)]
    pub missing_target: MissingTarget,
    /// What queries may hold in memory, in MiB; the rest goes to `temp_dir`.
    #[serde(default = "memory_limit")]
    pub memory_limit: u64,
    /// For copies of remote data and for sorting; the system's own when not given.
    pub temp_dir: Option<PathBuf>,
    /// How CSV is written.
    #[serde(default)]
    pub csv: CsvOptions,
}

/// MiB; below it, even a batch of a wide table gets refused.
const LEAST_MEMORY: u64 = 16;

fn memory_limit() -> u64 {
    1024
}

impl DataConfig {
    /// Reads the table `[data]`.
    ///
    /// # Errors
    /// What is wrong, and with which key.
    pub(crate) fn from_table(table: toml::Table) -> Result<Self, DataError> {
        let config: Self = table.try_into().map_err(|error| DataError::Config(format!("data: {error}")))?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), DataError> {
        let fault = |text: &str| Err(DataError::Config(format!("data.{text}")));
        match self.source {
            SourceKind::Database => {
                if self.url_env.is_none() {
                    return fault("url_env is missing: the environment variable with the database's URL");
                }
                if self.query.is_some() == self.table.is_some() {
                    return fault("query or data.table, one of the two, says what is read");
                }
                if self.path.is_some() {
                    return fault("path is not for a database; use data.table or data.query");
                }
            }
            SourceKind::PredictionLog => {
                if self.path.is_none() {
                    return fault("path is missing: prediction_log.url of the gateway");
                }
                if self.format.is_some()
                    || self.query.is_some()
                    || self.table.is_some()
                    || self.url_env.is_some()
                {
                    return fault(
                        "source \"prediction_log\" takes a path, and neither format nor query, table or url_env",
                    );
                }
                if let Some(Err(error)) = self.model.as_deref().map(str::parse::<ModelName>) {
                    return fault(&format!("model: {error}"));
                }
            }
            SourceKind::File | SourceKind::S3 => {
                let Some(path) = &self.path else { return fault("path is missing") };
                if (self.source == SourceKind::S3) != path.starts_with("s3://") {
                    return fault("source and data.path disagree: `s3://bucket/prefix` is for source \"s3\"");
                }
                if self.query.is_some() || self.table.is_some() || self.url_env.is_some() {
                    return fault("query, data.table and data.url_env are for source \"database\"");
                }
            }
        }
        if self.model.is_some() && self.source != SourceKind::PredictionLog {
            return fault("model is for source \"prediction_log\"");
        }
        if self.date_column.is_none() && self.date_range.is_some() {
            return fault("date_column is missing: data.date_range needs it");
        }
        if self.date_column.is_none() && self.order == Order::Date {
            return fault("date_column is missing: data.order = \"date\" needs it");
        }
        if self.memory_limit < LEAST_MEMORY {
            return fault(&format!("memory_limit is {} MiB; at least {LEAST_MEMORY}", self.memory_limit));
        }
        if self.limit == Some(0) {
            return fault("limit is 0; leave it out for all rows");
        }
        if !self.csv.delimiter.is_ascii() || !self.csv.quote.is_ascii() {
            return fault("csv.delimiter and data.csv.quote are single ASCII characters");
        }
        Ok(())
    }

    /// Where rows are to come from, as it is configured.
    pub(crate) fn place(&self) -> &str {
        self.path.as_deref().or(self.table.as_deref()).unwrap_or("data.query")
    }

    /// The columns that are read, in order and once each; empty for all.
    pub(crate) fn wanted<'a>(&'a self, group: Option<&'a str>) -> Vec<(&'a str, &'static str)> {
        let named = self.columns.iter().map(|name| (name.as_str(), "data.columns"));
        let mut wanted: Vec<(&'a str, &'static str)> = named.collect();
        let roles = [
            (self.target_column.as_deref(), "data.target_column"),
            (self.weight_column.as_deref(), "data.weight_column"),
            (self.date_column.as_deref(), "data.date_column"),
            (group, "split.group"),
        ];
        for (name, role) in roles {
            if let Some(name) = name
                && !wanted.iter().any(|(known, _)| *known == name)
            {
                wanted.push((name, role));
            }
        }
        wanted
    }
}
