//! Causal delivery, exactly once: decides which event of another replica can be applied now.
//!
//! ```text
//!                       version[origin] <= seen[origin]
//!   event --offer--> +----------------------------------> duplicate, dropped
//!                    |  next of its origin, all causes seen
//!                    +----------------------------------> ready: persist, apply, seen[origin] += 1
//!                    |  else
//!                    +----------------------------------> waits, bounded; a catch-up read is due
//! ```
//!
//! Causal broadcast after Birman, Schiper and Stephenson (1991), over the version vector that the
//! entity has anyway. `seen` is the entity's version: there is one state, not two. The transport by
//! which an event came does not matter.

mod causal;

pub use causal::{CausalDelivery, Offered};

#[cfg(test)]
mod tests;
