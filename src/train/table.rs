//! Rows of features, as often as a learner asks for them.

/// A part of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// What is learned from.
    Train,
    /// What says when to stop.
    Validation,
    /// What nothing has seen until the model is judged.
    Test,
}

/// Some thousand rows at most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batch<'a> {
    /// Row after row, as many values each as there are columns; NaN is missing; a category is its number, 0 and up.
    pub values: &'a [f32],
    /// What is to be predicted: a number, or the number of a class.
    pub target: &'a [f32],
    /// What a row counts; none: all the same.
    pub weight: Option<&'a [f32]>,
}

/// A feature as learners see it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Column {
    /// Its name.
    pub name: String,
    /// How many categories it has; none for numbers.
    pub categories: Option<u32>,
    /// 1: predictions may only rise with it, -1: only fall; 0: either.
    pub monotone: i8,
}

/// Where rows come from; the same rows in the same order at every call.
pub(crate) trait Rows: Sync {
    /// Features, in order.
    fn columns(&self) -> &[Column];

    /// How many rows there are of a part.
    fn count(&self, part: Part) -> usize;

    /// Shows the rows of a part, batch by batch.
    ///
    /// # Errors
    /// When they cannot be read any more, or what `each` says.
    fn scan(&self, part: Part, each: &mut dyn FnMut(Batch<'_>) -> Result<(), String>) -> Result<(), String>;
}

/// What is predicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// A number.
    Regression,
    /// One of two classes.
    Binary,
    /// One of more.
    Multiclass {
        /// How many.
        classes: u32,
    },
}

/// How far a training is, after every round.
#[derive(Clone, Debug)]
pub(crate) struct Round {
    /// Counted from 1.
    pub round: u32,
    /// Rounds at most.
    pub of: u32,
    /// What is measured.
    pub metric: &'static str,
    /// On what is learned from.
    pub train: f64,
    /// On what says when to stop.
    pub validation: Option<f64>,
}
