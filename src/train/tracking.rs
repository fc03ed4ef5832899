//! What trackers other than the registry are told of a run that has ended.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sidegate::config::RegistryUrl;
use sidegate::model::Stage;
use sidegate::registry::clock;

use crate::mlflow::{self, Dataset, RunView, Status, VersionView};
use crate::pipeline::Pipeline;
use crate::registry;
use crate::run::Step;

/// Tells of a run, where `[tracking]` asks for it. No trouble there fails a training.
pub(crate) fn tell(pipeline: &mut Pipeline<'_>) {
    let Pipeline { config, run, progress, rounds, writer, .. } = pipeline;
    let Some(tracking) = &config.tracking else { return };
    let record = &run.record;
    let data = |key: &str| record.data.get(key).and_then(Value::as_str);
    let source = record.version.and_then(|version| reachable(config, version));
    let promoted = record.steps.iter().any(|(step, _)| *step == Step::Promote);
    let view = RunView {
        name: &record.run,
        status: if record.status == "success" { Status::Finished } else { Status::Failed },
        reason: record.reason.as_deref(),
        started: milliseconds(&record.started).unwrap_or_default(),
        ended: record.ended.as_deref().and_then(milliseconds),
        user: writer.as_ref().map(|writer| writer.who()),
        // What was changed since is no commit that others could look up.
        commit: record.code.as_deref().map(|code| code.trim_start_matches("git:").trim_end_matches("-dirty")),
        tags: BTreeMap::from([
            ("sidegate.learner", config.kind.name().to_owned()),
            ("sidegate.config", record.config.clone()),
            ("sidegate.status", record.status.clone()),
        ]),
        params: &record.params,
        metrics: &record.metrics,
        rounds,
        dataset: data("digest").zip(data("source")).map(|(digest, source)| Dataset {
            name: config.card.data.as_deref().unwrap_or(source),
            digest,
            source,
            rows: record.data.get("rows").and_then(Value::as_u64).unwrap_or_default(),
        }),
        folder: &run.folder,
        model: &record.model,
        version: record.version.zip(record.digest.as_deref()).map(|(number, digest)| VersionView {
            number,
            source: source.as_deref(),
            digest,
            // It was checked when the file was read.
            stage: if promoted { config.deployment.stage().unwrap_or(Stage::None) } else { Stage::None },
            alias: config.deployment.alias.as_deref().filter(|_| promoted),
        }),
    };
    mlflow::track(tracking, &view, &mut |words| progress.say("track", words, json!({})));
}

/// Where others find a version: a folder on this machine is nobody else's.
fn reachable(config: &crate::config::Config, version: u64) -> Option<String> {
    let url = registry::url(&config.registry).ok()?;
    matches!(url, RegistryUrl::S3 { .. }).then(|| format!("{url}/{}/{version}", config.name))
}

fn milliseconds(time: &str) -> Option<i64> {
    i64::try_from(clock::parse(time)?.unix_timestamp_nanos() / 1_000_000).ok()
}
