//! Rows of a CSV file as a model takes them, for `sidegate try` and `sidegate test`.

use std::path::Path;

use super::rows::{Columns, Rows};
use crate::json::{Reader, push_f64, push_string};
use crate::model::{Signature, shorten};
use crate::tensor::Datatype;

/// What stands for a missing number, whatever the case: what pandas takes for one, and what databases write.
const MISSING: [&str; 10] = ["", "na", "n/a", "#n/a", "<na>", "nan", "-nan", "null", "none", "\\n"];

/// The text of a file.
pub(super) struct CsvFile {
    /// As the user named it.
    pub(super) name: String,
    /// The fields of line 1, a header or not.
    pub(super) first: Vec<String>,
    /// Whether line 1 is known to be a header.
    pub(super) titled: bool,
    /// All other lines.
    pub(super) records: Vec<csv::StringRecord>,
}

/// What is looked for in a file.
pub(super) struct Wanted<'a> {
    pub(super) signature: &'a Signature,
    /// The names of the only input's columns, where they are known.
    pub(super) known: &'a [String],
    /// Columns that are no features.
    pub(super) dropped: &'a [String],
    /// Whether line 1 is a header in any case; else it is one when it cannot be a row.
    pub(super) header: bool,
    pub(super) most_rows: usize,
    pub(super) most_cells: usize,
}

#[cfg(feature = "parquet")]
fn parquet(path: &Path, name: String, limit: usize) -> Result<CsvFile, String> {
    super::parquet_file::read(path, limit).map_err(|error| format!("{name}: {error}"))
}

#[cfg(not(feature = "parquet"))]
fn parquet(_path: &Path, name: String, _limit: usize) -> Result<CsvFile, String> {
    Err(format!(
        "{name}: Parquet is not read by this build; build it with `--features parquet`, or convert the file: \
         python -c \"import pandas; pandas.read_parquet('{name}').to_csv('rows.csv', index=False)\""
    ))
}

// === impl CsvFile ===

impl CsvFile {
    /// Reads line 1 and at most `limit` more.
    ///
    /// # Errors
    /// When it cannot be read, is empty or no CSV, with the line.
    pub(super) fn read(path: &Path, limit: usize) -> Result<Self, String> {
        let name = path.display().to_string();
        if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("parquet")) {
            return parquet(path, name, limit);
        }
        let file = std::fs::File::open(path).map_err(|error| format!("{name}: {error}"))?;
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(file);
        let mut records = reader.records().map(|record| {
            record.map_err(|error| match error.kind() {
                csv::ErrorKind::UnequalLengths { pos, expected_len, len } => {
                    let line = pos.as_ref().map_or(0, csv::Position::line);
                    format!("{name}, line {line}: {len} fields, where line 1 has {expected_len}")
                }
                _ => format!("{name}: {error}"),
            })
        });
        let first = records.next().ok_or_else(|| format!("{name} is empty"))??;
        let first = first.iter().map(|field| field.trim().trim_start_matches('\u{feff}').into()).collect();
        let records = records.take(limit).collect::<Result<_, _>>()?;
        Ok(Self { name, first, records, titled: false })
    }

    /// The rows that a model takes: columns by the names that the model knows, else in their order.
    ///
    /// # Errors
    /// What does not fit, with its line and column and the way out.
    pub(super) fn rows(&self, wanted: &Wanted<'_>) -> Result<(Rows, Columns), String> {
        let name = &self.name;
        let at_file = |text: String| format!("{name}: {text}");
        let open = self.first.iter().filter(|field| !wanted.dropped.contains(field)).count();
        let columns = Columns::new(wanted.signature, wanted.known, Some(open))?;
        let is_header = self.starts_with_header(wanted, &columns);
        if let Some(unknown) = wanted.dropped.iter().find(|name| !(is_header && self.first.contains(name))) {
            return Err(at_file(format!("there is no column `{}` to --drop", shorten(unknown))));
        }
        let places = if is_header { self.named(wanted, &columns) } else { None };
        let places = places.unwrap_or_else(|| self.in_order(wanted, &columns, is_header)).map_err(at_file)?;
        let header = |place: &usize| self.first.get(*place).cloned();
        let names =
            columns.names.clone().or_else(|| is_header.then(|| places.iter().filter_map(header).collect()));
        let mut rows = Rows::new(name.as_str(), columns.types.len(), names);
        let one = csv::StringRecord::from(self.first.as_slice());
        let one = (!is_header).then_some(&one);
        for record in one.into_iter().chain(&self.records).take(wanted.most_rows) {
            if (rows.len() + 1).saturating_mul(rows.width) > wanted.most_cells {
                return Err(at_file(format!(
                    "more than {} cells; take fewer rows with -n",
                    wanted.most_cells
                )));
            }
            for (column, (place, datatype)) in places.iter().zip(&columns.types).enumerate() {
                let cell = cell(record.get(*place).unwrap_or_default(), *datatype).map_err(|wrong| {
                    let line = record.position().map_or(1, csv::Position::line);
                    format!("{name}, line {line}: column `{}` {wrong}", shorten(&rows.name(column)))
                })?;
                rows.push(&cell);
            }
        }
        if rows.len() == 0 { Err(format!("{name} has no rows")) } else { Ok((rows, columns)) }
    }

    /// Whether line 1 is a header: it holds names that are known, or it cannot be a row.
    fn starts_with_header(&self, wanted: &Wanted<'_>, columns: &Columns) -> bool {
        let known = columns.names.as_deref().unwrap_or_default();
        if wanted.header
            || self.titled
            || self.first.iter().any(|f| known.contains(f) || wanted.dropped.contains(f))
        {
            return true;
        }
        let is_text =
            |(field, datatype): (&String, &Datatype)| *datatype != Datatype::Bytes && number(field).is_none();
        if known.is_empty() {
            // Columns may be too many here, and nothing but their type is known.
            let all_numbers = !columns.types.contains(&Datatype::Bytes);
            return all_numbers && self.first.iter().any(|field| number(field).is_none());
        }
        self.first.len() < columns.types.len() || self.first.iter().zip(&columns.types).any(is_text)
    }

    /// Where the columns lie that the model knows by name; `None` where it knows none.
    fn named(&self, wanted: &Wanted<'_>, columns: &Columns) -> Option<Result<Vec<usize>, String>> {
        let place = |name: &String| {
            self.first.iter().position(|field| field == name && !wanted.dropped.contains(field))
        };
        let Some(names) = &columns.names else {
            // A single column may be called what its input is.
            let [input] = wanted.signature.inputs.as_slice() else { return None };
            let found = if columns.types.len() == 1 { place(&input.name.to_string()) } else { None };
            return found.map(|place| Ok(vec![place]));
        };
        let missing: Vec<&str> = names.iter().filter(|n| place(n).is_none()).map(String::as_str).collect();
        if missing.is_empty() {
            return Some(Ok(names.iter().filter_map(place).collect()));
        }
        let there: Vec<&str> = self.first.iter().map(String::as_str).collect();
        let (word, missing, there) =
            (if missing.len() == 1 { "column" } else { "columns" }, listed(&missing), listed(&there));
        Some(Err(format!("line 1 lacks the model's {word} {missing}; it holds {there}")))
    }

    /// All columns that are not dropped, as many as the model takes.
    fn in_order(
        &self,
        wanted: &Wanted<'_>,
        columns: &Columns,
        is_header: bool,
    ) -> Result<Vec<usize>, String> {
        let kept = |place: &usize| !is_header || !wanted.dropped.contains(&self.first[*place]);
        let places: Vec<usize> = (0..self.first.len()).filter(kept).collect();
        if places.len() == columns.types.len() {
            return Ok(places);
        }
        let hint = match self.first.last() {
            Some(last) if is_header && !wanted.header && places.len() > columns.types.len() => {
                format!(
                    "; leave out what is no feature: --drop NAME (the last column is `{}`)",
                    shorten(last)
                )
            }
            _ => String::new(),
        };
        Err(format!("{} columns, the model takes {}{hint}", places.len(), columns.types.len()))
    }
}

