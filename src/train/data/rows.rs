//! Rows within reach.

use datafusion::arrow::array::{ArrayRef, BooleanArray};
use datafusion::arrow::error::ArrowError;
use datafusion::logical_expr::LogicalPlan;
use futures_util::StreamExt;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use crate::data::cells::{Cells, Reading};
use crate::data::config::{DataConfig, FileFormat};
use crate::data::error::DataError;
use crate::data::plan::{Field, Plan};
use crate::data::source::{self, Access, prediction_log};
use crate::data::split::SplitConfig;
use crate::data::validate::Validated;
use crate::features::{RawBatch, RawColumn};
use crate::table::Part;

/// Takes some rows: the number of the first, how many they are, and their columns.
type Each<'a> = dyn FnMut(u64, usize, &[Cells]) -> Result<(), DataError> + 'a;

/// Some rows of the data.
pub(crate) struct Scanned {
    /// Their columns, those of [`Validated::fields`].
    pub raw: RawBatch,
    /// Which part each belongs to.
    pub parts: Vec<Part>,
    /// What is to be predicted; empty where no target is configured.
    pub target: Vec<f32>,
    /// What each counts.
    pub weight: Option<Vec<f32>>,
}

/// Rows, ready to be passed over.
pub(crate) struct Data {
    pub(crate) config: DataConfig,
    pub(crate) split: SplitConfig,
    plan: Plan,
    reading: Reading,
    runtime: Runtime,
    origin: String,
    statement: Option<String>,
    /// Copies and what is sorted on disk; deleted with it.
    _temp: TempDir,
}

impl Data {
    /// Finds files, copies what is remote and plans the load; reads no row of local files.
    ///
    /// # Errors
    /// When nothing is there, it cannot be reached, or a column is missing.
    pub(crate) fn open(
        config: &DataConfig,
        split: &SplitConfig,
        access: &Access<'_>,
    ) -> Result<Self, DataError> {
        let unusable = |error| DataError::of_io("data.temp_dir", &error);
        let temp = match &config.temp_dir {
            Some(folder) => std::fs::create_dir_all(folder).and_then(|()| TempDir::new_in(folder)),
            None => TempDir::new(),
        };
        let temp = temp.map_err(unusable)?;
        let group = split.group.as_deref();
        let files = source::stage(config, group, access, &temp)?;
        let runtime = Builder::new_current_thread().enable_all().build().map_err(unusable)?;
        let mut plan = config.clone();
        if files.statement.is_some() {
            // The server has done it.
            plan.date_range = None;
            plan.limit = None;
            plan.order = crate::data::config::Order::File;
        }
        let plan = runtime.block_on(Plan::new(&plan, group, &files, temp.path()))?;
        let nulls = match files.format {
            FileFormat::Csv => config.csv.nulls.clone(),
            FileFormat::Parquet => Vec::new(),
        };
        let date = config.date_column.clone().zip(config.date_unit);
        let reading = Reading { nulls, date };
        Ok(Self {
            config: config.clone(),
            split: split.clone(),
            plan,
            reading,
            runtime,
            origin: files.origin,
            statement: files.statement,
            _temp: temp,
        })
    }

    /// The columns that are read, in the order of [`RawBatch::columns`].
    pub(crate) fn columns(&self) -> &[Field] {
        &self.plan.columns
    }

    /// Where rows come from, for lineage; no password is in it.
    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    /// The name of the target, and those of the columns that nothing is learned from: weight, group, and what requests
    /// do not bring.
    pub(crate) fn roles(&self) -> (&str, Vec<String>) {
        let date = self.config.date_column.as_ref().filter(|date| prediction_log::is_own(&self.config, date));
        let others = [self.config.weight_column.as_ref(), self.split.group.as_ref(), date];
        let target = self.config.target_column.as_deref().unwrap_or_default();
        (target, others.into_iter().flatten().cloned().collect())
    }

    /// Whether the target's values are names rather than amounts.
    pub(crate) fn target_is_class(&self) -> bool {
        let (target, _) = self.roles();
        self.columns().iter().any(|field| field.name == target && field.kind.is_class())
    }

    /// Whether rows count differently.
    pub(crate) const fn is_weighted(&self) -> bool {
        self.config.weight_column.is_some()
    }

    /// The plan as it was made, before any optimizer.
    pub(crate) fn plan(&self) -> &LogicalPlan {
        self.plan.logical()
    }

    /// What will run, for `--dry-run`: the database's statement, if there is one, and the optimized plan.
    ///
    /// # Errors
    /// When the plan cannot be optimized.
    pub(crate) fn describe(&self) -> Result<String, DataError> {
        let plan = self.plan.describe()?;
        Ok(match &self.statement {
            Some(statement) => format!("{statement}\n\n{plan}"),
            None => plan,
        })
    }

    /// Passes over the rows that validation left, with their parts. `classes` are names of classes in the order of their
    /// numbers, where the target is one.
    ///
    /// # Errors
    /// When data cannot be read any more, or what `each` says.
    pub(crate) fn scan(
        &self,
        validated: &Validated,
        classes: Option<&[String]>,
        each: &mut dyn FnMut(Scanned) -> Result<(), String>,
    ) -> Result<(), DataError> {
        let mut rules = validated.rules();
        let at =
            |name: Option<&str>| self.columns().iter().position(|field| Some(field.name.as_str()) == name);
        let target = at(self.config.target_column.as_deref());
        let weight = at(self.config.weight_column.as_deref());
        self.each(&mut |first, rows, cells| {
            let keep = rules.keep(rows, cells);
            let kept: Vec<usize> = (0..rows).filter(|row| keep.get(*row) == Some(&true)).collect();
            if kept.is_empty() {
                return Ok(());
            }
            let of = |at: Option<usize>, classes: Option<&[String]>| {
                let cells = cells.get(at?)?;
                Some(kept.iter().map(|row| cells.target(*row, classes)).collect::<Vec<f32>>())
            };
            let (target, weight) = (of(target, classes).unwrap_or_default(), of(weight, None));
            let parts =
                kept.iter().map(|row| validated.split.part(first + *row as u64, *row, cells)).collect();
            let all = kept.len() == rows;
            let keep = BooleanArray::from(keep);
            let chosen = validated.columns.iter().filter_map(|at| cells.get(*at));
            let columns: Vec<RawColumn> = chosen
                .map(|cells| if all { Ok(cells.raw()) } else { cells.filter(&keep).map(|cells| cells.raw()) })
                .collect::<Result<_, ArrowError>>()
                .map_err(|error| DataError::unreadable("the data", error))?;
            each(Scanned { raw: RawBatch { columns }, parts, target, weight }).map_err(DataError::Consumer)
        })
    }

    /// Passes over all rows.
    pub(crate) fn each(&self, each: &mut Each<'_>) -> Result<(), DataError> {
        let mut stream = self.runtime.block_on(self.plan.stream())?;
        let mut first = 0;
        while let Some(batch) = self.runtime.block_on(stream.next()) {
            let batch = batch.map_err(|error| self.plan.failed(error))?;
            let read = |(field, array): (&Field, &ArrayRef)| Cells::read(field, array, first, &self.reading);
            let cells =
                self.columns().iter().zip(batch.columns()).map(read).collect::<Result<Vec<_>, _>>()?;
            each(first, batch.num_rows(), &cells)?;
            first += batch.num_rows() as u64;
        }
        Ok(())
    }
}
