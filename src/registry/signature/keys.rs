//! Keys: PEM files as OpenSSL makes them (`openssl genpkey -algorithm ed25519`, `openssl pkey -pubout`).

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use ed25519_dalek::pkcs8::spki::DecodePublicKey as _;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{
    DecodePrivateKey as _, EncodePrivateKey as _, EncodePublicKey as _, KeypairBytes,
};
use ed25519_dalek::{Signature, Signer as _, VerifyingKey};
use sha2::{Digest as _, Sha256};

use super::entry::{Kind, Signed};
use crate::model::{ModelName, Stage, Version};
use crate::registry::digest::Digest;
use crate::registry::format::Rest;

/// Largest key file that is read, in bytes.
const MAX_KEY_BYTES: u64 = 64 << 10;

/// A key that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("key {file}: {what}")]
pub struct KeyError {
    /// The file's name, or the folder's.
    pub file: String,
    /// What is wrong with it.
    pub what: String,
}

/// The public keys that are trusted.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    by_id: BTreeMap<String, VerifyingKey>,
}

/// A private key.
pub struct SigningKey(ed25519_dalek::SigningKey);

// === impl Keys ===

impl Keys {
    /// Reads every `*.pem` and `*.pub` of a folder. An empty folder trusts nobody.
    ///
    /// # Errors
    /// When the folder cannot be read, or names a file that is no public key.
    pub fn load(folder: &Path) -> Result<Self, KeyError> {
        let mut keys = Self::default();
        let entries = fs::read_dir(folder).map_err(|e| failure(folder, e))?;
        for entry in entries {
            let path = entry.map_err(|e| failure(folder, e))?.path();
            if path.extension().is_some_and(|extension| extension == "pem" || extension == "pub") {
                keys.add(&path)?;
            }
        }
        Ok(keys)
    }

    /// Whether nobody is trusted.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Trusts the public key in a file.
    fn add(&mut self, path: &Path) -> Result<(), KeyError> {
        let text = read(path)?;
        if text.contains("PRIVATE KEY") {
            return Err(failure(path, "it is a private key, which has no place among the public ones"));
        }
        let key = VerifyingKey::from_public_key_pem(text.trim()).map_err(|e| {
            failure(path, format!("no public Ed25519 key in PEM, as `openssl pkey -pubout` writes it ({e})"))
        })?;
        self.insert(key);
        Ok(())
    }

    fn insert(&mut self, key: VerifyingKey) {
        self.by_id.insert(id(&key), key);
    }

    /// Whether the named key made this signature; `None` when that key is not known.
    pub(super) fn made(&self, model: &ModelName, signed: &Signed) -> Option<bool> {
        let key = self.by_id.get(&signed.key)?;
        let signature = from_hex(&signed.sig).map(|bytes| Signature::from_bytes(&bytes));
        Some(signature.is_some_and(|sig| key.verify_strict(signed.text(model).as_bytes(), &sig).is_ok()))
    }
}

impl FromIterator<VerifyingKey> for Keys {
    fn from_iter<I: IntoIterator<Item = VerifyingKey>>(keys: I) -> Self {
        Self { by_id: keys.into_iter().map(|key| (id(&key), key)).collect() }
    }
}

// === impl SigningKey ===

impl SigningKey {
    /// A new key.
    pub fn generate() -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(&rand::random()))
    }

    /// Reads a private key.
    ///
    /// # Errors
    /// When the file cannot be read or is no private key.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let key = ed25519_dalek::SigningKey::from_pkcs8_pem(read(path)?.trim());
        let key = key.map_err(|e| {
            let what = format!(
                "no private Ed25519 key in PEM, as `openssl genpkey -algorithm ed25519` writes it ({e})"
            );
            failure(path, what)
        })?;
        Ok(Self(key))
    }

    /// The private key in PEM; to be kept where only its owner reads it.
    ///
    /// # Errors
    /// Never for a key that exists.
    pub fn to_pem(&self) -> Result<String, KeyError> {
        // Without the public half, which older releases of OpenSSL cannot read.
        let pair = KeypairBytes { secret_key: self.0.to_bytes(), public_key: None };
        let pem = pair.to_pkcs8_pem(LineEnding::LF).map_err(|e| failure(Path::new("-"), e))?;
        Ok(pem.to_string())
    }

    /// The public key in PEM, for readers.
    ///
    /// # Errors
    /// Never for a key that exists.
    pub fn public_pem(&self) -> Result<String, KeyError> {
        self.public().to_public_key_pem(LineEnding::LF).map_err(|e| failure(Path::new("-"), e))
    }

    /// The public key.
    pub fn public(&self) -> VerifyingKey {
        self.0.verifying_key()
    }

    /// How signatures name the key.
    pub fn id(&self) -> String {
        id(&self.public())
    }

    /// Says that a version is the content whose manifest has this digest.
    pub fn sign_version(&self, model: &ModelName, version: Version, manifest: &Digest) -> Signed {
        self.sign(model, self.statement(Kind::Version, version, manifest))
    }

    /// Says that a version was put into a stage by the change that made this generation.
    pub fn sign_promotion(
        &self,
        model: &ModelName,
        version: Version,
        stage: Stage,
        (epoch, generation): (u64, u64),
        manifest: &Digest,
    ) -> Signed {
        let statement = self.statement(Kind::Promotion, version, manifest);
        let place = (Some(stage), Some(generation), Some(epoch));
        self.sign(model, Signed { stage: place.0, generation: place.1, epoch: place.2, ..statement })
    }

    fn statement(&self, kind: Kind, version: Version, manifest: &Digest) -> Signed {
        Signed {
            kind,
            version: version.get(),
            digest: manifest.to_string(),
            stage: None,
            generation: None,
            epoch: None,
            key: self.id(),
            sig: String::new(),
            rest: Rest::new(),
        }
    }

    fn sign(&self, model: &ModelName, statement: Signed) -> Signed {
        let signature = self.0.sign(statement.text(model).as_bytes());
        Signed { sig: hex(&signature.to_bytes()), ..statement }
    }
}

fn id(key: &VerifyingKey) -> String {
    hex(&Sha256::digest(key.as_bytes())[..8])
}

fn read(path: &Path) -> Result<String, KeyError> {
    let bytes = fs::metadata(path).map_err(|e| failure(path, e))?.len();
    if bytes > MAX_KEY_BYTES {
        return Err(failure(path, format!("{bytes} bytes, which no key has")));
    }
    fs::read_to_string(path).map_err(|e| failure(path, e))
}

/// An error that names the file and not where it is.
fn failure(path: &Path, what: impl ToString) -> KeyError {
    let file = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    KeyError { file, what: what.to_string() }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<[u8; 64]> {
    let digits: Vec<u8> = text.chars().map(|c| c.to_digit(16).map(|d| d as u8)).collect::<Option<_>>()?;
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    let bytes: Vec<u8> = pairs.iter().map(|[high, low]| high << 4 | low).collect();
    bytes.try_into().ok()
}
