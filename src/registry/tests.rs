use std::fs;
use std::path::Path;

use super::store::Folder;
use super::*;
use crate::model::{ModelName, Signature, TensorSpec};
use crate::tensor::Datatype;

fn put(root: &Path, key: &str, bytes: &[u8]) {
    let path = root.join(key);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn digest(bytes: &[u8]) -> String {
    Digest::of(bytes, &mut || ()).to_string()
}

/// A managed model `m` with one version whose model file holds `bytes`.
fn managed(root: &Path, bytes: &[u8]) -> Registry {
    let sha = &digest(bytes)["sha256:".len()..];
    let manifest = format!(
        r#"{{"format":1,"model":"m","version":7,"files":{{"model.onnx":{{"sha256":"{sha}","bytes":{}}}}}}}"#,
        bytes.len()
    );
    put(root, "m/7/model.onnx", bytes);
    put(root, "m/7/manifest.json", manifest.as_bytes());
    let index = format!(
        r#"{{"format":1,"model":"m","versions":[{{"version":7,"stage":"Production","manifest":"{}","state":"ready","new_field":1}},
            {{"version":8,"state":{{"uploading":{{"owner":"x"}}}}}}],"aliases":{{"champion":7}}}}"#,
        digest(manifest.as_bytes())
    );
    put(root, "m/model.json", index.as_bytes());
    Registry::new(Box::new(Folder::new(root)), None)
}

fn fetch(registry: &mut Registry) -> Result<Artefact, LoadError> {
    let name: ModelName = "m".parse().unwrap();
    let catalog = registry.catalog(&name).unwrap()?;
    let listed = catalog.versions.last().expect("a version");
    let described = registry.source().describe(&name, listed)?;
    registry.source().fetch(&name, listed.version, described, &mut || ())
}

#[test]
fn a_managed_version_is_verified() {
    let root = tempfile::tempdir().unwrap();
    let mut registry = managed(root.path(), b"model");
    let catalog = registry.catalog(&"m".parse().unwrap()).unwrap().unwrap();
    assert!(catalog.managed && catalog.versions.len() == 1 && catalog.versions[0].stage == Stage::Production);
    assert_eq!(catalog.aliases["champion"].get(), 7);
    assert_eq!(fetch(&mut registry).unwrap().model, b"model");
}

#[test]
fn changed_bytes_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let mut registry = managed(root.path(), b"model");
    put(root.path(), "m/7/model.onnx", b"mudel");
    assert_eq!(fetch(&mut registry).err().unwrap().code, Reason::BadDigest);
    fs::remove_file(root.path().join("m/7/model.onnx")).unwrap();
    assert_eq!(fetch(&mut registry).err().unwrap().code, Reason::MissingFile);
    put(root.path(), "m/7/manifest.json", b"{}");
    assert_eq!(fetch(&mut registry).err().unwrap().code, Reason::BadDigest);
    fs::remove_file(root.path().join("m/7/manifest.json")).unwrap();
    assert_eq!(fetch(&mut registry).err().unwrap().code, Reason::MissingFile);
}

#[test]
fn unusable_indexes_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let mut registry = managed(root.path(), b"model");
    for bad in [
        "<html>",
        "{}",
        r#"{"format":2,"model":"m","versions":[]}"#,
        r#"{"format":1,"model":"other","versions":[]}"#,
        r#"{"format":1,"model":"m","versions":[{"version":0}]}"#,
        r#"{"format":1,"model":"m","versions":[{"version":1},{"version":1}]}"#,
        r#"{"format":1,"model":"m","versions":[{"version":1,"manifest":"md5:1"}]}"#,
        r#"{"format":1,"model":"m","versions":[],"aliases":{"champion":3}}"#,
        r#"{"format":1,"model":"m","versions":[{"version":3}],"aliases":{"7":3}}"#,
        r#"{"format":1,"model":"m","versions":[{"version":3}],"aliases":{"007":3}}"#,
        r#"{"format":1,"model":"m","versions":[{"version":3}],"aliases":{"STAGING":3}}"#,
        r#"{"format":1,"model":"m","versions":[{"version":3}],"aliases":{"_x":3}}"#,
        r#"{"format":1,"model":"m","versions":[{"version":3}],"aliases":{"":3}}"#,
    ] {
        put(root.path(), "m/model.json", bad.as_bytes());
        assert_eq!(
            registry.catalog(&"m".parse().unwrap()).unwrap().unwrap_err().code,
            Reason::Parse,
            "{bad}"
        );
    }
}

