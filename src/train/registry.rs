//! The registry as a training needs it: the version that serves now, a new one, its place, and the record of the run.

use std::path::PathBuf;

use serde_json::{Map, Value, json};
use sidegate::config::{self, EngineChoice, RegistryUrl, Sources};
use sidegate::format::{Format, Model as File};
use sidegate::model::{ModelName, Signature, Stage, Version};
use sidegate::registry::digest::Digest;
use sidegate::registry::manifest::Manifest;
use sidegate::registry::operations::{self, Promotion, Registered, Registration};
use sidegate::registry::store::{Body, Condition, Store, StoreError};
use sidegate::registry::writer::Writer;
use sidegate::registry::{MAX_JSON_BYTES, MAX_MODEL_BYTES, layout};

use crate::config::{Config, RegistryConfig};
use crate::failure::Failure;
use crate::features::Field;
use crate::package::SCHEMA;
use crate::pipeline::{CARD, MODEL, Pipeline, Reached, TESTS, VALIDATION};
use crate::run::{Run, Step};
use crate::served::Served;

/// The gateway's configuration, with the registry that the training names.
fn gateway(place: &RegistryConfig, url: Option<&str>) -> Result<(config::Config, Option<String>), Failure> {
    let url = url.map(str::to_owned).or_else(|| place.url.clone());
    let flags = url.map(|url| ("registry.url".to_owned(), url)).into_iter().collect();
    let sources = Sources { file: place.config.clone(), ..Sources::from_process(flags) };
    let loaded = config::load(&sources).map_err(|problems| {
        let key = if place.config.is_some() { "registry.config: " } else { "" };
        Failure::Config(format!("{key}{problems}"))
    })?;
    Ok((loaded, sources.user().map(str::to_owned)))
}

/// The registry to write to, and the engines that prove.
///
/// # Errors
/// When the configuration does not name one.
pub(crate) fn open(place: &RegistryConfig) -> Result<Writer, Failure> {
    let (gateway, user) = gateway(place, None)?;
    sidegate::engine::configure(&gateway.engine);
    sidegate::engine::bring_onnxruntime();
    sidegate::cli::open_registry(gateway.registry, place.by.as_deref(), user).map_err(Failure::Registry)
}

/// Where it is.
///
/// # Errors
/// When the configuration does not say.
pub(crate) fn url(place: &RegistryConfig) -> Result<RegistryUrl, Failure> {
    Ok(gateway(place, None)?.0.registry.url)
}

/// Where data is, in a bucket that is reached as the registry is.
pub(crate) fn bucket(config: &Config, name: &str) -> Result<Box<dyn Store>, String> {
    let (gateway, _) =
        gateway(&config.registry, Some(&format!("s3://{name}"))).map_err(|failure| failure.to_string())?;
    sidegate::cli::open_store(&gateway.registry).map_err(|error| error.to_string())
}

/// A version as it serves.
pub(crate) struct Serving {
    file: File,
    /// Its classes.
    pub(crate) labels: Vec<String>,
    columns: Vec<String>,
    prediction: Option<String>,
}

impl Serving {
    /// What it takes and gives.
    pub(crate) fn signature(&self) -> &Signature {
        self.file.signature()
    }

    /// Loads it for rows of these columns.
    ///
    /// # Errors
    /// When it cannot be run, or asks for other columns.
    pub(crate) fn load(&self, fields: &[Field]) -> Result<Served, String> {
        let columns = if self.columns.is_empty() { self.file.columns() } else { &self.columns };
        let mut served = Served::of_columns(&self.file, EngineChoice::Auto, fields, columns)?;
        self.prediction.as_deref().map_or(Ok(()), |output| served.predict_by(output))?;
        Ok(served)
    }
}

