//! The order in which a node goes down.

use std::future::Future;
use std::pin::Pin;

use serde::Serialize;

/// One phase of a graceful shutdown. Phases run in this order, each with a timeout of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum ShutdownPhase {
    /// Take no more work from outside. The member is `Leaving` since before this.
    StopAccepting,
    /// Hand off the shards.
    DrainShards,
    /// Seal the own writer: nothing is appended any more.
    LeaveTable,
    /// Release the coordinator lease, then become dead and sealed in the members table.
    ReleaseLease,
    /// Close the links.
    CloseLinks,
}

/// What runs in a phase.
pub type ShutdownTask = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;
