//! What is deployed: versions that the registry has, and that nothing speaks against.

use std::collections::BTreeMap;

use serde_json::Value;
use sidegate::config::{Registry, RegistryUrl};
use sidegate::format::Format;
use sidegate::model::{ModelName, Selector, Stage, Version};
use sidegate::registry::digest::Digest;
use sidegate::registry::index::State;
use sidegate::registry::manifest::Manifest;
use sidegate::registry::operations::{self, Summary};
use sidegate::registry::store::Store;
use sidegate::registry::{MAX_JSON_BYTES, layout};
use sidegate::score::Better;

use super::{DeployArgs, Target};
use crate::evaluate::named_metric;
use crate::failure::Failure;

/// A version that shares the traffic, as the command line has it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Variant {
    /// Its name.
    pub(super) name: String,
    /// Which version.
    pub(super) selector: Selector,
    /// Its part of the traffic, by the sum of all.
    pub(super) weight: f64,
}

/// A version with its part.
pub(super) struct Part {
    /// Its name.
    pub(super) name: String,
    /// The version.
    pub(super) version: Version,
    /// Its part of the traffic, by the sum of all.
    pub(super) weight: f64,
}

/// What is deployed, checked.
pub(super) struct Subject {
    /// The model.
    pub(super) model: ModelName,
    /// Where it is.
    pub(super) registry: Registry,
    /// Those that answer.
    pub(super) parts: Vec<Part>,
    /// That which answers nobody.
    pub(super) shadow: Option<Version>,
    /// The model file of each.
    pub(super) files: BTreeMap<Version, String>,
}

// === impl Variant ===

impl Variant {
    /// Reads `NAME=REF:WEIGHT`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let refused = || "a name, `=`, a version, `:` and a weight, such as new=7:0.1".to_owned();
        let (name, rest) = text.split_once('=').ok_or_else(refused)?;
        let (version, weight) = rest.rsplit_once(':').ok_or_else(refused)?;
        let weight: f64 =
            weight.parse().ok().filter(|w: &f64| w.is_finite() && *w >= 0.0).ok_or_else(refused)?;
        let named = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if !named || name.is_empty() || name.len() > 63 || name.starts_with('-') || name.ends_with('-') {
            return Err(format!("`{name}` names no variant: letters, digits and hyphens, 63 in all"));
        }
        Ok(Self { name: name.to_owned(), selector: super::selector(version)?, weight })
    }
}

// === impl Subject ===

impl Subject {
    /// Reads what is asked for from the registry.
    ///
    /// # Errors
    /// [`Failure::Registry`] for a version that is not there or not complete, for a hold on another one, and for a target
    /// that follows the registry where the plain name means another one; [`Failure::Gate`] for metrics.
    pub(super) fn read(args: &DeployArgs, registry: Registry) -> Result<Self, Failure> {
        if !registry.url.is_remote() {
            return Err(Failure::Config(format!(
                "{} is on this machine, where {:?} cannot read it; name a bucket with --registry s3://bucket/prefix",
                registry.url, args.target
            )));
        }
        let told = |error: &dyn std::fmt::Display| Failure::Registry(error.to_string());
        let store = sidegate::cli::open_store(&registry).map_err(|error| told(&error))?;
        let model = args.model.name.clone();
        let summary = operations::show(&*store, &model).map_err(|error| told(&error))?;
        let alone =
            [Variant { name: "AllTraffic".into(), selector: args.model.selector.clone(), weight: 1.0 }];
        let variants = if args.variant.is_empty() { &alone[..] } else { &args.variant };
        let part = |variant: &Variant| {
            let version = resolve(&summary, &model, &variant.selector)?;
            Ok(Part { name: variant.name.clone(), version, weight: variant.weight })
        };
        let parts: Vec<Part> = variants.iter().map(part).collect::<Result<_, Failure>>()?;
        if parts.iter().all(|part| part.weight == 0.0) {
            return Err(Failure::Config("--variant: no variant has a weight above 0".into()));
        }
        let shadow = args.shadow.as_ref().map(|selector| resolve(&summary, &model, selector)).transpose()?;
        for part in &parts {
            allowed(args, &summary, &model, part.version)?;
        }
        let mut files = BTreeMap::new();
        for version in parts.iter().map(|part| part.version).chain(shadow) {
            let manifest = manifest(&*store, &summary, &model, version)?;
            // A shadow is how one finds out.
            if Some(version) != shadow {
                require(args, &manifest, &model, version)?;
            }
            files.insert(version, file(&manifest, &model, version)?);
        }
        Ok(Self { model, registry, parts, shadow, files })
    }

    /// Bucket and prefix, for a target that reads nothing else.
    pub(super) fn bucket(&self) -> Result<(&str, &str), Failure> {
        match (&self.registry.url, &self.registry.endpoint) {
            (RegistryUrl::S3 { bucket, prefix }, None) => Ok((bucket, prefix)),
            (url, None) => {
                Err(Failure::Config(format!("SageMaker reads buckets of AWS alone, and not {url}")))
            }
            (_, Some(endpoint)) => Err(Failure::Config(format!(
                "SageMaker reads buckets of AWS alone, and registry.endpoint is {}",
                endpoint.as_str()
            ))),
        }
    }
}

