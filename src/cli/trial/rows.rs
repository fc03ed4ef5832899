//! Rows as they were given: the text of JSON scalars, so that every body carries the very same digits.

use std::ops::Range;
use std::path::Path;

use crate::json::{Reader, push_f64, push_string};
use crate::model::{Signature, shorten};
use crate::tensor::{Datatype, Strings};

/// Most cells that are held: with the bodies of both sides, 4 million numbers are some 200 MB.
pub(super) const MAX_CELLS: usize = 1 << 22;

/// What pandas takes for a missing value.
const MISSING: [&str; 8] = ["", "NA", "N/A", "NaN", "nan", "null", "None", "#N/A"];

/// A table of `width` cells a row.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// Where they come from, for the report.
    pub(super) origin: String,
    /// Names of the columns, where any are known.
    pub(super) names: Option<Vec<String>>,
    pub(super) width: usize,
    cells: Strings,
}

/// The columns that the model takes, all inputs one after the other.
#[derive(Clone, Debug)]
pub(super) struct Columns {
    /// The type of each column.
    pub(super) types: Vec<Datatype>,
    /// For each input, how many columns belong to it.
    pub(super) widths: Vec<usize>,
    /// Their names: those of the manifest, or of the inputs if each is one column.
    pub(super) names: Option<Vec<String>>,
}

/// One request: some rows, and what is sent for them where it is given word by word.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    pub(super) rows: Range<usize>,
    pub(super) verbatim: Option<Vec<u8>>,
}

// === impl Rows ===

impl Rows {
    pub(super) fn new(origin: impl Into<String>, width: usize, names: Option<Vec<String>>) -> Self {
        Self { origin: origin.into(), names, width, cells: Strings::default() }
    }

    /// Appends one cell: a JSON scalar.
    pub(super) fn push(&mut self, cell: &[u8]) {
        self.cells.push(cell);
    }

    pub(super) fn len(&self) -> usize {
        self.cells.len().checked_div(self.width).unwrap_or(0)
    }

    pub(super) fn cell(&self, row: usize, column: usize) -> &[u8] {
        self.cells.get(row * self.width + column).unwrap_or(b"null")
    }

    /// The name of a column, or its number.
    pub(super) fn name(&self, column: usize) -> String {
        let names = self.names.as_ref().and_then(|names| names.get(column));
        names.cloned().unwrap_or_else(|| column.to_string())
    }

    /// Requests of `per` rows each; what does not fill one is left out, but for a single short one.
    pub(super) fn batches(&self, per: usize) -> Vec<Batch> {
        let whole = (0..self.len() / per).map(|n| n * per..(n + 1) * per);
        let ranges: Vec<Range<usize>> = whole.collect();
        let ranges = if ranges.is_empty() { std::iter::once(0..self.len()).collect() } else { ranges };
        ranges.into_iter().map(|rows| Batch { rows, verbatim: None }).collect()
    }
}

// === impl Columns ===

impl Columns {
    /// The columns of a signature. An input whose width the model leaves open takes the `open` columns that are there.
    ///
    /// # Errors
    /// When a width is left open and nothing tells it, or is beyond what can be held.
    pub(super) fn new(signature: &Signature, known: &[String], open: Option<usize>) -> Result<Self, String> {
        let (mut types, mut widths) = (Vec::new(), Vec::new());
        let only = signature.inputs.len() == 1;
        for spec in &signature.inputs {
            let inner = spec.shape.get(1..).unwrap_or_default();
            let mut width = 1_usize;
            for extent in inner {
                let extent = match usize::try_from(*extent) {
                    Ok(extent) => extent,
                    Err(_) if !only => 1,
                    Err(_) if !known.is_empty() => known.len(),
                    Err(_) if inner.len() == 1 => open.ok_or_else(|| {
                        format!("input `{}` does not say how many columns it takes: give rows with --data FILE.csv", spec.name)
                    })?,
                    Err(_) => 1,
                };
                width = width.saturating_mul(extent);
            }
            if width > MAX_CELLS {
                return Err(format!(
                    "input `{}` of shape {:?} is too large to be tried",
                    spec.name, spec.shape
                ));
            }
            widths.push(width);
            types.extend(std::iter::repeat_n(spec.datatype, width));
        }
        let names = if known.len() == types.len() && only {
            Some(known.to_vec())
        } else if widths.iter().all(|width| *width == 1) && !only {
            Some(signature.inputs.iter().map(|spec| spec.name.to_string()).collect())
        } else {
            None
        };
        Ok(Self { types, widths, names })
    }

