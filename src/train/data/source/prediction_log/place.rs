//! Where segments are: a folder or a bucket. Those of a bucket are copied first, for they are read twice.

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

/// The segments that are read, in the order of their names.
pub(super) struct Place {
    pub(super) model: String,
    pub(super) predictions: Vec<Segment>,
    pub(super) outcomes: Vec<Segment>,
    /// For lineage.
    pub(super) origin: String,
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
    let failed = |error| DataError::of_store(url, &error);
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
    let below = |part: &str| if prefix.is_empty() { part.to_owned() } else { format!("{prefix}/{part}") };
    let of = |part: String| -> Result<Vec<String>, DataError> {
        let mut keys = store.keys(&below(part.trim_end_matches('/'))).map_err(failed)?;
        keys.retain(|key| key.ends_with(".ndjson.zst") || key.ends_with(".parquet"));
        keys.sort();
        Ok(keys)
    };
    let mut predictions = of(layout::logged_predictions(&model, "", ""))?;
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
    let mut outcomes = of(layout::logged_outcomes("", ""))?;
    // What was true is known after it was predicted.
    let since = Instants { start: predictions.iter().filter_map(|key| day(key)).min(), end: None };
    outcomes.retain(|key| may_be_within(key, since));
    let mut copies = 0;
    let mut segments = |keys: Vec<String>| {
        let segment = |key: String| match &root {
            Some(root) => Ok(Segment { path: root.join(&key), key, copied: false }),
            None => {
                let path = temp.join(format!("segment-{copies:08}"));
                copies += 1;
                bucket::copy(store.as_ref(), url, &key, &path)?;
                Ok(Segment { key, path, copied: true })
            }
        };
        keys.into_iter().map(segment).collect::<Result<Vec<_>, DataError>>()
    };
    let (predictions, outcomes) = (segments(predictions)?, segments(outcomes)?);
    let origin = format!("{}/{}", url.trim_end_matches('/'), layout::logged_predictions(&model, "", ""));
    Ok(Place { predictions, outcomes, origin: origin.trim_end_matches('/').to_owned(), model })
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
