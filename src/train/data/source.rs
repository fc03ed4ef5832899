//! Where rows come from. What is remote becomes local files first: training passes over the rows many times, and every
//! pass has to see the same ones.

pub(crate) mod bucket;
pub(crate) mod csv;
pub(crate) mod database;
pub(crate) mod files;
pub(crate) mod parquet;
pub(crate) mod prediction_log;

use std::path::PathBuf;

use sidegate::registry::store::Store;
use tempfile::TempDir;

use crate::data::config::{DataConfig, FileFormat, SourceKind};
use crate::data::error::DataError;

/// Opens the bucket of a name; why not, otherwise.
pub(crate) type OpenBucket<'a> = dyn Fn(&str) -> Result<Box<dyn Store>, String> + 'a;

/// What is wanted of the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// All rows.
    Rows,
    /// Which columns there are: of a bucket the first object is copied, of a database no row.
    Columns,
}

/// What the process lends: its environment and its buckets.
pub(crate) struct Access<'a> {
    /// What for.
    pub(crate) wanted: Wanted,
    /// Reads an environment variable.
    pub(crate) environment: &'a dyn Fn(&str) -> Option<String>,
    /// Opens the bucket of an `s3://` URL; its keys are the bucket's own, without any prefix.
    pub(crate) bucket: &'a OpenBucket<'a>,
}

/// Files of this machine that hold the rows.
pub(crate) struct Files {
    pub(crate) paths: Vec<PathBuf>,
    pub(crate) format: FileFormat,
    /// For lineage: where they really are.
    pub(crate) origin: String,
    /// The statement sent to a database.
    pub(crate) statement: Option<String>,
}

/// Brings rows within reach; copies go to `temp`.
pub(crate) fn stage(
    config: &DataConfig,
    group: Option<&str>,
    access: &Access<'_>,
    temp: &TempDir,
) -> Result<Files, DataError> {
    let path = config.path.as_deref().unwrap_or_default();
    match config.source {
        SourceKind::File => files::find(path, config.format),
        SourceKind::S3 => bucket::fetch(path, config.format, access, temp.path()),
        SourceKind::Database => database::spool(config, group, access, temp.path()),
        SourceKind::PredictionLog => prediction_log::gather(config, group, access, temp.path()),
    }
}
