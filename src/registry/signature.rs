//! Signatures: that a version is what somebody with a key made, and that somebody with a key put it where it serves.
//!
//! Whoever can write to the bucket can change `model.json`; without a key they cannot make a reader that asks for
//! signatures serve other bytes, serve a version that was never promoted, or go back to an older promotion.

mod entry;
mod keys;

pub use entry::{Kind, SignatureEntry, Signed};
pub use keys::{KeyError, Keys, SigningKey};

use super::digest::Digest;
use super::index::Index;
use crate::model::{LoadError, ModelName, Reason, Stage, Version};

/// What the signatures of a version say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Epoch and generation of its promotion; the reader keeps the highest and hands it in at the next check.
    pub promotion_generation: Option<(u64, u64)>,
}

// === impl Keys ===

impl Keys {
    /// Checks the signatures of a version whose manifest has this digest. `promoted` is the stage by which it is to
    /// answer the plain name; a version that is only asked for by alias or as Staging needs no promotion record.
    /// `seen` is the highest promotion that was seen of this model.
    ///
    /// # Errors
    /// [`Reason::BadSignature`] saying what is missing or wrong.
    pub fn check(
        &self,
        index: &Index,
        model: &ModelName,
        version: Version,
        manifest: &Digest,
        promoted: Option<Stage>,
        seen: Option<(u64, u64)>,
    ) -> Result<Verified, LoadError> {
        let manifest = manifest.to_string();
        let entries = || index.signatures.iter().filter_map(SignatureEntry::known);
        let of_version = || entries().filter(|entry| entry.version == version.get());
        let version_signatures: Vec<&Signed> = of_version().filter(|e| e.kind == Kind::Version).collect();
        self.valid(model, &version_signatures, |entry| entry.digest == manifest)
            .map_err(|what| refuse(model, version, &format!("its signature {what}")))?;
        let Some(stage) = promoted else { return Ok(Verified::default()) };
        if stage == Stage::None {
            // Otherwise whoever can write would take every stage away and let the highest version answer.
            let detail = format!(
                "version {version} of `{model}` was never promoted, and with signatures required only what is in \
                 Production answers the plain name; promote it with a key"
            );
            return Err(LoadError::new(Reason::BadSignature, detail));
        }
        let records: Vec<&Signed> = of_version().filter(|e| e.kind == Kind::Promotion).collect();
        let fits = |entry: &Signed| entry.digest == manifest && entry.stage == Some(stage);
        let valid = self.valid(model, &records, fits).map_err(|what| {
            refuse(model, version, &format!("the record of its promotion to {} {what}", stage.name()))
        })?;
        let newest = valid.iter().filter_map(|entry| Some((entry.epoch?, entry.generation?))).max();
        match (newest, seen) {
            (Some((epoch, generation)), Some((seen_epoch, seen_generation)))
                if (epoch, generation) < (seen_epoch, seen_generation) =>
            {
                let what = format!(
                    "the record of its promotion (epoch {epoch}, generation {generation}) is older than the last that \
                     was seen (epoch {seen_epoch}, generation {seen_generation})"
                );
                Err(refuse(model, version, &what))
            }
            _ => Ok(Verified { promotion_generation: newest }),
        }
    }

    /// Those that fit and that a known key made; else what is wrong with all of them.
    fn valid<'a>(
        &self,
        model: &ModelName,
        entries: &[&'a Signed],
        fits: impl Fn(&Signed) -> bool,
    ) -> Result<Vec<&'a Signed>, String> {
        let fitting: Vec<&Signed> = entries.iter().copied().filter(|entry| fits(entry)).collect();
        let valid: Vec<&Signed> =
            fitting.iter().copied().filter(|entry| self.made(model, entry) == Some(true)).collect();
        if !valid.is_empty() {
            return Ok(valid);
        }
        let wrong = fitting.iter().find(|entry| self.made(model, entry) == Some(false));
        Err(match (wrong, fitting.first(), entries.is_empty()) {
            (Some(entry), ..) => format!("by key {} does not fit", crate::model::shorten(&entry.key)),
            (None, Some(entry), _) => {
                format!(
                    "is by key {}, which is not in registry.public_keys_dir",
                    crate::model::shorten(&entry.key)
                )
            }
            (None, None, false) => "is that of other content or of another stage".into(),
            (None, None, true) => "is missing".into(),
        })
    }
}

fn refuse(model: &ModelName, version: Version, what: &str) -> LoadError {
    let detail = format!(
        "version {version} of `{model}`: {what}; `sidegate registry sign {model} {version} --key FILE` makes a valid one"
    );
    LoadError::new(Reason::BadSignature, detail)
}

#[cfg(test)]
mod tests;
