//! The decoders of this crate, for the fuzzing in `fuzz`.
//!
//! - `values`: payloads in each codec, and commands with their places for answers.
//! - `records`: the rows of stores.
//! - `crate::shape::fuzzing`: shapes.

mod records;
mod values;

pub use crate::shape::fuzzing::SHAPES;
pub use records::{RECORDS, event};
pub use values::VALUES;
