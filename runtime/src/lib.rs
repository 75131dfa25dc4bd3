//! A node of an Antiphon cluster, without entities: the members of the cluster, their life and
//! death, the coordinator, and correlated messages between nodes.
//!
//! - [`identity`]: the name of a node and of its incarnation.
//! - [`transport`]: the seam to the network: TCP in production, memory in tests.
//! - [`gate`]: tells and asks between nodes, on top of a transport.
//! - [`membership`]: the members table, votes, death, and the sealing of dead nodes.
//! - [`failure_detector`]: probes between ring neighbours.
//! - [`lease`]: the coordinator lease, and the verdicts in its row.
//! - [`node`]: a running node, its start and its end.
//! - [`metrics`]: counters, gauges and histograms of a node.
//! - [`admin`]: the operator's HTTP interface.

pub mod admin;
mod certificates;
pub mod failure_detector;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod gate;
pub mod identity;
pub mod lease;
mod listen;
pub mod membership;
pub mod metrics;
pub mod node;
mod origin;
pub mod transport;

pub use antiphon_base::{Error, ErrorKind, Result};
pub use gate::{AskError, Gate, Responder, Service, ServiceId};
pub use identity::NodeId;
pub use lease::LeaseState;
pub use listen::{cannot_listen, check_listen};
pub use membership::{Member, MemberReplicas, MemberState, Membership, PlacedReplica};
pub use metrics::Metrics;
pub use node::{Node, NodeParts, NodeSettings, PeerPlace, ShutdownPhase};
pub use transport::{FRAME_BYTES_MAX, SendError, Transport, TransportHandler};
