//! Keeping `_index.json` up.

use super::Writer;
use crate::model::ModelName;
use crate::registry::hint::Hint;
use crate::registry::store::{Body, Condition, Fault, Read, StoreError};
use crate::registry::{MAX_INDEX_BYTES, layout};

/// How often others may come first. The next change of any model does it as well.
const ATTEMPTS: u32 = 4;

impl Writer {
    /// Notes how far a model is. A change that was made stands whatever becomes of this.
    pub(super) fn raise_hint(&self, model: &ModelName, epoch: u64, generation: u64) {
        for _ in 0..ATTEMPTS {
            match self.try_hint(model, epoch, generation) {
                Ok(()) => return,
                Err(StoreError { fault: Fault::Conflict, .. }) => {}
                Err(error) => {
                    tracing::debug!(%error, "the hint was not written; it will be with the next change");
                    return;
                }
            }
        }
    }

    fn try_hint(&self, model: &ModelName, epoch: u64, generation: u64) -> Result<(), StoreError> {
        let (mut hint, base) = match self.store.read(layout::HINT, MAX_INDEX_BYTES, None)? {
            // One of a newer program is left to newer programs.
            Read::Object { bytes, token } => match Hint::parse(&bytes) {
                Ok(hint) => (hint, Some(token)),
                Err(_) => return Ok(()),
            },
            Read::Absent | Read::Unchanged => (Hint::default(), None),
        };
        if !hint.raise(model, epoch, generation) {
            return Ok(());
        }
        let condition = match &base {
            _ if self.conditional.get() == Some(&false) => Condition::None,
            Some(token) => Condition::Token(token),
            None => Condition::Absent,
        };
        let bytes = hint.to_bytes();
        if bytes.len() as u64 > MAX_INDEX_BYTES {
            tracing::debug!("the hint has too many models to be read; readers look at each of theirs");
            return Ok(());
        }
        self.store.write(layout::HINT, Body::Bytes(&bytes), condition).map(drop)
    }
}
