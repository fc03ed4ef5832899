//! What a model is called and what it takes and gives: names, versions, stages, references, signatures.
//!
//! Everything here is parsed once at the edge and trusted afterwards.

mod labels;

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use labels::Labels;

use crate::tensor::Datatype;

/// A model's name: `^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`, so that it is safe as a path, a key and a label.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModelName(Arc<str>);

/// A version number, 1 or more; versions of a model are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version(u64);

/// Where a version stands in its life; one per version, beside free aliases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize)]
pub enum Stage {
    /// Registered, not yet placed.
    #[default]
    None,
    /// Being tried.
    Staging,
    /// Answers the model's plain name.
    Production,
    /// Put away.
    Archived,
}

/// The part behind the `@` of `name@ref`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// `name`: Production if any version has a stage, else the highest.
    Default,
    /// `name@7`.
    Version(Version),
    /// `name@staging`: the highest version in that stage.
    Stage(Stage),
    /// `name@champion`.
    Alias(String),
}

/// A model as a request or a command names it: `churn`, `churn@7`, `churn@staging`, `churn@champion`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The model.
    pub name: ModelName,
    /// Which of its versions.
    pub selector: Selector,
}

/// One input or output: its name, type and shape, where -1 stands for "any extent".
///
/// Declared output shapes are hints: LightGBM's exporter declares `int64[1]` and returns `[N]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// The name in the ONNX graph; may hold `:`, `/` or be a number.
    pub name: Arc<str>,
    /// Element type.
    pub datatype: Datatype,
    /// Extents; -1 is variable.
    pub shape: Vec<i64>,
    /// Class labels by column: of the model's own output, where that was a map (ZipMap), or of the version's manifest.
    pub labels: Option<Vec<String>>,
}

/// Inputs and outputs in the order of the ONNX graph.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signature {
    /// What a request must bring.
    pub inputs: Vec<TensorSpec>,
    /// What an answer holds.
    pub outputs: Vec<TensorSpec>,
}

/// Why a version is not served: a stable code for metrics and `/models`, and a text that says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct LoadError {
    /// One of the published codes.
    pub code: Reason,
    /// Names the thing and the way out; no host paths.
    pub detail: String,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// The published codes of [`LoadError`] (interface: `/models`, `sidegate_model_load_failures_total`).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason { $($(#[$doc])* $variant,)* }

        /// Every reason, for metrics that must exist before they are counted.
        pub const REASONS: &[Reason] = &[$(Reason::$variant,)*];

        impl Reason {
            /// The code as published.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

reasons! {
    /// A listed file is not there.
    MissingFile = "missing_file",
    /// The bytes are not those the manifest names.
    BadDigest = "bad_digest",
    /// Above a size cap.
    TooLarge = "too_large",
    /// Not a readable model or manifest.
    Parse = "parse",
    /// Tensors outside the file are never read.
    ExternalData = "external_data",
    /// An operator or domain that no engine knows.
    UnknownOperator = "unknown_operator",
    /// Readable, but beyond what the chosen engine or the protocols can carry.
    Unsupported = "unsupported",
    /// Inputs or outputs differ from the served version's and the change is not marked as breaking.
    SignatureChanged = "signature_changed",
    /// The golden examples came out differently.
    GoldenMismatch = "golden_mismatch",
    /// The warm-up run failed.
    WarmupFailed = "warmup_failed",
    /// Loading took too long.
    Timeout = "timeout",
    /// The engine crashed or panicked while loading.
    Crashed = "crashed",
    /// The memory budget does not hold it.
    Memory = "memory",
    /// A required signature is missing or wrong.
    BadSignature = "bad_signature",
    /// Set aside after it brought a process down.
    Quarantined = "quarantined",
    /// The registry cannot be asked.
    Unreachable = "unreachable",
    /// The registry shows an older state than was seen before.
    Stale = "stale",
}

/// A text that is not a valid name, version or reference.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// See [`ModelName`].
    #[error(
        "`{0}` is not a model name: a letter or digit, then at most 63 of letters, digits, `.`, `_`, `-`"
    )]
    Model(String),
    /// See [`Version`].
    #[error("`{0}` is not a version: a whole number from 1, without leading zeros")]
    Version(String),
}

// === impl ModelName ===

impl ModelName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The nearest valid name: other characters become `-`. Used for a file's stem; `model` if nothing is left.
    pub fn sanitized(text: &str) -> Self {
        let name: String = text
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' })
            .skip_while(|c| !c.is_ascii_alphanumeric())
            .take(64)
            .collect();
        Self(if name.is_empty() { "model".into() } else { name.into() })
    }
}

impl FromStr for ModelName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let valid = text.len() <= 64
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        if valid { Ok(Self(text.into())) } else { Err(InvalidName::Model(shorten(text))) }
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for ModelName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

// === impl Version ===

impl Version {
    /// The first version.
    pub const FIRST: Self = Self(1);

    /// A version from its number; `None` for 0.
    pub const fn new(number: u64) -> Option<Self> {
        if number == 0 { None } else { Some(Self(number)) }
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl FromStr for Version {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let plain = !text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit());
        let number = if plain { text.parse().ok() } else { None };
        number.and_then(Self::new).ok_or_else(|| InvalidName::Version(shorten(text)))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

// === impl Stage ===

impl Stage {
    /// The name as stored and shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Staging => "Staging",
            Self::Production => "Production",
            Self::Archived => "Archived",
        }
    }

