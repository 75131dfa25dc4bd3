//! Operation-based replicated data types.
//!
//! A command handler *prepares* an operation from the state it sees; the operation is (part of) the
//! event; every replica *applies* it. Delivery is causal and exactly once, so operations need to
//! commute only when they are concurrent (Shapiro et al., "A comprehensive study of Convergent and
//! Commutative Replicated Data Types", 2011). The laws are tested in `tests.rs`.
//!
//! | type | concurrent operations |
//! |---|---|
//! | [`Counter`] | add up |
//! | [`LwwRegister`] | the later [`LwwTime`] wins |
//! | [`OrSet`] | an add wins over a remove |

mod counter;
mod lww;
mod or_set;

pub use counter::{Counter, CounterUpdated};
pub use lww::{LwwRegister, LwwTime, LwwUpdated};
pub use or_set::{Dot, OrSet, OrSetOp};

#[cfg(test)]
mod tests;
