//! The prediction log of a gateway: what requests brought, with what was true of them. Segments become one Parquet file
//! with a row for each row of a request that has an actual, so that everything behind it is as for any other data.
//!
//! Segments are read twice, for the types of their columns and then for their values: a column may hold whole numbers in
//! one and others in the next, and nothing in a third. No more than a batch is held, and joining spills to disk. Of
//! outcomes only those of the predictions are copied, from the day of the first one on.

mod asked;
mod columns;
mod holds;
mod join;
mod lines;
mod owners;
mod place;
mod spool;

use std::collections::BTreeMap;
use std::path::Path;

use datafusion::arrow::datatypes::SchemaRef;

use super::{Access, Files};
use crate::data::config::{DataConfig, FileFormat, SourceKind};
use crate::data::error::DataError;
use asked::Asked;
use columns::Columns;
use place::Segment;
use spool::Spool;

/// When the request came: for `data.date_column`.
pub(crate) const T: &str = "log.t";
/// The request, as a hash of its id: for `split.group`.
pub(crate) const KEY: &str = "log.key";
/// The unit in the experiment that the request took part in, as a hash: for `split.group`.
pub(crate) const UNIT: &str = "log.unit";

/// What the log says of a request beside its inputs. No request brings it, so nothing is learned from it.
pub(crate) const OWN: [&str; 3] = [T, KEY, UNIT];

/// Whether nothing may be learned from a column, for requests do not bring it.
pub(crate) fn is_own(config: &DataConfig, column: &str) -> bool {
    config.source == SourceKind::PredictionLog && OWN.contains(&column)
}

/// Makes a file of the predictions of a model that have an actual.
pub(crate) fn gather(
    config: &DataConfig,
    group: Option<&str>,
    access: &Access<'_>,
    folder: &Path,
) -> Result<Files, DataError> {
    let place = place::find(config, access, folder)?;
    let range = columns::range(config)?;
    let mut inputs = BTreeMap::new();
    for segment in &place.predictions {
        lines::learn(&mut inputs, segment, &range)?;
    }
    if inputs.is_empty() {
        return Err(DataError::empty(config.date_range.as_ref()));
    }
    let columns = Columns::choose(config, group, inputs)?;
    let predictions = folder.join("predictions.parquet");
    let mut spool = Spool::create(&predictions, spool::predictions(&columns))?;
    let mut keys = Asked::new();
    each(&place.predictions, &columns.lines(), &mut |segment, batch| {
        columns.flatten(&range, segment, batch, &mut keys, &mut spool)
    })?;
    let asked = spool.finish()?;
    let outcomes = folder.join("outcomes.parquet");
    let mut spool = Spool::create(&outcomes, spool::outcomes())?;
    let mut unnamed = false;
    each(&place.outcomes, &columns::outcome_lines(), &mut |_, batch| {
        unnamed |= columns::actuals(&place.model, &keys, batch, &mut spool)?;
        Ok(())
    })?;
    spool.finish()?;
    let [others, own] = ["others.parquet", "own.parquet"].map(|name| folder.join(name));
    let mut shared = 0;
    if unnamed {
        let mut spool = Spool::create(&others, spool::others())?;
        each(&place.others()?, &columns::other_lines(), &mut |_, batch| {
            columns::others(&keys, batch, &mut spool)
        })?;
        shared = spool.finish()?;
    }
    let mut actuals = &outcomes;
    if shared > 0 {
        owners::own(config, [&predictions, &others, &outcomes], &own, folder)?;
        actuals = &own;
    }
    let path = folder.join("rows.parquet");
    let joined = join::join(config, &columns, [&predictions, actuals], &path, folder)?;
    for copy in [predictions, outcomes, others, own] {
        // What stays goes with the folder.
        let _ = std::fs::remove_file(copy);
    }
    if joined == 0 && asked > 0 {
        return Err(DataError::unreadable(
            &place.origin,
            format!(
                "none of {asked} predicted rows has an actual in the log; what was true is posted to /actuals, with the \
                 id of the request"
            ),
        ));
    }
    Ok(Files { paths: vec![path], format: FileFormat::Parquet, origin: place.origin, statement: None })
}

/// Reads segments one after another, and lets go of copies.
fn each(segments: &[Segment], schema: &SchemaRef, with: &mut lines::Each<'_>) -> Result<(), DataError> {
    for segment in segments {
        lines::read(segment, schema, with)?;
        segment.forget();
    }
    Ok(())
}
