//! Parquet files as the same table that a CSV file is: what a field holds is written out as CSV would hold it.

use std::error::Error;
use std::fs::File;
use std::path::Path;

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;

use super::csv_file::CsvFile;

/// Reads the column names and at most `limit` rows.
///
/// # Errors
/// What the file is not, or holds that a table cannot.
pub(super) fn read(path: &Path, limit: usize) -> Result<CsvFile, Box<dyn Error>> {
    let reader = SerializedFileReader::new(File::open(path)?)?;
    let fields = reader.metadata().file_metadata().schema_descr().root_schema().get_fields();
    let first: Vec<String> = fields.iter().map(|field| field.name().to_owned()).collect();
    let mut records = Vec::new();
    for row in reader.get_row_iter(None)?.take(limit) {
        let row = row?;
        let cells = row.get_column_iter().map(|(name, field)| {
            text(field).ok_or_else(|| format!("column `{name}` holds neither numbers nor texts"))
        });
        records.push(cells.collect::<Result<csv::StringRecord, String>>()?);
    }
    Ok(CsvFile { name: path.display().to_string(), first, records, titled: true })
}

/// A field as a CSV file would hold it; `None` for what has no such form.
fn text(field: &Field) -> Option<String> {
    Some(match field {
        Field::Null => String::new(),
        Field::Bool(value) => u8::from(*value).to_string(),
        Field::Float(value) => value.to_string(),
        Field::Double(value) => value.to_string(),
        Field::Str(value) => value.clone(),
        Field::Group(_) | Field::ListInternal(_) | Field::MapInternal(_) | Field::Bytes(_) => return None,
        // Integers of every width, dates and decimals.
        other => other.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_written_by_pandas_is_read() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/rows.parquet");
        let table = read(&file, 10).unwrap();
        assert_eq!(table.first, ["a", "b", "c", "d"]);
        let rows: Vec<Vec<&str>> = table.records.iter().map(|record| record.iter().collect()).collect();
        assert_eq!(
            rows,
            [
                ["1.5", "7", "ant", "1"],
                ["", "-8", "", "0"],
                ["1000000000000000000000000000000", "9", "bee", "1"]
            ]
        );
        assert_eq!(read(&file, 1).unwrap().records.len(), 1);
    }
}
