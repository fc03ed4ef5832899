//! Which actuals are of this model, where they do not say it themselves.

use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{Array, BooleanArray};
use datafusion::arrow::compute::filter_record_batch;
use datafusion::common::JoinType;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::lit;
use datafusion::physical_plan::execute_stream;
use datafusion::prelude::{DataFrame, SessionContext, ident};
use futures_util::StreamExt;

use super::join::{local, merge, nth_last, open, read};
use super::spool::{self, Spool};
use crate::data::config::DataConfig;
use crate::data::error::DataError;
use crate::data::plan::failed;

/// Copies the actuals that are of this model into `path`. One that names no model belongs to the prediction with its id
/// that came last, whatever its model, as it does where a gateway joins it.
pub(super) fn own(
    config: &DataConfig,
    [predictions, others, outcomes]: [&Path; 3],
    path: &Path,
    temp: &Path,
) -> Result<(), DataError> {
    let failed = |error: DataFusionError| failed(error, config.memory_limit);
    let (runtime, context) = open(config, temp)?;
    runtime.block_on(async {
        let mut stream = with_owners(&context, [predictions, others, outcomes]).await.map_err(failed)?;
        let schema = spool::outcomes();
        let width = schema.fields().len();
        let mut spool = Spool::create(path, schema)?;
        while let Some(batch) = stream.next().await {
            let batch = batch.map_err(failed)?;
            let (named, theirs) = (batch.column_by_name("model"), batch.column_by_name("theirs"));
            let (Some(named), Some(theirs)) = (named, theirs) else { continue };
            let keep: BooleanArray =
                (0..batch.num_rows()).map(|at| Some(!named.is_null(at) || theirs.is_null(at))).collect();
            let kept = filter_record_batch(&batch, &keep).map_err(local)?;
            spool.add(kept.columns()[..width].to_vec())?;
        }
        spool.finish().map(drop)
    })
}

/// Actuals, each with its key again in `theirs` where another model was asked with it last.
async fn with_owners(
    context: &SessionContext,
    [predictions, others, outcomes]: [&Path; 3],
) -> Result<SendableRecordBatchStream, DataFusionError> {
    let asked = |rows: DataFrame, theirs: bool| {
        rows.select(vec![ident("key"), ident("t"), ident("seq"), lit(theirs).alias("is_theirs")])
    };
    let both =
        asked(read(context, predictions).await?, false)?.union(asked(read(context, others).await?, true)?)?;
    let last = nth_last(&["key"], &["t", "is_theirs", "seq"])?;
    let theirs = both
        .window(vec![last])?
        .filter(ident("nth").eq(lit(1_u64)).and(ident("is_theirs")))?
        .select(vec![ident("key").alias("theirs")])?
        .sort(vec![ident("theirs").sort(true, false)])?;
    let actuals = read(context, outcomes).await?.sort(vec![ident("key").sort(true, false)])?;
    let (actuals, theirs) = (actuals.create_physical_plan().await?, theirs.create_physical_plan().await?);
    let merged = merge(actuals, theirs, &[("key", "theirs")], JoinType::Left)?;
    execute_stream(Arc::new(merged), context.task_ctx())
}
