//! The Open Inference Protocol v2 over REST (`inference_rest.md`, `open_inference_rest.yaml`) with the binary
//! tensor and classification extensions (Triton: `extension_binary_data.md`, `extension_classification.md`).

mod binary;
mod decode;
mod encode;
mod reply;

pub use decode::{NamedTensor, decode, decode_raw, decode_tensor};
pub(in crate::protocol) use encode::push_element;
pub use encode::{AnswerHead, encode, encode_binary_request, encode_request};
pub use reply::decode_reply;

#[cfg(test)]
mod tests;
