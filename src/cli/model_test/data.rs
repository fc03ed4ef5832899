//! Rows of a CSV file, as the model takes them, and the column that should be predicted.

use std::path::Path;

use crate::cli::csv_file::{CsvFile, Wanted};
use crate::cli::peer::wire;
use crate::model::Signature;
use crate::tensor::Tensor;

/// A CSV file with a header.
pub(super) struct Table {
    file: CsvFile,
    /// The target's name.
    target: Option<String>,
    /// What the rows are, for details.
    pub(super) source: String,
}

// === impl Table ===

impl Table {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read, is no CSV, has no rows, or no such target.
    pub(super) fn read(path: &Path, target: Option<&str>) -> Result<Self, String> {
        let file = CsvFile::read(path, usize::MAX)?;
        if file.records.is_empty() {
            return Err(format!("{} has no rows below its header", file.name));
        }
        if let Some(target) = target.filter(|target| !file.first.iter().any(|name| name == target)) {
            let names = file.first.join(", ");
            return Err(format!("{} has no column `{target}`; its columns are {names}", file.name));
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let source = format!("{} rows of {name}", file.records.len());
        Ok(Self { file, target: target.map(str::to_owned), source })
    }

    /// The target, row by row.
    pub(super) fn target(&self) -> Option<Vec<&str>> {
        let target = self.target.as_ref()?;
        let at = self.file.first.iter().position(|name| name == target)?;
        Some(self.file.records.iter().map(|record| record.get(at).unwrap_or_default().trim()).collect())
    }

    /// The rows as inputs.
    ///
    /// # Errors
    /// A column that is missing, a value that does not fit.
    pub(super) fn inputs(&self, signature: &Signature, known: &[String]) -> Result<Vec<Tensor>, String> {
        let dropped: Vec<String> = self.target.iter().cloned().collect();
        let all = usize::MAX;
        let wanted =
            Wanted { signature, known, dropped: &dropped, header: true, most_rows: all, most_cells: all };
        let (rows, columns) = self.file.rows(&wanted)?;
        Ok(wire::request(signature, &columns, &rows, &(0..rows.len()))?.inputs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::TensorSpec;
    use crate::tensor::{Data, Datatype};

    fn table(csv: &str, target: Option<&str>) -> Result<Table, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d.csv");
        std::fs::write(&path, csv).unwrap();
        Table::read(&path, target)
    }

    fn spec(name: &str, datatype: Datatype, shape: &[i64]) -> TensorSpec {
        TensorSpec { name: name.into(), datatype, shape: shape.to_vec(), labels: None }
    }

    #[test]
    fn columns_find_their_inputs_and_values_their_types() {
        let signature = Signature {
            inputs: vec![
                spec("x", Datatype::Fp32, &[-1, 1]),
                spec("zip", Datatype::Bytes, &[-1, 1]),
                spec("n", Datatype::Int64, &[-1, 1]),
                spec("b", Datatype::Bool, &[-1, 1]),
            ],
            outputs: Vec::new(),
        };
        let table = table("y,zip,x,extra,n,b\nyes,0123,.5,?,7,True\nno,NA,NA,?,-1,0\n", Some("y")).unwrap();
        assert_eq!(table.target(), Some(vec!["yes", "no"]));
        assert_eq!(table.source, "2 rows of d.csv");
        let inputs = table.inputs(&signature, &[]).unwrap();
        let Data::Fp32(x) = &inputs[0].data else { panic!() };
        assert!(x[0] == 0.5 && x[1].is_nan());
        assert_eq!(inputs[1].data, Data::Bytes(["0123", "NA"].into_iter().collect()));
        assert_eq!(
            (&inputs[2].data, &inputs[3].data),
            (&Data::Int64(vec![7, -1]), &Data::Bool(vec![true, false]))
        );
    }

    #[test]
    fn one_matrix_takes_columns_by_the_manifest_s_names_or_in_order_without_the_target() {
        let signature =
            Signature { inputs: vec![spec("input", Datatype::Fp32, &[-1, 2])], outputs: Vec::new() };
        let table = table("b,y,a\n1,9,2\n3,9,4\n", Some("y")).unwrap();
        let values = |columns: &[&str]| {
            let columns: Vec<String> = columns.iter().map(ToString::to_string).collect();
            table.inputs(&signature, &columns).map(|inputs| inputs[0].data.clone())
        };
        assert_eq!(values(&[]), Ok(Data::Fp32(vec![1.0, 2.0, 3.0, 4.0])));
        assert_eq!(values(&["a", "b"]), Ok(Data::Fp32(vec![2.0, 1.0, 4.0, 3.0])));
        assert!(
            values(&["a", "c"])
                .unwrap_err()
                .ends_with("line 1 lacks the model's column `c`; it holds `b`, `y`, `a`")
        );
    }

    #[test]
    fn what_is_no_table_says_so() {
        for (csv, target, words) in [
            ("a,b\n", None, "no rows"),
            ("a,b\n1,2\n", Some("c"), "no column `c`; its columns are a, b"),
            ("a,b\n1\n", None, "d.csv, line 2: 1 fields"),
        ] {
            let error = table(csv, target).err().unwrap();
            assert!(error.contains(words), "{error}");
        }
    }
}
