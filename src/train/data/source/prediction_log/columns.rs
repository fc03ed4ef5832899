//! Which columns rows have, and how lines become rows: the lists of a line stand side by side, an element for each row.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, UInt32Array};
use datafusion::arrow::compute::{filter_record_batch, take};
use datafusion::arrow::datatypes::{
    DataType, Field, Int64Type, SchemaRef, TimeUnit, TimestampMicrosecondType,
};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::record_batch::RecordBatch;

use super::asked::Asked;
use super::holds::{Holds, stored};
use super::lines::nullable;
use super::place::Segment;
use super::spool::Spool;
use super::{KEY, OWN, T};
use crate::data::config::DataConfig;
use crate::data::error::DataError;
use crate::data::range::Instants;

/// The columns of rows.
pub(super) struct Columns {
    /// Inputs by name, with the type of their values.
    pub(super) inputs: Vec<(String, DataType)>,
    /// Those of the log's own that are asked for.
    pub(super) own: Vec<&'static str>,
    pub(super) target: String,
}

pub(super) fn moment() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// The instants of which rows are taken, where the range is one of the log's own time.
pub(super) fn range(config: &DataConfig) -> Result<Instants, DataError> {
    match &config.date_range {
        Some(range) if config.date_column.as_deref() == Some(T) => range.instants(),
        _ => Ok(Instants::default()),
    }
}

impl Columns {
    /// Those that are asked for, or all there are.
    pub(super) fn choose(
        config: &DataConfig,
        group: Option<&str>,
        inputs: BTreeMap<String, Holds>,
    ) -> Result<Self, DataError> {
        let target = config.target_column.clone().unwrap_or_default();
        if inputs.contains_key(&target) {
            return Err(DataError::Config(format!(
                "target_column: `{target}` is an input; the target is what outcomes say, under a name of its own"
            )));
        }
        let mut own = Vec::new();
        let mut wanted = Vec::new();
        for (name, role) in config.wanted(group) {
            let of_log = OWN.into_iter().find(|own| *own == name && role != "data.columns");
            match (of_log, inputs.get(name)) {
                (Some(name), _) => own.push(name),
                _ if name == target => {}
                (_, Some(Holds::Nothing)) => {
                    let reason = format!("column `{name}` ({role}) is redacted, or never had a value");
                    return Err(DataError::unreadable("the prediction log", reason));
                }
                (_, Some(_)) => wanted.push(name.to_owned()),
                (_, None) => {
                    let present: Vec<&str> = inputs.keys().map(String::as_str).collect();
                    let (column, present) = (name.to_owned(), present.join(", "));
                    return Err(DataError::ColumnVanished { column, role, present });
                }
            }
        }
        let all = config.columns.is_empty();
        let mut chosen = Vec::new();
        for (name, holds) in inputs {
            match holds {
                _ if !all && !wanted.contains(&name) => {}
                Holds::Nothing => {}
                Holds::One(kind) => chosen.push((name, stored(kind))),
                Holds::Lists => {
                    let found = "a list of several values for each row".to_owned();
                    return Err(DataError::Unsupported { column: name, found });
                }
            }
        }
        Ok(Self { inputs: chosen, own, target })
    }

    /// What is read of a line.
    pub(super) fn lines(&self) -> SchemaRef {
        let list = |(name, kind): &(String, DataType)| {
            Field::new(name, DataType::List(Arc::new(Field::new_list_field(kind.clone(), true))), true)
        };
        let inputs: Vec<Field> = self.inputs.iter().map(list).collect();
        nullable(vec![
            ("key", DataType::Utf8),
            ("t", moment()),
            ("unit", DataType::Utf8),
            ("outcome", DataType::Utf8),
            ("row", DataType::Int64),
            ("rows", DataType::Int64),
            ("inputs", DataType::Struct(inputs.into())),
        ])
    }

