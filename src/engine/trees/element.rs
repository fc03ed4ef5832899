//! The element types that steps compute with.

use crate::engine::RunError;
use crate::tensor::{Data, Datatype, Tensor};

/// A Rust type that tensors hold.
pub(super) trait Element: Copy + Default + Send + Sync + 'static {
    const DATATYPE: Datatype;
    fn slice(data: &Data) -> Option<&[Self]>;
    fn buffer(data: &mut Data) -> Option<&mut Vec<Self>>;
}

macro_rules! elements {
    ($($type:ident $variant:ident;)*) => {$(
        impl Element for $type {
            const DATATYPE: Datatype = Datatype::$variant;

            fn slice(data: &Data) -> Option<&[Self]> {
                if let Data::$variant(values) = data { Some(values) } else { None }
            }

            fn buffer(data: &mut Data) -> Option<&mut Vec<Self>> {
                if let Data::$variant(values) = data { Some(values) } else { None }
            }
        }
    )*};
}

elements! { bool Bool; f32 Fp32; f64 Fp64; i32 Int32; i64 Int64; }

/// The elements of a tensor whose type the plan has settled.
pub(super) fn elements<E: Element>(tensor: &Tensor) -> Result<&[E], RunError> {
    E::slice(&tensor.data).ok_or_else(|| {
        RunError::Engine(format!("a value is {} where {} was planned", tensor.datatype(), E::DATATYPE))
    })
}

/// The emptied buffer of an output of that type.
pub(super) fn buffer<E: Element>(output: &mut Tensor) -> Result<&mut Vec<E>, RunError> {
    output.data.reset(E::DATATYPE);
    E::buffer(&mut output.data).ok_or_else(|| RunError::Engine("a buffer of another type".to_owned()))
}

/// Evaluates `$body` with `$v` bound to the numbers of a tensor, whichever type they have.
macro_rules! with_numbers {
    ($tensor:expr, $v:ident => $body:expr) => {
        match &$tensor.data {
            $crate::tensor::Data::Fp32($v) => $body,
            $crate::tensor::Data::Fp64($v) => $body,
            $crate::tensor::Data::Int32($v) => $body,
            $crate::tensor::Data::Int64($v) => $body,
            other => {
                Err($crate::engine::RunError::Engine(format!("{} is not computed with", other.datatype())))
            }
        }
    };
}
pub(super) use with_numbers;
