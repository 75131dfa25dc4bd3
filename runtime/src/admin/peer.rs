//! The other end of a connection of the HTTP interface.

use std::net::SocketAddr;
use std::sync::Arc;

/// The other end of a connection.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    /// The names in the certificate that the client shows; none without one.
    pub(super) names: Arc<[String]>,
}
