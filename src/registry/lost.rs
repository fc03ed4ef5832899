//! Telling a model that never had a `model.json` from one that lost it, or has one that is broken; and the way out.

use super::hint::Hint;
use super::store::{Fault, Store, StoreError};
use super::{MAX_INDEX_BYTES, layout};
use crate::model::{LoadError, ModelName};

/// Whether a model without `model.json` once had one: its audit is there, or its versions are and the hint names it.
/// What served then is not for a program to guess.
pub(crate) fn had_index(store: &dyn Store, model: &ModelName) -> Result<bool, StoreError> {
    if !store.keys(&layout::segments(model))?.is_empty() {
        return Ok(true);
    }
    if store.list(&layout::model(model))?.is_empty() {
        return Ok(false);
    }
    let hint = store.read(layout::HINT, MAX_INDEX_BYTES, None)?.bytes();
    let hint = hint.and_then(|bytes| Hint::parse(&bytes).ok());
    Ok(hint.is_some_and(|hint| hint.models.contains_key(model.as_str())))
}

/// Says of a model without `model.json` what to do: there was one, or there never was.
///
/// # Errors
/// When the store does not answer.
pub(super) fn absent(store: &dyn Store, model: &ModelName) -> Result<String, StoreError> {
    match had_index(store, model) {
        Ok(true) => Ok(lost(model)),
        Ok(false) => Ok(unknown(model)),
        // Who may read his models and no more is told so of what is beside them.
        Err(StoreError { fault: Fault::Denied(_), .. }) => Ok(unknown(model)),
        Err(error) => Err(error),
    }
}

/// The way out where a `model.json` was lost, the same wherever that shows.
pub(crate) fn lost(model: &ModelName) -> String {
    format!(
        "`{model}` had a model.json and has none: put it back from a backup, then `sidegate registry verify {model} \
         --raise-epoch`; or move the folder `{model}` away to begin anew"
    )
}

/// The same of one that is there and cannot be used; that of a newer program is none to be replaced.
pub(super) fn broken(model: &ModelName, error: LoadError) -> LoadError {
    if error.detail.ends_with("update sidegate") {
        return error;
    }
    let detail = format!(
        "{}; put a good one back from a backup, then `sidegate registry verify {model} --raise-epoch`",
        error.detail
    );
    LoadError::new(error.code, detail)
}

fn unknown(model: &ModelName) -> String {
    format!(
        "the registry has no model.json of `{model}`; `sidegate registry ls` shows what there is, `register` makes one"
    )
}
