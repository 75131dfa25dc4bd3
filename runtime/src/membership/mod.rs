//! Membership as a table of the coordination store: the store decides, so there is no split brain.
//!
//! After the membership protocol of Orleans (Bernstein and others, "Orleans: Distributed Virtual Actors", 2014): rows change by
//! compare-and-set, neighbours probe each other, and enough votes in a row make its node dead. Sealing comes on top of it
//! (`docs/design/0001-fencing.md`).

mod core;
mod row;
mod view;

pub use self::core::{Effect, Input, MembershipCore, MembershipSettings, Outcome, Purpose};
pub(crate) use self::row::MEMBERS;
pub use self::row::{MemberRow, Versioned, Vote};
pub use self::view::{Member, MemberState, Membership};

#[cfg(test)]
mod tests;
