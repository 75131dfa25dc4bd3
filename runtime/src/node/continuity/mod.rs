//! Finds out whether the journal of a place is the one that its nodes wrote last, or an older one:
//! a backup, a new disk.
//!
//! - `session`: the rows, and all rules about them;
//! - `state`: the state of the journal as a node knows it;
//! - `accept`: the decision of an operator to go on with a loss;
//! - `witness`: the sessions of the other places that this place has seen;
//! - `follow`: the task that opens or joins the session of the place and keeps the rows;
//! - `leave`: the end of a node's part in the session.
//!
//! While one node of a place lives, it vouches for the journal: nobody can have replaced it. The
//! first node to start when no other lives opens a *session*, in a row of its own store. The nodes
//! of the other places see the session there, and write down in their own stores which session they
//! saw last: they are its *witnesses*. The last node to leave closes the session. A session begins
//! in *doubt* about every other place: its entities ask that place for own events before they
//! write, until their shard has followed its feed to the end once. A witness that has seen a newer
//! session than the journal knows is the proof that the journal went back
//! (`docs/design/0006-journal-that-went-back.md`).

mod accept;
mod follow;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod leave;
mod session;
mod state;
mod witness;

pub use accept::{accept_loss, session};
pub(super) use follow::{FollowParts, follow};
pub(super) use leave::leave;
#[cfg(test)]
pub(super) use session::SESSIONS;
pub use session::{Accepted, Doubt, DoubtKind, Previous, SessionRow};
pub use state::Continuity;

#[cfg(test)]
mod tests;