/// The first of some names.
fn listed(names: &[&str]) -> String {
    let shown: Vec<String> = names.iter().take(8).map(|name| format!("`{}`", shorten(name))).collect();
    let more = names.len() - shown.len();
    let rest = if more == 0 { String::new() } else { format!(" and {more} more") };
    shown.join(", ") + &rest
}

/// A field as the JSON scalar that an element of this type is read from, or what is wrong with it.
fn cell(field: &str, datatype: Datatype) -> Result<Vec<u8>, String> {
    if datatype == Datatype::Bytes {
        let mut out = Vec::new();
        push_string(&mut out, field.as_bytes());
        return Ok(out);
    }
    let value = number(field).ok_or("takes numbers, got text; leave it out if it is no feature")?;
    match (datatype, value.as_slice()) {
        (datatype, _) if datatype.is_float() => {}
        (_, b"null") => return Err(format!("has no value, and {datatype} has no form for that")),
        (Datatype::Bool, b"1") => return Ok(b"true".to_vec()),
        (Datatype::Bool, b"0") => return Ok(b"false".to_vec()),
        (Datatype::Bool, b"true" | b"false") => {}
        (Datatype::Bool, _) => return Err("takes true or false".into()),
        _ if field.trim().parse::<f64>().is_ok_and(|number| number.fract() == 0.0) => {}
        _ => return Err(format!("takes whole numbers, being {datatype}")),
    }
    Ok(value)
}

/// A field as a JSON number, boolean or null; `None` when it is a text. Digits stay as they are.
fn number(field: &str) -> Option<Vec<u8>> {
    let field = field.trim();
    if MISSING.iter().any(|missing| field.eq_ignore_ascii_case(missing)) {
        return Some(b"null".to_vec());
    }
    let mut reader = Reader::new(field.as_bytes());
    if reader.number().is_ok_and(|number| !number.is_token()) && reader.end().is_ok() {
        return Some(field.as_bytes().to_vec());
    }
    // What Rust reads and JSON does not: `.5`, `+1`, `1.`.
    let mut out = Vec::new();
    match field.parse::<f64>() {
        Ok(number) if number.is_finite() => push_f64(&mut out, number, false),
        _ if field.eq_ignore_ascii_case("true") => out.extend_from_slice(b"true"),
        _ if field.eq_ignore_ascii_case("false") => out.extend_from_slice(b"false"),
        _ => return None,
    }
    Some(out)
}

#[cfg(test)]
mod tests;