/// The complete version that a reference means.
fn resolve(summary: &Summary, model: &ModelName, selector: &Selector) -> Result<Version, Failure> {
    let ready = || summary.versions.iter().filter(|entry| entry.state == State::Ready);
    let found = match selector {
        Selector::Default => summary.default.clone(),
        Selector::Version(version) => Some(version.to_string()),
        Selector::Stage(stage) => ready().rfind(|e| e.stage == *stage).map(|e| e.version.clone()),
        Selector::Alias(alias) => ready().find(|e| e.aliases.contains(alias)).map(|e| e.version.clone()),
    };
    let wanted = match selector {
        Selector::Default => format!("`{model}` has no version in Production"),
        Selector::Version(version) => format!("`{model}` has no version {version} that is complete"),
        Selector::Stage(stage) => format!("`{model}` has no version in {}", stage.name()),
        Selector::Alias(alias) => format!("no version of `{model}` is called `{alias}`"),
    };
    let found = found.filter(|found| ready().any(|entry| entry.version == *found));
    found
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| Failure::Registry(format!("{wanted}; see `sidegate registry show {model}`")))
}

/// Whether a version may answer: no hold is on another one, and where the registry is followed it is what serves.
fn allowed(args: &DeployArgs, summary: &Summary, model: &ModelName, version: Version) -> Result<(), Failure> {
    if let Some(hold) = summary.hold.as_ref().filter(|hold| hold.version != version.get()) {
        return Err(Failure::Registry(format!(
            "`{model}` is held at version {} by {} since {} ({}), so version {version} is not deployed; end that with \
             `sidegate registry hold {model} --release`",
            hold.version, hold.by, hold.at, hold.why
        )));
    }
    if args.target != Target::Sagemaker && summary.default != Some(version.to_string()) {
        let serves = summary.default.as_deref().unwrap_or("none");
        return Err(Failure::Registry(format!(
            "{:?} follows the registry, where `{model}` means version {serves} and not {version}; first: \
             sidegate registry promote {model} {version} --stage {}",
            args.target,
            Stage::Production.name()
        )));
    }
    Ok(())
}

/// The manifest that `model.json` names.
fn manifest(
    store: &dyn Store,
    summary: &Summary,
    model: &ModelName,
    version: Version,
) -> Result<Manifest, Failure> {
    let key = layout::file(model, version, layout::MANIFEST);
    let read =
        store.read(&key, MAX_JSON_BYTES, None).map_err(|error| Failure::Registry(error.to_string()))?;
    let bytes = read.bytes().ok_or_else(|| Failure::Registry(format!("{key} is gone from the registry")))?;
    let entry = summary.versions.iter().find(|entry| entry.version == version.to_string());
    let named = entry.and_then(|entry| entry.manifest.as_deref());
    if named.is_some_and(|named| Digest::of(&bytes, &mut || ()).to_string() != named) {
        return Err(Failure::Registry(format!("{key} is not the one that model.json names")));
    }
    Manifest::parse(&bytes, model, version).map_err(|error| Failure::Registry(error.to_string()))
}

/// The name of the model file. A card is JSON too, and no model of XGBoost's.
fn file(manifest: &Manifest, model: &ModelName, version: Version) -> Result<String, Failure> {
    let is_model = |name: &&String| Format::of(name.as_ref()).is_some_and(|f| f.file_name() == name.as_str());
    manifest.files.keys().find(is_model).cloned().ok_or_else(|| {
        Failure::Registry(format!("the manifest of version {version} of {model} names no model file"))
    })
}

/// Holds the version's gate and metrics against what is demanded. A metric that is missing counts as 0, as the founding
/// thresholds have it, and where less is better as a miss.
fn require(
    args: &DeployArgs,
    manifest: &Manifest,
    model: &ModelName,
    version: Version,
) -> Result<(), Failure> {
    if manifest.gate.value().get("passed") == Some(&Value::Bool(false)) {
        return Err(Failure::Gate(format!("version {version} of {model} has not passed its gate")));
    }
    let metrics = manifest.metrics.value();
    let missed = args.require.iter().filter_map(|(name, limit)| {
        let found = metrics.get(name).or_else(|| metrics.get(format!("test_{name}"))).and_then(Value::as_f64);
        let lower = named_metric(name).is_some_and(|metric| metric.better == Better::Lower);
        let kept =
            if lower { found.is_some_and(|found| found <= *limit) } else { found.unwrap_or(0.0) >= *limit };
        let known = found.map_or_else(|| "is not known".to_owned(), |found| format!("is {found}"));
        (!kept).then(|| format!("{name} {known}, at {} {limit}", if lower { "most" } else { "least" }))
    });
    let missed: Vec<String> = missed.collect();
    if missed.is_empty() {
        return Ok(());
    }
    Err(Failure::Gate(format!("version {version} of {model} is not deployed: {}", missed.join("; "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variant_is_a_name_a_version_and_a_weight() {
        let variant = Variant::parse("new=staging:0.25").unwrap();
        assert_eq!((variant.name.as_str(), variant.weight), ("new", 0.25));
        assert_eq!(variant.selector, Selector::Stage(Stage::Staging));
        for wrong in ["new", "new=7", "new=7:x", "new=7:-1", "new=7:inf", "=7:1", "a_b=7:1", "-a=7:1"] {
            assert!(Variant::parse(wrong).is_err(), "{wrong}");
        }
    }
}
