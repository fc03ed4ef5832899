//! Objects of a bucket, copied: by the registry's own S3 client, which brings retries, resumption and one state of
//! each object, and no second implementation of TLS (the client DataFusion would use needs one).

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use sidegate::registry::store::Store;

use super::files::{is_finished, of_format};
use super::{Access, Files, Wanted};
use crate::data::config::FileFormat;
use crate::data::error::DataError;

/// Copies what lies below `s3://bucket/prefix`, or the one object of that name.
pub(crate) fn fetch(
    url: &str,
    format: Option<FileFormat>,
    access: &Access<'_>,
    folder: &Path,
) -> Result<Files, DataError> {
    let rest = url.strip_prefix("s3://").unwrap_or(url);
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let prefix = prefix.trim_matches('/');
    if bucket.is_empty() || bucket.contains(['*', '?', '[']) {
        return Err(DataError::Config(format!("data.path: `{url}` names no bucket")));
    }
    let store = (access.bucket)(bucket).map_err(|error| DataError::refused(url, error))?;
    let keys = objects(store.as_ref(), url, prefix)?;
    let (keys, format) = of_format(prefix, keys, format, String::as_str).map_err(|error| match error {
        DataError::NoFiles { format, .. } => DataError::NoFiles { path: url.to_owned(), format },
        other => other,
    })?;
    let keys = if access.wanted == Wanted::Columns { &keys[..keys.len().min(1)] } else { &keys[..] };
    let mut paths = Vec::with_capacity(keys.len());
    for (number, key) in keys.iter().enumerate() {
        let path = folder.join(format!("{number:08}.{}", format.name().to_ascii_lowercase()));
        copy(store.as_ref(), url, key, &path)?;
        paths.push(path);
    }
    Ok(Files { paths, format, origin: url.to_owned(), statement: None })
}

fn objects(store: &dyn Store, url: &str, prefix: &str) -> Result<Vec<String>, DataError> {
    let failed = |error| DataError::of_store(url, &error);
    // A pattern is matched here: a bucket can only be asked for what begins alike.
    let plain = prefix.split(['*', '?', '[']).next().unwrap_or_default();
    if plain.len() < prefix.len() {
        let pattern = glob::Pattern::new(prefix)
            .map_err(|error| DataError::Config(format!("data.path: `{url}` is no pattern: {error}")))?;
        let folder = plain.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut keys = store.keys(folder).map_err(failed)?;
        keys.retain(|key| pattern.matches(key) && is_finished(prefix, Path::new(key)));
        keys.sort();
        return Ok(keys);
    }
    if !prefix.is_empty() && store.stat(prefix).map_err(failed)?.is_some() {
        return Ok(vec![prefix.to_owned()]);
    }
    let mut keys = store.keys(prefix).map_err(failed)?;
    keys.retain(|key| is_finished(prefix, Path::new(key)));
    keys.sort();
    Ok(keys)
}

/// Copies an object of the bucket at `url`.
pub(super) fn copy(store: &dyn Store, url: &str, key: &str, path: &Path) -> Result<(), DataError> {
    let local = |error| DataError::of_io("the copy in data.temp_dir", &error);
    let mut file = BufWriter::new(File::create(path).map_err(local)?);
    let found = store.download(key, u64::MAX, &mut file).map_err(|error| DataError::of_store(url, &error))?;
    file.flush().map_err(local)?;
    // The next try does not find it any more.
    found.map(drop).ok_or_else(|| DataError::unreachable(url, format!("`{key}` was deleted meanwhile")))
}
