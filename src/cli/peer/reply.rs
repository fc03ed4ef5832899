//! Answers of prediction services, read tolerantly: tensors, lists, records, whatever holds values per row.

use crate::json::Reader;
use crate::model::{TensorSpec, shorten};
use crate::protocol::table::Json;
use crate::tensor::{Data, Datatype, Tensor};

/// What an answer says under one name.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::cli) struct Output {
    pub(in crate::cli) name: String,
    pub(in crate::cli) values: Values,
    /// Whether the numbers are single precision, so that digits beyond it mean nothing.
    pub(in crate::cli) single: bool,
    /// Whether it is known to be no number with a fraction.
    pub(in crate::cli) label: bool,
    /// Whether it was made of another output, to be compared with what has that form.
    pub(in crate::cli) derived: bool,
}

/// Values of all rows, row-major.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::cli) enum Values {
    Numbers(Vec<f64>),
    Texts(Vec<String>),
}

/// Keys that say something about the answer and are no prediction.
const ABOUT: [&str; 10] = [
    "id",
    "model",
    "model_name",
    "model_version",
    "name",
    "parameters",
    "status",
    "timestamp",
    "variant",
    "version",
];

/// Where a service that wraps its answer puts it.
const WRAPPERS: [&str; 5] = ["predictions", "prediction", "outputs", "result", "results"];

/// Most outputs that are looked at.
const MOST: usize = 256;

// === impl Values ===

impl Values {
    pub(in crate::cli) fn len(&self) -> usize {
        match self {
            Self::Numbers(values) => values.len(),
            Self::Texts(values) => values.len(),
        }
    }
}

/// Reads an answer.
///
/// # Errors
/// When it is no JSON or holds no values.
pub(in crate::cli) fn read(body: &[u8]) -> Result<Vec<Output>, String> {
    let mut reader = Reader::new(body);
    let document = Json::read(&mut reader).and_then(|document| reader.end().map(|()| document));
    let document = document.map_err(|error| format!("no JSON ({error}): {}", excerpt(body)))?;
    let mut outputs = Vec::new();
    collect("predictions", &document, &mut outputs);
    outputs.truncate(MOST);
    if outputs.is_empty() { Err(format!("no values in it: {}", excerpt(body))) } else { Ok(outputs) }
}

/// The same for tensors of an engine in this process.
pub(in crate::cli) fn of_tensors(specs: &[TensorSpec], tensors: &[Tensor]) -> Vec<Output> {
    macro_rules! numbers {
        ($values:expr) => {
            Values::Numbers($values.iter().map(|value| *value as f64).collect())
        };
    }
    let values = |tensor: &Tensor| match &tensor.data {
        Data::Bool(v) => Values::Numbers(v.iter().map(|value| f64::from(u8::from(*value))).collect()),
        Data::Uint8(v) => numbers!(v),
        Data::Uint16(v) => numbers!(v),
        Data::Uint32(v) => numbers!(v),
        Data::Uint64(v) => numbers!(v),
        Data::Int8(v) => numbers!(v),
        Data::Int16(v) => numbers!(v),
        Data::Int32(v) => numbers!(v),
        Data::Int64(v) => numbers!(v),
        Data::Fp32(v) => numbers!(v),
        Data::Fp64(v) => numbers!(v),
        Data::Fp16(v) => Values::Numbers(v.iter().map(|bits| half::f16::from_bits(*bits).to_f64()).collect()),
        Data::Bf16(v) => {
            Values::Numbers(v.iter().map(|bits| half::bf16::from_bits(*bits).to_f64()).collect())
        }
        Data::Bytes(v) => {
            Values::Texts(v.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect())
        }
    };
    let output = |(spec, tensor): (&TensorSpec, &Tensor)| Output {
        name: spec.name.to_string(),
        values: values(tensor),
        single: tensor.datatype() == Datatype::Fp32,
        label: !tensor.datatype().is_float(),
        derived: false,
    };
    specs.iter().zip(tensors).map(output).collect()
}

/// The start of an answer, for people.
pub(in crate::cli) fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(1200)]);
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect();
    if plain.trim().is_empty() { "(empty)".into() } else { plain }
}

fn collect(name: &str, value: &Json, into: &mut Vec<Output>) {
    match value {
        Json::Object(entries) => {
            // OIP: one entry per tensor. sidegate's `/predict` has all outputs by name, and one of them twice.
            match value.get("outputs") {
                Some(Json::Array(tensors)) if tensors.iter().any(|tensor| tensor.get("data").is_some()) => {
                    return tensors.iter().for_each(|tensor| tensor_output(tensor, into));
                }
                Some(inner @ Json::Object(_)) => return collect(name, inner, into),
                _ => {}
            }
            if let Some((wrapper, inner)) = entries.iter().find(|(key, _)| WRAPPERS.contains(&key.as_str())) {
                collect(wrapper, inner, into);
            }
            for (key, inner) in entries {
                if !WRAPPERS.contains(&key.as_str()) && !ABOUT.contains(&key.as_str()) {
                    collect(key, inner, into);
                }
            }
        }
        // A record per row: a column for each key.
        Json::Array(items) if matches!(items.first(), Some(Json::Object(_))) => {
            let Some(Json::Object(first)) = items.first() else { return };
            for (key, _) in first.iter().take(MOST) {
                let column: Option<Vec<&Json>> = items.iter().map(|item| item.get(key)).collect();
                if let Some(values) = column.and_then(|column| scalars(column.into_iter()))
                    && !ABOUT.contains(&key.as_str())
                {
                    into.push(Output {
                        name: key.clone(),
                        values,
                        single: false,
                        label: false,
                        derived: false,
                    });
                }
            }
        }
        Json::Null => {}
        other => {
            if let Some(values) = scalars(std::iter::once(other)).filter(|values| values.len() > 0) {
                into.push(Output {
                    name: name.to_owned(),
                    values,
                    single: false,
                    label: false,
                    derived: false,
                });
            }
        }
    }
}

