//! The scanner of a place: finds the reminders that are due, and hands them to their entities.
//!
//! - `core`: which rows are read, and which are handed over when;
//! - the task around it is `region/reminding.rs`: it reads the store, and knows the homes.

mod core;

pub use self::core::{Effect, Input, Page, Scanner, ScannerSettings};

#[cfg(test)]
mod tests;
