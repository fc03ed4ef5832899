//! The cells of a table where they lie in the document: nothing is copied, so a body bounds what they cost.

use std::collections::HashMap;

use super::Json;
use crate::model::shorten;
use crate::protocol::{DecodeError, Result, refuse};

/// A table as it was sent.
pub(super) enum Table<'a> {
    /// Objects, one per row.
    Records(&'a [Json]),
    /// Lists of one length, each a column.
    Columns { names: Vec<&'a str>, columns: Vec<&'a [Json]> },
    /// Lists of one length, each a row; with names where the form has them.
    Rows { names: Option<Vec<&'a str>>, items: &'a [Json], width: usize },
}

/// Where the columns that the model takes lie in a table.
pub(super) enum Order<'n> {
    /// By position in a row or among the columns.
    At(Vec<usize>),
    /// By name in each record; `others` says whether records may hold more than these.
    Named { names: Vec<&'n str>, places: HashMap<&'n str, usize>, others: bool },
}

impl<'a> Table<'a> {
    pub(super) fn by_column(entries: &'a [(String, Json)]) -> Result<Self> {
        let (mut names, mut columns) = (Vec::new(), Vec::<&[Json]>::new());
        for (name, value) in entries {
            let Json::Array(cells) = value else { continue };
            if let Some(first) = columns.first()
                && first.len() != cells.len()
            {
                refuse!("column `{}` has {} rows, others {}", shorten(name), cells.len(), first.len());
            }
            names.push(name.as_str());
            columns.push(cells);
        }
        if columns.is_empty() {
            refuse!("no column holds a list of values");
        }
        Ok(Self::Columns { names, columns })
    }

    pub(super) fn positional(items: &'a [Json]) -> Result<Self> {
        let mut width = 0;
        for (row, item) in items.iter().enumerate() {
            let Json::Array(cells) = item else { refuse!("row {row} is not a list") };
            if row == 0 {
                width = cells.len();
            }
            if cells.len() != width {
                refuse!("row {row} has {} values, the first {width}", cells.len());
            }
        }
        Ok(Self::Rows { names: None, items, width })
    }

    pub(super) fn split(names: &'a Json, data: &'a Json) -> Result<Self> {
        let (Json::Array(names), Json::Array(items)) = (names, data) else {
            refuse!("`columns` and `data` must be lists");
        };
        let mut table = Self::positional(items)?;
        let given: Option<Vec<&str>> = names.iter().map(Json::as_str).collect();
        let Some(given) = given else { refuse!("`columns` must be a list of strings") };
        if let Self::Rows { names, width, .. } = &mut table {
            if given.len() != *width && !items.is_empty() {
                refuse!("`columns` names {} columns, `data` has {width}", given.len());
            }
            *names = Some(given);
        }
        Ok(table)
    }

    pub(super) fn rows(&self) -> usize {
        match self {
            Self::Records(items) | Self::Rows { items, .. } => items.len(),
            Self::Columns { columns, .. } => columns.first().map_or(0, |column| column.len()),
        }
    }

    /// Whether the table has a column of this name (records: the first one).
    pub(super) fn has(&self, name: &str) -> bool {
        match self {
            Self::Records(items) => items.first().is_some_and(|first| first.get(name).is_some()),
            Self::Columns { names, .. } | Self::Rows { names: Some(names), .. } => names.contains(&name),
            Self::Rows { names: None, .. } => false,
        }
    }

    /// Every column, in the order in which they were sent.
    pub(super) fn all(&self) -> Order<'a> {
        match self {
            Self::Records(items) => {
                let names = match items.first() {
                    Some(Json::Object(fields)) => fields.iter().map(|(name, _)| name.as_str()).collect(),
                    _ => Vec::new(),
                };
                Order::named(names, false)
            }
            Self::Columns { columns, .. } => Order::At((0..columns.len()).collect()),
            Self::Rows { width, .. } => Order::At((0..*width).collect()),
        }
    }

    /// Where each of `wanted` lies; by position when there are no names on either side.
    pub(super) fn order<'n>(&self, wanted: Vec<&'n str>) -> Result<Order<'n>> {
        let names = match self {
            Self::Records(_) => return Ok(Order::named(wanted, true)),
            Self::Rows { names: None, width, .. } => {
                if *width != wanted.len() {
                    refuse!("{width} values per row, the model takes {}", wanted.len());
                }
                return Ok(Order::At((0..*width).collect()));
            }
            Self::Columns { names, .. } | Self::Rows { names: Some(names), .. } => names,
        };
        // The first of two columns of one name counts.
        let places: HashMap<&str, usize> =
            names.iter().enumerate().rev().map(|(at, name)| (*name, at)).collect();
        let at = wanted.iter().map(|name| {
            places.get(name).copied().ok_or_else(|| DecodeError(format!("column `{name}` is missing")))
        });
        Ok(Order::At(at.collect::<Result<_>>()?))
    }

    /// Puts the cells of one row into `cells`, in the model's order.
    pub(super) fn row(&self, row: usize, order: &Order<'_>, cells: &mut Vec<Option<&'a Json>>) -> Result<()> {
        cells.clear();
        match (self, order) {
            (Self::Columns { columns, .. }, Order::At(at)) => {
                cells.extend(at.iter().map(|&at| columns[at].get(row)));
            }
            (Self::Rows { items, .. }, Order::At(at)) => {
                let Json::Array(row) = &items[row] else { refuse!("row {row} is not a list") };
                cells.extend(at.iter().map(|&at| row.get(at)));
            }
            (Self::Records(items), Order::Named { names, places, others }) => {
                let Json::Object(fields) = &items[row] else { refuse!("row {row} is not an object") };
                cells.resize(names.len(), None);
                for (position, (name, value)) in fields.iter().enumerate() {
                    // Records usually keep the model's order of keys.
                    let place = if names.get(position) == Some(&name.as_str()) {
                        Some(position)
                    } else {
                        places.get(name.as_str()).copied()
                    };
                    match place {
                        Some(at) => cells[at] = Some(value),
                        None if *others => {}
                        None => refuse!("row 0: column `{}` is missing", shorten(name)),
                    }
                }
                if let Some(at) = cells.iter().position(Option::is_none) {
                    if items.iter().any(|item| item.get(names[at]).is_some()) {
                        refuse!("row {row}: column `{}` is missing", shorten(names[at]));
                    }
                    refuse!("column `{}` is missing", shorten(names[at]));
                }
            }
            _ => refuse!("the columns of this table cannot be matched"),
        }
        Ok(())
    }
}

impl<'n> Order<'n> {
    fn named(names: Vec<&'n str>, others: bool) -> Self {
        let places = names.iter().enumerate().map(|(at, name)| (*name, at)).collect();
        Self::Named { names, places, others }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::At(at) => at.len(),
            Self::Named { names, .. } => names.len(),
        }
    }
}
