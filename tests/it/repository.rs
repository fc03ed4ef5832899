//! Registries on disk, written as their publishers write them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// A registry folder.
pub(crate) struct Repository {
    root: PathBuf,
    generation: AtomicU64,
}

/// What a managed version holds beside its model file.
#[derive(Default)]
pub(crate) struct Extras {
    pub(crate) golden: Option<Value>,
    pub(crate) breaking: bool,
    /// Written into the manifest in place of the true digest.
    pub(crate) wrong_digest: bool,
    /// Left out although the manifest lists it.
    pub(crate) no_model_file: bool,
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// The example that [`super::onnx::constant`] reproduces when `answer` is its answer.
pub(crate) fn golden(answer: f32) -> Value {
    json!({"format": 1, "rtol": 1e-5, "atol": 1e-5, "cases": [{
        "inputs": [{"name": "x", "shape": [2, 4], "datatype": "FP32", "data": [0, 1, 2, 3, 9, 8, 7, 6]}],
        "outputs": [{"name": "y", "shape": [2, 1], "datatype": "FP32", "data": [answer, answer]}],
    }]})
}

impl Repository {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), generation: AtomicU64::new(0) }
    }

    /// A version in a repository without `model.json`, in one write.
    pub(crate) fn bare(&self, model: &str, version: u64, bytes: &[u8]) {
        self.bare_file(model, version, "model.onnx", bytes);
    }

    /// The same, with a model file of any name.
    pub(crate) fn bare_file(&self, model: &str, version: u64, name: &str, bytes: &[u8]) {
        let folder = self.root.join(model).join(version.to_string());
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(name), bytes).unwrap();
    }

    /// Removes a model's folder.
    pub(crate) fn remove(&self, model: &str) {
        fs::remove_dir_all(self.root.join(model)).unwrap();
    }

    /// Makes a model file of a bare repository as large as that, without writing so much.
    pub(crate) fn stretch(&self, model: &str, version: u64, bytes: u64) {
        let path = self.root.join(model).join(version.to_string()).join("model.onnx");
        fs::File::options().write(true).open(path).unwrap().set_len(bytes).unwrap();
    }

    /// A version with its manifest, which is written last. It serves once [`Repository::index`] lists it.
    pub(crate) fn version(&self, model: &str, version: u64, bytes: &[u8], extras: &Extras) {
        let folder = self.root.join(model).join(version.to_string());
        fs::create_dir_all(&folder).unwrap();
        if !extras.no_model_file {
            fs::write(folder.join("model.onnx"), bytes).unwrap();
        }
        let digest = if extras.wrong_digest { sha256(b"something else") } else { sha256(bytes) };
        let mut files = json!({"model.onnx": {"sha256": digest, "bytes": bytes.len()}});
        if let Some(golden) = &extras.golden {
            let bytes = golden.to_string();
            files["golden.json"] = json!({"sha256": sha256(bytes.as_bytes()), "bytes": bytes.len()});
            fs::write(folder.join("golden.json"), bytes).unwrap();
        }
        let manifest = json!({"format": 1, "model": model, "version": version, "files": files,
            "created": "2026-11-23T00:00:00Z", "breaking": extras.breaking});
        fs::write(folder.join("manifest.json"), manifest.to_string()).unwrap();
    }

    /// Replaces `model.json`: which versions there are, their stages, and aliases.
    pub(crate) fn index(&self, model: &str, versions: &[(u64, &str)], aliases: &[(&str, u64)]) {
        let generation = 1 + self.generation.fetch_add(1, Ordering::Relaxed);
        let entry = |(version, stage): &(u64, &str)| {
            let manifest =
                fs::read(self.root.join(model).join(version.to_string()).join("manifest.json")).unwrap();
            json!({"version": version, "stage": stage, "manifest": format!("sha256:{}", sha256(&manifest)),
                "created": "2026-11-23T00:00:00Z", "state": "ready"})
        };
        let aliases: Value = aliases.iter().map(|(name, v)| ((*name).to_owned(), json!(v))).collect();
        let index = json!({"format": 1, "generation": generation, "epoch": 1, "model": model,
            "versions": versions.iter().map(entry).collect::<Vec<_>>(), "aliases": aliases, "hold": null, "audit": []});
        self.replace(&format!("{model}/model.json"), index.to_string().as_bytes());
    }

    /// Changes the text of a file in one step.
    pub(crate) fn rewrite(&self, path: &str, change: impl FnOnce(String) -> String) {
        let text = fs::read_to_string(self.root.join(path)).unwrap();
        self.replace(path, change(text).as_bytes());
    }

    /// Replaces a file in one step, as a compare-and-swap does.
    pub(crate) fn replace(&self, path: &str, bytes: &[u8]) {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let beside = path.with_extension("new");
        fs::write(&beside, bytes).unwrap();
        fs::rename(beside, path).unwrap();
    }
}
