//! Which part a row belongs to: by a hash of its number, or of its group, or by its date. Nothing has to be held in
//! memory, and a row's part does not change when rows are added behind it.

mod moments;

use datafusion::arrow::array::Array;
use serde::Deserialize;
use twox_hash::XxHash3_64;

use crate::data::cells::Cells;
use crate::data::error::DataError;
use crate::table::Part;

pub(crate) use moments::Moments;

/// What parts go by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum By {
    /// A hash of the row's number, or of its group.
    #[default]
    Hash,
    /// The date: what is newest is the test.
    Time,
}

/// `[split]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SplitConfig {
    /// What parts go by.
    pub by: By,
    /// The share of the test.
    pub test: f64,
    /// The share of all rows that says when to stop learning.
    pub validation: f64,
    /// Another seed is another split.
    pub seed: u64,
    /// A column whose equal values stay together.
    pub group: Option<String>,
}

impl Default for SplitConfig {
    fn default() -> Self {
        Self { by: By::Hash, test: 0.2, validation: 0.0, seed: 42, group: None }
    }
}

impl SplitConfig {
    /// Reads the table `[split]`.
    ///
    /// # Errors
    /// What is wrong, and with which key.
    pub(crate) fn from_table(table: toml::Table) -> Result<Self, DataError> {
        let config: Self = table.try_into().map_err(|error| DataError::Config(format!("split: {error}")))?;
        let share = |share: f64| (0.0..1.0).contains(&share);
        if !share(config.test) || !share(config.validation) || config.test + config.validation >= 1.0 {
            return Err(DataError::Config(
                "split.test and split.validation are shares of all rows that leave some to learn from".into(),
            ));
        }
        if config.by == By::Time && config.group.is_some() {
            return Err(DataError::Config("split.group is for split.by = \"hash\"".into()));
        }
        Ok(config)
    }
}

/// A split, ready to be asked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Split {
    Hash {
        seed: u64,
        test: u64,
        held: u64,
        group: Option<usize>,
    },
    /// The first instants of validation and test.
    Time {
        column: usize,
        validation: i64,
        test: i64,
    },
}

impl Split {
    pub(crate) fn hash(config: &SplitConfig, group: Option<usize>) -> Self {
        Self::Hash {
            seed: config.seed,
            test: threshold(config.test),
            held: threshold(config.test + config.validation),
            group,
        }
    }

    /// By the moments of all rows.
    pub(crate) fn time(config: &SplitConfig, column: usize, moments: &Moments) -> Self {
        let test = moments.cut(1.0 - config.test);
        let validation = moments.cut(1.0 - config.test - config.validation).min(test);
        Self::Time { column, validation, test }
    }

    /// The part of row `number` of the data, which is row `row` of these.
    pub(crate) fn part(&self, number: u64, row: usize, cells: &[Cells]) -> Part {
        match *self {
            Self::Hash { seed, test, held, group } => {
                let mut hash = XxHash3_64::oneshot_with_seed(seed, &number.to_le_bytes());
                // Rows without a group are each their own.
                if let Some(group) = group.and_then(|group| cells.get(group)) {
                    group.bytes(row, &mut |bytes| hash = XxHash3_64::oneshot_with_seed(seed, bytes));
                }
                part(hash < test, hash < held)
            }
            Self::Time { column, validation, test } => {
                let Some(Cells::Times(times)) = cells.get(column) else { return Part::Train };
                // What has no date can be no newer than the rest.
                let instant = if times.is_null(row) { i64::MIN } else { times.value(row) };
                part(instant >= test, instant >= validation)
            }
        }
    }
}

fn part(test: bool, held: bool) -> Part {
    match (test, held) {
        (true, _) => Part::Test,
        (false, true) => Part::Validation,
        (false, false) => Part::Train,
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share from 0 to 1")]
fn threshold(share: f64) -> u64 {
    (share * u64::MAX as f64) as u64
}
