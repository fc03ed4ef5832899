//! What needs no library; `tests/real.rs` has the rest.

pub(super) mod real;

use std::path::Path;

use super::library::{Library, find, folders};
use super::parameters::Names;
use super::rows::{check, with_pages};
use super::stopping::Stopping;
use super::{FitError, monotone};
use crate::table::{Batch, Column, Part, Rows, Task};
use sidegate::native::xgboost::Pages;

const NAMES: Names = Names {
    learner: "L",
    known: &[("eta", &["learning_rate"]), ("max_depth", &[])],
    refused: &[("num_class", &["num_classes"], "the task says it")],
};

#[test]
fn unknown_and_repeated_parameters_are_refused() {
    let check = |text: &str, expected: &str| {
        let error = NAMES.read(&text.parse().unwrap()).err().unwrap();
        assert_eq!(error, FitError::Parameters(format!("L: {expected}")));
    };
    check("max_dept = 3", "`max_dept` is no parameter of it; did you mean `max_depth`?");
    check("learning_rat = 3", "`learning_rat` is no parameter of it; did you mean `learning_rate`?");
    check("something = 3", "`something` is no parameter of it");
    check("num_classes = 3", "`num_classes` cannot be set: the task says it");
    check("eta = 1\nlearning_rate = 1", "`eta` and `learning_rate` are the same parameter");
}

#[test]
fn a_parameter_is_replaced_under_every_name() {
    let table = |text: &str| text.parse::<toml::Table>().unwrap();
    let with = NAMES.with(&table("learning_rate = 0.5\nmax_depth = 3"), "eta", 0.25);
    assert_eq!(with, table("max_depth = 3\neta = 0.25"));
    assert_eq!(NAMES.with(&table("unknown = 1"), "eta", 1), table("unknown = 1\neta = 1"));
}

#[test]
fn values_are_written_as_the_libraries_read_them() {
    let table = "eta = 0.1\nmax_depth = [1, [2, 3], \"x\"]".parse().unwrap();
    let texts = NAMES.read(&table).unwrap().texts(|_, items| vec![items.join(",")]).unwrap();
    assert_eq!(texts, [("eta", "0.1".to_owned()), ("max_depth", "1,[2,3],x".to_owned())]);
    let wrong = NAMES.read(&"max_depth = -1".parse().unwrap()).unwrap().take_count("max_depth").unwrap_err();
    assert_eq!(wrong.to_string(), "L: `max_depth` is `-1`, not a whole number, 0 or above");
    for unwritable in ["eta = nan", "eta = { a = 1 }"] {
        assert!(NAMES.read(&unwritable.parse().unwrap()).unwrap().texts(|_, items| items).is_err());
    }
}

#[test]
fn training_stops_when_a_metric_has_not_gained_for_so_long() {
    let stop_after = |metrics: &[&str], least, values: &[&[f64]]| {
        let mut stopping = Stopping::new(metrics.iter().copied(), 2, least);
        let look = |(round, values): (usize, &&[f64])| stopping.look(round as u32, values.iter().copied());
        let stopped = values.iter().enumerate().find_map(look);
        (stopped, stopping.kept())
    };
    assert_eq!(stop_after(&["rmse"], 0.0, &[&[3.], &[2.], &[2.], &[2.5], &[1.]]), (Some(2), Some(2)));
    assert_eq!(stop_after(&["auc"], 0.0, &[&[0.5], &[0.6], &[0.7], &[0.6]]), (None, Some(3)));
    assert_eq!(stop_after(&["l2"], 0.5, &[&[3.], &[2.9], &[2.8], &[2.0]]), (Some(1), Some(1)));
    let two = stop_after(&["l2", "auc"], 0.0, &[&[3., 0.9], &[2., 0.8], &[1., 0.8]]);
    assert_eq!(two, (Some(1), Some(3)));
    assert_eq!(stop_after(&["l2"], 0.0, &[&[f64::NAN], &[1.], &[f64::NAN]]), (None, Some(2)));
}

#[test]
fn targets_and_weights_are_checked_by_row() {
    let error = |task, target: &[f32], weight| check(task, 10, &Batch { values: &[], target, weight });
    assert_eq!(error(Task::Binary, &[0., 1.], Some(&[1., 0.])), Ok(()));
    let nan = error(Task::Regression, &[0., f32::NAN], None).unwrap_err();
    assert_eq!(nan, "row 11 has no target; rows without one cannot be trained on");
    let class = error(Task::Multiclass { classes: 3 }, &[3.], None).unwrap_err();
    assert_eq!(class, "row 10 has the target 3, which is no class of 0..3");
    assert!(error(Task::Binary, &[0.5], None).is_err() && error(Task::Binary, &[-1.], None).is_err());
    assert!(error(Task::Regression, &[1.], Some(&[-1.])).unwrap_err().contains("row 10 has a weight"));
}

