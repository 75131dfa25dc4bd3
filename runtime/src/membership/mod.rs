//! Membership as a table of the coordination store: the store decides, so there is no split brain.
//!
//! After the membership protocol of Orleans (Bernstein and others, "Orleans: Distributed Virtual
//! Actors", 2014): rows change by compare-and-set, and neighbours probe each other. A member is
//! declared dead by others for one of two reasons:
//!
//! - *silence*: its row was not renewed for `renew_timeout`, although the member that says so could
//!   read and write. The declaration is a compare-and-set on the row, and it fails when the row was
//!   renewed after all. Probes do not matter: a member that is cut from the store is out.
//! - *a cut*: it renews its row, and it and others cannot reach each other. `verdict` decides which
//!   member gives way.
//!
//! A node joins only when it reaches every member, so a node with a wrong address or cookie does no
//! harm. Sealing comes on top of it (`docs/design/0001-fencing.md`).

mod core;
mod cuts;
mod ends;
mod joining;
mod others;
mod own;
mod row;
mod settings;
mod situation;
mod step;
mod turns;
mod verdict;
mod view;

pub use self::core::MembershipCore;
pub(crate) use self::row::MEMBERS;
pub use self::row::{MemberRow, Versioned};
pub use self::settings::MembershipSettings;
pub use self::step::{Effect, Input, Outcome, Purpose};
pub use self::verdict::{Verdict, Verdicts};
pub use self::view::{Member, MemberReplicas, MemberState, Membership, PlacedReplica};

#[cfg(test)]
mod tests;
