//! Verified files by the digest of their bytes: streamed in, digested on the way, named last.

use std::fs::{self, File};
use std::io::{self, Read as _, Write};
use std::path::PathBuf;
use std::time::SystemTime;

use super::{Cache, place, remove};
use crate::registry::digest::{Digest, Hashing};
use crate::registry::store::{Fault, Stat, StoreError};

/// A file that came in.
#[derive(Debug)]
pub struct Intake {
    /// Its digest, that of its name.
    pub digest: Digest,
    /// Its size in bytes.
    pub bytes: u64,
    /// What the store said of it.
    pub stat: Stat,
}

/// Why a file did not come in.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// The store failed.
    #[error(transparent)]
    Store(StoreError),
    /// The disk of the cache failed: the file may still be had without it.
    #[error("the cache cannot be written: {0}")]
    Disk(io::Error),
    /// The bytes are not those that were wanted; they are gone again.
    #[error("it has {bytes} bytes and {digest}")]
    Digest {
        /// How many came.
        bytes: u64,
        /// Their digest.
        digest: Digest,
    },
}

impl Cache {
    pub(super) fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs").join(&digest.to_string()["sha256:".len()..])
    }

    /// A file by its digest, digested again; one that was changed is removed. `pace` is called between slices.
    pub fn blob(&self, digest: &Digest, max: u64, pace: &mut dyn FnMut()) -> Option<Vec<u8>> {
        let path = self.blob_path(digest);
        let file = File::open(&path).ok()?;
        let mut bytes = Vec::new();
        // What is put there by somebody else may be larger than anything that was verified.
        let length = file.metadata().ok()?.len();
        if length > max {
            // Who asks for less than it has means another file.
            return None;
        }
        bytes.try_reserve_exact(length as usize).ok()?;
        (&file).take(max).read_to_end(&mut bytes).ok()?;
        if Digest::of(&bytes, pace) == *digest {
            crate::failpoint::at("verified");
            // The time of the last use decides what is evicted first.
            let _ = file.set_modified(SystemTime::now());
            return Some(bytes);
        }
        tracing::warn!(%digest, "a file of the cache is not what its name says; it is removed");
        let _ = fs::remove_file(path);
        None
    }

    /// Streams a file into the cache: `download` writes it, its digest is taken on the way, and it gets its name once
    /// it is complete and is the wanted one. `None` when there is no such file.
    ///
    /// # Errors
    /// [`IntakeError`]; nothing is left behind.
    pub fn intake(
        &self,
        wanted: Option<Digest>,
        download: impl FnOnce(&mut dyn Write) -> Result<Option<Stat>, StoreError>,
    ) -> Result<Option<Intake>, IntakeError> {
        let (file, unfinished) = self.unfinished().map_err(IntakeError::Disk)?;
        crate::failpoint::at("download");
        let result = self.receive(file, &unfinished, wanted, download);
        if !matches!(result, Ok(Some(_))) {
            let _ = fs::remove_file(&unfinished);
        }
        result
    }

    fn receive(
        &self,
        file: File,
        unfinished: &std::path::Path,
        wanted: Option<Digest>,
        download: impl FnOnce(&mut dyn Write) -> Result<Option<Stat>, StoreError>,
    ) -> Result<Option<Intake>, IntakeError> {
        let mut sink = Hashing::new(&file);
        let stat = download(&mut sink).map_err(|error| match error.fault {
            Fault::Local(error) => IntakeError::Disk(error),
            _ => IntakeError::Store(error),
        })?;
        let Some(stat) = stat else { return Ok(None) };
        let (digest, bytes) = sink.finish();
        crate::failpoint::at("downloaded");
        if wanted.is_some_and(|wanted| wanted != digest) {
            return Err(IntakeError::Digest { bytes, digest });
        }
        file.sync_all().map_err(IntakeError::Disk)?;
        crate::failpoint::at("synced");
        place(unfinished, &self.blob_path(&digest)).map_err(IntakeError::Disk)?;
        crate::failpoint::at("named");
        Ok(Some(Intake { digest, bytes, stat }))
    }

    /// Keeps a small file that is in memory already.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn keep_blob(&self, digest: &Digest, bytes: &[u8]) -> io::Result<()> {
        let path = self.blob_path(digest);
        if path.exists() { Ok(()) } else { self.replace(&path, bytes) }
    }

    /// Removes the files that were not used for longest until at most `max_bytes` are kept, but none of `needed`.
    pub fn evict(&self, max_bytes: u64, needed: &[Digest]) {
        let needed: Vec<PathBuf> = needed.iter().map(|digest| self.blob_path(digest)).collect();
        let entries = fs::read_dir(self.root.join("blobs")).into_iter().flatten().flatten();
        let mut files: Vec<_> = entries
            .filter_map(|entry| {
                let meta = entry.metadata().ok()?;
                Some((meta.modified().ok()?, meta.len(), entry.path()))
            })
            .collect();
        files.sort();
        let mut total: u64 = files.iter().map(|(_, bytes, _)| bytes).sum();
        for (_, bytes, path) in files {
            if total <= max_bytes {
                return;
            }
            if !needed.contains(&path) && remove(&path).is_ok() {
                crate::failpoint::at("evicted");
                total -= bytes;
            }
        }
    }
}
