//! The easy forms of `/predict` and `/invocations`: records, columns, rows and CSV, matched by column name.

mod csv;
mod json;

pub use csv::decode_csv;
pub use json::Json;

use super::{
    DecodeError, Flags, Policy, Request, Result, check_shape, find_input, push_cell, refuse, set_shape,
};
use crate::json::{Reader, push_string};
use crate::model::{Signature, TensorSpec, shorten};
use crate::protocol::oip;
use crate::tensor::Tensor;

/// Cells by column, with names where the form has them.
struct Table<'a> {
    names: Option<Vec<&'a str>>,
    /// A cell is `None` where a record lacks the field; that matters only if the model takes it.
    columns: Vec<Vec<Option<&'a Json>>>,
    rows: usize,
}

/// Decodes a JSON body in any of the forms; `columns` are the manifest's feature names of a model with one
/// tensor input.
///
/// # Errors
/// Whatever does not fit, in words for the client: a missing column by its name.
pub fn decode(
    body: &[u8],
    signature: &Signature,
    columns: &[String],
    policy: Policy,
    request: &mut Request,
) -> Result<()> {
    let mut reader = Reader::new(body);
    let document = Json::read(&mut reader)?;
    reader.end()?;
    if is_oip(&document) {
        return oip::decode(body, None, signature, policy, request);
    }
    request.reset(signature);
    if let Some(Json::String(id)) = document.get("id") {
        request.id.extend_from_slice(&id[..id.len().min(super::MAX_ID_BYTES)]);
    }
    fill(unwrap(&document)?, signature, columns, policy, request)
}

/// Whether a document is an OIP request: `inputs` is a list of objects with a `datatype`.
fn is_oip(document: &Json) -> bool {
    matches!(document.get("inputs"), Some(Json::Array(inputs)) if inputs.first().is_some_and(|i| i.get("datatype").is_some()))
}

/// What a wrapper key says about the form inside.
enum Form<'a> {
    Any(&'a Json),
    Split { columns: &'a Json, data: &'a Json },
}

/// Keys under which the data may lie, as this gateway, TF Serving, KServe v1 and MLflow name them.
const WRAPPERS: [&str; 8] =
    ["records", "columns", "rows", "instances", "data", "dataframe_records", "dataframe_split", "inputs"];

fn unwrap(document: &Json) -> Result<Form<'_>> {
    let Json::Object(entries) = document else { return Ok(Form::Any(document)) };
    if let (Some(columns @ Json::Array(names)), Some(data)) = (document.get("columns"), document.get("data"))
        && names.iter().all(|n| matches!(n, Json::String(_)))
    {
        return Ok(Form::Split { columns, data });
    }
    // A wrapper stands alone or beside scalars (`id`, `params`); two lists of data would be ambiguous.
    let mut wrapped = entries.iter().filter(|(key, value)| {
        WRAPPERS.contains(&key.as_str()) && matches!(value, Json::Array(_) | Json::Object(_))
    });
    match (wrapped.next(), wrapped.next()) {
        (Some((key, _)), Some((other, _))) => refuse!("the data is given under both `{key}` and `{other}`"),
        (Some((key, value)), None) if key == "dataframe_split" => {
            match (value.get("columns"), value.get("data")) {
                (Some(columns), Some(data)) => Ok(Form::Split { columns, data }),
                _ => refuse!("`dataframe_split` needs `columns` and `data`"),
            }
        }
        (Some((_, value)), None) => Ok(Form::Any(value)),
        _ => Ok(Form::Any(document)),
    }
}

fn fill(
    form: Form<'_>,
    signature: &Signature,
    columns: &[String],
    policy: Policy,
    request: &mut Request,
) -> Result<()> {
    let table = match form {
        Form::Split { columns, data } => Table::split(columns, data)?,
        Form::Any(Json::Array(items)) => match items.first() {
            None => refuse!("there are no rows"),
            Some(Json::Object(_)) => Table::records(items)?,
            // One tensor input of rank 3 and more, or a bare list of scalars, takes each item whole.
            Some(first) => {
                if let [spec] = signature.inputs.as_slice()
                    && (spec.shape.len() > 2 || !matches!(first, Json::Array(_)))
                {
                    return whole_items(items, spec, policy, request);
                }
                Table::positional(items)?
            }
        },
        Form::Any(Json::Object(entries)) => Table::by_column(entries)?,
        Form::Any(other) => refuse!("expected a list or an object with the data, got {}", other.kind()),
    };
    if table.rows > policy.max_rows {
        refuse!("{} rows, at most {} are accepted", table.rows, policy.max_rows);
    }
    table.fill(signature, columns, policy, request)
}

