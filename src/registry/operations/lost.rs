//! Telling a model that never had a `model.json` from one that lost it.

use super::{MAX_INDEX_BYTES, ModelName, Store, layout};
use crate::registry::hint::Hint;
use crate::registry::store::StoreError;

/// Whether a model without `model.json` once had one: its audit is there, or its versions are and the hint names it.
/// What served then is not for a program to guess.
pub(super) fn had_index(store: &dyn Store, model: &ModelName) -> Result<bool, StoreError> {
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
