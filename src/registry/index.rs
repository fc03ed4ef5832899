//! `model.json`: which versions a model has, which one serves, and who decided it. The only object of a model that
//! changes; whoever changes it keeps what this program does not know.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};
use time::OffsetDateTime;

use super::digest::Digest;
use super::format::{Raw, Rest, keeps_rest};
use super::signature::SignatureEntry;
use super::{Catalog, Listed, clock, format, layout, lost};
use crate::model::{LoadError, ModelName, Reason, Reference, Selector, Stage, Version, shorten};

/// A model's index.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct Index {
    /// The format of this object.
    pub format: u64,
    /// Grows by one with every change.
    #[serde(default)]
    pub generation: u64,
    /// Raised by an operator after the bucket was restored or failed over; goes before the generation.
    #[serde(default)]
    pub epoch: u64,
    /// The change that made this generation, so that whoever made it recognises it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mutation: Option<String>,
    /// The model's name.
    pub model: String,
    /// The highest version number ever given away, so that none is given twice.
    #[serde(default)]
    pub reserved: u64,
    /// Every version.
    pub versions: Vec<IndexVersion>,
    /// Movable names.
    #[serde(default)]
    pub aliases: BTreeMap<String, u64>,
    /// What automation must not override.
    #[serde(default)]
    pub hold: Option<Hold>,
    /// A promotion that sidecars follow one after another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
    /// What was decided about an experiment of the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub experiment: Option<Ruled>,
    /// Signatures of versions and of promotions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signatures: Vec<SignatureEntry>,
    /// The latest changes, the newest last; older ones are in segments beside it.
    #[serde(default)]
    pub audit: Vec<AuditEntry>,
    /// What a newer program wrote.
    #[serde(flatten, skip_deserializing)]
    pub rest: Rest,
}

/// One version of [`Index::versions`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct IndexVersion {
    /// Its number.
    pub version: u64,
    /// Its stage.
    #[serde(default)]
    pub stage: Stage,
    /// Digest of its manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<String>,
    /// When it was registered, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Whether its files are there.
    #[serde(default)]
    pub state: State,
    /// What a newer program wrote.
    #[serde(flatten, skip_deserializing)]
    pub rest: Rest,
}

/// Whether a version's files are there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// They are.
    #[default]
    Ready,
    /// Somebody is writing them.
    Uploading {
        /// Who.
        owner: String,
        /// When that is given up, RFC 3339; not given is never.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        deadline: Option<String>,
        /// What a newer program wrote.
        #[serde(flatten)]
        rest: Rest,
    },
    /// They will be deleted when sidecars have had time to let go of them.
    Deleted {
        /// Since when, RFC 3339.
        at: String,
        /// What a newer program wrote.
        #[serde(flatten)]
        rest: Rest,
    },
    /// What a newer program wrote; such a version does not exist here.
    #[serde(untagged)]
    Other(Raw),
}

/// What automation must not override: see `sidegate registry hold`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct Hold {
    /// The version that stays in Production.
    pub version: u64,
    /// Who placed it.
    pub by: String,
    /// Why.
    pub why: String,
    /// When, RFC 3339.
    pub at: String,
    /// What a newer program wrote.
    #[serde(flatten, skip_deserializing)]
    pub rest: Rest,
}

/// A staged promotion: each sidecar takes the new version at a moment of its own within the span.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct Rollout {
    /// The version that was promoted to Production.
    pub version: u64,
    /// The version that serves until a sidecar's moment has come.
    pub from: u64,
    /// When it began, RFC 3339.
    pub start: String,
    /// How long until the last sidecar follows.
    pub seconds: u64,
    /// What a newer program wrote.
    #[serde(flatten, skip_deserializing)]
    pub rest: Rest,
}

/// One change, as told later.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct AuditEntry {
    /// Counts every entry from 1 on, across segments.
    #[serde(default)]
    pub seq: u64,
    /// When, RFC 3339.
    pub at: String,
    /// Who.
    pub by: String,
    /// What was done: reserve, register, adopt, promote, archive, rollback, alias, hold, release, sign, abandon,
    /// delete, purge, epoch …
    pub verb: String,
    /// The version it concerns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// Stage (or alias target) before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Stage (or alias target) after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The alias that was moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What it rests on: `run:…`, a report, a ticket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
    /// The change it was part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mutation: Option<String>,
    /// What a newer program wrote.
    #[serde(flatten, skip_deserializing)]
    pub rest: Rest,
}

