//! How a service is asked for predictions, ours or another: the connection, the bodies it takes, what its answers say.

pub(super) mod compare;
pub(super) mod connection;
pub(super) mod described;
pub(super) mod reply;
pub(super) mod transport;
pub(super) mod wire;