    /// A row for each row of what was answered within a range.
    pub(super) fn flatten(
        &self,
        range: &Instants,
        segment: &Segment,
        lines: &RecordBatch,
        asked: &mut Asked,
        into: &mut Spool,
    ) -> Result<(), DataError> {
        let broken = |reason: String| DataError::unreadable(&segment.key, reason);
        let failed = |error: ArrowError| broken(error.to_string());
        let (outcome, t) =
            (texts(lines, "outcome"), lines.column(1).as_primitive::<TimestampMicrosecondType>());
        let within = |at: Option<i64>| at.is_some_and(|at| range.has(at.div_euclid(1000)));
        let keep: BooleanArray =
            outcome.iter().zip(t).map(|(outcome, at)| Some(outcome == Some("ok") && within(at))).collect();
        let lines = filter_record_batch(lines, &keep).map_err(failed)?;
        texts(&lines, "key").iter().flatten().for_each(|key| asked.add(key));
        let whole =
            |name: &str| lines.column_by_name(name).map(|column| column.as_primitive::<Int64Type>().clone());
        let (Some(first), Some(rows)) = (whole("row"), whole("rows")) else { return Ok(()) };
        let inputs = lines.column_by_name("inputs").map(|inputs| inputs.as_struct().clone());
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.inputs.len());
        for ((name, _), lists) in self.inputs.iter().zip(inputs.iter().flat_map(|inputs| inputs.columns())) {
            let lists = lists.as_list::<i32>();
            if lists.null_count() > 0 {
                return Err(broken(format!(
                    "column `{name}` is redacted, or was no input, in some of its predictions; name the others in \
                     `data.columns`, or begin later with `data.date_range` of `{T}`"
                )));
            }
            let fits = (0..lists.len()).all(|at| i64::from(lists.value_length(at)) == rows.value(at));
            if !fits {
                return Err(broken(format!("column `{name}` has not a value for each row")));
            }
            let (from, to) = (lists.value_offsets().first(), lists.value_offsets().last());
            let (from, to) = (from.copied().unwrap_or(0) as usize, to.copied().unwrap_or(0) as usize);
            columns.push(lists.values().slice(from, to - from));
        }
        let (mut of, mut number) = (Vec::new(), Vec::new());
        for (line, (first, rows)) in first.values().iter().zip(rows.values()).enumerate() {
            for row in *first..first + rows {
                of.push(line as u32);
                number.push(row);
            }
        }
        let (of, number) = (UInt32Array::from(of), Int64Array::from(number));
        let of_line = |name: &str| match lines.column_by_name(name) {
            Some(column) => take(column, &of, None),
            None => Err(ArrowError::SchemaError(name.to_owned())),
        };
        let mut all = vec![of_line("key").map_err(failed)?, Arc::new(number), of_line("t").map_err(failed)?];
        all.push(of_line("unit").map_err(failed)?);
        all.extend(columns);
        into.push(all)
    }

    /// Where a column of the log's own is among those of the copy.
    pub(super) fn source(own: &str) -> &'static str {
        match own {
            T => "t",
            KEY => "key",
            _ => "unit",
        }
    }

    /// What such a column holds.
    pub(super) fn kind(own: &str) -> DataType {
        if own == T { moment() } else { DataType::Utf8 }
    }
}

fn texts<'a>(lines: &'a RecordBatch, name: &str) -> &'a datafusion::arrow::array::StringArray {
    let at = lines.schema().index_of(name).unwrap_or(0);
    lines.column(at).as_string()
}

/// What is read of a line of outcomes.
pub(super) fn outcome_lines() -> SchemaRef {
    nullable(vec![
        ("key", DataType::Utf8),
        ("row", DataType::Int64),
        ("actual", DataType::Float64),
        ("class", DataType::Utf8),
        ("model", DataType::Utf8),
    ])
}

/// What is read of a line of another model's.
pub(super) fn other_lines() -> SchemaRef {
    nullable(vec![("key", DataType::Utf8), ("t", moment()), ("outcome", DataType::Utf8)])
}

/// Requests of another model with an id that was given to this one too.
pub(super) fn others(asked: &Asked, lines: &RecordBatch, into: &mut Spool) -> Result<(), DataError> {
    let failed = |error: ArrowError| DataError::unreadable("the prediction log", error);
    let (keys, outcomes) = (texts(lines, "key"), texts(lines, "outcome"));
    let shared = |(key, outcome): (Option<&str>, Option<&str>)| {
        Some(outcome == Some("ok") && key.is_some_and(|key| asked.has(key)))
    };
    let keep: BooleanArray = keys.iter().zip(outcomes).map(shared).collect();
    let lines = filter_record_batch(lines, &keep).map_err(failed)?;
    into.push(lines.columns()[..2].to_vec())
}

/// The actuals of what was asked that are or may be of a model. Whether some name none.
pub(super) fn actuals(
    model: &str,
    asked: &Asked,
    lines: &RecordBatch,
    into: &mut Spool,
) -> Result<bool, DataError> {
    let failed = |error: ArrowError| DataError::unreadable("outcomes", error);
    let (keys, models) = (texts(lines, "key"), texts(lines, "model"));
    let known = |at: usize| !lines.column(2).is_null(at) || !lines.column(3).is_null(at);
    let own = |at: usize| models.is_null(at) || models.value(at) == model;
    let keep: BooleanArray = (0..lines.num_rows())
        .map(|at| Some(!keys.is_null(at) && known(at) && own(at) && asked.has(keys.value(at))))
        .collect();
    let lines = filter_record_batch(lines, &keep).map_err(failed)?;
    into.push(lines.columns()[..5].to_vec())?;
    Ok(lines.column(4).null_count() > 0)
}
