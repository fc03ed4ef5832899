//! What another server answered, held against a signature.

use super::decode::decode_tensor;
use crate::json::{Kind, Reader};
use crate::model::Signature;
use crate::protocol::{Result, lossy, refuse};
use crate::tensor::Tensor;

/// Longest name of a version that is passed on.
const MAX_VERSION_BYTES: usize = 64;

/// Decodes an answer in JSON to a request of so many rows: outputs in the order of the signature, and the version that
/// the server says it is. Nothing is left as it was where it fails.
///
/// # Errors
/// Whatever does not fit: other names, datatypes or numbers of rows, and what is no such answer at all.
pub fn decode_reply(
    body: &[u8],
    signature: &Signature,
    rows: usize,
    outputs: &mut Vec<Tensor>,
) -> Result<Option<String>> {
    let mut reader = Reader::new(body);
    let (mut key, mut first, mut version, mut found) = (Vec::new(), true, None, None);
    reader.begin_object()?;
    while reader.key(std::mem::take(&mut first), &mut key)? {
        match key.as_slice() {
            b"model_version" if reader.kind()? == Kind::String => {
                let mut text = Vec::new();
                reader.string(&mut text)?;
                version = String::from_utf8(text)
                    .ok()
                    .filter(|text| !text.is_empty() && text.len() <= MAX_VERSION_BYTES);
            }
            b"outputs" => {
                if found.replace(tensors(&mut reader, signature, rows)?).is_some() {
                    refuse!("`outputs` is given twice");
                }
            }
            _ => drop(reader.skip()?),
        }
    }
    reader.end()?;
    let Some(found) = found else { refuse!("`outputs` is missing") };
    outputs.clear();
    for (spec, tensor) in signature.outputs.iter().zip(found) {
        let Some(tensor) = tensor else { refuse!("output `{}` is missing", spec.name) };
        outputs.push(tensor);
    }
    Ok(version)
}

fn tensors(reader: &mut Reader<'_>, signature: &Signature, rows: usize) -> Result<Vec<Option<Tensor>>> {
    let mut found: Vec<Option<Tensor>> = vec![None; signature.outputs.len()];
    let mut first = true;
    reader.begin_array()?;
    while reader.element(std::mem::take(&mut first))? {
        let named = decode_tensor(reader)?;
        let mut tensor = named.tensor;
        let known = signature
            .outputs
            .iter()
            .position(|spec| *spec.name == *named.name || lossy(spec.name.as_bytes()) == named.name);
        let Some(at) = known else { refuse!("unknown output `{}`", lossy(named.name.as_bytes())) };
        let spec = &signature.outputs[at];
        if tensor.datatype() != spec.datatype {
            refuse!("output `{}`: expected {}, got {}", spec.name, spec.datatype, tensor.datatype());
        }
        // Some servers give a column where the model has a list.
        if spec.shape.len() == 1 && tensor.shape.len() == 2 && tensor.shape[1] == 1 {
            tensor.shape.truncate(1);
        }
        // Declared extents are hints (a converter's `[1]` returns as many as there are rows), their number is not.
        if tensor.shape.len() != spec.shape.len() || tensor.rows() != rows {
            refuse!(
                "output `{}`: shape {:?} does not fit {rows} rows of {:?}",
                spec.name,
                tensor.shape,
                spec.shape
            );
        }
        if found[at].replace(tensor).is_some() {
            refuse!("output `{}` is given twice", spec.name);
        }
    }
    Ok(found)
}