/// A version as it serves, or why it cannot be asked.
///
/// # Errors
/// When the registry does not answer: that says nothing of the version.
pub(crate) fn serving(
    writer: &Writer,
    model: &ModelName,
    version: Version,
) -> Result<Result<Serving, String>, Failure> {
    let store = writer.store();
    let bytes = |name: &str, most: u64| {
        let read = store.read(&layout::file(model, version, name), most, None);
        let read = read.map_err(|error| Failure::Registry(error.to_string()))?;
        Ok::<_, Failure>(read.bytes().ok_or_else(|| format!("version {version} has no {name}")))
    };
    let manifest = bytes(layout::MANIFEST, MAX_JSON_BYTES)?
        .and_then(|bytes| Manifest::parse(&bytes, model, version).map_err(|error| error.to_string()));
    let manifest = match manifest {
        Ok(manifest) => manifest,
        Err(why) => return Ok(Err(why)),
    };
    // A card is JSON too, and no model of XGBoost's.
    let found = manifest.files.keys().find_map(|name| {
        let format = Format::of(std::path::Path::new(name))?;
        (format.file_name() == name.as_str()).then_some((name.clone(), format))
    });
    let Some((name, format)) = found else { return Ok(Err("its manifest names no model file".to_owned())) };
    let file = bytes(&name, MAX_MODEL_BYTES)?
        .and_then(|bytes| File::parse(format, bytes).map_err(|error| error.to_string()));
    let Manifest { labels, columns, prediction, .. } = manifest;
    Ok(file.map(|file| Serving { file, labels, columns, prediction }))
}

/// The number of the version in Production.
///
/// # Errors
/// When the registry does not answer: that there is none is something else.
pub(crate) fn in_production(writer: &Writer, model: &ModelName) -> Result<Option<Version>, Failure> {
    let store = writer.store();
    let known = store.stat(&layout::index(model)).map_err(|error| Failure::Registry(error.to_string()))?;
    if known.is_none() {
        return Ok(None);
    }
    let versions = operations::get_models_by_stage(store, model, Stage::Production);
    let versions = versions.map_err(|error| Failure::Registry(error.to_string()))?;
    Ok(versions.last().and_then(|version| version.version.parse().ok()))
}

/// Registers what the folder of the run holds, and promotes it.
pub(crate) fn publish(pipeline: &mut Pipeline<'_>) -> Reached<()> {
    if pipeline.from <= Step::Register && !register(pipeline)? {
        return Ok(None);
    }
    promote(pipeline).map(Some)
}

fn register(pipeline: &mut Pipeline<'_>) -> Result<bool, Failure> {
    let Some(writer) = &pipeline.writer else { return Ok(false) };
    let config = pipeline.config;
    let mut told = Vec::new();
    let (version, digest, manifest) = match registered_before(pipeline, writer) {
        Some(found) => found,
        None => {
            let registration = registration(pipeline)?;
            let done = operations::register(writer, &config.name, &registration, None, &mut |_, _, _| ())?;
            let Registered { version, digest, manifest, notes, .. } = done.value;
            told = notes;
            (version, digest, manifest)
        }
    };
    for note in told {
        pipeline.progress.say(Step::Register.name(), &note, json!({}));
    }
    pipeline.run.record.version = Some(version);
    pipeline.run.record.digest = Some(manifest);
    let words = format!("version {version} of {} ({digest})", config.name);
    pipeline.over(Step::Register, &words, json!({ "version": version, "digest": digest }))
}

/// The version that this run made before it ended without a word: its number, and the digests of its model file and its
/// manifest.
fn registered_before(pipeline: &Pipeline<'_>, writer: &Writer) -> Option<(u64, String, String)> {
    let (run, store, model) = (&pipeline.run, writer.store(), &pipeline.config.name);
    let evidence = Some(format!("run:{}", run.record.run));
    let trail = operations::log(store, model, None).ok()?;
    let made = trail.entries.iter().rev().find(|e| e.verb == "register" && e.evidence == evidence)?;
    let version = Version::new(made.version?)?;
    let key = layout::file(model, version, layout::MANIFEST);
    let bytes = store.read(&key, MAX_JSON_BYTES, None).ok()?.bytes()?;
    let manifest = Manifest::parse(&bytes, model, version).ok()?;
    let file = run.read(MODEL).ok()?;
    let digest = Digest::of(&file, &mut || ());
    manifest.verify(MODEL, &file, &digest).ok()?;
    let manifest = Digest::of(&bytes, &mut || ()).to_string();
    // What is registered now is another one.
    let is_new = !run.record.was(version.get(), &manifest);
    is_new.then(|| (version.get(), digest.to_string(), manifest))
}

