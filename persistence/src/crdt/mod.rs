//! Operation-based replicated data types.
//!
//! A command handler *prepares* an operation from the state it sees; the operation is (part of) the
//! event; every replica *applies* it, by [`Replicated::apply`]. Delivery is causal and exactly
//! once, so operations need to commute only when they are concurrent (Shapiro et al., "A
//! comprehensive study of Convergent and Commutative Replicated Data Types", 2011). The laws and
//! the costs are tested in `tests`; `docs/guide/choosing-replicated-types.md` helps to choose.
//!
//! | type | concurrent operations |
//! |---|---|
//! | [`Counter`] | add up |
//! | [`ResettableCounter`] | add up; a reset takes away what it has seen |
//! | [`BoundedCounter`] | add up, never below a limit: each replica uses rights of its own |
//! | [`LwwRegister`] | the later [`LwwTime`] wins |
//! | [`MultiValueRegister`] | are all kept, for somebody to merge |
//! | [`EnableWinsFlag`], [`DisableWinsFlag`] | the one that the name says wins |
//! | [`OrSet`] | an add wins over a remove |
//! | [`OrMap`] | an update of a key wins over its remove; the values are replicated types |
//! | [`Sequence`] | inserts at one place stay together, one behind the other |

mod bounded;
mod context;
mod counter;
mod flags;
mod lww;
mod multi_value;
mod observed;
mod or_map;
mod or_set;
mod replicated;
mod resettable;
mod sequence;

pub use bounded::{BoundedCounter, BoundedOp, MissingRights};
pub use context::{OperationContext, OperationNr, StandaloneContext};
pub use counter::{Counter, CounterUpdated};
pub use flags::{DisableWinsFlag, DisableWinsOp, EnableWinsFlag, EnableWinsOp};
pub use lww::{LwwRegister, LwwTime, LwwUpdated};
pub use multi_value::{MultiValueOp, MultiValueRegister};
pub use observed::Observed;
pub use or_map::{OrMap, OrMapOp, RemovedKey};
pub use or_set::{Dot, OrSet, OrSetOp};
pub use replicated::{OperationOf, Replicated};
pub use resettable::{ResettableCounter, ResettableOp, SeenSums};
pub use sequence::{ElementId, Sequence, SequenceOp, Span};

#[cfg(test)]
mod tests;
