//! Answers that need no engine: what the protocols tell of the server and its models.

pub(super) mod founding;
pub(super) mod oip;
pub(super) mod sagemaker;
