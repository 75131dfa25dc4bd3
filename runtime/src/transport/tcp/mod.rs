//! Frames over TCP, for production.
//!
//! Each pair of nodes has one connection; the node with the smaller id dials. Both sides prove that
//! they know the cluster's cookie before the first frame. No delay, keep-alive and a user timeout
//! are set, so that a node that ends without a word is noticed; the failure detector notices a
//! frozen node.
//!
//! The design, and the reason against ractor_cluster's session: `docs/design/0003-transport.md`.
//! TLS would wrap the stream between `dial` or `accept` and the hello.

mod endpoints;
mod hello;
mod settings;
mod stream;
mod transport;

pub use settings::TcpSettings;
pub use transport::TcpTransport;

#[cfg(test)]
mod tests;
