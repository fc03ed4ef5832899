//! `manifest.json`: what a version consists of and how it is meant. Written once, last of a version's files.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::digest::Digest;
use super::format;
use crate::model::{LoadError, ModelName, Reason, Signature, TensorSpec, Version, shorten};

/// `manifest.json`: what a version consists of and how it is meant.
#[derive(Clone, Debug, Deserialize)]
pub struct Manifest {
    model: String,
    version: u64,
    /// When it was made, RFC 3339.
    pub created: Option<String>,
    /// Digest and size of each file.
    pub files: BTreeMap<String, ManifestFile>,
    signature: Option<ManifestSignature>,
    /// Feature names of a model with one tensor input, in order.
    #[serde(default)]
    pub columns: Vec<String>,
    /// The output that `/predict` answers with.
    pub prediction: Option<String>,
    /// Class labels, in the order of the probabilities.
    #[serde(default)]
    pub labels: Vec<String>,
    /// Whether changed inputs or outputs are meant.
    #[serde(default)]
    pub breaking: bool,
    /// Evaluation metrics.
    #[serde(default)]
    pub metrics: Value,
    /// Training parameters.
    #[serde(default)]
    pub params: Value,
    /// Free labels.
    #[serde(default)]
    pub tags: Value,
    /// Where it came from.
    #[serde(default)]
    pub lineage: Value,
}

/// One entry of [`Manifest::files`].
#[derive(Clone, Debug, Deserialize)]
pub struct ManifestFile {
    sha256: String,
    bytes: u64,
}

#[derive(Clone, Debug, Deserialize)]
struct ManifestSignature {
    inputs: Vec<ManifestTensor>,
    outputs: Vec<ManifestTensor>,
}

#[derive(Clone, Debug, Deserialize)]
struct ManifestTensor {
    name: String,
    datatype: String,
    shape: Vec<i64>,
}

// === impl Manifest ===

impl Manifest {
    /// Reads the manifest of a version.
    ///
    /// # Errors
    /// [`Reason::Parse`] with what is wrong, also when it belongs to another version.
    pub fn parse(bytes: &[u8], model: &ModelName, version: Version) -> Result<Self, LoadError> {
        let manifest: Self = format::parse("manifest.json", bytes)?;
        if manifest.model != model.as_str() || manifest.version != version.get() {
            let detail = format!("manifest.json is that of {}/{}", manifest.model, manifest.version);
            return Err(LoadError::new(Reason::Parse, detail));
        }
        Ok(manifest)
    }

    /// Reads the manifest of a folder that may be a copy: it says itself whose it is.
    ///
    /// # Errors
    /// [`Reason::Parse`] with what is wrong, also when no version could be called that.
    pub fn parse_any(bytes: &[u8]) -> Result<Self, LoadError> {
        let manifest: Self = format::parse("manifest.json", bytes)?;
        if manifest.model.parse::<ModelName>().is_err() || Version::new(manifest.version).is_none() {
            let detail = format!("manifest.json is that of {}", manifest.owner());
            return Err(LoadError::new(Reason::Parse, detail));
        }
        Ok(manifest)
    }

    /// Whose it is.
    pub fn owner(&self) -> String {
        format!("{}/{}", shorten(&self.model), self.version)
    }

    /// Checks a file against its entry.
    ///
    /// # Errors
    /// [`Reason::BadDigest`] when it is not listed or differs.
    pub fn verify(&self, name: &str, bytes: &[u8], digest: &Digest) -> Result<(), LoadError> {
        let Some(want) = self.files.get(name) else {
            return Err(LoadError::new(Reason::BadDigest, format!("{name} is not listed in manifest.json")));
        };
        let expected: Result<Digest, _> = want.sha256.parse();
        if bytes.len() as u64 == want.bytes && expected.is_ok_and(|expected| expected == *digest) {
            return Ok(());
        }
        let detail = format!(
            "{name} has {} bytes and {digest}, manifest.json says {} and {}",
            bytes.len(),
            want.bytes,
            want.sha256
        );
        Err(LoadError::new(Reason::BadDigest, detail))
    }

    /// Checks the signature it declares against the graph's, by name and datatype.
    ///
    /// # Errors
    /// [`Reason::SignatureChanged`] naming the first difference.
    pub fn check_signature(&self, actual: &Signature) -> Result<(), LoadError> {
        let Some(declared) = &self.signature else { return Ok(()) };
        let sides =
            [("input", &declared.inputs, &actual.inputs), ("output", &declared.outputs, &actual.outputs)];
        for (side, declared, actual) in sides {
            for (position, spec) in actual.iter().enumerate() {
                let fits = |d: &ManifestTensor| {
                    d.name == *spec.name && d.datatype == spec.datatype.name() && same_rank(d, spec)
                };
                if !declared.get(position).is_some_and(fits) {
                    let detail = format!("manifest.json and the graph differ in {side} `{}`", spec.name);
                    return Err(LoadError::new(Reason::SignatureChanged, detail));
                }
            }
            if let Some(extra) = declared.get(actual.len()) {
                let detail = format!("manifest.json has {side} `{}`, the graph has not", extra.name);
                return Err(LoadError::new(Reason::SignatureChanged, detail));
            }
        }
        Ok(())
    }
}

/// Ranks agree, where a declared rank means anything: exporters get those of outputs wrong.
fn same_rank(declared: &ManifestTensor, actual: &TensorSpec) -> bool {
    declared.shape.len() == actual.shape.len() || actual.labels.is_some()
}
