//! Request bytes to tensors, in one pass when the keys come in the usual order, in any order otherwise.

mod data;
mod parameters;

use self::data::read_json;
use self::parameters::{parameters, request_parameters, shape, unsigned};
use super::binary;
use crate::json::{Kind, Reader};
use crate::model::{Signature, TensorSpec};
use crate::protocol::{
    DecodeError, Flags, MAX_ID_BYTES, Policy, Request, Result, WantedOutput, check_shape, find_input, lossy,
    refuse, set_shape,
};
use crate::tensor::{Data, Datatype, Shape, Tensor, element_count};

/// A tensor with its name, as golden examples hold them.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedTensor {
    /// The output's name.
    pub name: String,
    /// Its value.
    pub tensor: Tensor,
}

/// One entry of `inputs` or `outputs` as read so far.
#[derive(Default)]
struct Entry<'a> {
    name: Option<Vec<u8>>,
    shape: Option<Shape>,
    datatype: Option<Datatype>,
    binary_size: Option<usize>,
    /// Where the `data` value starts, when it came before what is needed to read it.
    data: Option<Reader<'a>>,
}

/// Decodes `body` into `request`. `header_length` is the JSON part's length when the client named it
/// (`Inference-Header-Content-Length`); the rest are the binary tensors in the order of the inputs.
///
/// # Errors
/// Whatever of the request does not fit the protocol or the signature, in words for the client.
pub fn decode(
    body: &[u8],
    header_length: Option<usize>,
    signature: &Signature,
    policy: Policy,
    request: &mut Request,
) -> Result<()> {
    request.reset(signature);
    let header_length = header_length.unwrap_or(body.len());
    let Some((header, tail)) = body.split_at_checked(header_length) else {
        refuse!("Inference-Header-Content-Length is {header_length}, beyond the body's {} bytes", body.len());
    };
    let mut decoder =
        Decoder { signature, policy, flags: Flags::default(), seen: Seen::default(), tail, key: Vec::new() };
    let mut reader = Reader::new(header);
    decoder.envelope(&mut reader, request)?;
    reader.end()?;
    if !decoder.tail.is_empty() {
        refuse!("{} bytes follow the last binary tensor", decoder.tail.len());
    }
    request.non_finite_tokens = decoder.flags.non_finite_tokens;
    decoder.seen.all(signature)
}

/// Decodes a raw request (header length 0): the whole body is the model's only input, as one row.
///
/// # Errors
/// When the model has several inputs or variable extents, or the body does not fill the shape.
pub fn decode_raw(body: &[u8], signature: &Signature, policy: Policy, request: &mut Request) -> Result<()> {
    request.reset(signature);
    request.binary = true;
    let [spec] = signature.inputs.as_slice() else {
        refuse!("a raw request needs a model with one input; this one has {}", signature.inputs.len());
    };
    let mut shape: Shape = spec.shape.iter().map(|&d| usize::try_from(d).unwrap_or(0)).collect();
    // The batch is one row; one more extent may follow from the body's size.
    if spec.shape.len() > 1 && spec.shape[0] < 0 {
        shape[0] = 1;
    }
    let mut open = (0..shape.len()).filter(|&i| spec.shape[i] < 0 && shape[i] == 0);
    if let Some(variable) = open.next() {
        if open.next().is_some() {
            refuse!(
                "a raw request needs at most one variable extent; input `{}` has {:?}",
                spec.name,
                spec.shape
            );
        }
        let rest: usize = element_count(&shape.iter().copied().filter(|&d| d != 0).collect::<Vec<_>>())
            .unwrap_or(usize::MAX);
        let elements = match spec.datatype.size() {
            Some(size) => body.len() / size,
            None => binary::count_strings(body).unwrap_or(0),
        };
        shape[variable] = elements / rest.max(1);
    }
    let count = check_shape(spec, &shape, policy)?;
    let tensor = &mut request.inputs[0];
    set_shape(tensor, &shape);
    binary::read(body, count, &spec.name, &mut tensor.data)
}

/// Decodes one `{name, shape, datatype, data}` of its own, as golden examples hold outputs.
///
/// # Errors
/// When it is not a whole tensor.
pub fn decode_tensor(reader: &mut Reader<'_>) -> Result<NamedTensor> {
    let mut key = Vec::new();
    let entry = Entry::read(reader, &mut key, |_, _, _| Ok(false))?;
    let (Some(name), Some(shape), Some(datatype), Some(mut data)) =
        (entry.name, entry.shape, entry.datatype, entry.data)
    else {
        refuse!("a tensor needs name, shape, datatype and data");
    };
    let Some(count) = element_count(&shape) else { refuse!("shape {shape:?} is too large") };
    let mut tensor = Tensor { shape, data: Data::empty(datatype) };
    let name = lossy(&name);
    let policy = Policy { max_rows: usize::MAX, reject_non_finite: false };
    read_json(
        &mut data,
        &name,
        &tensor.shape.clone(),
        count,
        &mut tensor.data,
        &mut Flags::default(),
        policy,
    )?;
    Ok(NamedTensor { name, tensor })
}

