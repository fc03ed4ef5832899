//! The run: found or created, filled in batches, ended.

use serde::Deserialize;
use serde_json::{Value, json};
use sidegate::mlflow::types::Nothing;

use super::client::Client;
use super::values::{TAG, cut, metrics, pairs, params};
use super::{RunView, Status};

/// What tells our run from all others.
const RUN: &str = "sidegate.run";
/// MLflow takes so many at a time.
const PARAMS: usize = 100;
const METRICS: usize = 1000;

/// A run at the server.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Id {
    pub(super) run_id: String,
    pub(super) artifact_uri: String,
}

#[derive(Deserialize)]
struct One {
    run: Found,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Several {
    runs: Vec<Found>,
}

#[derive(Deserialize)]
struct Found {
    info: Id,
}

#[derive(Deserialize)]
struct Experiment {
    experiment: ExperimentId,
}

#[derive(Deserialize)]
struct ExperimentId {
    experiment_id: String,
}

/// The run at the server, created unless it is there.
pub(super) fn begin(client: &mut Client<'_>, experiment: &str, run: &RunView<'_>) -> Option<Id> {
    let experiment = self::experiment(client, experiment)?;
    let filter = format!("tags.`{RUN}` = '{}'", run.name.replace('\'', ""));
    let search = json!({ "experiment_ids": [experiment], "filter": filter, "max_results": 1 });
    let found: Several = client.post("the run", "runs/search", &search)?;
    if let Some(found) = found.runs.into_iter().next() {
        return Some(found.info);
    }
    let create = json!({
        "experiment_id": experiment,
        "run_name": run.name,
        "start_time": run.started,
        "user_id": run.user.unwrap_or_default(),
        "tags": tags(run),
    });
    client.post::<One>("the run", "runs/create", &create).map(|created| created.run.info)
}

fn experiment(client: &mut Client<'_>, name: &str) -> Option<String> {
    let by_name = |client: &mut Client<'_>| {
        client.ask(|server| server.get::<Experiment>("experiments/get-by-name", &[("experiment_name", name)]))
    };
    match by_name(client) {
        Ok(found) => return Some(found.experiment.experiment_id),
        Err(Some(problem)) if !problem.is_absent() => return client.failed("the experiment", &problem),
        _ => {}
    }
    let created =
        client.ask(|server| server.post::<ExperimentId>("experiments/create", &json!({ "name": name })));
    match created {
        Ok(created) => Some(created.experiment_id),
        // Somebody was faster.
        Err(Some(problem)) if problem.is_there() => {
            let query = [("experiment_name", name)];
            let found: Experiment = client.get("the experiment", "experiments/get-by-name", &query)?;
            Some(found.experiment.experiment_id)
        }
        Err(Some(problem)) => client.failed(&format!("the experiment `{name}`"), &problem),
        Err(None) => None,
    }
}

fn tags(run: &RunView<'_>) -> Vec<Value> {
    let mut tags = run.tags.clone();
    tags.insert(RUN, run.name.to_owned());
    tags.insert("mlflow.source.name", "sidegate-train".to_owned());
    tags.insert("mlflow.source.type", "JOB".to_owned());
    let optional = [
        ("mlflow.user", run.user),
        ("mlflow.source.git.commit", run.commit),
        ("sidegate.reason", run.reason),
    ];
    tags.extend(optional.into_iter().filter_map(|(key, value)| Some((key, value?.to_owned()))));
    pairs(&tags, TAG)
}

/// Parameters, metrics and what was learned from.
pub(super) fn log(client: &mut Client<'_>, id: &Id, run: &RunView<'_>) {
    let mut batch = |what: &str, name: &str, values: &[Value]| {
        let mut body = json!({ "run_id": id.run_id });
        body[name] = values.into();
        client.post::<Nothing>(what, "runs/log-batch", &body).is_some()
    };
    for params in pairs(&params(run.params), usize::MAX).chunks(PARAMS) {
        if !batch("the parameters", "params", params) {
            break;
        }
    }
    let now = run.ended.unwrap_or(run.started);
    for metrics in metrics(run.rounds, run.metrics, now).chunks(METRICS) {
        if !batch("the metrics", "metrics", metrics) {
            break;
        }
    }
    if run.status != Status::Running {
        batch("the tags", "tags", &tags(run));
    }
    let Some(data) = &run.dataset else { return };
    // MLflow holds at most 36 bytes of a digest.
    let digest = data.digest.trim_start_matches("sha256:").get(..32).unwrap_or(data.digest);
    let dataset = json!({
        "name": cut(data.name, 500),
        "digest": digest,
        "source_type": source_type(data.source),
        "source": json!({ "uri": data.source, "digest": data.digest }).to_string(),
        "profile": json!({ "num_rows": data.rows }).to_string(),
    });
    let inputs =
        json!([{ "dataset": dataset, "tags": [{ "key": "mlflow.data.context", "value": "training" }] }]);
    let body = json!({ "run_id": id.run_id, "datasets": inputs });
    client.post::<Nothing>("the data", "runs/log-inputs", &body);
}

fn source_type(source: &str) -> &'static str {
    match source.split_once("://").map(|(scheme, _)| scheme) {
        Some("s3") => "s3",
        Some("postgres" | "postgresql") => "sql",
        _ => "local",
    }
}

/// Says how it ended; one that goes on does not end.
pub(super) fn end(client: &mut Client<'_>, run_id: &str, run: &RunView<'_>) {
    let status = match run.status {
        Status::Running => return,
        Status::Finished => "FINISHED",
        Status::Failed => "FAILED",
    };
    let body = json!({ "run_id": run_id, "status": status, "end_time": run.ended.unwrap_or(run.started) });
    client.post::<Nothing>("the end of the run", "runs/update", &body);
}