/// Each item of `items` is one row of the only input, flattened.
fn whole_items(items: &[Json], spec: &TensorSpec, policy: Policy, request: &mut Request) -> Result<()> {
    let mut flags = Flags::default();
    let mut shape: Vec<usize> = vec![items.len()];
    items[0].shape(&mut shape);
    // A list of scalars for an input [-1, 1] is a column.
    if shape.len() == 1 && spec.shape.len() == 2 {
        shape.push(1);
    }
    let count = check_shape(spec, &shape, policy)?;
    let tensor = &mut request.inputs[0];
    set_shape(tensor, &shape);
    for item in items {
        item.each_scalar(&mut |cell| push_cell(&mut tensor.data, cell, &spec.name, &mut flags, policy))?;
    }
    if tensor.data.len() != count {
        refuse!("input `{}`: the items are ragged", spec.name);
    }
    request.non_finite_tokens = flags.non_finite_tokens;
    Ok(())
}

impl<'a> Table<'a> {
    fn records(items: &'a [Json]) -> Result<Self> {
        let mut names: Vec<&str> = Vec::new();
        let mut columns: Vec<Vec<Option<&Json>>> = Vec::new();
        for (row, item) in items.iter().enumerate() {
            let Json::Object(fields) = item else { refuse!("row {row} is not an object") };
            for (position, (name, value)) in fields.iter().enumerate() {
                // Records usually keep one order of keys, so the column is where the last record had it.
                let at = if names.get(position) == Some(&name.as_str()) {
                    position
                } else {
                    names.iter().position(|n| n == name).unwrap_or(names.len())
                };
                if at == names.len() {
                    names.push(name);
                    columns.push(vec![None; row]);
                }
                columns[at].push(Some(value));
            }
            columns.iter_mut().for_each(|column| column.resize(row + 1, None));
        }
        Ok(Self { names: Some(names), columns, rows: items.len() })
    }

    fn by_column(entries: &'a [(String, Json)]) -> Result<Self> {
        let mut table = Self { names: Some(Vec::new()), columns: Vec::new(), rows: 0 };
        let mut rows = None;
        for (name, value) in entries {
            let Json::Array(cells) = value else { continue };
            if *rows.get_or_insert(cells.len()) != cells.len() {
                refuse!("column `{}` has {} rows, others {}", shorten(name), cells.len(), rows.unwrap_or(0));
            }
            table.names.get_or_insert_default().push(name);
            table.columns.push(cells.iter().map(Some).collect());
        }
        let Some(rows) = rows else { refuse!("no column holds a list of values") };
        table.rows = rows;
        Ok(table)
    }

    fn positional(items: &'a [Json]) -> Result<Self> {
        let mut columns: Vec<Vec<Option<&Json>>> = Vec::new();
        for (row, item) in items.iter().enumerate() {
            let Json::Array(cells) = item else { refuse!("row {row} is not a list") };
            if row == 0 {
                columns = cells.iter().map(|_| Vec::with_capacity(items.len())).collect();
            }
            if cells.len() != columns.len() {
                refuse!("row {row} has {} values, the first {}", cells.len(), columns.len());
            }
            columns.iter_mut().zip(cells).for_each(|(column, cell)| column.push(Some(cell)));
        }
        Ok(Self { names: None, columns, rows: items.len() })
    }

    fn split(names: &'a Json, data: &'a Json) -> Result<Self> {
        let (Json::Array(names), Json::Array(items)) = (names, data) else {
            refuse!("`columns` and `data` must be lists");
        };
        let mut table = Self::positional(items)?;
        let names: Option<Vec<&str>> = names.iter().map(Json::as_str).collect();
        let Some(names) = names else { refuse!("`columns` must be a list of strings") };
        if names.len() != table.columns.len() && table.rows > 0 {
            refuse!("`columns` names {} columns, `data` has {}", names.len(), table.columns.len());
        }
        table.names = Some(names);
        Ok(table)
    }

