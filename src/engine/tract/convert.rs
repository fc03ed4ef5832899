//! Tensors of ours to tensors of tract's and back.

use tract_onnx::prelude::{Datum, DatumType, Tensor as TractTensor, TractResult, f16};

use crate::engine::RunError;
use crate::tensor::{Data, Datatype, Tensor};

/// tract's name of a datatype; `None` for those it does not compute with.
pub(super) const fn datum_type(datatype: Datatype) -> Option<DatumType> {
    Some(match datatype {
        Datatype::Bool => DatumType::Bool,
        Datatype::Uint8 => DatumType::U8,
        Datatype::Uint16 => DatumType::U16,
        Datatype::Uint32 => DatumType::U32,
        Datatype::Uint64 => DatumType::U64,
        Datatype::Int8 => DatumType::I8,
        Datatype::Int16 => DatumType::I16,
        Datatype::Int32 => DatumType::I32,
        Datatype::Int64 => DatumType::I64,
        Datatype::Fp16 => DatumType::F16,
        Datatype::Fp32 => DatumType::F32,
        Datatype::Fp64 => DatumType::F64,
        Datatype::Bf16 | Datatype::Bytes => return None,
    })
}

/// A copy of `tensor`: tract keeps its inputs aligned and counted.
pub(super) fn to_tract(tensor: &Tensor) -> Result<TractTensor, RunError> {
    let shape = &*tensor.shape;
    let copy = match &tensor.data {
        Data::Bool(v) => TractTensor::from_shape(shape, v),
        Data::Uint8(v) => TractTensor::from_shape(shape, v),
        Data::Uint16(v) => TractTensor::from_shape(shape, v),
        Data::Uint32(v) => TractTensor::from_shape(shape, v),
        Data::Uint64(v) => TractTensor::from_shape(shape, v),
        Data::Int8(v) => TractTensor::from_shape(shape, v),
        Data::Int16(v) => TractTensor::from_shape(shape, v),
        Data::Int32(v) => TractTensor::from_shape(shape, v),
        Data::Int64(v) => TractTensor::from_shape(shape, v),
        Data::Fp16(v) => {
            let halves: Vec<f16> = v.iter().copied().map(f16::from_bits).collect();
            TractTensor::from_shape(shape, &halves)
        }
        Data::Fp32(v) => TractTensor::from_shape(shape, v),
        Data::Fp64(v) => TractTensor::from_shape(shape, v),
        Data::Bf16(_) | Data::Bytes(_) => {
            return Err(RunError::Input(format!("tract takes no {} inputs", tensor.datatype())));
        }
    };
    copy.map_err(|error| RunError::Engine(error.to_string()))
}

/// Copies `from` into `to`, reusing its buffers when the type is the same.
pub(super) fn copy_into(from: &TractTensor, to: &mut Tensor) -> Result<(), RunError> {
    copy(from, to).map_err(|error| RunError::Engine(format!("an output of tract: {error}")))
}

fn copy(from: &TractTensor, to: &mut Tensor) -> TractResult<()> {
    // tract computes with symbolic sizes where ONNX has int64.
    let from = if from.datum_type() == DatumType::TDim {
        from.cast_to::<i64>()?
    } else {
        from.cast_to_dt(from.datum_type())?
    };
    let from = &*from;
    let datatype = crate::tensor::DATATYPES.into_iter().find(|d| datum_type(*d) == Some(from.datum_type()));
    let Some(datatype) = datatype else {
        return Err(tract_onnx::prelude::TractError::msg(format!("{:?} has no datatype", from.datum_type())));
    };
    to.shape.clear();
    to.shape.extend_from_slice(from.shape());
    to.data.reset(datatype);
    match &mut to.data {
        Data::Bool(v) => extend(v, from)?,
        Data::Uint8(v) => extend(v, from)?,
        Data::Uint16(v) => extend(v, from)?,
        Data::Uint32(v) => extend(v, from)?,
        Data::Uint64(v) => extend(v, from)?,
        Data::Int8(v) => extend(v, from)?,
        Data::Int16(v) => extend(v, from)?,
        Data::Int32(v) => extend(v, from)?,
        Data::Int64(v) => extend(v, from)?,
        Data::Fp16(v) => {
            let view = from.try_as_plain_ram()?;
            v.extend(view.as_slice::<f16>()?.iter().map(|half| half.to_bits()));
        }
        Data::Fp32(v) => extend(v, from)?,
        Data::Fp64(v) => extend(v, from)?,
        Data::Bf16(_) | Data::Bytes(_) => {}
    }
    Ok(())
}

fn extend<T: Datum + Copy>(to: &mut Vec<T>, from: &TractTensor) -> TractResult<()> {
    to.extend_from_slice(from.try_as_plain_ram()?.as_slice::<T>()?);
    Ok(())
}
