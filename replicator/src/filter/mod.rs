//! Selects the events to replicate, and shapes their names and metadata for the destination. Pure
//! functions.
//!
//! ```text
//!   arrival:  system events -> filters -> loop prevention
//!             => replicated, or excluded with the reason
//!   writing:  renames -> `$origin` -> `$original..`
//!             => the event as the destination gets it
//! ```
//!
//! Shaping happens as late as possible, so that a parked event is the event of the source, and
//! lanes are chosen by its original stream.

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
