//! Frames over TCP, for production.
//!
//! Each pair of nodes has one connection; the node with the smaller id dials. With certificates
//! (`links.tls`) it is TLS 1.3, and both sides show who they are ([`LinkTls`]). Both sides prove
//! that they know the cluster's cookie before the first frame. No delay, keep-alive and a user
//! timeout are set, so that a node that ends without a word is noticed; the failure detector
//! notices a frozen node.
//!
//! Beside it, members open streams for other uses: connections of their own through the same port,
//! with the same greeting and certificates.
//!
//! The design, and the reason against ractor_cluster's session: `docs/design/0003-transport.md`.

mod accepted;
mod admission;
mod endpoints;
mod greeting;
mod hello;
mod refusal;
mod settings;
mod socket;
mod stream;
mod streams;
mod tls;
mod transport;

#[cfg(feature = "fuzzing")]
pub(crate) use hello::fuzzing;
pub use settings::{LinkTls, TcpSettings};
pub use tls::{certificate_name, certificate_names};
pub use transport::TcpTransport;

#[cfg(test)]
mod tests;
