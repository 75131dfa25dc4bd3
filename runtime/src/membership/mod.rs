//! Membership as a table of the coordination store: the store decides, so there is no split brain.
//!
//! After the membership protocol of Orleans (Bernstein and others, "Orleans: Distributed Virtual Actors", 2014): rows change by
//! compare-and-set, and neighbours probe each other. There are two ways to be declared dead by others, and each has one order:
//!
//! - *silence*: its row was not renewed for `renew_timeout`, while the one who says so could read and write. The row itself is changed
//!   by compare-and-set, which fails when it was renewed after all. Probes do not matter: whoever is cut from the store is out.
//! - *a cut*: it renews its row, and it and others cannot reach each other. `verdict` says who gives way.
//!
//! A node joins only when it reaches everybody who is there, so one with a wrong address or cookie harms nobody.
//! Sealing comes on top of it (`docs/design/0001-fencing.md`).

mod backoff;
mod core;
mod cuts;
mod ends;
mod others;
mod row;
mod turns;
mod verdict;
mod view;

pub use self::backoff::Backoff;
pub use self::core::{Effect, Input, MembershipCore, MembershipSettings, Outcome, Purpose};
pub(crate) use self::row::MEMBERS;
pub use self::row::{MemberRow, Versioned};
pub use self::verdict::{Verdict, Verdicts};
pub use self::view::{Member, MemberState, Membership};

#[cfg(test)]
mod tests;
