//! A model as its server describes it, in the Open Inference Protocol's metadata.

use serde_json::Value;

use crate::model::{Signature, TensorSpec};

/// An input or output, in the server's words.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::cli) struct Described {
    pub(in crate::cli) name: String,
    pub(in crate::cli) datatype: String,
    pub(in crate::cli) shape: Vec<i64>,
}

/// What it takes and gives.
#[derive(Debug, Default)]
pub(in crate::cli) struct Description {
    pub(in crate::cli) inputs: Vec<Described>,
    pub(in crate::cli) outputs: Vec<Described>,
}

// === impl Description ===

impl Description {
    /// Reads the metadata, leniently: what is not there was not said.
    pub(in crate::cli) fn of(metadata: &Value) -> Self {
        let tensor = |tensor: &Value| {
            let extents = tensor["shape"].as_array().into_iter().flatten();
            Some(Described {
                name: tensor["name"].as_str()?.to_owned(),
                datatype: tensor["datatype"].as_str().unwrap_or_default().to_owned(),
                shape: extents.map(|extent| extent.as_i64().unwrap_or(-1)).collect(),
            })
        };
        let list =
            |key: &str| metadata[key].as_array().into_iter().flatten().filter_map(tensor).collect::<Vec<_>>();
        let (mut inputs, outputs) = (list("inputs"), list("outputs"));
        inputs.retain(|input| !input.datatype.is_empty());
        Self { inputs, outputs }
    }

    /// The same as a signature.
    ///
    /// # Errors
    /// When a datatype is unknown.
    pub(in crate::cli) fn signature(&self) -> Result<Signature, String> {
        let spec = |tensor: &Described| {
            let datatype = tensor
                .datatype
                .parse()
                .map_err(|_| format!("`{}` is of the unknown datatype `{}`", tensor.name, tensor.datatype))?;
            let shape = tensor.shape.clone();
            Ok(TensorSpec { name: tensor.name.as_str().into(), datatype, shape, labels: None })
        };
        let specs = |tensors: &[Described]| tensors.iter().map(spec).collect::<Result<Vec<_>, String>>();
        Ok(Signature { inputs: specs(&self.inputs)?, outputs: specs(&self.outputs)? })
    }
}
