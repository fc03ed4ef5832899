//! Comparing two versions of a model by what their manifests say.

mod direction;

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use super::{LoadError, ModelName, Reason, Stage, Store, Version, index, manifest, ready};
use crate::registry::format::Raw;
use crate::registry::index::Index;
use crate::registry::manifest::Manifest;
use crate::registry::model_format;

/// Two versions side by side.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The first.
    pub version1: Side,
    /// The second.
    pub version2: Side,
    /// By name, each metric that one of them has.
    pub metric_comparison: BTreeMap<String, MetricComparison>,
    /// Parameters that differ, with the value of each; null where one has none.
    pub params_diff: BTreeMap<String, Difference>,
    /// Bytes of the model files.
    pub size: Sizes,
}

/// One version.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Side {
    /// The number, as text.
    pub version: String,
    /// Its stage.
    pub stage: Stage,
    /// When it was registered, RFC 3339.
    pub created: Option<String>,
    /// Evaluation metrics.
    pub metrics: Value,
    /// Training parameters.
    pub params: Value,
}

/// One metric.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MetricComparison {
    /// Its value in the first; null where that has none.
    pub version1: Option<f64>,
    /// Its value in the second; null where that has none.
    pub version2: Option<f64>,
    /// (second − first) / first × 100; null when the first is 0, or one is missing.
    pub improvement: Option<f64>,
    /// Which is better; null when it is not known which way the metric is, or one is missing.
    pub better: Option<Better>,
}

/// Which of two versions is better in something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    /// The first.
    Version1,
    /// The second.
    Version2,
    /// Neither.
    Equal,
}

/// A parameter of both.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// Its value in the first.
    pub version1: Value,
    /// Its value in the second.
    pub version2: Value,
}

/// Bytes of the model files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Sizes {
    /// Of the first.
    pub version1: Option<u64>,
    /// Of the second.
    pub version2: Option<u64>,
    /// How much more the second has.
    pub difference: Option<i64>,
}

/// Compares two versions of a model.
///
/// # Errors
/// When one is not there, or its manifest cannot be used.
pub fn compare(
    store: &dyn Store,
    model: &ModelName,
    version1: Version,
    version2: Version,
) -> Result<Comparison, LoadError> {
    let index = index(store, model)?;
    let (first, bytes1) = side(store, model, &index, version1)?;
    let (second, bytes2) = side(store, model, &index, version2)?;
    let names =
        [&first.metrics, &second.metrics].into_iter().filter_map(Value::as_object).flat_map(Map::keys);
    let number = |metrics: &Value, name: &String| metrics.get(name).and_then(Value::as_f64);
    let pairs = names.map(|name| (name, number(&first.metrics, name), number(&second.metrics, name)));
    let metric_comparison = pairs
        .filter(|(_, a, b)| a.is_some() || b.is_some())
        .map(|(name, a, b)| (name.clone(), compare_metric(name, a, b)))
        .collect();
    let difference = bytes1.zip(bytes2).map(|(a, b)| b as i64 - a as i64);
    Ok(Comparison {
        metric_comparison,
        params_diff: differences(&first.params, &second.params),
        size: Sizes { version1: bytes1, version2: bytes2, difference },
        version1: first,
        version2: second,
    })
}

fn side(
    store: &dyn Store,
    model: &ModelName,
    index: &Index,
    version: Version,
) -> Result<(Side, Option<u64>), LoadError> {
    let entry = ready(index, version).map_err(|e| LoadError::new(Reason::MissingFile, e.to_string()))?;
    let manifest = manifest(store, model, entry)?;
    let of = |get: fn(&Manifest) -> &Raw| {
        let value = manifest.as_ref().map(get).filter(|value| !value.is_null());
        value.map_or_else(|| Value::Object(Map::new()), Raw::value)
    };
    let format = model_format(manifest.as_ref(), |_| Ok(false))?;
    let bytes = manifest.as_ref().zip(format).and_then(|(m, format)| m.files.get(format.file_name()));
    let side = Side {
        version: version.to_string(),
        stage: entry.stage,
        created: entry.created.clone(),
        metrics: of(|manifest| &manifest.metrics),
        params: of(|manifest| &manifest.params),
    };
    Ok((side, bytes.map(|file| file.bytes)))
}

fn compare_metric(name: &str, version1: Option<f64>, version2: Option<f64>) -> MetricComparison {
    let (Some(first), Some(second)) = (version1, version2) else {
        return MetricComparison { version1, version2, improvement: None, better: None };
    };
    let improvement = (first != 0.0).then(|| (second - first) / first * 100.0);
    let better = direction::of(name).map(|direction| match second.partial_cmp(&first) {
        Some(std::cmp::Ordering::Less) if direction == crate::score::Better::Lower => Better::Version2,
        Some(std::cmp::Ordering::Greater) if direction == crate::score::Better::Higher => Better::Version2,
        Some(std::cmp::Ordering::Equal) | None => Better::Equal,
        Some(_) => Better::Version1,
    });
    MetricComparison { version1, version2, improvement, better }
}

fn differences(first: &Value, second: &Value) -> BTreeMap<String, Difference> {
    let names = [first, second].into_iter().filter_map(Value::as_object).flat_map(Map::keys);
    let pair = |name: &String| {
        let value = |params: &Value| params.get(name).cloned().unwrap_or(Value::Null);
        Difference { version1: value(first), version2: value(second) }
    };
    let pairs = names.map(|name| (name.clone(), pair(name)));
    pairs.filter(|(_, pair)| pair.version1 != pair.version2).collect()
}
