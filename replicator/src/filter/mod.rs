//! What is replicated, under which name, and with which additions to its metadata. Pure functions.
//!
//! ```text
//!   arrival:  system events -> filters -> loop prevention        => replicated, or excluded with the reason
//!   writing:  renames -> `$origin` -> `$original..`              => the event as the destination gets it
//! ```
//!
//! The second half happens as late as possible, so that what is parked is the event of the source, and lanes are by its original stream.

mod metadata;
mod pattern;
mod provenance;
mod rename;
mod rules;
mod shaping;

pub use metadata::{Metadata, NotAnObject};
pub use pattern::Pattern;
pub use provenance::{ORIGIN, came_from};
pub use rename::Renames;
pub use rules::Filters;
pub use shaping::{Shaped, Shaping};
