//! The easy forms of `/predict` and `/invocations`: records, columns, rows and CSV, matched by column name.

mod cells;
mod csv;
mod json;

pub use csv::decode_csv;
pub use json::Json;

use self::cells::Table;
use super::{Flags, Policy, Request, Result, check_shape, find_input, push_cell, refuse, set_shape};
use crate::json::{Reader, push_string};
use crate::model::{Signature, TensorSpec};
use crate::protocol::oip;
use crate::tensor::Tensor;

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
            Some(Json::Object(_)) => Table::Records(items),
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
    let rows = table.rows();
    if rows > policy.max_rows {
        refuse!("{rows} rows, at most {} are accepted", policy.max_rows);
    }
    fill_table(&table, signature, columns, policy, request)
}

/// Each item of `items` is one row of the only input, flattened.
fn whole_items(items: &[Json], spec: &TensorSpec, policy: Policy, request: &mut Request) -> Result<()> {
    let mut flags = Flags::default();
    let mut shape: Vec<usize> = vec![items.len()];
    items[0].shape(&mut shape);
    let nesting: Vec<usize> = shape[1..].to_vec();
    // A list of scalars for an input [-1, 1] is a column.
    if shape.len() == 1 && spec.shape.len() == 2 {
        shape.push(1);
    }
    let count = check_shape(spec, &shape, policy)?;
    let tensor = &mut request.inputs[0];
    set_shape(tensor, &shape);
    for (row, item) in items.iter().enumerate() {
        if !item.is_nested_as(&nesting) {
            refuse!("input `{}`: ragged: item {row} is not nested as the first, {nesting:?}", spec.name);
        }
        item.each_scalar(&mut |cell| push_cell(&mut tensor.data, cell, &spec.name, &mut flags, policy))?;
    }
    if tensor.data.len() != count {
        refuse!("input `{}`: the items are ragged", spec.name);
    }
    request.non_finite_tokens = flags.non_finite_tokens;
    Ok(())
}

fn fill_table(
    table: &Table<'_>,
    signature: &Signature,
    columns: &[String],
    policy: Policy,
    request: &mut Request,
) -> Result<()> {
    let specs = signature.inputs.as_slice();
    // One matrix: its columns by the manifest's names, else in the order of the request.
    let one = matches!(specs, [spec] if spec.shape.len() == 2);
    let order = if !one {
        table.order(specs.iter().map(|spec| &*spec.name).collect())?
    } else if !columns.is_empty() {
        table.order(columns.iter().map(String::as_str).collect())?
    } else if table.has(&specs[0].name) {
        table.order(vec![&*specs[0].name])?
    } else {
        table.all()
    };
    let rows = table.rows();
    let mut flags = Flags::default();
    let mut cells = Vec::with_capacity(order.len());
    // A cell that is a list brings several values (an embedding, say), in every row as many.
    let mut nesting: Vec<Vec<usize>> = Vec::new();
    for row in 0..rows {
        table.row(row, &order, &mut cells)?;
        for (at, cell) in cells.iter().enumerate() {
            let input = if one { 0 } else { at };
            let spec = &specs[input];
            let Some(cell) = cell else { refuse!("input `{}`: row {row} is too short", spec.name) };
            if row == 0 {
                let mut shape = Vec::new();
                cell.shape(&mut shape);
                nesting.push(shape);
            }
            if !cell.is_nested_as(&nesting[at]) {
                refuse!(
                    "input `{}`: the rows are ragged: value {at} of row {row} is not nested as in row 0",
                    spec.name
                );
            }
            let data = &mut request.inputs[input].data;
            cell.each_scalar(&mut |cell| push_cell(data, cell, &spec.name, &mut flags, policy))?;
        }
    }
    for (spec, tensor) in specs.iter().zip(&mut request.inputs) {
        let width = tensor.data.len() / rows.max(1);
        let shape: &[usize] = if spec.shape.len() == 1 { &[rows] } else { &[rows, width] };
        let count = check_shape(spec, shape, policy)?;
        if count != tensor.data.len() {
            refuse!("input `{}`: the rows are ragged", spec.name);
        }
        set_shape(tensor, shape);
    }
    request.non_finite_tokens = flags.non_finite_tokens;
    Ok(())
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
