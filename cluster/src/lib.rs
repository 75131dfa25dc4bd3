//! Plain ractor actors on an Antiphon cluster.
//!
//! [`Actors::start`] opens sessions of ractor_cluster with all members of the cluster, over
//! connections that the node makes and secures: remote references and `ractor::pg` groups work
//! between all nodes.

mod actors;
mod metrics;
mod sessions;
mod settings;

pub use actors::Actors;
pub use settings::ActorSettings;
pub use {ractor, ractor_cluster};
