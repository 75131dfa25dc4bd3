//! A running node.
//!
//! - `handle`: [`Node`], the handle that all parts of a process share;
//! - `cluster_row`, `peer_stores`: check that the own store and the stores of other places are the
//!   right ones;
//! - `start`: checks the store, waits out an earlier incarnation (`namesake`), joins the table;
//! - `driver`: the rules that join membership, failure detector and lease in its `core`, and the
//!   task that does their I/O;
//! - `faults`: keeps the last reason of failed store calls, and limits their log lines;
//! - `continuity`: finds out whether the journal is the newest one of the place;
//! - `reach`: the other places that are cut off, and since when;
//! - `leave`: the phases of a graceful end.

mod cluster_row;
mod continuity;
mod driver;
mod faults;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing {
    pub use super::continuity::fuzzing::SESSIONS;
    pub use super::places::fuzzing::PLACES;
}
mod handle;
mod hosted;
mod leave;
mod liveness;
mod measures;
mod namesake;
mod parts;
mod peer_stores;
mod places;
mod probe;
mod reach;
mod settings;
mod shutdown;
mod start;
mod tasks;

pub use cluster_row::{CLUSTER_ROW, check_cluster_row};
pub use continuity::{
    Accepted, Continuity, Doubt, DoubtKind, Previous, SessionRow, accept_loss, session,
};
pub use handle::Node;
pub use liveness::{Liveness, NODE_LEFT};
pub use parts::{NodeParts, PeerPlace};
pub use reach::{PlaceReach, PlaceState};
pub use settings::{NodeSettings, ShutdownTimeouts};
pub use shutdown::{ShutdownPhase, ShutdownTask};

#[cfg(test)]
mod tests;
