//! What MLflow said, as it was recorded of 3.17.2, and what is made of it; against a real server where there is one
//! (`SIDEGATE_TEST_MLFLOW=http://…`, as `scripts/test.sh mlflow` has it).

use serde_json::{Value, json};

use super::*;
use crate::config::MlflowUrl;
use crate::mlflow::types::{Nothing, Version as Created};
use crate::model::Stage;
use crate::registry::store::Folder;
use crate::registry::{MAX_JSON_BYTES, MAX_MODEL_BYTES};

const REGISTERED: &str = r#"{"registered_model": {"name": "churn", "creation_timestamp": 1795858131316,
  "last_updated_timestamp": 1795858131481, "latest_versions": [{"name": "churn", "version": "1", "current_stage": "None"}],
  "aliases": [{"alias": "Champion", "version": "1"}, {"alias": "green", "version": "3"}, {"alias": "gone", "version": "9"},
  {"alias": "7", "version": "3"}]}}"#;
const VERSIONS: &str = r#"{"model_versions": [
  {"name": "churn", "version": "3", "creation_timestamp": 1795858131481, "current_stage": "Production", "description": "",
   "source": "models:/m-4471c9063385430683069d23b52b0354", "run_id": "c16d", "status": "READY", "run_link": ""},
  {"name": "churn", "version": "2", "creation_timestamp": 1795858131400, "current_stage": "Staging", "source": "s3://b/churn/2",
   "status": "READY"},
  {"name": "churn", "version": "1", "creation_timestamp": 1795858131316, "current_stage": "Archived", "source": "x",
   "status": "READY"},
  {"name": "churn", "version": "4", "creation_timestamp": 1795858131999, "current_stage": "None", "source": "x",
   "status": "PENDING_REGISTRATION"}]}"#;

fn snapshot(registered: &str, versions: &str) -> Snapshot {
    let registered: Registered = serde_json::from_str(registered).unwrap();
    let versions: ModelVersions = serde_json::from_str(versions).unwrap();
    Snapshot::new(registered.registered_model.aliases, versions.model_versions)
}

#[track_caller]
fn stages(snapshot: &Snapshot, expected: &[(u64, Stage)]) {
    let index = snapshot.index(&"churn".parse().unwrap());
    let found: Vec<(u64, Stage)> = index.versions.iter().map(|entry| (entry.version, entry.stage)).collect();
    assert_eq!(found, expected);
    index.catalog().unwrap();
}

#[test]
fn a_registered_model_is_a_model_json() {
    let snapshot = snapshot(REGISTERED, VERSIONS);
    // The alias decides; of the version that MLflow's stage names, nothing is left.
    stages(&snapshot, &[(1, Stage::Production), (2, Stage::Staging), (3, Stage::None)]);
    let index = snapshot.index(&"churn".parse().unwrap());
    assert_eq!(index.versions[2].created.as_deref(), Some("2026-11-28T09:28:51.481Z"));
    // What names a version that is not there, or reads as a number, cannot be asked for.
    let names: Vec<(&str, u64)> =
        index.aliases.iter().map(|(alias, version)| (alias.as_str(), *version)).collect();
    assert_eq!(names, [("Champion", 1), ("green", 3)]);
    let catalog = index.catalog().unwrap();
    assert_ne!(catalog.versions[0].token, catalog.versions[1].token);
}

#[test]
fn without_such_an_alias_stages_are_mlflows_own() {
    let plain = REGISTERED.replace("Champion", "blue");
    stages(&snapshot(&plain, VERSIONS), &[(1, Stage::Archived), (2, Stage::Staging), (3, Stage::Production)]);
    let both = REGISTERED.replace("green", "production");
    stages(&snapshot(&both, VERSIONS), &[(1, Stage::Archived), (2, Stage::Staging), (3, Stage::Production)]);
}