fn tensor_output(tensor: &Json, into: &mut Vec<Output>) {
    let name = tensor.get("name").and_then(Json::as_str).unwrap_or("output").to_owned();
    if let Some(values) = tensor.get("data").and_then(|data| scalars(std::iter::once(data))) {
        let single = tensor.get("datatype").and_then(Json::as_str) == Some(Datatype::Fp32.name());
        into.push(Output { name, values, single, label: false, derived: false });
    }
}

/// All scalars of nested lists; `None` when objects are among them or texts are mixed with numbers.
fn scalars<'a>(items: impl Iterator<Item = &'a Json>) -> Option<Values> {
    let (mut numbers, mut texts) = (Vec::new(), Vec::new());
    for item in items {
        flatten(item, &mut numbers, &mut texts)?;
    }
    match (numbers.is_empty(), texts.is_empty()) {
        (_, true) => Some(Values::Numbers(numbers)),
        (true, false) => Some(Values::Texts(texts)),
        _ => None,
    }
}

fn flatten(item: &Json, numbers: &mut Vec<f64>, texts: &mut Vec<String>) -> Option<()> {
    match item {
        Json::Array(items) => return items.iter().try_for_each(|item| flatten(item, numbers, texts)),
        Json::Object(_) => return None,
        // NaN has no other form in strict JSON.
        Json::Null => numbers.push(f64::NAN),
        Json::Bool(value) => numbers.push(f64::from(u8::from(*value))),
        Json::Number(number) => numbers.push(number.to_f64()),
        Json::String(text) => texts.push(String::from_utf8_lossy(text).into_owned()),
    }
    Some(())
}

/// One row of an output as people read it.
pub(in crate::cli) fn show(values: &Values, row: usize, rows: usize) -> String {
    let width = values.len().checked_div(rows).unwrap_or(0);
    let range = row * width..(row + 1) * width;
    let cells: Vec<String> = match values {
        Values::Numbers(values) => values[range].iter().map(f64::to_string).collect(),
        Values::Texts(values) => values[range].iter().map(|text| format!("\"{}\"", shorten(text))).collect(),
    };
    let more = cells.len().saturating_sub(8);
    let shown = cells[..cells.len() - more].join(", ");
    let more = if more > 0 { format!(", {more} more") } else { String::new() };
    if width == 1 { shown } else { format!("[{shown}{more}]") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(body: &str, rows: usize) -> String {
        let outputs = read(body.as_bytes()).unwrap();
        let one = |output: &Output| {
            let lines: Vec<String> = (0..rows).map(|row| show(&output.values, row, rows)).collect();
            format!("{}={}", output.name, lines.join("|"))
        };
        outputs.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn answers_of_all_kinds_are_read() {
        for (body, rows, expected) in [
            (
                r#"{"model_name":"m","id":"1","outputs":[{"name":"p","shape":[2,2],"datatype":"FP32","data":[[1,2],[3,null]]},
                    {"name":"l","shape":[2],"datatype":"BYTES","data":["a","b"]}]}"#,
                2,
                "p=[1, 2]|[3, NaN] l=\"a\"|\"b\"",
            ),
            (r#"{"predictions":[0.5,NaN]}"#, 2, "predictions=0.5|NaN"),
            (
                r#"{"predictions":[{"label":"a","score":0.5},{"label":"b","score":1}]}"#,
                2,
                "label=\"a\"|\"b\" score=0.5|1",
            ),
            (r#"{"predictions":[[0.1],[0.9]],"model_version":"7"}"#, 2, "predictions=0.1|0.9"),
            (
                r#"{"predictions":["a"],"outputs":{"l":["a"],"p":[[0.1,0.9]]},"variant":null}"#,
                1,
                "l=\"a\" p=[0.1, 0.9]",
            ),
            (r#"{"prediction":1,"probability":0.75}"#, 1, "prediction=1 probability=0.75"),
            ("[0.1,0.2]", 2, "predictions=0.1|0.2"),
            ("0.25", 1, "predictions=0.25"),
            (r#"[{"0":0.25,"1":0.75}]"#, 1, "0=0.25 1=0.75"),
            (r#"{"predictions":{"score":[1,2]}}"#, 2, "score=1|2"),
        ] {
            assert_eq!(shown(body, rows), expected, "{body}");
        }
        let ten = format!("[{}]", (0..10).map(|n| n.to_string()).collect::<Vec<_>>().join(","));
        assert_eq!(shown(&ten, 1), "predictions=[0, 1, 2, 3, 4, 5, 6, 7, 2 more]");
    }

    #[test]
    fn what_holds_nothing_is_quoted() {
        for (body, part) in [
            ("<html>no</html>", "no JSON (expected a JSON value at byte 0): <html>no</html>"),
            ("", "(empty)"),
            (r#"{"status":"ok"}"#, r#"no values in it: {"status":"ok"}"#),
            ("[[1,\"a\"]]", "no values"),
        ] {
            let error = read(body.as_bytes()).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
