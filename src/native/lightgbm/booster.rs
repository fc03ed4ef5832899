//! Training, round after round, and what came of it.

use std::ffi::{c_char, c_int};
use std::marker::PhantomData;
use std::ptr;

use super::dataset::count;
use super::{Dataset, FLOAT32, Handle, Library, Owned};
use crate::native::shared::text;

/// Room for the name of a metric; the library cuts off longer ones.
const NAME: usize = 128;
/// `C_API_PREDICT_NORMAL`, `C_API_PREDICT_RAW_SCORE`
const ANSWERS: c_int = 0;
const SCORES: c_int = 1;

/// A model in training.
pub struct Booster<'a> {
    owned: Owned,
    library: Library,
    datasets: PhantomData<&'a Dataset>,
}

impl<'a> Booster<'a> {
    /// A model without trees.
    ///
    /// # Errors
    /// What the library says of parameters and targets.
    pub fn new(
        train: &'a Dataset,
        validation: Option<&'a Dataset>,
        parameters: &str,
    ) -> Result<Self, String> {
        let (library, parameters) = (train.library(), text(parameters)?);
        library.listen();
        let mut handle = ptr::null_mut();
        // SAFETY: a data set that is complete (only `Filling::finish` gives one) and outlives the booster.
        library.check(unsafe {
            (library.0.LGBM_BoosterCreate)(train.handle(), parameters.as_ptr(), &raw mut handle)
        })?;
        let owned = Owned { handle, free: library.0.LGBM_BoosterFree };
        if let Some(validation) = validation {
            // SAFETY: as above.
            library.check(unsafe { (library.0.LGBM_BoosterAddValidData)(handle, validation.handle()) })?;
        }
        Ok(Self { owned, library, datasets: PhantomData })
    }

    /// A model that was saved.
    ///
    /// # Errors
    /// What the library says of the text.
    pub fn load(library: Library, saved: &str) -> Result<Self, String> {
        library.listen();
        let (saved, mut rounds, mut handle) = (text(saved)?, 0, ptr::null_mut());
        // SAFETY: a text, which the call reads, and places for the answer.
        library.check(unsafe {
            (library.0.LGBM_BoosterLoadModelFromString)(saved.as_ptr(), &raw mut rounds, &raw mut handle)
        })?;
        let owned = Owned { handle, free: library.0.LGBM_BoosterFree };
        Ok(Self { owned, library, datasets: PhantomData })
    }

    /// Trains a round; false when no split is worth it any more, so that further rounds would change nothing.
    ///
    /// # Errors
    /// What the library says.
    pub fn update(&mut self) -> Result<bool, String> {
        let call = self.library.0.LGBM_BoosterUpdateOneIter;
        Ok(self.number(call)? == 0)
    }

    /// How many rounds there are.
    ///
    /// # Errors
    /// What the library says.
    pub fn rounds(&self) -> Result<u32, String> {
        self.number(self.library.0.LGBM_BoosterGetCurrentIteration)
            .map(|rounds| rounds.max(0).cast_unsigned())
    }

    /// The names of the metrics, in the order of [`Self::evaluate`].
    ///
    /// # Errors
    /// What the library says.
    pub fn metrics(&self) -> Result<Vec<String>, String> {
        let metrics = usize::try_from(self.number(self.library.0.LGBM_BoosterGetEvalCounts)?).unwrap_or(0);
        let mut room = vec![[0_u8; NAME]; metrics];
        let mut places: Vec<*mut c_char> = room.iter_mut().map(|name| name.as_mut_ptr().cast()).collect();
        let (mut found, mut longest) = (0, 0);
        // SAFETY: as many places as are said, each of `NAME` bytes; names that do not fit are cut.
        self.library.check(unsafe {
            (self.library.0.LGBM_BoosterGetEvalNames)(
                self.handle(),
                count(metrics)?,
                &raw mut found,
                NAME,
                &raw mut longest,
                places.as_mut_ptr(),
            )
        })?;
        let text = |name: &[u8; NAME]| {
            String::from_utf8_lossy(name.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned()
        };
        Ok(room.iter().map(text).collect())
    }

    /// Every metric: on the training data (0) or the validation data (1).
    ///
    /// # Errors
    /// What the library says, among it that there are no validation data.
    pub fn evaluate(&self, dataset: u8) -> Result<Vec<f64>, String> {
        let metrics = self.number(self.library.0.LGBM_BoosterGetEvalCounts)?;
        let mut values = vec![0.0; usize::try_from(metrics).unwrap_or(0)];
        let mut found = 0;
        // SAFETY: there is room for all metrics, of which there are as many on each data set.
        self.library.check(unsafe {
            (self.library.0.LGBM_BoosterGetEval)(
                self.handle(),
                dataset.into(),
                &raw mut found,
                values.as_mut_ptr(),
            )
        })?;
        values.truncate(usize::try_from(found).unwrap_or(0));
        Ok(values)
    }

    /// The first `rounds` rounds as the library's text.
    ///
    /// # Errors
    /// What the library says.
    pub fn save(&self, rounds: u32) -> Result<String, String> {
        self.library.text(|capacity, length, to| {
            // SAFETY: `to` has room for `capacity` bytes, which the call does not exceed.
            unsafe {
                (self.library.0.LGBM_BoosterSaveModelToString)(
                    self.handle(),
                    0,
                    rounds.cast_signed(),
                    0,
                    capacity,
                    length,
                    to,
                )
            }
        })
    }

    /// What the first `rounds` rounds answer for these rows, or the sums of the trees when `margin`.
    ///
    /// # Errors
    /// When there are parts of rows, or rows of another width; what the library says.
    pub fn predict(&self, values: &[f32], rounds: u32, margin: bool) -> Result<Vec<f64>, String> {
        let unsigned = |number: c_int| usize::try_from(number).unwrap_or(0);
        let width = unsigned(self.number(self.library.0.LGBM_BoosterGetNumFeature)?);
        let classes = unsigned(self.number(self.library.0.LGBM_BoosterGetNumClasses)?).max(1);
        let rows = values.len().checked_div(width).unwrap_or(0);
        if values.len().checked_rem(width) != Some(0) {
            return Err(format!("parts of rows, which have {width} values"));
        }
        let mut answers = vec![0.0; rows * classes];
        let mut found = 0;
        // SAFETY: `rows` rows of `width` float32 are there, and room for an answer per row and class.
        self.library.check(unsafe {
            (self.library.0.LGBM_BoosterPredictForMat)(
                self.handle(),
                values.as_ptr(),
                FLOAT32,
                count(rows)?,
                count(width)?,
                1,
                if margin { SCORES } else { ANSWERS },
                0,
                rounds.cast_signed(),
                c"".as_ptr(),
                &raw mut found,
                answers.as_mut_ptr(),
            )
        })?;
        Ok(answers)
    }

    fn handle(&self) -> Handle {
        self.owned.handle
    }

    /// What a call that gives one integer gives.
    fn number(&self, call: unsafe extern "C" fn(Handle, *mut c_int) -> c_int) -> Result<c_int, String> {
        let mut number = 0;
        // SAFETY: all functions of this form in the table take the handle and a place for their answer.
        self.library.check(unsafe { call(self.handle(), &raw mut number) })?;
        Ok(number)
    }
}
