//! Plain ractor actors on an Antiphon cluster.

mod error;
mod receptionist;
mod settings;
#[cfg(test)]
mod testing;
mod topic;

pub use error::ToolError;
pub use receptionist::{Listing, Receptionist, ServiceKey, Subscription};
pub use settings::ToolSettings;
pub use topic::{Publication, Published, Topic, TopicSubscription};
