//! The way to the database.

use tokio_postgres::NoTls;

use crate::data::error::DataError;

/// Plain.
pub(crate) fn connector() -> Result<NoTls, DataError> {
    Ok(NoTls)
}
