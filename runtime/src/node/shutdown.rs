//! The order in which a node goes down.

use std::future::Future;
use std::pin::Pin;

use serde::Serialize;

/// A phase of a graceful shutdown. Phases run in this order, each with a timeout of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum ShutdownPhase {
    /// Take no more work from outside. The member became `Leaving` before this phase.
    StopAccepting,
    /// Hand off the shards.
    DrainShards,
    /// Seal the own writer, so that nothing is appended any more, and leave the session of the
    /// place.
    LeaveTable,
    /// Release the coordinator lease, then become dead and sealed in the members table.
    ReleaseLease,
    /// Close the links.
    CloseLinks,
}

/// A task that runs in a phase.
pub type ShutdownTask = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;
