//! Matrices of binned rows, made from pages that are asked for one after the other.

use std::any::Any;
use std::ffi::{c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;

use super::{Library, Owned, interface};
use crate::native::shared::{Texts, text};

/// Some rows.
#[derive(Debug, Default)]
pub struct Page {
    /// Row after row; NaN is missing.
    pub values: Vec<f32>,
    /// One per row.
    pub target: Vec<f32>,
    /// One per row, on every page or on none.
    pub weight: Option<Vec<f32>>,
}

/// Where pages come from: the same ones after every rewind.
pub trait Pages {
    /// The next page is the first one again.
    fn rewind(&mut self);

    /// The next page; none after the last.
    ///
    /// # Errors
    /// Whatever keeps a page from coming; the matrix is given up with it.
    fn next(&mut self) -> Result<Option<Page>, String>;
}

/// What is said of the columns.
#[derive(Clone, Debug)]
pub struct Features<'a> {
    /// Their names; they may hold no `[`, `]` or `<`.
    pub names: Vec<&'a str>,
    /// Whether a column's numbers are categories.
    pub categorical: Vec<bool>,
    /// Bins per column.
    pub max_bin: u32,
    /// Threads that bin.
    pub threads: usize,
}

/// Rows that were binned; the floats are gone.
pub struct Matrix(Owned);

impl Matrix {
    /// Bins all pages; with the bins of `reference` when there is one. Pages are read four times.
    ///
    /// # Errors
    /// What a page's source says, or the library.
    pub fn new(
        library: Library,
        pages: &mut dyn Pages,
        features: &Features<'_>,
        reference: Option<&Self>,
    ) -> Result<Self, String> {
        library.listen();
        let api = library.0;
        let mut proxy = ptr::null_mut();
        // SAFETY: a place for the new handle.
        library.check(unsafe { (api.XGProxyDMatrixCreate)(&raw mut proxy) })?;
        let proxy = Owned { handle: proxy, free: api.XGDMatrixFree };
        let kinds = features.categorical.iter().map(|categorical| if *categorical { "c" } else { "q" });
        let config = format!(
            r#"{{"missing":NaN,"nthread":{},"max_bin":{}}}"#,
            features.threads.max(1),
            features.max_bin
        );
        let config = text(&config)?;
        let names = (Texts::new(features.names.iter().copied())?, Texts::new(kinds)?);
        let mut state =
            Iteration { library, proxy: &proxy, pages, names: &names, page: None, fault: None, panic: None };
        let mut matrix = ptr::null_mut();
        let reference = reference.map_or(ptr::null_mut(), |matrix| matrix.0.handle);
        let state_pointer = &raw mut state;
        // SAFETY: `state` outlives the call and is reached through this pointer alone while it runs; the callbacks
        // take what they are given here. The call comes back to them on this thread only.
        let returned = unsafe {
            (api.XGQuantileDMatrixCreateFromCallback)(
                state_pointer.cast::<c_void>(),
                proxy.handle,
                reference,
                rewind,
                next,
                config.as_ptr(),
                &raw mut matrix,
            )
        };
        let made = library.check(returned);
        let made = made.map(|()| Self(Owned { handle: matrix, free: api.XGDMatrixFree }));
        if let Some(panic) = state.panic.take() {
            resume_unwind(panic);
        }
        // The library's own complaint about pages that ended early says less.
        match state.fault.take() {
            Some(fault) => Err(fault),
            None => made.and_then(|matrix| {
                set_names(library, &matrix.0, &names)?;
                Ok(matrix)
            }),
        }
    }

    pub(super) fn handle(&self) -> *mut c_void {
        self.0.handle
    }
}

/// Names and kinds of the columns.
type Names = (Texts, Texts);

fn set_names(library: Library, matrix: &Owned, (names, kinds): &Names) -> Result<(), String> {
    for (field, texts) in [(c"feature_name", names), (c"feature_type", kinds)] {
        // SAFETY: as many texts as are said, which the call copies.
        library.check(unsafe {
            (library.0.XGDMatrixSetStrFeatureInfo)(
                matrix.handle,
                field.as_ptr(),
                texts.as_ptr(),
                texts.len() as u64,
            )
        })?;
    }
    Ok(())
}

/// What the callbacks work on.
struct Iteration<'a> {
    library: Library,
    proxy: &'a Owned,
    pages: &'a mut dyn Pages,
    names: &'a Names,
    /// The library reads it until the next callback (invariant 4).
    page: Option<Page>,
    fault: Option<String>,
    panic: Option<Box<dyn Any + Send>>,
}

impl Iteration<'_> {
    fn advance(&mut self) -> Result<bool, String> {
        let Some(page) = self.pages.next()? else { return Ok(false) };
        let width = self.names.0.len();
        let rows = page.target.len();
        let weights = page.weight.as_ref().map_or(rows, Vec::len);
        if rows == 0 || rows.checked_mul(width) != Some(page.values.len()) || weights != rows {
            return Err("a page has another number of values, targets or weights than rows".to_owned());
        }
        let (api, proxy) = (self.library.0, self.proxy.handle);
        let page = self.page.insert(page);
        set_names(self.library, self.proxy, self.names)?;
        let values = interface(&page.values, Some(width))?;
        // SAFETY: the text tells the place and extent of `page.values`, which stays in `self.page` unchanged until
        // the library asks for the next page.
        self.library.check(unsafe { (api.XGProxyDMatrixSetDataDense)(proxy, values.as_ptr()) })?;
        let weight = page.weight.as_ref().map(|weight| (c"weight", weight));
        for (field, values) in [(c"label", &page.target)].into_iter().chain(weight) {
            let told = interface(values, None)?;
            // SAFETY: as above; this call copies.
            self.library.check(unsafe {
                (api.XGDMatrixSetInfoFromInterface)(proxy, field.as_ptr(), told.as_ptr())
            })?;
        }
        Ok(true)
    }

    /// Runs without letting anything out but what is kept here (invariant 5).
    fn guarded(&mut self, work: impl FnOnce(&mut Self) -> Result<bool, String>) -> bool {
        if self.fault.is_some() || self.panic.is_some() {
            return false;
        }
        match catch_unwind(AssertUnwindSafe(|| work(self))) {
            Ok(Ok(more)) => more,
            Ok(Err(fault)) => {
                self.fault = Some(fault);
                false
            }
            Err(panic) => {
                self.panic = Some(panic);
                false
            }
        }
    }
}

extern "C" fn next(state: *mut c_void) -> c_int {
    // SAFETY: the pointer that `Matrix::new` gave, whose state lives; nothing else reaches it meanwhile.
    let state = unsafe { &mut *state.cast::<Iteration<'_>>() };
    c_int::from(state.guarded(Iteration::advance))
}

extern "C" fn rewind(state: *mut c_void) {
    // SAFETY: as in `next`.
    let state = unsafe { &mut *state.cast::<Iteration<'_>>() };
    state.guarded(|state| {
        state.pages.rewind();
        Ok(false)
    });
}
