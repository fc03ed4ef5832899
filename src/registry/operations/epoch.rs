//! Raising the epoch: after a bucket was restored or failed over, so that readers take an older generation.

use super::{ChangeError, Done, Writer, entry, must_exist, sign};
use crate::model::{ModelName, Stage, Version};
use crate::registry::index::AuditEntry;
use crate::registry::signature::SigningKey;

/// Raises a model's epoch, and signs the promotions again if there is a key: readers refuse records older than those
/// they have seen. The value is the new epoch.
///
/// # Errors
/// When there is no such model, or it could not be written.
pub fn raise_epoch(
    writer: &Writer,
    model: &ModelName,
    why: &str,
    key: Option<&SigningKey>,
) -> Result<Done<u64>, ChangeError> {
    writer.mutate(model, |draft| {
        must_exist(writer, draft, model)?;
        let before = draft.index.epoch;
        draft.index.epoch += 1;
        draft.note(AuditEntry {
            from: Some(before.to_string()),
            to: Some(draft.index.epoch.to_string()),
            why: Some(why.to_owned()),
            ..entry("epoch")
        });
        if key.is_some() {
            for number in draft.index.in_stage(Stage::Production) {
                let Some(version) = Version::new(number) else { continue };
                sign::promotion(draft, model, version, key)?;
            }
        }
        Ok(draft.index.epoch)
    })
}
