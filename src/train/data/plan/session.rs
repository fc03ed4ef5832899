//! DataFusion, held to a limit.

use std::path::Path;
use std::sync::Arc;

use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};

use crate::data::error::DataError;

/// Rows at a time.
const BATCH: usize = 4096;
const MIB: u64 = 1 << 20;
/// What merging of sorted pieces sets aside, unless memory is tight.
const MERGE: usize = 10 << 20;

/// A session that holds `limit` MiB and puts the rest into `temp`. One partition: rows come in one order.
pub(crate) fn open(limit: u64, temp: &Path) -> Result<SessionContext, DataError> {
    let bytes = usize::try_from(limit.saturating_mul(MIB)).unwrap_or(usize::MAX);
    let disk = DiskManagerBuilder::default().with_mode(DiskManagerMode::Directories(vec![temp.to_owned()]));
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(FairSpillPool::new(bytes)))
        .with_disk_manager_builder(disk)
        .build_arc()
        .map_err(|error| DataError::refused("data.temp_dir", error))?;
    let mut config = SessionConfig::new()
        .with_target_partitions(1)
        .with_batch_size(BATCH)
        .with_sort_spill_reservation_bytes(MERGE.min(bytes / 4));
    // With them, DataFusion puts a file's only value in place of a column, also where it is NaN: statistics do not count
    // those. Row groups are skipped by their own all the same.
    config.options_mut().execution.collect_statistics = false;
    config.options_mut().execution.parquet.schema_force_view_types = false;
    Ok(SessionContext::new_with_config_rt(config, runtime))
}
