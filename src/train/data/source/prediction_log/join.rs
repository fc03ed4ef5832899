//! Predictions and what was true of them, side by side: of the same request and row the last prediction counts by its
//! time, and the actual that arrived last. Both are sorted, which needs no more memory than it is given, and merged.

use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::arrow::compute::{SortOptions, cast};
use datafusion::arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::{JoinType, NullEquality};
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::{Expr, ExprFunctionExt, lit};
use datafusion::physical_expr::expressions::col;
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion::physical_plan::joins::SortMergeJoinExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::{DataFrame, ParquetReadOptions, SessionContext, ident};
use futures_util::StreamExt;
use tokio::runtime::{Builder, Runtime};

use super::columns::Columns;
use super::lines::nullable;
use super::spool::{Spool, input};
use crate::data::config::DataConfig;
use crate::data::error::DataError;
use crate::data::kind::Kind;
use crate::data::plan::{failed, session};

/// Rows at a time.
const BATCH: usize = 512;
/// How everything is sorted here.
const ORDER: SortOptions = SortOptions { descending: false, nulls_first: false };

/// Seconds since 1970, as requests bring times.
fn seconds() -> DataType {
    DataType::Timestamp(TimeUnit::Second, Some("UTC".into()))
}

/// Writes what has both into `path`, by the time of the prediction; how many rows that are.
pub(super) fn join(
    config: &DataConfig,
    columns: &Columns,
    [predictions, outcomes]: [&Path; 2],
    path: &Path,
    temp: &Path,
) -> Result<u64, DataError> {
    let failed = |error: DataFusionError| failed(error, config.memory_limit);
    let (runtime, context) = open(config, temp)?;
    runtime.block_on(async {
        let mut stream = joined(&context, predictions, outcomes).await.map_err(failed)?;
        let mut rows = Rows { config, columns, named: None, spool: None };
        while let Some(batch) = stream.next().await {
            rows.push(&batch.map_err(failed)?, path)?;
        }
        rows.finish(path)
    })
}

/// What joins within the memory that is allowed.
pub(super) fn open(config: &DataConfig, temp: &Path) -> Result<(Runtime, SessionContext), DataError> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| DataError::of_io("data.temp_dir", &error))?;
    let context = session::open(config.memory_limit, temp)?;
    {
        let state = context.state_ref();
        let mut state = state.write();
        // Three sorts share the memory.
        let merge = state.config().options().execution.sort_spill_reservation_bytes / 4;
        let config = state.config().clone().with_batch_size(BATCH).with_sort_spill_reservation_bytes(merge);
        *state.config_mut() = config;
    }
    Ok((runtime, context))
}

/// Merges what is sorted, by hand: DataFusion would make a table of hashes, which has to fit into memory.
pub(super) fn merge(
    left: Arc<dyn ExecutionPlan>,
    right: Arc<dyn ExecutionPlan>,
    on: &[(&str, &str)],
    kind: JoinType,
) -> Result<SortMergeJoinExec, DataFusionError> {
    let pairs = on
        .iter()
        .map(|(a, b)| Ok((col(a, &left.schema())?, col(b, &right.schema())?)))
        .collect::<Result<Vec<_>, DataFusionError>>()?;
    let equal = NullEquality::NullEqualsNothing;
    SortMergeJoinExec::try_new(left, right, pairs, None, kind, vec![ORDER; on.len()], equal)
}

async fn joined(
    context: &SessionContext,
    predictions: &Path,
    outcomes: &Path,
) -> Result<SendableRecordBatchStream, DataFusionError> {
    let predicted = latest(context, predictions, &["t", "seq"]).await?.create_physical_plan().await?;
    // Their own time is what a client says: a correction may name that of the event.
    let known = latest(context, outcomes, &["seq"]).await?.select(vec![
        ident("key").alias("known_key"),
        ident("row").alias("known_row"),
        ident("actual"),
        ident("class"),
    ])?;
    let known = known.create_physical_plan().await?;
    let merged = merge(predicted, known, &[("key", "known_key"), ("row", "known_row")], JoinType::Inner)?;
    let order = ["t", "seq"]
        .map(|name| Ok(PhysicalSortExpr::new(col(name, &merged.schema())?, ORDER)))
        .into_iter()
        .collect::<Result<Vec<_>, DataFusionError>>()?;
    let plan: Arc<dyn ExecutionPlan> = match LexOrdering::new(order) {
        Some(order) => Arc::new(SortExec::new(order, Arc::new(merged))),
        None => Arc::new(merged),
    };
    execute_stream(plan, context.task_ctx())
}