#[test]
fn a_model_without_versions_has_none() {
    stages(&snapshot(r#"{"registered_model": {"name": "churn"}}"#, "{}"), &[]);
}

#[test]
fn keys_that_mlflow_cannot_have_are_absent() {
    for key in
        ["_index.json", "_drift/churn/1/a.json", "churn/1", "churn/x/model.onnx", "churn/1/a/b", "", "churn"]
    {
        assert!(matches!(Object::of(key), Object::Other), "{key}");
    }
    assert!(matches!(Object::of("churn/model.json"), Object::Index(_)));
    assert!(matches!(Object::of("churn/1/model.json"), Object::File(_, Version::FIRST, _)));
}

/// A real server with a model of one version from a bucket, which a folder stands for.
#[test]
fn a_version_from_a_bucket_is_read_there_with_its_own_manifest() {
    #[expect(clippy::disallowed_methods, reason = "a test")]
    let Ok(url) = std::env::var("SIDEGATE_TEST_MLFLOW") else { return };
    let server = || Server::new(MlflowUrl::parse(&url).unwrap(), None);
    let model: ModelName = format!("bucket-{}", std::process::id()).parse().unwrap();
    let _: Value = server().post("registered-models/create", &json!({ "name": model.as_str() })).unwrap();
    let body = json!({ "name": model.as_str(), "source": "s3://models/team/churn/7" });
    let _: Created = server().post("model-versions/create", &body).unwrap();
    let alias = json!({ "name": model.as_str(), "alias": "production", "version": "1" });
    let _: Nothing = server().post("registered-models/alias", &alias).unwrap();

    let folder = tempfile::tempdir().unwrap();
    let digest = Digest::of(b"a model", &mut || ()).to_string();
    let manifest = json!({
        "format": 1, "model": "churn", "version": 7, "new": "kept",
        "files": { "model.onnx": { "sha256": digest.trim_start_matches("sha256:"), "bytes": 7 } },
    });
    for (name, text) in
        [("model.onnx", "a model"), ("manifest.json", &manifest.to_string()), ("card.md", "#")]
    {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let path = folder.path().to_owned();
    let buckets = move |bucket: &str, prefix: &str| {
        assert_eq!((bucket, prefix), ("models", "team/churn/7"));
        Ok(Box::new(Folder::new(&path)) as Box<dyn Store>)
    };
    let store = Mlflow::new(server(), Box::new(buckets));
    assert!(store.list("").unwrap().contains(&model.to_string()));
    let mut keys = store.keys(model.as_str()).unwrap();
    keys.sort();
    let key = |name: &str| format!("{model}/1/{name}");
    assert_eq!(keys, [key("manifest.json"), key("model.onnx"), format!("{model}/model.json")]);

    let mut registry = crate::registry::Registry::new(Box::new(store), None);
    let catalog = registry.catalog(&model).unwrap().unwrap();
    let again = registry.catalog(&model).unwrap().unwrap();
    assert_eq!((catalog.versions[0].stage, &catalog.versions), (Stage::Production, &again.versions));
    let described = registry.source().describe(&model, &catalog.versions[0]).unwrap();
    assert_eq!(described.bytes, 7);
    let artefact = registry.source().fetch(&model, Version::FIRST, described, &mut || ()).unwrap();
    assert_eq!(artefact.model, b"a model");
    let store = registry.source().store.unwrap();
    let read = store.read(&key("manifest.json"), MAX_JSON_BYTES, None).unwrap();
    let Read::Object { bytes, token } = read else { panic!("it is there") };
    assert_eq!(serde_json::from_slice::<Value>(&bytes).unwrap()["new"], "kept");
    assert_eq!(store.read(&key("manifest.json"), MAX_JSON_BYTES, Some(&token)).unwrap(), Read::Unchanged);
    let stat = store.stat(&key("model.onnx")).unwrap().unwrap();
    assert_eq!(store.download(&key("model.onnx"), MAX_MODEL_BYTES, &mut Vec::new()).unwrap(), Some(stat));
    assert!(matches!(
        store.download(&key("model.onnx"), 6, &mut Vec::new()).unwrap_err().fault,
        Fault::TooLarge { .. }
    ));
    assert_eq!(store.stat(&key("golden.json")).unwrap(), None);
    assert_eq!(store.read("nothing/model.json", 9, None).unwrap(), Read::Absent);
    let written = store.write(&key("x"), Body::Bytes(b""), Condition::None).unwrap_err();
    assert!(written.to_string().contains("only read"), "{written}");
}
