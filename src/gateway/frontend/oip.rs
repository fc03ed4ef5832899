//! The Open Inference Protocol beside inference: health, metadata, readiness, index, configuration, statistics.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use serde_json::{Value, json};

use crate::gateway::Gateway;
use crate::gateway::dispatch::{named, resolve};
use crate::gateway::http::Answer;
use crate::gateway::route::Route;
use crate::gateway::workspace::Workspace;
use crate::model::{Selector, TensorSpec};
use crate::serving::status::{State, VersionStatus};
use crate::serving::{ServedVersion, Snapshot, Statistics};

/// Extensions that `/v2` declares.
const EXTENSIONS: [&str; 6] = [
    "binary_tensor_data",
    "classification",
    "model_repository",
    "model_configuration",
    "statistics",
    "parameters",
];

/// Answers a route that is not inference.
pub(in crate::gateway) fn answer(
    route: Route<'_>,
    gateway: &Gateway,
    snapshot: &Snapshot,
    work: &mut Workspace,
) -> Answer {
    match route {
        Route::ServerLive => work.reply(200, &json!({"live": true})),
        Route::ServerReady => match gateway.not_ready() {
            None => work.reply(200, &json!({"ready": true})),
            Some(reason) => work.reply(503, &json!({"ready": false, "error": reason, "code": "not_ready"})),
        },
        Route::ServerMetadata => {
            let version = env!("CARGO_PKG_VERSION");
            work.reply(200, &json!({"name": "sidegate", "version": version, "extensions": EXTENSIONS}))
        }
        Route::Models => {
            let mut names: Vec<&str> = snapshot.models.keys().map(crate::model::ModelName::as_str).collect();
            names.sort_unstable();
            work.reply(200, &json!({"models": names}))
        }
        Route::RepositoryIndex => index(gateway, work),
        Route::ModelReady { model, version } => ready(gateway, snapshot, model, version, work),
        Route::ModelMetadata { model, version } => {
            one(snapshot, model, version, work, |served| metadata(served, snapshot))
        }
        Route::ModelConfig { model, version } => one(snapshot, model, version, work, config),
        Route::ModelStatistics { model, version } => statistics(snapshot, model, version, work),
        _ => work.fail(404, "not_found", "there is nothing at this path"),
    }
}

fn one(
    snapshot: &Snapshot,
    model: &str,
    version: Option<&str>,
    work: &mut Workspace,
    describe: impl FnOnce(&ServedVersion) -> Value,
) -> Answer {
    let found =
        named(model, version, work).and_then(|(model, selector)| resolve(snapshot, &model, &selector, work));
    match found {
        Ok(served) => work.reply(200, &describe(served)),
        Err(answer) => answer,
    }
}

/// 200 when loaded, 503 when known but not loaded, 404 when unknown.
fn ready(
    gateway: &Gateway,
    snapshot: &Snapshot,
    model: &str,
    version: Option<&str>,
    work: &mut Workspace,
) -> Answer {
    let (model, selector) = match named(model, version, work) {
        Ok((model, selector)) => (model, selector),
        Err(answer) => return answer,
    };
    if snapshot.resolve(&model, &selector).is_ok() {
        return work.reply(200, &json!({"name": model, "ready": true}));
    }
    let status = gateway.serving.status.load();
    let known = status.models.iter().find(|m| m.name == model);
    let is_meant = |version: &VersionStatus| match &selector {
        Selector::Default => true,
        Selector::Version(number) => version.version == number.to_string(),
        Selector::Stage(stage) => version.stage == stage.name(),
        Selector::Alias(alias) => version.aliases.contains(alias),
    };
    let known = known.filter(|m| selector == Selector::Default || m.versions.iter().any(is_meant));
    match known {
        Some(known) => {
            let reason = known.problem.as_ref().or_else(|| {
                known.versions.iter().rev().filter(|v| is_meant(v)).find_map(|v| v.reason.as_ref())
            });
            let error =
                reason.map_or_else(|| "not loaded".to_owned(), |r| format!("{}: {}", r.code, r.detail));
            work.reply(503, &json!({"name": model, "ready": false, "error": error, "code": "not_ready"}))
        }
        None => {
            work.fail(404, "not_found", &format!("model `{}` is not known", crate::model::shorten(&model)))
        }
    }
}

fn tensors(specs: &[TensorSpec]) -> Vec<Value> {
    let describe = |spec: &TensorSpec| {
        let mut tensor = json!({"name": &*spec.name, "datatype": spec.datatype.name(), "shape": spec.shape});
        if let Some(labels) = &spec.labels {
            // Parameter values are scalars in the protocol, so the list travels as JSON text.
            tensor["parameters"] = json!({"labels": json!(labels).to_string()});
        }
        tensor
    };
    specs.iter().map(describe).collect()
}

/// Model metadata, as `GET /v2/models/{model}` answers and `/model/info` shows as signature.
fn metadata(served: &ServedVersion, snapshot: &Snapshot) -> Value {
    let versions: Vec<String> = snapshot
        .models
        .get(&served.model)
        .map(|model| model.versions.keys().map(ToString::to_string).collect())
        .unwrap_or_default();
    json!({
        "name": served.model.as_str(),
        "versions": versions,
        "platform": served.format.platform(),
        "inputs": tensors(&served.signature.inputs),
        "outputs": tensors(&served.signature.outputs),
    })
}

/// Inputs and outputs as metadata shows them.
pub(in crate::gateway) fn signature(served: &ServedVersion) -> Value {
    json!({"inputs": tensors(&served.signature.inputs), "outputs": tensors(&served.signature.outputs)})
}

