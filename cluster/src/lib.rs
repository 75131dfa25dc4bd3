//! Plain ractor actors on an Antiphon cluster.

mod error;
mod receptionist;
mod router;
mod settings;
mod singleton;
#[cfg(test)]
mod testing;
mod topic;

pub use error::ToolError;
pub use receptionist::{Listing, Receptionist, ServiceKey, Subscription};
pub use router::{Broadcast, Router};
pub use settings::ToolSettings;
pub use singleton::{Singleton, SingletonLease, SingletonProxy};
pub use topic::{Publication, Published, Topic, TopicSubscription};