struct Decoder<'a> {
    signature: &'a Signature,
    policy: Policy,
    flags: Flags,
    seen: Seen,
    /// Binary tensors not yet taken.
    tail: &'a [u8],
    key: Vec<u8>,
}

/// Which inputs were given; a bit set that only allocates for models of more than 64 inputs.
#[derive(Default)]
struct Seen(smallvec::SmallVec<[u64; 1]>);

impl Seen {
    /// Marks an input; false when it was there before.
    fn mark(&mut self, index: usize) -> bool {
        if self.0.len() <= index / 64 {
            self.0.resize(index / 64 + 1, 0);
        }
        let bit = 1 << (index % 64);
        let new = self.0[index / 64] & bit == 0;
        self.0[index / 64] |= bit;
        new
    }

    fn all(&mut self, signature: &Signature) -> Result<()> {
        for (index, spec) in signature.inputs.iter().enumerate() {
            if self.mark(index) {
                refuse!("input `{}` is missing", spec.name);
            }
        }
        Ok(())
    }
}

impl<'a> Decoder<'a> {
    fn envelope(&mut self, reader: &mut Reader<'a>, request: &mut Request) -> Result<()> {
        let mut key = std::mem::take(&mut self.key);
        let (mut first, mut inputs, mut outputs, mut id, mut parameters) = (true, false, false, false, false);
        // A key given twice is refused: two readers of one request must not see two requests.
        let once = |seen: &mut bool, name: &str| {
            if std::mem::replace(seen, true) {
                Err(DecodeError(format!("`{name}` is given twice")))
            } else {
                Ok(())
            }
        };
        reader.begin_object()?;
        while reader.key(std::mem::take(&mut first), &mut key)? {
            match key.as_slice() {
                b"inputs" => {
                    once(&mut inputs, "inputs")?;
                    self.inputs(reader, request)?;
                }
                b"outputs" => {
                    once(&mut outputs, "outputs")?;
                    self.outputs(reader, request)?;
                }
                b"id" => {
                    once(&mut id, "id")?;
                    if reader.kind()? == Kind::Null {
                        reader.null()?;
                        continue;
                    }
                    reader.string(&mut request.id)?;
                    if request.id.len() > MAX_ID_BYTES {
                        refuse!("`id` is longer than {MAX_ID_BYTES} bytes");
                    }
                }
                b"parameters" => {
                    once(&mut parameters, "parameters")?;
                    request_parameters(reader, request)?;
                }
                _ => drop(reader.skip()?),
            }
        }
        self.key = key;
        if inputs { Ok(()) } else { refuse!("`inputs` is missing") }
    }

    fn inputs(&mut self, reader: &mut Reader<'a>, request: &mut Request) -> Result<()> {
        // Binary tensors follow the header in the order of the inputs, so they are taken in this loop too.
        let mut position = 0;
        reader.begin_array()?;
        while reader.element(position == 0)? {
            self.input(reader, request, position)?;
            position += 1;
        }
        Ok(())
    }

    fn input(&mut self, reader: &mut Reader<'a>, request: &mut Request, position: usize) -> Result<()> {
        let (signature, policy) = (self.signature, self.policy);
        let mut key = std::mem::take(&mut self.key);
        let mut done = None;
        let flags = &mut self.flags;
        let entry = Entry::read(reader, &mut key, |entry, reader, _| {
            let (Some(name), Some(shape), Some(datatype)) = (&entry.name, &entry.shape, entry.datatype)
            else {
                return Ok(false);
            };
            let index = resolve(signature, name, position)?;
            let tensor = &mut request.inputs[index];
            let count = prepare(&signature.inputs[index], shape, datatype, policy, tensor)?;
            if done.is_some() {
                refuse!("input `{}`: `data` is given twice", lossy(name));
            }
            read_json(reader, &signature.inputs[index].name, shape, count, &mut tensor.data, flags, policy)?;
            done = Some(index);
            Ok(true)
        })?;
        self.key = key;
        let Some(name) = &entry.name else { refuse!("input {position} has no `name`") };
        let label = || lossy(name);
        let Some(shape) = &entry.shape else { refuse!("input `{}` has no `shape`", label()) };
        let Some(datatype) = entry.datatype else { refuse!("input `{}` has no `datatype`", label()) };
        let index = resolve(signature, name, position)?;
        if !self.seen.mark(index) {
            refuse!("input `{}` is given twice", label());
        }
        let spec = &signature.inputs[index];
        let tensor = &mut request.inputs[index];
        match (done, entry.data, entry.binary_size) {
            (Some(_), None, None) => Ok(()),
            (None, Some(mut data), None) => {
                let count = prepare(spec, shape, datatype, policy, tensor)?;
                read_json(&mut data, &spec.name, shape, count, &mut tensor.data, &mut self.flags, policy)
            }
            (None, None, Some(size)) => {
                let count = prepare(spec, shape, datatype, policy, tensor)?;
                let Some((bytes, rest)) = self.tail.split_at_checked(size) else {
                    refuse!(
                        "input `{}`: binary_data_size is {size}, {} bytes are left",
                        spec.name,
                        self.tail.len()
                    );
                };
                self.tail = rest;
                binary::read(bytes, count, &spec.name, &mut tensor.data)
            }
            (None, None, None) => refuse!("input `{}` has neither `data` nor `binary_data_size`", spec.name),
            _ => refuse!("input `{}` has both `data` and `binary_data_size`, or `data` twice", spec.name),
        }
    }