#[test]
fn a_bare_repository_lists_complete_versions() {
    let root = tempfile::tempdir().unwrap();
    put(root.path(), "m/2/model.onnx", b"two");
    put(root.path(), "m/10/model.onnx", b"ten");
    put(root.path(), "m/11/config.pbtxt", b"");
    put(root.path(), "m/notes/model.onnx", b"");
    put(root.path(), "_locks/1/model.onnx", b"");
    put(root.path(), "README.md", b"");
    let mut registry = Registry::new(Box::new(Folder::new(root.path())), None);
    assert_eq!(registry.survey(None, true).unwrap().models, ["m".parse().unwrap()]);
    let catalog = registry.catalog(&"m".parse().unwrap()).unwrap().unwrap();
    let versions: Vec<u64> = catalog.versions.iter().map(|l| l.version.get()).collect();
    assert_eq!((versions, catalog.managed), (vec![2, 10], false));
    assert_eq!(fetch(&mut registry).unwrap().model, b"ten");
}

#[test]
fn every_file_of_a_bare_version_is_part_of_its_token() {
    let root = tempfile::tempdir().unwrap();
    put(root.path(), "m/1/model.onnx", b"one");
    let mut registry = Registry::new(Box::new(Folder::new(root.path())), None);
    let mut token = || registry.catalog(&"m".parse().unwrap()).unwrap().unwrap().versions[0].token.clone();
    let mut seen = vec![token()];
    for (key, bytes) in [
        ("m/1/model.ubj", "one"),
        ("m/1/golden.json", "{}"),
        ("m/1/golden.json", "{\"format\":1}"),
        ("m/1/manifest.json", "{}"),
        ("m/1/manifest.json", "{\"format\":1}"),
    ] {
        put(root.path(), key, bytes.as_bytes());
        assert!(!seen.contains(&token()), "{key}: {bytes}");
        seen.push(token());
    }
    fs::remove_file(root.path().join("m/1/golden.json")).unwrap();
    assert!(!seen.contains(&token()), "without examples");
}

#[test]
fn the_model_file_s_name_says_what_it_is() {
    let root = tempfile::tempdir().unwrap();
    let mut registry = Registry::new(Box::new(Folder::new(root.path())), None);
    for format in FORMATS {
        fs::remove_dir_all(root.path().join("m")).ok();
        put(root.path(), &format!("m/1/{}", format.file_name()), b"bytes");
        let artefact = fetch(&mut registry).unwrap();
        assert_eq!((artefact.format, artefact.model), (format, b"bytes".to_vec()));
    }
    // Two of them leave open which one is meant.
    put(root.path(), "m/1/model.onnx", b"other");
    let error = fetch(&mut registry).err().unwrap();
    assert_eq!(error.code, Reason::Parse);
    assert!(error.detail.contains("model.onnx and model.txt are both there"), "{error}");
    let manifest = |files: &[&str]| {
        let file = |name: &&str| format!(r#""{name}":{{"sha256":"{}","bytes":5}}"#, digest(b"bytes"));
        let files = files.iter().map(file).collect::<Vec<_>>().join(",");
        let text = format!(r#"{{"format":1,"model":"m","version":1,"files":{{{files}}}}}"#);
        put(root.path(), "m/1/manifest.json", text.as_bytes());
    };
    manifest(&["model.txt"]);
    assert_eq!(fetch(&mut registry).unwrap().format, Format::LightgbmText);
    manifest(&["model.txt", "model.onnx"]);
    assert!(fetch(&mut registry).err().unwrap().detail.contains("lists both model.onnx and model.txt"));
    manifest(&["model.ubj"]);
    let error = fetch(&mut registry).err().unwrap();
    assert_eq!((error.code, &*error.detail), (Reason::MissingFile, "model.ubj is not there"));
    put(root.path(), "m/1/model.ubj", b"bytez");
    let error = fetch(&mut registry).err().unwrap();
    assert_eq!(error.code, Reason::BadDigest);
    assert!(error.detail.starts_with("model.ubj has"), "{error}");
    manifest(&[]);
    assert_eq!(fetch(&mut registry).err().unwrap().code, Reason::BadDigest);
}

#[test]
fn no_more_is_read_than_is_expected() {
    let root = tempfile::tempdir().unwrap();
    let mut registry = managed(root.path(), b"model");
    let name: ModelName = "m".parse().unwrap();
    let listed = registry.catalog(&name).unwrap().unwrap().versions[0].clone();
    let source = registry.source();
    let described = source.describe(&name, &listed).unwrap();
    assert_eq!((described.format, described.bytes), (Format::Onnx, 5));
    // It grew after the manifest was written.
    put(root.path(), "m/7/model.onnx", b"model and more");
    let error = source.fetch(&name, listed.version, described, &mut || ()).err().unwrap();
    assert_eq!(error.code, Reason::BadDigest, "{error}");
    let bare = Listed::bare(Version::new(8).unwrap());
    put(root.path(), "m/8/model.onnx", b"");
    let file = fs::File::options().write(true).open(root.path().join("m/8/model.onnx")).unwrap();
    file.set_len(MAX_MODEL_BYTES + 1).unwrap();
    assert_eq!(source.describe(&name, &bare).unwrap_err().code, Reason::TooLarge);
}

/// A `model.json` of these numbers, with version 7 in Production.
fn index_of(epoch: u64, generation: u64, mutation: &str) -> String {
    format!(
        r#"{{"format":1,"epoch":{epoch},"generation":{generation},"mutation":"{mutation}","model":"m",
            "versions":[{{"version":7,"stage":"Production"}}]}}"#
    )
}

