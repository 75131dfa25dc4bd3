//! The decoders of this crate, for the fuzzing in `fuzz`.
//!
//! - `operations`: operations of replicated types.
//! - `values`: payloads in each codec, and commands with their places for answers.
//! - `records`: the rows of stores.
//! - `crate::shape::fuzzing`: shapes.
//! - `crate::reply`: session tokens.

mod operations;
mod records;
mod values;

pub use crate::reply::fuzzing::SESSIONS;
pub use crate::shape::fuzzing::SHAPES;
pub use records::{RECORDS, event};
pub use values::VALUES;