/// Of the rows with a key and row the last in some order: corrections, and requests that were made again.
async fn latest(context: &SessionContext, path: &Path, order: &[&str]) -> Result<DataFrame, DataFusionError> {
    let rows = read(context, path).await?.window(vec![nth_last(&["key", "row"], order)?])?;
    let rows = rows.filter(ident("nth").eq(lit(1_u64)))?;
    // As the window has them.
    rows.sort(["key", "row"].map(|name| ident(name).sort(true, false)).to_vec())
}

pub(super) async fn read(context: &SessionContext, path: &Path) -> Result<DataFrame, DataFusionError> {
    context.read_parquet(path.to_str().unwrap_or_default(), ParquetReadOptions::default()).await
}

/// Of rows that are equal in `by` the number of each as `nth`, the last one's 1.
pub(super) fn nth_last(by: &[&str], order: &[&str]) -> Result<Expr, DataFusionError> {
    let names = |names: &[&str]| names.iter().map(|name| ident(*name)).collect::<Vec<_>>();
    let order = names(order).into_iter().map(|column| column.sort(false, false)).collect();
    Ok(row_number().partition_by(names(by)).order_by(order).build()?.alias("nth"))
}

/// The file of rows. Whether its target is a number or a name is known from its first row on.
struct Rows<'a> {
    config: &'a DataConfig,
    columns: &'a Columns,
    named: Option<bool>,
    spool: Option<Spool>,
}

impl Rows<'_> {
    fn push(&mut self, batch: &RecordBatch, path: &Path) -> Result<(), DataError> {
        let (Some(actual), Some(class)) = (batch.column_by_name("actual"), batch.column_by_name("class"))
        else {
            return Ok(());
        };
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let named = *self.named.get_or_insert(actual.is_null(0));
        let (target, other) = if named { (class, actual) } else { (actual, class) };
        if other.null_count() < other.len() {
            return Err(DataError::unreadable(
                "the prediction log",
                format!(
                    "actuals for `{}` came as numbers and as names of classes; post one of the two, or begin after \
                     they changed (data.date_range)",
                    self.columns.target
                ),
            ));
        }
        let found = |name: &str| batch.column_by_name(name).into_iter().cloned();
        let own = self.columns.own.iter().flat_map(|own| found(Columns::source(own)));
        let mut all: Vec<ArrayRef> = own.collect();
        for (at, (name, kind)) in self.columns.inputs.iter().enumerate() {
            for column in found(&input(at)) {
                all.push(if self.is_time(name, kind) { time(&column).map_err(local)? } else { column });
            }
        }
        all.push(target.clone());
        if self.spool.is_none() {
            self.spool = Some(Spool::create(path, self.schema())?);
        }
        self.spool.as_mut().map_or(Ok(()), |spool| spool.add(all))
    }

    /// Closes the file, which is there even without a row.
    fn finish(self, path: &Path) -> Result<u64, DataError> {
        match self.spool {
            Some(spool) => spool.finish(),
            None => Spool::create(path, self.schema())?.finish(),
        }
    }

    fn schema(&self) -> SchemaRef {
        let own = self.columns.own.iter().map(|own| (*own, Columns::kind(own)));
        let inputs = self.columns.inputs.iter().map(|(name, kind)| {
            (name.as_str(), if self.is_time(name, kind) { seconds() } else { kind.clone() })
        });
        let target = if self.named == Some(true) { DataType::Utf8 } else { DataType::Float64 };
        nullable(own.chain(inputs).chain([(self.columns.target.as_str(), target)]).collect())
    }

    /// Whether numbers are to be times. What they count is seconds, unless it is said.
    fn is_time(&self, name: &str, kind: &DataType) -> bool {
        let is_date = self.config.date_column.as_deref() == Some(name);
        let told = is_date && self.config.date_unit.is_some();
        let wanted = is_date || self.config.types.get(name) == Some(&Kind::Time);
        wanted && !told && matches!(kind, DataType::Int64 | DataType::Float64)
    }
}

fn time(numbers: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    cast(&cast(numbers, &DataType::Int64)?, &seconds())
}

pub(super) fn local(error: ArrowError) -> DataError {
    DataError::unreadable("the prediction log", error)
}
