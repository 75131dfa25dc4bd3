//! The scanner of a place: finds the reminders that are due, and hands them to their entities.
//!
//! - `core`: which rows are read, and which are handed over when;
//! - `unowned`: how many due rows are of replicas that the entity type does not have;
//! - the task around it is `region/reminding.rs`: it reads the store, and knows the homes.

mod core;
mod unowned;

pub use self::core::{Effect, Input, Page, Scanner, ScannerSettings};
pub use self::unowned::{Unowned, Walked};

#[cfg(test)]
mod tests;
