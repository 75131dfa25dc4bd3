//! The targets of the fuzzing: groups of decoders, and a measured call of one of them.
//!
//! The first byte of an input chooses the decoder of the target; the rest are the bytes to decode.

mod measure;
mod targets;

pub use measure::{Pace, call};
pub use targets::{TARGETS, Target};
