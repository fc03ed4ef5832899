//! Features on disk, row after row: learners read them as often as they like, and memory holds a few thousand at a time.
//!
//! A file a part. A row is its features, its target and its weight, all `f32` of this machine's byte order: the file does
//! not outlive its run.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::features::Features;
use crate::table::{Batch, Column, Part, Rows};

/// Rows that are read at a time.
const BATCH: usize = 4096;

/// Where a part is, and how long.
#[derive(Debug)]
struct Kept {
    path: PathBuf,
    rows: usize,
}

/// Features of all parts.
#[derive(Debug)]
pub(crate) struct Spool {
    columns: Vec<Column>,
    weighted: bool,
    /// What rows of a class count besides, where learners are to see all classes alike.
    by_class: Option<Vec<f32>>,
    /// Train, validation, test.
    parts: [Kept; 3],
}

/// A spool that is being filled.
pub(crate) struct Filling {
    files: [BufWriter<File>; 3],
    spool: Spool,
}

const fn place(part: Part) -> usize {
    match part {
        Part::Train => 0,
        Part::Validation => 1,
        Part::Test => 2,
    }
}

impl Filling {
    /// An empty one, in a folder that is there.
    pub(crate) fn new(folder: &Path, columns: Vec<Column>, weighted: bool) -> Result<Self, Failure> {
        let paths = ["train", "validation", "test"].map(|name| folder.join(format!("{name}.f32")));
        let open = |path: &PathBuf| {
            File::create(path).map(BufWriter::new).map_err(|error| Failure::file(path, &error))
        };
        let files = [open(&paths[0])?, open(&paths[1])?, open(&paths[2])?];
        let parts = paths.map(|path| Kept { path, rows: 0 });
        Ok(Self { spool: Spool { columns, weighted, by_class: None, parts }, files })
    }

    /// Takes rows: features row after row, what is to be predicted, what each counts.
    pub(crate) fn push(
        &mut self,
        parts: &[Part],
        values: &[f32],
        target: &[f32],
        weight: Option<&[f32]>,
    ) -> Result<(), String> {
        let width = self.spool.columns.len();
        let mut bytes = Vec::with_capacity((width + 2) * size_of::<f32>());
        for (row, ((part, values), target)) in
            parts.iter().zip(values.chunks_exact(width.max(1))).zip(target).enumerate()
        {
            let weight = weight.and_then(|weight| weight.get(row)).copied().unwrap_or(1.0);
            bytes.clear();
            values.iter().chain([target, &weight]).for_each(|value| bytes.extend(value.to_ne_bytes()));
            let at = place(*part);
            self.files[at].write_all(&bytes).map_err(|error| format!("features cannot be kept: {error}"))?;
            self.spool.parts[at].rows += 1;
        }
        Ok(())
    }

    /// All rows are there.
    pub(crate) fn finish(mut self) -> Result<Spool, Failure> {
        for (file, kept) in self.files.iter_mut().zip(&self.spool.parts) {
            file.flush().map_err(|error| Failure::file(&kept.path, &error))?;
        }
        Ok(self.spool)
    }
}

impl Spool {
    /// The columns with constraints by name.
    ///
    /// # Errors
    /// As [`constrain`].
    pub(crate) fn constrain(&mut self, monotone: &BTreeMap<String, i8>) -> Result<(), Failure> {
        constrain(&mut self.columns, monotone)
    }

    /// Lets every class count as much as any other while learning, however rare it is: rows count n / (classes · rows of
    /// their class), as scikit-learn's `balanced` has it.
    ///
    /// # Errors
    /// When the rows cannot be read.
    pub(crate) fn balance(&mut self, classes: usize) -> Result<(), Failure> {
        let mut counts = vec![0_u64; classes];
        self.scan(Part::Train, &mut |batch| {
            batch
                .target
                .iter()
                .for_each(|class| counts.get_mut(*class as usize).into_iter().for_each(|n| *n += 1));
            Ok(())
        })
        .map_err(Failure::data)?;
        let rows = self.count(Part::Train) as f32;
        let weight = |count: &u64| rows / (classes as f32 * (*count).max(1) as f32);
        self.by_class = Some(counts.iter().map(weight).collect());
        Ok(())
    }

