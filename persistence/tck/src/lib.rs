//! The conformance kit of Antiphon's stores: every "must" of the contracts in
//! [`antiphon_persistence::store`] as a case.
//!
//! The author of a backend implements [`Place`] for it and calls [`all_tests!`] in a test file,
//! which makes a `#[test]` of each case. The doc of [`all_tests!`] has an example. The doc of a
//! case quotes the "must" that it checks. `README.md` of this crate says how to run the kit, and
//! what a case that fails means.
//!
//! ```text
//!   Place (yours) --session()--> Stores --> Kit --> case --> assertions
//!                 --capabilities()-->  skips what the place does not claim
//! ```
//!
//! A case that is cancelled leaves its place with part of its rows; no other case uses that place.

pub mod append;
pub mod coordination;
pub mod damage;
pub mod deletes;
pub mod entities;
pub mod feed;
mod follower;
mod generator;
mod kit;
pub mod limits;
mod macros;
pub mod model;
pub mod offsets;
pub mod once;
pub mod persistence_ids;
mod place;
pub mod reminders;
pub mod replay;
pub mod round_trip;
pub mod snapshots;
pub mod writers;

pub use generator::Generator;
pub use kit::{Kit, run};
pub use place::{Capabilities, DamagedRows, Place};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
