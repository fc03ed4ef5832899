//! What models are asked: their golden examples, or zeros.

use serde_json::{Value, json};

use crate::cli::peer::reply::{self, Output};
use crate::cli::rows::{Columns, Rows};
use crate::cli::serve::zeros;
use crate::cli::trial::cells;
use crate::config::RegistryUrl;
use crate::model::{ModelName, Signature, Version};
use crate::protocol::oip::{self, encode_binary_request, encode_request};
use crate::protocol::{Policy, Request};
use crate::registry::store::Store;
use crate::registry::{MAX_JSON_BYTES, layout};

/// Of a version: enough to tell one model from another, few enough for a look.
const MOST: usize = 20;

/// One request in every form, and its answer.
pub(super) struct Example {
    /// Tensors as JSON.
    pub(super) json: Vec<u8>,
    /// Binary tensors.
    pub(super) binary: Vec<u8>,
    /// How much of `binary` is JSON.
    pub(super) json_length: usize,
    /// The same as rows.
    pub(super) rows: Rows,
    /// What the version answered when it was made; none of zeros.
    pub(super) expected: Option<Vec<Output>>,
}

/// Those of a version.
pub(super) struct Examples {
    pub(super) list: Vec<Example>,
    pub(super) tolerance: f64,
    /// Why they are zeros.
    pub(super) remark: Option<String>,
}

/// Where golden examples are.
pub(super) struct Golden {
    store: Box<dyn Store>,
    place: String,
}

// === impl Golden ===

impl Golden {
    pub(super) fn new(store: Box<dyn Store>, url: &RegistryUrl) -> Self {
        Self { store, place: url.to_string() }
    }

    /// The examples of a version.
    ///
    /// # Errors
    /// When there are none, or what is there are none of this model; in words.
    fn read(&self, model: &ModelName, version: Version, signature: &Signature) -> Result<Examples, String> {
        let key = layout::file(model, version, layout::GOLDEN);
        let read = self.store.read(&key, MAX_JSON_BYTES, None).map_err(|error| error.to_string())?;
        let bytes = read.bytes().ok_or_else(|| format!("{key} is not in {}", self.place))?;
        let golden: Value = serde_json::from_slice(&bytes).map_err(|error| format!("{key}: {error}"))?;
        let cases = golden["cases"].as_array().map(Vec::as_slice).unwrap_or_default();
        let example = |case: &Value| Example::new(case, signature).map_err(|error| format!("{key}: {error}"));
        let list: Vec<Example> = cases.iter().take(MOST).map(example).collect::<Result<_, _>>()?;
        if list.is_empty() {
            return Err(format!("{key} has no cases"));
        }
        let tolerance = ["rtol", "atol"].iter().filter_map(|key| golden[*key].as_f64()).fold(1e-5, f64::max);
        Ok(Examples { list, tolerance, remark: None })
    }
}

// === impl Examples ===

impl Examples {
    /// Golden examples where there are any.
    ///
    /// # Errors
    /// When not even zeros can be sent.
    pub(super) fn of(
        golden: &Result<Golden, String>,
        model: &ModelName,
        version: Version,
        signature: &Signature,
    ) -> Result<Self, String> {
        let golden = golden.as_ref().map_err(Clone::clone);
        match golden.and_then(|golden| golden.read(model, version, signature)) {
            Ok(examples) => Ok(examples),
            Err(why) => {
                let zeros = Example::new(&json!({"inputs": zeros(signature)}), signature)?;
                Ok(Self { list: vec![zeros], tolerance: 0.0, remark: Some(why) })
            }
        }
    }
}

// === impl Example ===

impl Example {
    /// Of a case: `inputs`, and `outputs` where they are known.
    fn new(case: &Value, signature: &Signature) -> Result<Self, String> {
        let mut request = Request::default();
        let policy = Policy { max_rows: usize::MAX, reject_non_finite: false };
        let text = json!({"inputs": case["inputs"]}).to_string();
        let words = |error: crate::protocol::DecodeError| error.to_string();
        oip::decode(text.as_bytes(), None, signature, policy, &mut request).map_err(words)?;
        let (mut json, mut binary) = (Vec::new(), Vec::new());
        encode_request(signature, &request, &mut json).map_err(words)?;
        let json_length = encode_binary_request(signature, &request, &mut binary);
        let lines = cells(&request.inputs);
        let width = lines.first().map_or(0, Vec::len);
        let names = Columns::new(signature, &[], Some(width))?.names;
        let mut rows = Rows::new("", width, names);
        lines.iter().flatten().for_each(|cell| rows.push(cell));
        let expected = case.get("outputs").map(|outputs| {
            let text = json!({"outputs": outputs}).to_string();
            reply::read(text.as_bytes())
        });
        Ok(Self { json, binary, json_length, rows, expected: expected.transpose()? })
    }
}
