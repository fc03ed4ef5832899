//! Whether a store keeps to the conditions of writes. Some that speak like S3 take the header and write all the same,
//! and then two publishers lose each other's changes in silence.

use super::Writer;
use super::error::{ChangeError, Problem};
use crate::registry::layout;
use crate::registry::store::{Body, Condition, Fault, StoreError};

impl Writer {
    /// Whether writes can be made on conditions; asked of the store once, before the first write.
    ///
    /// # Errors
    /// When the store cannot be asked, or keeps to no conditions and there may be other writers.
    pub fn is_conditional(&self) -> Result<bool, ChangeError> {
        if let Some(known) = self.conditional.get() {
            return Ok(*known);
        }
        let honoured = !self.store.is_remote() || self.probe()?;
        if !honoured && !self.single_writer {
            let text = "the store does not keep to the conditions of writes (`If-Match`, `If-None-Match`), so that two \
                        publishers could overwrite each other; if there is never more than one, set \
                        registry.single_writer = true";
            return Err(ChangeError::refused(text));
        }
        Ok(*self.conditional.get_or_init(|| honoured))
    }

    /// Tries it on an object of its own.
    fn probe(&self) -> Result<bool, ChangeError> {
        let mut faults = 0;
        loop {
            // After a fault it is not known what the object holds: another one.
            let key = layout::probe(&self.new_id());
            let tried = self.try_conditions(&key);
            let _ = self.store.delete(&key);
            match tried {
                Ok(honoured) => return Ok(honoured),
                Err(error) if error.fault.may_have_happened() && self.may_retry(&mut faults) => {}
                Err(error) => return Err(Problem::Store(error).into()),
            }
        }
    }

    fn try_conditions(&self, key: &str) -> Result<bool, StoreError> {
        let write = |bytes: &[u8], condition| self.store.write(key, Body::Bytes(bytes), condition);
        // A store that knows no conditions at all may refuse them.
        let first = match write(b"1", Condition::Absent) {
            Ok(token) => token,
            Err(StoreError { fault: Fault::Refused(_) | Fault::Conflict, .. }) => return Ok(false),
            Err(error) => return Err(error),
        };
        let conflicts = |result: Result<String, StoreError>| match result {
            Err(StoreError { fault: Fault::Conflict, .. }) => Ok(true),
            Ok(_) | Err(StoreError { fault: Fault::Refused(_), .. }) => Ok(false),
            Err(error) => Err(error),
        };
        if !conflicts(write(b"2", Condition::Absent))? {
            return Ok(false);
        }
        match write(b"3", Condition::Token(&first)) {
            Ok(_) => {}
            Err(StoreError { fault: Fault::Refused(_) | Fault::Conflict, .. }) => return Ok(false),
            Err(error) => return Err(error),
        }
        conflicts(write(b"4", Condition::Token(&first)))
    }
}