/// What was decided about an experiment, which sidecars follow that are in the same phase of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct Ruled {
    /// The experiment.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Its phase: what was decided about other versions says nothing of these.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub phase: String,
    /// The version that the plain name means since a variant was promoted: another one ends the experiment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub production: Option<u64>,
    /// The share that a canary enrols now, such as `10%`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coverage: Option<String>,
    /// Variants that answer nobody any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rolled_back: Vec<String>,
    /// The variant that answers everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promoted: Option<String>,
    /// When, RFC 3339.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub at: String,
    /// What a newer program wrote.
    #[serde(flatten, skip_deserializing)]
    pub rest: Rest,
}

keeps_rest!(Index, IndexVersion, Hold, Rollout, Ruled, AuditEntry);

// === impl State ===

/// The states that this program knows, as they are stored.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Known {
    Ready,
    Uploading(Uploading),
    Deleted(Deleted),
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Self")]
struct Uploading {
    owner: String,
    #[serde(default)]
    deadline: Option<String>,
    #[serde(flatten, skip_deserializing)]
    rest: Rest,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Self")]
struct Deleted {
    at: String,
    #[serde(flatten, skip_deserializing)]
    rest: Rest,
}

keeps_rest!(Uploading, Deleted);

impl<'de> Deserialize<'de> for State {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Raw::deserialize(deserializer)?;
        Ok(match raw.read() {
            Some(Known::Ready) => Self::Ready,
            Some(Known::Uploading(Uploading { owner, deadline, rest })) => {
                Self::Uploading { owner, deadline, rest }
            }
            Some(Known::Deleted(Deleted { at, rest })) => Self::Deleted { at, rest },
            None => Self::Other(raw),
        })
    }
}

// === impl Index ===

impl Index {
    /// The index of a model that has none yet; its first change makes generation 1.
    pub fn new(model: &ModelName) -> Self {
        Self {
            format: format::FORMAT,
            generation: 0,
            epoch: 1,
            mutation: None,
            model: model.to_string(),
            reserved: 0,
            versions: Vec::new(),
            aliases: BTreeMap::new(),
            hold: None,
            rollout: None,
            experiment: None,
            signatures: Vec::new(),
            audit: Vec::new(),
            rest: Rest::new(),
        }
    }

    /// The stored form.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads a `model.json`.
    ///
    /// # Errors
    /// [`Reason::Parse`] with what is wrong.
    pub fn parse(bytes: &[u8]) -> Result<Self, LoadError> {
        format::parse("model.json", bytes)
    }

    /// Reads the `model.json` of this model.
    ///
    /// # Errors
    /// [`Reason::Parse`] with what is wrong, also when it belongs to another model.
    pub fn parse_of(model: &ModelName, bytes: &[u8]) -> Result<Self, LoadError> {
        let key = layout::index(model);
        let index: Self = format::parse(&key, bytes).map_err(|error| lost::broken(model, error))?;
        if index.model != model.as_str() {
            let detail = format!("{key} is that of `{}`", shorten(&index.model));
            return Err(lost::broken(model, LoadError::new(Reason::Parse, detail)));
        }
        Ok(index)
    }

    /// The entry of a version, whatever its state.
    pub fn version(&self, version: Version) -> Option<&IndexVersion> {
        self.versions.iter().find(|entry| entry.version == version.get())
    }

    /// The versions that are complete, ascending.
    pub fn ready(&self) -> Vec<&IndexVersion> {
        let mut ready: Vec<_> = self.versions.iter().filter(|entry| entry.state == State::Ready).collect();
        ready.sort_by_key(|entry| entry.version);
        ready
    }

    /// The complete versions in a stage, ascending; the last is "the model in that stage".
    pub fn in_stage(&self, stage: Stage) -> Vec<u64> {
        self.ready().iter().filter(|entry| entry.stage == stage).map(|entry| entry.version).collect()
    }

