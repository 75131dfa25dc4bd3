//! Plain ractor actors on an Antiphon cluster.

mod error;
mod receptionist;
mod settings;
#[cfg(test)]
mod testing;

pub use error::ToolError;
pub use receptionist::{Listing, Receptionist, ServiceKey, Subscription};
pub use settings::ToolSettings;
