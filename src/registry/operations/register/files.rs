//! The local files of a version.

use std::fs::{self, File, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use super::super::ChangeError;
use super::Registration;
use crate::format::{FORMATS, Format};
use crate::registry::digest::{Digest, Hashing};
use crate::registry::manifest::ManifestFile;
use crate::registry::store::{Fault, StoreError};
use crate::registry::{MAX_JSON_BYTES, MAX_MODEL_BYTES, layout};

/// A file that becomes part of a version.
pub(super) struct LocalFile {
    /// Its name there.
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) digest: Digest,
    pub(super) bytes: u64,
    modified: Option<std::time::SystemTime>,
}

/// The files of a registration, the model file first.
pub(super) fn local(registration: &Registration) -> Result<Vec<LocalFile>, ChangeError> {
    let path = &registration.model_file;
    let format = Format::of(path).ok_or_else(|| {
        let endings: Vec<&str> = FORMATS.iter().map(|format| format.extension()).collect();
        let (path, endings) = (path.display(), endings.join(", ."));
        ChangeError::refused(format!("`{path}` is no model file: its name ends with none of .{endings}"))
    })?;
    let mut files = vec![LocalFile::read(format.file_name(), path, MAX_MODEL_BYTES)?];
    if let Some(golden) = &registration.golden {
        files.push(LocalFile::read(layout::GOLDEN, golden, MAX_JSON_BYTES)?);
    }
    if let Some(profile) = &registration.profile {
        files.push(LocalFile::read(layout::PROFILE, profile, MAX_JSON_BYTES)?);
    }
    for path in &registration.beside {
        let name = path.file_name().and_then(|name| name.to_str()).filter(|name| {
            // What means something there is given as what it means.
            let taken = [layout::MANIFEST, layout::GOLDEN, layout::PROFILE].contains(name);
            !taken && files.iter().all(|file| file.name != *name)
        });
        let name = name.ok_or_else(|| {
            ChangeError::refused(format!("`{}` cannot stand beside the model under its name", path.display()))
        })?;
        files.push(LocalFile::read(name, path, MAX_JSON_BYTES)?);
    }
    Ok(files)
}

impl LocalFile {
    fn read(name: &str, path: &Path, max: u64) -> Result<Self, ChangeError> {
        let local = |error| StoreError::new(&path.display().to_string(), Fault::Local(error));
        let mut file = File::open(path).map_err(local)?;
        let metadata = file.metadata().map_err(local)?;
        let mut hasher = Hashing::new(std::io::sink());
        if metadata.len() <= max {
            io::copy(&mut file, &mut hasher).map_err(local)?;
        }
        let (digest, bytes) = hasher.finish();
        if metadata.len().max(bytes) > max {
            let bytes = metadata.len().max(bytes);
            return Err(ChangeError::refused(format!(
                "`{}` has {bytes} bytes, at most {max} are read",
                path.display()
            )));
        }
        Ok(Self {
            name: name.to_owned(),
            path: path.to_owned(),
            digest,
            bytes,
            modified: modified(&metadata),
        })
    }

    pub(super) fn entry(&self) -> (String, ManifestFile) {
        (self.name.clone(), ManifestFile::new(&self.digest, self.bytes))
    }

    /// Whether what was written is what the digest was taken of.
    pub(super) fn is_unchanged(&self) -> Result<(), ChangeError> {
        match fs::metadata(&self.path) {
            Ok(now) if now.len() == self.bytes && modified(&now) == self.modified => Ok(()),
            _ => Err(ChangeError::refused(format!("`{}` changed while it was read", self.path.display()))),
        }
    }
}

fn modified(metadata: &Metadata) -> Option<std::time::SystemTime> {
    metadata.modified().ok()
}
