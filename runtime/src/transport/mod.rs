//! The seam between the gate and the network.
//!
//! A transport moves frames between nodes, and nothing more: it knows neither messages nor asks. It
//! may lose frames when a connection breaks, and the in-memory network also reorders and duplicates
//! them; the gate's link detects all of that. `tcp` is for production, `memory` for tests and for
//! the simulation.

pub mod memory;
mod stream;
pub mod tcp;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
pub use stream::{
    OpeningStream, PURPOSE_BYTES_MAX, Stream, StreamAcceptor, StreamEnd, StreamReader, StreamWriter,
};

use crate::{Error, ErrorKind, NodeId};

/// Limit of the bytes of a frame: a transport refuses longer frames, a gate never makes them.
pub const FRAME_BYTES_MAX: usize = 256 * 1024;

/// Connections to other nodes.
///
/// # Contract
/// - Calls of the handler about one node must never overlap, and must come in the order of the
///   events.
/// - `frame` must be called only between `up` and `down` of that node.
/// - `up` and `down` of one node must alternate, starting with `up`.
/// - After `connect`, the transport must try to be connected to the node until `disconnect`, with
///   backoff.
/// - After `disconnect`, it must refuse connections from that node until the next `connect`.
/// - `send` must not block and must not call the handler before it returns.
pub trait Transport: Send + Sync + 'static {
    /// Starts the transport; called once, by the gate, inside a tokio runtime.
    fn start(&self, handler: Arc<dyn TransportHandler>);

    /// Keeps a connection to `node` at `address` until `disconnect`. Idempotent; another address
    /// replaces the one before.
    fn connect(&self, node: &NodeId, address: &str);

    /// Notes the place whose member the node is. A connection whose greeting names another place is
    /// not that member's: it ends, and later ones are refused. Transports without a greeting ignore
    /// this.
    fn expect_place(&self, _node: &NodeId, _place: &Arc<str>) {}

    /// The place that the greeting of the node's connection has named; `None` when there is no
    /// connection, or no greeting.
    fn place_of(&self, _node: &NodeId) -> Option<Arc<str>> {
        None
    }

    /// Ends the connection and the attempts to make one. Idempotent.
    fn disconnect(&self, node: &NodeId);

    /// Hands a frame to the connection of `node`.
    ///
    /// # Errors
    /// `Unreachable` when there is no connection, `TooLarge` above [`FRAME_BYTES_MAX`].
    fn send(&self, node: &NodeId, frame: Bytes) -> Result<(), SendError>;

    /// Ends the connection to a node that this node never asked for, or no longer. The node may
    /// connect again.
    fn end_stranger(&self, _node: &NodeId) {}

    /// The reason why there is no connection to a node that is wanted, if it is known: the last
    /// attempt's error.
    fn trouble(&self, _node: &NodeId) -> Option<String> {
        None
    }

    /// The protection of the connections against strangers.
    fn protection(&self) -> Protection {
        Protection::ThisMachine
    }

    /// Hands the streams that members open for this purpose to `acceptor`, from now on; `None`
    /// refuses them, and ends those that are open.
    ///
    /// # Errors
    /// `Rejected` when the transport has no streams, as that in memory.
    fn accept_streams(
        &self,
        _purpose: &'static str,
        _acceptor: Option<StreamAcceptor>,
    ) -> crate::Result<()> {
        Err(no_streams())
    }

    /// Opens a stream for this purpose to a member with a larger id, at its address.
    ///
    /// Cancellation: dropping the future opens none; the other node may see one that ends.
    ///
    /// # Errors
    /// `Rejected` when the node is no member or has a smaller id, or when the transport has no
    /// streams; otherwise `Unavailable` or `Timeout`: try again later, also when the node takes no
    /// stream of this purpose, or is of an earlier version.
    fn open_stream(&self, _node: &NodeId, _address: &str, _purpose: &'static str) -> OpeningStream {
        Box::pin(std::future::ready(Err(no_streams())))
    }

    /// Ends all connections, listeners and tasks, for good. Idempotent.
    fn stop(&self) {}
}

fn no_streams() -> Error {
    Error::rejected("this transport has no streams: expected that of TCP")
}

/// The protection of connections against strangers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    /// Both sides prove who they are by certificates, and the bytes are encrypted.
    Certificates {
        /// The end of the validity of this node's certificates: time since 1970.
        expires: Duration,
    },
    /// Only processes of this machine reach the node.
    ThisMachine,
    /// None: whoever reaches the node is believed.
    None,
}

/// The receiver of a transport's reports. Calls must return soon and never block.
pub trait TransportHandler: Send + Sync + 'static {
    /// A connection to the node has begun.
    fn up(&self, node: &NodeId);

    /// The connection to the node has ended; frames under way may be lost.
    fn down(&self, node: &NodeId);

    /// A frame from the node has arrived.
    fn frame(&self, node: &NodeId, frame: Bytes);

    /// A connection was refused, or gave way to another one. `reason` is a short constant text for
    /// metrics.
    fn refused(&self, _reason: &'static str) {}

    /// The number of accepted connections that greet, and of those of nodes that are no members,
    /// has changed to these.
    fn accepted(&self, _greeting: usize, _strangers: usize) {}

    /// A stream has begun (true) or ended (false).
    fn stream(&self, _begun: bool) {}
}

/// The reason why a message or frame was not sent. No part of it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendError {
    /// The queue to that node is full; the text names its limit.
    Full(String),
    /// There is no connection to that node.
    Unreachable(String),
    /// The message or frame is over the limit that the setting names.
    TooLarge {
        /// The size in bytes.
        actual: usize,
        /// The limit in bytes.
        limit: usize,
        /// The setting, or the constant, of the limit.
        setting: String,
    },
}

impl SendError {
    /// A short constant text for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Full(_) => "full",
            Self::Unreachable(_) => "unreachable",
            Self::TooLarge { .. } => "too_large",
        }
    }

    /// Refuses a frame that is over the limit of every transport.
    ///
    /// # Errors
    /// `TooLarge`.
    pub fn check_frame(frame: &[u8]) -> Result<(), Self> {
        if frame.len() > FRAME_BYTES_MAX {
            return Err(Self::TooLarge {
                actual: frame.len(),
                limit: FRAME_BYTES_MAX,
                setting: "FRAME_BYTES_MAX".into(),
            });
        }
        Ok(())
    }
}

impl From<SendError> for Error {
    fn from(error: SendError) -> Self {
        let kind = match &error {
            SendError::Full(_) | SendError::Unreachable(_) => ErrorKind::Unavailable,
            SendError::TooLarge { .. } => ErrorKind::Rejected,
        };
        Self::new(kind, error.to_string())
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(what) => write!(f, "queue full: {what}"),
            Self::Unreachable(why) => write!(f, "unreachable: {why}"),
            Self::TooLarge { actual, limit, setting } => {
                write!(
                    f,
                    "too large: expected at most {limit} bytes (`{setting}`), actual {actual}"
                )
            }
        }
    }
}

impl std::error::Error for SendError {}