    fn outputs(&mut self, reader: &mut Reader<'a>, request: &mut Request) -> Result<()> {
        let mut first = true;
        reader.begin_array()?;
        while reader.element(std::mem::take(&mut first))? {
            let output = self.output(reader)?;
            if request.outputs.iter().any(|o| o.index == output.index) {
                refuse!("output `{}` is asked for twice", self.signature.outputs[output.index].name);
            }
            request.outputs.push(output);
        }
        Ok(())
    }

    fn output(&mut self, reader: &mut Reader<'a>) -> Result<WantedOutput> {
        let mut name = None;
        let mut wanted = WantedOutput { index: 0, binary: None, classes: 0 };
        let mut key = std::mem::take(&mut self.key);
        let mut first = true;
        reader.begin_object()?;
        while reader.key(std::mem::take(&mut first), &mut key)? {
            match key.as_slice() {
                b"name" => {
                    let mut text = Vec::new();
                    reader.string(&mut text)?;
                    if name.replace(text).is_some() {
                        refuse!("an output's `name` is given twice");
                    }
                }
                b"parameters" => parameters(reader, &mut key, |key, reader| match key {
                    b"binary_data" => {
                        wanted.binary = Some(reader.bool()?);
                        Ok(true)
                    }
                    b"classification" => {
                        wanted.classes = unsigned(reader, "classification")?;
                        Ok(true)
                    }
                    _ => Ok(false),
                })?,
                _ => drop(reader.skip()?),
            }
        }
        self.key = key;
        let Some(name) = name else { refuse!("an entry of `outputs` has no `name`") };
        let found = self.signature.outputs.iter().position(|spec| spec.name.as_bytes() == name);
        let Some(index) = found else { refuse!("unknown output `{}`", lossy(&name)) };
        wanted.index = index;
        Ok(wanted)
    }
}

impl<'a> Entry<'a> {
    /// Reads one entry; `data` may consume the data value at once (true) or have it remembered (false).
    fn read(
        reader: &mut Reader<'a>,
        key: &mut Vec<u8>,
        mut data: impl FnMut(&Self, &mut Reader<'a>, ()) -> Result<bool>,
    ) -> Result<Self> {
        let mut entry = Self::default();
        let mut first = true;
        reader.begin_object()?;
        while reader.key(std::mem::take(&mut first), key)? {
            let twice = match key.as_slice() {
                b"name" => {
                    let mut name = Vec::new();
                    reader.string(&mut name)?;
                    entry.name.replace(name).is_some()
                }
                b"shape" => entry.shape.replace(shape(reader)?).is_some(),
                b"datatype" => {
                    key.clear();
                    reader.string(key)?;
                    let name = std::str::from_utf8(key).unwrap_or_default();
                    let datatype = name
                        .parse()
                        .map_err(|_| DecodeError(format!("unknown datatype `{}`", lossy(key))))?;
                    entry.datatype.replace(datatype).is_some()
                }
                b"data" => {
                    if data(&entry, reader, ())? {
                        false
                    } else {
                        let start = reader.clone();
                        reader.skip()?;
                        entry.data.replace(start).is_some()
                    }
                }
                b"parameters" => {
                    let size = &mut entry.binary_size;
                    parameters(reader, key, |key, reader| match key {
                        b"binary_data_size" => {
                            *size = Some(unsigned(reader, "binary_data_size")?);
                            Ok(true)
                        }
                        _ => Ok(false),
                    })?;
                    false
                }
                _ => {
                    reader.skip()?;
                    false
                }
            };
            if twice {
                refuse!("a tensor gives one of its keys twice");
            }
        }
        Ok(entry)
    }
}

fn resolve(signature: &Signature, name: &[u8], position: usize) -> Result<usize> {
    find_input(signature, name, position).ok_or_else(|| {
        let known: Vec<&str> = signature.inputs.iter().take(8).map(|spec| &*spec.name).collect();
        DecodeError(format!("unknown input `{}`; the model takes {}", lossy(name), known.join(", ")))
    })
}

/// Checks type and shape against the signature and gets the tensor ready for `count` elements.
fn prepare(
    spec: &TensorSpec,
    shape: &[usize],
    datatype: Datatype,
    policy: Policy,
    tensor: &mut Tensor,
) -> Result<usize> {
    if datatype != spec.datatype {
        refuse!("input `{}`: expected datatype {}, got {datatype}", spec.name, spec.datatype);
    }
    let count = check_shape(spec, shape, policy)?;
    set_shape(tensor, shape);
    tensor.data.clear();
    Ok(count)
}
