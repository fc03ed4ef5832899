//! A folder as a store, the embedded default.
//!
//! Writes are a temporary file, `fsync` and a rename, so that a reader sees one state or the next. Conditions are
//! decided under a lock of the key's own folder; a token is the time of the last write, which every write moves on.

use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Body, Condition, Fault, Read, SETTLED, Stat, Store, StoreError};

/// Where locks are, below the root. No model is called so.
const LOCKS: &str = "_locks";
/// How files begin that are not objects yet.
const UNFINISHED: &str = ".sidegate-";
/// Bytes handed on at a time.
const CHUNK: usize = 256 << 10;

/// A folder in the registry's layout.
pub struct Folder {
    root: PathBuf,
}

impl Folder {
    /// A store on `root`, which need not exist yet.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Holds writers of `key`'s folder off until it is dropped.
    fn lock(&self, key: &str) -> io::Result<File> {
        let locks = self.root.join(LOCKS);
        fs::create_dir_all(&locks)?;
        let name = key.split('/').next().unwrap_or_default();
        let file = File::options().create(true).append(true).open(locks.join(name))?;
        file.lock()?;
        Ok(file)
    }

    /// Writes a file beside `path` and gives it its name.
    fn replace(path: &Path, body: Body<'_>, after: Option<SystemTime>) -> io::Result<()> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let unfinished = format!("{UNFINISHED}{}-{}", std::process::id(), NUMBER.fetch_add(1, Relaxed));
        let unfinished = path.with_file_name(unfinished);
        let written = File::create_new(&unfinished).and_then(|mut file| {
            match body {
                Body::Bytes(bytes) => file.write_all(bytes)?,
                Body::File(from) => drop(io::copy(&mut File::open(from)?, &mut file)?),
            }
            // Clocks of files are coarse: two writes within a tick must not have the same token.
            let modified = file.metadata()?.modified()?;
            if let Some(after) = after.filter(|after| modified <= *after) {
                file.set_modified(after + Duration::from_nanos(1))?;
            }
            file.sync_all()?;
            fs::rename(&unfinished, path)
        });
        if written.is_err() {
            let _ = fs::remove_file(&unfinished);
        }
        written?;
        // The name is part of the folder. Some file systems cannot sync one, and a rename is atomic all the same.
        if let Some(parent) = path.parent() {
            let _ = File::open(parent).and_then(|folder| folder.sync_all());
        }
        Ok(())
    }
}

impl Store for Folder {
    fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let entries = match fs::read_dir(self.root.join(prefix)) {
            Ok(entries) => entries,
            Err(e) if is_absent(&e) && !prefix.is_empty() => return Ok(Vec::new()),
            Err(error) => return Err(failure(prefix, error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|e| failure(prefix, e))?;
            // Links are followed (mounted config maps are made of them); plain files beside models are not models.
            if entry.path().is_dir() {
                names.extend(entry.file_name().into_string().ok().filter(|name| name != LOCKS));
            }
        }
        Ok(names)
    }

    fn keys(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let mut keys = Vec::new();
        let mut folders = vec![prefix.to_owned()];
        while let Some(folder) = folders.pop() {
            let entries = match fs::read_dir(self.root.join(&folder)) {
                Ok(entries) => entries,
                Err(e) if is_absent(&e) => continue,
                Err(error) => return Err(failure(&folder, error)),
            };
            for entry in entries {
                let entry = entry.map_err(|e| failure(&folder, e))?;
                let Ok(name) = entry.file_name().into_string() else { continue };
                let key = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
                if entry.path().is_dir() {
                    folders.extend(Some(key).filter(|key| key != LOCKS));
                } else if !name.starts_with(UNFINISHED) {
                    keys.push(key);
                }
            }
        }
        Ok(keys)
    }

    fn stat(&self, key: &str) -> Result<Option<Stat>, StoreError> {
        stat(&self.root.join(key), key)
    }

    fn read(&self, key: &str, max: u64, known: Option<&str>) -> Result<Read, StoreError> {
        read(&self.root.join(key), key, max, known)
    }

    fn download(&self, key: &str, max: u64, sink: &mut dyn io::Write) -> Result<Option<Stat>, StoreError> {
        download(&self.root.join(key), key, max, sink)
    }

    fn write(&self, key: &str, body: Body<'_>, condition: Condition<'_>) -> Result<String, StoreError> {
        let path = self.root.join(key);
        let io = |error| failure(key, error);
        let lock = self.lock(key).map_err(io)?;
        fs::create_dir_all(path.parent().unwrap_or(&self.root)).map_err(io)?;
        let before = stat(&path, key)?;
        let holds = match condition {
            Condition::None => true,
            Condition::Absent => before.is_none(),
            Condition::Token(token) => before.as_ref().is_some_and(|stat| stat.token == token),
        };
        if !holds {
            return Err(StoreError::new(key, Fault::Conflict));
        }
        let after = fs::metadata(&path).and_then(|meta| meta.modified()).ok();
        Self::replace(&path, body, after).map_err(io)?;
        let token = stat(&path, key)?.map(|stat| stat.token);
        drop(lock);
        token.ok_or_else(|| StoreError::new(key, Fault::Changed))
    }

