//! Where a version's files are, by the address that MLflow gives.

use std::io;

use super::flavor::is_below;
use super::{Buckets, Stat, Store, StoreError, fault};
use crate::mlflow::types::Artifacts;
use crate::mlflow::{Problem, Server};

/// Where MLflow serves the artifacts that it keeps.
const PROXY: &str = "/api/2.0/mlflow-artifacts/artifacts";
/// Where it fetches those of a version from anywhere else.
const FETCH: &str = "/model-versions/get-artifact";
/// Folders below a version's folder that are looked into.
const DEPTH: usize = 4;
/// Files that are looked at.
const FILES: usize = 10_000;

/// A place of files.
pub(super) enum Place {
    /// MLflow's own artifacts.
    Proxy { folder: String },
    /// A bucket that we reach ourselves.
    Bucket(Box<dyn Store>),
    /// Anywhere that only MLflow reaches; it cannot list there.
    Fetched { model: String, version: String },
}

// === impl Place ===

impl Place {
    /// Of an address.
    pub(super) fn of(uri: &str, buckets: &Buckets, model: &str, version: &str) -> Result<Self, StoreError> {
        let uri = uri.trim_end_matches('/');
        if let Some(rest) = uri.strip_prefix("mlflow-artifacts:") {
            // With a host it names this server by another name.
            let path = match rest.strip_prefix("//") {
                Some(rest) => rest.split_once('/').map_or("", |(_, path)| path),
                None => rest.trim_start_matches('/'),
            };
            if is_below(path) {
                return Ok(Self::Proxy { folder: path.to_owned() });
            }
        }
        if let Some((bucket, prefix)) =
            uri.strip_prefix("s3://").map(|rest| rest.split_once('/').unwrap_or((rest, "")))
        {
            return buckets(bucket, prefix).map(Self::Bucket);
        }
        Ok(Self::Fetched { model: model.to_owned(), version: version.to_owned() })
    }

    /// The path of every file; `None` where files cannot be listed.
    pub(super) fn files(&self, server: &Server) -> Result<Option<Vec<String>>, StoreError> {
        match self {
            Self::Fetched { .. } => Ok(None),
            Self::Bucket(store) => {
                let mut keys = store.keys("")?;
                keys.truncate(FILES);
                Ok(Some(keys))
            }
            Self::Proxy { folder } => {
                let mut files = Vec::new();
                let mut folders = vec![(String::new(), DEPTH)];
                while let Some((below, depth)) = folders.pop() {
                    let whole = join(folder, &below);
                    let listed: Artifacts = server
                        .get_path(PROXY, &[("path", &whole)])
                        .map_err(|problem| fault(&whole, problem))?;
                    for file in listed.files.into_iter().filter(|file| is_below(&file.path)) {
                        let path = join(&below, &file.path);
                        if file.is_dir {
                            folders.extend((depth > 0).then(|| (path, depth - 1)));
                        } else if files.len() < FILES {
                            files.push(path);
                        }
                    }
                }
                Ok(Some(files))
            }
        }
    }

    /// Size of a file, `None` when it is not there.
    pub(super) fn stat(&self, server: &Server, path: &str) -> Result<Option<Stat>, StoreError> {
        let size = match self {
            Self::Bucket(store) => return store.stat(path),
            Self::Proxy { folder } => server.size(&format!("{PROXY}/{}", join(folder, path)), &[]),
            Self::Fetched { model, version } => {
                server.size(FETCH, &[("name", model), ("version", version), ("path", path)])
            }
        };
        match size {
            Ok(bytes) => Ok(bytes.map(|bytes| Stat { bytes, token: String::new(), settled: true })),
            Err(problem) if is_absent(&problem) => Ok(None),
            Err(problem) => Err(fault(path, problem)),
        }
    }

    /// Writes a file into `sink`; how many bytes there were, `None` when it is not there.
    pub(super) fn download(
        &self,
        server: &Server,
        path: &str,
        max: u64,
        sink: &mut dyn io::Write,
    ) -> Result<Option<u64>, StoreError> {
        let done = match self {
            Self::Bucket(store) => return Ok(store.download(path, max, sink)?.map(|stat| stat.bytes)),
            Self::Proxy { folder } => {
                server.download(&format!("{PROXY}/{}", join(folder, path)), &[], max, sink)
            }
            Self::Fetched { model, version } => {
                server.download(FETCH, &[("name", model), ("version", version), ("path", path)], max, sink)
            }
        };
        match done {
            Ok(bytes) => Ok(Some(bytes)),
            Err(problem) if is_absent(&problem) => Ok(None),
            Err(problem) => Err(fault(path, problem)),
        }
    }

    /// A small file.
    pub(super) fn read(&self, server: &Server, path: &str, max: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let mut bytes = Vec::new();
        Ok(self.download(server, path, max, &mut bytes)?.map(|_| bytes))
    }
}

fn join(folder: &str, path: &str) -> String {
    match (folder, path) {
        ("", path) => path.to_owned(),
        (folder, "") => folder.to_owned(),
        (folder, path) => format!("{folder}/{path}"),
    }
}

/// Of a single artifact any "not found" is one: the version was known a moment ago.
fn is_absent(problem: &Problem) -> bool {
    matches!(problem, Problem::Refused { status: 404, .. }) || problem.is_absent()
}