fn promote(pipeline: &mut Pipeline<'_>) -> Result<(), Failure> {
    let (config, version) = (pipeline.config, pipeline.run.record.version);
    let (Some(writer), Some(number)) = (&pipeline.writer, version.and_then(Version::new)) else {
        return Ok(());
    };
    let stage = config.deployment.stage()?;
    if !config.auto_deploy {
        let words = format!("not asked for: {}", by_hand(config, number));
        pipeline.progress.say("promote", &words, json!({}));
        return Ok(());
    }
    // Hours may have gone by since it was judged.
    pipeline.parent = in_production(writer, &config.name)?;
    pipeline.still_the_better()?;
    let run = &pipeline.run.record.run;
    let promotion = Promotion {
        alias: config.deployment.alias.clone(),
        why: Some(format!("{run} passed its gate")),
        evidence: Some(format!("run:{run}")),
        ..Promotion::new(number, stage)
    };
    let done = operations::promote(writer, &config.name, &promotion, None)?;
    for note in done.value.notes {
        pipeline.progress.say(Step::Promote.name(), &note, json!({}));
    }
    let words = format!("version {number} is in {}", stage.name());
    pipeline.over(Step::Promote, &words, json!({ "version": number.get() }))?;
    crate::deploy::after(config, number, &pipeline.run.folder, &mut pipeline.progress)
}

/// The command that promotes a version, in the registry where it is.
fn by_hand(config: &Config, version: Version) -> String {
    let RegistryConfig { url, config: file, .. } = &config.registry;
    let flag = |name: &str, value: &dyn std::fmt::Display| format!(" --{name} {value}");
    let url = url.as_ref().map(|url| flag("registry", url)).unwrap_or_default();
    let file = file.as_ref().map(|file| flag("config", &file.display())).unwrap_or_default();
    let stage = config.deployment.stage().map_or("Production", |stage| stage.name());
    format!("sidegate registry promote {} {version} --stage {stage}{url}{file}", config.name)
}

fn registration(pipeline: &Pipeline<'_>) -> Result<Registration, Failure> {
    let run = &pipeline.run;
    let there = |name: &str| Some(run.path(name)).filter(|path| path.is_file());
    let beside: Vec<PathBuf> =
        ["report.html", "card.md", CARD, SCHEMA, VALIDATION, TESTS, crate::search::FILE]
            .into_iter()
            .filter_map(there)
            .collect();
    let object = |value: Value| match value {
        Value::Object(map) => map,
        _ => Map::new(),
    };
    let card = pipeline.kept_card()?;
    let classes = classes(&run.read(SCHEMA)?).map_err(|error| Failure::file(&run.path(SCHEMA), &error))?;
    let file = File::parse(Format::Onnx, run.read(MODEL)?)?;
    let lineage = json!({
        "data": card.data.digest,
        "data_sources": [card.data.source],
        "range": card.data.range,
        "rows": card.data.rows,
        "code": card.lineage.code,
        "config": card.lineage.config,
        "program": card.lineage.program,
    });
    let mut lineage = object(lineage);
    lineage.retain(|_, value| !value.is_null());
    let exported = &pipeline.config.export;
    Ok(Registration {
        breaking: pipeline.config.deployment.breaking,
        golden: there("golden.json"),
        profile: there("profile.json"),
        beside,
        tags: object(json!({ "learner": pipeline.config.kind.name(), "task": card.evaluation.task })),
        metrics: object(json!(run.record.metrics)),
        params: object(run.record.params.clone()),
        lineage,
        gate: object(json!(card.gate)),
        run_id: Some(run.record.run.clone()),
        parent: card.lineage.parent.and_then(Version::new),
        prediction: Some(exported.prediction(classes.is_some()).to_owned()),
        columns: exported.columns(&pipeline.kept_recipe()?).map_err(Failure::Config)?,
        labels: classes.unwrap_or_default(),
        signature: Some(file.signature().clone()),
        why: Some(format!("trained by {}", run.record.run)),
        evidence: Some(format!("run:{}", run.record.run)),
        ..Registration::new(run.path(MODEL))
    })
}

/// Names of the classes that a `schema.json` has.
fn classes(schema: &[u8]) -> serde_json::Result<Option<Vec<String>>> {
    #[derive(serde::Deserialize)]
    struct Schema {
        classes: Option<Vec<String>>,
    }
    Ok(serde_json::from_slice::<Schema>(schema)?.classes)
}

/// Keeps the record of a run beside the models.
///
/// # Errors
/// When it cannot be written, which fails no training: the run's folder has it too.
pub(crate) fn record(writer: &Writer, run: &Run) -> Result<(), StoreError> {
    let key = layout::run(&run.record.model, &run.record.run);
    let bytes = serde_json::to_vec(&run.record).unwrap_or_default();
    writer.store().write(&key, Body::Bytes(&bytes), Condition::None).map(drop)
}
