//! Membership as a table of the coordination store: the store decides, so there is no split brain.

mod view;

pub use view::{Member, MemberState, Membership};
