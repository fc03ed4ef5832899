//! The statement: columns, range and order are the server's work.

use tokio_postgres::Column;
use tokio_postgres::types::Type;

use super::types;
use crate::data::config::DataConfig;
use crate::data::error::DataError;
use crate::data::kind::Kind;
use crate::data::range::{DateUnit, Instants, format_instant};

/// What is asked.
pub(crate) struct Query {
    /// What comes back.
    pub(crate) columns: Vec<(String, Kind)>,
    from: String,
    filter: Vec<String>,
    /// Which of the columns is the date.
    date: Option<usize>,
    limit: Option<usize>,
}

/// What the user wrote, to learn its columns.
pub(crate) fn plain(config: &DataConfig) -> String {
    format!("SELECT * FROM {}", from(config))
}

fn from(config: &DataConfig) -> String {
    match (&config.query, &config.table) {
        (Some(query), _) => format!("({}\n) AS q", query.trim().trim_end_matches(';')),
        (None, table) => {
            table.as_deref().unwrap_or_default().split('.').map(quoted).collect::<Vec<_>>().join(".")
        }
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl Query {
    /// For a table or query of these columns.
    pub(crate) fn new(
        config: &DataConfig,
        group: Option<&str>,
        present: &[Column],
    ) -> Result<Self, DataError> {
        let mut wanted = config.wanted(group);
        if config.columns.is_empty() {
            wanted.retain(|(name, _)| !present.iter().any(|column| column.name() == *name));
            let all: Vec<_> = present.iter().map(|column| (column.name(), "all columns")).collect();
            wanted.splice(0..0, all);
        }
        let mut columns = Vec::with_capacity(wanted.len());
        for (name, role) in wanted {
            let Some(column) = present.iter().find(|column| column.name() == name) else {
                let names: Vec<&str> = present.iter().map(Column::name).collect();
                return Err(DataError::ColumnVanished {
                    column: name.to_owned(),
                    role,
                    present: names.join(", "),
                });
            };
            let Some(kind) = types::kind(column.type_()) else {
                let found = column.type_().name().to_owned();
                return Err(DataError::Unsupported { column: name.to_owned(), found });
            };
            columns.push((name.to_owned(), kind));
        }
        let date = config.date_column.as_deref();
        let stored = present.iter().find(|column| Some(column.name()) == date);
        let filter = match (stored, &config.date_range) {
            (Some(column), Some(range)) => filter(column, range.instants()?, config.date_unit)?,
            _ => Vec::new(),
        };
        let date = columns.iter().position(|(name, _)| Some(name.as_str()) == date);
        Ok(Self { columns, from: from(config), filter, date, limit: config.limit })
    }

    /// Rows are ordered by the date and then by everything else: rows that are still equal may change places unseen.
    pub(crate) fn statement(&self) -> String {
        let expression = |(name, kind): &(String, Kind)| types::expression(&quoted(name), *kind);
        let select: Vec<String> = self
            .columns
            .iter()
            .map(|column| format!("{} AS {}", expression(column), quoted(&column.0)))
            .collect();
        let first = self.date.and_then(|date| self.columns.get(date));
        let others = self.columns.iter().enumerate().filter(|(at, _)| Some(*at) != self.date);
        let order: Vec<String> = first
            .into_iter()
            .chain(others.map(|(_, column)| column))
            .map(|column| match column.1 {
                // The same order whatever the server's language.
                Kind::Text => format!("{} COLLATE \"C\"", expression(column)),
                _ => expression(column),
            })
            .collect();
        let mut statement = format!("SELECT {}\nFROM {}", select.join(", "), self.from);
        if !self.filter.is_empty() {
            statement = format!("{statement}\nWHERE {}", self.filter.join(" AND "));
        }
        statement = format!("{statement}\nORDER BY {}", order.join(", "));
        match self.limit {
            Some(limit) => format!("{statement}\nLIMIT {limit}"),
            None => statement,
        }
    }
}

/// Conditions on the bare column, so that the server can use its index.
fn filter(column: &Column, range: Instants, unit: Option<DateUnit>) -> Result<Vec<String>, DataError> {
    let literal = |instant: i64| match (column.type_(), unit) {
        (&Type::TIMESTAMPTZ, _) => Ok(format!("TIMESTAMPTZ '{}'", format_instant(instant))),
        (&Type::TIMESTAMP | &Type::DATE, _) => {
            Ok(format!("TIMESTAMP '{}'", format_instant(instant).trim_end_matches('Z')))
        }
        (
            &Type::INT2 | &Type::INT4 | &Type::INT8 | &Type::FLOAT4 | &Type::FLOAT8 | &Type::NUMERIC,
            Some(unit),
        ) => Ok(match unit {
            DateUnit::Seconds => format!("{}.{:03}", instant.div_euclid(1000), instant.rem_euclid(1000)),
            DateUnit::Milliseconds => instant.to_string(),
            DateUnit::Microseconds => format!("{instant}000"),
        }),
        (other, _) => Err(DataError::Config(format!(
            "data.date_column: `{}` is of type {other}; cast it in data.query, or say data.date_unit for numbers",
            column.name()
        ))),
    };
    let mut conditions = Vec::new();
    for (operator, instant) in [(">=", range.start), ("<", range.end)] {
        if let Some(instant) = instant {
            conditions.push(format!("{} {operator} {}", quoted(column.name()), literal(instant)?));
        }
    }
    Ok(conditions)
}