    fn delete(&self, key: &str) -> Result<(), StoreError> {
        let path = self.root.join(key);
        if metadata(&path, key)?.is_none() {
            return Ok(());
        }
        let _lock = self.lock(key).map_err(|e| failure(key, e))?;
        match fs::remove_file(&path) {
            Err(e) if !is_absent(&e) => return Err(failure(key, e)),
            _ => {}
        }
        // Folders are no objects: those that hold nothing any more go too, as they would in a bucket.
        let inside = path.ancestors().skip(1).take_while(|folder| *folder != self.root);
        for folder in inside {
            if fs::remove_dir(folder).is_err() {
                break;
            }
        }
        Ok(())
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

pub(super) fn failure(key: &str, error: io::Error) -> StoreError {
    StoreError::new(key, Fault::Local(error))
}

/// Metadata of a regular file: a FIFO or a device would block the reader.
fn metadata(path: &Path, key: &str) -> Result<Option<Metadata>, StoreError> {
    match fs::metadata(path) {
        Ok(meta) if meta.is_file() => Ok(Some(meta)),
        Ok(_) => Ok(None),
        Err(e) if is_absent(&e) => Ok(None),
        Err(error) => Err(failure(key, error)),
    }
}

fn describe(meta: &Metadata) -> Stat {
    let modified = meta.modified().ok();
    let token = modified.and_then(|t| t.duration_since(UNIX_EPOCH).ok()).map_or(0, |d| d.as_nanos());
    let age = modified.and_then(|t| t.elapsed().ok());
    Stat { bytes: meta.len(), token: token.to_string(), settled: age.is_some_and(|age| age >= SETTLED) }
}

pub(super) fn stat(path: &Path, key: &str) -> Result<Option<Stat>, StoreError> {
    Ok(metadata(path, key)?.as_ref().map(describe))
}

/// Opens a regular file; what is then read and described is one and the same file, whatever takes its name.
fn open(path: &Path, key: &str, max: u64) -> Result<Option<(File, Stat)>, StoreError> {
    if metadata(path, key)?.is_none() {
        return Ok(None);
    }
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if is_absent(&e) => return Ok(None),
        Err(error) => return Err(failure(key, error)),
    };
    let stat = describe(&file.metadata().map_err(|e| failure(key, e))?);
    if stat.bytes > max {
        return Err(StoreError::new(key, Fault::TooLarge { bytes: stat.bytes, max }));
    }
    Ok(Some((file, stat)))
}

pub(super) fn read(path: &Path, key: &str, max: u64, known: Option<&str>) -> Result<Read, StoreError> {
    let Some((file, stat)) = open(path, key, max)? else { return Ok(Read::Absent) };
    if known == Some(&stat.token) {
        return Ok(Read::Unchanged);
    }
    let mut bytes = Vec::with_capacity(stat.bytes as usize);
    // The file may grow while it is read; the cap holds all the same.
    file.take(max.saturating_add(1)).read_to_end(&mut bytes).map_err(|e| failure(key, e))?;
    let length = bytes.len() as u64;
    if length > max {
        return Err(StoreError::new(key, Fault::TooLarge { bytes: length, max }));
    }
    Ok(Read::Object { bytes, token: stat.token })
}

pub(super) fn download(
    path: &Path,
    key: &str,
    max: u64,
    sink: &mut dyn io::Write,
) -> Result<Option<Stat>, StoreError> {
    let Some((mut file, stat)) = open(path, key, max)? else { return Ok(None) };
    let local = |error| failure(key, error);
    let mut buffer = vec![0; CHUNK];
    let mut done = 0;
    loop {
        let count = match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(local(error)),
        };
        done += count as u64;
        if done > max {
            return Err(StoreError::new(key, Fault::TooLarge { bytes: done, max }));
        }
        sink.write_all(&buffer[..count]).map_err(local)?;
    }
    let now = describe(&file.metadata().map_err(local)?);
    if done != stat.bytes || now.token != stat.token {
        return Err(StoreError::new(key, Fault::Changed));
    }
    Ok(Some(stat))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_passes_the_suite() {
        let root = tempfile::tempdir().unwrap();
        super::super::suite(&Folder::new(root.path()));
    }

    #[test]
    fn a_missing_folder_is_an_error_and_no_panic() {
        assert!(Folder::new("does/not/exist").list("").is_err());
    }

    #[test]
    fn what_is_not_written_to_its_end_is_no_object() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("m/1")).unwrap();
        fs::write(root.path().join("m/1/.sidegate-1-1"), b"half").unwrap();
        let store = Folder::new(root.path());
        assert!(store.keys("m").unwrap().is_empty());
    }
}