fn config(served: &ServedVersion) -> Value {
    let tensors = |specs: &[TensorSpec]| -> Vec<Value> {
        let data_type = |spec: &TensorSpec| match spec.datatype.name() {
            "BYTES" => "TYPE_STRING".to_owned(),
            name => format!("TYPE_{name}"),
        };
        specs
            .iter()
            .map(|spec| json!({"name": &*spec.name, "data_type": data_type(spec), "dims": spec.shape}))
            .collect()
    };
    // The batch is a dimension like any other here, which Triton's configuration calls a maximum batch of 0.
    json!({
        "name": served.model.as_str(),
        "platform": served.format.platform(),
        "backend": served.engine.name(),
        "max_batch_size": 0,
        "input": tensors(&served.signature.inputs),
        "output": tensors(&served.signature.outputs),
    })
}

fn statistics(
    snapshot: &Snapshot,
    model: Option<&str>,
    version: Option<&str>,
    work: &mut Workspace,
) -> Answer {
    let mut served: Vec<&Arc<ServedVersion>> = match (model, version) {
        (None, _) => snapshot.models.values().flat_map(|m| m.versions.values().map(|(_, v)| v)).collect(),
        // What is behind an `@` is one version; the plain name is all of them.
        (Some(name), None) if !name.contains(['@', '%']) => match snapshot.models.get(name) {
            Some(model) => model.versions.values().map(|(_, v)| v).collect(),
            None => {
                return work.fail(
                    404,
                    "not_found",
                    &format!("model `{}` is not served", crate::model::shorten(name)),
                );
            }
        },
        (Some(name), version) => {
            let found = named(name, version, work)
                .and_then(|(model, selector)| resolve(snapshot, &model, &selector, work));
            match found {
                Ok(served) => vec![served],
                Err(answer) => return answer,
            }
        }
    };
    served.sort_by_key(|v| (v.model.clone(), v.version));
    let stats: Vec<Value> = served.into_iter().map(|v| version_statistics(v)).collect();
    work.reply(200, &json!({"model_stats": stats}))
}

/// All eight pairs have to be there even when zero, and `queue` has to count, or perf_analyzer gives up.
fn version_statistics(served: &ServedVersion) -> Value {
    let Statistics {
        success_count,
        success_nanos,
        fail_count,
        fail_nanos,
        queue_nanos,
        input_nanos,
        infer_nanos,
        output_nanos,
        rows,
        last_inference_millis,
    } = &served.statistics;
    let count = success_count.load(Relaxed);
    let pair = |count: u64, nanos: u64| json!({"count": count, "ns": nanos});
    json!({
        "name": served.model.as_str(),
        "version": served.version.to_string(),
        "last_inference": last_inference_millis.load(Relaxed),
        "inference_count": rows.load(Relaxed),
        "execution_count": count,
        "inference_stats": {
            "success": pair(count, success_nanos.load(Relaxed)),
            "fail": pair(fail_count.load(Relaxed), fail_nanos.load(Relaxed)),
            "queue": pair(count, queue_nanos.load(Relaxed)),
            "compute_input": pair(count, input_nanos.load(Relaxed)),
            "compute_infer": pair(count, infer_nanos.load(Relaxed)),
            "compute_output": pair(count, output_nanos.load(Relaxed)),
            "cache_hit": pair(0, 0),
            "cache_miss": pair(0, 0),
        },
        "response_stats": {},
        "batch_stats": [],
        "memory_usage": [],
    })
}

/// Every known version with its state; `{"ready": true}` leaves out what does not answer.
fn index(gateway: &Gateway, work: &mut Workspace) -> Answer {
    let body = work.body();
    let only_ready = if body.trim_ascii().is_empty() {
        false
    } else {
        match serde_json::from_slice::<Value>(body) {
            Ok(Value::Object(fields)) => fields.get("ready").and_then(Value::as_bool).unwrap_or(false),
            _ => return work.fail(400, "invalid_request", "the body is empty or an object with `ready`"),
        }
    };
    let status = gateway.serving.status.load();
    let mut entries = Vec::new();
    for model in &status.models {
        for version in &model.versions {
            let loaded = version.engine.is_some();
            if only_ready && !loaded {
                continue;
            }
            let state = match version.state {
                _ if loaded => "READY",
                State::Loading => "LOADING",
                _ => "UNAVAILABLE",
            };
            let reason =
                version.reason.as_ref().map_or_else(String::new, |r| format!("{}: {}", r.code, r.detail));
            entries.push(
                json!({"name": model.name, "version": version.version, "state": state, "reason": reason}),
            );
        }
    }
    work.reply(200, &Value::Array(entries))
}

/// A load or unload may not bring a configuration, a file or a place to load from.
///
/// # Errors
/// 400 for a body that tries.
pub(in crate::gateway) fn check_control_body(work: &mut Workspace) -> Result<(), Answer> {
    let body = work.body();
    if body.trim_ascii().is_empty() {
        return Ok(());
    }
    let Ok(value) = serde_json::from_slice::<Value>(body) else {
        return Err(work.fail(400, "invalid_request", "the body is not JSON"));
    };
    let parameters = value.get("parameters").and_then(Value::as_object);
    let foreign = parameters.and_then(|p| p.keys().find(|key| *key != "unload_dependents"));
    match foreign {
        Some(_) => Err(work.fail(
            400,
            "invalid_request",
            "models come from the registry only; parameters are not taken",
        )),
        None => Ok(()),
    }
}
