//! Plain ractor actors on an Antiphon cluster.
//!
//! - [`Receptionist`]: actors are registered under a key, and found by it from every member;
//! - [`Topic`]: a message to all subscribers, at most once;
//! - [`Singleton`]: one actor of a name at a time;
//! - [`Router`]: one of the actors under a key, or all of them, gets a message;
//! - [`TellActors`]: the effect of an entity tells an actor.

mod entities;
mod error;
mod message;
mod receptionist;
mod router;
mod singleton;
#[cfg(test)]
mod testing;
mod tool_settings;
mod topic;

pub use entities::{OnNode, TellActors};
pub use error::ToolError;
#[doc(hidden)]
pub use message::wire;
pub use ractor;
pub use receptionist::{Listing, Receptionist, ServiceKey, Subscription};
pub use router::{Broadcast, Router};
pub use singleton::{Singleton, SingletonLease, SingletonProxy};
pub use tool_settings::ToolSettings;
pub use topic::{Publication, Published, Topic, TopicSubscription};