    fn is_text(&self, column: usize) -> bool {
        self.types.get(column).is_some_and(|datatype| *datatype == Datatype::Bytes)
    }
}

/// Reads the first `limit` rows of a CSV file. Its header is matched to the names of the model's columns; where the model
/// names none, the columns count in their order, but for those in `dropped`.
///
/// # Errors
/// What does not fit, with its line and the way out.
pub(super) fn read_csv(
    path: &Path,
    signature: &Signature,
    known: &[String],
    dropped: &[String],
    limit: usize,
) -> Result<Rows, String> {
    let file = path.display();
    if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("parquet")) {
        return Err(format!(
            "{file}: Parquet is not read by this build; convert it: \
             python -c \"import pandas; pandas.read_parquet('{file}').to_csv('rows.csv', index=False)\""
        ));
    }
    let bytes = std::fs::File::open(path).map_err(|error| format!("{file}: {error}"))?;
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(bytes);
    let mut records = reader.records();
    let mut next = || records.next().transpose().map_err(|error| format!("{file}: {error}"));
    let first = next()?.ok_or_else(|| format!("{file} is empty"))?;
    let fields: Vec<String> =
        first.iter().map(|field| field.trim().trim_start_matches('\u{feff}').into()).collect();
    let open = fields.iter().filter(|field| !dropped.contains(field)).count();
    let columns = Columns::new(signature, known, Some(open))?;
    let all_numbers = !columns.types.contains(&Datatype::Bytes);
    let named = |field: &String| columns.names.as_ref().is_some_and(|names| names.contains(field));
    let is_header = fields.iter().any(named)
        || (all_numbers && fields.iter().any(|field| scalar(field, false).is_none()));
    let header = is_header.then_some(fields.as_slice());
    let places = places(&columns, header, fields.len(), dropped).map_err(|text| format!("{file}: {text}"))?;
    let names = columns.names.clone().or_else(|| {
        header.map(|header| places.iter().filter_map(|place| header.get(*place).cloned()).collect())
    });
    let mut rows = Rows::new(file.to_string(), columns.types.len(), names);
    let mut record = if is_header { next()? } else { Some(first) };
    while let Some(fields) = record {
        if rows.len() == limit {
            break;
        }
        if (rows.len() + 1) * rows.width > MAX_CELLS {
            return Err(format!("{file}: more than {MAX_CELLS} cells; take fewer rows with -n"));
        }
        for (column, place) in places.iter().enumerate() {
            let field = fields.get(*place).unwrap_or_default();
            let Some(cell) = scalar(field, columns.is_text(column)) else {
                let line = fields.position().map_or(0, csv::Position::line);
                return Err(format!(
                    "{file}, line {line}: column `{}` takes numbers, got text; leave it out with --drop if it is no feature",
                    shorten(&rows.name(column))
                ));
            };
            rows.push(&cell);
        }
        record = next()?;
    }
    if rows.len() == 0 { Err(format!("{file} has no rows")) } else { Ok(rows) }
}

/// Where in the file each of the model's columns lies.
fn places(
    columns: &Columns,
    header: Option<&[String]>,
    width: usize,
    dropped: &[String],
) -> Result<Vec<usize>, String> {
    if let (Some(names), Some(header)) = (&columns.names, header) {
        let place = |name: &String| header.iter().position(|field| field == name);
        let missing: Vec<&str> =
            names.iter().filter(|name| place(name).is_none()).map(String::as_str).take(5).collect();
        if missing.is_empty() {
            return Ok(names.iter().filter_map(place).collect());
        }
        return Err(format!("the model's column `{}` is not in the header", missing.join("`, `")));
    }
    let unknown = dropped.iter().find(|name| !header.is_some_and(|header| header.contains(name)));
    if let Some(name) = unknown {
        return Err(format!("there is no column `{}` to --drop", shorten(name)));
    }
    let kept = |place: &usize| {
        !header.and_then(|header| header.get(*place)).is_some_and(|name| dropped.contains(name))
    };
    let places: Vec<usize> = (0..width).filter(kept).collect();
    if places.len() == columns.types.len() {
        return Ok(places);
    }
    let last = header.and_then(|header| header.last());
    let hint = match last {
        Some(last) if places.len() > columns.types.len() => {
            format!("; leave out what is no feature: --drop NAME (the last column is `{}`)", shorten(last))
        }
        _ => String::new(),
    };
    Err(format!("{} columns, the model takes {}{hint}", places.len(), columns.types.len()))
}

