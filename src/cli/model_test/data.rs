//! Rows of a CSV file, as the model takes them, and the column that should be predicted.

use std::path::Path;

use crate::json::{Reader, push_f64, push_string};
use crate::model::Signature;
use crate::protocol::{Policy, Request, table};
use crate::tensor::{Datatype, Tensor};

/// A CSV file with a header.
pub(super) struct Table {
    names: Vec<String>,
    records: Vec<csv::StringRecord>,
    /// The target's place.
    target: Option<usize>,
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
        let named = |error: csv::Error| format!("{}: {error}", path.display());
        let mut reader = csv::Reader::from_path(path).map_err(named)?;
        let names: Vec<String> =
            reader.headers().map_err(named)?.iter().map(|n| n.trim().to_owned()).collect();
        let records: Vec<_> = reader.records().collect::<Result<_, _>>().map_err(named)?;
        if records.is_empty() {
            return Err(format!("{} has no rows below its header", path.display()));
        }
        let find = |target: &str| {
            let missing = || {
                format!("{} has no column `{target}`; its columns are {}", path.display(), names.join(", "))
            };
            names.iter().position(|name| name == target).ok_or_else(missing)
        };
        let target = target.map(find).transpose()?;
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let source = format!("{} rows of {file}", records.len());
        Ok(Self { names, records, target, source })
    }

    /// The target, row by row.
    pub(super) fn target(&self) -> Option<Vec<&str>> {
        let at = self.target?;
        Some(self.records.iter().map(|record| record.get(at).unwrap_or_default().trim()).collect())
    }

    /// The rows as inputs, matched by name as `/predict` does.
    ///
    /// # Errors
    /// In the words of `/predict`: a column that is missing, a value that does not fit.
    pub(super) fn inputs(&self, signature: &Signature, columns: &[String]) -> Result<Vec<Tensor>, String> {
        let features: Vec<usize> = (0..self.names.len()).filter(|at| Some(*at) != self.target).collect();
        let one = matches!(signature.inputs.as_slice(), [spec] if spec.shape.len() == 2);
        let datatype = |name: &str| {
            let spec = signature.inputs.iter().find(|spec| one || *spec.name == *name);
            spec.map(|spec| spec.datatype)
        };
        let types: Vec<Option<Datatype>> = features.iter().map(|at| datatype(&self.names[*at])).collect();
        let mut body = b"{\"columns\":".to_vec();
        push_list(&mut body, &features, |body, at| push_string(body, self.names[*at].as_bytes()));
        body.extend_from_slice(b",\"data\":");
        push_list(&mut body, &self.records, |body, record| {
            let cells: Vec<_> = features.iter().zip(&types).collect();
            push_list(body, &cells, |body, (at, datatype)| {
                push_cell(body, record.get(**at).unwrap_or_default(), **datatype);
            });
        });
        body.push(b'}');
        let mut request = Request::default();
        let policy = Policy { max_rows: usize::MAX, reject_non_finite: false };
        table::decode(&body, signature, columns, policy, &mut request).map_err(|error| error.to_string())?;
        Ok(request.inputs)
    }
}

fn push_list<T>(out: &mut Vec<u8>, items: &[T], mut push: impl FnMut(&mut Vec<u8>, &T)) {
    out.push(b'[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push(out, item);
    }
    out.push(b']');
}

/// A cell as the JSON that its input reads: text stays text, and what stands for a missing number is null.
fn push_cell(out: &mut Vec<u8>, text: &str, datatype: Option<Datatype>) {
    let trimmed = text.trim();
    match (datatype, trimmed.to_ascii_lowercase().as_str()) {
        (Some(Datatype::Bytes) | None, _) => push_string(out, text.as_bytes()),
        (Some(Datatype::Bool), "true" | "1") => out.extend_from_slice(b"true"),
        (Some(Datatype::Bool), "false" | "0") => out.extend_from_slice(b"false"),
        (_, "" | "na" | "nan" | "null" | "none" | "n/a") => out.extend_from_slice(b"null"),
        _ => {
            let mut reader = Reader::new(trimmed.as_bytes());
            match (reader.number().is_ok() && reader.end().is_ok(), trimmed.parse::<f64>()) {
                (true, _) => out.extend_from_slice(trimmed.as_bytes()),
                (false, Ok(number)) if number.is_finite() => push_f64(out, number, false),
                _ => push_string(out, text.as_bytes()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::TensorSpec;
    use crate::tensor::Data;

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
        assert_eq!(values(&["a", "c"]), Err("column `c` is missing".into()));
    }

    #[test]
    fn what_is_no_table_says_so() {
        for (csv, target, words) in [
            ("a,b\n", None, "no rows"),
            ("a,b\n1,2\n", Some("c"), "no column `c`; its columns are a, b"),
            ("a,b\n1\n", None, "d.csv: "),
        ] {
            let error = table(csv, target).err().unwrap();
            assert!(error.contains(words), "{error}");
        }
    }
}
