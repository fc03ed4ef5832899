//! Rows as trees want them: two passes, the first finds the bins, the second keeps one byte per cell.

use crate::learner::builtin::FitError;
use crate::learner::builtin::bins::{Bins, Census};
use crate::learner::builtin::checks::Checks;
use crate::learner::builtin::threads;
use crate::table::{Batch, Part, Rows, Task};

/// Values of each feature that are collected before a sketch takes them in.
const PENDING: usize = 8192;
/// Rows that one item of parallel work encodes.
const SLICE: usize = 2048;

/// Rows whose values are bins.
pub(crate) struct Cells {
    /// Row after row.
    pub(crate) bins: Vec<u8>,
    pub(crate) target: Vec<f32>,
    pub(crate) weight: Option<Vec<f32>>,
}

/// All that trees are made from.
pub(crate) struct Data {
    pub(crate) columns: Vec<Bins>,
    pub(crate) train: Cells,
    pub(crate) validation: Option<Cells>,
}

/// How bins are made.
#[derive(Clone, Copy)]
pub(crate) struct Binning {
    pub(crate) most: u32,
    pub(crate) least_count: u32,
}

impl Data {
    /// Reads all rows.
    pub(crate) fn read(
        rows: &dyn Rows,
        task: Task,
        binning: Binning,
        validate: bool,
        threads: usize,
    ) -> Result<Self, FitError> {
        let columns = find(rows, task, binning, threads)?;
        let train = Cells::read(rows, Part::Train, task, &columns, threads)?;
        let validate = validate && rows.count(Part::Validation) > 0;
        let read = || Cells::read(rows, Part::Validation, task, &columns, threads);
        let validation = validate.then(read).transpose()?;
        Ok(Self { columns, train, validation })
    }
}

/// The first pass.
fn find(rows: &dyn Rows, task: Task, binning: Binning, threads: usize) -> Result<Vec<Bins>, FitError> {
    let columns = rows.columns();
    let width = columns.len();
    let mut checks = Checks::new(width, task)?;
    let pending = || Vec::with_capacity(PENDING.min(rows.count(Part::Train)));
    let mut found: Vec<(Census, Vec<f32>)> =
        columns.iter().map(|column| (Census::new(column.categories), pending())).collect();
    rows.scan(Part::Train, &mut |batch| {
        checks.take(&batch)?;
        for slice in batch.values.chunks(PENDING * width) {
            let waiting = found.first().map_or(0, |(_, values)| values.len());
            if waiting + slice.len() / width > PENDING {
                threads::each(threads, &mut found, |(census, values)| census.absorb(values));
            }
            for (at, (_, values)) in found.iter_mut().enumerate() {
                values.extend(slice[at..].iter().step_by(width));
            }
        }
        Ok(())
    })
    .map_err(FitError::Data)?;
    checks.finish()?;
    threads::each(threads, &mut found, |(census, values)| census.absorb(values));
    let bins = |(census, _): (Census, _)| census.bins(binning.most as usize, binning.least_count.into());
    Ok(found.into_iter().map(bins).collect())
}

impl Cells {
    /// A later pass.
    fn read(
        rows: &dyn Rows,
        part: Part,
        task: Task,
        columns: &[Bins],
        threads: usize,
    ) -> Result<Self, FitError> {
        let (count, width) = (rows.count(part), columns.len());
        let mut checks = Checks::new(width, task)?;
        let mut cells =
            Self { bins: Vec::with_capacity(count * width), target: Vec::with_capacity(count), weight: None };
        rows.scan(part, &mut |batch| {
            checks.take(&batch)?;
            cells.push(&batch, columns, threads);
            Ok(())
        })
        .map_err(FitError::Data)?;
        if cells.target.len() != count {
            return Err(FitError::Data(format!(
                "{count} rows were announced, but {} came: the data changed while it was read",
                cells.target.len()
            )));
        }
        Ok(cells)
    }

    fn push(&mut self, batch: &Batch<'_>, columns: &[Bins], threads: usize) {
        let (start, before, width) = (self.bins.len(), self.target.len(), columns.len());
        self.bins.resize(start + batch.values.len(), 0);
        let slices = self.bins[start..].chunks_mut(SLICE * width).zip(batch.values.chunks(SLICE * width));
        threads::each(threads, &mut slices.collect::<Vec<_>>(), |(bins, values)| {
            for (bins, values) in bins.chunks_exact_mut(width).zip(values.chunks_exact(width)) {
                for ((bin, value), column) in bins.iter_mut().zip(values).zip(columns) {
                    *bin = column.of(*value);
                }
            }
        });
        self.target.extend_from_slice(batch.target);
        if batch.weight.is_some() || self.weight.is_some() {
            let weights = self.weight.get_or_insert_with(Vec::new);
            weights.resize(before, 1.0);
            weights.extend_from_slice(batch.weight.unwrap_or_default());
            weights.resize(self.target.len(), 1.0);
        }
    }

    pub(crate) fn rows(&self) -> usize {
        self.target.len()
    }

    /// The bins, feature after feature.
    pub(crate) fn by_feature(&self, threads: usize) -> Vec<u8> {
        let (rows, width) = (self.rows(), self.bins.len() / self.rows().max(1));
        let mut turned = vec![0; rows * width];
        let mut features: Vec<_> = turned.chunks_mut(rows.max(1)).enumerate().collect();
        threads::each(threads, &mut features, |(feature, own)| {
            let bins = self.bins.iter().skip(*feature).step_by(width);
            own.iter_mut().zip(bins).for_each(|(own, bin)| *own = *bin);
        });
        turned
    }

    /// The bins of a row.
    pub(crate) fn row(&self, row: usize) -> &[u8] {
        let width = self.bins.len() / self.target.len().max(1);
        &self.bins[row * width..][..width]
    }

    /// What a row counts.
    pub(crate) fn weight(&self, row: usize) -> f64 {
        self.weight.as_ref().map_or(1.0, |weight| weight[row].into())
    }
}
