//! The data as a training sees it: columns by their part in it, and the target as numbers.

use crate::config::TaskName;
use crate::data::validate::Validated;
use crate::data::{Data, Scanned};
use crate::failure::Failure;
use crate::features::{self, Field, RawBatch};
use crate::learner::Kind;
use crate::table::{Part, Task};

/// Most classes that are told apart.
const MOST_CLASSES: usize = 1000;

/// Why a regression of texts is refused.
pub(crate) fn no_numbers(target: &str) -> Failure {
    Failure::Config(format!(
        "`{target}` holds texts, which no regression predicts; task = \"classification\" does"
    ))
}

/// Validated data with what is predicted of it.
pub(crate) struct Source {
    data: Data,
    pub(crate) validated: Validated,
    /// What is predicted.
    pub(crate) task: Task,
    /// Names of the classes, in the order of their numbers.
    pub(crate) classes: Option<Vec<String>>,
    /// Raw columns, those among them that features are made of, in order, and where these are.
    pub(crate) fields: Vec<Field>,
    places: Vec<usize>,
}

/// Some rows.
pub(crate) struct Seen {
    /// Raw columns, those of [`Source::fields`].
    pub(crate) raw: RawBatch,
    /// The rest.
    pub(crate) rest: Scanned,
}

// === impl Source ===

impl Source {
    /// What a target's values make of it.
    pub(crate) fn new(
        data: Data,
        validated: Validated,
        wanted: Option<TaskName>,
        kind: Kind,
    ) -> Result<Self, Failure> {
        let (target, others) = data.roles();
        let summary = validated.report.columns.iter().find(|column| column.name == target);
        let summary = summary.ok_or_else(|| Failure::data(format!("column `{target}` was left out")))?;
        let classifies = wanted
            .map(|task| task == TaskName::Classification)
            .or(kind.only_classes())
            .unwrap_or_else(|| summary.kind.is_class());
        let (task, classes) = if classifies {
            let classes = summary.categories.as_ref().filter(|classes| classes.len() <= MOST_CLASSES);
            let classes: Vec<String> = classes
                .ok_or_else(|| {
                    Failure::data(format!(
                        "`{target}` has more than {MOST_CLASSES} values; task = \"regression\" predicts a number"
                    ))
                })?
                .keys()
                .cloned()
                .collect();
            let classes = in_order(classes);
            let count = u32::try_from(classes.len()).unwrap_or(u32::MAX);
            let task = if count == 2 { Task::Binary } else { Task::Multiclass { classes: count } };
            (task, Some(classes))
        } else {
            if summary.kind.is_text() {
                return Err(no_numbers(target));
            }
            (Task::Regression, None)
        };
        if kind.only_classes().is_some_and(|only| only != classifies) {
            return Err(Failure::Config(format!(
                "model.type `{}` is {}",
                kind.name(),
                if classifies {
                    "for numbers; `logistic` is for classes"
                } else {
                    "for classes; `linear` is for numbers"
                }
            )));
        }
        let places: Vec<usize> = validated
            .fields
            .iter()
            .enumerate()
            .filter(|(_, field)| field.name != target && !others.contains(&field.name))
            .map(|(at, _)| at)
            .collect();
        let missing = |name: &str| {
            validated.report.columns.iter().any(|column| column.name == name && column.missing > 0)
        };
        let fields = places.iter().filter_map(|at| validated.fields.get(*at)).map(|field| Field {
            name: field.name.clone(),
            kind: kind_of(field.kind),
            nullable: missing(&field.name),
        });
        let fields: Vec<Field> = fields.collect();
        if fields.is_empty() {
            return Err(Failure::data("no column is left to learn from"));
        }
        Ok(Self { data, task, classes, fields, places, validated })
    }

    /// Passes over all rows; always the same ones in the same order.
    pub(crate) fn scan(&self, each: &mut dyn FnMut(Seen) -> Result<(), String>) -> Result<(), Failure> {
        let places = &self.places;
        self.data.scan(&self.validated, self.classes.as_deref(), &mut |mut scanned| {
            let mut columns: Vec<Option<_>> =
                std::mem::take(&mut scanned.raw.columns).into_iter().map(Some).collect();
            let raw = places.iter().filter_map(|at| columns.get_mut(*at).and_then(Option::take)).collect();
            each(Seen { raw: RawBatch { columns: raw }, rest: scanned })
        })?;
        Ok(())
    }

    /// Passes over the rows of a part.
    pub(crate) fn scan_part(
        &self,
        part: Part,
        each: &mut dyn FnMut(&RawBatch) -> Result<(), String>,
    ) -> Result<(), Failure> {
        self.scan(&mut |seen| {
            let rows: Vec<usize> = seen
                .rest
                .parts
                .iter()
                .enumerate()
                .filter(|(_, of)| **of == part)
                .map(|(row, _)| row)
                .collect();
            match rows.len() {
                0 => Ok(()),
                count if count == seen.rest.parts.len() => each(&seen.raw),
                _ => each(&seen.raw.of_rows(&rows)),
            }
        })
    }

    /// Whether rows count differently.
    pub(crate) fn is_weighted(&self) -> bool {
        self.data.is_weighted()
    }

    /// Where the rows come from.
    pub(crate) fn origin(&self) -> &str {
        self.data.origin()
    }

    /// The name of the target.
    pub(crate) fn target(&self) -> &str {
        self.data.roles().0
    }
}

/// Numbers by their size, texts by their letters.
pub(crate) fn in_order(mut classes: Vec<String>) -> Vec<String> {
    let numbers: Option<Vec<f64>> = classes.iter().map(|class| class.parse().ok()).collect();
    if numbers.is_some() {
        let number = |class: &String| class.parse::<f64>().unwrap_or(f64::NAN);
        classes.sort_by(|a, b| number(a).total_cmp(&number(b)));
    }
    classes
}

/// What a column of the data is to a model.
pub(crate) const fn kind_of(kind: crate::data::kind::Kind) -> features::Kind {
    use crate::data::kind::Kind;
    match kind {
        Kind::Integer => features::Kind::Integer,
        Kind::Number | Kind::Boolean => features::Kind::Number,
        Kind::Text => features::Kind::Text,
        Kind::Time => features::Kind::Time,
    }
}