    /// Where each of `wanted` lies; by position when there are no names on either side.
    fn order<'n>(&self, wanted: impl ExactSizeIterator<Item = &'n str>) -> Result<Vec<usize>> {
        let Some(names) = &self.names else {
            if self.columns.len() != wanted.len() {
                refuse!("{} values per row, the model takes {}", self.columns.len(), wanted.len());
            }
            return Ok((0..wanted.len()).collect());
        };
        wanted
            .map(|name| match names.iter().position(|n| *n == name) {
                Some(at) => Ok(at),
                None => Err(DecodeError(format!("column `{name}` is missing"))),
            })
            .collect()
    }

    fn fill(
        &self,
        signature: &Signature,
        columns: &[String],
        policy: Policy,
        request: &mut Request,
    ) -> Result<()> {
        let mut flags = Flags::default();
        match signature.inputs.as_slice() {
            // One matrix: its columns by the manifest's names, else in the order of the request.
            [spec] if spec.shape.len() == 2 => {
                let named = self.names.as_ref().is_some_and(|names| names.contains(&&*spec.name));
                let order = if !columns.is_empty() {
                    self.order(columns.iter().map(String::as_str))?
                } else if named {
                    self.order(std::iter::once(&*spec.name))?
                } else {
                    (0..self.columns.len()).collect()
                };
                self.matrix(&order, spec, &mut request.inputs[0], &mut flags, policy)?;
            }
            specs => {
                let order = self.order(specs.iter().map(|s| &*s.name))?;
                for ((spec, at), tensor) in specs.iter().zip(order).zip(&mut request.inputs) {
                    self.matrix(&[at], spec, tensor, &mut flags, policy)?;
                }
            }
        }
        request.non_finite_tokens = flags.non_finite_tokens;
        Ok(())
    }

    /// Columns side by side as one tensor. A cell that is a list brings several values (an embedding, say).
    fn matrix(
        &self,
        order: &[usize],
        spec: &TensorSpec,
        tensor: &mut Tensor,
        flags: &mut Flags,
        policy: Policy,
    ) -> Result<()> {
        for row in 0..self.rows {
            for &at in order {
                let Some(cell) = self.columns[at][row] else {
                    let name = self.names.as_ref().map_or("", |names| names[at]);
                    refuse!("row {row}: column `{}` is missing", shorten(name));
                };
                cell.each_scalar(&mut |cell| push_cell(&mut tensor.data, cell, &spec.name, flags, policy))?;
            }
        }
        let width = tensor.data.len() / self.rows.max(1);
        let shape: &[usize] = if spec.shape.len() == 1 { &[self.rows] } else { &[self.rows, width] };
        let count = check_shape(spec, shape, policy)?;
        if count != tensor.data.len() {
            refuse!("input `{}`: the rows are ragged", spec.name);
        }
        set_shape(tensor, shape);
        Ok(())
    }
}

/// Appends `value` of a tensor as one JSON list, an element per row; rows of one value are scalars.
///
/// # Errors
/// For half-precision floats, which have no JSON form.
pub fn push_rows(out: &mut Vec<u8>, tensor: &Tensor, tokens: bool) -> Result<()> {
    let rows = tensor.rows();
    let width = tensor.data.len().checked_div(rows).unwrap_or(0);
    out.push(b'[');
    for row in 0..rows {
        if row > 0 {
            out.push(b',');
        }
        if width != 1 {
            out.push(b'[');
        }
        for index in row * width..(row + 1) * width {
            if index > row * width {
                out.push(b',');
            }
            oip::push_element(out, &tensor.data, index, tokens)?;
        }
        if width != 1 {
            out.push(b']');
        }
    }
    out.push(b']');
    Ok(())
}

/// Appends `"predictions": […], "outputs": {…}`: the chosen output row by row, and all of them by name.
///
/// # Errors
/// For outputs without a JSON form.
pub fn push_predictions(
    out: &mut Vec<u8>,
    signature: &Signature,
    outputs: &[Tensor],
    prediction: usize,
    tokens: bool,
) -> Result<()> {
    out.extend_from_slice(b"\"predictions\":");
    push_rows(out, &outputs[prediction], tokens)?;
    out.extend_from_slice(b",\"outputs\":{");
    for (index, (spec, tensor)) in signature.outputs.iter().zip(outputs).enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push_string(out, spec.name.as_bytes());
        out.push(b':');
        push_rows(out, tensor, tokens)?;
    }
    out.push(b'}');
    Ok(())
}

/// The names a table's columns may have for this model, to tell a CSV header from a row.
fn known_columns<'a>(signature: &'a Signature, columns: &'a [String]) -> impl Fn(&str) -> bool + 'a {
    move |name| columns.iter().any(|c| c == name) || find_input(signature, name.as_bytes(), 0).is_some()
}

#[cfg(test)]
mod tests;