    /// Whether somebody has promoted, rolled back or held a version in Production after a moment, as far as the audit that
    /// is here tells.
    pub fn is_decided_after(&self, moment: OffsetDateTime) -> bool {
        let decides = |entry: &AuditEntry| match entry.verb.as_str() {
            "rollback" | "hold" => true,
            "promote" => entry.to.as_deref() == Some(Stage::Production.name()),
            _ => false,
        };
        // Entries tell the second.
        let moment = moment.replace_nanosecond(0).unwrap_or(moment);
        let after = |entry: &AuditEntry| {
            OffsetDateTime::parse(&entry.at, &time::format_description::well_known::Rfc3339)
                .is_ok_and(|at| at >= moment)
        };
        self.audit.iter().any(|entry| decides(entry) && after(entry))
    }

    /// What the plain name means: the highest in Production if any version has a stage, else the highest.
    pub fn default_version(&self) -> Option<u64> {
        let ready = self.ready();
        let staged = ready.iter().any(|entry| entry.stage != Stage::None);
        let serves = |entry: &&&IndexVersion| !staged || entry.stage == Stage::Production;
        ready.iter().rev().find(serves).map(|entry| entry.version)
    }

    /// The versions that are complete, as a catalog.
    ///
    /// # Errors
    /// [`Reason::Parse`] for version 0, a version listed twice, an alias of a version that is not listed, or one that
    /// no reference could mean.
    pub fn catalog(&self) -> Result<Catalog, LoadError> {
        let refuse = |detail: String| LoadError::new(Reason::Parse, format!("{}/{detail}", self.model));
        let mut catalog = Catalog { managed: true, ..Catalog::default() };
        for entry in &self.versions {
            let Some(version) = Version::new(entry.version) else {
                return Err(refuse("model.json lists version 0; versions start at 1".into()));
            };
            if catalog.versions.iter().any(|listed| listed.version == version) {
                return Err(refuse(format!("model.json lists version {version} twice")));
            }
            // A version that is still being uploaded, or was taken out, does not exist.
            if entry.state != State::Ready {
                continue;
            }
            let manifest = entry.manifest.as_deref().map(str::parse::<Digest>).transpose();
            let manifest = manifest.map_err(|e| refuse(format!("model.json, version {version}: {e}")))?;
            catalog.versions.push(Listed {
                version,
                stage: entry.stage,
                created: entry.created.clone(),
                manifest,
                // Without a manifest another registration of a number is another version.
                token: manifest.map(|d| d.to_string()).or_else(|| entry.created.clone()).unwrap_or_default(),
                settled: true,
            });
        }
        catalog.versions.sort_by_key(|listed| listed.version);
        for (alias, number) in &self.aliases {
            if !is_alias(alias) {
                return Err(refuse(format!(
                    "model.json: `{}` is no alias: a name that is neither a whole number nor a stage",
                    shorten(alias)
                )));
            }
            let version = Version::new(*number).filter(|v| catalog.versions.iter().any(|l| l.version == *v));
            let Some(version) = version else {
                return Err(refuse(format!(
                    "model.json: alias `{alias}` names version {number}, which is not listed"
                )));
            };
            catalog.aliases.insert(alias.clone(), version);
        }
        Ok(catalog)
    }
}

/// Whether a text can be an alias: what a reference reads as a version or a stage would never be looked up as one.
pub fn is_alias(text: &str) -> bool {
    let reference = format!("m@{text}").parse::<Reference>().map(|reference| reference.selector);
    matches!(reference, Ok(Selector::Alias(_)))
}

// === impl Rollout ===

impl Rollout {
    /// Whether the moment of the sidecar called `pod` has come at `now`: a fixed share of the span, from a hash of pod,
    /// model and version. A start that cannot be read, or a moment beyond the calendar, holds nobody back.
    pub fn has_reached(&self, pod: &str, model: &ModelName, now: OffsetDateTime) -> bool {
        let Some(start) = clock::parse(&self.start) else { return true };
        let share = Digest::of(format!("{pod}\n{model}\n{}", self.version).as_bytes(), &mut || ()).share();
        let moment = time::Duration::try_from(Duration::from_secs(self.seconds).mul_f64(share))
            .ok()
            .and_then(|span| start.checked_add(span));
        moment.is_none_or(|moment| now >= moment)
    }
}
