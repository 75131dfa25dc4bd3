//! Plain ractor actors on an Antiphon cluster.
//!
//! [`Actors::start`] opens sessions of ractor_cluster with all members of the cluster, over
//! connections that the node makes and secures: remote references and `ractor::pg` groups work
//! between all nodes. On top of them:
//!
//! - [`Receptionist`]: actors are registered under a key, and found by it from every member;
//! - [`Topic`]: a message to all subscribers, at most once;
//! - [`Singleton`]: one actor of a name at a time;
//! - [`Router`]: one of the actors under a key, or all of them, gets a message;
//! - [`TellActors`]: the effect of an entity tells an actor.

mod actors;
mod entities;
mod error;
mod message;
mod metrics;
mod receptionist;
mod router;
mod sessions;
mod settings;
mod singleton;
#[cfg(test)]
mod testing;
mod tool_settings;
mod topic;

pub use actors::Actors;
pub use entities::{OnNode, TellActors};
pub use error::ToolError;
#[doc(hidden)]
pub use message::wire;
pub use receptionist::{Listing, Receptionist, ServiceKey, Subscription};
pub use router::{Broadcast, Router};
pub use settings::ActorSettings;
pub use singleton::{Singleton, SingletonLease, SingletonProxy};
pub use tool_settings::ToolSettings;
pub use topic::{Publication, Published, Topic, TopicSubscription};
pub use {ractor, ractor_cluster};
