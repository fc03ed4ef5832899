//! Training, round after round, and what came of it.

use std::ptr;

use super::{Handle, Library, Matrix, Owned, interface};
use crate::native::shared::{Texts, copied, text};

/// A model in training.
pub struct Booster {
    library: Library,
    owned: Owned,
}

/// A metric on a matrix.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// The number of the matrix in the call.
    pub matrix: usize,
    /// The metric's name.
    pub metric: String,
    /// Its value.
    pub value: f64,
}

impl Booster {
    /// A model without trees; `matrices` are those whose predictions it keeps.
    ///
    /// # Errors
    /// What the library says of a parameter.
    pub fn new<'a>(
        library: Library,
        matrices: &[&Matrix],
        parameters: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, String> {
        library.listen();
        let handles: Vec<Handle> = matrices.iter().map(|matrix| matrix.handle()).collect();
        let mut handle = ptr::null_mut();
        // SAFETY: as many handles as are said, all alive; the booster counts its own references (invariant 2).
        library.check(unsafe {
            (library.0.XGBoosterCreate)(handles.as_ptr(), handles.len() as u64, &raw mut handle)
        })?;
        let booster = Self { library, owned: Owned { handle, free: library.0.XGBoosterFree } };
        for (name, value) in parameters {
            let (name, value) = (text(name)?, text(value)?);
            // SAFETY: two texts, which the call copies.
            library.check(unsafe { (library.0.XGBoosterSetParam)(handle, name.as_ptr(), value.as_ptr()) })?;
        }
        Ok(booster)
    }

    /// Trains the round with this number, from 0.
    ///
    /// # Errors
    /// What the library says, among it what is wrong with parameters and targets.
    pub fn update(&mut self, round: u32, train: &Matrix) -> Result<(), String> {
        // SAFETY: two handles that are alive.
        self.library.check(unsafe {
            (self.library.0.XGBoosterUpdateOneIter)(self.owned.handle, round.cast_signed(), train.handle())
        })
    }

    /// Every metric on every matrix, in the order of the matrices and then of the metrics.
    ///
    /// # Errors
    /// What the library says, or that its answer cannot be read.
    pub fn evaluate(&mut self, round: u32, matrices: &[&Matrix]) -> Result<Vec<Evaluation>, String> {
        let mut handles: Vec<Handle> = matrices.iter().map(|matrix| matrix.handle()).collect();
        let names: Vec<String> = (0..handles.len()).map(|number| number.to_string()).collect();
        let names = Texts::new(names.iter().map(String::as_str))?;
        let mut answer = ptr::null();
        // SAFETY: as many handles and texts as are said, all alive during the call.
        self.library.check(unsafe {
            (self.library.0.XGBoosterEvalOneIter)(
                self.owned.handle,
                round.cast_signed(),
                handles.as_mut_ptr(),
                names.as_ptr(),
                handles.len() as u64,
                &raw mut answer,
            )
        })?;
        // SAFETY: the text is the library's until the next call on this booster (invariant 3).
        let answer = unsafe { copied(answer) };
        answer.split('\t').skip(1).map(|entry| entry_of(entry).ok_or_else(|| unreadable(entry))).collect()
    }

    /// The first `rounds` rounds as a model of their own.
    ///
    /// # Errors
    /// What the library says.
    pub fn first(&self, rounds: u32) -> Result<Self, String> {
        let mut handle = ptr::null_mut();
        // SAFETY: a handle that is alive, and a place for the new one.
        self.library.check(unsafe {
            (self.library.0.XGBoosterSlice)(self.owned.handle, 0, rounds.cast_signed(), 1, &raw mut handle)
        })?;
        Ok(Self { library: self.library, owned: Owned { handle, free: self.library.0.XGBoosterFree } })
    }

    /// A model that was saved.
    ///
    /// # Errors
    /// What the library says of the bytes.
    pub fn load(library: Library, bytes: &[u8]) -> Result<Self, String> {
        let booster = Self::new(library, &[], [])?;
        // SAFETY: as many bytes as are said, which the call reads.
        library.check(unsafe {
            (library.0.XGBoosterLoadModelFromBuffer)(booster.owned.handle, bytes.as_ptr(), bytes.len() as u64)
        })?;
        Ok(booster)
    }

    /// The model as UBJSON.
    ///
    /// # Errors
    /// What the library says.
    pub fn save(&self) -> Result<Vec<u8>, String> {
        let (mut length, mut bytes) = (0, ptr::null());
        // SAFETY: places for the answer, which stays the library's.
        self.library.check(unsafe {
            (self.library.0.XGBoosterSaveModelToBuffer)(
                self.owned.handle,
                c"{\"format\":\"ubj\"}".as_ptr(),
                &raw mut length,
                &raw mut bytes,
            )
        })?;
        // SAFETY: so many bytes are there until the next call on this booster (invariant 3).
        Ok(unsafe { copy(bytes, length) })
    }

    /// What the model answers for these rows: a number per row and output, or the sums of the trees when `margin`.
    ///
    /// # Errors
    /// What the library says.
    pub fn predict(&self, values: &[f32], width: usize, margin: bool) -> Result<Vec<f32>, String> {
        let told = interface(values, Some(width))?;
        let config = format!(
            r#"{{"type":{},"training":false,"iteration_begin":0,"iteration_end":0,"strict_shape":false,"cache_id":0,"missing":NaN}}"#,
            u8::from(margin)
        );
        let config = text(&config)?;
        let (mut shape, mut rank, mut answers) = (ptr::null(), 0, ptr::null());
        // SAFETY: the text tells of `values`, which are borrowed for the call; the other places are for the answer.
        self.library.check(unsafe {
            (self.library.0.XGBoosterPredictFromDense)(
                self.owned.handle,
                told.as_ptr(),
                config.as_ptr(),
                ptr::null_mut(),
                &raw mut shape,
                &raw mut rank,
                &raw mut answers,
            )
        })?;
        // SAFETY: `rank` extents, and as many answers as their product, until the next call (invariant 3).
        unsafe {
            let count = copy(shape, rank).iter().product();
            Ok(copy(answers, count))
        }
    }
}

/// # Safety
/// `count` values are there, or `from` is null.
unsafe fn copy<T: Copy>(from: *const T, count: u64) -> Vec<T> {
    match usize::try_from(count) {
        // SAFETY: as the caller says.
        Ok(count) if !from.is_null() => unsafe { std::slice::from_raw_parts(from, count) }.to_vec(),
        _ => Vec::new(),
    }
}

/// `1-rmse:0.25`
fn entry_of(entry: &str) -> Option<Evaluation> {
    let (name, value) = entry.trim().rsplit_once(':')?;
    let (matrix, metric) = name.split_once('-')?;
    Some(Evaluation { matrix: matrix.parse().ok()?, metric: metric.to_owned(), value: value.parse().ok()? })
}

fn unreadable(entry: &str) -> String {
    format!("XGBoost: `{entry}` is no metric with its value")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evaluations_are_read() {
        let read = |entry| entry_of(entry).map(|e| (e.matrix, e.metric, e.value));
        assert_eq!(read("1-rmse:0.25"), Some((1, "rmse".to_owned(), 0.25)));
        assert_eq!(read("0-gamma-nloglik@1.5:-1.5e-3"), Some((0, "gamma-nloglik@1.5".to_owned(), -0.0015)));
        assert!(read("0-auc:nan").is_some_and(|(.., value)| value.is_nan()));
        assert_eq!(read("rmse"), None);
    }
}
