//! Where segments are: a folder or a bucket. Those of a bucket are copied first, for they are read twice.

use std::cell::Cell;
use std::path::{Path, PathBuf};

use sidegate::registry::layout;
use sidegate::registry::store::{Folder, Store};

use super::T;
use crate::data::config::DataConfig;
use crate::data::error::DataError;
use crate::data::range::{Instants, parse_instant};
use crate::data::source::{Access, bucket};

const DAY: i64 = 86_400_000;

/// A file of lines.
pub(super) struct Segment {
    /// As the log names it.
    pub(super) key: String,
    pub(super) path: PathBuf,
    /// Whether the file is ours.
    copied: bool,
}

/// A log, and the segments of it that are read, in the order of their names.
pub(super) struct Place {
    pub(super) model: String,
    pub(super) predictions: Vec<Segment>,
    pub(super) outcomes: Vec<Segment>,
    /// For lineage.
    pub(super) origin: String,
    log: Log,
    /// The days of the predictions.
    days: Instants,
}

/// Where segments are.
struct Log {
    url: String,
    store: Box<dyn Store>,
    /// The folder that it is; none of a bucket.
    root: Option<PathBuf>,
    /// What keys begin with in a bucket.
    prefix: String,
    /// Where copies go.
    temp: PathBuf,
    copies: Cell<usize>,
}

impl Segment {
    /// Whether it is Parquet; else it is compressed lines.
    pub(super) fn is_parquet(&self) -> bool {
        self.key.ends_with(".parquet")
    }

    /// Deletes a copy.
    pub(super) fn forget(&self) {
        if self.copied {
            // What stays goes with its folder.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// The segments of the model of `config`, with the outcomes since: an actual may come days after its prediction.
pub(super) fn find(config: &DataConfig, access: &Access<'_>, temp: &Path) -> Result<Place, DataError> {
    let url = config.path.as_deref().unwrap_or_default();
    let model = config.model.clone().unwrap_or_default();
    let (store, root, prefix): (Box<dyn Store>, Option<PathBuf>, String) = match url.strip_prefix("s3://") {
        Some(rest) => {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            let store = (access.bucket)(bucket).map_err(|error| DataError::refused(url, error))?;
            (store, None, prefix.trim_matches('/').to_owned())
        }
        None => {
            let root = local(url);
            if !root.is_dir() {
                return Err(DataError::refused(
                    url,
                    "it is no folder; data.path is prediction_log.url of the gateway",
                ));
            }
            (Box::new(Folder::new(&root)), Some(root), String::new())
        }
    };
    let copies = Cell::new(0);
    let log = Log { url: url.to_owned(), store, root, prefix, temp: temp.to_owned(), copies };
    let mut predictions = log.keys(&layout::logged_predictions(&model, "", ""))?;
    if predictions.is_empty() {
        return Err(DataError::unreadable(
            url,
            format!("there are no predictions of `{model}`; `data.model` says whose log is read"),
        ));
    }
    if config.date_column.as_deref() == Some(T)
        && let Some(range) = &config.date_range
    {
        let range = range.instants()?;
        predictions.retain(|key| may_be_within(key, range));
        if predictions.is_empty() {
            return Err(DataError::empty(config.date_range.as_ref()));
        }
    }
    let days = || predictions.iter().filter_map(|key| day(key));
    let days = Instants { start: days().min(), end: days().max().map(|last| last + DAY) };
    let mut outcomes = log.keys(&layout::logged_outcomes("", ""))?;
    // What was true is known after it was predicted.
    outcomes.retain(|key| may_be_within(key, Instants { end: None, ..days }));
    let (predictions, outcomes) = (log.segments(predictions)?, log.segments(outcomes)?);
    let origin = format!("{}/{}", url.trim_end_matches('/'), layout::logged_predictions(&model, "", ""));
    let origin = origin.trim_end_matches('/').to_owned();
    Ok(Place { predictions, outcomes, origin, model, log, days })
}

impl Place {
    /// Predictions of the other models, of the same days.
    pub(super) fn others(&self) -> Result<Vec<Segment>, DataError> {
        let own = self.log.below(&layout::logged_predictions(&self.model, "", ""));
        let own = own.trim_end_matches('/').to_owned() + "/";
        let mut keys = self.log.keys(layout::LOGGED_PREDICTIONS)?;
        keys.retain(|key| !key.starts_with(&own) && may_be_within(key, self.days));
        self.log.segments(keys)
    }
}

impl Log {
    fn below(&self, part: &str) -> String {
        if self.prefix.is_empty() { part.to_owned() } else { format!("{}/{part}", self.prefix) }
    }

    /// Keys of segments below a part of the log.
    fn keys(&self, part: &str) -> Result<Vec<String>, DataError> {
        let keys = self.store.keys(&self.below(part.trim_end_matches('/')));
        let mut keys = keys.map_err(|error| DataError::of_store(&self.url, &error))?;
        keys.retain(|key| key.ends_with(".ndjson.zst") || key.ends_with(".parquet"));
        keys.sort();
        Ok(keys)
    }

    /// Brings segments within reach.
    fn segments(&self, keys: Vec<String>) -> Result<Vec<Segment>, DataError> {
        let segment = |key: String| match &self.root {
            Some(root) => Ok(Segment { path: root.join(&key), key, copied: false }),
            None => {
                let number = self.copies.replace(self.copies.get() + 1);
                let path = self.temp.join(format!("segment-{number:08}"));
                bucket::copy(self.store.as_ref(), &self.url, &key, &path)?;
                Ok(Segment { key, path, copied: true })
            }
        };
        keys.into_iter().map(segment).collect()
    }
}

fn local(url: &str) -> PathBuf {
    let parsed = url::Url::parse(url).ok().filter(|url| url.scheme() == "file");
    parsed.and_then(|url| url.to_file_path().ok()).unwrap_or_else(|| url.into())
}

/// Whether a segment can hold anything of a range. Its day is that of its first line; others may have come a day before
/// or after.
fn may_be_within(key: &str, range: Instants) -> bool {
    day(key).is_none_or(|day| {
        range.start.is_none_or(|start| day + 2 * DAY > start) && range.end.is_none_or(|end| day - DAY < end)
    })
}

/// The day of a segment.
fn day(key: &str) -> Option<i64> {
    key.rsplit('/').nth(1).and_then(parse_instant)
}
