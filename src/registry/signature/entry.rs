//! Signatures as `model.json` has them, and the text that is signed.

use serde::{Deserialize, Deserializer, Serialize};

use crate::model::{ModelName, Stage, Version};
use crate::registry::format::{Raw, Rest, keeps_rest};
use crate::registry::index::{AuditEntry, Index};

/// One of [`Index::signatures`].
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum SignatureEntry {
    /// One that this program knows how to check.
    Known(Signed),
    /// What a newer program wrote.
    Other(Raw),
}

/// What is signed, by whom, and the signature.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct Signed {
    /// What it says.
    pub kind: Kind,
    /// Of which version.
    pub version: u64,
    /// Digest of that version's manifest.
    pub digest: String,
    /// Where it was promoted to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<Stage>,
    /// The generation of the change that promoted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// The epoch of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// Which key: the first 16 hexadecimal digits of the SHA-256 of the public one.
    pub key: String,
    /// Ed25519 over [`Signed::text`], hexadecimal.
    pub sig: String,
    /// What a newer program wrote.
    #[serde(flatten, skip_deserializing)]
    pub rest: Rest,
}

/// What a signature says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// That the version is this content.
    Version,
    /// That the version was put into a stage.
    Promotion,
}

keeps_rest!(Signed);

// === impl SignatureEntry ===

impl<'de> Deserialize<'de> for SignatureEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Raw::deserialize(deserializer)?;
        Ok(raw.read().map_or_else(|| Self::Other(raw), Self::Known))
    }
}

impl SignatureEntry {
    /// It, if this program knows how to check it.
    pub fn known(&self) -> Option<&Signed> {
        match self {
            Self::Known(signed) => Some(signed),
            Self::Other(_) => None,
        }
    }
}

// === impl Signed ===

impl Signed {
    /// The text that is signed: one line a field, so that no two statements have the same one.
    pub fn text(&self, model: &ModelName) -> String {
        let Self { kind, version, digest, stage, generation, epoch, .. } = self;
        let kind = match kind {
            Kind::Version => "version",
            Kind::Promotion => "promotion",
        };
        let mut text = format!("sidegate {kind} 1\nmodel {model}\nversion {version}\nmanifest {digest}\n");
        for (name, value) in [
            ("stage", stage.map(|stage| stage.name().to_owned())),
            ("generation", generation.map(|number| number.to_string())),
            ("epoch", epoch.map(|number| number.to_string())),
        ] {
            text.extend(value.map(|value| format!("{name} {value}\n")));
        }
        text
    }
}

// === impl Index ===

impl Index {
    /// Adds a signature in place of that of the same key that said the same of the version before.
    pub fn add_signature(&mut self, signed: Signed) {
        self.signatures.retain(|entry| {
            entry.known().is_none_or(|old| {
                (old.kind, old.version, &old.key, old.stage)
                    != (signed.kind, signed.version, &signed.key, signed.stage)
            })
        });
        self.signatures.push(SignatureEntry::Known(signed));
    }

    /// Whether what answers the plain name from Production has a signed promotion, and it is not that by which it is
    /// there now: it came back without a key, or a higher version left that was promoted later.
    pub fn has_stale_promotion(&self, version: Version) -> bool {
        if self.default_version() != Some(version.get()) {
            return false;
        }
        let records = || {
            let known = self.signatures.iter().filter_map(SignatureEntry::known);
            known.filter(|signed| signed.stage == Some(Stage::Production))
        };
        let newest = |of: &dyn Fn(&Signed) -> bool| {
            records().filter(|signed| of(signed)).filter_map(|s| Some((s.epoch?, s.generation?))).max()
        };
        let Some(own) = newest(&|signed| signed.version == version.get()) else { return false };
        let is_passed = newest(&|signed| signed.version > version.get()).is_some_and(|newest| own < newest);
        is_passed || self.promoted_by(version).is_some_and(|generation| own.1 < generation)
    }

    /// The generation by which a version came into Production last, counted back along the audit: every change makes
    /// one. `None` where the audit does not reach back that far.
    fn promoted_by(&self, version: Version) -> Option<u64> {
        let production = Some(Stage::Production.name());
        let changes = self.audit.chunk_by(|a, b| a.mutation.is_some() && a.mutation == b.mutation);
        for (back, change) in changes.rev().enumerate() {
            // Without an id it is not known where a change ends.
            if change.iter().any(|entry| entry.mutation.is_none()) {
                return None;
            }
            let promotes = |entry: &AuditEntry| {
                entry.alias.is_none()
                    && entry.version == Some(version.get())
                    && entry.to.as_deref() == production
            };
            if change.iter().any(promotes) {
                return self.generation.checked_sub(back as u64);
            }
        }
        None
    }
}