/// A field as a JSON scalar; `None` when it is no number where one is needed.
fn scalar(field: &str, text: bool) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    if text {
        push_string(&mut out, field.as_bytes());
        return Some(out);
    }
    let field = field.trim();
    if MISSING.contains(&field) {
        return Some(b"null".to_vec());
    }
    let mut reader = Reader::new(field.as_bytes());
    if reader.number().is_ok_and(|number| !number.is_token()) && reader.end().is_ok() {
        return Some(field.as_bytes().to_vec());
    }
    // What Rust reads and JSON does not: `.5`, `+1`, `1.`.
    match field.parse::<f64>() {
        Ok(number) if number.is_finite() => push_f64(&mut out, number, false),
        _ if field.eq_ignore_ascii_case("true") => out.extend_from_slice(b"true"),
        _ if field.eq_ignore_ascii_case("false") => out.extend_from_slice(b"false"),
        _ => return None,
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::TensorSpec;

    fn input(name: &str, datatype: Datatype, shape: &[i64]) -> TensorSpec {
        TensorSpec { name: name.into(), datatype, shape: shape.to_vec(), labels: None }
    }

    fn read(
        text: &str,
        inputs: Vec<TensorSpec>,
        known: &[&str],
        dropped: &[&str],
    ) -> Result<Vec<String>, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rows.csv");
        std::fs::write(&path, text).unwrap();
        let signature = Signature { inputs, outputs: Vec::new() };
        let owned = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
        let rows = read_csv(&path, &signature, &owned(known), &owned(dropped), 10)?;
        let line = |row| {
            let cells =
                (0..rows.width).map(|column| String::from_utf8(rows.cell(row, column).to_vec()).unwrap());
            cells.collect::<Vec<_>>().join(" ")
        };
        Ok((0..rows.len()).map(line).collect())
    }

    #[test]
    fn columns_are_matched_by_name_or_taken_in_order() {
        let matrix = || vec![input("x", Datatype::Fp32, &[-1, 2])];
        assert_eq!(read("1,2\n3,\n", matrix(), &[], &[]).unwrap(), ["1 2", "3 null"]);
        assert_eq!(read("a,b\n1,.5\n", matrix(), &[], &[]).unwrap(), ["1 0.5"], "a header is no row");
        assert_eq!(read("b,a,y\n1,2,no\n", matrix(), &["a", "b"], &[]).unwrap(), ["2 1"]);
        assert_eq!(read("a,b,y\n1,NaN,0\n", matrix(), &[], &["y"]).unwrap(), ["1 null"]);
        let open = vec![input("x", Datatype::Fp32, &[-1, -1])];
        assert_eq!(read("a,b,c\n1,2,3\n", open, &[], &[]).unwrap(), ["1 2 3"]);
        let two = vec![input("n", Datatype::Fp32, &[-1, 1]), input("s", Datatype::Bytes, &[-1, 1])];
        assert_eq!(read("s,n\n\"a \"\"b\",7\n,\n", two, &[], &[]).unwrap(), ["7 \"a \\\"b\"", "null \"\""]);
    }

    #[test]
    fn what_does_not_fit_says_how_to_make_it_fit() {
        let matrix = || vec![input("x", Datatype::Fp32, &[-1, 2])];
        for (text, known, part) in [
            (
                "a,b,target\n1,2,3\n",
                &[][..],
                "3 columns, the model takes 2; leave out what is no feature: --drop NAME (the last column is `target`)",
            ),
            ("a,c\n1,2\n", &["a", "b"], "the model's column `b` is not in the header"),
            ("a,b\n1,x\n", &[], "line 2: column `b` takes numbers, got text"),
            ("a,b\n", &[], "has no rows"),
            ("", &[], "is empty"),
        ] {
            let error = read(text, matrix(), known, &[]).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
        let error = read_csv(Path::new("a.parquet"), &Signature::default(), &[], &[], 1).unwrap_err();
        assert!(error.contains("to_csv"), "{error}");
    }

    #[test]
    fn requests_hold_whole_batches() {
        let mut rows = Rows::new("", 1, None);
        (0..7).for_each(|_| rows.push(b"1"));
        let ranges = |per| rows.batches(per).into_iter().map(|batch| batch.rows).collect::<Vec<_>>();
        assert_eq!(ranges(3), [0..3, 3..6]);
        assert_eq!(ranges(9), std::iter::once(0..7).collect::<Vec<_>>());
    }
}
