//! The version of a registered model: created once, then its stage as aliases and as MLflow's own.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use sidegate::mlflow::Problem;
use sidegate::mlflow::types::{Nothing, Version};
use sidegate::model::Stage;

use super::client::Client;
use super::run::Id;
use super::settings::Stages;
use super::values::{TAG, pairs};
use super::{RunView, Status, VersionView, artifacts};

/// Registers what the run registered; its number in MLflow. `there`: the run's own artifacts have the model.
pub(super) fn register(
    client: &mut Client<'_>,
    stages: Stages,
    id: &Id,
    run: &RunView<'_>,
    there: bool,
) -> Option<String> {
    let version = run.version.as_ref().filter(|_| run.status != Status::Running)?;
    let create = json!({ "name": run.model, "tags": [{ "key": "sidegate.model", "value": run.model }] });
    match client.ask(|server| server.post::<Value>("registered-models/create", &create)) {
        Ok(_) => {}
        Err(Some(problem)) if problem.is_there() => {}
        Err(Some(problem)) => return client.failed("the model", &problem),
        Err(None) => return None,
    }
    let number = match known(client, id, run.model, version)? {
        Some(number) => number,
        None => self::create(client, id, run, version, there)?,
    };
    if matches!(stages, Stages::Alias | Stages::Both) {
        alias(client, run.model, &number, version);
    }
    if matches!(stages, Stages::Stage | Stages::Both) {
        stage(client, run.model, &number, version.stage);
    }
    Some(number)
}

/// Tells which version of ours one of MLflow's is.
const NUMBER: &str = "sidegate.version";
/// Tells it from one of the same number in another registry.
const MANIFEST: &str = "sidegate.manifest";

/// `model-versions/search`, as far as it tells which those are.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Told {
    model_versions: Vec<ToldVersion>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ToldVersion {
    version: String,
    tags: Vec<Tag>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Tag {
    key: String,
    value: String,
}

/// Where this very version was told already, its number there; nothing at all where that cannot be known.
fn known(client: &mut Client<'_>, id: &Id, model: &str, version: &VersionView<'_>) -> Option<Option<String>> {
    let filter = format!("name = '{model}' and run_id = '{}'", id.run_id);
    let found = client.ask(|server| server.get::<Told>("model-versions/search", &[("filter", &filter)]));
    let number = version.number.to_string();
    let own = [(NUMBER, number.as_str()), (MANIFEST, version.digest)];
    let has = |tags: &[Tag], (key, value): (&str, &str)| {
        tags.iter().any(|tag| tag.key == key && tag.value == value)
    };
    let is_it = |tags: &[Tag]| own.into_iter().all(|one| has(tags, one));
    match found {
        Ok(found) => {
            Some(found.model_versions.into_iter().find(|known| is_it(&known.tags)).map(|known| known.version))
        }
        Err(Some(problem)) => client.failed("the version", &problem),
        Err(None) => None,
    }
}

fn create(
    client: &mut Client<'_>,
    id: &Id,
    run: &RunView<'_>,
    version: &VersionView<'_>,
    there: bool,
) -> Option<String> {
    let own = format!("{}/{}", id.artifact_uri.trim_end_matches('/'), artifacts::model_folder(run));
    let own = there.then_some(own.as_str());
    if version.source.is_none() && own.is_none() {
        client.say("the version was not registered there: its model could not be put where others find it");
        return None;
    }
    let mut tags = BTreeMap::from([
        (NUMBER, version.number.to_string()),
        (MANIFEST, version.digest.to_owned()),
        ("sidegate.run", run.name.to_owned()),
    ]);
    tags.extend((version.stage == Stage::Archived).then(|| ("stage", "archived".to_owned())));
    let tags = pairs(&tags, TAG);
    let body = |source: &str| {
        json!({
            "name": run.model,
            "source": source,
            "run_id": id.run_id,
            "tags": tags,
            "description": format!("version {} of the registry of sidegate", version.number),
        })
    };
    let mut created = Err(None);
    for source in version.source.into_iter().chain(own) {
        created = client.ask(|server| server.post::<Version>("model-versions/create", &body(source)));
        match &created {
            // A server may take sources of some kinds only; its own artifacts it takes.
            Err(Some(Problem::Refused { .. })) => {}
            _ => break,
        }
    }
    match created {
        Ok(created) => Some(created.model_version.version),
        Err(Some(problem)) => client.failed("the version", &problem),
        Err(None) => None,
    }
}

fn alias(client: &mut Client<'_>, model: &str, number: &str, version: &VersionView<'_>) {
    let of_stage: &[&str] = match version.stage {
        Stage::Production => &["production", "champion"],
        Stage::Staging => &["staging", "challenger"],
        Stage::None | Stage::Archived => &[],
    };
    for alias in of_stage.iter().copied().chain(version.alias.filter(|alias| !of_stage.contains(alias))) {
        let body = json!({ "name": model, "alias": alias, "version": number });
        client.post::<Nothing>(&format!("the alias {alias}"), "registered-models/alias", &body);
    }
}

/// Of a server that has no stages any more nothing is expected.
fn stage(client: &mut Client<'_>, model: &str, number: &str, stage: Stage) {
    if stage == Stage::None {
        return;
    }
    let body = json!({
        "name": model,
        "version": number,
        "stage": stage.name(),
        "archive_existing_versions": stage == Stage::Production,
    });
    match client.ask(|server| server.post::<Value>("model-versions/transition-stage", &body)) {
        Err(Some(problem)) if !problem.is_unknown_call() => {
            client.failed::<()>(&format!("the stage {}", stage.name()), &problem);
        }
        _ => {}
    }
}
