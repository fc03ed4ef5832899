//! Data sets: bins are found on a sample, then rows are pushed.

use std::ffi::{CStr, c_int};
use std::ptr;

use super::{FLOAT32, Handle, Library, Owned};
use crate::native::shared::{Texts, text};

/// What is nearer to zero is no entry of a sample: the library counts zeros itself.
const ZERO: f64 = 1e-35_f32 as f64;

/// Values of the rows by which bins are found, column by column.
#[derive(Debug)]
pub struct Sample {
    values: Vec<Vec<f64>>,
    rows: Vec<Vec<c_int>>,
    count: c_int,
}

impl Sample {
    /// No rows yet, of so many columns.
    pub fn new(width: usize) -> Self {
        Self { values: vec![Vec::new(); width], rows: vec![Vec::new(); width], count: 0 }
    }

    /// Adds a row; missing columns are zero.
    pub fn push(&mut self, row: &[f32]) {
        for ((value, values), rows) in row.iter().zip(&mut self.values).zip(&mut self.rows) {
            let value = f64::from(*value);
            if value.is_nan() || value.abs() > ZERO {
                values.push(value);
                rows.push(self.count);
            }
        }
        self.count = self.count.saturating_add(1);
    }
}

/// Binned rows with their targets.
pub struct Dataset {
    owned: Owned,
    library: Library,
    width: usize,
}

/// A data set whose rows are still coming.
pub struct Filling {
    dataset: Dataset,
    rows: i32,
    pushed: i32,
}

impl Dataset {
    /// The rows, by number and ascending, that a sample for so many rows holds.
    ///
    /// # Errors
    /// What the library says of the parameters, or of the number of rows.
    pub fn sample(library: Library, rows: usize, parameters: &str) -> Result<Vec<i32>, String> {
        let (rows, parameters) = (count(rows)?, text(parameters)?);
        let (mut room, mut found) = (0, 0);
        // SAFETY: a text and a place for the answer.
        library
            .check(unsafe { (library.0.LGBM_GetSampleCount)(rows, parameters.as_ptr(), &raw mut room) })?;
        let mut indices = vec![0; usize::try_from(room).unwrap_or(0)];
        // SAFETY: there is room for as many numbers as the call above has said.
        library.check(unsafe {
            (library.0.LGBM_SampleIndices)(rows, parameters.as_ptr(), indices.as_mut_ptr(), &raw mut found)
        })?;
        indices.truncate(usize::try_from(found).unwrap_or(0));
        Ok(indices)
    }

    /// A data set for so many rows, with the bins that the sample suggests.
    ///
    /// # Errors
    /// What the library says of the parameters.
    pub fn from_sample(
        library: Library,
        sample: Sample,
        rows: usize,
        parameters: &str,
    ) -> Result<Filling, String> {
        library.listen();
        let (rows, parameters, width) = (count(rows)?, text(parameters)?, sample.values.len());
        let mut values: Vec<*const f64> = sample.values.iter().map(|column| column.as_ptr()).collect();
        let mut places: Vec<*const c_int> = sample.rows.iter().map(|column| column.as_ptr()).collect();
        let counts = sample.values.iter().map(|column| count(column.len())).collect::<Result<Vec<_>, _>>()?;
        let mut handle: Handle = ptr::null_mut();
        // SAFETY: three lists of `width` entries; column i has `counts[i]` values and row numbers, which ascend and
        // are below `sample.count`. The call only reads them.
        library.check(unsafe {
            (library.0.LGBM_DatasetCreateFromSampledColumn)(
                values.as_mut_ptr(),
                places.as_mut_ptr(),
                count(width)?,
                counts.as_ptr(),
                sample.count,
                rows,
                i64::from(rows),
                parameters.as_ptr(),
                &raw mut handle,
            )
        })?;
        Ok(Filling { dataset: Self::own(library, handle, width), rows, pushed: 0 })
    }

    /// A data set for so many rows with the bins of this one.
    ///
    /// # Errors
    /// What the library says.
    pub fn alike(&self, rows: usize) -> Result<Filling, String> {
        let (rows, mut handle) = (count(rows)?, ptr::null_mut());
        // SAFETY: a handle that is alive, and a place for the new one, which shares nothing that this one frees
        // before: bins are copied.
        self.library.check(unsafe {
            (self.library.0.LGBM_DatasetCreateByReference)(
                self.owned.handle,
                i64::from(rows),
                &raw mut handle,
            )
        })?;
        Ok(Filling { dataset: Self::own(self.library, handle, self.width), rows, pushed: 0 })
    }

    fn own(library: Library, handle: Handle, width: usize) -> Self {
        Self { owned: Owned { handle, free: library.0.LGBM_DatasetFree }, library, width }
    }

    /// Gives the columns their names.
    ///
    /// # Errors
    /// What the library says of a name, or that their number is wrong.
    pub fn name<'a>(&mut self, names: impl IntoIterator<Item = &'a str>) -> Result<(), String> {
        let names = Texts::new(names)?;
        // SAFETY: as many texts as are said, which the call copies. It checks their number.
        self.library.check(unsafe {
            (self.library.0.LGBM_DatasetSetFeatureNames)(
                self.owned.handle,
                names.as_ptr(),
                count(names.len())?,
            )
        })
    }

    pub(super) fn handle(&self) -> Handle {
        self.owned.handle
    }

    pub(super) const fn library(&self) -> Library {
        self.library
    }

    fn set(&self, field: &CStr, values: &[f32]) -> Result<(), String> {
        // SAFETY: as many float32 as are said, which the call copies. It checks their number.
        self.library.check(unsafe {
            (self.library.0.LGBM_DatasetSetField)(
                self.owned.handle,
                field.as_ptr(),
                values.as_ptr(),
                count(values.len())?,
                FLOAT32,
            )
        })
    }
}

impl Filling {
    /// Bins the next rows.
    ///
    /// # Errors
    /// When there are more than were announced, or parts of one; what the library says.
    pub fn push(&mut self, values: &[f32]) -> Result<(), String> {
        let Dataset { owned, library, width } = &self.dataset;
        let rows = count(values.len().checked_div(*width).unwrap_or(0))?;
        let end = self.pushed.checked_add(rows).filter(|end| *end <= self.rows);
        let (Some(end), Some(0)) = (end, values.len().checked_rem(*width)) else {
            return Err(format!("more rows than the {} that were counted, or parts of one", self.rows));
        };
        if rows == 0 {
            return Ok(());
        }
        // SAFETY: `rows` rows of `width` float32 are there, and places for them: `end` was checked (invariant 4).
        library.check(unsafe {
            (library.0.LGBM_DatasetPushRows)(
                owned.handle,
                values.as_ptr(),
                FLOAT32,
                rows,
                count(*width)?,
                self.pushed,
            )
        })?;
        self.pushed = end;
        Ok(())
    }

    /// The data set, with what its rows are to give and what they count.
    ///
    /// # Errors
    /// When rows are missing, or there is another number of targets or weights.
    pub fn finish(self, target: &[f32], weight: Option<&[f32]>) -> Result<Dataset, String> {
        if self.pushed != self.rows || self.rows == 0 {
            return Err(format!("{} rows came of the {} that were counted", self.pushed, self.rows));
        }
        self.dataset.set(c"label", target)?;
        if let Some(weight) = weight {
            self.dataset.set(c"weight", weight)?;
        }
        Ok(self.dataset)
    }
}

/// A number that the C API takes as 32 bits.
pub(super) fn count(number: usize) -> Result<i32, String> {
    i32::try_from(number).map_err(|_| format!("LightGBM takes at most {} rows, not {number}", i32::MAX))
}
