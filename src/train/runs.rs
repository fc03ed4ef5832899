//! Records of trainings, beside the models in the registry.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use sidegate::config::{self, Sources};
use sidegate::model::ModelName;
use sidegate::registry::store::Store;
use sidegate::registry::{MAX_JSON_BYTES, layout};

use crate::cli::print;
use crate::evaluate::short;
use crate::failure::Failure;
use crate::run::Record;

/// Where the registry is.
#[derive(Args)]
pub(crate) struct Place {
    /// The registry: a folder, or s3://bucket/prefix [default: that of the configuration]
    #[arg(long, value_name = "URL")]
    registry: Option<String>,
    /// The gateway's configuration [default: config/sidegate.toml if it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand)]
pub(crate) enum RunsVerb {
    /// The trainings of a model, the latest first
    #[command(after_help = "Example:\n  sidegate-train runs ls flight-delays")]
    Ls {
        /// The model
        model: ModelName,
        #[command(flatten)]
        place: Place,
    },
    /// Everything that is known of one
    #[command(after_help = "Example:\n  sidegate-train runs show flight-delays flight-delays-1764322114077")]
    Show {
        /// The model
        model: ModelName,
        /// The run
        run: String,
        #[command(flatten)]
        place: Place,
    },
    /// Two of them, side by side
    #[command(after_help = "Example:\n  sidegate-train runs compare flight-delays FIRST SECOND")]
    Compare {
        /// The model
        model: ModelName,
        /// The first run
        first: String,
        /// The second
        second: String,
        #[command(flatten)]
        place: Place,
    },
}

/// Carries a command out.
pub(crate) fn run(verb: &RunsVerb) -> Result<(), Failure> {
    match verb {
        RunsVerb::Ls { model, place } => ls(model, place),
        RunsVerb::Show { model, run, place } => {
            let record = read(&*open(place)?, model, run)?;
            print(&if place.json {
                format!("{}\n", serde_json::to_string_pretty(&record).unwrap_or_default())
            } else {
                page(&record)
            });
            Ok(())
        }
        RunsVerb::Compare { model, first, second, place } => {
            let store = open(place)?;
            let (first, second) = (read(&*store, model, first)?, read(&*store, model, second)?);
            compare(&first, &second, place.json);
            Ok(())
        }
    }
}

fn open(place: &Place) -> Result<Box<dyn Store>, Failure> {
    let flags = place.registry.iter().map(|url| ("registry.url".to_owned(), url.clone())).collect();
    let sources = Sources { file: place.config.clone(), ..Sources::from_process(flags) };
    let loaded = config::load(&sources).map_err(|problems| Failure::Config(problems.to_string()))?;
    sidegate::cli::open_store(&loaded.registry).map_err(|error| Failure::Registry(error.to_string()))
}

/// A record as it looks from here, or why it cannot be read; none where there is no such run.
///
/// # Errors
/// When the registry does not answer: that says nothing of the record.
fn find(store: &dyn Store, model: &ModelName, run: &str) -> Result<Option<Result<Record, String>>, Failure> {
    let key = layout::run(model.as_str(), run);
    match store.read(&key, MAX_JSON_BYTES, None) {
        Ok(read) => Ok(read
            .bytes()
            .map(|bytes| Record::read(&bytes).map(Record::seen).map_err(|error| format!("{key}: {error}")))),
        Err(error) if error.fault.is_outage() => Err(Failure::Registry(error.to_string())),
        Err(error) => Ok(Some(Err(error.to_string()))),
    }
}

fn read(store: &dyn Store, model: &ModelName, run: &str) -> Result<Record, Failure> {
    let none = || {
        format!(
            "there is no run `{run}` of {model}; see sidegate-train runs ls {model}, with the same --registry"
        )
    };
    find(store, model, run)?.unwrap_or_else(|| Err(none())).map_err(Failure::Registry)
}

/// One whose record cannot be read is there all the same: what is known of it, as records have it.
fn unreadable(model: &ModelName, run: &str, reason: &str) -> Value {
    json!({ "run": run, "model": model.as_str(), "status": "unreadable", "reason": reason })
}

fn ls(model: &ModelName, place: &Place) -> Result<(), Failure> {
    let store = open(place)?;
    let keys =
        store.keys(&layout::runs(model.as_str())).map_err(|error| Failure::Registry(error.to_string()))?;
    let name = |key: &str| key.rsplit('/').next()?.strip_suffix(".json").map(str::to_owned);
    let (mut records, mut others) = (Vec::new(), Vec::new());
    for run in keys.iter().filter_map(|key| name(key)) {
        match find(&*store, model, &run)? {
            Some(Ok(record)) => records.push(record),
            Some(Err(reason)) => others.push((run, reason)),
            // It was deleted meanwhile.
            None => {}
        }
    }
    records.sort_by(|a, b| b.started.cmp(&a.started));
    others.sort();
    if place.json {
        let known = records.iter().filter_map(|record| serde_json::to_value(record).ok());
        let others = others.iter().map(|(run, reason)| unreadable(model, run, reason));
        print(&format!("{}\n", known.chain(others).collect::<Value>()));
        return Ok(());
    }
    if records.is_empty() && others.is_empty() {
        print(&format!("{model} was never trained here; --registry says where else to look\n"));
    }
    for record in records {
        let version = record.version.map(|version| format!("version {version}"));
        let version = version.or_else(|| Some(format!("was {}", record.earlier.last()?.version)));
        let metrics: Vec<String> =
            first(&record).map(|(name, value)| format!("{name} {}", short(value))).collect();
        let reason = record.reason.unwrap_or_default();
        print(&format!(
            "{}  {}  {:8} {:10} {} {reason}\n",
            record.run,
            record.started,
            record.status,
            version.unwrap_or_default(),
            metrics.join(", ")
        ));
    }
    for (run, reason) in others {
        print(&format!("{run}  unreadable: {reason}\n"));
    }
    Ok(())
}

/// A run for people: every number with as many digits as say something.
fn page(record: &Record) -> String {
    let Record {
        run,
        model,
        config,
        started,
        ended,
        status,
        reason,
        steps,
        metrics,
        params,
        data,
        version,
        earlier,
        ..
    } = record;
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let fields = |value: &Value| -> Vec<String> {
        let fields = value.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
        fields.map(|(name, value)| format!("{name} {}", text(value))).collect()
    };
    let steps: Vec<String> =
        steps.iter().map(|(step, seconds)| format!("{} {} s", step.name(), short(*seconds))).collect();
    let mut lines = vec![
        ("run", run.clone()),
        ("model", model.clone()),
        ("status", reason.as_ref().map_or_else(|| status.clone(), |reason| format!("{status}: {reason}"))),
        ("version", version.map(|version| version.to_string()).unwrap_or_default()),
        (
            "earlier versions",
            earlier.iter().map(|made| made.version.to_string()).collect::<Vec<_>>().join(", "),
        ),
        ("started", started.clone()),
        ("ended", ended.clone().unwrap_or_default()),
        ("steps", steps.join(", ")),
        ("data", fields(data).join(", ")),
        ("config", config.clone()),
        ("params", fields(params).join(", ")),
    ];
    lines.extend(metrics.iter().map(|(name, value)| (name.as_str(), short(*value))));
    let known = lines.iter().filter(|(_, text)| !text.is_empty());
    known.map(|(name, text)| format!("{name:28} {text}\n")).collect()
}

/// The metrics that are looked at first.
fn first(record: &Record) -> impl Iterator<Item = (&str, f64)> {
    let names = ["test_rmse", "test_r2", "test_auc", "test_accuracy", "test_log_loss"];
    names.into_iter().filter_map(|name| record.metrics.get(name).map(|value| (name, *value)))
}

fn compare(first: &Record, second: &Record, json: bool) {
    let both = first.metrics.iter().filter_map(|(name, a)| Some((name, *a, *second.metrics.get(name)?)));
    // As the founding registry has it: none where the first is 0.
    let change = |a: f64, b: f64| (a != 0.0).then(|| (b - a) / a * 100.0);
    if json {
        let metrics: serde_json::Map<_, _> = both
            .map(|(name, a, b)| (name.clone(), json!({ "run1": a, "run2": b, "improvement": change(a, b) })))
            .collect();
        print(&format!("{}\n", json!({ "run1": first, "run2": second, "metric_comparison": metrics })));
        return;
    }
    print(&format!("{:28} {:>16} {:>16} {:>10}\n", "", "first", "second", "change"));
    for (name, a, b) in both {
        let change = change(a, b).map(|change| format!("{change:+.2} %")).unwrap_or_default();
        let (a, b) = (short(a), short(b));
        print(&format!("{name:28} {a:>16} {b:>16} {change:>10}\n"));
    }
    if first.params != second.params {
        print(&format!("parameters: {}\n        and {}\n", first.params, second.params));
    }
}
