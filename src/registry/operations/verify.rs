//! Verifying: whether everything that a registry names is there and what it should be.

mod files;
mod state;

use serde::Serialize;

use super::{LoadError, ModelName, Store, index, layout, lost, unreachable};
use crate::registry::audit;
use crate::registry::signature::Keys;
use time::OffsetDateTime;

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The model.
    pub model: String,
    /// The version it concerns.
    pub version: Option<u64>,
    /// What is wrong, and what to do.
    pub text: String,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Nothing that serves is harmed.
    Warning,
    /// A reader refuses it, or something is lost.
    Error,
}

/// What is found of one model.
struct Findings<'a> {
    model: &'a ModelName,
    found: Vec<Finding>,
}

/// Looks at everything of a model: each version's manifest and files, which are read in full, folders that nothing
/// lists, uploads that ran out, the audit, the hint, and the signatures if there are keys.
///
/// # Errors
/// When there is no such model or the store fails; what is wrong with objects are findings.
pub fn verify(
    store: &dyn Store,
    model: &ModelName,
    keys: Option<&Keys>,
    now: OffsetDateTime,
) -> Result<Vec<Finding>, LoadError> {
    let mut findings = Findings { model, found: Vec::new() };
    let index = match index(store, model) {
        Err(error) if error.code == crate::model::Reason::Parse => {
            findings.error(None, error.detail);
            return Ok(findings.found);
        }
        Err(error) if error.code == crate::model::Reason::MissingFile => {
            without_index(store, &mut findings)?;
            if findings.found.is_empty() {
                return Err(error);
            }
            return Ok(findings.found);
        }
        index => index?,
    };
    if let Err(error) = index.catalog() {
        findings.error(None, lost::broken(model, error).detail);
    }
    files::check(store, &index, &mut findings)?;
    state::uploads(&index, now, &mut findings);
    state::folders(store, &index, &mut findings)?;
    state::hint(store, &index, &mut findings)?;
    match audit::trail(store, model, &index) {
        Ok(trail) => {
            for (first, last) in trail.gaps {
                findings.add(Severity::Warning, None, format!("the audit lacks entries {first} to {last}"));
            }
        }
        Err(error) if error.code == crate::model::Reason::Parse => findings.error(None, error.detail),
        Err(error) => return Err(error),
    }
    if let Some(keys) = keys {
        state::signatures(&index, keys, &mut findings);
    }
    Ok(findings.found)
}

/// Looks at every model that has a `model.json`, or has lost it; with how many models that are.
///
/// # Errors
/// When the store fails.
pub fn verify_all(
    store: &dyn Store,
    keys: Option<&Keys>,
    now: OffsetDateTime,
) -> Result<(usize, Vec<Finding>), LoadError> {
    let mut names: Vec<ModelName> =
        store.list("").map_err(unreachable)?.iter().filter_map(|name| name.parse().ok()).collect();
    names.sort();
    let (mut models, mut found) = (0, Vec::new());
    for model in names {
        let is_managed = store.stat(&layout::index(&model)).map_err(unreachable)?.is_some();
        if is_managed {
            found.extend(verify(store, &model, keys, now)?);
        } else if lost::had_index(store, &model).map_err(unreachable)? {
            let mut findings = Findings { model: &model, found: Vec::new() };
            findings.error(None, lost::lost(&model));
            found.extend(findings.found);
        } else {
            continue;
        }
        models += 1;
    }
    Ok((models, found))
}

/// What there is to say of a model without `model.json`: that it was lost, or that it never needed one. Nothing of what
/// is not there.
fn without_index(store: &dyn Store, findings: &mut Findings<'_>) -> Result<(), LoadError> {
    let model = findings.model;
    if lost::had_index(store, model).map_err(unreachable)? {
        findings.error(None, lost::lost(model));
    } else if !store.list(&layout::model(model)).map_err(unreachable)?.is_empty() {
        let text =
            "it never had a model.json: its highest version serves, and there are no digests to check it by";
        findings.add(Severity::Info, None, text);
    }
    Ok(())
}

// === impl Findings ===

impl Findings<'_> {
    fn add(&mut self, severity: Severity, version: Option<u64>, text: impl Into<String>) {
        let model = self.model.to_string();
        self.found.push(Finding { severity, model, version, text: text.into() });
    }

    fn error(&mut self, version: Option<u64>, text: impl Into<String>) {
        self.add(Severity::Error, version, text);
    }
}
