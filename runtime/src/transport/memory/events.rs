//! The events that wait for their time at one node.

use bytes::Bytes;

use crate::NodeId;

/// An event at one node.
#[derive(Debug)]
pub(super) enum Event {
    Up { peer: NodeId, connection: u64 },
    Down { peer: NodeId, connection: u64 },
    Frame { peer: NodeId, connection: u64, frame: Bytes },
    Dial { peer: NodeId },
}
