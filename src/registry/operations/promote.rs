//! Promoting: putting a version into a stage, and what follows from it for the others.

use std::time::Duration;

use serde::Serialize;

use super::{
    ChangeError, Done, Draft, Writer, alias, entry, hold, must_exist, ready, set_stage, sign, stage_text, vet,
};
use crate::model::{ModelName, Stage, Version};
use crate::registry::format::Rest;
use crate::registry::index::{AuditEntry, Rollout};
use crate::registry::signature::SigningKey;

/// What is wanted.
#[derive(Clone, Debug)]
pub struct Promotion {
    /// Which version.
    pub version: Version,
    /// Where to.
    pub stage: Stage,
    /// For Production: whether the versions that are there go to Archived.
    pub archive_existing: bool,
    /// An alias that is moved to the version as well.
    pub alias: Option<String>,
    /// For Production: sidecars follow one after another within this time.
    pub rollout: Option<Duration>,
    /// Why.
    pub why: Option<String>,
    /// What that rests on: `run:…`, a report, a ticket.
    pub evidence: Option<String>,
    /// Whether a hold is released for it.
    pub override_hold: bool,
    /// Whether it is refused when its files are gone from the store.
    pub check: bool,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Promoted {
    /// The version.
    pub version: u64,
    /// Where it was.
    pub from: Stage,
    /// Where it is.
    pub stage: Stage,
    /// What went to Archived for it.
    pub archived: Vec<u64>,
    /// What the model's plain name means now.
    pub default: Option<u64>,
    /// What may not be expected.
    pub notes: Vec<String>,
}

// === impl Promotion ===

impl Promotion {
    /// A promotion that archives what was in Production and does nothing else.
    pub fn new(version: Version, stage: Stage) -> Self {
        Self {
            version,
            stage,
            archive_existing: true,
            alias: None,
            rollout: None,
            why: None,
            evidence: None,
            override_hold: false,
            check: true,
        }
    }
}

/// Promotes a version, and signs that if there is a key. One that is where it should be is a success that changes
/// nothing.
///
/// # Errors
/// When there is no such version, its files are gone, a hold forbids it, or it could not be written.
pub fn promote(
    writer: &Writer,
    model: &ModelName,
    promotion: &Promotion,
    key: Option<&SigningKey>,
) -> Result<Done<Promoted>, ChangeError> {
    writer.mutate(model, |draft| {
        must_exist(writer, draft, model)?;
        let Promotion { version, stage, .. } = *promotion;
        let is_placed = matches!(stage, Stage::Production | Stage::Staging);
        let moves = ready(&draft.index, version)?.stage != stage;
        let change = if promotion.check && is_placed && moves {
            vet::check(writer, &draft.index, model, version)?
        } else {
            None
        };
        let mut promoted = apply(draft, model, promotion, key)?;
        promoted.notes.extend(change);
        Ok(promoted)
    })
}

/// Promotes a version on a draft.
pub(super) fn apply(
    draft: &mut Draft,
    model: &ModelName,
    promotion: &Promotion,
    key: Option<&SigningKey>,
) -> Result<Promoted, ChangeError> {
    let Promotion { version, stage, .. } = *promotion;
    let from = ready(&draft.index, version)?.stage;
    let production = draft.index.in_stage(Stage::Production);
    let mut default = draft.index.default_version();
    if promotion.rollout.is_some() && stage != Stage::Production {
        return Err(ChangeError::refused(format!("a rollout is to Production, not to {}", stage.name())));
    }
    let why = || AuditEntry { why: promotion.why.clone(), evidence: promotion.evidence.clone(), ..entry("") };
    let mut archived = Vec::new();
    if stage == Stage::Production && promotion.archive_existing {
        archived = production.iter().copied().filter(|other| *other != version.get()).collect();
        for other in &archived {
            archive(draft, *other, why());
        }
    }
    if from != stage {
        set_stage(&mut draft.index, version.get(), stage);
        let (from, to) = (stage_text(from), stage_text(stage));
        draft.note(AuditEntry { verb: "promote".into(), version: Some(version.get()), from, to, ..why() });
        sign::promotion(draft, model, version, key)?;
    }
    let mut notes = Vec::new();
    if production != draft.index.in_stage(Stage::Production) {
        notes.extend(hold::check(draft, promotion.override_hold)?);
        // Where a higher version stays in Production, nothing changes for those who ask by the plain name.
        let takes_over = draft.index.default_version() == Some(version.get());
        let before = default.filter(|before| takes_over && production.contains(before));
        let seconds = promotion.rollout.map(|span| span.as_secs()).filter(|seconds| *seconds > 0);
        draft.index.rollout = before.zip(seconds).map(|(from, seconds)| Rollout {
            version: version.get(),
            from,
            start: draft.at(),
            seconds,
            rest: Rest::new(),
        });
        if seconds.is_some() && before.is_none() {
            notes.push(
                "nothing was in Production, so there is no rollout: every sidecar takes it at once".into(),
            );
        }
    } else if promotion.rollout.is_some() {
        notes.push(format!("version {version} was in Production; no rollout was begun"));
    }
    if let Some(alias) = &promotion.alias {
        alias::apply(draft, alias, version, why())?;
    }
    notes.extend(remarks(draft, version, stage, default));
    let before = std::mem::replace(&mut default, draft.index.default_version());
    let now = default.filter(|now| before != Some(*now)).and_then(Version::new);
    if let Some(now) = now {
        // One that was in Production all the time, behind a higher one, was promoted before that.
        sign::promotion(draft, model, now, key)?;
    }
    if from != stage {
        notes.extend(sign::unsigned(draft, version, key));
    }
    notes.extend(now.filter(|now| *now != version).and_then(|now| sign::unsigned(draft, now, key)));
    Ok(Promoted { version: version.get(), from, stage, archived, default, notes })
}

/// Moves a version from Production to Archived.
pub(super) fn archive(draft: &mut Draft, version: u64, note: AuditEntry) {
    set_stage(&mut draft.index, version, Stage::Archived);
    let (from, to) = (stage_text(Stage::Production), stage_text(Stage::Archived));
    draft.note(AuditEntry { verb: "archive".into(), version: Some(version), from, to, ..note });
}

/// What a person may not have meant.
fn remarks(draft: &Draft, version: Version, stage: Stage, before: Option<u64>) -> Option<String> {
    let model = &draft.index.model;
    match draft.index.default_version() {
        None if before.is_some() => Some(format!(
            "no version of `{model}` is in Production now, so the plain name means none: promote one"
        )),
        Some(other) if stage == Stage::Production && other != version.get() => Some(format!(
            "version {other} is in Production too and higher, so the plain name `{model}` still means that one"
        )),
        _ => None,
    }
}