    /// Bytes on disk.
    pub(crate) fn bytes(&self) -> u64 {
        let rows: usize = self.parts.iter().map(|kept| kept.rows).sum();
        (rows * (self.columns.len() + 2) * size_of::<f32>()) as u64
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        // They are of use to this training alone.
        self.parts.iter().for_each(|kept| drop(std::fs::remove_file(&kept.path)));
    }
}

impl Rows for Spool {
    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn count(&self, part: Part) -> usize {
        self.parts[place(part)].rows
    }

    fn scan(&self, part: Part, each: &mut dyn FnMut(Batch<'_>) -> Result<(), String>) -> Result<(), String> {
        let Kept { path, rows } = &self.parts[place(part)];
        let lost = |error: std::io::Error| format!("{}: {error}", path.display());
        let mut file = File::open(path).map_err(lost)?;
        let width = self.columns.len();
        let stride = (width + 2) * size_of::<f32>();
        let mut bytes = vec![0; BATCH * stride];
        let (mut values, mut target, mut weight) =
            (Vec::with_capacity(BATCH * width), Vec::with_capacity(BATCH), Vec::with_capacity(BATCH));
        let mut left = *rows;
        while left > 0 {
            let count = left.min(BATCH);
            let bytes = &mut bytes[..count * stride];
            file.read_exact(bytes).map_err(lost)?;
            values.clear();
            target.clear();
            weight.clear();
            for row in bytes.chunks_exact(stride) {
                let mut numbers = row.chunks_exact(size_of::<f32>()).map(number);
                values.extend(numbers.by_ref().take(width));
                target.extend(numbers.next());
                weight.extend(numbers.next());
            }
            let by_class = self.by_class.as_ref().filter(|_| part != Part::Test);
            if let Some(by_class) = by_class {
                let of = |class: f32| by_class.get(class as usize).copied().unwrap_or(1.0);
                weight.iter_mut().zip(&target).for_each(|(weight, class)| *weight *= of(*class));
            }
            let weight = (self.weighted || by_class.is_some()).then_some(weight.as_slice());
            each(Batch { values: &values, target: &target, weight })?;
            left -= count;
        }
        Ok(())
    }
}

/// Columns with constraints by name.
///
/// # Errors
/// For a constraint on a feature that is not there, or that is no constraint.
pub(crate) fn constrain(columns: &mut [Column], monotone: &BTreeMap<String, i8>) -> Result<(), Failure> {
    for (name, direction) in monotone {
        let names: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
        match columns.iter_mut().find(|column| column.name == *name) {
            Some(column) if (-1..=1).contains(direction) => column.monotone = *direction,
            Some(_) => return Err(Failure::Config(format!("model.monotone.{name} is none of -1, 0, 1"))),
            None => {
                let hint = sidegate::suggest::meant(name, names.iter().map(String::as_str));
                return Err(Failure::Config(format!("model.monotone: there is no feature `{name}`{hint}")));
            }
        }
    }
    Ok(())
}

fn number(bytes: &[u8]) -> f32 {
    bytes.try_into().map_or(f32::NAN, f32::from_ne_bytes)
}

/// Computes the features of rows as they are scanned.
pub(crate) fn fill(
    filling: &mut Filling,
    features: &mut Features,
    seen: &crate::rows::Seen,
) -> Result<(), String> {
    let values = features.of(&seen.raw).map_err(|error| error.to_string())?;
    filling.push(&seen.rest.parts, values, &seen.rest.target, seen.rest.weight.as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learner::{Kind, Learner};
    use crate::table::Task;

    /// Three rows of class 0 to one of class 1 to learn from, the other way round to test on.
    fn filled(folder: &Path, weights: Option<&dyn Fn(f32, f32) -> f32>) -> Spool {
        let column = Column { name: "x".to_owned(), categories: None, monotone: 0 };
        let mut filling = Filling::new(folder, vec![column], weights.is_some()).unwrap();
        for row in 0_u16..480 {
            let part = [Part::Train, Part::Validation, Part::Test][usize::from(row % 12 / 4).min(2)];
            let rare = row % 4 == 0;
            let class = f32::from(u8::from(rare != (part == Part::Test)));
            let x = f32::from(row * 7 % 31) + 9.0 * class;
            let weight = weights.map(|weight| weight(class, x));
            let weight = weight.as_ref().map(std::slice::from_ref);
            filling.push(&[part], &[x], &[class], weight).unwrap();
        }
        filling.finish().unwrap()
    }

    fn weights(spool: &Spool, part: Part) -> Option<Vec<f32>> {
        let mut all = None;
        let take = &mut |batch: Batch<'_>| {
            all = batch.weight.map(<[f32]>::to_vec);
            Ok(())
        };
        spool.scan(part, take).unwrap();
        all
    }

    /// What of scikit-learn's `balanced` is of these rows: 160 / (2 · 120), 160 / (2 · 40).
    fn balanced(class: f32) -> f32 {
        if class == 0.0 { 160.0 / 240.0 } else { 2.0 }
    }

    #[test]
    fn balanced_classes_are_learned_as_rows_that_weigh_so() {
        let folders = [(); 4].map(|()| tempfile::tempdir().unwrap());
        let [plain, explicit, given, both] = &folders;
        let own = |_: f32, x: f32| 0.5 + x / 64.0;
        let mut ours = filled(plain.path(), None);
        assert_eq!([Part::Train, Part::Validation, Part::Test].map(|part| ours.count(part)), [160; 3]);
        assert_eq!(weights(&ours, Part::Train), None);
        ours.balance(2).unwrap();
        let theirs = filled(explicit.path(), Some(&|class, _| balanced(class)));
        let mut weighted = filled(given.path(), Some(&own));
        weighted.balance(2).unwrap();
        // Weights of the rows' own count besides.
        let product = filled(both.path(), Some(&|class, x| own(class, x) * balanced(class)));
        for (ours, theirs) in [(&ours, &theirs), (&weighted, &product)] {
            // What is learned from and what says when to stop, by the classes of what is learned from.
            for part in [Part::Train, Part::Validation] {
                assert_eq!(weights(ours, part), weights(theirs, part), "{part:?}");
            }
            for (kind, params) in [("builtin", "num_iterations = 5\nmin_data_in_leaf = 5"), ("logistic", "")]
            {
                let learned = |rows: &Spool| {
                    let (kind, params) = (Kind::named(kind).unwrap(), params.parse().unwrap());
                    let learner = Learner { kind, params, library: None, seed: 7, threads: 1 };
                    format!("{:?}", learner.fit(rows, Task::Binary, &mut |_| ()).unwrap())
                };
                assert_eq!(learned(ours), learned(theirs), "{kind}");
            }
        }
        // The test is judged as it is.
        assert_eq!(weights(&ours, Part::Test), None);
        let folder = tempfile::tempdir().unwrap();
        let unweighted = filled(folder.path(), Some(&own));
        assert_eq!(weights(&weighted, Part::Test), weights(&unweighted, Part::Test));
    }

    #[test]
    fn a_class_that_none_is_of_weighs_what_it_may() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = filled(folder.path(), None);
        spool.balance(3).unwrap();
        let found = weights(&spool, Part::Train).unwrap();
        assert!(found.iter().all(|weight| weight.is_finite()), "{found:?}");
        assert_eq!(found[0], 160.0 / (3.0 * 40.0));
    }
}
