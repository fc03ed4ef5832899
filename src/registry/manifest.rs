//! `manifest.json`: what a version consists of and how it is meant. Written once, last of a version's files.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::digest::Digest;
use super::format::{self, FORMAT, Raw, Rest, keeps_rest};
use crate::model::{LoadError, ModelName, Reason, Signature, TensorSpec, Version, shorten};

/// `manifest.json`: what a version consists of and how it is meant.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct Manifest {
    format: u64,
    model: String,
    version: u64,
    /// When it was made, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Digest and size of each file.
    pub files: BTreeMap<String, ManifestFile>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<ManifestSignature>,
    /// Feature names of a model with one tensor input, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
    /// The output that `/predict` answers with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prediction: Option<String>,
    /// Class labels, in the order of the probabilities.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// Whether changed inputs or outputs are meant.
    #[serde(default)]
    pub breaking: bool,
    /// Evaluation metrics.
    #[serde(default, skip_serializing_if = "Raw::is_null")]
    pub metrics: Raw,
    /// Training parameters.
    #[serde(default, skip_serializing_if = "Raw::is_null")]
    pub params: Raw,
    /// Free labels.
    #[serde(default, skip_serializing_if = "Raw::is_null")]
    pub tags: Raw,
    /// Where it came from.
    #[serde(default, skip_serializing_if = "Raw::is_null")]
    pub lineage: Raw,
    /// What it was measured against before it was let through.
    #[serde(default, skip_serializing_if = "Raw::is_null")]
    pub gate: Raw,
    /// What a newer program wrote.
    #[serde(flatten, skip_deserializing)]
    pub rest: Rest,
}

/// One entry of [`Manifest::files`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ManifestFile {
    /// The digest, with or without its prefix.
    pub sha256: String,
    /// Size in bytes.
    pub bytes: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct ManifestSignature {
    inputs: Vec<ManifestTensor>,
    outputs: Vec<ManifestTensor>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct ManifestTensor {
    name: String,
    datatype: String,
    shape: Vec<i64>,
}

keeps_rest!(Manifest);

// === impl Manifest ===

impl Manifest {
    /// The manifest of a version that is being made, without files.
    pub fn new(model: &ModelName, version: Version, created: String, signature: Option<&Signature>) -> Self {
        let tensors = |specs: &[TensorSpec]| specs.iter().map(ManifestTensor::of).collect();
        let signature = signature.map(|signature| ManifestSignature {
            inputs: tensors(&signature.inputs),
            outputs: tensors(&signature.outputs),
        });
        Self {
            format: FORMAT,
            model: model.to_string(),
            version: version.get(),
            created: Some(created),
            files: BTreeMap::new(),
            signature,
            columns: Vec::new(),
            prediction: None,
            labels: Vec::new(),
            breaking: false,
            metrics: Raw::default(),
            params: Raw::default(),
            tags: Raw::default(),
            lineage: Raw::default(),
            gate: Raw::default(),
            rest: Rest::new(),
        }
    }

    /// The stored form.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads the manifest of a version.
    ///
    /// # Errors
    /// [`Reason::Parse`] with what is wrong, also when it belongs to another version.
    pub fn parse(bytes: &[u8], model: &ModelName, version: Version) -> Result<Self, LoadError> {
        let manifest: Self = format::parse("manifest.json", bytes)?;
        if manifest.model != model.as_str() || manifest.version != version.get() {
            let detail = format!("manifest.json is that of {}", manifest.owner());
            return Err(LoadError::new(Reason::Parse, detail));
        }
        // A name is part of a key.
        let leads_away = |name: &&String| {
            matches!(name.as_str(), "" | "." | "..")
                || name.contains(['/', '\\'])
                || name.contains(char::is_control)
        };
        if let Some(name) = manifest.files.keys().find(leads_away) {
            let detail = format!("manifest.json: `{}` is no name of a file", shorten(name).escape_debug());
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

    /// That of a version's folder which is somewhere else now, with the model's name and the number that the version has
    /// there; `file` is the model file. `None` for another tool's `manifest.json`. One of ours that cannot be used is handed
    /// on as it is, for the loader to refuse: what came with digests is not served without them.
    pub fn copied(bytes: Vec<u8>, file: &str, model: &ModelName, version: Version) -> Option<Vec<u8>> {
        let mut manifest = match serde_json::from_slice(&bytes) {
            Ok(Value::Object(manifest))
                if ["files", "model"].iter().all(|key| manifest.contains_key(*key)) =>
            {
                manifest
            }
            Ok(_) => return None,
            Err(_) => return Some(bytes),
        };
        if !Self::parse_any(&bytes).is_ok_and(|manifest| manifest.files.contains_key(file)) {
            return Some(bytes);
        }
        manifest.insert("model".into(), model.as_str().into());
        manifest.insert("version".into(), version.get().into());
        serde_json::to_vec(&manifest).ok()
    }

    /// The inputs and outputs that it declares; `None` where it declares none, or types that are not known here.
    pub fn signature(&self) -> Option<Signature> {
        let specs = |tensors: &[ManifestTensor]| -> Option<Vec<TensorSpec>> {
            tensors.iter().map(ManifestTensor::spec).collect()
        };
        let ManifestSignature { inputs, outputs } = self.signature.as_ref()?;
        Some(Signature { inputs: specs(inputs)?, outputs: specs(outputs)? })
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
        if bytes.len() as u64 == want.bytes && want.digest() == Some(*digest) {
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

impl ManifestFile {
    /// The entry of a file.
    pub fn new(digest: &Digest, bytes: u64) -> Self {
        let digest = digest.to_string();
        Self { sha256: digest.trim_start_matches("sha256:").to_owned(), bytes }
    }

    /// Its digest; `None` when what stands there is none.
    pub fn digest(&self) -> Option<Digest> {
        self.sha256.parse().ok()
    }
}

impl ManifestTensor {
    fn of(spec: &TensorSpec) -> Self {
        let TensorSpec { name, datatype, shape, .. } = spec;
        Self { name: name.to_string(), datatype: datatype.name().to_owned(), shape: shape.clone() }
    }

    fn spec(&self) -> Option<TensorSpec> {
        let datatype = self.datatype.parse().ok()?;
        Some(TensorSpec {
            name: self.name.as_str().into(),
            datatype,
            shape: self.shape.clone(),
            labels: None,
        })
    }
}

/// Ranks agree, where a declared rank means anything: exporters get those of outputs wrong.
fn same_rank(declared: &ManifestTensor, actual: &TensorSpec) -> bool {
    declared.shape.len() == actual.shape.len() || actual.labels.is_some()
}