#[test]
fn an_index_never_goes_back() {
    let root = tempfile::tempdir().unwrap();
    let mut registry = Registry::new(Box::new(Folder::new(root.path())), None);
    let mut read = |epoch, generation, mutation| {
        put(root.path(), "m/model.json", index_of(epoch, generation, mutation).as_bytes());
        registry.catalog(&"m".parse().unwrap()).unwrap().map(|_| ()).map_err(|error| error.code)
    };
    assert_eq!(read(1, 5, "a"), Ok(()));
    assert_eq!(read(1, 7, "c"), Ok(()));
    assert_eq!(read(1, 6, "b"), Err(Reason::Stale));
    assert_eq!(read(1, 7, "x"), Err(Reason::Stale), "two histories");
    assert_eq!(read(1, 7, "c"), Ok(()), "what was seen is no way back");
    assert_eq!(read(2, 3, "d"), Ok(()), "an operator says that it is meant");
    assert_eq!(read(1, 9, "e"), Err(Reason::Stale));
}

#[test]
fn a_model_that_lost_its_index_does_not_fall_back_to_whatever_is_there() {
    let root = tempfile::tempdir().unwrap();
    let name = "m".parse().unwrap();
    put(root.path(), "m/model.json", index_of(1, 7, "a").as_bytes());
    put(root.path(), "m/9/model.onnx", b"of somebody who is not done yet");
    let mut registry = Registry::new(Box::new(Folder::new(root.path())), None);
    assert!(registry.catalog(&name).unwrap().is_ok());
    std::fs::remove_file(root.path().join("m/model.json")).unwrap();
    for _ in 0..2 {
        assert_eq!(registry.catalog(&name).unwrap().unwrap_err().code, Reason::Stale);
    }
    put(root.path(), "m/model.json", index_of(1, 8, "b").as_bytes());
    assert!(registry.catalog(&name).unwrap().is_ok());
    // What never had one is bare.
    let mut registry = Registry::new(Box::new(Folder::new(root.path())), None);
    std::fs::remove_file(root.path().join("m/model.json")).unwrap();
    assert_eq!(registry.catalog(&name).unwrap().unwrap().versions.len(), 1);
}

#[test]
fn hands_that_edit_an_index_need_not_count() {
    let root = tempfile::tempdir().unwrap();
    let mut registry = managed(root.path(), b"model");
    assert_eq!(registry.catalog(&"m".parse().unwrap()).unwrap().unwrap().aliases.len(), 1);
    put(root.path(), "m/model.json", br#"{"format":1,"model":"m","versions":[{"version":7}]}"#);
    assert_eq!(registry.catalog(&"m".parse().unwrap()).unwrap().unwrap().aliases.len(), 0);
}

#[test]
fn a_declared_signature_is_the_graphs() {
    let tensor = |name: &str| TensorSpec {
        name: name.into(),
        datatype: Datatype::Fp32,
        shape: vec![-1, 4],
        labels: None,
    };
    let actual = Signature { inputs: vec![tensor("x")], outputs: vec![tensor("y")] };
    let x = r#"{"name":"x","datatype":"FP32","shape":[-1,4]}"#;
    let y = r#"{"name":"y","datatype":"FP32","shape":[-1,4]}"#;
    let z = r#"{"name":"z","datatype":"FP32","shape":[-1,4]}"#;
    let check = |inputs: &str, outputs: &str| {
        let text = format!(
            r#"{{"format":1,"model":"m","version":7,"files":{{}},"signature":{{"inputs":[{inputs}],"outputs":[{outputs}]}}}}"#
        );
        let manifest = Manifest::parse(text.as_bytes(), &"m".parse().unwrap(), Version::new(7).unwrap());
        manifest.unwrap().check_signature(&actual).map_err(|e| (e.code, e.detail.contains("`z`")))
    };
    assert_eq!(check(x, y), Ok(()));
    assert_eq!(check(z, y), Err((Reason::SignatureChanged, false)));
    assert_eq!(check(&format!("{x},{z}"), y), Err((Reason::SignatureChanged, true)));
    assert_eq!(check(x, &format!("{y},{z}")), Err((Reason::SignatureChanged, true)));
}
