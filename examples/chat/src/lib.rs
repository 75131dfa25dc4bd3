//! A chat: a room is an entity with a replica in each place, a member is a plain actor on one node.
//!
//! - `room`: the lines of a room; an effect tells each line to all members;
//! - `member`: an actor that asks its room for the lines before it came, and hears the new ones;
//! - `guests`: a singleton that gives out names;
//! - `routes`: join, leave, and read over HTTP.

mod guests;
mod member;
mod room;
mod routes;

pub use guests::{Guests, guests};
pub use member::{Member, Outbox};
pub use room::{Line, Room, RoomCommand, Said, members};
pub use routes::{MEMBERS_MAX, routes};
