//! What was decided about an experiment, written where its sidecars look: in the model's `model.json`.

use super::promote::{self, Promotion};
use super::{ChangeError, Done, Writer, entry, hold, must_exist};
use crate::model::{ModelName, Stage, Version};
use crate::registry::index::{AuditEntry, Ruled};
use crate::registry::signature::SigningKey;

/// Writes a decision, and promotes the version that won; `why` and `evidence` go into the audit. A decision that is there
/// is a success that changes nothing.
///
/// # Errors
/// When a hold forbids that a variant takes over, the version cannot be promoted, or it could not be written.
pub fn rule(
    writer: &Writer,
    model: &ModelName,
    ruled: &Ruled,
    winner: Option<Version>,
    (why, evidence): (&str, &str),
    key: Option<&SigningKey>,
) -> Result<Done, ChangeError> {
    writer.mutate(model, |draft| {
        must_exist(writer, draft, model)?;
        // When it was decided says nothing of what, and what is in Production since is people's decision.
        let known = |there: &Ruled| {
            Ruled { at: there.at.clone(), production: there.production, ..ruled.clone() } == *there
        };
        if draft.index.experiment.as_ref().is_some_and(known) {
            return Ok(());
        }
        if ruled.promoted.is_some() {
            hold::check(draft, false)?;
        }
        if let Some(version) = winner {
            let promotion = Promotion {
                why: Some(why.to_owned()),
                evidence: Some(evidence.to_owned()),
                ..Promotion::new(version, Stage::Production)
            };
            promote::apply(draft, model, &promotion, key)?;
        }
        let production = ruled.promoted.as_ref().and_then(|_| draft.index.default_version());
        draft.index.experiment = Some(Ruled { production, ..ruled.clone() });
        draft.note(AuditEntry {
            version: winner.map(Version::get),
            why: Some(why.to_owned()),
            evidence: Some(evidence.to_owned()),
            ..entry("experiment")
        });
        Ok(())
    })
}