    /// The stage of that name in any case; `None` when there is no such stage.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::None, Self::Staging, Self::Production, Self::Archived]
            .into_iter()
            .find(|s| s.name().eq_ignore_ascii_case(text))
    }
}

// === impl Reference ===

impl FromStr for Reference {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        match text.split_once('@') {
            Some((name, selector)) => {
                let selector = selector.parse()?;
                Ok(Self { name: name.parse()?, selector })
            }
            None => Ok(Self { name: text.parse()?, selector: Selector::Default }),
        }
    }
}

// === impl Selector ===

/// A version, a stage or an alias; what is none of them is refused.
impl FromStr for Selector {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        if let Ok(version) = text.parse() {
            return Ok(Self::Version(version));
        }
        if let Some(stage) = Stage::parse(text) {
            return Ok(Self::Stage(stage));
        }
        // Aliases obey the rule of names; an integer that is not a version is no alias either.
        let alias: ModelName = text.parse()?;
        if text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(InvalidName::Version(shorten(text)));
        }
        Ok(Self::Alias(alias.as_str().to_owned()))
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("the default version"),
            Self::Version(version) => version.fmt(f),
            Self::Stage(stage) => f.write_str(stage.name()),
            Self::Alias(alias) => f.write_str(alias),
        }
    }
}

// === impl Signature ===

impl Signature {
    /// Says how `next` differs in names, types or ranks, which clients would notice; `None` when it does not.
    ///
    /// Extents may vary: they are hints, and a request that does not fit is refused by itself.
    pub fn breaking_change(&self, next: &Self) -> Option<String> {
        let sides = [("input", &self.inputs, &next.inputs), ("output", &self.outputs, &next.outputs)];
        for (side, old, new) in sides {
            for was in old {
                match new.iter().find(|now| now.name == was.name) {
                    None => return Some(format!("{side} `{}` is gone", was.name)),
                    Some(now) if now.datatype != was.datatype => {
                        return Some(format!(
                            "{side} `{}` was {} and is {}",
                            was.name, was.datatype, now.datatype
                        ));
                    }
                    Some(now) if side == "input" && !fits(&was.shape, &now.shape) => {
                        return Some(format!(
                            "{side} `{}` had shape {:?} and has {:?}",
                            was.name, was.shape, now.shape
                        ));
                    }
                    Some(_) => {}
                }
            }
            let added = new.iter().find(|now| side == "input" && !old.iter().any(|was| was.name == now.name));
            if let Some(added) = added {
                return Some(format!("{side} `{}` is new", added.name));
            }
        }
        None
    }
}

/// Whether every request that fits `was` fits `now`, as far as declared shapes tell.
fn fits(was: &[i64], now: &[i64]) -> bool {
    was.len() == now.len() && was.iter().zip(now).all(|(w, n)| *n < 0 || w == n)
}

impl LoadError {
    /// A failure with its code and text.
    pub fn new(code: Reason, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// At most 80 characters of client text, so that an error never echoes megabytes.
pub fn shorten(text: &str) -> String {
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rule() {
        for good in ["a", "churn", "A9._-x", &"x".repeat(64)] {
            assert!(good.parse::<ModelName>().is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "_x", "a/b", "a b", "é", "a\u{200b}", &"x".repeat(65)] {
            assert!(bad.parse::<ModelName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn versions_are_plain_positive_numbers() {
        assert_eq!("7".parse::<Version>().unwrap().get(), 7);
        for bad in ["", "0", "00", "07", "-1", "+1", "1e1", "36893488147419103232", " 1"] {
            assert!(bad.parse::<Version>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn references_select_by_version_stage_or_alias() {
        let selector = |text: &str| text.parse::<Reference>().map(|r| r.selector);
        assert_eq!(selector("churn"), Ok(Selector::Default));
        assert_eq!(selector("churn@7"), Ok(Selector::Version(Version(7))));
        assert_eq!(selector("churn@STAGING"), Ok(Selector::Stage(Stage::Staging)));
        assert_eq!(selector("churn@champion"), Ok(Selector::Alias("champion".into())));
        assert!(selector("churn@").is_err());
        assert!(selector("churn@007").is_err());
    }

    #[test]
    fn a_file_stem_becomes_a_name() {
        assert_eq!(ModelName::sanitized("my model (1)").as_str(), "my-model--1-");
        assert_eq!(ModelName::sanitized("_x").as_str(), "x");
        assert_eq!(ModelName::sanitized("§").as_str(), "model");
    }

    #[test]
    fn changed_inputs_and_outputs_are_breaking() {
        let spec = |name: &str, datatype, shape: &[i64]| TensorSpec {
            name: name.into(),
            datatype,
            shape: shape.to_vec(),
            labels: None,
        };
        let old = Signature {
            inputs: vec![spec("x", Datatype::Fp32, &[-1, 4])],
            outputs: vec![spec("y", Datatype::Fp32, &[1])],
        };
        assert_eq!(old.breaking_change(&old), None);
        let mut next = old.clone();
        next.outputs[0].shape = vec![-1];
        next.outputs.push(spec("more", Datatype::Int64, &[]));
        assert_eq!(
            old.breaking_change(&next),
            None,
            "declared output shapes are hints, more outputs harmless"
        );
        next.inputs[0].shape = vec![-1, 5];
        assert!(old.breaking_change(&next).unwrap().contains("[-1, 5]"));
        next.inputs[0] = spec("x", Datatype::Fp64, &[-1, 4]);
        assert_eq!(old.breaking_change(&next).unwrap(), "input `x` was FP32 and is FP64");
    }
}