/// So many rows of two columns, in batches of 1000, that fail at a row.
struct Counted(Vec<Column>, usize, Option<usize>);

impl Rows for Counted {
    fn columns(&self) -> &[Column] {
        &self.0
    }

    fn count(&self, _: Part) -> usize {
        self.1
    }

    fn scan(&self, _: Part, each: &mut dyn FnMut(Batch<'_>) -> Result<(), String>) -> Result<(), String> {
        for start in (0..self.1).step_by(1000) {
            let rows = start..(start + 1000).min(self.1);
            if self.2.is_some_and(|at| rows.contains(&at)) {
                return Err("the disk is gone".to_owned());
            }
            let target: Vec<f32> = rows.map(|row| row as f32).collect();
            let values: Vec<f32> = target.iter().flat_map(|row| [*row, -*row]).collect();
            each(Batch { values: &values, target: &target, weight: None })?;
        }
        Ok(())
    }
}

#[test]
fn pages_come_whole_and_again() {
    // More than one page, the last one not full.
    let count = 2_500_500;
    let rows = Counted(Vec::new(), count, None);
    let all = |pages: &mut dyn Pages| {
        let (mut seen, mut number) = (0, 0);
        while let Some(page) = pages.next().unwrap() {
            assert_eq!(page.values.len(), page.target.len() * 2);
            assert_eq!((page.target[0], page.values[1]), (seen as f32, -(seen as f32)));
            seen += page.target.len();
            number += 1;
        }
        (seen, number)
    };
    with_pages(&rows, Part::Train, Task::Regression, |pages| {
        assert_eq!(all(pages), (count, 2));
        pages.rewind();
        assert!(pages.next().unwrap().is_some());
        // In the middle, while the next one is on its way.
        pages.rewind();
        assert_eq!(all(pages), (count, 2));
    });
    let broken = Counted(Vec::new(), count, Some(2_400_000));
    let error = with_pages(&broken, Part::Train, Task::Regression, |pages| {
        std::iter::repeat_with(|| pages.next()).find_map(Result::err)
    });
    assert_eq!(error.unwrap(), "the disk is gone");
}

#[test]
fn constraints_are_told_when_there_are_any() {
    let column = |monotone| Column { name: String::new(), categories: None, monotone };
    assert_eq!(monotone(&[column(0), column(0)]), None);
    assert_eq!(monotone(&[column(1), column(0), column(-1)]), Some("1,0,-1".to_owned()));
}

#[test]
fn a_library_is_searched_where_it_may_be() {
    let folder = tempfile::tempdir().unwrap();
    let put = |path: &str| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "").unwrap();
        path
    };
    let python = |version| format!("lib/python{version}/site-packages/xgboost/lib/libxgboost.so");
    let packages = ["3.13", "3.9"].map(|version| put(&python(version)));
    let environment = |name: &str| (name == "VIRTUAL_ENV").then(|| folder.path().into());
    let folders = folders(Library::Xgboost, &environment);
    let place = |wanted: &Path| folders.iter().position(|folder| Some(&**folder) == wanted.parent());
    let working = std::env::current_dir().unwrap().join("lib/libxgboost.so");
    assert_eq!(place(&working), Some(0));
    assert!(place(&packages[0]).unwrap() < place(&packages[1]).unwrap());
    assert!(place(&packages[1]) < place(Path::new("/usr/lib64/libxgboost.so")));
    let environment = |name: &str| (name == "VIRTUAL_ENV").then(|| folder.path().into());
    let named = put("named.so");
    assert_eq!(find(Library::Xgboost, Some(&named), environment), Ok(named.clone()));
    let variable = |name: &str| (name == "SIDEGATE_XGBOOST").then(|| named.clone().into());
    assert_eq!(find(Library::Xgboost, None, variable), Ok(named.clone()));
    let error = find(Library::Lightgbm, Some(Path::new("/nowhere/l.so")), environment).unwrap_err();
    assert!(
        error.starts_with("LightGBM: /nowhere/l.so does not exist; pip install lightgbm, or run"),
        "{error}"
    );
    assert!(error.ends_with("model.type = \"builtin\""), "{error}");
}
