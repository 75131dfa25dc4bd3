//! Frames over TCP, for production.
//!
//! One connection for each pair of nodes; the node with the smaller id dials. Both sides prove that they know the cluster's cookie before the
//! first frame. No delay, keep-alive and a user timeout are set, so that a peer that is gone without a word is noticed; a peer that is
//! frozen is noticed by the failure detector.
//!
//! Why not ractor_cluster's session: `docs/design/0003-transport.md`. TLS would wrap the stream between `dial` or `accept` and the hello.

mod hello;
mod peers;
mod settings;
mod stream;
mod transport;

pub use settings::TcpSettings;
pub use transport::TcpTransport;

#[cfg(test)]
mod tests;
