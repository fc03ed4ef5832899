//! Writing the files of a version, each once.

use super::Writer;
use super::error::ChangeError;
use crate::registry::digest::{Digest, Hashing};
use crate::registry::store::{Body, Condition, Fault, StoreError};

impl Writer {
    /// Writes an object that is written once. One that is there with the same content is what an attempt before left.
    pub(in crate::registry) fn upload(
        &self,
        key: &str,
        body: Body<'_>,
        (digest, bytes): (&Digest, u64),
        faults: &mut u32,
    ) -> Result<(), ChangeError> {
        let condition = if self.is_conditional()? { Condition::Absent } else { Condition::None };
        match self.patiently(faults, || self.store().write(key, body, condition)) {
            Ok(_) => return Ok(()),
            Err(StoreError { fault: Fault::Conflict, .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let there = self.patiently(faults, || {
            let mut hasher = Hashing::new(std::io::sink());
            self.store().download(key, bytes, &mut hasher)?;
            Ok(hasher.finish())
        });
        match there {
            Ok(there) if there == (*digest, bytes) => Ok(()),
            Ok(_) | Err(StoreError { fault: Fault::TooLarge { .. }, .. }) => {
                Err(ChangeError::refused(format!("{key} is there with other content; it is left as it is")))
            }
            Err(error) => Err(error.into()),
        }
    }
}
